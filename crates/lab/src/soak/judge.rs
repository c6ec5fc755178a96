//! Judges the record of a soak, also while it grows: what must hold, and what was measured.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::record::{Conditions, Event, Kind, Line, Sample};
use crate::network::median;
use crate::shared::table::Verdict;

/// Memory is judged after this time, in s, and after the first round of all attacks if that takes longer: by then each attack has filled
/// what it fills, and what nodes remember of others for ten minutes has come and gone once. Halved: the second half of a round of
/// attacks counts as growth. Doubled: two hours leave two rounds to compare.
const WARM_UP: f64 = 600.0;

/// Growth is the difference between the medians of two windows: the first after the warm-up, and the last. A window has whole rounds of
/// attacks, since each attack takes another amount of memory, and lasts at least this long, in s. Halved: one more record in the history is
/// growth. Doubled: a soak of few attacks must be longer.
const WINDOW: f64 = 600.0;

/// The most by which the median memory of an elder may grow from the first round after the warm-up to the last one, in KiB. The
/// allocator returns what an attack took at different times, so two rounds differ by some hundred. Halved: such a difference may fail a
/// soak. Doubled: a leak of 2 MiB an hour stays unseen in two hours.
const GROWTH_KB: f64 = 2048.0;

/// The most descriptors of a node. It has 16 at rest: one socket carries all links, so neither links nor attacks add any. Writing a file
/// takes two for a moment, and asking for the machine's addresses a few. Halved: a node at rest has more. Doubled: a leak of one an
/// attack would stay unseen.
const FDS: usize = 32;

/// The most threads of a node: its own, that of the log, and those that write files or resolve names for a while. At rest it has three.
/// Halved: a node that writes all its files has more. Doubled: threads that pile up slowly stay unseen.
const THREADS: usize = 12;

/// The longest time for which a view may be false about a node that runs or that is dead, in s. A death under loss takes up to ten, and a
/// link that flaps is held for five. A node that has just started judges what it was told after ten at the latest, and drops the dead
/// that a member lists five later. The rest is for a busy machine. Halved: such a newcomer may take longer. Doubled: a node could be
/// hidden for most of the time of an attack.
const FALSE_LIMIT: f64 = 20.0;

/// What the record of a soak says.
#[derive(Debug, Serialize)]
pub(crate) struct Judgement {
    /// The conditions.
    pub(crate) conditions: Conditions,
    /// How long it has lasted, in s.
    pub(crate) lasted_s: f64,
    /// Whether it has ended. Else it still runs, or was killed.
    pub(crate) ended: bool,
    /// What must hold.
    pub(crate) verdicts: Vec<Verdict>,
    /// What was measured besides.
    pub(crate) figures: Vec<(String, String)>,
}

impl Judgement {
    /// Whether everything held that could be judged.
    pub(crate) fn held(&self) -> bool {
        self.verdicts.iter().all(|one| one.held != Some(false))
    }
}

/// A figure of a sample.
type Figure<T> = fn(&Sample) -> T;

/// How the memory of an elder went.
#[derive(Debug, PartialEq)]
struct Growth {
    from_kb: f64,
    to_kb: f64,
    hours: f64,
}

impl Growth {
    fn kb(&self) -> f64 {
        self.to_kb - self.from_kb
    }

    fn words(&self) -> String {
        format!(
            "{:.0} → {:.0} KiB, {:+.0} an hour",
            self.from_kb,
            self.to_kb,
            self.kb() / self.hours
        )
    }
}

/// Judges a record.
pub(crate) fn judge(lines: &[Line]) -> Result<Judgement> {
    let conditions = lines.first().and_then(|line| match &line.event {
        Event::Began(conditions) => Some(conditions.clone()),
        _ => None,
    });
    let conditions = conditions.context("the record does not say how the soak began")?;
    let lasted_s = lines.last().map_or(0.0, |line| line.s);
    let ended = matches!(
        lines.last().map(|line| &line.event),
        Some(Event::Finished { .. })
    );
    let samples: Vec<(f64, &Sample)> = lines
        .iter()
        .filter_map(|line| match &line.event {
            Event::Sample(sample) => Some((line.s, sample)),
            _ => None,
        })
        .collect();
    let mut verdicts = vec![nobody_ended(lines)];
    verdicts.extend(memory(&conditions, lasted_s, &samples));
    let most = |of: Figure<usize>| samples.iter().map(|(_, one)| of(one)).max();
    let at_most = |what: &str, bound: usize, most: Option<usize>| {
        let measured = most.map_or("no samples".to_owned(), |most| format!("at most {most}"));
        Verdict::new(
            format!("{what}: at most {bound}, however many links"),
            measured,
            most.map(|most| most <= bound),
        )
    };
    verdicts.push(at_most("descriptors of a node", FDS, most(|one| one.fds)));
    verdicts.push(at_most(
        "threads of a node",
        THREADS,
        most(|one| one.threads),
    ));
    verdicts.push(quiet(lines));
    verdicts.push(falsely(lines, Kind::Down));
    verdicts.push(falsely(lines, Kind::Up));
    verdicts.push(attacks(lines));
    let figures = figures(&conditions, lines, &samples);
    Ok(Judgement {
        conditions,
        lasted_s,
        ended,
        verdicts,
        figures,
    })
}

