//! The real binary as processes on loopback, each test in a folder of its own, and what the nodes show in files and log events.

mod ports;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use area_net::events::EventName;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use ports::free_ports;

/// How long anything may take on a busy machine. Promised times have bounds of their own.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with the shipped configuration, and the network of the nodes that run in it.
pub(crate) struct Desk {
    dir: TempDir,
    /// Unique, so that nodes of two tests never link even if they reuse a port.
    pub(crate) network: String,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("config/network");
        fs::create_dir_all(&folder).unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/network");
        for entry in fs::read_dir(shipped).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
        }
        let network = format!("test-{}-{}", std::process::id(), ports(1)[0].port());
        Self { dir, network }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file of targets and returns the setting that names it.
    pub(crate) fn targets(&self, profile: &str, targets: &[SocketAddr]) -> String {
        let file = format!("{profile}-targets.json");
        fs::write(self.path(&file), serde_json::to_vec(targets).unwrap()).unwrap();
        format!("network.controller.target.path={file}")
    }

    /// The command that runs a profile at an address.
    pub(crate) fn command(&self, profile: &str, addr: SocketAddr, settings: &[&str]) -> Command {
        let file = self.path(&format!("config/network/{profile}.toml"));
        if !file.exists() {
            fs::write(file, "").unwrap();
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_area-net"));
        command
            .current_dir(self.dir.path())
            .env_remove("RUST_LOG")
            .args(["-c", "config", "-p", profile])
            .args(["-s", "log.format=json"])
            .args(["-s", &format!("network.name={}", self.network)])
            .args([
                "-s",
                &format!("network.controller.listen.port={}", addr.port()),
            ])
            .args(["-s", "network.controller.target.path="]);
        for setting in settings {
            command.args(["-s", setting]);
        }
        command
    }

    /// Starts a profile, which logs to `<profile>.log`.
    pub(crate) fn start(&self, profile: &str, addr: SocketAddr, settings: &[&str]) -> Process {
        self.start_by(profile, addr, &mut self.command(profile, addr, settings))
    }

    /// Starts a profile by such a command; it logs to `<profile>.log`.
    pub(crate) fn start_by(
        &self,
        profile: &str,
        addr: SocketAddr,
        command: &mut Command,
    ) -> Process {
        let log = fs::File::create(self.log_of(profile)).unwrap();
        self.spawn(profile, addr, command.stderr(log))
    }

    /// Runs such a command; its stderr goes wherever the command says.
    pub(crate) fn spawn(&self, profile: &str, addr: SocketAddr, command: &mut Command) -> Process {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null());
        Process {
            child: command.spawn().unwrap(),
            addr,
            log: self.log_of(profile),
            files: self.path(&format!("profiles/{profile}")),
        }
    }

    fn log_of(&self, profile: &str) -> PathBuf {
        self.path(&format!("{profile}.log"))
    }
}

/// Addresses on loopback, with [free ports](free_ports).
pub(crate) fn ports(count: usize) -> Vec<SocketAddr> {
    let ports = free_ports(count).into_iter();
    ports
        .map(|port| SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port))
        .collect()
}

/// A node that runs; it is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) addr: SocketAddr,
    log: PathBuf,
    files: PathBuf,
}

impl Process {
    /// Everything that it wrote to stderr, for the message of a failed test. No test reads it.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The lines that it logged, as objects. A line that it hasn't finished yet is left out.
    pub(crate) fn logged(&self) -> Vec<Value> {
        let log = self.log();
        let lines = log.lines().map(serde_json::from_str);
        lines.filter_map(Result::ok).collect()
    }

    /// The lines that it logged about an event.
    pub(crate) fn events(&self, event: EventName) -> Vec<Value> {
        let mut lines = self.logged();
        lines.retain(|line| line["message"] == event.as_str());
        lines
    }

    /// The JSON in a file of its profile; `None` while there is no such file.
    pub(crate) fn file(&self, name: &str) -> Option<Value> {
        serde_json::from_slice(&fs::read(self.files.join(name)).ok()?).ok()
    }

