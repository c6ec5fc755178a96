//! area-net: a node of a QUIC overlay that keeps its connections up, and knows every other node and every link
//! between them, with its direction and its round-trip time.
//!
//! This page is the map of the code. The protocol is told in the modules: begin with [`membership`], then
//! [`membership::detector`], [`membership::database`] and [`record`].
//!
//! # A datagram's journey
//!
//! ```text
//! main ─ cli ─ settings ─ log
//!   │
//! node              the one event loop: sole owner of the core, sole reader of the clock
//!   ├── transport       quinn: endpoint, accept, dial, control stream, probe datagrams
//!   │     └── identity      key, certificate, the verifier that pins a key to a node id
//!   ├── membership      the core, no I/O: inputs in, actions out
//!   │     ├── interface     what goes in and comes out
//!   │     ├── database      newest signed record of every node, what a newer one changes (change), and digests
//!   │     ├── reach         who is up, derived from the records as they change
//!   │     ├── ids           where nodes stand in tables
//!   │     ├── backlog       what neighbours may still lack: a row of bits for each node
//!   │     ├── detector      is this link alive; loss: how long must it be silent; rtt: how long is its path
//!   │     ├── pool          what is missing, and where it might be
//!   │     └── addresses, connections, links, spread, tree, exchange, publish, neighbors, ring, picture: parts of the one `Core`
//!   ├── impair          one link model: delay, jitter, loss, duplicates, reordering, rate; and the socket that applies it
//!   ├── snapshot        immutable picture of the overlay; readers ask for it, changes are announced on a watch channel
//!   │     └── export        peers.json, network.json, peers.d2
//!   ├── sim             a network in virtual time, of cores or of whole nodes: `area-net sim`; above all of these
//!   ├── clock           time and tasks, from whoever runs the node: the system, or a simulator
//!   ├── memory          what outlives a run: the epoch, and where nodes can be dialed
//!   ├── nearest, bucket, atomic_file   "did you mean"; a token bucket; files that are whole at every instant
//!   └── wire, record    vocabulary: node id, messages, datagrams, limits; the signed record
//! ```
//!
//! Below quinn, [`transport`] has a socket of its own (on Linux): it notes when the kernel received each packet and when each
//! left, hears ICMP, and may be wrapped by [`impair`]. Modules know each other only downwards. A probe that arrives is answered by its connection's task
//! ([`transport`]) at once; what it says goes over a bounded channel to [`node`], which hands it to
//! [`membership::Core::handle`] with the time, performs the [`membership::Action`]s that come out, and announces
//! that something changed. [`export`] then asks for a [`snapshot::Snapshot`] and writes it, on a thread of its own.
//!
//! # Invariants
//!
//! - `membership` does no I/O, reads no clock and draws no entropy: the time is an argument, the random generator is
//!   seeded. Nothing in it is iterated in hash order. Same inputs, same actions, to the byte.
//! - Untrusted bytes become values once, in [`wire`] and [`record`]; a value that exists is within its limits. Only
//!   signatures are checked later, once a record and only if it is news, because that is dear.
//! - There are no rumours of death. Being up is derived from links that both ends list, so nothing must be refuted,
//!   and nothing expires.
//! - At most one link a peer; both ends choose the same of two connections. Replacing a connection never
//!   unlists the link.
//! - Every queue, table, rate and frame has a named limit with its reason beside it. A peer over a limit loses its
//!   connection, with a [`wire::CloseCode`] and a counter.
//! - Nobody but the event loop touches the core; readers never lock it. Neither a slow disk nor a log that nobody
//!   takes stops it.
//! - Files are replaced by rename: they are whole at every instant.
//!
//! # Seams
//!
//! - Simulation: quinn's own `AsyncUdpSocket` and `Runtime`, passed in with [`node::Assembly`]; or
//!   [`membership::Core`] alone, for thousands of nodes. [`sim`] does both.
//! - The socket: what is seen of single packets (time stamps, ICMP) goes through [`transport::Tap`]; what is done to them on
//!   their way is an [`impair::LinkModel`]'s, in an [`impair::ImpairedSocket`] around the real socket, or in a simulator.
//! - Whatever shows the overlay reads [`snapshot::SnapshotReader`].

pub mod atomic_file;
pub mod bucket;
pub mod cli;
pub mod clock;
pub mod export;
pub mod identity;
pub mod impair;
pub mod log;
pub mod membership;
pub mod memory;
pub mod nearest;
pub mod node;
pub mod record;
pub mod settings;
pub mod sim;
pub mod snapshot;
pub mod transport;
pub mod wire;
