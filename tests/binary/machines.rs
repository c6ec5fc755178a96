//! Five machines and the one of the person who runs their network, who types the commands of the documents.
//!
//! Each machine is a folder; its node is a real process on loopback. `ssh`, `scp` and `systemctl` are scripts that act on these
//! folders and nodes.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use area_net::events::EventName;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::processes::{Desk, PATIENCE, Process, ports, until, until_exact};

pub(crate) const FIVE: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

/// The programs that the commands of the documents need besides those of every machine.
const PROGRAMS: [(&str, &str); 3] = [
    (
        "ssh",
        "HOST=$1\nexport HOST\nshift\ncd \"$MACHINES/$HOST\"\nexec sh -c \"$*\"\n",
    ),
    (
        "scp",
        "for word; do\n    shift\n    case $word in\n    -*) ;;\n    *:*) word=$MACHINES/${word%%:*}/${word#*:} ;;\n    esac\n    \
         set -- \"$@\" \"$word\"\ndone\nexec cp \"$@\"\n",
    ),
    // The test does it, and removes the request.
    (
        "systemctl",
        "request=$MACHINES/requests/$HOST\nmkdir \"$request.new\"\necho \"$1\" >\"$request.new/verb\"\nmv \"$request.new\" \"$request\"\n\
         while [ -e \"$request\" ]; do sleep 0.02; done\n",
    ),
];

/// See the module's documentation.
pub(crate) struct Machines {
    root: TempDir,
    desks: BTreeMap<&'static str, Desk>,
    addrs: BTreeMap<&'static str, SocketAddr>,
    nodes: BTreeMap<&'static str, Process>,
    settings: Vec<String>,
}

