//! A scenario after parsing: the places as they are written, the steps and the promises. `plan` turns places into namespaces.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::Deserialize;

/// A valid scenario.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scenario {
    /// The file's name without its extension.
    pub(crate) name: String,
    /// A one-line description.
    pub(crate) title: String,
    /// Part of the short set.
    pub(crate) short: bool,
    /// Seconds after which it ends, counted from the start of the first node.
    pub(crate) lasts_s: f64,
    /// Settings of every node, as arguments of `-s`.
    pub(crate) settings: Vec<String>,
    /// The networks, routers and hosts.
    pub(crate) nets: Vec<Net>,
    /// The routers, NATs and firewalls.
    pub(crate) routers: Vec<Router>,
    /// The hosts. Each runs one node.
    pub(crate) hosts: Vec<Host>,
    /// What happens, in time order.
    pub(crate) steps: Vec<Step>,
    /// What must hold.
    pub(crate) promises: Vec<Promise>,
}

/// A network: a switch, and the prefixes of its addresses. Without prefixes, hosts have link-local addresses alone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Net {
    /// Its name in the file.
    pub(crate) name: String,
    /// The IPv4 prefix. With `count`, the text may contain `#`, which stands for the number of the copy.
    pub(crate) v4: Option<String>,
    /// The IPv6 prefix.
    pub(crate) v6: Option<String>,
    /// How many copies there are, each with hosts and a router of its own.
    pub(crate) count: usize,
}

/// A prefix of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prefix<A> {
    /// Its first address.
    pub(crate) base: A,
    /// Its length in bits.
    pub(crate) bits: u8,
}

/// The IPv4 and IPv6 prefix of one copy of a network.
pub(crate) type Prefixes = (Option<Prefix<Ipv4Addr>>, Option<Prefix<Ipv6Addr>>);

/// A router between an inside network and one or more outside networks. It follows the copies of the inside network.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Router {
    /// Its name in the file.
    pub(crate) name: String,
    /// The network behind it, by index.
    pub(crate) inside: usize,
    /// The networks before it, by index. The first is the way to everywhere else.
    pub(crate) outside: Vec<usize>,
    /// What it does to IPv4.
    pub(crate) kind: Kind,
    /// What it does to IPv6, which it never translates.
    pub(crate) kind6: Kind,
    /// Whether hosts behind it reach each other at its outside address.
    pub(crate) hairpin: bool,
    /// Seconds after which it forgets a silent UDP flow.
    pub(crate) timeout_s: u32,
    /// Port mappings: outside port, host by index, port of that host.
    pub(crate) maps: Vec<(u16, usize, u16)>,
}

/// What a router does with packets, in the terms of RFC 4787.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Passes everything.
    Router,
    /// Passes what answers something from inside. It translates nothing.
    Firewall,
    /// A NAT with endpoint-independent mapping and endpoint-independent filtering.
    FullCone,
    /// A NAT with endpoint-independent mapping and address-dependent filtering.
    AddressRestricted,
    /// A NAT with endpoint-independent mapping, and address- and port-dependent filtering.
    PortRestricted,
    /// A NAT with address- and port-dependent mapping and filtering.
    Symmetric,
}

impl Kind {
    /// Whether it translates addresses.
    pub(crate) fn translates(self) -> bool {
        match self {
            Self::Router | Self::Firewall => false,
            Self::FullCone | Self::AddressRestricted | Self::PortRestricted | Self::Symmetric => {
                true
            }
        }
    }

    /// The word in the file.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Router => "router",
            Self::Firewall => "firewall",
            Self::FullCone => "full-cone",
            Self::AddressRestricted => "address-restricted",
            Self::PortRestricted => "port-restricted",
            Self::Symmetric => "symmetric",
        }
    }
}

/// A host, or several alike. Each runs one node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Host {
    /// Its name in the file.
    pub(crate) name: String,
    /// The networks it is on from the start, by index.
    pub(crate) on: Vec<usize>,
    /// How many there are on each copy of its network.
    pub(crate) count: usize,
    /// The UDP port that the node listens on.
    pub(crate) port: u16,
    /// The listening address: a literal, or a placeholder such as `{c}`.
    pub(crate) listen: String,
    /// Targets: names of hosts, or literals with placeholders.
    pub(crate) targets: Vec<String>,
    /// The name of a host whose `peers.json` is the target file.
    pub(crate) targets_from: Option<String>,
    /// The name of a node whose key this one copies at its first start.
    pub(crate) key_of: Option<String>,
    /// Settings of this node, as arguments of `-s`.
    pub(crate) settings: Vec<String>,
    /// Seconds from the beginning to the start of its node. `None`: a step starts it.
    pub(crate) start_s: Option<f64>,
    /// Whether it has IPv4, and whether it has IPv6.
    pub(crate) families: (bool, bool),
    /// The switch passes nothing between two isolated hosts.
    pub(crate) isolated: bool,
    /// New IPv6 addresses are tentative for a moment, as on real networks.
    pub(crate) dad: bool,
    /// The router that leads everywhere else, by name. By default, the first router of its first network.
    pub(crate) gateway: Option<String>,
}

