//! The record of a soak: one line of JSON for each thing that was done or seen, so that it can be judged while it grows.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// The conditions of a soak.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Conditions {
    /// When it began, in Unix s.
    pub(crate) began_unix_s: u64,
    /// The number of nodes.
    pub(crate) nodes: usize,
    /// The places of the nodes that are never restarted.
    pub(crate) elders: Vec<usize>,
    /// How long it is meant to last.
    pub(crate) for_s: f64,
    /// How long one round of all attacks takes, quiet times included.
    pub(crate) round_s: f64,
    /// Random seed.
    pub(crate) seed: u64,
    /// The binary.
    pub(crate) binary: PathBuf,
    /// Settings of every node.
    pub(crate) settings: Vec<String>,
}

/// What a node's process holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// The node's place.
    pub(crate) place: usize,
    /// How long its process has run.
    pub(crate) age_s: f64,
    /// Its resident memory.
    pub(crate) rss_kb: f64,
    /// The most that it ever had resident.
    pub(crate) peak_kb: f64,
    /// The part of it that it shares with nobody.
    pub(crate) private_kb: f64,
    /// Its open file descriptors.
    pub(crate) fds: usize,
    /// Its threads.
    pub(crate) threads: usize,
    /// The share of a core that it used since the last sample.
    pub(crate) cpu: Option<f64>,
    /// The share of the time since the last sample in which its main thread waited for a processor.
    #[serde(default)]
    pub(crate) waited: Option<f64>,
    /// The nodes of this soak that its view shows as up.
    pub(crate) up: usize,
    /// All others that it shows as up.
    pub(crate) strangers: usize,
    /// The size of its `network.json`.
    pub(crate) file_bytes: usize,
}

/// Which way a view was false.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A node that runs was not shown as up.
    Down,
    /// A node that does not run was shown as up.
    Up,
}

/// What is written down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub(crate) enum Event {
    /// The first line.
    Began(Conditions),
    /// What a process held.
    Sample(Sample),
    /// How busy the machine was since the last such line.
    Machine {
        /// The load of the last minute.
        load: f64,
        /// The idle share in percent.
        idle_percent: f64,
        /// The share of a core that the lab used, the attacker included.
        lab_cpu: f64,
    },
    /// A node was killed, stopped, frozen or started.
    Churn {
        /// The node's place.
        place: usize,
        /// What was done.
        deed: String,
    },
    /// An attack began.
    Attack {
        /// Its name.
        name: String,
    },
    /// An attack ended.
    AttackEnded {
        /// Its name.
        name: String,
        /// Why it could not be made as it was meant.
        failure: Option<String>,
        /// What the attacker did and met: counts and figures by name.
        did: BTreeMap<String, f64>,
    },
    /// A quiet time ended.
    Quiet {
        /// The time from its beginning until all views were exact and stayed so; `None` if they were not at its end.
        exact_after_s: Option<f64>,
        /// What was wrong at its end.
        wrong: Option<String>,
    },
    /// A view was false for some time.
    False {
        /// Which way.
        kind: Kind,
        /// The place of the node whose view it is.
        viewer: usize,
        /// The place of the node that it is about.
        subject: usize,
        /// For how long.
        lasted_s: f64,
    },
    /// A node ended that nobody had ended, or did not end well when it was asked to.
    Fault {
        /// The node's place.
        place: usize,
        /// What happened.
        words: String,
    },
    /// The last line of a soak that lasted as long as it was meant to, or was interrupted.
    Finished {
        /// The bytes of all logs.
        log_bytes: u64,
    },
}

/// A line of the record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// Seconds since the beginning.
    pub(crate) s: f64,
    /// What was done or seen.
    #[serde(flatten)]
    pub(crate) event: Event,
}

/// The record's file in the folder of a soak.
pub(crate) fn file(folder: &Path) -> PathBuf {
    folder.join("record.jsonl")
}

/// Writes the record. Each line is in the file at once.
pub(crate) struct Writer {
    file: File,
}

impl Writer {
    /// Begins a record in that folder.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let path = file(folder);
        let file =
            File::create_new(&path).with_context(|| format!("can't make {}", path.display()))?;
        Ok(Self { file })
    }

    /// Adds a line.
    pub(crate) fn write(&mut self, line: &Line) -> Result<()> {
        let mut text = serde_json::to_string(line).context("a line is JSON")?;
        text.push('\n');
        self.file
            .write_all(text.as_bytes())
            .context("can't write the record")
    }
}

/// Reads a record, also one that is still written: then its last line may be half there, and is left out.
pub(crate) fn read(folder: &Path) -> Result<Vec<Line>> {
    let path = file(folder);
    let open = File::open(&path).with_context(|| format!("can't read {}", path.display()))?;
    let mut lines = Vec::new();
    let mut wrong = None;
    for (number, text) in (1..).zip(BufReader::new(open).lines()) {
        let text = text.context("can't read the record")?;
        if let Some(error) = wrong {
            return Err(error);
        }
        match serde_json::from_str(&text) {
            Ok(line) => lines.push(line),
            Err(error) => {
                let place = format!("{}, line {number}", path.display());
                wrong = Some(anyhow::Error::new(error).context(place));
            }
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_still_written_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(folder.path()).unwrap();
        let line = Line {
            s: 1.5,
            event: Event::False {
                kind: Kind::Down,
                viewer: 1,
                subject: 2,
                lasted_s: 3.0,
            },
        };
        writer.write(&line).unwrap();
        writer.file.write_all(b"{\"s\":2.0,\"wha").unwrap();
        assert_eq!(read(folder.path()).unwrap(), vec![line.clone()]);
        writer.file.write_all(b"\n").unwrap();
        writer.write(&line).unwrap();
        let error = read(folder.path()).unwrap_err().to_string();
        assert!(error.ends_with("record.jsonl, line 2"), "{error}");
    }
}
