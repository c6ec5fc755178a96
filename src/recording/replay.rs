//! `area-net replay`: shows a recording.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::sync::Arc;
use std::time::Duration;

use super::file::Lines;
use super::{RecordingError, ReplayArgs, failed, runtime, show};
use crate::chronicle::lines::{self, Header};
use crate::chronicle::{Archive, Chronicle, Limit};
use crate::signals::Stopping;
use crate::web::{Site, serve};

/// The most bytes of history that are kept; the oldest of a longer recording are left out. It holds some days of a network of a hundred
/// nodes. At half, a long recording is cut sooner; twice of it takes half a GiB of memory.
const HISTORY_BYTES: usize = 256 << 20;

/// A recording in memory.
#[derive(Debug)]
pub struct Loaded {
    /// Its header.
    pub header: Header,
    /// Its history.
    pub chronicle: Chronicle,
    /// What of the file is not shown, and why.
    pub warnings: Vec<String>,
}

/// Loads a recording, up to the first line that can't be read.
///
/// # Errors
/// When it is none, or of a later version, or nothing in it can be shown: the place and why.
pub fn load(from: impl Read + 'static) -> Result<Loaded, String> {
    load_within(from, HISTORY_BYTES)
}

pub(super) fn load_within(from: impl Read + 'static, bytes: usize) -> Result<Loaded, String> {
    let mut lines = Lines::new(from).map_err(|error| format!("line 1: {error}"))?;
    let first = lines.next().ok_or("line 1: the file is empty")?;
    let header = first.map_err(|why| format!("line 1: {why}"))?;
    let header = lines::read_header(header).map_err(|error| error.to_string())?;
    let age = Duration::MAX;
    let mut chronicle = Chronicle::new(Limit { bytes, age });
    let mut cut = None;
    let mut begin_ms = None;
    while let Some(line) = lines.next() {
        let loaded = line.and_then(|line| match lines::read_line(line)? {
            Some(entry) => {
                let loaded = chronicle.load(&header.network, entry);
                loaded.map_err(|error| error.to_string())
            }
            None => Ok(()),
        });
        if let Err(why) = loaded {
            cut = Some(format!("line {}: {why}", lines.number()));
            break;
        }
        if begin_ms.is_none() {
            begin_ms = chronicle.span().map(|span| span.from_ms);
        }
    }
    let Some(span) = chronicle.span() else {
        let end = format!("line {}: no view follows the header", lines.number());
        return Err(cut.unwrap_or(end));
    };
    let mut warnings = Vec::new();
    if let Some(cut) = cut {
        warnings.push(format!("{cut}; the recording is shown up to there"));
    }
    let begin_ms = begin_ms.unwrap_or(span.from_ms);
    if begin_ms < span.from_ms {
        let left_s = (span.from_ms - begin_ms) / 1000;
        warnings.push(format!(
            "the history takes more than {} MiB; its first {left_s} s are left out",
            bytes >> 20
        ));
    }
    Ok(Loaded {
        header,
        chronicle,
        warnings,
    })
}

/// Executes the command line, until Ctrl-C.
///
/// # Errors
/// When the file can't be shown.
pub fn replay(args: &ReplayArgs) -> Result<(), RecordingError> {
    let open = |source| RecordingError::Open {
        file: args.file.clone(),
        source,
    };
    let file = File::open(&args.file).map_err(open)?;
    if file.metadata().map_err(open)?.is_dir() {
        return Err(open(io::ErrorKind::IsADirectory.into()));
    }
    let loaded = load(file).map_err(|what| RecordingError::Bad {
        file: args.file.clone(),
        what,
    })?;
    for warning in &loaded.warnings {
        let file = args.file.display();
        // If nobody reads the warning, the recording is shown all the same.
        let _closed = writeln!(io::stderr(), "area-net: warning: {file}, {warning}");
    }
    let (listener, at) = show::listen(args.addr)?;
    runtime()?.block_on(async {
        let mut stop = Stopping::listen().map_err(failed("listen for signals"))?;
        writeln!(io::stdout(), "http://{at}/").map_err(failed("write to standard output"))?;
        let site = Arc::new(Site::recorded(Arc::new(Archive::of(loaded.chronicle))));
        tokio::select! {
            biased;
            () = stop.asked() => {}
            () = serve(site, vec![listener]) => {}
        }
        Ok(())
    })
}
