//! The nodes' network. This module builds the commands for `ip` and `tc` as text. [`Net`] runs them and logs each with its time.
//!
//! With [`Topology::Links`] every node has a network namespace. A veth pair joins every two. Its end in alice's namespace
//! towards bob is called `to-bob`. Packets from alice to bob leave there, through the qdisc of that interface. A node has one
//! address, on all of its interfaces. Neighbour entries are static. So no neighbour discovery is lost, and no ICMP
//! "unreachable" reveals that a host vanished, as behind a router.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::net::Ipv6Addr;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::lab::action::{Action, Direction, NAMES};
use crate::lab::netem::replace;
use crate::lab::scenario::Topology;
use crate::lab::truth::address;

/// The netem arguments of a link that is down.
const NOTHING_PASSES: &str = "loss 100%";

/// The default interface of loopback scenarios.
const LOOPBACK: &str = "lo";

/// The state of one direction: its netem arguments, and whether it is down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Qdisc {
    netem: Option<String>,
    down: bool,
}

impl Qdisc {
    fn args(&self) -> Option<&str> {
        if self.down {
            return Some(NOTHING_PASSES);
        }
        self.netem.as_deref()
    }
}

/// The network as built so far.
pub(crate) struct Net {
    topology: Topology,
    /// The interface of a loopback scenario.
    interface: String,
    /// Whether that interface belongs to our own namespace.
    ours: bool,
    nodes: usize,
    qdiscs: BTreeMap<Direction, Qdisc>,
    /// Number of address changes of each node.
    moves: Vec<u16>,
    commands: File,
}

/// Commands by namespace. `None` is the current namespace.
type Batches = BTreeMap<Option<usize>, Vec<String>>;

impl Net {
    /// Creates nothing in the kernel yet. Each command is logged to `commands` with its time.
    pub(crate) fn new(
        topology: Topology,
        interface: Option<&str>,
        nodes: usize,
        commands: File,
    ) -> Self {
        Self {
            topology,
            ours: interface.is_none(),
            interface: interface.unwrap_or(LOOPBACK).to_owned(),
            nodes,
            qdiscs: BTreeMap::new(),
            moves: vec![0; nodes],
            commands,
        }
    }

    /// The node's current address.
    pub(crate) fn address(&self, node: usize) -> Ipv6Addr {
        match self.topology {
            Topology::Loopback => Ipv6Addr::LOCALHOST,
            Topology::Links => address(node, self.moves[node]),
        }
    }

    /// The prefix for a command that must run in the node's namespace.
    pub(crate) fn prefix(&self, node: usize) -> Vec<String> {
        match self.topology {
            Topology::Loopback => Vec::new(),
            Topology::Links => vec![
                "nsenter".into(),
                format!("--net=/run/netns/{}", NAMES[node]),
                "--".into(),
            ],
        }
    }

    /// Creates namespaces and links, without qdiscs.
    pub(crate) fn make(&mut self) -> Result<()> {
        if self.topology == Topology::Loopback {
            if self.ours {
                self.run(
                    "ip",
                    &Batches::from([(None, vec!["link set lo up".into()])]),
                )?;
            }
            return Ok(());
        }
        let namespaces = (0..self.nodes)
            .map(|node| format!("netns add {}", NAMES[node]))
            .collect();
        self.run("ip", &Batches::from([(None, namespaces)]))?;
        self.run("ip", &Batches::from([(None, links(self.nodes))]))?;
        let mut batches = Batches::new();
        for node in 0..self.nodes {
            batches.insert(Some(node), interfaces(node, self.nodes));
        }
        self.run("ip", &batches)
    }

    /// Applies the action to the network.
    pub(crate) fn apply(&mut self, action: &Action) -> Result<()> {
        let mut changed: Vec<(Direction, Qdisc)> = Vec::new();
        let mut change = |net: &Self, on: &[Direction], make: &dyn Fn(&mut Qdisc)| {
            for way in on {
                let mut qdisc = net.qdiscs.get(way).cloned().unwrap_or_default();
                make(&mut qdisc);
                changed.push((*way, qdisc));
            }
        };
        match action {
            Action::Netem { on, netem } => {
                let args = netem.as_ref().map(|netem| netem.args.clone());
                change(self, on, &|qdisc| qdisc.netem.clone_from(&args));
            }
            Action::LinkDown { on } => change(self, on, &|qdisc| qdisc.down = true),
            Action::LinkUp { on } => change(self, on, &|qdisc| qdisc.down = false),
            Action::Vanish { node } => {
                let others = (0..self.nodes).filter(|other| other != node);
                let on: Vec<Direction> = others
                    .flat_map(|other| [(*node, other), (other, *node)])
                    .collect();
                change(self, &on, &|qdisc| qdisc.down = true);
            }
            Action::Mtu { on, bytes } => return self.set_mtu(on, *bytes),
            Action::Address { node } => return self.change_address(*node),
            Action::Kill { .. }
            | Action::Start { .. }
            | Action::Leave { .. }
            | Action::Stop { .. }
            | Action::Continue { .. }
            | Action::Clock { .. } => {}
        }
        self.set_qdiscs(changed)
    }

    /// The counters of every qdisc, as `tc -s` prints them.
    pub(crate) fn counters(&self) -> Result<String> {
        let mut text = String::new();
        let namespaces: Vec<Option<&str>> = match self.topology {
            Topology::Loopback => vec![None],
            Topology::Links => NAMES[..self.nodes].iter().map(|name| Some(*name)).collect(),
        };
        for namespace in namespaces {
            let place = namespace.map_or(vec![], |name| vec!["-n", name]);
            let output = Command::new("tc")
                .args(place)
                .args(["-s", "qdisc", "show"])
                .output()
                .context("can't run tc")?;
            let shown = String::from_utf8_lossy(&output.stdout);
            text.push_str(&format!("{}:\n{shown}\n", namespace.unwrap_or("lab")));
        }
        Ok(text)
    }

