//! A browser that a test drives: Chromium over WebDriver, which is JSON over HTTP.

use std::env;
use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// How long the browser may take for what takes it a fraction of a second, on a machine that builds at the same time.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a driver is started until it has a port.
const DRIVER_STARTS: usize = 20;

/// One browser at a time: several on a machine with two cores only slow each other down.
static TURN: Mutex<()> = Mutex::new(());

/// The flags with which Chromium runs without a screen, a GPU and any request of its own.
const FLAGS: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
    _profile: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Browser {
    /// Starts a browser with a window of this size. `None`: there is no chromedriver, and the test says so and is skipped. In CI it
    /// fails instead.
    pub(crate) fn start(test: &str, width: u32, height: u32) -> Option<Self> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let (driver, port) = match start_driver() {
            Ok(started) => started,
            Err(error) => {
                assert!(
                    env::var_os("CI").is_none(),
                    "chromedriver can't be started: {error}"
                );
                writeln!(
                    std::io::stderr(),
                    "SKIPPED {test}: chromedriver can't be started ({error}); install chromium-driver"
                )
                .ok();
                return None;
            }
        };
        let profile = tempfile::tempdir().unwrap();
        let mut browser = Self {
            driver,
            port,
            session: String::new(),
            _profile: profile,
            _turn: turn,
        };
        browser.open_session(width, height);
        Some(browser)
    }

    fn open_session(&mut self, width: u32, height: u32) {
        let mut args: Vec<String> = FLAGS.map(str::to_owned).to_vec();
        args.push(format!(
            "--user-data-dir={}",
            self._profile.path().display()
        ));
        args.push(format!("--window-size={width},{height}"));
        let options = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": args},
            "goog:loggingPrefs": {"browser": "ALL"},
            "timeouts": {"script": 30_000},
        }}});
        let session = self.request("POST", "/session", &options);
        session["sessionId"]
            .as_str()
            .unwrap()
            .clone_into(&mut self.session);
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.developer("Emulation.setDeviceMetricsOverride", &size);
    }

    pub(crate) fn open(&self, address: &str) {
        self.command("/url", &json!({"url": address}));
    }

    /// Chooses the colour scheme that the page is asked for, and whether things may move.
    pub(crate) fn prefer(&self, scheme: &str, motion: &str) {
        let features = json!({"features": [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": motion},
        ]});
        self.developer("Emulation.setEmulatedMedia", &features);
    }

    /// Runs a script and returns what it returns. `page` is the page's own object.
    pub(crate) fn run(&self, script: &str) -> Value {
        let script = format!("const page = window.areaNet; {script}");
        self.command("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until an expression is true in the page, and returns it. It is looked at before each frame that the page draws.
    pub(crate) fn wait(&self, expression: &str) -> Value {
        let script = format!(
            "const done = arguments[0]; const look = () => {{ let found; try {{ const page = window.areaNet; found = ({expression}); }} \
             catch {{ found = null; }} if (found) done(found); else setTimeout(look, 15); }}; look();"
        );
        self.request_or(
            &format!("/session/{}/execute/async", self.session),
            &json!({"script": script, "args": []}),
        )
        .unwrap_or_else(|error| {
            let body = self.run("return document.body.innerText");
            panic!(
                "never true: {expression}\n{error}\nthe page says: {body}\nits console: {:?}",
                self.console()
            )
        })
    }

    /// Runs an asynchronous script: it calls `done` with its result.
    pub(crate) fn run_async(&self, script: &str) -> Value {
        let script = format!(
            "const page = window.areaNet; const done = arguments[0]; (async () => {{ {script} }})().catch((error) => done(`FAILED ${{error}}`));"
        );
        self.command("/execute/async", &json!({"script": script, "args": []}))
    }

    /// Goes into the first document inside of this one. Scripts run there from then on.
    pub(crate) fn enter_frame(&self) {
        self.command("/frame", &json!({"id": 0}));
    }

    /// Clicks at a place of the window.
    pub(crate) fn click_at(&self, x: i64, y: i64) {
        self.pointer(&json!([
            {"type": "pointerMove", "duration": 0, "x": x, "y": y},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]));
    }

    /// Drags from one place of the window to another.
    pub(crate) fn drag(&self, from: (i64, i64), to: (i64, i64)) {
        self.pointer(&json!([
            {"type": "pointerMove", "duration": 0, "x": from.0, "y": from.1},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerMove", "duration": 50, "x": i64::midpoint(from.0, to.0), "y": i64::midpoint(from.1, to.1)},
            {"type": "pointerMove", "duration": 50, "x": to.0, "y": to.1},
            {"type": "pointerUp", "button": 0},
        ]));
    }

    fn pointer(&self, actions: &Value) {
        let pointer = json!({"actions": [{"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": actions}]});
        self.command("/actions", &pointer);
    }

    /// Presses keys, one after the other.
    pub(crate) fn press(&self, keys: &str) {
        let actions: Vec<_> = keys
            .chars()
            .flat_map(|key| {
                [
                    json!({"type": "keyDown", "value": key}),
                    json!({"type": "keyUp", "value": key}),
                ]
            })
            .collect();
        self.command(
            "/actions",
            &json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]}),
        );
    }

    /// The warnings and errors on the page's console since the last call.
    pub(crate) fn console(&self) -> Vec<String> {
        let log = self.command("/se/log", &json!({"type": "browser"}));
        let grave = |entry: &&Value| matches!(entry["level"].as_str(), Some("SEVERE" | "WARNING"));
        log.as_array()
            .unwrap()
            .iter()
            .filter(grave)
            .map(|entry| entry["message"].to_string())
            .collect()
    }

    fn developer(&self, command: &str, params: &Value) {
        self.command(
            "/goog/cdp/execute",
            &json!({"cmd": command, "params": params}),
        );
    }

    fn command(&self, path: &str, body: &Value) -> Value {
        self.request("POST", &format!("/session/{}{path}", self.session), body)
    }

    fn request(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, value) = self.send(method, path, body);
        assert_eq!(status, 200, "{method} {path}: {value}");
        value
    }

    fn request_or(&self, path: &str, body: &Value) -> Result<Value, String> {
        match self.send("POST", path, body) {
            (200, value) => Ok(value),
            (_, value) => Err(value["message"].to_string()),
        }
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let body = body.to_string();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.port,
            body.len(),
        )
        .unwrap();
        let mut answer = BufReader::new(stream);
        let mut line = String::new();
        answer.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut length = 0;
        loop {
            line.clear();
            answer.read_line(&mut line).unwrap();
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut text = vec![0; length];
        answer.read_exact(&mut text).unwrap();
        let mut value: Value = serde_json::from_slice(&text).unwrap();
        (status, value["value"].take())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends its browser with the session. A test that failed has nothing to say here.
        if !self.session.is_empty() {
            let path = format!("/session/{}", self.session);
            let _ = self.send("DELETE", &path, &json!({}));
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Starts a driver, and returns it with the port on which it listens.
///
/// It takes a free port of `::1` and needs the same one of `127.0.0.1`. Where another socket has that one, it says so and exits, and
/// only another start chooses another port.
fn start_driver() -> io::Result<(Child, u16)> {
    let mut said = String::new();
    for _ in 0..DRIVER_STARTS {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        for line in lines.by_ref().map_while(Result::ok) {
            if let Some(port) = announced_port(&line) {
                // It must not wait for a reader of what it says later.
                std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
                return Ok((driver, port));
            }
            said.push_str(&line);
            said.push('\n');
        }
        let status = driver.wait()?;
        writeln!(said, "chromedriver ended: {status}").unwrap();
    }
    panic!("chromedriver never said its port in {DRIVER_STARTS} starts:\n{said}");
}

/// The port in the line with which a driver says that it is ready.
fn announced_port(line: &str) -> Option<u16> {
    let (_, port) = line.split_once("successfully on port ")?;
    port.trim_end_matches('.').parse().ok()
}
