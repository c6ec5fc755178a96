//! Simulates a network in virtual time, in one process: `area-net sim`.
//!
//! There are two fidelities. With `core`, the real [`membership::Core`](crate::membership::Core) of every node runs, and everything around it is
//! simulated: clocks, connections, links. With `whole`, the whole real
//! [`node::Node`](crate::node::Node) runs, with QUIC, TLS and its event loop, and only clocks, sockets and links are
//! simulated. Scenarios (except Byzantine nodes), invariants, measurements and reports are the same. The same scenario with the same seed
//! gives the same report, byte for byte.
//!
//! From the bottom up; a module knows only those above it in this list:
//! - vocabulary: [`places`], `news` (what nodes report, and what they sent), `key`, `size` (bytes on the wire), `queue`;
//! - [`lines`]: which nodes reach each other, and what happens to packets on the way ([`impair`](crate::impair) decides it);
//!   `window`: spans of virtual time in which nodes run independently;
//! - [`path`]: the state of simulated connections at the core fidelity: ends, and packets in flight. It says what is modelled, and what is not;
//!   [`socket`] and `executor`: the UDP socket and the async runtime under a whole node; `whole`: whole nodes, built on those two;
//! - `host`: one node with everything that belongs to it, and the code of its connections; it may be Byzantine (`liar`, `attack`);
//! - [`world`]: all nodes and virtual time; several threads run a window where that pays;
//! - [`scenario`]: a checked scenario; [`parse`] reads it from files and flags;
//! - [`reach`]: which nodes can be linked, so who must, may and must not show whom;
//! - [`views`]: the true state of the network, and each node's view compared with it; [`watch`]: invariants; [`measure`]: figures of the run; [`toll`]: what attacks cost; [`figures`]: ages and
//!   errors of the round-trip times that views show;
//! - [`recorder`](Recorder): what one node sees of the run, as a recording;
//! - [`play`]: runs a scenario under `watch` and `measure`;
//! - [`report`]: the result as text, as JSON and as a web page;
//! - [`fuzz`]: generates random scenarios, and minimises one that fails;
//! - [`command`]: the subcommand; `room` estimates whether a run fits into memory.
//!
//! Nothing here reads the real clock, except for the progress that [`command`] shows.

pub mod attack;
pub mod command;
mod delays;
mod executor;
pub mod figures;
pub mod fuzz;
mod host;
mod key;
mod liar;
pub mod lines;
pub mod measure;
mod news;
pub mod parse;
pub mod path;
mod people;
pub mod places;
pub mod play;
mod queue;
pub mod reach;
mod recorder;
pub mod report;
mod room;
pub mod scenario;
mod size;
pub mod socket;
pub mod toll;
pub mod views;
pub mod watch;
mod whole;
mod window;
pub mod world;

pub use play::{Ended, Play, Progress};
pub use recorder::Recorder;
pub use report::Report;
pub use scenario::Scenario;

/// Runs a scenario to its end, or until `go_on` returns `false`; it is called now and then.
#[must_use]
pub fn run(scenario: &Scenario, go_on: impl FnMut(&Progress) -> bool) -> Report {
    report_of(scenario, Play::new(scenario), go_on)
}

/// The same for a prepared run.
fn report_of(scenario: &Scenario, play: Play<'_>, go_on: impl FnMut(&Progress) -> bool) -> Report {
    let (ended, measure, world) = play.run(go_on);
    Report::new(scenario, &ended, &measure, &world)
}
