//! Questions to a running node: `area-net status`, `nodes`, `node X` and others.
//!
//! The node answers over HTTP on a Unix socket (`http`), which `socket` finds. The answers are the documents of
//! [`answers`](crate::answers): `--json` prints them as they are, otherwise `show` and `table` make text for a terminal of them.
//! Text from other nodes is made harmless in `text`.
//!
//! Answers go to stdout, and everything else to stderr. [`AskError::status`] is the exit status.

mod args;
mod error;
mod explained;
#[cfg(test)]
mod fake;
#[cfg(feature = "top")]
pub(crate) mod follow;
mod http;
mod ping;
mod show;
mod socket;
mod stream;
mod table;
pub(crate) mod text;
mod times;
mod wait;

use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

pub use self::args::{Common, EventArgs, GraphArgs, GraphFormat, PingArgs, Question, WaitArgs};
pub use self::error::AskError;
pub(crate) use self::http::read_answer;
use self::http::{Answer, HttpError, PATIENCE};
use self::show::Screen;
use self::socket::Places;
pub use self::stream::{Stream, duration, stream};
pub(crate) use self::times::parse as time;
use crate::answers::types::{self, Event, Events};
use crate::answers::{FORMAT, Failure, FailureKind};

/// How often `--watch` asks again: at most once a second.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// The longest line of a stream of events. A line has under 1 KiB.
const MAX_LINE: usize = 1024 * 1024;
/// The width of a terminal that doesn't tell its own.
const USUAL_WIDTH: usize = 80;

/// Answers a question on stdout.
///
/// # Errors
/// If there is no answer, or it can't be written.
pub fn run(question: &Question) -> Result<(), AskError> {
    let stdout = io::stdout();
    let terminal = stdout.is_terminal();
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let mut desk = Desk {
        places: Places::of_this_process(),
        patience: PATIENCE,
        screen: Screen {
            width: width_of(terminal),
            colours: terminal && !no_colour,
        },
        height: terminal
            .then(|| size_of_terminal().1)
            .filter(|height| *height > 0),
        out: Box::new(io::BufWriter::new(stdout)),
        wait: Box::new(pause),
        now_ms: now_ms(),
    };
    desk.answer(question)?;
    desk.out.flush()?;
    Ok(())
}

/// `COLUMNS`, if it is exported, else the terminal's width. `None`: the output is no terminal, and lines may be of any length.
fn width_of(terminal: bool) -> Option<usize> {
    let told = std::env::var("COLUMNS")
        .ok()
        .and_then(|value| value.parse().ok());
    let told = told.filter(|width: &usize| *width > 0);
    told.or_else(|| {
        terminal.then(|| match size_of_terminal().0 {
            0 => USUAL_WIDTH,
            width => width,
        })
    })
}

/// Columns and lines; 0 if they are not known.
fn size_of_terminal() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    size.map_or((0, 0), |size| (size.ws_col.into(), size.ws_row.into()))
}

fn now_ms() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "a time such as -5m or 12:34 is relative to the wall clock"
    )]
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_1970.map_or(0, |time| {
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    })
}

/// Waits, but ends if nobody reads stdout any more.
fn pause(time: Duration) -> Result<(), AskError> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let stdout = io::stdout();
    // Without events only errors and a closed reader are reported.
    let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
    let timeout = Timespec::try_from(time).ok();
    match poll(&mut fds, timeout.as_ref()) {
        Ok(0) | Err(_) => Ok(()),
        Ok(_) => Err(AskError::Closed),
    }
}

/// An answer that can be shown.
trait Shown: DeserializeOwned {
    fn show(&self, screen: Screen) -> String;

    /// What is not so, if that is the answer. The exit status then says it too.
    fn falsehood(&self) -> Option<String> {
        None
    }
}

macro_rules! shown {
    ($($document:ident: $show:ident,)*) => {$(
        impl Shown for types::$document {
            fn show(&self, screen: Screen) -> String {
                screen.$show(self)
            }
        }
    )*};
}

shown! {
    Status: status,
    Nodes: nodes,
    Links: links,
    Node: node,
    Link: link,
    Explain: explain,
}

impl Shown for types::Path {
    fn show(&self, screen: Screen) -> String {
        screen.path(self)
    }

    fn falsehood(&self) -> Option<String> {
        let [from, to] = [&self.from, &self.to].map(text::name);
        (!self.reachable).then(|| format!("no path leads from {from} to {to}"))
    }
}

/// What answering needs of the process; tests have their own.
struct Desk {
    places: Places,
    patience: Duration,
    screen: Screen,
    height: Option<usize>,
    out: Box<dyn Write>,
    /// Waits, and returns an error if nobody reads the output any more.
    wait: Box<dyn FnMut(Duration) -> Result<(), AskError>>,
    now_ms: u64,
}

