//! area-net: a node of a QUIC overlay that keeps its connections up, and knows every other node and every link
//! between them, with its direction and its round-trip time.
//!
//! The map of the code, its invariants and its seams are in `docs/architecture.md`; the protocol, byte by byte, is in
//! `docs/protocol.md`. Begin to read at [`membership`], the core, which does no I/O; then [`node`], the event loop that runs
//! it, and [`transport`], which carries what it says.

pub mod admission;
pub mod answers;
pub mod ask;
pub mod atomic_file;
pub mod authority;
pub mod chronicle;
pub mod claims;
pub mod cli;
pub mod clock;
pub mod decoders;
pub mod discovery;
pub mod events;
pub mod export;
pub mod graph;
pub mod identity;
pub mod impair;
pub mod layout;
pub mod log;
pub mod memory;
pub mod metrics;
pub mod nearest;
pub mod node;
pub mod recording;
pub mod sandbox;
pub mod settings;
pub mod signals;
pub mod sim;
pub mod snapshot;
#[cfg(feature = "top")]
pub mod top;
pub mod transport;
pub mod trusted_path;
pub mod web;

pub use area_net_core::{
    bucket, certificate, figures, membership, record, revocations, window, wire,
};
