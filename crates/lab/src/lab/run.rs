//! Plays one scenario in namespaces that are ours alone, in this kernel or in one booted for the scenario.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::lab::action::{Action, NAMES, Step};
use crate::lab::follow::Follower;
use crate::lab::guard::Guard;
use crate::lab::judge;
use crate::lab::net::Net;
use crate::lab::parse;
use crate::lab::record::{Event, View, What};
use crate::lab::scenario::{Listen, Scenario, Topology};
use crate::lab::timeline::Timeline;
use crate::shared::cluster::{self, Cluster};
use crate::shared::crew::Found;
use crate::shared::isolate;
use crate::shared::kernel::now_ns;
use crate::shared::project;

/// The listening port of every node that has a host of its own.
const PORT: u16 = 8083;

/// Interval of ping's requests, in seconds.
const PING_EVERY: &str = "0.2";

/// Time for the nodes to leave gracefully at the end.
const PATIENCE: Duration = Duration::from_secs(2);

/// The clock is set to within so much of what was meant.
const CLOCK_SET_MS: i64 = 1000;

/// The job of a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    /// The scenario's file.
    pub(crate) file: PathBuf,
    /// Play the short form.
    pub(crate) short: bool,
    /// The binary that the nodes run.
    pub(crate) binary: PathBuf,
    /// The folder for results.
    pub(crate) out: PathBuf,
    /// A folder in memory that no other run uses.
    pub(crate) work: PathBuf,
    /// The worker runs in a kernel of its own, so it may set the clock.
    pub(crate) guest: bool,
    /// The interface for loopback scenarios. `None` is the loopback interface of our own namespace.
    pub(crate) interface: Option<String>,
}

/// Plays the scenario and judges it. An error during the run is part of the result.
pub(crate) fn play(job: &Job) -> Result<Found> {
    let scenario = parse::file(&job.file, job.short)?;
    let mut run = Run::new(job, &scenario)?;
    let failure = run.play().err().map(|error| format!("{error:#}"));
    let events = run.end()?;
    Ok(Found {
        verdicts: judge::judge(&scenario, &events, job.guest),
        failure,
    })
}

struct Run<'a> {
    job: &'a Job,
    scenario: &'a Scenario,
    net: Net,
    // Fields are dropped in this order: the processes must end before the interface is restored.
    cluster: Cluster,
    follower: Follower,
    timeline: Timeline,
    ping: Option<Child>,
    began: Instant,
    began_ns: u64,
    /// Sum of the wall clock's jumps so far.
    jumped_ns: i128,
    /// How far the clock had jumped in all, after each jump, in ms.
    jumps_ms: Vec<i64>,
    /// Since when each view shows each node in its state.
    since: BTreeMap<(usize, String), u64>,
    ended: Vec<bool>,
    _guard: Option<Guard>,
}

impl<'a> Run<'a> {
    /// Prepares everything and starts no node.
    fn new(job: &'a Job, scenario: &'a Scenario) -> Result<Self> {
        let commands =
            File::create(job.out.join("commands")).context("can't write the commands")?;
        let guard = job.interface.as_deref().map(Guard::new).transpose()?;
        let mut net = Net::new(
            scenario.topology,
            job.interface.as_deref(),
            scenario.nodes,
            commands,
        );
        net.make()?;
        let names: Vec<String> = NAMES[..scenario.nodes]
            .iter()
            .map(|name| (*name).to_owned())
            .collect();
        let folder = tempfile::Builder::new()
            .prefix("area-net-lab-")
            .tempdir_in(&job.work)
            .with_context(|| format!("can't make a folder in {}", job.work.display()))?;
        let config = configure(scenario, &net, folder.path())?;
        let logs = job.out.join("logs");
        let prefixes = (0..scenario.nodes).map(|node| net.prefix(node)).collect();
        let (binary, settings) = (&job.binary, &scenario.settings);
        let cluster = Cluster::lay_out(folder, binary, settings, config, names, prefixes, logs)?;
        Ok(Self {
            job,
            scenario,
            net,
            follower: Follower::new(&cluster.folders())?,
            cluster,
            timeline: Timeline::new(&job.out, scenario.nodes)?,
            ping: None,
            began: Instant::now(),
            began_ns: now_ns(),
            jumped_ns: 0,
            jumps_ms: vec![0],
            since: BTreeMap::new(),
            ended: vec![false; scenario.nodes],
            _guard: guard,
        })
    }

    fn play(&mut self) -> Result<()> {
        let (first, later): (Vec<&Step>, Vec<&Step>) = self
            .scenario
            .steps
            .iter()
            .partition(|step| step.at_s == 0.0);
        for step in first {
            self.step(step)?;
        }
        if let Some((from, to)) = self.scenario.ping {
            self.ping = Some(self.start_ping(from, to)?);
        }
        self.began = Instant::now();
        self.began_ns = now_ns();
        for node in 0..self.scenario.nodes {
            self.does(Action::Start { node })?;
        }
        for step in later {
            self.follow_until(step.at_s)?;
            self.step(step)?;
        }
        self.follow_until(self.scenario.lasts_s)
    }