impl Desk {
    fn answer(&mut self, question: &Question) -> Result<(), AskError> {
        match question {
            Question::Status(common) => self.ask::<types::Status>(common, "/v1/status"),
            Question::Nodes {
                labels: true,
                common,
            } => self.labels(common.profile.as_deref()),
            Question::Nodes { common, .. } => self.ask::<types::Nodes>(common, "/v1/nodes"),
            Question::Links(common) => self.ask::<types::Links>(common, "/v1/links"),
            Question::Node { x, common } => {
                let target = format!("/v1/node/{}", encoded(x));
                self.ask::<types::Node>(common, &target)
            }
            Question::Link { x, y, common } => {
                let target = format!("/v1/link/{}/{}", encoded(x), encoded(y));
                self.ask::<types::Link>(common, &target)
            }
            Question::Path { ends, common } => {
                let target = match &ends[..] {
                    [from, to, ..] => with(&with("/v1/path", "from", from), "to", to),
                    ends => ends
                        .iter()
                        .fold("/v1/path".to_owned(), |path, to| with(&path, "to", to)),
                };
                self.ask::<types::Path>(common, &target)
            }
            Question::Ping(args) => self.ping(args),
            Question::Explain(common) => self.ask::<types::Explain>(common, "/v1/explain"),
            Question::Events(args) => self.events(args),
            Question::Graph(args) => self.graph(args),
            Question::Wait(args) => self.wait_for(args),
        }
    }

    /// Asks once, or again and again, and shows the answers.
    fn ask<T: Shown>(&mut self, common: &Common, target: &str) -> Result<(), AskError> {
        let profile = common.profile.as_deref();
        let target = match &common.at {
            Some(at) => with(target, "at", &self.time("--at", at)?.to_string()),
            None => target.to_owned(),
        };
        if common.watch {
            return self.watch::<T>(profile, &target, common.json);
        }
        let body = self.get(profile, &target)?;
        if common.json {
            // A program that reads the document itself may know a later format.
            self.print_document(&body)?;
            self.out.flush()?;
            let what = read::<T>(&body).ok().and_then(|answer| answer.falsehood());
            return what.map_or(Ok(()), |what| Err(AskError::False { what }));
        }
        let answer: T = read(&body)?;
        if let Some(what) = answer.falsehood() {
            return Err(AskError::False { what });
        }
        self.out.write_all(answer.show(self.screen).as_bytes())?;
        Ok(())
    }

    fn watch<T: Shown>(
        &mut self,
        profile: Option<&str>,
        target: &str,
        json: bool,
    ) -> Result<(), AskError> {
        let mut before = String::new();
        loop {
            let body = self.get(profile, target)?;
            let text = if json {
                one_line(&body)?
            } else {
                let answer: T = read(&body)?;
                answer
                    .falsehood()
                    .unwrap_or_else(|| answer.show(self.screen))
            };
            if text != before {
                self.redraw(&text, json)?;
                before = text;
            }
            (self.wait)(WATCH_EVERY)?;
        }
    }

    /// Shows a new text in the place of the last one, if the output is a terminal.
    fn redraw(&mut self, text: &str, json: bool) -> Result<(), AskError> {
        match self.height.filter(|_| !json) {
            Some(height) => {
                let total = text.lines().count();
                let room = height.saturating_sub(1);
                let shown = if total > room {
                    room.saturating_sub(1)
                } else {
                    total
                };
                // From the top; each line clears its rest, and the end clears what is below: nothing flickers.
                self.out.write_all(b"\x1b[H")?;
                for line in text.lines().take(shown) {
                    writeln!(self.out, "{line}\x1b[K")?;
                }
                if total > shown {
                    writeln!(self.out, "… {} more lines\x1b[K", total - shown)?;
                }
                self.out.write_all(b"\x1b[J")?;
            }
            None => writeln!(self.out, "{text}")?,
        }
        self.out.flush()?;
        Ok(())
    }

    fn events(&mut self, args: &EventArgs) -> Result<(), AskError> {
        let mut target = "/v1/events".to_owned();
        if let Some(since) = &args.since {
            target = with(&target, "since", &self.time("--since", since)?.to_string());
        }
        if let Some(name) = &args.name {
            target = with(&target, "name", name);
        }
        if let Some(about) = &args.about {
            target = with(&target, "about", about);
        }
        let profile = args.profile.as_deref();
        if args.follow {
            return self.follow(profile, &with(&target, "follow", "1"), args.json);
        }
        let body = self.get(profile, &target)?;
        if args.json {
            return self.print_document(&body);
        }
        for event in read::<Events>(&body)?.events {
            self.out.write_all(self.screen.event(&event).as_bytes())?;
        }
        Ok(())
    }

