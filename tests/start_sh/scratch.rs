//! A scratch copy of the project's top level.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use pty_process::blocking::Command as PtyCommand;
use rustix::process::Pid;

use crate::ports::free_ports;
use crate::terminal::{Terminal, until};

pub(crate) const NAMES: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];
/// The ports that the five profiles ship with, in the order of their names.
pub(crate) const PORTS: [u16; 5] = [8090, 8095, 8085, 8100, 8105];

pub(crate) struct Scratch {
    folder: tempfile::TempDir,
    pub(crate) ports: Vec<u16>,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = tempfile::tempdir().unwrap();
        let ports = free_ports(NAMES.len());
        let root = folder.path();
        fs::create_dir_all(root.join("config/network")).unwrap();
        fs::create_dir(root.join("profiles")).unwrap();
        fs::copy(project.join("start.sh"), root.join("start.sh")).unwrap();
        symlink(binary(), root.join("area-net")).unwrap();
        let default = "config/network/default.toml";
        fs::copy(project.join(default), root.join(default)).unwrap();
        for (name, port) in NAMES.iter().zip(PORTS) {
            let config = format!("config/network/{name}.toml");
            let text = fs::read_to_string(project.join(&config)).unwrap();
            assert!(
                text.contains(&port.to_string()),
                "{config} has another port than {port}"
            );
            fs::write(root.join(&config), with_ports(&text, &ports)).unwrap();
            let targets = format!("profiles/{name}.json");
            // A profile without targets may have no file of them.
            if let Ok(text) = fs::read_to_string(project.join(&targets)) {
                fs::write(root.join(&targets), with_ports(&text, &ports)).unwrap();
            }
        }
        Self { folder, ports }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root().join("profiles").join(name)
    }

    pub(crate) fn start(&self) -> Terminal {
        // A shell that runs the tests in the background has them ignore Ctrl-C, and a script can't undo that.
        let script = PtyCommand::new("env").args(["--default-signal=INT,QUIT", "./start.sh"]);
        self.start_as(script.current_dir(self.root()))
    }

    pub(crate) fn start_as(&self, command: PtyCommand) -> Terminal {
        Terminal::open(command.env("AREA_NET_BIN", self.root().join("area-net")))
    }

    /// Every process whose working directory is this scratch folder, with its arguments.
    pub(crate) fn processes(&self) -> Vec<(Pid, Vec<String>)> {
        let root = self.root();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Ok(raw) = entry.file_name().to_string_lossy().parse() else {
                continue;
            };
            if !fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == root) {
                continue;
            }
            let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let arguments = String::from_utf8_lossy(&arguments);
            let arguments = arguments
                .split_terminator('\0')
                .map(str::to_owned)
                .collect();
            found.push((Pid::from_raw(raw).unwrap(), arguments));
        }
        found
    }

    /// The profiles that run as nodes, in order, and the pid of each.
    pub(crate) fn nodes(&self) -> Vec<(String, Pid)> {
        let mut found = Vec::new();
        for (pid, arguments) in self.processes() {
            let is_node = arguments
                .first()
                .is_some_and(|program| program.ends_with("area-net"));
            if let (true, Some(at)) = (
                is_node,
                arguments.iter().position(|argument| argument == "-p"),
            ) {
                found.push((arguments[at + 1].clone(), pid));
            }
        }
        found.sort_by(|(left, _), (right, _)| left.cmp(right));
        found
    }

    /// A node that was just launched may still be on its way through `setsid`.
    pub(crate) fn expect_nodes(&self, names: &[&str]) {
        until("exactly these nodes run", || {
            self.nodes().iter().map(|(name, _)| name).eq(names)
        });
    }

    pub(crate) fn pid_of(&self, name: &str) -> Pid {
        self.nodes()
            .into_iter()
            .find(|(node, _)| node == name)
            .expect("this node runs")
            .1
    }

    pub(crate) fn assert_nothing_is_left(&self) {
        assert_eq!(self.processes(), []);
    }
}

pub(crate) fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_area-net"))
}

/// The text with each shipped port replaced by the scratch port of the same profile.
pub(crate) fn with_ports(text: &str, ports: &[u16]) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, number) = rest.split_at(start);
        let end = number
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(number.len());
        let (number, after) = number.split_at(end);
        result.push_str(before);
        match PORTS.iter().position(|port| port.to_string() == number) {
            Some(profile) => result.push_str(&ports[profile].to_string()),
            None => result.push_str(number),
        }
        rest = after;
    }
    result + rest
}