/// A scheduled action.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    /// Seconds since the start of the first node.
    pub(crate) at_s: f64,
    /// The action.
    pub(crate) deed: Deed,
}

/// Names of hosts or routers, or `all`.
pub(crate) type Who = Vec<String>;

/// An action.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Deed {
    /// Starts the processes.
    Start {
        /// The nodes.
        who: Who,
        /// Their targets, if they are others than before.
        targets: Option<Vec<String>>,
    },
    /// Deletes what nodes remember, while they don't run.
    Forget(Who),
    /// Sends SIGKILL.
    Kill(Who),
    /// Sends SIGTERM.
    Leave(Who),
    /// Gives hosts new addresses on a network, and takes the old ones unless `keep`.
    Address {
        /// The hosts.
        who: Who,
        /// The network, or all of them.
        net: Option<String>,
        /// Whether the old addresses stay.
        keep: bool,
    },
    /// Takes the addresses of hosts on a network, to be restored later.
    DropAddress(Who, Option<String>),
    /// Restores the addresses that were taken.
    RestoreAddress(Who, Option<String>),
    /// Removes the interface to a network.
    Unplug(Who, String),
    /// Adds an interface to a network.
    Plug(Who, String),
    /// A router forgets all flows, and passes nothing for a time.
    Reboot {
        /// The routers.
        who: Who,
        /// Seconds.
        down_s: f64,
    },
    /// A router gets new outside addresses.
    Renumber {
        /// The routers.
        who: Who,
        /// Whether it forgets all flows, as most do.
        flush: bool,
    },
    /// The switch drops all packets of these hosts or routers, on all of their networks or on one.
    Cut(Who, Option<String>),
    /// The switch passes them again.
    Mend(Who, Option<String>),
    /// What a name resolves to. The addresses are literals or placeholders.
    Name {
        /// The name.
        name: String,
        /// The addresses.
        is: Vec<String>,
    },
    /// A shell command in the namespace of a host or router.
    Run {
        /// The hosts or routers.
        who: Who,
        /// The command, with placeholders.
        command: String,
    },
}

/// What must hold, and when.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Promise {
    /// What must hold.
    pub(crate) what: What,
    /// When the time begins: seconds since the start of the first node. `None`: at the last of the starts.
    pub(crate) after_s: Option<f64>,
    /// Seconds within which it must hold first.
    pub(crate) within_s: f64,
    /// For what must hold all the time or is measured over a time: its end. `None`: the end of the run.
    pub(crate) until_s: Option<f64>,
}

/// What must hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What {
    /// The views of `who` show `whom` as up. If `whom` is `None`: exactly the nodes that run.
    Know {
        /// The viewers.
        who: Who,
        /// The nodes that must be up.
        whom: Option<Who>,
    },
    /// Every two of these are linked directly.
    Linked(Vec<Who>),
    /// No two of these are linked directly.
    Apart(Vec<Who>),
    /// Each of these has at least so many links, with any of `with`.
    Links {
        /// The nodes.
        of: Who,
        /// The other ends.
        with: Who,
        /// The number.
        least: usize,
    },
    /// All views show these nodes at their public addresses, and at none that they had before.
    Address {
        /// The nodes.
        of: Who,
        /// The viewers.
        by: Who,
        /// Addresses that must be among those shown, with placeholders. Empty: the public addresses, by the plan.
        is: Vec<String>,
        /// Texts that no shown address may contain.
        never: Vec<String>,
    },
    /// The views of `who` never show one of `whom` as not up that runs and that they have shown as up.
    NeverDown {
        /// The viewers.
        who: Who,
        /// The nodes that must be up.
        whom: Who,
    },
    /// Bytes that a node sends in a second, whole Ethernet frames, on average over all of them.
    Bytes {
        /// The nodes.
        of: Who,
        /// The most.
        most: f64,
    },
    /// Packets to so many addresses of a prefix have left the host.
    Tried {
        /// The host.
        by: Who,
        /// The prefix.
        to: String,
        /// The number of addresses.
        count: usize,
    },
    /// The log of each contains the text.
    Says {
        /// The nodes.
        by: Who,
        /// The text.
        text: String,
    },
    /// `peers.json` of each contains the text.
    Writes {
        /// The nodes.
        by: Who,
        /// The text, with placeholders.
        text: String,
    },
}
