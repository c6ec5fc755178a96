//! A network of cores in virtual time, in one process: `area-net sim`.
//!
//! What runs here is [`membership::Core`](crate::membership::Core), the very code that runs on the wire. Only what is around it
//! is simulated: clocks, the transport, the ways between nodes. Everything follows from a seed: the same scenario gives
//! the same report, to the byte.
//!
//! From the bottom:
//! - [`world`]: places and nodes, virtual time, the queue of what happens next;
//! - [`path`]: connections between them: handshakes, streams, datagrams. It says what is modelled, and what isn't;
//! - [`lines`]: who reaches whom, and what happens to packets on the way ([`impair`](crate::impair) decides it);
//! - [`scenario`]: what to do, as values that are sound; [`parse`] reads them from files and flags;
//! - [`views`]: the truth, and every node's view held against it;
//! - [`watch`]: what must always hold; [`measure`]: what is worth knowing;
//! - [`play`]: plays a scenario, with the two above looking on;
//! - [`report`]: what came of it, for people, for programs, and as a picture;
//! - [`command`]: the subcommand.
//!
//! Nothing in here reads a clock, but for the progress that [`command`] shows.

pub mod command;
mod executor;
pub mod fuzz;
mod key;
pub mod lines;
pub mod measure;
pub mod parse;
pub mod path;
pub mod places;
pub mod play;
pub mod report;
pub mod scenario;
mod size;
mod socket;
pub mod views;
pub mod watch;
mod whole;
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