    /// Ends everything and returns the events.
    fn end(mut self) -> Result<Vec<Event>> {
        if let Some(ping) = self.ping.take() {
            for event in answers(ping, &self.job.out.join("ping"), self.began_ns)? {
                self.timeline.add(event)?;
            }
        }
        let counters = self.net.counters()?;
        cluster::write(&self.job.out.join("qdiscs"), &counters)?;
        // Keeps the last file of each node, which shows its final view.
        for (folder, name) in self.cluster.folders().iter().zip(NAMES) {
            let to = self.job.out.join(format!("logs/{name}.network.json"));
            if folder.join("network.json").exists() {
                fs::copy(folder.join("network.json"), &to).context("can't keep a view")?;
            }
        }
        for node in 0..self.scenario.nodes {
            // A node that has ended or is stopped can't leave, so the result is ignored.
            let _asked = self.cluster.signal(node, Signal::TERM);
        }
        let deadline = Instant::now() + PATIENCE;
        while !self.cluster.pids().is_empty() && Instant::now() < deadline {
            self.follower.wait(Duration::from_millis(50))?;
            for node in 0..self.scenario.nodes {
                self.cluster.ended(node)?;
            }
        }
        self.timeline.into_events()
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        self.does(step.action.clone()).with_context(|| {
            format!(
                "at {} s: {}",
                step.at_s,
                step.action.words(self.scenario.nodes)
            )
        })
    }

    fn does(&mut self, action: Action) -> Result<()> {
        self.drain()?;
        self.add(What::Does(action.clone()))?;
        self.net.apply(&action)?;
        match action {
            Action::Kill { node } | Action::Vanish { node } => {
                self.cluster.kill(node)?;
            }
            Action::Start { node } => {
                self.ended[node] = false;
                self.follower.forget(node);
                self.cluster.start(node)?;
            }
            Action::Leave { node } => {
                self.cluster.ask_to_stop(node)?;
                self.ended[node] = true;
            }
            Action::Stop { node } => {
                self.cluster.signal(node, Signal::STOP)?;
            }
            Action::Continue { node } => {
                self.cluster.signal(node, Signal::CONT)?;
            }
            Action::Clock { seconds } => self.jump(seconds)?,
            Action::Netem { .. }
            | Action::LinkDown { .. }
            | Action::LinkUp { .. }
            | Action::Mtu { .. }
            | Action::Address { .. } => {}
        }
        self.add(What::Done)
    }

    /// Moves the clock of our own kernel.
    fn jump(&mut self, seconds: i64) -> Result<()> {
        if !self.job.guest {
            bail!("this kernel's clock is not ours to set");
        }
        let jump = i128::from(seconds) * 1_000_000_000;
        let there = i128::from(now_ns()) + jump;
        let text = format!("@{}.{:09}", there / 1_000_000_000, there % 1_000_000_000);
        let set = Command::new("date")
            .args(["-s", &text])
            .stdout(Stdio::null())
            .status();
        if !set.context("can't run date")?.success() {
            bail!("date can't set the clock");
        }
        self.jumped_ns += jump;
        let before = self.jumps_ms.last().copied().unwrap_or_default();
        self.jumps_ms.push(before + seconds * 1000);
        Ok(())
    }

    fn follow_until(&mut self, at_s: f64) -> Result<()> {
        let deadline = self.began + Duration::from_secs_f64(at_s);
        loop {
            self.drain()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.follower.wait(left.min(Duration::from_millis(100)))?;
        }
    }

    fn drain(&mut self) -> Result<()> {
        for (written_ns, mut view) in self.follower.written()? {
            let at_s = self.seconds(written_ns);
            self.subtract_jumps(&mut view);
            self.timeline.add(Event {
                at_s,
                what: What::Shows(view),
            })?;
        }
        for node in 0..self.scenario.nodes {
            if let Some(status) = self.cluster.ended(node)?
                && !self.ended[node]
            {
                self.ended[node] = true;
                let how = format!("{status}: {}", self.cluster.last_words(node));
                self.add(What::Ended { node, how })?;
            }
        }
        Ok(())
    }

