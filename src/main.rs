//! The program: reads what it was given, runs a node, and says once what went wrong.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use area_net::cli::{Cli, Command};
use area_net::log::{self, LogError};
use area_net::node::{self, NodeError};
use area_net::settings::{Settings, SettingsError};
use area_net::sim::command::{self, SimArgs, SimError};
use clap::Parser as _;

/// The exit status of a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;
/// A Ctrl-C so soon after another one is the same.
const AGAIN: Duration = Duration::from_secs(1);

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let Err(error) = run(&Cli::parse()) else {
        return ExitCode::SUCCESS;
    };
    // Where nobody listens, the exit status still tells.
    let _ = writeln!(std::io::stderr(), "area-net: error: {error:#}");
    ExitCode::from(if is_bad_input(&error) { 2 } else { 1 })
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    match &cli.command {
        Some(Command::Sim(args)) => simulate(args),
        None => run_node(cli),
    }
}

/// Simulates on a thread of its own, and waits for it, for Ctrl-C, which ends it with a report, or for a second one, which ends it.
fn simulate(args: &SimArgs) -> anyhow::Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    let (args, told) = (args.clone(), stop.clone());
    let (over, mut ended) = tokio::sync::oneshot::channel();
    let run = std::thread::spawn(move || {
        let result = command::run(&args, &told);
        // Nobody else holds the other end.
        let _ = over.send(());
        result
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("can't start the runtime")?;
    runtime.block_on(async {
        tokio::select! {
            biased;
            _ = &mut ended => return,
            _ = tokio::signal::ctrl_c() => stop.store(true, Ordering::Relaxed),
        }
        // Whoever passes signals on may send one twice.
        if tokio::time::timeout(AGAIN, &mut ended).await.is_ok() {
            return;
        }
        let _ = writeln!(
            std::io::stderr(),
            "area-net: ending with a report; Ctrl-C again ends without one"
        );
        tokio::select! {
            biased;
            _ = &mut ended => {}
            // It may be reading what never ends.
            () = second_ctrl_c() => std::process::exit(INTERRUPTED),
        }
    });
    run.join()
        .expect("a simulation that panics says so itself")?;
    Ok(())
}

/// Ctrl-C, from now on: what came before is not remembered.
async fn second_ctrl_c() {
    // Where signals can't be heard, it ends by itself.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn run_node(cli: &Cli) -> anyhow::Result<()> {
    let config_dir = cli.config_dir.as_ref().context("-c is missing")?;
    let settings = Settings::load(config_dir, cli.profile.as_deref(), &cli.settings)?;
    let _lines = log::init(settings.log_level, settings.log_format)?;
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
    let sim = error.downcast_ref().is_some_and(SimError::is_bad_input);
    error.is::<SettingsError>() || log || node || sim
}
