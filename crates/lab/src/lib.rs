//! The harness around the `area-net` binary.
//!
//! ```text
//! cargo run -p area-net-lab --release -- lab      scenarios under the kernel's `tc netem`, with the promises that must hold
//!                                        places   scenarios behind routers, NATs and firewalls
//!                                        network  start, death and idle cost of 5 to 100 processes
//!                                        netem    the built-in impairment against the kernel's
//!                                        same     two builds side by side: does a change keep behaviour?
//!                                        soak     hours of churn, loss and attack at once
//! ```
//!
//! Each subcommand is one module with its own documentation. `shared` holds the parts that several of them need. Without
//! `--binary`, the harness builds the binary first, see `shared::binary`.
//!
//! The program is this crate's `main.rs`. Nothing of the library is for other programs but [`decoders`], which fuzzing reaches through it.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a harness reads the clock, waits, and prints what it finds"
)]

mod attack;
pub mod decoders;
mod lab;
mod netem;
mod network;
mod places;
mod same;
mod shared;
mod soak;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Plays, measures and compares the real area-net binary.
#[derive(Debug, Parser)]
#[command(name = "area-net-lab", about, long_about = None)]
struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Attack(attack::Options),
    Lab(lab::Options),
    Network(network::Options),
    Netem(netem::Options),
    Places(places::Options),
    Same(same::Options),
    Soak(soak::Options),
}

/// Executes the command line.
#[must_use]
pub fn main() -> ExitCode {
    let (name, end) = match Options::parse().what {
        What::Attack(options) => ("attack", attack::run(options)),
        What::Lab(options) => ("lab", lab::run(&options)),
        What::Network(options) => ("network", network::run(options)),
        What::Netem(options) => ("netem", netem::run(&options)),
        What::Places(options) => ("places", places::run(&options)),
        What::Same(options) => ("same", same::run(&options)),
        What::Soak(options) => ("soak", soak::run(options)),
    };
    end.unwrap_or_else(|error| {
        eprintln!("{name}: {error:#}");
        let bad_input = lab::is_bad_input(&error) || error.is::<shared::BadInput>();
        ExitCode::from(if bad_input { 2 } else { 1 })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory as _;

    use super::Options;

    #[test]
    fn the_help_has_a_line_of_its_own_for_each_command() {
        let lab = Options::command();
        let mut lines = BTreeSet::from([lab.get_about().unwrap().to_string()]);
        for command in lab.get_subcommands() {
            let about = command.get_about().unwrap().to_string();
            assert!(lines.insert(about), "{}", command.get_name());
        }
    }
}
