//! `area-net record`: writes what a node streams to a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::file::{Writer, is_packed};
use super::{RecordArgs, RecordingError, failed, runtime};
use crate::ask::{Stream, duration, stream};
use crate::signals::Stopping;

/// How long a line may wait before it is in the file. A kill loses that much. At half, packing works 3 % worse; at double, a kill loses
/// two seconds.
const FLUSH: Duration = Duration::from_secs(1);

/// Why a recording ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Asked,
    Over,
    NodeEnded,
}

/// Executes the command line.
///
/// # Errors
/// When no node runs, an argument is invalid, or the file can't be written.
pub fn record(args: &RecordArgs) -> Result<(), RecordingError> {
    let lasts = args.lasts.as_deref();
    let lasts = lasts.map(|text| duration("--for", text)).transpose()?;
    let stream = stream(args.profile.as_deref(), args.from.as_deref())?;
    // Before signals are listened for: a pipe that nobody reads makes us wait, and Ctrl-C must end that.
    let file = args.file.as_path();
    let to: Box<dyn Write> = match file == Path::new("-") {
        true => Box::new(io::stdout()),
        false => Box::new(create(file)?),
    };
    runtime()?.block_on(async {
        let mut stop = Stopping::listen().map_err(failed("listen for signals"))?;
        say(&format!(
            "recording {} to {}",
            stream.profile,
            file.display()
        ));
        let over = lasts.map(|lasts| Instant::now() + lasts);
        let pieces = read(stream).map_err(failed("start a thread"))?;
        let written = follow(pieces, Writer::new(to, is_packed(file)), over, &mut stop).await;
        let (end, count) = written.map_err(failed(format!("write to {}", file.display())))?;
        let why = match end {
            End::Asked | End::Over => "",
            End::NodeEnded => "the node ended; ",
        };
        say(&format!("{why}{count} lines recorded"));
        Ok(())
    })
}

fn say(what: &str) {
    // If nobody reads it, the recording goes on.
    let _closed = writeln!(io::stderr(), "area-net: {what}");
}

fn create(file: &Path) -> Result<File, RecordingError> {
    let open = |source| RecordingError::Open {
        file: file.to_owned(),
        source,
    };
    if file.metadata().is_ok_and(|it| it.is_file()) {
        let what = format!(
            "{} exists already; remove it, or give another name",
            file.display()
        );
        return Err(RecordingError::Argument(what));
    }
    // A pipe or a device may stand there.
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(file)
        .map_err(open)
}

/// Reads on a thread of its own, which ends with the stream or with the program.
fn read(mut stream: Stream) -> io::Result<mpsc::Receiver<Vec<u8>>> {
    let (to, pieces) = mpsc::channel(1);
    let thread = std::thread::Builder::new().name("stream".to_owned());
    thread.spawn(move || {
        while let Some(piece) = stream.piece() {
            if to.blocking_send(piece).is_err() {
                return;
            }
        }
    })?;
    Ok(pieces)
}

/// Writes whole lines until the stream ends, or somebody asks. Returns why it ended, and the number of lines.
async fn follow<W: Write>(
    mut pieces: mpsc::Receiver<Vec<u8>>,
    mut to: Writer<W>,
    over: Option<Instant>,
    stop: &mut Stopping,
) -> io::Result<(End, usize)> {
    // The beginning of a line, whose end is still to come.
    let mut rest = Vec::new();
    let mut count = 0;
    let mut flush: Option<Instant> = None;
    let end = loop {
        let piece = tokio::select! {
            biased;
            () = stop.asked() => break End::Asked,
            () = at(over) => break End::Over,
            () = at(flush) => {
                to.flush()?;
                flush = None;
                continue;
            }
            piece = pieces.recv() => piece,
        };
        let Some(piece) = piece else {
            break End::NodeEnded;
        };
        rest.extend_from_slice(&piece);
        let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') else {
            continue;
        };
        let lines: Vec<u8> = rest.drain(..=end).collect();
        count += lines.iter().filter(|byte| **byte == b'\n').count();
        to.write(&lines)?;
        flush.get_or_insert_with(|| Instant::now() + FLUSH);
    };
    to.finish()?;
    Ok((end, count))
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
