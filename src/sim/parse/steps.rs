//! Parses steps and directions.
//!
//! The simulator and the lab parse the same steps. Each rejects what only the other one supports.

use std::ops::Range as Span;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::super::lines::Way;
use super::super::places::{Places, Who};
use super::words::{Names, Wrong, duration};
use crate::impair::Impairment;

/// The most repetitions of a step.
const MAX_TIMES: u32 = 10_000;
/// The most steps of a scenario.
const MAX_STEPS: usize = 100_000;
/// The default time that a restarted node is down.
const DOWN: Duration = Duration::from_secs(1);
/// The least MTU that IPv6 allows, and the largest possible one, in bytes.
const MTU: std::ops::RangeInclusive<u32> = 1280..=65_535;

/// The end of the run, and where it is set, for a message.
#[derive(Debug)]
pub struct End {
    /// Since the first start.
    pub at: Duration,
    /// Appended to the message; empty if the file itself sets the end.
    pub said: String,
}

/// A step as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table, [[step]]")]
pub struct RawStep {
    at: Spanned<String>,
    times: Option<u32>,
    every: Option<Spanned<String>>,
    on: Option<Spanned<Vec<String>>>,
    netem: Option<Spanned<String>>,
    link: Option<UpDown>,
    partition: Option<Spanned<Vec<String>>>,
    heal: Option<bool>,
    kill: Option<Spanned<String>>,
    start: Option<Spanned<String>>,
    leave: Option<Spanned<String>>,
    restart: Option<Spanned<String>>,
    down: Option<Spanned<String>>,
    stop: Option<Spanned<String>>,
    #[serde(rename = "continue")]
    go_on: Option<Spanned<String>>,
    lie: Option<Spanned<String>>,
    honest: Option<Spanned<String>>,
    vanish: Option<Spanned<String>>,
    address: Option<Spanned<String>>,
    mtu: Option<Spanned<u32>>,
    clock: Option<Spanned<String>>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum UpDown {
    Up,
    Down,
}

/// A valid step.
#[derive(Debug, Clone)]
pub struct Said {
    /// Its position in the file, in bytes.
    pub span: Span<usize>,
    /// Since the first start.
    pub at: Duration,
    /// The action.
    pub deed: Deed,
    /// The action in the words of the file.
    pub words: Arc<str>,
}

/// The actions of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Deed {
    /// The nodes are killed, without a leave message.
    Kill(Who),
    /// The nodes are started again.
    Start(Who),
    /// The nodes leave gracefully.
    Leave(Who),
    /// The nodes are killed, and started again after this time.
    Restart(Who, Duration),
    /// The nodes are paused: nothing happens in them until they are resumed.
    Stop(Who),
    /// The nodes are resumed.
    Continue(Who),
    /// The nodes become Byzantine. Only in the simulator.
    Lie(Who),
    /// The nodes stop being Byzantine. Only in the simulator.
    Honest(Who),
    /// The hosts of the nodes disappear at once. Only in the lab.
    Vanish(Who),
    /// The hosts of the nodes change their address. Only in the lab.
    Address(Who),
    /// Only nodes of the same part reach each other. The nodes that are in no part form one more.
    Partition(Vec<Who>),
    /// Ends all cuts.
    Heal,
    /// The impairment of these directions from now on; `None`: the one at the beginning.
    Netem(Vec<Way>, Option<Arc<Impairment>>),
    /// Cuts these directions, or opens them.
    Link(Vec<Way>, bool),
    /// The largest packet that these directions carry, in bytes. Only in the lab.
    Mtu(Vec<Way>, u32),
    /// The clock jumps by so many seconds. Only in the lab.
    Clock(i64),
}

impl RawStep {
    /// The position of a `lie`, if there is one.
    #[must_use]
    pub fn lie(&self) -> Option<Span<usize>> {
        self.lie.as_ref().map(Spanned::span)
    }
}

/// Parses netem's words.
///
/// # Errors
/// If netem would reject them.
pub fn netem(text: &Spanned<String>) -> Result<Arc<Impairment>, Wrong> {
    let read: Result<Impairment, _> = text.get_ref().parse();
    read.map(Arc::new)
        .map_err(|error| Wrong::new(text.span(), error.to_string()))
}

fn time(text: &Spanned<String>) -> Result<Duration, Wrong> {
    duration(text.get_ref()).map_err(|what| Wrong::new(text.span(), what))
}