fn nobody_ended(lines: &[Line]) -> Verdict {
    let faults: Vec<String> = lines
        .iter()
        .filter_map(|line| match &line.event {
            Event::Fault { place, words } => {
                Some(format!("at {:.0} s, node {place}: {words}", line.s))
            }
            _ => None,
        })
        .collect();
    let measured = match faults.as_slice() {
        [] => "none did".to_owned(),
        [first, ..] => format!("{} times; {first}", faults.len()),
    };
    Verdict::new(
        "no node ends by itself, panics, or fails to stop when it is asked",
        measured,
        Some(faults.is_empty()),
    )
}

/// The windows that are compared, each with its beginning and its end.
fn windows(round_s: f64, lasted_s: f64) -> Option<[(f64, f64); 2]> {
    let warm = WARM_UP.max(round_s);
    let window = round_s * (WINDOW / round_s).ceil();
    (lasted_s - warm >= 2.0 * window)
        .then_some([(warm, warm + window), (lasted_s - window, lasted_s)])
}

fn memory(conditions: &Conditions, lasted_s: f64, samples: &[(f64, &Sample)]) -> Vec<Verdict> {
    let promised = |what| {
        format!("{what} of a node that is never restarted: at most {GROWTH_KB} KiB more at the end")
    };
    let of: [(&str, Figure<f64>); 2] = [
        ("resident memory", |one| one.rss_kb),
        ("private memory", |one| one.private_kb),
    ];
    of.into_iter()
        .map(|(what, of)| {
            let grown = growth(conditions, lasted_s, samples, of);
            let most = grown
                .iter()
                .map(|(_, growth)| growth.kb())
                .max_by(f64::total_cmp);
            let words: Vec<String> = grown
                .iter()
                .map(|(place, growth)| format!("node {place}: {}", growth.words()))
                .collect();
            let measured = if words.is_empty() {
                "too short to tell".to_owned()
            } else {
                words.join("; ")
            };
            Verdict::new(promised(what), measured, most.map(|most| most <= GROWTH_KB))
        })
        .collect()
}

fn growth(
    conditions: &Conditions,
    lasted_s: f64,
    samples: &[(f64, &Sample)],
    of: Figure<f64>,
) -> Vec<(usize, Growth)> {
    let Some([first, last]) = windows(conditions.round_s, lasted_s) else {
        return Vec::new();
    };
    let within = |place: usize, window: (f64, f64)| -> Vec<f64> {
        let of_place = samples.iter().filter(|(_, one)| one.place == place);
        let within = of_place.filter(|(s, _)| (window.0..=window.1).contains(s));
        within.map(|(_, one)| of(one)).collect()
    };
    let elders = conditions.elders.iter();
    elders
        .filter_map(|place| {
            let (before, after) = (within(*place, first), within(*place, last));
            (!before.is_empty() && !after.is_empty()).then(|| {
                let growth = Growth {
                    from_kb: median(&before),
                    to_kb: median(&after),
                    hours: (last.0 - first.0) / 3600.0,
                };
                (*place, growth)
            })
        })
        .collect()
}

fn quiet(lines: &[Line]) -> Verdict {
    let mut times = Vec::new();
    let mut wrong = None;
    let mut missed = 0;
    for line in lines {
        match &line.event {
            Event::Quiet {
                exact_after_s: Some(s),
                ..
            } => times.push(*s),
            Event::Quiet { wrong: why, .. } => {
                missed += 1;
                wrong.get_or_insert_with(|| {
                    format!("at {:.0} s, {}", line.s, why.as_deref().unwrap_or("?"))
                });
            }
            _ => {}
        }
    }
    let count = times.len() + missed;
    let worst = times.iter().copied().fold(0.0, f64::max);
    let mut measured = format!("{} of {count} times", times.len());
    if !times.is_empty() {
        measured += &format!(
            ", after {:.1} s at the median, {worst:.1} s at worst",
            median(&times)
        );
    }
    if let Some(wrong) = wrong {
        measured += &format!("; {wrong}");
    }
    Verdict::new(
        "when nothing happens, all views soon show exactly those that run, and nobody else",
        measured,
        (count > 0).then_some(missed == 0),
    )
}

