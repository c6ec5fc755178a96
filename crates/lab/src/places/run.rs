//! Plays one scenario, in a worker that has namespaces of its own.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use crate::lab::verdict::Verdict;
use crate::places::judge::Judge;
use crate::places::net::Net;
use crate::places::parse;
use crate::places::plan::Plan;
use crate::places::scenario::{Deed, Scenario, What, Who};
use crate::places::views::Views;
use crate::places::{selftest, space};
use crate::shared::cluster::{self, Cluster};
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

/// The result of a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    /// One verdict a promise.
    pub(crate) verdicts: Vec<Verdict>,
    /// Why the scenario did not run to its end, if it didn't.
    pub(crate) failure: Option<String>,
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
                    Deed::Start(vec![self.net.space(*place).to_owned()]),
                    true,
                ));
            }
        }
        // A stable sort: a step comes before the starts of the same time.
        todo.sort_by(|(one, ..), (other, ..)| one.total_cmp(other));
        let mut starts = todo.iter().filter(|(.., initial)| *initial).count();
        self.began = Instant::now();
        self.began_ns = now_ns();
        for (at, deed, initial) in todo {
            self.follow_until(at, false)?;
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

    /// Looks at everything that no event announces: processes, logs, counters.
    fn look(&mut self) -> Result<()> {
        for node in 0..self.ended.len() {
            if let Some(status) = self.cluster.ended(node)?
                && !self.ended[node]
            {
                let (name, words) = (
                    self.cluster.name(node).to_owned(),
                    self.cluster.last_words(node),
                );
                bail!("{name} ended by itself with {status}: {words}");
            }
        }
        let now = self.now();
        let (due, later): (Vec<_>, Vec<_>) = self.mend_at.drain(..).partition(|(at, _)| *at <= now);
        self.mend_at = later;
        for (_, place) in due {
            let ports = self.net.ports(place, None);
            self.net.cut(place, &ports, false)?;
            self.note(&format!(
                "{} passes packets again",
                self.net.space(place).to_owned()
            ))?;
        }
        self.judge.judge(now, &self.net.plan);
        for (number, promise) in self.judge.open(now) {
            let held = match &promise.what {
                What::Says { by, text } => self.each(by, |run, node| {
                    let log = run
                        .job
                        .out
                        .join(format!("logs/{}.log", run.cluster.name(node)));
                    fs::read_to_string(log).is_ok_and(|log| log.contains(text.as_str()))
                }),
                What::Writes { by, text } => {
                    let text = self.net.plan.fill(text).map_err(|what| anyhow!(what))?;
                    let folders = self.cluster.folders();
                    self.each(by, |_, node| {
                        let file = folders[node].join("peers.json");
                        fs::read_to_string(file).is_ok_and(|peers| peers.contains(&text))
                    })
                }
                What::Tried { by, count, .. } => self.tried(number, by, *count)?,
                _ => false,
            };
            if held {
                self.judge.found(number, now);
            }
        }
        self.count(false)
    }

    fn each(&self, who: &Who, holds: impl Fn(&Self, usize) -> bool) -> bool {
        self.net
            .plan
            .nodes_of(who)
            .into_iter()
            .all(|node| holds(self, node))
    }

    /// Whether each has sent packets to so many addresses.
    fn tried(&self, number: usize, by: &Who, count: usize) -> Result<bool> {
        for place in self.net.plan.who(by) {
            let mut words = space::prefix(self.net.space(place));
            words.extend(
                [
                    "nft",
                    "-j",
                    "list",
                    "set",
                    "inet",
                    &format!("tried{number}"),
                    "seen",
                ]
                .map(String::from),
            );
            let text = space::command(&words, "")?;
            let json: serde_json::Value = serde_json::from_str(&text).context("nft writes JSON")?;
            let sets = json["nftables"].as_array().context("nft lists a set")?;
            let found = sets.iter().find_map(|one| one["set"]["elem"].as_array());
            if found.map_or(0, Vec::len) < count {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Counts bytes for the promises about them. `last`: the run ends.
    fn count(&mut self, last: bool) -> Result<()> {
        let now = self.now();
        for (number, promise) in self.judge.open(now) {
            let What::Bytes { of, most } = &promise.what else {
                continue;
            };
            let nodes = self.net.plan.nodes_of(of);
            let sent: Vec<u64> = nodes
                .iter()
                .map(|node| self.sent(*node))
                .collect::<Result<_>>()?;
            match &self.counted[number] {
                None => self.counted[number] = Some((Instant::now(), sent)),
                Some((since, before))
                    if last || promise.until_s.is_some_and(|until| now >= until) =>
                {
                    let seconds = since.elapsed().as_secs_f64();
                    let bytes: u64 = sent
                        .iter()
                        .zip(before)
                        .map(|(now, before)| now - before)
                        .sum();
                    let each = bytes as f64 / seconds / nodes.len() as f64;
                    self.judge
                        .measured(number, format!("{each:.0} bytes a second"), each <= *most);
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Bytes that a node's host has sent on its interfaces, but loopback.
    fn sent(&self, node: usize) -> Result<u64> {
        let space = self.net.space(self.net.plan.nodes[node]);
        space::inside(space, || {
            let text =
                fs::read_to_string("/proc/thread-self/net/dev").context("can't read net/dev")?;
            let lines = text.lines().filter_map(|line| line.split_once(':'));
            let of_wire = lines.filter(|(name, _)| name.trim() != "lo");
            Ok(of_wire
                .filter_map(|(_, rest)| rest.split_whitespace().nth(8)?.parse::<u64>().ok())
                .sum())
        })
    }

    fn does(&mut self, deed: &Deed) -> Result<()> {
        self.drain()?;
        self.note(&format!("{deed:?}"))?;
        match deed {
            Deed::Start(who) => {
                for node in self.net.plan.nodes_of(who) {
                    self.start(node)?;
                }
            }
            Deed::Kill(who) => {
                for node in self.net.plan.nodes_of(who) {
                    self.judge.runs(node, false);
                    self.cluster.kill(node)?;
                }
            }
            Deed::Leave(who) => {
                for node in self.net.plan.nodes_of(who) {
                    self.ended[node] = true;
                    self.judge.runs(node, false);
                    self.cluster.ask_to_stop(node)?;
                }
            }
            Deed::Address { who, net, keep } => {
                self.on_ports(who, net.as_deref(), |run, place, ports| {
                    run.net.renumber(place, ports, *keep)
                })?;
            }
            Deed::DropAddress(who, net) => {
                self.on_ports(who, net.as_deref(), |run, place, ports| {
                    run.net.drop_addresses(place, ports, true)
                })?;
            }
            Deed::RestoreAddress(who, net) => {
                self.on_ports(who, net.as_deref(), |run, place, ports| {
                    run.net.drop_addresses(place, ports, false)
                })?;
            }
            Deed::Unplug(who, net) => {
                self.on_ports(who, Some(net), |run, place, ports| {
                    ports
                        .iter()
                        .try_for_each(|port| run.net.unplug(place, *port))
                })?;
            }
            Deed::Plug(who, net) => {
                let segment = self.net.segment_of(self.index(net)?);
                for place in self.net.plan.who(who) {
                    self.net.plug(place, segment)?;
                }
            }
            Deed::Reboot { who, down_s } => {
                let at = self.now() + down_s;
                self.on_ports(who, None, |run, place, ports| {
                    run.net.cut(place, ports, true)?;
                    run.mend_at.push((at, place));
                    run.net.flush(place)
                })?;
            }
            Deed::Renumber { who, flush } => {
                self.on_ports(who, None, |run, place, ports| {
                    run.net.renumber(place, &ports[1..], false)?;
                    if *flush { run.net.flush(place) } else { Ok(()) }
                })?;
            }
            Deed::Cut(who, net) | Deed::Mend(who, net) => {
                let cut = matches!(deed, Deed::Cut(..));
                self.on_ports(who, net.as_deref(), |run, place, ports| {
                    run.net.cut(place, ports, cut)
                })?;
                if net.is_none() {
                    for node in self.net.plan.nodes_of(who) {
                        self.judge.cuts(node, cut);
                    }
                }
            }
            Deed::Name { name, is } => self.resolve(name, is)?,
            Deed::Run { who, command } => {
                let command = self.net.plan.fill(command).map_err(|what| anyhow!(what))?;
                for place in self.net.plan.who(who) {
                    self.net.shell(place, &command)?;
                }
            }
        }
        let now = self.now();
        self.judge.judge(now, &self.net.plan);
        Ok(())
    }

    /// Does something with the ports of places, on one network or on all.
    fn on_ports(
        &mut self,
        who: &Who,
        net: Option<&str>,
        mut does: impl FnMut(&mut Self, usize, &[usize]) -> Result<()>,
    ) -> Result<()> {
        let net = net.map(|net| self.index(net)).transpose()?;
        for place in self.net.plan.who(who) {
            let ports = self.net.ports(place, net);
            does(self, place, &ports)?;
        }
        Ok(())
    }

    fn index(&self, net: &str) -> Result<usize> {
        let found = self.scenario.nets.iter().position(|one| one.name == net);
        found.with_context(|| format!("there is no net {net}"))
    }

    /// Sets what a name resolves to.
    fn resolve(&mut self, name: &str, is: &[String]) -> Result<()> {
        let text = fs::read_to_string(&self.hosts_file).context("can't read the names")?;
        let mut lines: Vec<String> = text
            .lines()
            .filter(|line| line.split_whitespace().nth(1) != Some(name))
            .map(String::from)
            .collect();
        for address in is {
            let address = self.net.plan.fill(address).map_err(|what| anyhow!(what))?;
            lines.push(format!("{address} {name}"));
        }
        // In place: the file is mounted.
        cluster::write(&self.hosts_file, &(lines.join("\n") + "\n"))
    }

    fn start(&mut self, node: usize) -> Result<()> {
        let place = self.net.plan.nodes[node];
        let host = self.net.plan.node(node).clone();
        let name = self.cluster.name(node).to_owned();
        let fill = |text: &str| self.net.plan.fill(text).map_err(|what| anyhow!(what));
        let listen = fill(&host.listen)?;
        let layer = format!(
            "label = \"{name}\"\n\n[network.controller.listen]\naddr = \"{listen}\"\nport = {}\n\n\
             [network.controller.target]\npath = \"targets/{name}.json\"\n",
            host.port
        );
        let settings = host
            .settings
            .iter()
            .map(|setting| fill(setting))
            .collect::<Result<Vec<_>>>()?;
        let folder = self.cluster.path().to_owned();
        cluster::make_dir(&folder.join("targets"))?;
        cluster::write(&folder.join(format!("config/network/{name}.toml")), &layer)?;
        let text = match &host.targets_from {
            Some(from) => fs::read_to_string(folder.join(format!("profiles/{from}/peers.json")))
                .with_context(|| format!("{from} has no peers.json"))?,
            None => serde_json::to_string(&self.targets(place, &host.targets)?)
                .context("targets are JSON")?,
        };
        cluster::write(&folder.join(format!("targets/{name}.json")), &text)?;
        self.judge.runs(node, true);
        self.ended[node] = false;
        self.cluster.set_own(node, settings);
        self.cluster.start(node)?;
        Ok(())
    }

    /// The targets of a host: literals as they are; of names, all addresses of the families that the host has; of a name with
    /// `%`, the link-local address on the network that they share.
    fn targets(&self, place: usize, targets: &[String]) -> Result<Vec<String>> {
        let plan = &self.net.plan;
        let ours = &plan.places[place].ports;
        let (has_v4, has_v6) = (
            ours.iter().any(|port| port.v4.is_some()),
            ours.iter().any(|port| port.v6.is_some()),
        );
        let mut found = Vec::new();
        for target in targets {
            if target.contains([':', '{']) {
                found.push(plan.fill(target).map_err(|what| anyhow!(what))?);
                continue;
            }
            for node in plan.nodes_of(&vec![target.trim_end_matches('%').to_owned()]) {
                let (there, port) = (plan.nodes[node], plan.node(node).port);
                if there == place {
                    continue;
                }
                for (number, theirs) in plan.places[there].ports.iter().enumerate() {
                    if target.ends_with('%') {
                        if let Some(own) = ours.iter().find(|own| own.segment == theirs.segment) {
                            let address = self.net.link_local(there, number)?;
                            found.push(format!("[{address}%{}]:{port}", own.name));
                        }
                        continue;
                    }
                    for address in theirs.addresses() {
                        if if address.is_ipv4() { has_v4 } else { has_v6 } {
                            found.push(SocketAddr::new(address, port).to_string());
                        }
                    }
                }
            }
        }
        Ok(found)
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

/// What is missing on this machine, with the packages to install.
pub(crate) fn missing() -> Option<String> {
    let tools = [
        ("ip", "iproute2"),
        ("nft", "nftables"),
        ("conntrack", "conntrack"),
        ("nsenter", "util-linux"),
    ];
    let lacks = tools.iter().filter(|(tool, _)| !runs(tool));
    let (names, packages): (Vec<&str>, Vec<&str>) = lacks.copied().unzip();
    (!names.is_empty()).then(|| {
        format!(
            "there is no {}; on Debian: apt-get install {}",
            names.join(", no "),
            packages.join(" ")
        )
    })
}

/// Whether the program is there. Each of these prints its version.
fn runs(tool: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).any(|folder| folder.join(tool).is_file());
    found && Command::new(tool).arg("--version").output().is_ok()
}

/// The path of a worker's result.
pub(crate) fn result(out: &Path) -> PathBuf {
    out.join("result.json")
}
