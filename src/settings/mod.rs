//! The settings of a node, typed and checked.

use std::net::{IpAddr, SocketAddr};

use crate::wire::NodeId;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// Everything a node needs to know before it starts; all of it is checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The profile, or `default`; names the folders under `profiles/` and `certs/`.
    pub profile: String,
    /// `label`: what people call the node.
    pub label: String,
    /// `log.level`.
    pub log_level: tracing::Level,
    /// `log.format`.
    pub log_format: LogFormat,
    /// `network.name`: only nodes with the same name form a network.
    pub network: String,
    /// `network.allow`: if not empty, the only nodes to talk to.
    pub allow: Vec<NodeId>,
    /// `network.controller.listen.addr`.
    pub listen_addr: IpAddr,
    /// `network.controller.listen.port`; 0 lets the system choose.
    pub listen_port: u16,
    /// The addresses in the file of `network.controller.target.path`.
    pub targets: Vec<SocketAddr>,
    /// `network.controller.d2`: write `peers.d2`.
    pub d2: bool,
    /// `network.controller.probe.interval_ms`.
    pub probe_interval_ms: u16,
    /// `network.controller.degree.full_mesh`: up to so many nodes, everybody links with everybody.
    pub full_mesh: usize,
    /// `network.controller.degree.target`: about so many links above that.
    pub degree_target: usize,
    /// `network.controller.degree.cap`: never more links than this.
    pub degree_cap: usize,
    /// `network.controller.dial.at_once`: so many dials at a time.
    pub dials_at_once: usize,
    /// `network.controller.dial.timeout_ms`: when a dial is given up.
    pub dial_timeout_ms: u64,
    /// `network.controller.refresh.bytes_per_s`: what news of round-trip times alone may cost this node, in bytes a second.
    pub refresh_bytes_per_s: u32,
    /// `network.controller.memory.forget_after_s`: how long the record of a node that is not up is kept.
    pub forget_after_s: u64,
    /// `network.controller.memory.addresses_for_days`: how long addresses that worked are kept on disk.
    pub addresses_for_days: u64,
}
