//! A node's web server as far as the page asks: its files, and the API with what the test puts in.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use area_net::web::page::{self, CONTENT_SECURITY_POLICY};
use serde_json::{Value, json};

/// How long a request may take that the page makes at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// The start of the node, as Unix ms.
pub(crate) const ORIGIN: i64 = 1_764_460_000_000;

#[derive(Default)]
struct State {
    /// Header, keyframe, then whatever a test added.
    lines: Vec<String>,
    /// The answer to `from=…&to=…`.
    past: Vec<String>,
    events: Vec<Value>,
    series: Vec<Value>,
    other_series: Vec<Value>,
    slow: Vec<Value>,
    token: Option<String>,
    /// Streams end, and new ones are refused.
    down: bool,
    /// Paths that were asked for.
    asked: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct Server {
    state: Arc<(Mutex<State>, Condvar)>,
    port: u16,
}

impl Server {
    /// Serves a stream that begins with these values: the header and a keyframe.
    pub(crate) fn start(lines: &[Value]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            state: Arc::default(),
        };
        server.with(|state| state.lines = lines.iter().map(Value::to_string).collect());
        let acceptor = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let server = acceptor.clone();
                // A browser that goes away ends its connection in the middle.
                thread::spawn(move || server.answer(stream).unwrap_or_default());
            }
        });
        server
    }

    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Replaces the lines that new streams begin with, as if the node had been started again.
    pub(crate) fn begin_anew(&self, lines: &[Value]) {
        self.with(|state| state.lines = lines.iter().map(Value::to_string).collect());
    }

    /// Sends a frame to each open stream.
    pub(crate) fn send(&self, frame: &Value) {
        self.with(|state| state.lines.push(frame.to_string()));
    }

    pub(crate) fn set_past(&self, lines: &[Value]) {
        self.with(|state| state.past = lines.iter().map(Value::to_string).collect());
    }

    pub(crate) fn set_events(&self, events: Vec<Value>) {
        self.with(|state| state.events = events);
    }

    pub(crate) fn set_series(&self, series: Vec<Value>) {
        self.with(|state| state.series = series);
    }

    pub(crate) fn set_other_series(&self, series: Vec<Value>) {
        self.with(|state| state.other_series = series);
    }

    pub(crate) fn set_slow(&self, causes: Vec<Value>) {
        self.with(|state| state.slow = causes);
    }

    pub(crate) fn require(&self, token: &str) {
        self.with(|state| state.token = Some(token.to_owned()));
    }

    /// Ends all streams and refuses new ones, or serves again.
    pub(crate) fn set_down(&self, down: bool) {
        self.with(|state| state.down = down);
    }

    /// Waits until a path with this part was asked for.
    pub(crate) fn wait_for_request(&self, part: &str) {
        let (state, changed) = &*self.state;
        let missing = |state: &mut State| !state.asked.iter().any(|path| path.contains(part));
        let (_state, waited) = changed
            .wait_timeout_while(state.lock().unwrap(), PATIENCE, missing)
            .unwrap();
        assert!(!waited.timed_out(), "nothing asked for {part}");
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.state.0.lock().unwrap().asked.clone()
    }

    fn with(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.0.lock().unwrap());
        self.state.1.notify_all();
    }

    fn answer(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut input = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        input.read_line(&mut line)?;
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut token = None;
        loop {
            line.clear();
            if input.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            if name.eq_ignore_ascii_case("authorization") {
                token = value.trim().strip_prefix("Bearer ").map(str::to_owned);
            }
        }
        self.with(|state| state.asked.push(path.clone()));
        self.route(stream, &path, token.as_deref())
    }

    fn route(&self, mut stream: TcpStream, path: &str, token: Option<&str>) -> std::io::Result<()> {
        let file = if path == "/" {
            Some("index.html")
        } else {
            path.strip_prefix("/page/")
        };
        if let Some(asset) = file.and_then(page::asset) {
            return reply(&mut stream, 200, asset.content_type, asset.bytes);
        }
        match path {
            "/logic.html" => {
                let html = "<!doctype html><title>logic</title><script type=module src=/logic.js></script>";
                return reply(&mut stream, 200, "text/html", html.as_bytes());
            }
            "/logic.js" => {
                return reply(
                    &mut stream,
                    200,
                    "text/javascript",
                    include_bytes!("logic.js"),
                );
            }
            _ => {}
        }
        let (down, wanted) = {
            let state = self.state.0.lock().unwrap();
            (state.down, state.token.clone())
        };
        if down {
            return fail(&mut stream, 503, "the node is stopping");
        }
        if wanted.is_some() && wanted.as_deref() != token {
            return fail(&mut stream, 401, "this address asks for a token");
        }
        if path.starts_with("/v1/stream?from=live") {
            return self.stream(stream);
        }
        let answer = {
            let state = self.state.0.lock().unwrap();
            if path.starts_with("/v1/stream?") {
                let text = state.past.join("\n");
                drop(state);
                return reply(&mut stream, 200, "application/x-ndjson", text.as_bytes());
            }
            if path == "/v1/history" {
                json!({"format": 1, "from_ms": ORIGIN + 1_000, "to_ms": ORIGIN + 101_000})
            } else if path == "/v1/events" {
                json!({"format": 1, "events": state.events})
            } else if path.starts_with("/v1/explain") {
                json!({"format": 1, "slow": state.slow})
            } else if path.starts_with("/v1/link/") {
                json!({"format": 1, "series": state.series, "other_series": state.other_series})
            } else {
                drop(state);
                return fail(&mut stream, 404, "no such path");
            }
        };
        reply(
            &mut stream,
            200,
            "application/json",
            answer.to_string().as_bytes(),
        )
    }

    // Sends each line as it comes, until the test stops the server or the browser leaves.
    fn stream(&self, mut stream: TcpStream) -> std::io::Result<()> {
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\nconnection: close\r\n\r\n"
        )?;
        let (state, changed) = &*self.state;
        let mut sent = 0;
        loop {
            let lines: Vec<String> = {
                let state = changed
                    .wait_while(state.lock().unwrap(), |state| {
                        state.lines.len() == sent && !state.down
                    })
                    .unwrap();
                if state.down {
                    return Ok(());
                }
                state.lines[sent..].to_vec()
            };
            for line in &lines {
                writeln!(stream, "{line}")?;
            }
            stream.flush()?;
            sent += lines.len();
        }
    }
}

fn fail(stream: &mut TcpStream, status: u16, what: &str) -> std::io::Result<()> {
    let body = json!({"error": {"what": what, "hint": ""}}).to_string();
    reply(stream, status, "application/json", body.as_bytes())
}

fn reply(
    stream: &mut TcpStream,
    status: u16,
    content_type: &str,
    body: &[u8],
) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-security-policy: {CONTENT_SECURITY_POLICY}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len(),
    )?;
    stream.write_all(body)?;
    stream.flush()
}
