//! Tests of the log.

use std::sync::mpsc;
use std::time::Duration;

use super::*;

/// A terminal that keeps what it was given.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A terminal that was closed.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

impl From<LogFormat> for Shape {
    fn from(format: LogFormat) -> Self {
        Self {
            format,
            colours: false,
            journal: false,
        }
    }
}

fn shown(rust_log: Option<&str>, shape: impl Into<Shape>, tell: impl FnOnce()) -> String {
    let screen = Screen::default();
    let writer = screen.clone();
    let filter = filter(rust_log.map(Into::into), Level::INFO).unwrap();
    let subscriber = subscriber(filter, shape.into(), move || Lossy(writer.clone()), None);
    tracing::subscriber::with_default(subscriber, tell);
    String::from_utf8(screen.0.lock().unwrap().clone()).unwrap()
}

fn tell() {
    tracing::info!(target: "area_net::node", peer = "alice", "link up");
    tracing::debug!(target: "area_net::node", "probe");
    tracing::info!(target: "quinn", "chatter");
    tracing::warn!(target: "quinn", "trouble");
}

#[test]
fn text_contains_time_level_message_and_fields() {
    let text = shown(None, LogFormat::Text, tell);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    let (time, rest) = lines[0].split_once(' ').unwrap();
    assert_eq!(time.len(), "00:00:00.000".len());
    assert_eq!(rest.trim(), "INFO link up peer=\"alice\"");
    assert!(lines[1].ends_with("WARN trouble"), "{text}");
}

#[test]
fn json_is_one_flat_object_a_line() {
    let text = shown(None, LogFormat::Json, tell);
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(first["message"], "link up");
    assert_eq!(first["peer"], "alice");
    assert_eq!(first["level"], "INFO");
    assert_eq!(first["target"], "area_net::node");
}

#[test]
fn lines_for_the_journal_begin_with_their_priority() {
    for format in [LogFormat::Text, LogFormat::Json] {
        let journal = Shape {
            journal: true,
            ..format.into()
        };
        let text = shown(Some("trace"), journal, tell);
        let priorities: Vec<&str> = text.lines().map(|line| &line[..3]).collect();
        assert_eq!(priorities, ["<6>", "<7>", "<6>", "<4>"], "{text}");
        assert!(gap(2, journal).starts_with("<4>"));
        let plain = shown(Some("trace"), format, tell);
        assert!(!plain.contains('<'), "{plain}");
    }
}

#[test]
fn stderr_is_the_journal_only_if_it_is_the_same_file() {
    assert!(!leads_to_journal(None));
    assert!(!leads_to_journal(Some("")));
    assert!(!leads_to_journal(Some("0:0")));
    let stderr = fs::metadata("/proc/self/fd/2").unwrap();
    let same = format!("{}:{}", stderr.dev(), stderr.ino());
    assert!(leads_to_journal(Some(&same)));
}

#[test]
fn rust_log_replaces_the_levels() {
    let text = shown(Some("quinn=info"), LogFormat::Text, tell);
    assert!(
        text.contains("chatter") && !text.contains("link up"),
        "{text}"
    );
    let text = shown(Some(""), LogFormat::Text, tell);
    assert!(text.contains("link up"), "{text}");
}

#[test]
fn a_bad_rust_log_is_named() {
    let error = filter(Some("area_net=loud".into()), Level::INFO).unwrap_err();
    let said = error.to_string();
    assert!(said.contains("RUST_LOG is \"area_net=loud\""), "{said}");
}

#[test]
fn a_closed_terminal_does_not_stop_the_program() {
    let filter = filter(None, Level::TRACE).unwrap();
    let subscriber = subscriber(filter, LogFormat::Text.into(), || Lossy(Closed), None);
    tracing::subscriber::with_default(subscriber, tell);
}

/// A terminal that reports each write, and blocks until the test lets it continue.
struct Still {
    given: mpsc::Sender<()>,
    goes_on: mpsc::Receiver<()>,
    screen: Screen,
}