    /// A node shows all times by the clock as it is now, so they jump with it, and by as much. What has not changed otherwise keeps the
    /// time that it had. A file may have been written before a jump and read after it.
    fn subtract_jumps(&mut self, view: &mut View) {
        let jumps = &self.jumps_ms;
        for node in &mut view.nodes {
            let shown = node.since_ms.cast_signed();
            let key = (view.viewer, node.id.clone());
            let before = self.since.get(&key).copied();
            let kept = before.filter(|before| {
                let is_same =
                    |jump: &i64| (shown - jump - before.cast_signed()).abs() < CLOCK_SET_MS;
                jumps.len() > 1 && jumps.iter().any(is_same)
            });
            let last = jumps.last().copied().unwrap_or_default();
            node.since_ms = kept.unwrap_or((shown - last).cast_unsigned());
            self.since.insert(key, node.since_ms);
        }
    }

    /// Converts a file's time to the lab's clock. A file written before a jump and read after it would be far off. The lab reads
    /// files at once, so a time that is far off is replaced by the current time.
    fn seconds(&self, written_ns: u64) -> f64 {
        let since = i128::from(written_ns) - self.jumped_ns - i128::from(self.began_ns);
        let at_s = since as f64 / 1e9;
        let now = self.began.elapsed().as_secs_f64();
        if (at_s - now).abs() > 60.0 { now } else { at_s }
    }

    fn add(&mut self, what: What) -> Result<()> {
        let at_s = self.seconds(now_ns());
        self.timeline.add(Event { at_s, what })
    }

    fn start_ping(&self, from: usize, to: usize) -> Result<Child> {
        let address = self.net.address(to).to_string();
        let mut words = self.net.prefix(from);
        // The kernel kills ping when the worker ends, as it does with the nodes.
        if isolate::guard_works() {
            words.extend(["setpriv", "--pdeathsig", "KILL", "--"].map(String::from));
        }
        words.extend(["ping", "-n", "-D", "-i", PING_EVERY, &address].map(String::from));
        let output = File::create(self.job.out.join("ping")).context("can't write ping's words")?;
        Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(Stdio::inherit())
            .spawn()
            .context("can't run ping")
    }
}

/// Ends ping and parses its answers.
fn answers(mut ping: Child, path: &Path, began_ns: u64) -> Result<Vec<Event>> {
    kill_process(Pid::from_child(&ping), Signal::INT).context("can't end ping")?;
    ping.wait().context("can't reap ping")?;
    let mut events = Vec::new();
    for line in BufReader::new(File::open(path).context("can't read ping's words")?).lines() {
        let line = line.context("can't read ping's words")?;
        // [1700000000.123456] 64 bytes from ::1: icmp_seq=1 ttl=64 time=0.092 ms
        let time = line
            .split_once("time=")
            .and_then(|(_, rest)| rest.split_once(' '));
        let stamp = line.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        if let (Some((time, _)), Some((stamp, _))) = (time, stamp)
            && let (Ok(rtt_ms), Ok(stamp)) = (time.parse(), stamp.parse::<f64>())
        {
            events.push(Event {
                at_s: stamp - began_ns as f64 / 1e9,
                what: What::Ping { rtt_ms },
            });
        }
    }
    Ok(events)
}

/// Writes settings and targets for every node. Returns the configuration's folder.
fn configure(scenario: &Scenario, net: &Net, folder: &Path) -> Result<PathBuf> {
    if scenario.topology == Topology::Loopback {
        cluster::copy_targets(folder)?;
        return Ok(project().join("config"));
    }
    cluster::make_dir(&folder.join("profiles"))?;
    let config = folder.join("config");
    cluster::make_dir(&config.join("network"))?;
    let default = project().join("config/network/default.toml");
    fs::copy(&default, config.join("network/default.toml"))
        .with_context(|| format!("can't copy {}", default.display()))?;
    for (node, name) in NAMES.iter().enumerate().take(scenario.nodes) {
        let listen = match scenario.listen {
            Listen::Own => net.address(node).to_string(),
            Listen::Any => "::".to_owned(),
        };
        let layer = format!(
            "[network.controller.listen]\naddr = \"{listen}\"\nport = {PORT}\n\n\
             [network.controller.target]\npath = \"profiles/{name}.json\"\n"
        );
        cluster::write(&config.join(format!("network/{name}.toml")), &layer)?;
        let targets: Vec<String> = targets(node)
            .iter()
            .filter(|target| **target < scenario.nodes)
            .map(|target| format!("[{}]:{PORT}", net.address(*target)))
            .collect();
        let text = serde_json::to_string(&targets).context("targets are JSON")?;
        cluster::write(&folder.join(format!("profiles/{name}.json")), &text)?;
    }
    Ok(config)
}

/// The targets of each node, as in the shipped profiles. Further nodes have alice as their target.
fn targets(node: usize) -> Vec<usize> {
    match NAMES[node] {
        "alice" => vec![],
        "bob" => vec![0, 2],
        "carol" => vec![4],
        "dave" => vec![0],
        "erin" => vec![3],
        _ => vec![0],
    }
}
