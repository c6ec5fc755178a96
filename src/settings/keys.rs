//! The table of all settings. An entry contains everything there is to know about a key.
//!
//! The fields of [`Settings`], the defaults, the checks, the list in `area-net -h`, `config/network/default.toml` and
//! `docs/settings.md` are made from it. The comment of an entry is its documentation: a summary in one line, then a paragraph.
//! Run `UPDATE=1 cargo test --lib settings::files` after a change to rewrite the two files.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tracing::Level;

use super::host_port::HostPort;
use super::key::Key;
use super::kind::{Field, Kind, Unit};
use super::{Discovery, LogFormat, NamedTarget, Shows, Values};
use crate::impair::Rules;
use crate::wire::NodeId;

/// Defines the struct, the table and the conversion between them from one list of
/// `"the.key" => field: Type = "default as TOML", Kind, more(...);`, where `more` is a method of [`Key`].
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

        /// All settings, in the order of the documentation.
        pub static KEYS: &[Key] = &[
            $(Key::new($name, $kind, $default, &[$($line),+])$(.$more($($with)?))*,)*
        ];

        impl $Settings {
            /// Settings with these values; the derived fields are empty.
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
    /// Everything a node must know before it starts, checked.
    #[derive(Debug, Clone, PartialEq)]
    pub struct Settings {
        #[derived]
        /// The profile's name, which is also the name of its folders under `profiles/` and `certs/`.
        profile: String;
        #[derived]
        /// The addresses in the target file, without those of this node itself.
        targets: Vec<SocketAddr>;
        #[derived]
        /// The targets in the target file whose addresses are found out anew each time they are dialed.
        named_targets: Vec<NamedTarget>;
        #[derived]
        /// The addresses in the target file that lead to this node itself. The log mentions them.
        skipped_own: Vec<SocketAddr>;

        /// Name of the node in logs and pictures; empty stands for the profile's name
        ///
        /// Any text. Two nodes may have the same label, because nodes are told apart by their keys. A longer label
        /// makes the node's record longer at every node.
        "label" => label: String = r#""""#, Kind::Label;

        /// Lowest level of area-net's own log messages
        ///
        /// Messages go to stderr. Other libraries log from `warn` up. `debug` logs every dial and every verdict on a
        /// link. `trace` logs every message and slows down a node in a large network. The variable `RUST_LOG`, if
        /// set, overrides this setting.
        "log.level" => log_level: Level = r#""info""#,
            Kind::Choice(&["error", "warn", "info", "debug", "trace"]);

        /// Format of log messages: `text` for people, `json` for programs
        ///
        /// A line of `text` begins with the time in UTC. With `json`, each line is one JSON object.
        "log.format" => log_format: LogFormat = r#""text""#, Kind::Choice(&["text", "json"]);

        /// Name of the network; only nodes with the same name connect
        ///
        /// A hash of the name is part of the handshake, so two networks on one machine never merge by accident. The name is
        /// not a secret and keeps nobody out; `network.key` and `network.allow` do.
        "network.name" => network: String = r#""area-net""#, Kind::NetworkName;

        /// File with the network key, which only members have; a list of files while the key is changed; empty for none
        ///
        /// `area-net network key FILE` makes the file. Two nodes connect only if each proves a key that the other has too,
        /// before any byte about the network. A file contains one key a line, of 64 hex digits, and comments after `#`;
        /// all files together at most 4 keys. Nobody else may read it (chmod 600). A relative path is relative to the
        /// working directory. The files are read at the start only. The variable `AREA_NET_KEY_FILE`, if set, names a
        /// file too; it overrides the settings files, and `-s` overrides it. See docs/trust.md for how to change a key.
        "network.key" => network_key: Vec<String> = r#""""#, Kind::Paths;

        /// Ids of the only nodes to connect with; an empty list allows every node
        ///
        /// The list keeps strangers out, but it must be kept up to date at every node: a node that is missing from it
        /// gets no link at all. The ids of all nodes are in `network.json`.
        "network.allow" => allow: Vec<NodeId> = "[]", Kind::NodeIds;

        /// Public file of the network's authority; empty for `certs/<PROFILE>/authority.pub`, if it is there
        ///
        /// In a network with an authority, only nodes with a certificate of it are members; `area-net network` makes both.
        /// If neither this file nor a certificate is there, the network has no authority. The file is read at the start
        /// only. See docs/certificates.md.
        "network.authority" => authority: String = r#""""#, Kind::Path;

        /// Certificate of this node; empty for `certs/<PROFILE>/member.cert`
        ///
        /// A node without certificate is not admitted to a network with an authority, and its log says how to get one. The
        /// file is read again when it changes.
        "network.certificate" => certificate: String = r#""""#, Kind::Path;

        /// IP address to listen on
        ///
        /// `::1` can be reached only from this machine. `::` stands for every address of the machine, so everybody
        /// who can reach the machine can reach the node. The address has no port and no brackets. A node waits for an
        /// address that the machine doesn't have yet, except for a loopback address, and says so in its log.
        "network.controller.listen.addr" => listen_addr: IpAddr = r#""::1""#, Kind::ListenAddr;

        /// UDP port to listen on; 0 lets the system choose one
        ///
        /// With 0 the port changes at every start, so no other node can have this node as a target. Most systems
        /// require privileges for ports below 1024.
        "network.controller.listen.port" => listen_port: u16 = "8083", Kind::number(0, 65_535);

        /// File with the addresses to dial; empty for none
        ///
        /// The file is a JSON array of strings, such as `["[::1]:8090", "192.0.2.7:8083", "seed.example:8083"]`, with
        /// at most 65,536 entries in 8 MiB, in UTF-8. A link-local address names its interface: `"[fe80::1%eth0]:8083"`. A DNS
        /// name stands for all of its addresses. It is resolved anew each time one of them is dialed, and tried again
        /// if it can't be resolved. A relative path is relative to the working directory. The node dials these
        /// targets at its start and never forgets them. One target that is up is enough, because the node learns
        /// about all other nodes from it. A `peers.json` that a node wrote can be used as a target file. A node
        /// without targets waits until another node dials it.
        "network.controller.target.path" => target_path: String = r#""""#,
            Kind::Path,
            older_name("network.controller.target.file");

        /// Addresses at which other machines reach this node, if they are not its own; empty for none
        ///
        /// At most 8 strings `"HOST:PORT"`, such as `["203.0.113.7:9000", "node.example:8083"]`: for example the
        /// address of a router that forwards a port to this node. A node publishes the addresses of its interfaces
        /// and those at which its peers see it without this setting. Other nodes try advertised addresses before
        /// observed ones, so a wrong entry makes them lose time. The node resolves a DNS name itself, every minute
        /// and when its own addresses change, and publishes the addresses.
        "network.controller.advertise" => advertise: Vec<HostPort> = "[]", Kind::Advertised;

        /// Whether nodes on one LAN find each other without targets: `off` or `lan`
        ///
        /// With `lan`, the node sends a small signed beacon to a multicast group on each of its links, every few
        /// seconds, and dials nodes of the same network whose beacons it hears. `network.controller.listen.addr` must
        /// be an address that other machines reach, such as `::`. The beacon tells everybody on the link this node's
        /// id, its port, and a hash of the network's name. See docs/discovery.md.
        "network.controller.discovery" => discovery: Discovery = r#""off""#, Kind::Choice(&["off", "lan"]);

        /// Write `peers.d2`, the picture of the network for d2
        ///
        /// The file is `profiles/<PROFILE>/peers.d2`, and `d2 --watch` shows it. It is rewritten when the network
        /// changes, which costs processor time and disk writes in a large network.
        "network.controller.d2" => d2: bool = "false", Kind::Flag;

        /// Part of the network that `peers.d2` shows: `auto`, `all`, `mine` or `tree`
        ///
        /// `all` shows all nodes and links, `mine` this node, its neighbours and the links between them, `tree` the shortest
        /// path from this node to each other node, by round-trip time. `auto` is `all` up to 32 nodes and 160 links, and
        /// beyond that a tree of the 100 nodes nearest to this one, because larger pictures can't be read. d2 needs minutes for
        /// large pictures, so `all` and `mine` show at most 1000 nodes and 600 links, and `tree` at most 1000 nodes: the
        /// nearest. A picture from which something is missing says what.
        "network.controller.d2_shows" => d2_shows: Shows = r#""auto""#,
            Kind::Choice(&["auto", "all", "mine", "tree"]);

        /// Impairment of the packets this node sends, in the syntax of tc netem; empty for none
        ///
        /// Delay, jitter, loss, bursts of loss, corruption, duplication, reordering and a rate limit, written as for
        /// `tc qdisc ... netem` (see `man tc-netem`), for example `delay 40ms 10ms loss 5%`. It needs neither root
        /// nor Linux and impairs no other program. A rule may begin with the address that it applies to: `delay 40ms;
        /// to [::1]:8090 loss 100%` drops every packet to that peer and delays packets to all others. The most
        /// specific rule applies. At most 64 rules in 4096 bytes. An impaired node serves its neighbours worse; its
        /// log and its pictures say that it is impaired.
        "network.controller.impair" => impair: Rules = r#""""#, Kind::Impairment;

        /// Largest number of newcomers a second that the node lets in, in the long run
        ///
        /// A newcomer is an address with which the node had no connection of ten seconds before. At once, those of twenty seconds
        /// may come. One source (an IPv4 address, the /64 of an IPv6 address, or this machine) gets half of it. Known
        /// addresses have a limit of the same size for themselves. With a higher limit an attacker that joins again and
        /// again with new keys costs more: 50 a second take up to 0.1 of a core. With a lower one, many nodes behind one
        /// address take longer to start.
        "network.controller.joins_per_s" => joins_per_s: u32 = "50",
            Kind::number(1, 100_000),
            simulated();

        /// Largest number of nodes that are shown on the word of one other node
        ///
        /// In an open network, any member can invent nodes and sign records for them. A node counts by itself once this
        /// node had a link with it, or once it has links with several nodes that count. Any other node counts on the
        /// word of one node, up to this number; further ones are not shown, and the log says so. Raise it where many nodes
        /// reach the rest of the network through one gateway only.
        "network.controller.claims" => claims: usize = "64", Kind::number(8, 32768), simulated();

        /// Restrict what this node can do on its machine after its start
        ///
        /// After its start, the node can write only below its working directory, the folder of its socket, and the folders to
        /// which links at its files lead. It can't start programs, signal others, or read the homes of users. Only Linux since
        /// 5.13 can do that; on other systems the setting has no effect. Turn it off if a link that you change while the node
        /// runs is to lead it elsewhere. See docs/deploy.md.
        "network.controller.sandbox" => sandbox: bool = "true", Kind::Flag;

        /// Largest size of the history that the node keeps in memory
        ///
        /// The history contains each change of nodes, links and figures that the node noticed, so that the page and the
        /// commands can show the past. Whatever bound is reached first makes the node forget the oldest part. An hour of a
        /// network of a hundred nodes, one of which dies or comes back every five seconds, takes 1.4 MB.
        "network.controller.history.mib" => history_mib: usize = "8", Kind::measured(1, 1024, Unit::Mebibytes);

        /// Time for which the node keeps its history in memory
        ///
        /// See `history.mib`. The history is gone when the node stops; `area-net record` writes one to a file.
        "network.controller.history.keep_s" => history_keep: Duration = "86400",
            Kind::measured(60, 2_592_000, Unit::Seconds);

        /// Serve the page, the API and the metrics over TCP
        ///
        /// Without it, only programs of the same user reach them, through the socket that `area-net status` and the other
        /// commands use.
        "network.controller.web.enabled" => web: bool = "false", Kind::Flag;

        /// IP address of the page
        ///
        /// `::1` and `127.0.0.1` can be reached only from this machine, by all of its users. With any other address, readers need
        /// the token in `profiles/<PROFILE>/web.token`, which the node makes at its first start with such an address. The page
        /// is not encrypted: let a proxy do that, or an SSH tunnel.
        "network.controller.web.addr" => web_addr: IpAddr = r#""::1""#, Kind::ListenAddr;

        /// TCP port of the page; 0 is the number of the UDP port that the node listens on
        ///
        /// The page of a node at `[::1]:8095` is at `http://[::1]:8095/` then.
        "network.controller.web.port" => web_port: u16 = "0", Kind::number(0, 65_535);

        /// Folder for qlogs of connections, for qvis and other readers of qlog; empty for none
        ///
        /// Each connection gets a file with quinn's events: packets sent, received and lost, and the state of congestion
        /// control. It takes a build with `--features qlog`. Failed dials are logged too. The node makes the folder, and
        /// never waits for its disk: records that find no room are left out, and the log says how many.
        "network.controller.qlog.path" => qlog_path: String = r#""""#, Kind::Path;

        /// Largest size of a qlog
        ///
        /// A file ends there. A healthy link writes about 3 MiB an hour.
        "network.controller.qlog.mib" => qlog_mib: usize = "16", Kind::measured(1, 1024, Unit::Mebibytes);

        /// Largest number of qlogs in the folder
        ///
        /// For a new one, the oldest of a connection that has ended is removed. If all of their connections live, the new one has
        /// none.
        "network.controller.qlog.files" => qlog_files: usize = "64", Kind::number(1, 10_000);

        /// Time between two probes of a healthy link
        ///
        /// A shorter interval detects a dead link sooner and measures round-trip times more often, but traffic and
        /// processor time grow in proportion. A node with more than six links makes the interval longer, up to twice
        /// as long, so that its total effort does not grow with the number of links. After a missed answer, probes
        /// follow every 250 ms whatever the interval, and more slowly where the line is full.
        "network.controller.probe.interval_ms" => probe_interval: Duration = "1500",
            Kind::measured(200, 10_000, Unit::Milliseconds),
            simulated();

        /// Largest network in which every node has a link with every other node
        ///
        /// In a larger network nodes drop links until each has about `degree.target`. A higher value measures more
        /// pairs of nodes directly, but the number of links and of probes grows with its square.
        "network.controller.degree.full_mesh" => full_mesh: usize = "16", Kind::number(2, 32), simulated();

        /// Approximate number of links of a node in a larger network
        ///
        /// It applies to networks larger than `degree.full_mesh`. Accepted links count as well as dialed ones. More
        /// links survive more failures at once and spread news sooner, but each link costs probes.
        "network.controller.degree.target" => degree_target: usize = "8", Kind::number(4, 32), simulated();

        /// Largest number of links that this node chooses
        ///
        /// A node that is full refuses further links and names other nodes to try instead, but it still takes guests
        /// (`degree.guests`). A higher cap lets a node keep more links, but each link costs memory and probes.
        "network.controller.degree.cap" => degree_cap: usize = "16",
            Kind::number(6, 64),
            simulated(),
            at_least(&[("network.controller.degree.target", 0), ("network.controller.degree.full_mesh", -1)]);

        /// Largest number of guests beyond `degree.cap`
        ///
        /// A guest is a node that depends on its link with this node: it has at most one other link, or no path to the
        /// network at all. Where most nodes are behind firewalls, those that accept connections have many guests.
        /// Each guest costs memory, probes and 25 bytes in this node's record, which every node receives. A node
        /// gives up the link with a guest once the guest has enough other links.
        "network.controller.degree.guests" => guests: usize = "256", Kind::number(16, 256), simulated();

        /// Largest number of simultaneous dials
        ///
        /// A higher value joins a large network sooner. Each dial is a cryptographic handshake, and too many at once
        /// lose packets on a slow line.
        "network.controller.dial.at_once" => dials_at_once: usize = "8", Kind::number(1, 64), simulated();

        /// Time after which a dial is given up
        ///
        /// 2900 ms allow three attempts to send QUIC's first packet. With a shorter time the node tries the next
        /// address sooner. With a longer time dials over slow or lossy paths succeed more often.
        "network.controller.dial.timeout_ms" => dial_timeout: Duration = "2900",
            Kind::measured(500, 10_000, Unit::Milliseconds),
            simulated();

        /// Budget for the round-trip times of others' links: what a node receives of them, with all headers
        ///
        /// Every node receives the figures of every link, in turn: with 512 bytes a second, each 20 s in a network of
        /// 25 nodes and each 50 s among 100, in proportion beyond. A larger budget keeps them fresher; all nodes of a
        /// network should have the same. With 0, a changed round-trip time is published only together with a changed
        /// link. The budget never delays changes of nodes or links. No ten seconds exceed a budget of 512 or more; with a
        /// smaller one, some contain a message or two more. At a start, all nodes tell their first figures whatever the
        /// budget, within ten seconds in a network of 25 nodes and within thirty among 100.
        "network.controller.refresh.bytes_per_s" => refresh_bytes_per_s: u32 = "512",
            Kind::measured(0, 1_000_000, Unit::BytesPerSecond),
            simulated();

        /// Time for which the record of a node that is not up is kept in memory
        ///
        /// With a longer time, a node that returns is recognised for longer. Each record takes 25 bytes a link, up to 10 KiB.
        "network.controller.memory.forget_after_s" => forget_after: Duration = "600",
            Kind::measured(10, 86_400, Unit::Seconds),
            simulated();

        /// Time for which addresses that worked are kept on disk
        ///
        /// With these addresses the node finds the network again after a long absence. Only the time counts for which
        /// this node runs, so an absence costs no address, and neither does a wrong clock. A longer time makes the
        /// return more reliable, but causes dials to addresses that were abandoned long ago. With 0, none are kept.
        /// Targets are never forgotten.
        "network.controller.memory.addresses_for_days" => addresses_for: Duration = "30",
            Kind::measured(0, 3650, Unit::Days);
    }
}
