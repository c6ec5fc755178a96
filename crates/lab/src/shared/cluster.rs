//! A cluster of node processes, with the scratch folder that holds all files they read and write.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::shared::isolate::guard_works;
use crate::shared::kernel::now_ns;
use crate::shared::project;

/// The five profiles in the order in which `start.sh` starts them.
const SHIPPED: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

/// The first port of a chain. It is below the kernel's ephemeral port range.
pub(crate) const FIRST_PORT: usize = 20_000;

/// A port on which no process listens.
const MISSING_PORT: usize = 19_999;

/// The nodes, and the targets that each is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// The project's five profiles, unchanged.
    Shipped,
    /// The target of each node is the one before it.
    Chain(usize),
    /// A chain in which the middle node also has an unreachable target.
    ChainWithMissing(usize),
}

impl Plan {
    /// Returns the number of processes.
    pub(crate) fn nodes(self) -> usize {
        match self {
            Self::Shipped => SHIPPED.len(),
            Self::Chain(nodes) | Self::ChainWithMissing(nodes) => nodes,
        }
    }

    /// Returns the names of the nodes' profiles.
    pub(crate) fn names(self) -> Vec<String> {
        match self {
            Self::Shipped => SHIPPED.map(String::from).to_vec(),
            Self::Chain(nodes) | Self::ChainWithMissing(nodes) => {
                (0..nodes).map(|place| format!("n{place:03}")).collect()
            }
        }
    }

    /// Returns the targets of the node at `place`, in the format of a target file.
    fn targets(self, place: usize) -> String {
        let mut ports = Vec::new();
        if place > 0 {
            ports.push(FIRST_PORT + place - 1);
        }
        if self == Self::ChainWithMissing(self.nodes()) && place == self.nodes() / 2 {
            ports.push(MISSING_PORT);
        }
        let addresses: Vec<String> = ports
            .iter()
            .map(|port| format!("\"[::1]:{port}\""))
            .collect();
        format!("[{}]\n", addresses.join(", "))
    }
}

/// Returns why the shipped profiles can't be run, or `None` if they can.
pub(crate) fn shipped_missing() -> Option<String> {
    SHIPPED
        .iter()
        .map(|name| project().join(format!("config/network/{name}.toml")))
        .find(|path| !path.is_file())
        .map(|path| format!("there is no {}", path.display()))
}

/// The nodes of one run. Dropping it always ends their processes.
pub(crate) struct Cluster {
    folder: Option<TempDir>,
    binary: PathBuf,
    settings: Vec<String>,
    config: PathBuf,
    names: Vec<String>,
    logs: PathBuf,
    /// The words before each node's command, such as those that enter its network namespace.
    prefixes: Vec<Vec<String>>,
    /// Settings of each node alone, after those of all.
    own: Vec<Vec<String>>,
    children: Vec<Option<Child>>,
    guarded: bool,
}

