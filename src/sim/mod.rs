//! A network in virtual time, in one process: `area-net sim`.
//!
//! It has two fidelities. At the lower one what runs here is [`membership::Core`](crate::membership::Core), the very code that runs on
//! the wire, and what is around it is simulated: clocks, the transport, the ways between nodes. At the higher one it is the whole
//! [`node::Node`](crate::node::Node), with QUIC, TLS and its event loop, and only clocks, sockets and the ways between them are
//! simulated. Scenarios (but for lies), invariants, measures and reports are the same. Everything follows from a seed: the same scenario
//! gives the same report, to the byte.
//!
//! From the bottom:
//! - [`world`]: places and virtual time; it goes on `window` by window, on several threads where that pays;
//! - `host`: one node with all that is its own, the `queue` of what happens to it next among that; it may be a `liar`;
//! - `whole`: whole nodes at those places; `executor` runs their tasks, and `socket` is what quinn takes for a UDP socket;
//!   `outside`: how tests set up and watch a whole node;
//! - [`path`]: at the lower fidelity, connections between them: handshakes, streams, datagrams. It says what is modelled, and what isn't;
//! - [`lines`]: who reaches whom, and what happens to packets on the way ([`impair`](crate::impair) decides it);
//! - [`scenario`]: what to do, as values that are sound; [`parse`] reads them from files and flags;
//! - [`views`]: the truth, and every node's view held against it;
//! - [`watch`]: what must always hold; [`measure`]: what is worth knowing;
//! - [`play`]: plays a scenario, with the two above looking on;
//! - [`fuzz`]: makes scenarios up, and small what goes wrong in one;
//! - [`report`]: what came of it, for people, for programs, and as a picture;
//! - [`command`]: the subcommand; `room` says whether a run fits into memory.
//!
//! Nothing in here follows a clock, but for the progress that [`command`] shows.

pub mod command;
mod delays;
mod executor;
pub mod fuzz;
mod host;
mod key;
mod liar;
pub mod lines;
pub mod measure;
mod news;
mod outside;
pub mod parse;
pub mod path;
pub mod places;
pub mod play;
mod queue;
pub mod report;
mod room;
pub mod scenario;
mod size;
mod socket;
pub mod views;
pub mod watch;
mod whole;
mod window;
pub mod world;

pub use play::{Ended, Play, Progress};
pub use report::Report;
pub use scenario::Scenario;

/// Plays a scenario to its end, or for as long as `go_on` says; it is asked now and then.
#[must_use]
pub fn run(scenario: &Scenario, go_on: impl FnMut(&Progress) -> bool) -> Report {
    report_of(scenario, Play::new(scenario), go_on)
}

/// The same, for a play that was prepared.
fn report_of(scenario: &Scenario, play: Play<'_>, go_on: impl FnMut(&Progress) -> bool) -> Report {
    let (ended, measure, world) = play.run(go_on);
    Report::new(scenario, &ended, &measure, &world)
}
