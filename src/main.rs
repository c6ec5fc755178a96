//! The program: reads what it was given, runs a node, and says once what went wrong.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use area_net::cli::Cli;
use area_net::log::{self, LogError};
use area_net::node::{self, NodeError};
use area_net::settings::{Settings, SettingsError};
use clap::Parser as _;

fn main() -> ExitCode {
    let Err(error) = run(&Cli::parse()) else {
        return ExitCode::SUCCESS;
    };
    // Where nobody listens, the exit status still tells.
    let _ = writeln!(std::io::stderr(), "area-net: error: {error:#}");
    ExitCode::from(if is_bad_input(&error) { 2 } else { 1 })
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let settings = Settings::load(&cli.config_dir, cli.profile.as_deref(), &cli.settings)?;
    log::init(settings.log_level, settings.log_format)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("can't start the runtime")?;
    // As a task of its own: waking what `block_on` waits for would cost two system calls each time.
    runtime.block_on(async { tokio::spawn(node::run(settings)).await })??;
    Ok(())
}

fn is_bad_input(error: &anyhow::Error) -> bool {
    let log = error.downcast_ref().is_some_and(LogError::is_bad_input);
    let node = error.downcast_ref().is_some_and(NodeError::is_bad_input);
    error.is::<SettingsError>() || log || node
}
