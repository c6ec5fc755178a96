//! Plays one scenario, in a worker that has namespaces of its own.

mod deeds;
mod look;
mod start;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::places::judge::Judge;
use crate::places::net::Net;
use crate::places::parse;
use crate::places::plan::Plan;
use crate::places::scenario::{Deed, Scenario, What};
use crate::places::views::Views;
use crate::places::{selftest, space};
use crate::shared::cluster::{self, Cluster};
use crate::shared::crew::Found;
use crate::shared::kernel::{now_ns, seconds_between};

/// How often files and counters are looked at that no event announces.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Views are read at most this often: reading takes CPU time from the nodes that are being timed.
const READ_EVERY: Duration = Duration::from_millis(20);

/// The job of a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    /// The scenario's file.
    pub(crate) file: PathBuf,
    /// The binary that the nodes run.
    pub(crate) binary: PathBuf,
    /// The folder for results.
    pub(crate) out: PathBuf,
    /// A folder in memory that no other run uses.
    pub(crate) work: PathBuf,
}

/// Plays the scenario and judges it.
pub(crate) fn play(job: &Job) -> Result<Found> {
    let scenario = parse::file(&job.file)?;
    let mut run = Run::new(job, &scenario)?;
    let failure = run.play().err().map(|error| format!("{error:#}"));
    run.keep_views()?;
    Ok(Found {
        verdicts: run.judge.verdicts(&run.net.plan),
        failure,
    })
}

struct Run<'a> {
    scenario: &'a Scenario,
    job: &'a Job,
    net: Net,
    cluster: Cluster,
    views: Views,
    judge: Judge,
    timeline: File,
    began: Instant,
    began_ns: u64,
    hosts_file: PathBuf,
    /// Bytes sent by each node of a promise when its time began, and when that was.
    counted: Vec<Option<(Instant, Vec<u64>)>>,
    /// Places that pass packets again at that time.
    mend_at: Vec<(f64, usize)>,
    ended: Vec<bool>,
    /// Targets that a step gave a node in place of those of its host.
    targets_now: Vec<Option<Vec<String>>>,
}

impl<'a> Run<'a> {
    /// Builds the places, checks the routers, and starts no node.
    fn new(job: &'a Job, scenario: &'a Scenario) -> Result<Self> {
        let commands =
            File::create(job.out.join("commands")).context("can't write the commands")?;
        let mut timeline =
            File::create(job.out.join("timeline")).context("can't write the timeline")?;
        let mut net = Net::new(Plan::new(scenario), commands);
        net.make()?;
        for line in selftest::check(&mut net)? {
            writeln!(timeline, "{line}").context("can't write the timeline")?;
        }
        let names: Vec<String> = net
            .plan
            .nodes
            .iter()
            .map(|place| net.plan.places[*place].name.clone())
            .collect();
        let folder = tempfile::Builder::new()
            .prefix("area-net-places-")
            .tempdir_in(&job.work)
            .with_context(|| format!("can't make a folder in {}", job.work.display()))?;
        let hosts_file = folder.path().join("hosts");
        cluster::write(&hosts_file, "127.0.0.1 localhost\n::1 localhost\n")?;
        let config = folder.path().join("config");
        cluster::make_dir(&config.join("network"))?;
        // The binary's own defaults apply: it may know other settings than the lab's checkout.
        cluster::write(&config.join("network/default.toml"), "")?;
        let prefixes = names.iter().map(|name| space::prefix(name)).collect();
        let logs = job.out.join("logs");
        let cluster = Cluster::lay_out(
            folder,
            &job.binary,
            &scenario.settings,
            config,
            names.clone(),
            prefixes,
            logs,
        )?;
        let links = scenario.promises.iter().any(|promise| {
            matches!(
                promise.what,
                What::Linked(_) | What::Apart(_) | What::Links { .. }
            )
        });
        let mut run = Self {
            judge: Judge::new(&scenario.promises, &net.plan),
            views: Views::new(&cluster.folders(), &names, links)?,
            counted: vec![None; scenario.promises.len()],
            ended: vec![false; names.len()],
            targets_now: vec![None; names.len()],
            mend_at: Vec::new(),
            scenario,
            job,
            net,
            cluster,
            timeline,
            began: Instant::now(),
            began_ns: now_ns(),
            hosts_file,
        };
        run.prepare()?;
        Ok(run)
    }