impl Machines {
    /// Five machines without keys, and a sixth that a thief has. `settings` are those of all nodes.
    pub(crate) fn new(settings: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["requests", "programs", "office"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        let program = |name: &str| root.path().join("programs").join(name);
        for (name, text) in PROGRAMS {
            fs::write(program(name), format!("#!/bin/sh\nset -eu\n{text}")).unwrap();
            fs::set_permissions(program(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        symlink(env!("CARGO_BIN_EXE_area-net"), program("area-net")).unwrap();
        let hosts = FIVE.iter().copied().chain(["mallory"]);
        let mut desks = BTreeMap::new();
        for host in hosts.clone() {
            // Keys and certificates keep these networks apart from those of other tests.
            let mut desk = Desk::new();
            desk.network = "area-net".to_owned();
            fs::create_dir(root.path().join(host)).unwrap();
            symlink(desk.path(""), root.path().join(host).join("area-net")).unwrap();
            desks.insert(host, desk);
        }
        Self {
            root,
            desks,
            addrs: hosts.zip(ports(6)).collect(),
            nodes: BTreeMap::new(),
            settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
        }
    }

    /// A file or folder of the person's own machine.
    pub(crate) fn own(&self, name: &str) -> PathBuf {
        self.root.path().join("office").join(name)
    }

    /// A file or folder of a machine, in the folder of its node.
    pub(crate) fn path(&self, host: &str, name: &str) -> PathBuf {
        self.desks[host].path(name)
    }

    pub(crate) fn node(&self, host: &str) -> &Process {
        &self.nodes[host]
    }

    /// Starts a machine's node under a profile, and waits until it is ready.
    pub(crate) async fn start_as(&mut self, host: &'static str, profile: &str) {
        let (desk, addr) = (&self.desks[host], self.addrs[host]);
        let others: Vec<SocketAddr> = self
            .addrs
            .values()
            .copied()
            .filter(|one| *one != addr)
            .collect();
        let targets = desk.targets(profile, &others);
        let settings = self.settings.iter().map(String::as_str);
        let settings: Vec<&str> = settings.chain([targets.as_str()]).collect();
        let mut command = desk.command(profile, addr, &settings);
        let node = desk.start_by(profile, addr, command.env_remove("XDG_RUNTIME_DIR"));
        until("the node has started", || {
            !node.events(EventName::NodeStarted).is_empty()
        })
        .await;
        self.nodes.insert(host, node);
    }

    pub(crate) async fn start(&mut self, host: &'static str) {
        self.start_as(host, host).await;
    }

    /// Starts the five.
    pub(crate) async fn start_five(&mut self) {
        for host in FIVE {
            self.start(host).await;
        }
    }

    /// Asks a machine's node to leave.
    pub(crate) async fn stop(&mut self, host: &str) {
        let mut node = self.nodes.remove(host).unwrap();
        node.signal(Signal::TERM);
        assert!(node.ended().await.success(), "{}", node.log());
    }

    /// Types commands on the person's own machine. Says what they wrote, and whether the last one worked.
    pub(crate) async fn try_typing(&mut self, commands: &str) -> (String, bool) {
        let programs = self.root.path().join("programs");
        let path = std::env::var("PATH").unwrap();
        let said = self.own("said");
        let log = fs::File::create(&said).unwrap();
        let mut shell = Command::new("sh")
            .args(["-euc", commands])
            .current_dir(self.own(""))
            .env("PATH", format!("{}:{path}", programs.display()))
            .env("MACHINES", self.root.path())
            .env_remove("XDG_RUNTIME_DIR")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let since = tokio::time::Instant::now();
        let status = loop {
            self.serve().await;
            if let Some(status) = shell.try_wait().unwrap() {
                break status;
            }
            if since.elapsed() > 2 * PATIENCE {
                shell.kill().unwrap();
                panic!("{commands} takes too long: {}", read(&said));
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        };
        (read(&said), status.success())
    }

    /// Types commands that must work.
    #[track_caller]
    pub(crate) fn types<'a>(
        &'a mut self,
        commands: &'a str,
    ) -> impl Future<Output = String> + use<'a> {
        let place = std::panic::Location::caller();
        async move {
            let (said, good) = self.try_typing(commands).await;
            assert!(good, "{place}: {commands}\n{said}");
            said
        }
    }

    /// Does what `systemctl` was asked.
    async fn serve(&mut self) {
        for host in FIVE {
            let request = self.root.path().join("requests").join(host);
            let Ok(verb) = fs::read_to_string(request.join("verb")) else {
                continue;
            };
            match verb.trim() {
                "start" => self.start(host).await,
                "stop" => self.stop(host).await,
                "restart" => {
                    self.stop(host).await;
                    self.start(host).await;
                }
                other => panic!("systemctl {other}"),
            }
            fs::remove_dir_all(request).unwrap();
        }
    }

    /// Waits until these machines' nodes see each other, all linked, and nobody else.
    #[track_caller]
    pub(crate) fn see_each_other<'a>(
        &'a self,
        hosts: &'a [&'a str],
    ) -> impl Future<Output = ()> + use<'a> {
        let nodes: Vec<&Process> = hosts.iter().map(|host| &self.nodes[host]).collect();
        let place = std::panic::Location::caller();
        async move {
            let took = until_exact(&nodes, hosts).await;
            assert!(took < PATIENCE, "{place}");
        }
    }

    /// Waits until a machine's node sees nobody but itself.
    pub(crate) async fn is_alone(&self, host: &str) {
        let node = &self.nodes[host];
        let alone = || {
            let nodes = node.picture().nodes;
            nodes.values().filter(|(state, _)| state == "up").count() == 1
        };
        let since = tokio::time::Instant::now();
        while !alone() {
            assert!(
                since.elapsed() < PATIENCE,
                "{host} never was alone: {:?}\n{}",
                node.picture().nodes,
                node.log()
            );
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// Waits until these machines' nodes have logged an event in this run.
    pub(crate) async fn have_logged(&self, hosts: &[&str], event: EventName) {
        let logged = |host: &&str| !self.nodes[host].events(event).is_empty();
        until(event.as_str(), || hosts.iter().all(logged)).await;
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// The commands below a heading of a document: each fenced block by itself.
pub(crate) fn commands(document: &str, heading: &str) -> Vec<String> {
    let page = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(document));
    let (_, rest) = page
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("{document} has no {heading}"));
    let section = rest.split("\n#").next().unwrap();
    let blocks = section.split("```sh\n").skip(1);
    let blocks = blocks.map(|block| block.split("```").next().unwrap().to_owned());
    blocks.collect()
}
