//! The one table of all the settings. Everything that is known of a key stands in its entry.
//!
//! The typed field of [`Settings`], the default and the bounds come from it, and so do the list in `area-net -h`,
//! `config/network/default.toml` and `docs/settings.md`. The comment of an entry is a summary in one line and a paragraph.
//! After a change, `UPDATE=1 cargo test --lib settings::files` writes the two files anew; without `UPDATE` it compares them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tracing::Level;

use super::key::Key;
use super::kind::{Field, Kind, Unit};
use super::{LogFormat, Values};
use crate::impair::Rules;
use crate::wire::NodeId;

/// Makes the struct, the table and the way from one to the other out of one list:
/// `"the.key" => field: Type = "default as TOML", Kind, what(else), it(is);`
macro_rules! settings {
    (
        $(#[$about:meta])*
        pub struct $Settings:ident {
            $(#[derived] $(#[$comment:meta])* $derived:ident: $derived_type:ty;)*
            $(
                $(#[doc = $line:literal])+
                $name:literal => $field:ident: $type:ty = $default:literal, $kind:expr $(, $more:ident($($with:expr)?))*;
            )*
        }
    ) => {
        $(#[$about])*
        pub struct $Settings {
            $($(#[$comment])* pub $derived: $derived_type,)*
            $(
                #[doc = concat!("`", $name, "`:")]
                $(#[doc = $line])+
                pub $field: $type,
            )*
        }

        /// All the settings, in the order in which they are explained.
        pub static KEYS: &[Key] = &[
            $(Key::new($name, $kind, $default, &[$($line),+])$(.$more($($with)?))*,)*
        ];

        impl $Settings {
            /// The values as they are; what is derived from them is empty.
            pub(super) fn of_values(values: &Values) -> Self {
                Self {
                    $($derived: Default::default(),)*
                    $($field: <$type>::from_value(values.get($name)).expect("the kind suits the field"),)*
                }
            }
        }
    };
}

settings! {
    /// Everything a node needs to know before it starts; all of it is checked.
    #[derive(Debug, Clone, PartialEq)]
    pub struct Settings {
        #[derived]
        /// The profile, or `default`; names the folders under `profiles/` and `certs/`.
        profile: String;
        #[derived]
        /// The addresses in the file of `network.controller.target.path`.
        targets: Vec<SocketAddr>;
        #[derived]
        /// The entries of that file that are this node's own address; not among the targets, and worth a word in the log.
        skipped_own: Vec<SocketAddr>;

        /// what people call the node; empty: the profile's name
        ///
        /// What people call the node, in its logs and in everybody's picture. Any text, also the same as another node's:
        /// nodes are told apart by their keys. A longer label makes this node's record longer at every node.
        "label" => label: String = r#""""#, Kind::Label;

        /// the least severe level of messages on stderr
        ///
        /// The least severe level of area-net's own messages on stderr; other libraries speak up from "warn". "debug" tells
        /// of every dial and every verdict, "trace" of every message, and costs time at many nodes. RUST_LOG, if set, wins.
        "log.level" => log_level: Level = r#""info""#,
            Kind::Choice(&["error", "warn", "info", "debug", "trace"]);

        /// messages for people, or one JSON object a line
        ///
        /// How a message looks: "text" for people, with the time in UTC; "json" is one object a line for programs.
        "log.format" => log_format: LogFormat = r#""text""#, Kind::Choice(&["text", "json"]);

        /// only nodes with the same name form a network
        ///
        /// Only nodes with the same name form a network: it is part of the handshake, so two networks on one machine never
        /// merge by accident. It is no secret and keeps nobody out; `allow` does.
        "network.name" => network: String = r#""area-net""#, Kind::NetworkName;

        /// the only nodes to talk to; []: everybody
        ///
        /// The ids (64 hexadecimal digits each) of the only nodes to talk to; `[]` talks to everybody. A list closes the door to
        /// strangers, and has to be kept up at every node: a node that is not on it is refused, also as a link of second choice.
        "network.allow" => allow: Vec<NodeId> = "[]", Kind::NodeIds;

        /// the address to listen at; "::": all of this machine
        ///
        /// The address of this machine to listen at. "::1" is reached from this machine alone; "::" is every address of the
        /// machine, which opens the node to whoever can reach it.
        "network.controller.listen.addr" => listen_addr: IpAddr = r#""::1""#, Kind::ListenAddr;

        /// the UDP port to listen at; 0: the system chooses
        ///
        /// The UDP port to listen at. With 0 the system chooses one at every start, so nobody can have it as a target; under 1024
        /// most systems want privileges.
        "network.controller.listen.port" => listen_port: u16 = "8083", Kind::number(0, 65_535);

        /// a JSON array of socket addresses to dial; empty: none
        ///
        /// A file with the nodes to dial at the start and never to forget: a JSON array of socket addresses, such as
        /// `["[::1]:8090", "192.0.2.7:8083"]`. A relative path is relative to the working directory.
        /// One target that is up is enough: the node hears of all the others. A peers.json that a node wrote has this format.
        /// The older name of this key, `file`, is accepted as well, but not both in one layer.
        "network.controller.target.path" => target_path: String = r#""""#,
            Kind::Path,
            older_name("network.controller.target.file");

        /// write peers.d2, the picture of the network
        ///
        /// Also write `profiles/<profile>/peers.d2`, the picture of the whole network for `d2 --watch`. The file is rewritten as
        /// the network changes, which costs some processor time and disk traffic at many nodes.
        "network.controller.d2" => d2: bool = "false", Kind::Flag;

        /// a worse network for what this node sends: delay 40ms 10ms loss 5%; empty: none
        ///
        /// A worse network on purpose, for what this node sends: delay, jitter, loss, bursts of loss, corruption, duplicates,
        /// reordering and a narrow line, in the words of `tc qdisc ... netem` (man tc-netem), such as "delay 40ms 10ms loss 5%".
        /// Neither root nor Linux is needed, and nobody else on the machine is impaired. A rule may begin with an address that it is for:
        /// `delay 40ms; to [::1]:8090 loss 100%` cuts the one way to that peer, and delays the others. The most specific rule holds.
        /// It shows how the network copes; a node that is impaired serves its neighbours worse, and says so in log and pictures.
        "network.controller.impair" => impair: Rules = r#""""#, Kind::Impairment;

        /// between two probes of a healthy link, in ms
        ///
        /// The time between two probes of a healthy link, in milliseconds. Less finds a dead link sooner and measures round-trip
        /// times more often; traffic and processor time grow in proportion. A node with more than six links stretches it, so that its
        /// effort does not grow with them, up to twice as long. After a missed answer probes follow every 250 ms anyway.
        "network.controller.probe.interval_ms" => probe_interval: Duration = "1500",
            Kind::measured(200, 10_000, Unit::Milliseconds),
            simulated();

        /// up to so many nodes, everybody links with everybody
        ///
        /// Up to so many nodes, everybody links with everybody; a network that outgrows this sheds links down to `target`.
        /// More measures more pairs directly; links, and with them probes, grow with its square.
        "network.controller.degree.full_mesh" => full_mesh: usize = "16", Kind::number(2, 32), simulated();

        /// about so many links a node in a larger network
        ///
        /// About so many links a node, counted both ways, in a network larger than `full_mesh`. More survives more failures at
        /// once and spreads news sooner; each link costs its probes.
        "network.controller.degree.target" => degree_target: usize = "8", Kind::number(4, 32), simulated();

        /// never more links; at least degree.target, and degree.full_mesh - 1
        ///
        /// Never more links than this at this node; a node that is full names others to whoever dials it. A higher cap takes
        /// in more nodes that dial at once, and costs memory and probes for each.
        "network.controller.degree.cap" => degree_cap: usize = "16",
            Kind::number(6, 64),
            simulated(),
            at_least(&[("network.controller.degree.target", 0), ("network.controller.degree.full_mesh", -1)]);

        /// so many dials under way at a time
        ///
        /// So many dials under way at a time. More joins a large network sooner; each is a handshake with its cryptography, and
        /// too many at once lose packets on a narrow line.
        "network.controller.dial.at_once" => dials_at_once: usize = "8", Kind::number(1, 64), simulated();

        /// when a dial is given up, in ms
        ///
        /// When a dial is given up, in milliseconds. 2900 is three tries of QUIC's first packet. Less gets on to the next address
        /// sooner; over slow or lossy paths more gets through.
        "network.controller.dial.timeout_ms" => dial_timeout: Duration = "2900",
            Kind::measured(500, 10_000, Unit::Milliseconds),
            simulated();

        /// what news of round-trip times alone may cost, in bytes a second
        ///
        /// What news of round-trip times alone may cost this node, in bytes a second. More keeps the figures in everybody's
        /// picture fresher; 0 sends no such news by itself, and a time then travels only with a change of links. News of nodes
        /// and links is never held back by this.
        "network.controller.refresh.bytes_per_s" => refresh_bytes_per_s: u32 = "64",
            Kind::measured(0, 1_000_000, Unit::BytesPerSecond),
            simulated();

        /// how long the record of a node that is not up is kept, in seconds
        ///
        /// How long the record of a node that is not up is kept in memory, in seconds. Longer lets a node that comes back be
        /// recognized for longer; each record takes up to some 2 KiB.
        "network.controller.memory.forget_after_s" => forget_after: Duration = "600",
            Kind::measured(10, 86_400, Unit::Seconds),
            simulated();

        /// how long addresses that worked are kept on disk, in days
        ///
        /// How long addresses that worked are kept on disk, in days, to find the network again after a long absence. Longer finds
        /// it more surely, at the price of dials to addresses long abandoned; 0 keeps none. Targets are never forgotten.
        "network.controller.memory.addresses_for_days" => addresses_for: Duration = "30",
            Kind::measured(0, 3650, Unit::Days);
    }
}
