//! The table of metrics: names, kinds, labels and what they mean. `docs/metrics.md` is generated from it.

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A value that rises and falls.
    Gauge,
    /// A count since the start. Samples end in `_total`.
    Counter,
    /// Labels alone; the value is 1. Samples end in `_info`.
    Info,
    /// How many links there are at present up to each bound.
    Histogram,
}

impl Kind {
    /// The name in OpenMetrics.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Info => "info",
            // Its counts fall too: it shows the present, and not what happened since the start.
            Self::Histogram => "gaugehistogram",
        }
    }
}

/// A metric, which is one or more series.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Family {
    /// The name without the suffix of its kind.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// The last word of the name, or nothing.
    pub(super) unit: &'static str,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

/// Declares each metric once, and the table of all.
macro_rules! families {
    ($($name:ident = $kind:ident $text:literal ($unit:literal) [$($label:literal),*]: $help:literal;)*) => {
        $(pub(super) const $name: Family = Family {
            name: $text,
            kind: Kind::$kind,
            unit: $unit,
            labels: &[$($label),*],
            help: $help,
        };)*

        /// Every metric, in the order in which they are written.
        #[cfg(test)]
        pub(super) const ALL: &[Family] = &[$($name),*];
    };
}

families! {
    BUILD = Info "areanet_build" ("") ["version"]:
        "The version of the program";
    NODE = Info "areanet_node" ("") ["id", "label", "network"]:
        "This node: the beginning of its id, its label and its network";
    CUT_OFF = Gauge "areanet_cut_off" ("") []:
        "1 if this node has lost all its links, else 0";
    IMPAIRED = Gauge "areanet_impaired" ("") []:
        "1 if this node impairs on purpose what it sends, else 0";
    REJECTED = Counter "areanet_rejected" ("") ["kind"]:
        "What this node has rejected";
    PROCESS_START = Gauge "process_start_time_seconds" ("seconds") []:
        "When this node started, in Unix time";
    PROCESS_CPU = Counter "process_cpu_seconds" ("seconds") []:
        "The core time that the process has used";
    PROCESS_RESIDENT = Gauge "process_resident_memory_bytes" ("bytes") []:
        "The memory that the process occupies";
    PROCESS_FILES = Gauge "process_open_fds" ("") []:
        "The open files and sockets of the process";
    NODES = Gauge "areanet_nodes" ("") ["state"]:
        "The nodes in this node's view, with itself";
    LINKS = Gauge "areanet_links" ("") []:
        "The links between nodes that are up";
    STALE = Gauge "areanet_links_stale" ("") []:
        "The links whose measurement is older than it should be";
    SUSPECT = Gauge "areanet_links_suspect" ("") []:
        "The links of which one end gets no answers at present";
    LOSSY = Gauge "areanet_links_lossy" ("") []:
        "The links that lose 1 % of the probes or more";
    NETWORK_RTT = Histogram "areanet_network_link_rtt_seconds" ("seconds") []:
        "The round-trip times of all links at present, as far as they are measured";
    OLDEST = Gauge "areanet_network_oldest_rtt_timestamp_seconds" ("seconds") []:
        "When the oldest round-trip time of a link was measured, in Unix time";
    OWN_LINKS = Gauge "areanet_own_links" ("") []:
        "The links of this node";
    LINK_RTT = Gauge "areanet_link_rtt_seconds" ("seconds") ["peer", "id", "direction"]:
        "The round-trip time of a link of this node";
    LINK_RTT_AT = Gauge "areanet_link_rtt_timestamp_seconds" ("seconds") ["peer", "id", "direction"]:
        "When that was measured, in Unix time";
    LINK_LOSS = Gauge "areanet_link_loss_ratio" ("ratio") ["peer", "id", "direction"]:
        "The share of probes on a link of this node that are not answered";
    LINK_SUSPECT = Gauge "areanet_link_suspect" ("") ["peer", "id", "direction"]:
        "1 if one end of the link gets no answers at present, else 0";
    LINK_SINCE = Gauge "areanet_link_since_timestamp_seconds" ("seconds") ["peer", "id", "direction"]:
        "When the link came up, in Unix time";
    WORST_RTT = Gauge "areanet_worst_link_rtt_seconds" ("seconds") ["dialer", "dialer_id", "listener", "listener_id"]:
        "The round-trip time of one of the worst links of the network";
    WORST_LOSS = Gauge "areanet_worst_link_loss_ratio" ("ratio") ["dialer", "dialer_id", "listener", "listener_id"]:
        "The share of probes on that link that are not answered";
    WORST_SUSPECT = Gauge "areanet_worst_link_suspect" ("") ["dialer", "dialer_id", "listener", "listener_id"]:
        "1 if one end of that link gets no answers at present, else 0";
}