    fn set_qdiscs(&mut self, changed: Vec<(Direction, Qdisc)>) -> Result<()> {
        let mut batches = Batches::new();
        for ((from, to), qdisc) in changed {
            let (namespace, interface) = self.interface(from, to);
            let before = self.qdiscs.get(&(from, to)).and_then(Qdisc::args);
            let commands = replace(&interface, before, qdisc.args());
            self.qdiscs.insert((from, to), qdisc);
            let batch = batches.entry(namespace).or_default();
            // On loopback, all directions share one interface, so the same command would repeat.
            if !batch.ends_with(&commands) {
                batch.extend(commands);
            }
        }
        batches.retain(|_, batch| !batch.is_empty());
        self.run("tc", &batches)
    }

    fn set_mtu(&mut self, on: &[Direction], bytes: u32) -> Result<()> {
        let mut batches = Batches::new();
        for (from, to) in on {
            let (namespace, interface) = self.interface(*from, *to);
            let batch = batches.entry(namespace).or_default();
            let command = format!("link set dev {interface} mtu {bytes}");
            if !batch.contains(&command) {
                batch.push(command);
            }
        }
        self.run("ip", &batches)
    }

    fn change_address(&mut self, node: usize) -> Result<()> {
        let old = self.address(node);
        self.moves[node] += 1;
        let new = self.address(node);
        let mut batches = Batches::new();
        for other in (0..self.nodes).filter(|other| *other != node) {
            let there = self.address(other);
            let (to, back) = (NAMES[other], NAMES[node]);
            batches.entry(Some(node)).or_default().extend([
                format!("addr add {new}/128 dev to-{to} nodad"),
                format!("route replace {there}/128 dev to-{to} src {new}"),
            ]);
            batches.entry(Some(other)).or_default().extend([
                format!(
                    "neigh replace {new} lladdr {} dev to-{back} nud permanent",
                    mac(node, other)
                ),
                format!("route replace {new}/128 dev to-{back} src {there}"),
            ]);
            let gone = format!("addr del {old}/128 dev to-{to}");
            batches.entry(Some(node)).or_default().push(gone);
        }
        self.run("ip", &batches)
    }

    /// The namespace and the interface that send the packets of this direction.
    fn interface(&self, from: usize, to: usize) -> (Option<usize>, String) {
        match self.topology {
            Topology::Loopback => (None, self.interface.clone()),
            Topology::Links => (Some(from), format!("to-{}", NAMES[to])),
        }
    }

    /// Runs each batch in its namespace, all in parallel.
    fn run(&mut self, program: &str, batches: &Batches) -> Result<()> {
        let mut running = Vec::new();
        for (namespace, lines) in batches {
            let mut command = Command::new(program);
            if let Some(node) = namespace {
                command.args(["-n", NAMES[*node]]);
            }
            let who = namespace.map_or("lab", |node| NAMES[node]);
            for line in lines {
                let now = crate::shared::kernel::now_ns() / 1_000_000;
                writeln!(
                    self.commands,
                    "{}.{:03} {who}: {program} {line}",
                    now / 1000,
                    now % 1000
                )
                .context("can't note a command")?;
            }
            let mut child = command
                .args(["-batch", "-"])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .with_context(|| format!("can't run {program}"))?;
            let mut input = child.stdin.take().expect("stdin is a pipe");
            let text = lines.join("\n") + "\n";
            input
                .write_all(text.as_bytes())
                .with_context(|| format!("{program} reads nothing"))?;
            drop(input);
            running.push((who, lines, child));
        }
        for (who, lines, child) in running {
            let output = child
                .wait_with_output()
                .with_context(|| format!("can't wait for {program}"))?;
            if !output.status.success() {
                let says = String::from_utf8_lossy(&output.stderr);
                bail!("{who}: {program} refused one of {lines:?}: {}", says.trim());
            }
        }
        Ok(())
    }
}

/// The MAC address of the interface in `node`'s namespace towards `other`.
fn mac(node: usize, other: usize) -> String {
    format!("02:a2:ea:00:{node:02x}:{other:02x}")
}

/// The commands that create the veth pairs, each end in its namespace.
fn links(nodes: usize) -> Vec<String> {
    let mut commands = Vec::new();
    for (one, a) in NAMES.iter().enumerate().take(nodes) {
        for (other, b) in NAMES.iter().enumerate().take(nodes).skip(one + 1) {
            let (here, there) = (mac(one, other), mac(other, one));
            commands.push(format!(
                "link add to-{b} netns {a} address {here} type veth peer name to-{a} netns {b} address {there}"
            ));
        }
    }
    commands
}

/// The commands that set a node's address, routes and neighbour entries.
fn interfaces(node: usize, nodes: usize) -> Vec<String> {
    let mut commands = vec!["link set lo up".to_owned()];
    let own = address(node, 0);
    for other in (0..nodes).filter(|other| *other != node) {
        let (name, there) = (NAMES[other], address(other, 0));
        commands.extend([
            format!("addr add {own}/128 dev to-{name} nodad"),
            format!("link set to-{name} up"),
            format!(
                "neigh replace {there} lladdr {} dev to-{name} nud permanent",
                mac(other, node)
            ),
            format!("route replace {there}/128 dev to-{name} src {own}"),
        ]);
    }
    commands
}