fn falsely(lines: &[Line], which: Kind) -> Verdict {
    let mut times: Vec<(f64, String)> = lines
        .iter()
        .filter_map(|line| match line.event {
            Event::False {
                kind,
                viewer,
                subject,
                lasted_s,
            } if kind == which => Some((
                lasted_s,
                format!(
                    "{lasted_s:.1} s, until {:.0} s, {subject} in the view of {viewer}",
                    line.s
                ),
            )),
            _ => None,
        })
        .collect();
    times.sort_by(|a, b| b.0.total_cmp(&a.0));
    let over = times.iter().filter(|(s, _)| *s > FALSE_LIMIT).count();
    let measured = match times.first() {
        None => "never for 3 s".to_owned(),
        Some((_, longest)) => format!(
            "{} times for 3 s or more, {over} too long; longest {longest}",
            times.len()
        ),
    };
    let promised = match which {
        Kind::Down => {
            format!("no node that runs is missing in a view for more than {FALSE_LIMIT} s")
        }
        Kind::Up => {
            format!("no node that does not run is shown as up for more than {FALSE_LIMIT} s")
        }
    };
    Verdict::new(promised, measured, Some(over == 0))
}

/// An attack that never came to a handshake in all its rounds was not made.
fn attacks(lines: &[Line]) -> Verdict {
    let mut made: BTreeMap<&str, f64> = BTreeMap::new();
    let mut count = 0;
    let mut failures = Vec::new();
    for line in lines {
        if let Event::AttackEnded { name, failure, did } = &line.event {
            count += 1;
            *made.entry(name).or_default() += did.get("handshakes").copied().unwrap_or(0.0);
            failures.extend(failure.as_ref().map(|why| format!("{name}: {why}")));
        }
    }
    let idle = made
        .iter()
        .filter(|(name, shaken)| **name != "none" && **shaken == 0.0);
    failures.extend(idle.map(|(name, _)| format!("{name}: it never reached a node")));
    let mut measured = format!("{count} attacks of {} kinds", made.len());
    if !failures.is_empty() {
        measured += &format!("; {}", failures.join("; "));
    }
    let held = (count > 0).then_some(failures.is_empty());
    Verdict::new("each attack can be made as it is meant", measured, held)
}

fn figures(
    conditions: &Conditions,
    lines: &[Line],
    samples: &[(f64, &Sample)],
) -> Vec<(String, String)> {
    let mut deeds: BTreeMap<&str, usize> = BTreeMap::new();
    let mut joined: BTreeMap<&str, f64> = BTreeMap::new();
    let (mut loads, mut idle, mut lab) = (Vec::new(), Vec::new(), Vec::new());
    let mut figures = Vec::new();
    for line in lines {
        match &line.event {
            Event::Churn { deed, .. } => {
                *deeds
                    .entry(deed.split(',').next().unwrap_or(deed))
                    .or_default() += 1;
            }
            Event::AttackEnded { name, did, .. } => {
                let times = did.get("joined").copied().unwrap_or(0.0);
                *joined.entry(name).or_default() += times;
            }
            Event::Machine {
                load,
                idle_percent,
                lab_cpu,
            } => {
                loads.push(*load);
                idle.push(*idle_percent);
                lab.push(*lab_cpu);
            }
            Event::Finished { log_bytes } => {
                let mb = *log_bytes as f64 / 1e6;
                figures.push(("all logs, MB".to_owned(), format!("{mb:.1}")));
            }
            _ => {}
        }
    }
    let deeds: Vec<String> = deeds
        .iter()
        .map(|(deed, count)| format!("{deed} {count}"))
        .collect();
    figures.insert(0, ("churn".to_owned(), deeds.join(", ")));
    let joined: Vec<String> = joined
        .iter()
        .map(|(name, times)| format!("{name} {times}"))
        .collect();
    figures.push(("the attacker joined".to_owned(), joined.join(", ")));
    let is_elder = |one: &Sample| conditions.elders.contains(&one.place);
    let of: [(&str, Figure<Option<f64>>); 8] = [
        ("resident memory, KiB", |one| Some(one.rss_kb)),
        ("the most it ever was, KiB", |one| Some(one.peak_kb)),
        ("private memory, KiB", |one| Some(one.private_kb)),
        ("share of a core", |one| one.cpu),
        (
            "share of the time that its main thread waited for a processor",
            |one| one.waited,
        ),
        ("descriptors", |one| Some(one.fds as f64)),
        ("threads", |one| Some(one.threads as f64)),
        ("nodes shown that nobody runs", |one| {
            Some(one.strangers as f64)
        }),
    ];
    for (what, of) in of {
        let spread = |wanted: bool| {
            let wanted = samples.iter().filter(|(_, one)| is_elder(one) == wanted);
            spread(wanted.filter_map(|(_, one)| of(one)).collect())
        };
        let words = format!(
            "never restarted: {}; others: {}",
            spread(true),
            spread(false)
        );
        figures.push((what.to_owned(), words));
    }
    for (what, values) in [
        ("load of the machine", loads),
        ("idle share of the machine, %", idle),
        ("share of a core of the lab and the attacker", lab),
    ] {
        figures.push((what.to_owned(), spread(values)));
    }
    figures
}

fn spread(values: Vec<f64>) -> String {
    if values.is_empty() {
        return "—".to_owned();
    }
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("median {}, most {}", short(median(&values)), short(most))
}

fn short(value: f64) -> String {
    if value.abs() >= 100.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.3}")
    }
}

#[cfg(test)]
mod tests;
