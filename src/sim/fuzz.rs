//! Generates random scenarios, and minimises one that fails.
//!
//! A seed determines a scenario as text: its introduction, its links or a matrix of delays between sites, settings, start
//! times, churn, and up to eight faults of a dozen kinds. So a failure is a file that anybody can run. It is minimised by
//! removing one part after the other, as long as the same rule is violated.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::attack::by_lot;
use super::parse::{read_text, toml_of_tuned};
use super::report::ViolationReport;
use super::scenario::Fidelity;
use super::{Progress, run};
use crate::membership::Value;

/// The least upper bound for the number of nodes in a generated scenario.
pub const LEAST_NODES: usize = 5;
/// The most candidates that a minimisation tries.
const MOST_TRIES: usize = 80;

/// A scenario in parts that can be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    fidelity: Fidelity,
    seed: u64,
    nodes: usize,
    introduction: &'static str,
    links: String,
    /// The delays between sites, which nodes are divided among.
    sites: Sites,
    /// Settings of all nodes.
    settings: Vec<String>,
    start_over: &'static str,
    /// Nodes that die and come back, a minute, and how long each is down.
    churn: Option<(u32, u32)>,
    clocks: bool,
    /// Constants that are set in all scenarios, as a table. It is never removed.
    tuning: String,
    /// Each fault has a time in ms, a step, and perhaps the step that ends it.
    troubles: Vec<(u64, Trouble)>,
    /// The attacks, as the keys of a table each.
    attacks: Vec<String>,
}

/// A matrix of delays: the first nodes of each site, and the delay in ms between each two of them. Empty: there are no sites.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sites {
    first: Vec<usize>,
    delays: Vec<(usize, usize, u32)>,
}

/// A fault, and, so many ms later, its repair.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Trouble {
    does: String,
    undoes: Option<(u64, String)>,
}

/// A scenario that fails, minimised.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The seed that generated it.
    pub seed: u64,
    /// The violation.
    pub violation: ViolationReport,
    /// The scenario file.
    pub toml: String,
}

/// Runs the scenario of a seed with these constants; if it fails, minimises it.
///
/// # Panics
/// If a generated scenario can't be parsed, which a test excludes.
pub fn fuzz(
    seed: u64,
    most_nodes: usize,
    fidelity: Fidelity,
    tuned: &BTreeMap<String, Value>,
    mut go_on: impl FnMut(&Progress) -> bool,
) -> Option<Finding> {
    let mut draft = Draft::of(seed, most_nodes).at(fidelity);
    draft.tuning = toml_of_tuned(tuned);
    let mut violation = violated(&draft, &mut go_on)?;
    let mut tries = 0;
    'smaller: loop {
        for smaller in draft.smaller() {
            tries += 1;
            if tries > MOST_TRIES {
                break 'smaller;
            }
            if let Some(found) = violated(&smaller, &mut go_on)
                && found.rule == violation.rule
            {
                (draft, violation) = (smaller, found);
                continue 'smaller;
            }
        }
        break;
    }
    let mut toml = format!("# {}: {}\n", violation.rule, violation.what);
    toml.push_str(&draft.to_toml());
    Some(Finding {
        seed,
        violation,
        toml,
    })
}

fn violated(draft: &Draft, go_on: &mut impl FnMut(&Progress) -> bool) -> Option<ViolationReport> {
    let scenario = read_text("a made-up scenario", &draft.to_toml());
    let scenario = scenario.expect("what is made up here can be read");
    run(&scenario, go_on).violation
}

impl Draft {
    /// Generates the core scenario of a seed.
    #[must_use]
    pub fn of(seed: u64, most_nodes: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let rng = &mut rng;
        let nodes = rng.random_range(4..=most_nodes.max(LEAST_NODES));
        let mut at = 60_000;
        let mut troubles = Vec::new();
        for _ in 0..rng.random_range(1..=8) {
            troubles.push((at, Trouble::by_lot(nodes, rng)));
            at += rng.random_range(200..40_000);
        }
        let introduction = one_of(&["chain", "star", "random 1", "random 2", "random 4"], rng);
        let (links, clocks) = (links(rng), rng.random_bool(0.3));
        let mut draft = Self {
            fidelity: Fidelity::Core,
            seed,
            nodes,
            introduction,
            links,
            sites: Sites::by_lot(nodes, rng),
            settings: settings(rng),
            start_over: one_of(&["", "", "2s", "15s", "50s"], rng),
            churn: rng
                .random_bool(0.2)
                .then(|| (rng.random_range(1..=30), rng.random_range(1..=30))),
            clocks,
            tuning: String::new(),
            troubles,
            attacks: by_lot(seed),
        };
        if read_text("a made-up scenario", &draft.to_toml()).is_err() {
            // These settings contradict each other, and a node would refuse them.
            draft.settings.clear();
        }
        draft
    }

    /// The same at another fidelity: whole nodes can't be Byzantine.
    fn at(mut self, fidelity: Fidelity) -> Self {
        if fidelity == Fidelity::Whole {
            self.attacks.clear();
            self.troubles
                .retain(|(_, trouble)| !trouble.does.starts_with("lie"));
        }
        Self { fidelity, ..self }
    }