    /// Prints events as they happen. An idle stream is no stalled one, so there is no timeout once the answer has begun.
    fn follow(&mut self, profile: Option<&str>, target: &str, json: bool) -> Result<(), AskError> {
        let mut answer = self.open(profile, target)?;
        let mut buffer = Vec::new();
        loop {
            // Once a second it looks whether anybody still reads.
            let piece = match answer.piece(Some(WATCH_EVERY)) {
                Err(HttpError::Stalled(_)) => {
                    (self.wait)(Duration::ZERO)?;
                    continue;
                }
                other => other?,
            };
            let Some(piece) = piece else {
                return Err(AskError::Unreadable {
                    what: "the node has ended".to_owned(),
                });
            };
            buffer.extend_from_slice(&piece);
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                let line = line.trim_ascii();
                // An empty line, or a document without a name, says that nothing happened.
                let Ok(event) = serde_json::from_slice::<Event>(line) else {
                    continue;
                };
                if json {
                    self.out.write_all(line)?;
                    self.out.write_all(b"\n")?;
                } else {
                    self.out.write_all(self.screen.event(&event).as_bytes())?;
                }
            }
            self.out.flush()?;
            if buffer.len() > MAX_LINE {
                let what = format!("a line is longer than {MAX_LINE} bytes");
                return Err(AskError::Unreadable { what });
            }
        }
    }

    fn graph(&mut self, args: &GraphArgs) -> Result<(), AskError> {
        let format = match args.format {
            GraphFormat::Json => "json",
            GraphFormat::D2 => "d2",
            GraphFormat::Dot => "dot",
            GraphFormat::Graphml => "graphml",
            GraphFormat::Gexf => "gexf",
            GraphFormat::Netjson => "netjson",
            GraphFormat::Mermaid => "mermaid",
            GraphFormat::Stream => "stream",
        };
        let mut target = with("/v1/graph", "format", format);
        if let Some(at) = &args.at {
            target = with(&target, "at", &self.time("--at", at)?.to_string());
        }
        let body = self.get(args.profile.as_deref(), &target)?;
        self.print_document(&body)
    }

    fn labels(&mut self, profile: Option<&str>) -> Result<(), AskError> {
        // Completions are only hints: where several nodes run, the labels of one are better than none.
        let first = self.places.running()?.into_iter().next();
        let profile = profile
            .map(str::to_owned)
            .or(first.map(|node| node.profile));
        let body = self.get(profile.as_deref(), "/v1/nodes")?;
        let nodes = read::<types::Nodes>(&body)?.nodes.into_iter();
        let mut labels: Vec<String> = nodes
            .map(|node| text::label(&node.label, &node.id))
            .collect();
        labels.sort();
        for label in labels {
            writeln!(self.out, "{label}")?;
        }
        Ok(())
    }

    fn time(&self, option: &str, text: &str) -> Result<u64, AskError> {
        times::parse(text, self.now_ms).ok_or_else(|| AskError::BadArgument {
            argument: format!("{option} {}", text::clean(text)),
            what: "not a time; write -5m, 12:34:56, 2026-11-30T12:34:56Z, or Unix seconds or ms"
                .to_owned(),
        })
    }

    fn get(&self, profile: Option<&str>, target: &str) -> Result<Vec<u8>, AskError> {
        Ok(self.open(profile, target)?.body()?)
    }

    /// The answer, unless the node refused.
    fn open(&self, profile: Option<&str>, target: &str) -> Result<Answer, AskError> {
        let node = self.places.find(profile)?;
        let answer = http::get(&node.socket, target, self.patience)?;
        let status = answer.status;
        if status == 200 {
            return Ok(answer);
        }
        let body = answer.body()?;
        let failure = read::<Failure>(&body).or_else(|error| match error {
            later @ AskError::LaterFormat { .. } => Err(later),
            _ => Ok(Failure::new(
                FailureKind::Other,
                format!("the node answered with HTTP status {status}"),
                String::new(),
            )),
        })?;
        let failure = Box::new(failure);
        Err(AskError::Refused { failure, status })
    }

    /// Prints a document as it is, with a line break at its end.
    fn print_document(&mut self, body: &[u8]) -> Result<(), AskError> {
        self.out.write_all(body)?;
        if !body.ends_with(b"\n") {
            self.out.write_all(b"\n")?;
        }
        Ok(())
    }
}

/// Reads a document, if its format is known.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, AskError> {
    #[derive(Deserialize)]
    struct Head {
        #[serde(default)]
        format: Option<u64>,
    }
    let unreadable = |error: serde_json::Error| AskError::Unreadable {
        what: error.to_string(),
    };
    let head: Head = serde_json::from_slice(body).map_err(unreadable)?;
    // A document without a format is of the first one: the text of an error may lack it.
    match head.format {
        Some(found) if found != u64::from(FORMAT) => Err(AskError::LaterFormat {
            found,
            known: FORMAT,
        }),
        _ => serde_json::from_slice(body).map_err(unreadable),
    }
}

/// A document on one line.
fn one_line(body: &[u8]) -> Result<String, AskError> {
    let document: serde_json::Value =
        serde_json::from_slice(body).map_err(|error| AskError::Unreadable {
            what: error.to_string(),
        })?;
    Ok(document.to_string())
}

/// The target with one more parameter.
fn with(target: &str, key: &str, value: &str) -> String {
    let mark = if target.contains('?') { '&' } else { '?' };
    format!("{target}{mark}{key}={}", encoded(value))
}

/// Percent-encodes a text for a part of a path or a parameter.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric()
            || b"-_~".contains(&byte)
            || (byte == b'.' && text.len() > 2)
        {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