    /// Counts tried addresses, and lets names resolve as steps say.
    fn prepare(&mut self) -> Result<()> {
        for (number, promise) in self.scenario.promises.iter().enumerate() {
            let What::Tried { by, to, .. } = &promise.what else {
                continue;
            };
            let (family, kind) = if to.contains(':') {
                ("ip6", "ipv6_addr")
            } else {
                ("ip", "ipv4_addr")
            };
            let rules = format!(
                "table inet tried{number} {{\nset seen {{ type {kind}; flags dynamic; size 65535; }}\n\
                 chain output {{ type filter hook output priority filter;\n\
                 meta l4proto udp {family} daddr {to} add @seen {{ {family} daddr }}\n}}\n}}\n"
            );
            for place in self.net.plan.who(by) {
                let mut words = space::prefix(self.net.space(place));
                words.extend(["nft", "-f", "-"].map(String::from));
                space::command(&words, &rules)?;
            }
        }
        if self
            .scenario
            .steps
            .iter()
            .any(|step| matches!(step.deed, Deed::Name { .. }))
        {
            let words = [
                "mount",
                "--bind",
                &self.hosts_file.to_string_lossy(),
                "/etc/hosts",
            ];
            space::command(&words.map(String::from), "")?;
        }
        Ok(())
    }

    fn play(&mut self) -> Result<()> {
        // What is done when, and whether it is one of the initial starts.
        let mut todo: Vec<(f64, Deed, bool)> = Vec::new();
        let steps = self.scenario.steps.iter();
        todo.extend(steps.map(|step| (step.at_s, step.deed.clone(), false)));
        for (node, place) in self.net.plan.nodes.iter().enumerate() {
            if let Some(at) = self.net.plan.node(node).start_s {
                todo.push((
                    at,
                    Deed::Start {
                        who: vec![self.net.space(*place).to_owned()],
                        targets: None,
                    },
                    true,
                ));
            }
        }
        // A stable sort: a step comes before the starts of the same time.
        todo.sort_by(|(one, ..), (other, ..)| one.total_cmp(other));
        let mut starts = todo.iter().filter(|(.., initial)| *initial).count();
        self.began = Instant::now();
        self.began_ns = now_ns();
        let mut todo = todo.into_iter().peekable();
        while let Some((at, deed, initial)) = todo.next() {
            self.judge.next_step(at);
            self.follow_until(at, false)?;
            self.judge
                .next_step(todo.peek().map_or(f64::INFINITY, |(at, ..)| *at));
            self.does(&deed)
                .with_context(|| format!("at {at} s: {deed:?}"))?;
            starts -= usize::from(initial);
            if initial && starts == 0 {
                self.judge.all_started(self.now());
            }
        }
        self.follow_until(self.scenario.lasts_s, true)?;
        self.count(true)
    }

    fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    fn note(&mut self, words: &str) -> Result<()> {
        writeln!(self.timeline, "{:8.3} {words}", self.now()).context("can't write the timeline")
    }

    /// Follows the views until this time, or until nothing is left to be judged.
    fn follow_until(&mut self, at_s: f64, may_settle: bool) -> Result<()> {
        let mut looked = Instant::now();
        loop {
            self.drain()?;
            if looked.elapsed() >= LOOK_EVERY {
                looked = Instant::now();
                self.look()?;
            }
            if may_settle && self.judge.settled() {
                return Ok(());
            }
            let left = at_s - self.now();
            if left <= 0.0 {
                return Ok(());
            }
            let left = Duration::from_secs_f64(left);
            std::thread::sleep(left.min(READ_EVERY));
            self.views.wait(left.min(LOOK_EVERY))?;
        }
    }

    fn drain(&mut self) -> Result<()> {
        for (node, written_ns, view) in self.views.written()? {
            let at_s = seconds_between(self.began_ns, written_ns);
            let up = view.nodes.iter().flatten().filter(|shown| shown.up).count();
            writeln!(
                self.timeline,
                "{at_s:8.3} {} shows {up} up, {} links",
                self.cluster.name(node),
                view.links.len()
            )
            .context("can't write the timeline")?;
            self.judge.shows(node, at_s, view);
            self.judge.judge(at_s, &self.net.plan);
        }
        Ok(())
    }

    /// Keeps the last view of each node, and its peers.json.
    fn keep_views(&self) -> Result<()> {
        for (node, folder) in self.cluster.folders().iter().enumerate() {
            for file in ["network.json", "peers.json"] {
                let to = self
                    .job
                    .out
                    .join(format!("logs/{}.{file}", self.cluster.name(node)));
                if folder.join(file).exists() {
                    fs::copy(folder.join(file), &to).context("can't keep a view")?;
                }
            }
        }
        Ok(())
    }
}
