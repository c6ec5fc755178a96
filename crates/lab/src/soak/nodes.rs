//! The nodes of a soak: their processes, what is done to them, and what they hold.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use rand_chacha::ChaCha8Rng;
use rustix::process::Signal;

use super::churn::{self, Deed};
use super::record::{Event, Sample};
use super::truth::{Shown, Truth};
use crate::attack::{HERE, View, Views, panic_of};
use crate::shared::cluster::{Cluster, FIRST_PORT, Plan, write};
use crate::shared::kernel::Cpu;

/// A node that was asked to stop must exit within this time, in s. It takes a quarter of a second at most; the rest is for a busy machine.
const STOP_LIMIT: f64 = 10.0;

/// A node that ended by itself is started again after this time, in s, so that the soak goes on.
const AFTER_FAULT: f64 = 2.0;

/// What a node is doing.
#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Runs,
    /// It was asked to stop at the first time, and starts again at the second.
    Stopping(f64, f64),
    /// It starts again at that time.
    Down(f64),
    /// It goes on at that time.
    Frozen(f64),
}

/// Who comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Back {
    /// Those whose time has come.
    Due,
    /// All of them.
    All,
    /// Those that are frozen; those that are down stay away.
    Frozen,
}

struct Node {
    state: State,
    /// When it was started last, in s since the beginning and in Unix ns.
    started_s: f64,
    started_ns: u64,
    /// Its CPU time at the last sample.
    cpu: Option<(Cpu, f64)>,
}

/// All nodes. Times are seconds since the beginning.
pub(crate) struct Nodes {
    pub(crate) cluster: Cluster,
    pub(crate) truth: Truth,
    began: Instant,
    views: Views,
    nodes: Vec<Node>,
    random: ChaCha8Rng,
    /// What happened, and is not written down yet.
    pub(crate) events: Vec<Event>,
}

impl Nodes {
    /// Prepares so many nodes, without starting one.
    pub(crate) fn new(
        count: usize,
        scratch: &Path,
        binary: &Path,
        settings: &[String],
        random: ChaCha8Rng,
    ) -> Result<Self> {
        let cluster = Cluster::new(Plan::Chain(count), scratch, binary, settings)?;
        for place in 1..count {
            let path = format!("targets/{}.json", cluster.name(place));
            let targets = format!("[\"{}\"]\n", address(place - 1));
            write(&cluster.path().join(path), &targets)?;
        }
        let node = |_| Node {
            state: State::Down(f64::INFINITY),
            started_s: 0.0,
            started_ns: 0,
            cpu: None,
        };
        Ok(Self {
            views: Views::new(&cluster.folders())?,
            truth: Truth::new(count),
            nodes: (0..count).map(node).collect(),
            began: Instant::now(),
            cluster,
            random,
            events: Vec::new(),
        })
    }

    /// The number of nodes.
    pub(crate) fn count(&self) -> usize {
        self.nodes.len()
    }

    /// The resident memory of a node that runs, in MiB.
    pub(crate) fn resident_mib(&self, place: usize) -> Option<f64> {
        let pid = self.cluster.pid(place)?;
        Some(held(pid)?.rss_kb / 1024.0)
    }

    /// What is still false at the end, and what was not written down.
    pub(crate) fn finish(&mut self) -> Vec<Event> {
        let now = self.now();
        let mut events = std::mem::take(&mut self.events);
        events.extend(self.truth.finish(now));
        events
    }

    /// The time since the beginning.
    pub(crate) fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Starts a node with an impairment of its own.
    pub(crate) fn start(&mut self, place: usize) -> Result<()> {
        let impair = churn::impairment(&mut self.random);
        let setting = format!("network.controller.impair={impair}");
        self.cluster.set_own(place, vec![setting]);
        let started_ns = self.cluster.start(place)?;
        let now = self.now();
        self.nodes[place] = Node {
            state: State::Runs,
            started_s: now,
            started_ns,
            cpu: None,
        };
        self.churned(place, format!("start, {impair}"));
        let over = self.truth.came(place, now);
        self.events.extend(over);
        Ok(())
    }

    /// Whether one more node may be down.
    pub(crate) fn may_lose_one(&self) -> bool {
        let down = self.nodes.len() - self.truth.up().count();
        down < churn::most_down(self.nodes.len())
    }

    /// Does something to a node that runs.
    pub(crate) fn act(&mut self, place: usize, deed: Deed) -> Result<()> {
        let now = self.now();
        let words = match deed {
            Deed::Kill(away) => {
                self.cluster.kill(place)?;
                self.nodes[place].state = State::Down(now + away.as_secs_f64());
                "kill"
            }
            Deed::Stop(away) => {
                self.cluster.ask_to_stop(place)?;
                self.nodes[place].state = State::Stopping(now, now + away.as_secs_f64());
                "stop"
            }
            Deed::Freeze(time) => {
                self.cluster.signal(place, Signal::STOP)?;
                self.nodes[place].state = State::Frozen(now + time.as_secs_f64());
                "freeze"
            }
        };
        self.churned(place, words.to_owned());
        self.lost(place, now);
        Ok(())
    }

