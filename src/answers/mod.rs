//! The answers of the API, as types that the server writes and the command line reads.
//!
//! Each answer is a pure function of a [`Snapshot`](crate::snapshot::Snapshot), and of what only the history knows; the caller
//! passes that ([`Told`], [`LinkExtras`], [`NodeExtras`], [`ExplainExtras`], [`StatusExtras`]). So a question about the past has the
//! same answer as one about the present: it gets the snapshot of that time.
//!
//! - [`select()`] finds the node that a person means.
//! - [`types`] are the documents. Every document is a JSON object with `format`.
//! - [`status`], [`nodes`], [`links`], [`node`], [`link`], [`path`] and [`explain()`] make them.
//!
//! Times are Unix ms, round-trip times µs, ids 64 hex digits. Labels are any text, perhaps hostile: whoever shows them makes them
//! harmless.

mod explain;
mod kinds;
mod make;
mod ping;
mod select;
pub mod types;

pub use explain::{ExplainExtras, explain};
pub use make::{
    LinkExtras, NodeExtras, StatusExtras, agreement, link, links, node, nodes, path, status, who,
    who_by_id,
};
pub use ping::{Ping, PingHop, ping, ping_path};
pub use select::{SelectError, select};
pub use types::{Event, Failure, FailureKind, Told, Who};

/// The version of the documents. New fields may be added; a change that breaks readers increments it.
pub const FORMAT: u32 = 1;
