//! The program: it parses the command line, runs a node or a simulation, and prints an error once.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use area_net::admission::{self, command::NetworkError};
use area_net::ask::{self, AskError};
use area_net::authority;
use area_net::authority::office::OfficeError;
use area_net::chronicle::Notes;
use area_net::cli::{self, Cli, Command, NetworkCommand};
use area_net::log::{self, LogError};
use area_net::node::{self, NodeError};
use area_net::recording::{self, RecordingError};
use area_net::settings::{KEY_FILE_VARIABLE, Settings, SettingsError};
use area_net::sim::command::{self, SimArgs, SimError};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The time within which a second Ctrl-C or SIGTERM counts as the first. A shell or script that forwards signals may deliver one twice.
const AGAIN: Duration = Duration::from_secs(1);

/// The fewest file descriptors with which a node starts. It holds 14 while nothing happens, a write takes three for a moment, and
/// answering questions six. At half, it may fail in the middle of its start; at double, limits that suffice are refused.
const LEAST_DESCRIPTORS: u64 = 24;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    log::report_panics();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = Cli::of(&arguments).unwrap_or_else(|error| error.exit());
    let Err(error) = run(&cli) else {
        return ExitCode::SUCCESS;
    };
    let status = status(&error);
    if status != 0 {
        // If stderr is closed, the exit status still reports the error.
        let error = format!("area-net: error: {error:#}");
        let _ = writeln!(std::io::stderr(), "{}", log::plain::message(&error));
    }
    ExitCode::from(status)
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    match &cli.command {
        Some(Command::Sim(args)) => simulate(args),
        Some(Command::Ask(question)) => Ok(ask::run(question)?),
        #[cfg(feature = "top")]
        Some(Command::Top { profile }) => Ok(area_net::top::run(profile.as_deref())?),
        Some(Command::Completions { shell }) => {
            cli::completions(*shell).context("can't write the completions")
        }
        Some(Command::Man { dir }) => cli::man(dir.as_deref()).context("can't write the manual"),
        Some(Command::Network(NetworkCommand::Key(command))) => {
            Ok(admission::command::run(command)?)
        }
        Some(Command::Network(NetworkCommand::Authority(command))) => {
            Ok(authority::command::run(command)?)
        }
        Some(Command::Record(args)) => Ok(recording::record(args)?),
        Some(Command::Replay(args)) => Ok(recording::replay(args)?),
        None => run_node(cli),
    }
}

/// Runs a simulation on a thread of its own. The first Ctrl-C or SIGTERM ends it with a report, a second one at once.
fn simulate(args: &SimArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("can't start the runtime")?;
    let first = {
        let _inside = runtime.enter();
        Interrupts::listen()
    };
    let stop = Arc::new(AtomicBool::new(false));
    let (args, told) = (args.clone(), stop.clone());
    let (over, mut ended) = tokio::sync::oneshot::channel();
    let run = std::thread::spawn(move || {
        let result = command::run(&args, &told);
        // The send fails if the receiver has returned already.
        let _ = over.send(());
        result
    });
    runtime.block_on(async {
        tokio::select! {
            biased;
            _ = &mut ended => return,
            _ = first.next() => stop.store(true, Ordering::Relaxed),
        }
        // See `AGAIN`.
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
            // The simulation may not come to an end: it may block on an input.
            status = Interrupts::listen().next() => std::process::exit(status),
        }
    });
    run.join()
        .expect("a panic of the simulation is printed by its thread")?;
    Ok(())
}

/// Waits for Ctrl-C and SIGTERM. Signals from before it listens do not count.
struct Interrupts([(Option<Signal>, i32); 2]);

impl Interrupts {
    fn listen() -> Self {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
        // If signals are not available, the simulation still ends by itself.
        Self(kinds.map(|kind| (signal(kind).ok(), 128 + kind.as_raw_value())))
    }

    /// The exit status of a program that the next signal ended.
    async fn next(self) -> i32 {
        let [int, term] = self.0;
        tokio::select! {
            biased;
            status = one(int) => status,
            status = one(term) => status,
        }
    }
}

async fn one((signal, status): (Option<Signal>, i32)) -> i32 {
    let received = match signal {
        Some(mut signal) => signal.recv().await,
        None => None,
    };
    match received {
        Some(()) => status,
        None => std::future::pending().await,
    }
}

fn run_node(cli: &Cli) -> anyhow::Result<()> {
    let config_dir = cli.config_dir.as_ref().context("-c is missing")?;
    let key_file = std::env::var_os(KEY_FILE_VARIABLE);
    let (profile, key_file) = (cli.profile.as_deref(), key_file.as_deref());
    let settings = Settings::load(config_dir, profile, key_file, &cli.settings)?;
    check_descriptors()?;
    let notes = Notes::default();
    let _lines = log::init(settings.log_level, settings.log_format, notes.clone())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("can't start the runtime")?;
    // The node is a task of its own: waking the future of `block_on` itself would cost two system calls each time.
    runtime.block_on(async { tokio::spawn(node::run(settings, notes)).await })??;
    Ok(())
}

/// Refuses to start with too few file descriptors: some libraries panic without one.
fn check_descriptors() -> anyhow::Result<()> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    match limit {
        Some(limit) if limit < LEAST_DESCRIPTORS => anyhow::bail!(
            "this process may open only {limit} files, and a node needs {LEAST_DESCRIPTORS}; raise the limit (ulimit -n)"
        ),
        _ => Ok(()),
    }
}

/// The exit status of an error. 0: there is nothing to report.
fn status(error: &anyhow::Error) -> u8 {
    if let Some(error) = error.downcast_ref::<AskError>() {
        return error.status();
    }
    if let Some(error) = error.downcast_ref::<RecordingError>() {
        return error.status();
    }
    #[cfg(feature = "top")]
    if let Some(error) = error.downcast_ref::<area_net::top::TopError>() {
        return error.status();
    }
    let log = error.downcast_ref().is_some_and(LogError::is_bad_input);
    let node = error.downcast_ref().is_some_and(NodeError::is_bad_input);
    let sim = error.downcast_ref().is_some_and(SimError::is_bad_input);
    let network = error.downcast_ref().is_some_and(NetworkError::is_bad_input);
    let network = network || error.is::<OfficeError>();
    let is_bad_input = error.is::<SettingsError>() || log || node || sim || network;
    if is_bad_input { 2 } else { 1 }
}