    /// Ends absences and freezes.
    pub(crate) fn bring_back(&mut self, who: Back) -> Result<()> {
        let now = self.now();
        let due = |until| match who {
            Back::Due => until <= now,
            Back::All => true,
            Back::Frozen => false,
        };
        for place in 0..self.nodes.len() {
            match self.nodes[place].state {
                State::Down(until) if due(until) => self.start(place)?,
                State::Frozen(until) if due(until) || who == Back::Frozen => {
                    self.cluster.signal(place, Signal::CONT)?;
                    self.nodes[place].state = State::Runs;
                    self.churned(place, "thaw".to_owned());
                    let over = self.truth.came(place, now);
                    self.events.extend(over);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Notices processes that have ended.
    pub(crate) fn reap(&mut self) -> Result<()> {
        let now = self.now();
        for place in 0..self.nodes.len() {
            let state = self.nodes[place].state;
            let ended = self.cluster.ended(place)?;
            match (state, ended) {
                (State::Stopping(_, back), Some(status)) => {
                    if !status.success() {
                        self.fault(place, format!("asked to stop, it ended with {status}"));
                    }
                    self.nodes[place].state = State::Down(back);
                }
                (State::Stopping(asked, back), None) if now - asked > STOP_LIMIT => {
                    self.fault(
                        place,
                        format!("asked to stop, it ran for {STOP_LIMIT} s more"),
                    );
                    self.cluster.kill(place)?;
                    self.nodes[place].state = State::Down(back);
                }
                (State::Runs | State::Frozen(_), Some(status)) => {
                    let words = panic_of(&self.cluster.log(place));
                    self.fault(place, format!("it ended with {status}: {words}"));
                    self.nodes[place].state = State::Down(now + AFTER_FAULT);
                    self.lost(place, now);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads the views that were written, and compares all of them with the truth. Returns what is wrong now.
    pub(crate) fn look(&mut self) -> Result<Option<String>> {
        self.views.read()?;
        let now = self.now();
        let (views, nodes) = (&self.views, &self.nodes);
        let shown = |place: usize| {
            let view = current(views, nodes, place)?;
            Some(Shown {
                up: &view.up,
                strangers: view.strangers,
            })
        };
        let over = self.truth.look(now, shown);
        let wrong = self.truth.wrong(shown);
        self.events.extend(over);
        Ok(wrong)
    }

    /// Waits until a view was written, or for that time.
    pub(crate) fn wait(&self, time: std::time::Duration) -> Result<()> {
        self.views.wait(time)
    }

    /// Reads what each node that is old enough holds.
    pub(crate) fn sample(&mut self, grown: f64) -> Vec<Sample> {
        let now = self.now();
        let mut samples = Vec::new();
        for place in 0..self.nodes.len() {
            let age_s = now - self.nodes[place].started_s;
            if self.nodes[place].state != State::Runs || age_s < grown {
                continue;
            }
            // A process that ends meanwhile has no sample.
            let Some(mut sample) = self.cluster.pid(place).and_then(held) else {
                continue;
            };
            sample.place = place;
            sample.age_s = age_s;
            if let Some(view) = current(&self.views, &self.nodes, place) {
                sample.up = view.up.len();
                sample.strangers = view.strangers;
                sample.file_bytes = view.bytes;
            }
            if let Some(cpu) = self.cluster.pid(place).and_then(|pid| Cpu::of(pid).ok()) {
                let last = self.nodes[place].cpu.replace((cpu, now));
                sample.cpu = last.map(|(last, at)| cpu.seconds_since(&last) / (now - at));
                let waited = last.and_then(|(last, at)| Some((cpu.waited_since(&last)?, at)));
                sample.waited = waited.map(|(s, at)| s / (now - at));
            }
            samples.push(sample);
        }
        samples
    }

    fn churned(&mut self, place: usize, deed: String) {
        self.events.push(Event::Churn { place, deed });
    }

    fn fault(&mut self, place: usize, words: String) {
        self.events.push(Event::Fault { place, words });
    }

    fn lost(&mut self, place: usize, now: f64) {
        let over = self.truth.went(place, now);
        self.events.extend(over);
    }
}

/// The address of a node.
pub(crate) fn address(place: usize) -> SocketAddr {
    let port = u16::try_from(FIRST_PORT + place).expect("fewer nodes than ports");
    SocketAddr::new(HERE, port)
}

/// The view that a node has written since its start.
fn current<'a>(views: &'a Views, nodes: &[Node], place: usize) -> Option<&'a View> {
    let view = views.of(place)?;
    (view.written_ns >= nodes[place].started_ns).then_some(view)
}

/// What a process holds, as the kernel counts it.
fn held(pid: u32) -> Option<Sample> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let count = |key: &str| -> Option<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some(Sample {
        place: 0,
        age_s: 0.0,
        rss_kb: count("VmRSS:")?,
        peak_kb: count("VmHWM:")?,
        private_kb: count("RssAnon:")?,
        fds: fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count(),
        threads: count("Threads:")? as usize,
        cpu: None,
        waited: None,
        up: 0,
        strangers: 0,
        file_bytes: 0,
    })
}

/// The bytes of all logs.
pub(crate) fn log_bytes(cluster: &Cluster, nodes: usize) -> u64 {
    let length = |place| fs::metadata(cluster.log(place)).map_or(0, |about| about.len());
    (0..nodes).map(length).sum()
}

/// The panics in the logs, with the place of the node.
pub(crate) fn panics(cluster: &Cluster, nodes: usize) -> Result<Vec<(usize, String)>> {
    let mut found = Vec::new();
    for place in 0..nodes {
        let path = cluster.log(place);
        let text = fs::read(&path).with_context(|| format!("can't read {}", path.display()))?;
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().filter(|line| line.contains(" panicked at "));
        found.extend(lines.map(|line| (place, line.to_owned())));
    }
    Ok(found)
}
