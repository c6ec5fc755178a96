//! Parses attacks: the Byzantine nodes of a scenario.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;

use super::super::attack::{KINDS, Kind, Plan};
use super::super::places::MAX_PLACES;
use super::layer::{Layer, RawAttack};
use super::words::Wrong;
use super::{Builder, ScenarioError};
use crate::nearest::did_you_mean;

/// When an attack begins, unless the scenario says otherwise: a thousand nodes have found each other long before.
const FROM: Duration = Duration::from_secs(30);
/// The most identities of one attacker. Views hold 32,768 nodes; twice as many fill them with certainty.
const MAX_IDS: usize = 65_536;
/// The rates that mean anything: at most one action each microsecond.
const RATES: RangeInclusive<f64> = 0.0..=1e6;
/// The address that attacks name: one for documentation (RFC 3849), at which no simulated node listens.
const ADDR: &str = "[2001:db8::7]:4433";

impl Builder {
    /// The attacks of all layers, in their order.
    pub(super) fn attacks(
        &self,
        nodes: usize,
        lasts: Duration,
    ) -> Result<Vec<Plan>, ScenarioError> {
        let (mut all, mut places) = (Vec::new(), nodes);
        for layer in &self.layers {
            for raw in &layer.file.byzantine {
                let plan = raw.get_ref().read(layer, nodes, lasts)?;
                places += plan.nodes;
                if places > MAX_PLACES {
                    let what =
                        format!("{places} nodes with the Byzantine ones; at most {MAX_PLACES}");
                    return Err(layer.refuse(raw.span(), what));
                }
                all.push(plan);
            }
        }
        Ok(all)
    }
}

impl RawAttack {
    fn read(&self, layer: &Layer, nodes: usize, lasts: Duration) -> Result<Plan, ScenarioError> {
        let wrong = |wrong: Wrong| layer.source.refuse(wrong);
        let kind = self.kind().map_err(wrong)?;
        let word = kind.word();
        if let Some(ids) = self.ids.as_ref().filter(|_| kind.usual_ids() == 0) {
            let what = format!("the attack {word} needs no further identities");
            return Err(layer.refuse(ids.span(), what));
        }
        if let Some(victim) = self.victim.as_ref().filter(|_| !kind.has_victim()) {
            let what = format!("the attack {word} is not directed at one node");
            return Err(layer.refuse(victim.span(), what));
        }
        if let Some(addr) = self.addr.as_ref().filter(|_| !kind.has_addr()) {
            let what = format!("the attack {word} names no address");
            return Err(layer.refuse(addr.span(), what));
        }
        let within = |what: &str, number: &Spanned<usize>, most: usize| {
            if (1..=most).contains(number.get_ref()) {
                Ok(*number.get_ref())
            } else {
                let what = format!("{what} must be from 1 to {most}, not {}", number.get_ref());
                Err(layer.refuse(number.span(), what))
            }
        };
        let count = self.nodes.as_ref();
        let count = count.map_or(Ok(1), |count| within("nodes", count, MAX_PLACES))?;
        let ids = self.ids.as_ref();
        let ids = ids.map_or(Ok(kind.usual_ids()), |ids| within("ids", ids, MAX_IDS))?;
        let victim = self.victim.as_ref();
        let victim = victim.map_or(Ok(0), |victim| {
            if *victim.get_ref() < nodes {
                return Ok(*victim.get_ref());
            }
            let what = format!(
                "there is no node {}: they are 0 to {}",
                victim.get_ref(),
                nodes - 1
            );
            Err(layer.refuse(victim.span(), what))
        })?;
        let rate = self.rate.as_ref();
        let rate = rate.map_or(Ok(kind.usual_rate()), |rate| {
            if RATES.contains(rate.get_ref()) {
                return Ok(*rate.get_ref());
            }
            let what = format!("rate ({} a second) must be from 0 to 1e6", kind.unit());
            Err(layer.refuse(rate.span(), what))
        })?;
        let addr = self.addr.as_ref();
        let addr = addr.map_or(Ok(ADDR.parse().expect("it is an address")), |addr| {
            addr.get_ref().parse().map_err(|_| {
                let what = format!("`{}` is not an address with a port", addr.get_ref());
                layer.refuse(addr.span(), what)
            })
        })?;
        let time =
            |text: Option<&Spanned<String>>, usual| text.map_or(Ok(usual), |text| layer.time(text));
        let (from, until) = (
            time(self.from.as_ref(), FROM)?,
            time(self.until.as_ref(), lasts)?.min(lasts),
        );
        if from >= until {
            let what = format!("an attack from {from:?} until {until:?} never happens");
            return Err(layer.refuse(self.attack.span(), what));
        }
        Ok(Plan {
            kind,
            nodes: count,
            ids,
            rate,
            victim,
            addr,
            from,
            until,
        })
    }

    fn kind(&self) -> Result<Kind, Wrong> {
        let word = self.attack.get_ref().as_str();
        KINDS
            .into_iter()
            .find(|kind| kind.word() == word)
            .ok_or_else(|| {
                let words = KINDS.map(Kind::word);
                let hint = did_you_mean(word, words);
                let what = format!(
                    "unknown attack `{word}`{hint} (valid: {})",
                    words.join(", ")
                );
                Wrong::new(self.attack.span(), what)
            })
    }
}
