//! From the settings to what a core is told: the one way, for a real node and for a simulated one.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Settings;
use crate::membership::Config;
use crate::membership::ids::Ids;
use crate::membership::pool::Remembered;
use crate::wire::NodeId;

/// What a core is told beside the settings, anew at every start.
#[derive(Debug, Clone, Default)]
pub struct CoreStart {
    /// The addresses to publish; empty if they must be learned from peers.
    pub published: Vec<SocketAddr>,
    /// What an earlier run remembered.
    pub remembered: Vec<(NodeId, Remembered)>,
    /// Random, new at every start.
    pub run_id: u64,
    /// Above every epoch that this identity ever used.
    pub epoch: u64,
    /// Seeds the core's random generator.
    pub seed: [u8; 32],
    /// Unix time in ms at time zero.
    pub unix_ms: u64,
    /// A table of ids that cores share; `None` for one of its own.
    pub ids: Option<Arc<Ids>>,
}

impl Settings {
    /// What a core is told at this start.
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
            start_unix_ms: start.unix_ms,
            probe_interval: self.probe_interval,
            full_mesh: self.full_mesh,
            degree_target: self.degree_target,
            degree_cap: self.degree_cap,
            dials_at_once: self.dials_at_once,
            refresh_bytes_per_s: self.refresh_bytes_per_s,
            forget_after: self.forget_after,
            ids: start.ids,
        }
    }
}