    /// The scenario file. It ends with all faults repaired, and time for all views to converge.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut steps: Vec<(u64, &str)> = Vec::new();
        for (at, trouble) in &self.troubles {
            steps.push((*at, &trouble.does));
            if let Some((after, undoes)) = &trouble.undoes {
                steps.push((at + after, undoes));
            }
        }
        steps.sort_by_key(|(at, _)| *at);
        let last = steps.last().map_or(60_000, |(at, _)| *at) + 10_000;
        for end in [
            "heal = true",
            "honest = \"all\"",
            "continue = \"all\"",
            "start = \"down\"",
        ] {
            steps.push((last, end));
        }
        let clocks = if self.clocks {
            "clocks = \"10min\"\n"
        } else {
            ""
        };
        let mut head = clocks.to_owned();
        if !self.settings.is_empty() {
            let all: Vec<String> = self
                .settings
                .iter()
                .map(|one| format!("\"{one}\""))
                .collect();
            head.push_str(&format!("settings = [{}]\n", all.join(", ")));
        }
        if !self.start_over.is_empty() {
            head.push_str(&format!("start_over = \"{}\"\n", self.start_over));
        }
        let mut text = format!(
            "title = \"Found by trying, seed {seed}\"\nseed = {seed}\nfidelity = \"{}\"\nnodes = {}\nintroduction = \"{}\"\n\
             links = \"{}\"\n{head}lasts = \"{}ms\"\n",
            self.fidelity.word(),
            self.nodes,
            self.introduction,
            self.links,
            last + 240_000,
            seed = self.seed,
        );
        text.push_str(&self.sites.to_toml(self.nodes, &self.links));
        for attack in &self.attacks {
            write!(text, "\n[[byzantine]]\n{attack}\nuntil = \"{last}ms\"\n")
                .expect("a String takes all");
        }
        if let Some((per_min, down)) = self.churn {
            write!(
                text,
                "\n[churn]\nper_min = {per_min}.0\ndown = \"{down}s\"\nuntil = \"{last}ms\"\n"
            )
            .expect("a String takes all");
        }
        for (at, words) in steps {
            write!(text, "\n[[step]]\nat = \"{at}ms\"\n{words}\n").expect("a String takes all");
        }
        text.push_str(&self.tuning);
        text
    }

    /// Slightly smaller scenarios; those with the most removed come first.
    fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        let half = self.troubles.len() / 2;
        if half > 0 {
            for troubles in [&self.troubles[..half], &self.troubles[half..]] {
                let troubles = troubles.to_vec();
                all.push(Self {
                    troubles,
                    ..self.clone()
                });
            }
        }
        for nodes in [self.nodes / 2, self.nodes * 3 / 4, self.nodes - 1] {
            // The nodes that faults name must exist.
            if nodes >= 4 && nodes < self.nodes {
                all.push(Self {
                    nodes,
                    ..self.clone()
                });
            }
        }
        for at in 0..self.troubles.len() {
            let mut smaller = self.clone();
            smaller.troubles.remove(at);
            all.push(smaller);
        }
        for at in 0..self.attacks.len() {
            let mut smaller = self.clone();
            smaller.attacks.remove(at);
            all.push(smaller);
        }
        let plain = [
            Self {
                links: "delay 20ms".to_owned(),
                ..self.clone()
            },
            Self {
                introduction: "chain",
                ..self.clone()
            },
            Self {
                clocks: false,
                ..self.clone()
            },
            Self {
                sites: Sites::default(),
                ..self.clone()
            },
            Self {
                settings: Vec::new(),
                ..self.clone()
            },
            Self {
                start_over: "",
                ..self.clone()
            },
            Self {
                churn: None,
                ..self.clone()
            },
        ];
        all.extend(plain);
        all.retain(|smaller| smaller != self);
        all
    }
}

impl Sites {
    /// Two to five sites, in a third of all cases.
    fn by_lot(nodes: usize, rng: &mut ChaCha8Rng) -> Self {
        let count = rng.random_range(2..=5).min(nodes / 2);
        if !rng.random_bool(0.33) || count < 2 {
            return Self::default();
        }
        let pairs = (0..count).flat_map(|from| (from + 1..count).map(move |to| (from, to)));
        Self {
            first: (0..count).map(|site| nodes * site / count).collect(),
            delays: pairs
                .map(|(from, to)| (from, to, rng.random_range(1..=250)))
                .collect(),
        }
    }

    /// The table of links, for so many nodes; `links` says what else happens to packets.
    fn to_toml(&self, nodes: usize, links: &str) -> String {
        let range = |site: usize| {
            let end = self.first.get(site + 1).copied().unwrap_or(nodes);
            (self.first[site], end.min(nodes))
        };
        // Jitter belongs to the delay, and goes with it.
        let more = links
            .split(' ')
            .skip_while(|word| !["loss", "duplicate"].contains(word));
        let more: Vec<&str> = more.collect();
        let mut text = String::new();
        for (from, to, ms) in &self.delays {
            let ((a, b), (c, d)) = (range(*from), range(*to));
            // A smaller scenario has fewer nodes.
            if a < b && c < d {
                let netem = format!("delay {ms}ms {}", more.join(" "));
                let netem = netem.trim_end();
                write!(
                    text,
                    "\n[[link]]\non = [\"{a}..{b}-{c}..{d}\"]\nnetem = \"{netem}\"\n"
                )
                .expect("a String takes all");
            }
        }
        text
    }
}

