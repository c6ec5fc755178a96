//! The run as it is seen: written to a file, played back in the report, or shown while it runs.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use flate2::read::GzDecoder;
use tokio::time::Instant;

use super::outputs::write_file;
use super::{SimArgs, SimError, seconds};
use crate::chronicle::{Archive, Limit, Notes};
use crate::membership::Time;
use crate::recording::{self, file::is_packed};
use crate::sim::report::ViolationReport;
use crate::sim::report::html::MOST_PLAYED;
use crate::sim::{Recorder, Scenario};
use crate::web::{Listener, Site, serve};

/// The most bytes of history of a run that is shown, of whatever age: hours at a hundred nodes. At half, a page can't go back as far;
/// twice of it takes half a GiB of memory.
const SHOWN: Limit = Limit {
    bytes: 256 << 20,
    age: Duration::MAX,
};

/// How long a wait lasts until it looks for Ctrl-C again. A person doesn't notice half of it, nor twice of it.
const DOZE: Duration = Duration::from_millis(50);

/// The flags for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct SeeingArgs {
    /// Write what a node sees as a recording for area-net replay; packed with gzip if the name ends in .gz
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,

    /// The node whose view is recorded [default: the first one that runs]; when it ends, the next one goes on
    #[arg(long, value_name = "NODE")]
    pub viewer: Option<usize>,

    /// Show the run on a page while it runs, and after it until Ctrl-C [default: a free port of ::1]
    #[arg(long, value_name = "ADDR:PORT", num_args = 0..=1, require_equals = true, default_missing_value = "[::1]:0")]
    pub serve: Option<SocketAddr>,

    /// With --serve: virtual seconds a second [default: 1]
    #[arg(long, value_name = "X", requires = "serve")]
    pub speed: Option<String>,
}

/// Whether the report of a run of so many nodes contains it.
pub(super) fn plays_back(nodes: usize) -> bool {
    nodes <= MOST_PLAYED
}

/// The recorder that the command line needs.
pub(super) fn recorder(
    args: &SimArgs,
    scenario: &Scenario,
    showing: Option<&Showing>,
) -> Result<Option<Recorder>, SimError> {
    let viewer = args.seeing.viewer;
    let refuse = |what: String| {
        let flag = format!("--viewer {}", viewer.unwrap_or_default());
        Err(SimError::Flag { flag, what })
    };
    if viewer.is_some_and(|viewer| viewer >= scenario.nodes) {
        return refuse(format!("the nodes are 0 to {}", scenario.nodes - 1));
    }
    let in_report = args.html.is_some() && plays_back(scenario.nodes);
    let kept = args.seeing.record.is_some() || in_report;
    if !kept && showing.is_none() {
        return match viewer {
            Some(_) => refuse("nothing is recorded; add --record, --html or --serve".to_owned()),
            None => Ok(None),
        };
    }
    let archive = showing.map(|showing| Arc::clone(&showing.archive));
    Ok(Some(Recorder::new(viewer.unwrap_or(0), kept, archive)))
}

/// Writes the recording, which is packed, as its file wants it.
pub(super) fn write(args: &SimArgs, recording: Option<&[u8]>) -> Result<(), SimError> {
    let (Some(file), Some(packed)) = (&args.seeing.record, recording) else {
        return Ok(());
    };
    if is_packed(file) {
        return write_file(file, packed);
    }
    let mut plain = Vec::new();
    let unpacked = GzDecoder::new(packed).read_to_end(&mut plain);
    unpacked.expect("we packed it");
    write_file(file, &plain)
}

/// The page of a run.
pub(super) struct Showing {
    archive: Arc<Archive>,
    at: SocketAddr,
    is_told: bool,
}

impl Showing {
    /// Begins to serve, if the command line says so. It is served until the program ends.
    pub(super) fn begin(args: &SeeingArgs) -> Result<Option<Self>, SimError> {
        let Some(addr) = args.serve else {
            return Ok(None);
        };
        let (listener, at) = recording::listen(addr).map_err(SimError::Show)?;
        let archive = Arc::new(Archive::new(SHOWN, Notes::default()));
        let site = Arc::new(Site::recorded(Arc::clone(&archive)));
        let failed = |source| SimError::Show(recording::ShowError::Listen { addr, source });
        let thread = std::thread::Builder::new().name("web".to_owned());
        let serving = thread.spawn(move || serve_on(site, listener));
        serving.map_err(failed)?;
        let is_told = false;
        Ok(Some(Self {
            archive,
            at,
            is_told,
        }))
    }

    /// Tells the address, once there is something to see.
    pub(super) fn tell(&mut self) {
        if !self.is_told {
            self.is_told = true;
            say(&format!("the run is shown at http://{}/", self.at));
        }
    }

    /// Goes on until Ctrl-C, though the run is over.
    pub(super) fn end(self, violation: Option<&ViolationReport>, stop: &AtomicBool) {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let how = match violation {
            Some(violation) => format!(
                "an invariant was violated after {} ({})",
                seconds(violation.at_ms),
                violation.rule
            ),
            None => "the run is over".to_owned(),
        };
        say(&format!("{how}; http://{}/ shows it until Ctrl-C", self.at));
        while !stop.load(Ordering::Relaxed) {
            std::thread::park_timeout(DOZE);
        }
    }
}

fn serve_on(site: Arc<Site>, listener: Listener) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(serve(site, vec![listener])),
        Err(error) => say(&format!("the page can't be served: {error}")),
    }
}

fn say(what: &str) {
    // If nobody reads it, the run goes on.
    let _closed = writeln!(io::stderr(), "area-net: {what}");
}

/// Lets virtual time pass as fast as a person wants to see it. It only waits between events, so the run stays what it is.
pub(super) struct Pace {
    begun: Instant,
    /// Virtual seconds a second. `None`: as fast as it goes.
    speed: Option<f64>,
}

impl Pace {
    pub(super) fn new(args: &SeeingArgs) -> Result<Self, SimError> {
        let speed = match (&args.speed, args.serve) {
            (Some(text), _) => {
                let speed = text
                    .parse()
                    .ok()
                    .filter(|it: &f64| *it >= 0.001 && *it <= 1e6);
                let wrong = || SimError::Flag {
                    flag: format!("--speed {text}"),
                    what: "write a number from 0.001 to 1000000".to_owned(),
                };
                Some(speed.ok_or_else(wrong)?)
            }
            (None, Some(_)) => Some(1.0),
            (None, None) => None,
        };
        let begun = Instant::now();
        Ok(Self { begun, speed })
    }

    /// Waits until virtual time may be so late.
    pub(super) fn wait(&mut self, now: Time, stop: &AtomicBool) {
        let Some(speed) = self.speed else {
            return;
        };
        let due = self.begun + now.div_f64(speed);
        while !stop.load(Ordering::Relaxed) {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::park_timeout(left.min(DOZE));
        }
    }
}