    /// Its picture; empty while it has written none.
    pub(crate) fn picture(&self) -> Picture {
        self.file("network.json")
            .map_or_else(Picture::default, |json| Picture::of(&json))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        let ended = || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        };
        until("the process ends", ended).await;
        status.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // This fails if the process has ended already, which is as well.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What `network.json` shows, by label. Where several nodes have one label, it means one that is up, if any is; the others are listed
/// by their id as well.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    /// The state, and when it last changed, in Unix ms.
    pub(crate) nodes: BTreeMap<String, (String, u64)>,
    pub(crate) links: BTreeSet<(String, String)>,
    pub(crate) rejected: BTreeMap<String, u64>,
}

impl Picture {
    fn of(json: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let nodes = json["nodes"].as_array().unwrap();
        let label = |id: &Value| {
            let node = nodes.iter().find(|node| node["id"] == *id);
            text(&node.unwrap()["label"])
        };
        let (up, others): (Vec<&Value>, Vec<&Value>) =
            nodes.iter().partition(|node| node["state"] == "up");
        let mut states = BTreeMap::new();
        for node in up.into_iter().chain(others) {
            let state = (text(&node["state"]), node["changed_ms"].as_u64().unwrap());
            let mut name = text(&node["label"]);
            if states.contains_key(&name) {
                name = format!("{name} {}", text(&node["id"]));
            }
            states.insert(name, state);
        }
        let links = json["links"].as_array().unwrap().iter();
        let rejected = json["rejected"].as_object().unwrap().iter();
        Self {
            nodes: states,
            links: links
                .map(|link| (label(&link["dialer"]), label(&link["listener"])))
                .collect(),
            rejected: rejected
                .map(|(name, count)| (name.clone(), count.as_u64().unwrap()))
                .collect(),
        }
    }

    pub(crate) fn state(&self, label: &str) -> &str {
        self.nodes.get(label).map_or("unknown", |(state, _)| state)
    }

    /// Exactly these nodes are up, and each two of them have a link.
    pub(crate) fn is_full_mesh_of(&self, labels: &[&str]) -> bool {
        let nodes = self.nodes.iter();
        let up: BTreeSet<&str> = nodes
            .filter(|(_, (state, _))| state == "up")
            .map(|(label, _)| label.as_str())
            .collect();
        let linked = |a: &str, b: &str| {
            let either = |(x, y): &(String, String)| (x == a && y == b) || (x == b && y == a);
            self.links.iter().any(either)
        };
        up == labels.iter().copied().collect()
            && self.links.len() == labels.len() * (labels.len() - 1) / 2
            && labels
                .iter()
                .all(|a| labels.iter().all(|b| a == b || linked(a, b)))
    }
}

/// Waits until a condition holds; returns how long that took.
#[track_caller]
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) -> impl Future<Output = Duration> {
    let place = std::panic::Location::caller();
    async move {
        let since = Instant::now();
        while !so() {
            assert!(since.elapsed() < PATIENCE, "{place}: never: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        since.elapsed()
    }
}

/// Waits until all of these nodes show the same picture: exactly each other, fully linked. Returns how long that took.
#[track_caller]
pub(crate) fn until_exact<'a>(
    nodes: &'a [&'a Process],
    labels: &'a [&'a str],
) -> impl Future<Output = Duration> + 'a {
    let place = std::panic::Location::caller();
    async move {
        let since = Instant::now();
        loop {
            let pictures: Vec<Picture> = nodes.iter().map(|node| node.picture()).collect();
            let exact = |picture: &Picture| {
                picture.is_full_mesh_of(labels) && picture.links == pictures[0].links
            };
            if pictures.iter().all(exact) {
                return since.elapsed();
            }
            let logs: Vec<String> = nodes.iter().map(|node| node.log()).collect();
            assert!(
                since.elapsed() < PATIENCE,
                "{place}: never exactly {labels:?}: {pictures:#?}\n{}",
                logs.join("\n\n"),
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
