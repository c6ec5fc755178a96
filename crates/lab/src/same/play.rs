//! The runs, and the execution of one with both binaries.

use std::fmt;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::compare::{Difference, first_difference};

/// The run whose whole log is compared: sixty cores with loss, a mass death, a partition and its end.
const LOG: &str =
    "--nodes 60 --loss 5% --kill 30%@20s --partition 50%@40s --heal 70s --log-from 0s";

/// The exit status for bad input.
const REFUSED: i32 = 2;

/// The two builds and their folders.
pub(crate) struct Pair {
    /// The binary before the change.
    pub(crate) before: PathBuf,
    /// The binary after the change.
    pub(crate) after: PathBuf,
    /// The working folder of both, which contains the scenarios.
    pub(crate) project: PathBuf,
    /// The folder for outputs. Equal outputs are removed again.
    pub(crate) keep: PathBuf,
}

/// One simulation that both builds execute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// Its name, which its output files have too.
    pub(crate) name: String,
    /// The arguments after `area-net sim`.
    arguments: Vec<String>,
    /// The arguments without the number of nodes, for a scenario that needs more nodes.
    otherwise: Option<Vec<String>>,
    /// The outputs that are compared.
    compared: &'static [Output],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    Stdout,
    Stderr,
}

impl Output {
    fn word(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// The outcome of a run.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Both builds gave the same output.
    Equal,
    /// Both builds refused the scenario.
    Refused,
    /// The outputs differ, as described.
    Differs(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equal => f.write_str("equal"),
            Self::Refused => f.write_str("refused by both"),
            Self::Differs(how) => write!(f, "DIFFERS: {how}"),
        }
    }
}

/// Returns all runs. Those of whole nodes take longest, so they come first: a long run that began last would delay the end.
pub(crate) fn runs(project: &Path, nodes: usize, whole_nodes: usize) -> Result<Vec<Run>> {
    let folder = Path::new("config/sim");
    let mut scenarios = Vec::new();
    let looked = || format!("can't look into {}", project.join(folder).display());
    for entry in fs::read_dir(project.join(folder)).with_context(looked)? {
        let file = PathBuf::from(entry.with_context(looked)?.file_name());
        if file.extension().is_some_and(|end| end == "toml") {
            scenarios.push(file);
        }
    }
    scenarios.sort();
    let of = |file: &Path, fidelity: &str, nodes: usize| {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let path = folder.join(file).display().to_string();
        let own = [
            "sim",
            &path,
            "--fidelity",
            fidelity,
            "--quiet",
            "--json",
            "-",
        ]
        .map(String::from);
        let counted = ["--nodes".to_owned(), nodes.to_string()];
        Run {
            name: match fidelity {
                "core" => name.into_owned(),
                _ => format!("{name}-{fidelity}"),
            },
            arguments: own.iter().chain(&counted).cloned().collect(),
            otherwise: Some(own.to_vec()),
            compared: &[Output::Stdout],
        }
    };
    let mut runs = Vec::new();
    runs.extend(scenarios.iter().map(|file| of(file, "whole", whole_nodes)));
    runs.push(Run {
        name: "log".to_owned(),
        arguments: ["sim", "--quiet"]
            .into_iter()
            .chain(LOG.split(' '))
            .map(String::from)
            .collect(),
        otherwise: None,
        compared: &[Output::Stderr, Output::Stdout],
    });
    runs.extend(scenarios.iter().map(|file| of(file, "core", nodes)));
    Ok(runs)
}

impl Run {
    /// Returns the command in readable form.
    pub(crate) fn words(&self) -> String {
        format!("area-net {}", self.arguments.join(" "))
    }

    /// Executes it with both builds and compares the outputs.
    pub(crate) fn play(&self, pair: &Pair) -> Result<Outcome> {
        let mut ways = std::iter::once(&self.arguments).chain(&self.otherwise);
        let outcome = loop {
            let Some(arguments) = ways.next() else {
                break Outcome::Refused;
            };
            let before = self.execute(&pair.before, arguments, &pair.keep, "before", pair)?;
            let after = self.execute(&pair.after, arguments, &pair.keep, "after", pair)?;
            match (before, after) {
                (REFUSED, REFUSED) => {}
                (before, after) if before != after => {
                    let how = format!("the exit status is {after}, and was {before}");
                    return Ok(Outcome::Differs(how));
                }
                _ => break self.compare(pair)?,
            }
        };
        if !matches!(outcome, Outcome::Differs(_)) {
            self.forget(pair)?;
        }
        Ok(outcome)
    }

    /// Runs one build and returns its exit status.
    fn execute(
        &self,
        binary: &Path,
        arguments: &[String],
        keep: &Path,
        side: &str,
        pair: &Pair,
    ) -> Result<i32> {
        let file = |output: Output| {
            let path = self.file(keep, side, output);
            File::create(&path).with_context(|| format!("can't write {}", path.display()))
        };
        let status = Command::new(binary)
            .args(arguments)
            .current_dir(&pair.project)
            .stdin(Stdio::null())
            .stdout(file(Output::Stdout)?)
            .stderr(file(Output::Stderr)?)
            .status()
            .with_context(|| format!("can't run {}", binary.display()))?;
        let Some(code) = status.code() else {
            bail!("{} was ended by a signal: {status}", binary.display());
        };
        Ok(code)
    }