/// Settings other than the defaults, in two thirds of all cases.
fn settings(rng: &mut ChaCha8Rng) -> Vec<String> {
    let mut all = Vec::new();
    if rng.random_bool(0.33) {
        return all;
    }
    let mut set = |key: &str, value: u32| all.push(format!("network.controller.{key}={value}"));
    if rng.random_bool(0.5) {
        let target = rng.random_range(4..=12);
        set("degree.target", target);
        set("degree.cap", target + rng.random_range(0..=8));
        set("degree.full_mesh", rng.random_range(2..=16));
    }
    let others: [(&str, [u32; 3]); 5] = [
        ("probe.interval_ms", [500, 1000, 3000]),
        ("dial.timeout_ms", [1000, 2000, 6000]),
        ("dial.at_once", [2, 8, 32]),
        ("refresh.bytes_per_s", [0, 16, 1000]),
        ("memory.forget_after_s", [60, 120, 3600]),
    ];
    for (key, values) in others {
        if rng.random_bool(0.3) {
            set(key, *values.choose(rng).expect("there are three"));
        }
    }
    all
}

impl Trouble {
    fn by_lot(nodes: usize, rng: &mut ChaCha8Rng) -> Self {
        let share = rng.random_range(5..80);
        let after = rng.random_range(100..60_000);
        let undone = |does: String, undoes: &str| Self {
            does,
            undoes: Some((after, undoes.to_owned())),
        };
        let half = nodes / 2;
        match rng.random_range(0..12) {
            0 => undone(format!("kill = \"{share}%\""), "start = \"down\""),
            1 => Self {
                does: format!("kill = \"{share}%\""),
                undoes: None,
            },
            2 => Self {
                does: format!("restart = \"{share}%\"\ndown = \"{after}ms\""),
                undoes: None,
            },
            3 => undone("kill = \"hub\"".to_owned(), "start = \"down\""),
            4 => undone(format!("leave = \"{share}%\""), "start = \"down\""),
            5 => undone(format!("stop = \"{share}%\""), "continue = \"all\""),
            6 => undone(format!("partition = [\"{share}%\"]"), "heal = true"),
            7 => undone("partition = [\"30%\", \"30%\"]".to_owned(), "heal = true"),
            8 => undone(format!("lie = \"{}%\"", share / 4), "honest = \"all\""),
            // Slow nodes: paused most of the time.
            9 => {
                let pulse =
                    |word: &str| format!("{word} = \"0..2\"\ntimes = 10\nevery = \"800ms\"");
                Self {
                    does: pulse("stop"),
                    undoes: Some((100 + after % 650, pulse("continue"))),
                }
            }
            // Only the first few nodes are named, so that they exist in smaller scenarios too.
            10 => {
                let on = one_of(&["0->1", "0->", "->0", "1-2"], rng);
                undone(
                    format!("on = [\"{on}\"]\nlink = \"down\""),
                    &format!("on = [\"{on}\"]\nlink = \"up\""),
                )
            }
            _ => {
                let worse = one_of(
                    &["delay 300ms 50ms", "delay 20ms loss 30%", "rate 100kbit"],
                    rng,
                );
                let on = if half > 4 { "0..4" } else { "0" };
                undone(
                    format!("on = [\"{on}\"]\nnetem = \"{worse}\""),
                    &format!("on = [\"{on}\"]\nnetem = \"none\""),
                )
            }
        }
    }
}

fn links(rng: &mut ChaCha8Rng) -> String {
    let delay = [
        "delay 1ms",
        "delay 10ms..50ms",
        "delay 80ms 20ms",
        "delay 5ms..200ms",
    ];
    let more = [
        "",
        "",
        " loss 1%",
        " loss 5%",
        " loss 15%",
        " duplicate 5% reorder 10%",
    ];
    format!("{}{}", one_of(&delay, rng), one_of(&more, rng))
}

fn one_of(all: &[&'static str], rng: &mut ChaCha8Rng) -> &'static str {
    all.choose(rng).expect("there is something to choose from")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_made_up_can_be_read_and_so_can_all_that_is_smaller() {
        for seed in 0..200 {
            let draft = Draft::of(seed, 40);
            let whole = draft.clone().at(Fidelity::Whole);
            for draft in draft.smaller().into_iter().chain([draft, whole]) {
                let text = draft.to_toml();
                let read = read_text("x", &text);
                assert!(read.is_ok(), "{:?} in\n{text}", read.err());
            }
        }
    }

    #[test]
    fn smaller_is_smaller() {
        let draft = Draft::of(1, 40);
        let size = |draft: &Draft| (draft.nodes, draft.troubles.len());
        for smaller in draft.smaller() {
            assert!(size(&smaller) <= size(&draft));
            assert_ne!(smaller, draft);
        }
    }
}
