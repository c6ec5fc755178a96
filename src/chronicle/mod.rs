//! The chronicle: the history of a node's view: each change, when it happened, and which node reported it.
//!
//! ```text
//! Snapshot ─► Differ ─► Frame ─┬─► Chronicle    in memory, bounded: binary frames in segments
//!                              ├─► lines        JSON lines: the live stream, a recording, a simulation
//!                              └─► Picture      applies frames, and gives the Snapshot back
//! ```
//!
//! - [`Differ`] compares each snapshot with the one before, and numbers nodes and links in the order of their appearance.
//! - [`Frame`] is the difference. A keyframe is the difference from nothing.
//! - [`Picture`] is a view that was put together from frames. It gives exactly the snapshots that the frames were made from.
//! - [`Chronicle`] keeps frames and events within a bound of bytes and of age.
//! - [`Archive`] is the chronicle of a running node, for its readers: the thread that writes files records into it, and
//!   [`Notes`] takes what the event loop has to add.
//!
//! A chronicle that is loaded from a recording keeps the frames of the recording, with their numbers and origins, and compares nothing.
//!
//! The chronicle asks for no snapshot itself: it records those that are made anyway, for the files and for whoever looks.

mod archive;
mod differ;
mod frame;
pub mod lines;
mod news;
mod picture;
mod series;
mod store;

pub use archive::{Archive, Notes};
pub use differ::Differ;
pub use frame::{EventLine, Figures, Frame, Link, LinkGone, Node, NodeChange, Told, Value};
pub use news::{News, Origin};
pub use picture::{BadFrame, Picture};
pub use series::{Point, Series};
pub use store::{Chronicle, Entry, Limit, Span};

#[cfg(test)]
mod tests;