    fn compare(&self, pair: &Pair) -> Result<Outcome> {
        for output in self.compared {
            let open = |side: &str| {
                let path = self.file(&pair.keep, side, *output);
                let file = File::open(&path);
                file.map(BufReader::new)
                    .with_context(|| format!("can't read {}", path.display()))
            };
            let difference: Option<Difference> =
                first_difference(open("before")?, open("after")?).context("can't compare")?;
            if let Some(difference) = difference {
                let how = format!("{}, {difference}", output.word());
                return Ok(Outcome::Differs(how));
            }
        }
        Ok(Outcome::Equal)
    }

    /// Removes its outputs.
    fn forget(&self, pair: &Pair) -> Result<()> {
        for side in ["before", "after"] {
            for output in [Output::Stdout, Output::Stderr] {
                let path = self.file(&pair.keep, side, output);
                fs::remove_file(&path)
                    .with_context(|| format!("can't remove {}", path.display()))?;
            }
        }
        Ok(())
    }

    fn file(&self, keep: &Path, side: &str, output: Output) -> PathBuf {
        keep.join(format!("{}.{side}.{}", self.name, output.word()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::shared::project;

    /// Executes two shell scripts in place of the builds. In them, `$nodes` is `few` or `own`.
    fn played(before: &str, after: &str) -> (Outcome, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let keep = folder.path().join("keep");
        fs::create_dir(&keep).unwrap();
        // Both are links to the shell, whose `$0` tells them apart. A new script file could be busy while another test forks.
        let shell = |name: &str| {
            let path = folder.path().join(name);
            symlink("/bin/sh", &path).unwrap();
            path
        };
        let pair = Pair {
            before: shell("before"),
            after: shell("after"),
            project: folder.path().to_owned(),
            keep: keep.clone(),
        };
        let script = |nodes: &str| {
            let both = format!("case $0 in *before) {before};; *) {after};; esac");
            vec!["-c".to_owned(), format!("nodes={nodes}; {both}")]
        };
        let run = Run {
            name: "a-run".to_owned(),
            arguments: script("few"),
            otherwise: Some(script("own")),
            compared: &[Output::Stdout],
        };
        let outcome = run.play(&pair).unwrap();
        let mut kept: Vec<String> = fs::read_dir(&keep)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        kept.sort();
        (outcome, kept)
    }

    #[test]
    fn equal_outputs_are_not_kept() {
        let (outcome, kept) = played("echo one", "echo one; echo other >&2");
        assert!(matches!(outcome, Outcome::Equal), "{outcome}");
        assert!(kept.is_empty(), "{kept:?}");
    }

    #[test]
    fn outputs_that_differ_are_kept_and_told() {
        let (outcome, kept) = played("echo one; echo two", "echo one; echo three");
        let words = "DIFFERS: stdout, line 2\n  before: two\\n\n  after:  three\\n";
        assert_eq!(outcome.to_string(), words);
        assert_eq!(kept.len(), 4, "{kept:?}");
        assert!(kept.contains(&"a-run.before.stdout".to_owned()));
    }

    #[test]
    fn another_exit_status_is_a_difference() {
        let (outcome, _) = played("exit 0", "exit 1");
        let words = "DIFFERS: the exit status is 1, and was 0";
        assert_eq!(outcome.to_string(), words);
    }

    #[test]
    fn a_scenario_that_needs_more_nodes_is_played_with_its_own() {
        let needs_more = "[ $nodes = own ] || exit 2; echo";
        let (outcome, _) = played(needs_more, needs_more);
        assert!(matches!(outcome, Outcome::Equal), "{outcome}");
        let (outcome, _) = played(&format!("{needs_more} a"), &format!("{needs_more} b"));
        assert!(matches!(outcome, Outcome::Differs(_)), "{outcome}");
    }

    #[test]
    fn what_both_refuse_is_no_difference_but_what_one_refuses_is() {
        let (outcome, kept) = played("exit 2", "echo in other words >&2; exit 2");
        assert!(matches!(outcome, Outcome::Refused), "{outcome}");
        assert!(kept.is_empty(), "{kept:?}");
        let (outcome, _) = played("exit 2", "exit 0");
        assert!(matches!(outcome, Outcome::Differs(_)), "{outcome}");
    }

    #[test]
    fn every_scenario_is_played_in_both_fidelities() {
        let runs = runs(project(), 80, 30).unwrap();
        let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
        for name in ["log", "hub", "hub-whole"] {
            assert!(names.contains(&name), "{names:?}");
        }
        let hub = runs.iter().find(|run| run.name == "hub-whole").unwrap();
        let words = "area-net sim config/sim/hub.toml --fidelity whole --quiet --json - --nodes 30";
        assert_eq!(hub.words(), words);
    }
}
