//! A network in virtual time, in one process: `area-net sim`.
//!
//! It has two fidelities. At the lower one what runs here is [`membership::Core`](crate::membership::Core), the very code that runs on
//! the wire, and what is around it is simulated: clocks, the transport, the ways between nodes. At the higher one it is the whole
//! [`node::Node`](crate::node::Node), with QUIC, TLS and its event loop, and only clocks, sockets and the ways between them are
//! simulated. Scenarios (but for lies), invariants, measures and reports are the same. Everything follows from a seed: the same scenario
//! gives the same report, to the byte.
//!
//! From the bottom up; a module knows only those above it in this list:
//! - vocabulary: [`places`], `news` (what nodes report, and what they sent), `key`, `size` (bytes on the wire), `queue`;
//! - [`lines`]: which nodes reach each other, and what happens to packets on the way ([`impair`](crate::impair) decides it);
//!   `window`: spans of virtual time in which nodes run independently;
//! - [`path`]: the state of simulated connections at the core fidelity: ends, and packets in flight. It says what is modelled, and what is not;
//!   `socket` and `executor`: the UDP socket and the async runtime under a whole node; `whole`: whole nodes, built on those two;
//! - `host`: one node with everything that belongs to it, and the code of its connections; it may be Byzantine (`liar`);
//! - [`world`]: all nodes and virtual time; several threads run a window where that pays;
//! - [`scenario`]: a checked scenario; [`parse`] reads it from files and flags;
//! - [`views`]: the true state of the network, and each node's view compared with it; [`watch`]: invariants; [`measure`]: figures;
//! - [`play`]: runs a scenario under `watch` and `measure`;
//! - [`report`]: the result as text, as JSON and as a web page;
//! - [`fuzz`]: generates random scenarios, and minimises one that fails;
//! - [`command`]: the subcommand; `room` estimates whether a run fits into memory.
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
