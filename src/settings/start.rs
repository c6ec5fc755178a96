//! Makes the configuration of a core, for real and simulated nodes alike.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Settings;
use crate::membership::{Charter, Config, Ids, Remembered, Tuning};
use crate::wire::NodeId;

/// The part of a core's configuration that is not a setting and differs between starts.
#[derive(Debug, Clone, Default)]
pub struct CoreStart {
    /// The addresses to publish; empty if they must be learned from peers.
    pub published: Vec<SocketAddr>,
    /// The nodes that an earlier run remembered.
    pub remembered: Vec<(NodeId, Remembered)>,
    /// Random, new at every start.
    pub run_id: u64,
    /// Greater than every epoch that this identity has used.
    pub epoch: u64,
    /// Seeds the core's random generator.
    pub seed: [u8; 32],
    /// The core's tuned constants: the defaults, except in a simulation that varies them.
    pub tuning: Arc<Tuning>,
    /// Tell which links newer records add and withdraw, for a history of the view.
    pub tells_links: bool,
    /// Who may be a member. `None`: everybody.
    pub charter: Option<Charter>,
    /// A table of ids that is shared with other cores. `None`: the core makes its own.
    pub ids: Option<Arc<Ids>>,
}

impl Settings {
    /// The configuration of a core for this start.
    #[must_use]
    pub fn core(&self, start: CoreStart) -> Config {
        Config {
            network: self.network.as_str().into(),
            label: self.label.as_str().into(),
            addrs: start.published,
            targets: self.targets.clone(),
            remembered: start.remembered,
            run_id: start.run_id,
            epoch: start.epoch,
            seed: start.seed,
            probe_interval: self.probe_interval,
            full_mesh: self.full_mesh,
            degree_target: self.degree_target,
            degree_cap: self.degree_cap,
            guests: self.guests,
            claims: self.claims,
            dials_at_once: self.dials_at_once,
            dial_timeout: self.dial_timeout,
            refresh_bytes_per_s: self.refresh_bytes_per_s,
            forget_after: self.forget_after,
            tuning: start.tuning,
            tells_links: start.tells_links,
            charter: start.charter,
            ids: start.ids,
        }
    }
}