impl Write for Still {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.given.send(()).unwrap();
        self.goes_on.recv().unwrap();
        self.screen.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_blocked_terminal_delays_nobody_and_dropped_lines_are_reported() {
    for (format, missing) in [
        (LogFormat::Text, "WARN log lines dropped dropped=2"),
        (LogFormat::Json, r#""dropped":2"#),
    ] {
        let screen = Screen::default();
        let ((given, is_given), (go_on, goes_on)) = (mpsc::channel(), mpsc::channel());
        let still = Still {
            given,
            goes_on,
            screen: screen.clone(),
        };
        let (queue, guard) = Queue::to(still, 2, format.into());
        let say = |what: &str| queue.clone().write_all(what.as_bytes()).unwrap();
        say("first\n");
        is_given.recv().unwrap();
        // The queue takes two lines and drops two.
        for line in ["second\n", "third\n", "fourth\n", "fifth\n"] {
            say(line);
        }
        go_on.send(()).unwrap();
        is_given.recv().unwrap();
        // The queue has room again.
        say("sixth\n");
        for _ in 0..3 {
            go_on.send(()).unwrap();
        }
        drop(guard);
        let shown = String::from_utf8(screen.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines[..3], ["first", "second", "third"]);
        assert!(lines[3].contains(missing), "{shown}");
        assert_eq!(lines[4..], ["sixth"]);
    }
}

#[test]
fn the_day_ends_at_midnight() {
    let at = |seconds, ms| time_of_day(Duration::from_secs(seconds) + Duration::from_millis(ms));
    assert_eq!(at(0, 0), "00:00:00.000");
    assert_eq!(at(86_399, 999), "23:59:59.999");
    assert_eq!(at(86_400 + 3661, 7), "01:01:01.007");
}

#[test]
fn no_text_of_others_gets_out_of_its_line() {
    let hostile = "x\n08:00:00.000  INFO node up\r\u{1b}[2J\u{9b}1m\u{202e}";
    for format in [LogFormat::Text, LogFormat::Json] {
        let screen = Screen::default();
        let (queue, guard) = Queue::to(screen.clone(), 8, format.into());
        let filter = filter(None, Level::INFO).unwrap();
        let subscriber = subscriber(filter, format.into(), move || queue.clone(), None);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "area_net::node", peer = hostile, error = %hostile, "{hostile}");
        });
        drop(guard);
        let shown = String::from_utf8(screen.0.lock().unwrap().clone()).unwrap();
        let line = shown.strip_suffix('\n').unwrap();
        let plain = |letter: char| !letter.is_control() && letter != '\u{202e}';
        assert!(line.chars().all(plain), "{line:?}");
    }
}

/// Set in a process of [`a_panic_is_a_line_of_the_log`], to the format of its log.
const PANICS: &str = "AREA_NET_TEST_PANICS";

#[test]
fn panics_here_if_it_is_asked_to() {
    let Some(format) = env::var_os(PANICS) else {
        return;
    };
    report_panics();
    let lines = match format.to_str() {
        Some("none") => None,
        Some("json") => Some(init(Level::INFO, LogFormat::Json, Notes::default()).unwrap()),
        _ => Some(init(Level::INFO, LogFormat::Text, Notes::default()).unwrap()),
    };
    tracing::info!(target: "area_net::node", "before");
    let panics = || panic!("two\nlines, \u{1b}[31mred");
    let thread = std::thread::Builder::new().name("export".to_owned());
    thread.spawn(panics).unwrap().join().unwrap_err();
    tracing::info!(target: "area_net::node", "after");
    drop(lines);
    std::process::exit(7);
}

#[test]
fn a_panic_is_a_line_of_the_log() {
    for (format, begins, line) in [
        (
            "text",
            1,
            r#"ERROR panicked thread="export" place="src/log/tests.rs:"#,
        ),
        ("json", 1, r#""message":"panicked""#),
        (
            "none",
            0,
            r#"area-net: panicked thread="export" place="src/log/tests.rs:"#,
        ),
    ] {
        let this = env::current_exe().unwrap();
        let child = std::process::Command::new(this)
            .args(["--exact", "log::tests::panics_here_if_it_is_asked_to"])
            .args(["--nocapture", "--test-threads=1"])
            .env(PANICS, format)
            .env_remove("RUST_BACKTRACE")
            .env_remove("RUST_LOG")
            .output()
            .unwrap();
        assert_eq!(child.status.code(), Some(7));
        let said = String::from_utf8(child.stderr).unwrap();
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), 1 + 2 * begins, "{said}");
        let told = lines[begins];
        assert!(told.contains(line), "{said}");
        for part in [
            "two",
            "lines",
            "[31mred",
            env!("CARGO_PKG_VERSION"),
            "export",
        ] {
            assert!(told.contains(part), "{part}: {said}");
        }
        assert!(!said.contains('\u{1b}'), "{said:?}");
    }
}