/// The seconds by which a clock jumps: `1h`, or `-1h` for back.
fn jump(text: &Spanned<String>) -> Result<i64, Wrong> {
    let words = text.get_ref().trim();
    let (sign, size) = match words.strip_prefix('-') {
        Some(size) => (-1, size),
        None => (1, words),
    };
    let size = duration(size).map_err(|what| Wrong::new(text.span(), what))?;
    if size.is_zero() || size.subsec_nanos() != 0 {
        let what = format!("`{words}`: the clock can only jump by whole seconds");
        return Err(Wrong::new(text.span(), what));
    }
    Ok(sign * i64::try_from(size.as_secs()).expect("no time is that long"))
}

impl Names<'_> {
    /// Parses steps; the result has each repetition, in the order of the file. All of them must come before the end.
    /// `before`: the number of steps of earlier files.
    ///
    /// # Errors
    /// If one of them is invalid.
    pub fn steps(
        &self,
        raw: &[Spanned<RawStep>],
        end: &End,
        before: usize,
    ) -> Result<Vec<Said>, Wrong> {
        let mut steps = Vec::new();
        for step in raw {
            let at = time(&step.get_ref().at)?;
            let times = step.get_ref().times.unwrap_or(1);
            let every = step.get_ref().every.as_ref();
            if !(1..=MAX_TIMES).contains(&times) {
                let what = format!("times must be from 1 to {MAX_TIMES}, not {times}");
                return Err(Wrong::new(step.span(), what));
            }
            if (times > 1) != every.is_some() {
                let what = "`times` (two or more) needs `every`, and `every` needs `times`";
                return Err(Wrong::new(step.span(), what));
            }
            let every = every.map(time).transpose()?.unwrap_or_default();
            let last = at + every * (times - 1);
            if last >= end.at {
                let End { at, said } = end;
                let what = format!("a step at {last:?}, but the run ends at {at:?}{said}");
                return Err(Wrong::new(step.get_ref().at.span(), what));
            }
            if before + steps.len() + times as usize > MAX_STEPS {
                let what = format!("more than {MAX_STEPS} steps in total");
                return Err(Wrong::new(step.span(), what));
            }
            let (deed, words) = self.deed(step)?;
            let words: Arc<str> = words.into();
            for time in 0..times {
                steps.push(Said {
                    span: step.span(),
                    at: at + every * time,
                    deed: deed.clone(),
                    words: words.clone(),
                });
            }
        }
        Ok(steps)
    }

    fn deed(&self, step: &Spanned<RawStep>) -> Result<(Deed, String), Wrong> {
        let (span, raw) = (step.span(), step.get_ref());
        let mut deeds = self.about_ways(raw)?;
        let down = raw.down.as_ref().map(time).transpose()?;
        type Make = fn(Who) -> Deed;
        let about_nodes: [(&Option<Spanned<String>>, &str, Make); 9] = [
            (&raw.kill, "kill", Deed::Kill),
            (&raw.start, "start", Deed::Start),
            (&raw.leave, "leave", Deed::Leave),
            (&raw.stop, "stop", Deed::Stop),
            (&raw.go_on, "continue", Deed::Continue),
            (&raw.lie, "lie", Deed::Lie),
            (&raw.honest, "honest", Deed::Honest),
            (&raw.vanish, "vanish", Deed::Vanish),
            (&raw.address, "address", Deed::Address),
        ];
        for (text, word, make) in about_nodes {
            if let Some(text) = text {
                deeds.push((
                    make(self.one_who(text)?),
                    format!("{word} {}", text.get_ref()),
                ));
            }
        }
        if let Some(text) = &raw.restart {
            let deed = Deed::Restart(self.one_who(text)?, down.unwrap_or(DOWN));
            deeds.push((deed, format!("restart {}", text.get_ref())));
        }
        if let Some(text) = &raw.clock {
            deeds.push((
                Deed::Clock(jump(text)?),
                format!("clock {}", text.get_ref()),
            ));
        }
        only(span, raw, deeds)
    }

    fn about_ways(&self, raw: &RawStep) -> Result<Vec<(Deed, String)>, Wrong> {
        let mut deeds = Vec::new();
        if let Some(text) = &raw.netem {
            let ways = self.on(raw)?;
            let what = match text.get_ref().trim() {
                "none" => None,
                _ => Some(netem(text)?),
            };
            let words = format!("netem {}{}", text.get_ref(), on_words(raw));
            deeds.push((Deed::Netem(ways, what), words));
        }
        if let Some(link) = raw.link {
            let (up, word) = match link {
                UpDown::Up => (true, "up"),
                UpDown::Down => (false, "down"),
            };
            let words = format!("link {word}{}", on_words(raw));
            deeds.push((Deed::Link(self.on(raw)?, up), words));
        }
        if let Some(mtu) = &raw.mtu {
            if !MTU.contains(mtu.get_ref()) {
                let what = format!("mtu must be from {} to {}", MTU.start(), MTU.end());
                return Err(Wrong::new(mtu.span(), what));
            }
            let words = format!("mtu {}{}", mtu.get_ref(), on_words(raw));
            deeds.push((Deed::Mtu(self.on(raw)?, *mtu.get_ref()), words));
        }
        if let Some(parts) = &raw.partition {
            let who = |text: &String| self.who(text);
            let all: Result<Vec<Who>, String> = parts.get_ref().iter().map(who).collect();
            let all = all.map_err(|what| Wrong::new(parts.span(), what))?;
            if all.is_empty() {
                let what = "a partition needs at least one part: [\"50%\"] separates these nodes from the others";
                return Err(Wrong::new(parts.span(), what));
            }
            let words = format!("partition {}", parts.get_ref().join(" | "));
            deeds.push((Deed::Partition(all), words));
        }
        if raw.heal == Some(true) {
            deeds.push((Deed::Heal, "heal".to_owned()));
        }
        Ok(deeds)
    }

    fn one_who(&self, text: &Spanned<String>) -> Result<Who, Wrong> {
        let who = self.who(text.get_ref());
        who.map_err(|what| Wrong::new(text.span(), what))
    }

    fn on(&self, raw: &RawStep) -> Result<Vec<Way>, Wrong> {
        match &raw.on {
            Some(on) => self.ways(on),
            None => Ok(vec![Way {
                from: Places::All,
                to: Places::All,
            }]),
        }
    }

    /// Parses `a->b`, `a-b`, `a->`, `->a` or `a`; `a` and `b` are nodes, ranges or groups.
    ///
    /// # Errors
    /// If there are no such directions.
    pub fn ways(&self, on: &Spanned<Vec<String>>) -> Result<Vec<Way>, Wrong> {
        let mut ways = Vec::new();
        let places = |text: &str| match text.trim() {
            "" => Ok(Places::All),
            text => self
                .places(text)
                .map_err(|what| Wrong::new(on.span(), what)),
        };
        let blank = on.get_ref().iter().any(|word| word.trim().is_empty());
        if blank || on.get_ref().is_empty() {
            let what = "`on` needs directions: a->b, a-b, a->, ->a or a";
            return Err(Wrong::new(on.span(), what));
        }
        for word in on.get_ref() {
            if let Some((from, to)) = word.split_once("->") {
                ways.push(Way {
                    from: places(from)?,
                    to: places(to)?,
                });
                continue;
            }
            // The name of a matrix's site may contain a hyphen.
            let splits = word.match_indices('-');
            let mut splits = splits.map(|(at, _)| (&word[..at], &word[at + 1..]));
            let means = |&(one, other): &(&str, &str)| places(one).and(places(other)).is_ok();
            let first = word.split_once('-').unwrap_or((word, ""));
            let whole = places(word).is_ok().then_some((word.as_str(), ""));
            let (one, other) = whole.or_else(|| splits.find(means)).unwrap_or(first);
            let (one, other) = (places(one)?, places(other)?);
            ways.push(Way {
                from: one.clone(),
                to: other.clone(),
            });
            ways.push(Way {
                from: other,
                to: one,
            });
        }
        Ok(ways)
    }
}

fn only(
    span: Span<usize>,
    raw: &RawStep,
    mut deeds: Vec<(Deed, String)>,
) -> Result<(Deed, String), Wrong> {
    if deeds.len() != 1 {
        let what = format!("a step must have exactly one action, not {}", deeds.len());
        return Err(Wrong::new(span, what));
    }
    let (deed, words) = deeds.remove(0);
    let takes_on = matches!(deed, Deed::Netem(..) | Deed::Link(..) | Deed::Mtu(..));
    if raw.on.is_some() && !takes_on {
        return Err(Wrong::new(
            span,
            "`on` is only valid with netem, link or mtu",
        ));
    }
    if raw.down.is_some() && !matches!(deed, Deed::Restart(..)) {
        return Err(Wrong::new(span, "`down` is only valid with restart"));
    }
    Ok((deed, words))
}

fn on_words(raw: &RawStep) -> String {
    let on = raw.on.as_ref().map(|on| on.get_ref().join(" "));
    on.map_or_else(String::new, |on| format!(" on {on}"))
}
