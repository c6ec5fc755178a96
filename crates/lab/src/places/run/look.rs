//! Looks at what no event announces: processes, logs, and counters of packets and bytes.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};

use super::Run;
use crate::places::scenario::{What, Who};
use crate::places::space;

impl Run<'_> {
    /// Looks at everything that no event announces: processes, logs, counters.
    pub(super) fn look(&mut self) -> Result<()> {
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
    fn tried(&mut self, number: usize, by: &Who, count: usize) -> Result<bool> {
        let mut least = usize::MAX;
        for place in self.net.plan.who(by) {
            let mut words = space::prefix(self.net.space(place));
            let table = format!("tried{number}");
            words.extend(["nft", "-j", "list", "set", "inet", &table, "seen"].map(String::from));
            let text = space::command(&words, "")?;
            let json: serde_json::Value = serde_json::from_str(&text).context("nft writes JSON")?;
            let sets = json["nftables"].as_array().context("nft lists a set")?;
            let found = sets.iter().find_map(|one| one["set"]["elem"].as_array());
            least = least.min(found.map_or(0, Vec::len));
        }
        self.judge
            .progress(number, format!("{least} of {count} were tried"));
        Ok(least >= count)
    }

    /// Counts bytes for the promises about them. `last`: the run ends.
    pub(super) fn count(&mut self, last: bool) -> Result<()> {
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
}
