//! What a run of an attack measured.

use std::collections::BTreeMap;

/// What was measured in one run.
#[derive(Debug, Default, Clone)]
pub(crate) struct Outcome {
    /// The random seed.
    pub(crate) seed: u64,
    /// Figures by name.
    pub(crate) figures: BTreeMap<String, f64>,
    /// What honest nodes counted as rejected, of the node that counted most.
    pub(crate) rejected: BTreeMap<String, u64>,
    /// The names of events in the logs during the attack, with their number over all nodes.
    pub(crate) events: BTreeMap<String, u64>,
    /// What the attacker did and met.
    pub(crate) deeds: BTreeMap<String, f64>,
    /// Honest nodes that ended by themselves, with the panic in their log.
    pub(crate) ended: BTreeMap<String, String>,
    /// Why the run could not be made.
    pub(crate) failure: Option<String>,
}

impl Outcome {
    /// Sets a figure.
    pub(crate) fn set(&mut self, name: &str, value: f64) {
        self.figures.insert(name.to_owned(), value);
    }

    /// Sets a figure if it is larger than before.
    pub(crate) fn raise(&mut self, name: &str, value: f64) {
        let most = self.figures.entry(name.to_owned()).or_insert(value);
        *most = most.max(value);
    }
}