impl Cluster {
    /// Makes a new scratch folder under `base`, with fresh settings and without keys.
    pub(crate) fn new(plan: Plan, base: &Path, binary: &Path, settings: &[String]) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("area-net-bench-")
            .tempdir_in(base)
            .with_context(|| format!("can't make a folder in {}", base.display()))?;
        let config = match plan {
            Plan::Shipped => {
                copy_targets(folder.path())?;
                project().join("config")
            }
            Plan::Chain(_) | Plan::ChainWithMissing(_) => write_chain(plan, folder.path())?,
        };
        let logs = folder.path().join("logs");
        let names = plan.names();
        let prefixes = vec![Vec::new(); names.len()];
        Self::lay_out(folder, binary, settings, config, names, prefixes, logs)
    }

    /// Prepares the processes of `names` in a folder that already has their targets. Their settings are in `config`; their logs
    /// go to `logs`. The command of each starts with its words in `prefixes`, which must `exec` the rest so that the pid stays.
    pub(crate) fn lay_out(
        folder: TempDir,
        binary: &Path,
        settings: &[String],
        config: PathBuf,
        names: Vec<String>,
        prefixes: Vec<Vec<String>>,
        logs: PathBuf,
    ) -> Result<Self> {
        for name in &names {
            make_dir(&folder.path().join("profiles").join(name))?;
        }
        make_dir(&logs)?;
        Ok(Self {
            folder: Some(folder),
            binary: binary.to_owned(),
            settings: settings.to_vec(),
            config,
            logs,
            prefixes,
            own: vec![Vec::new(); names.len()],
            children: names.iter().map(|_| None).collect(),
            names,
            guarded: guard_works(),
        })
    }

    /// Returns the folder in which the nodes run.
    pub(crate) fn path(&self) -> &Path {
        self.folder.as_ref().map_or(Path::new("."), TempDir::path)
    }

    /// Returns the folder to which each node writes its files.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        self.names
            .iter()
            .map(|name| self.path().join("profiles").join(name))
            .collect()
    }

    /// Returns the profile name of the node at `place`.
    pub(crate) fn name(&self, place: usize) -> &str {
        &self.names[place]
    }

    /// Sets the settings of the node at `place` alone, from its next start on.
    pub(crate) fn set_own(&mut self, place: usize, settings: Vec<String>) {
        self.own[place] = settings;
    }

    /// Starts the node at `place`. Returns the time just before, in Unix ns.
    pub(crate) fn start(&mut self, place: usize) -> Result<u64> {
        let log = self.log(place);
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("can't write {}", log.display()))?;
        // Its death is tied to ours: `setpriv` sets that up and becomes the node, under the same pid.
        let guard = ["setpriv", "--pdeathsig", "KILL", "--"].map(OsString::from);
        let mut words: Vec<OsString> = self.prefixes[place].iter().map(OsString::from).collect();
        words.extend(guard.into_iter().filter(|_| self.guarded));
        words.push(self.binary.clone().into());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .arg("-c")
            .arg(&self.config)
            .arg("-p")
            .arg(&self.names[place]);
        for setting in self.settings.iter().chain(&self.own[place]) {
            command.arg("-s").arg(setting);
        }
        command
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("can't share a log")?)
            .stderr(output);
        let before = now_ns();
        let child = command
            .spawn()
            .with_context(|| format!("can't start {}", self.binary.display()))?;
        self.children[place] = Some(child);
        Ok(before)
    }

    /// Kills the node at `place` (SIGKILL) and reaps it. Returns the time just before, in Unix ns.
    pub(crate) fn kill(&mut self, place: usize) -> Result<u64> {
        let mut child = self.children[place].take().context("it doesn't run")?;
        let before = now_ns();
        child.kill().context("can't kill")?;
        child.wait().context("can't reap")?;
        Ok(before)
    }

    /// Asks the node at `place` to stop (SIGTERM). Returns the time just before, in Unix ns.
    pub(crate) fn ask_to_stop(&mut self, place: usize) -> Result<u64> {
        self.signal(place, Signal::TERM)
    }

    /// Sends a signal to the node at `place`. Returns the time just before, in Unix ns.
    pub(crate) fn signal(&self, place: usize, signal: Signal) -> Result<u64> {
        let child = self.children[place].as_ref().context("it doesn't run")?;
        let before = now_ns();
        kill_process(Pid::from_child(child), signal).context("can't send a signal")?;
        Ok(before)
    }

    /// Returns the exit status of the node at `place`, or `None` if it has not exited.
    pub(crate) fn ended(&mut self, place: usize) -> Result<Option<ExitStatus>> {
        let Some(child) = &mut self.children[place] else {
            return Ok(None);
        };
        let status = child.try_wait().context("can't ask for a process's end")?;
        if status.is_some() {
            self.children[place] = None;
        }
        Ok(status)
    }

    /// Returns the process ids of the running nodes.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.children.iter().flatten().map(Child::id).collect()
    }

    /// Returns the process id of the node at `place`, if it runs.
    pub(crate) fn pid(&self, place: usize) -> Option<u32> {
        self.children[place].as_ref().map(Child::id)
    }

    /// Returns the last lines of the log of the node at `place`.
    pub(crate) fn last_words(&self, place: usize) -> String {
        let text = fs::read(self.log(place)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(1000)..]).into_owned();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }

    /// Keeps the scratch folder for inspection.
    pub(crate) fn keep(&mut self) -> Option<PathBuf> {
        self.folder.take().map(|folder| {
            self.stop_all();
            folder.keep()
        })
    }

    /// Returns the log of the node at `place`.
    pub(crate) fn log(&self, place: usize) -> PathBuf {
        self.logs.join(format!("{}.log", self.names[place]))
    }

    fn stop_all(&mut self) {
        // It kills all first, so that reaping one by one is quick. A process that can't be killed has exited already.
        for child in self.children.iter_mut().flatten() {
            let _ended = child.kill();
        }
        for mut child in self.children.iter_mut().filter_map(Option::take) {
            let _ended = child.wait();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop_all();
    }
}

/// Copies the target files of the shipped profiles to the path that their settings name.
pub(crate) fn copy_targets(folder: &Path) -> Result<()> {
    make_dir(&folder.join("profiles"))?;
    for name in SHIPPED {
        let from = project().join(format!("profiles/{name}.json"));
        if from.is_file() {
            let to = folder.join(format!("profiles/{name}.json"));
            fs::copy(&from, &to).with_context(|| format!("can't copy {}", from.display()))?;
        }
    }
    Ok(())
}

/// Writes the settings and targets of a chain: the project's defaults, and a layer for each node.
fn write_chain(plan: Plan, folder: &Path) -> Result<PathBuf> {
    let config = folder.join("config");
    make_dir(&config.join("network"))?;
    make_dir(&folder.join("targets"))?;
    let default = project().join("config/network/default.toml");
    let into = config.join("network/default.toml");
    if default.is_file() {
        fs::copy(&default, &into).with_context(|| format!("can't copy {}", default.display()))?;
    } else {
        File::create(&into).with_context(|| format!("can't write {}", into.display()))?;
    }
    for (place, name) in plan.names().iter().enumerate() {
        let layer = format!(
            "label = \"{name}\"\n\n[network.controller.listen]\naddr = \"::1\"\nport = {}\n\n\
             [network.controller.target]\npath = \"targets/{name}.json\"\n",
            FIRST_PORT + place
        );
        write(&config.join(format!("network/{name}.toml")), &layer)?;
        write(
            &folder.join(format!("targets/{name}.json")),
            &plan.targets(place),
        )?;
    }
    Ok(config)
}

pub(crate) fn make_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("can't make {}", path.display()))
}

pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("can't write {}", path.display()))
}
