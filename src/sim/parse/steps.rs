//! Steps and ways, from the words of a file.
//!
//! The simulator and the lab read the same steps, and each refuses what only the other can do.

use std::ops::Range as Span;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::super::lines::Way;
use super::super::places::{Places, Who};
use super::words::{Names, Wrong, duration};
use crate::impair::Impairment;

/// A step may be repeated so often.
const MAX_TIMES: u32 = 10_000;
/// And there may be so many in all.
const MAX_STEPS: usize = 100_000;
/// How long a node is down that is restarted, where nothing is said.
const DOWN: Duration = Duration::from_secs(1);
/// The least MTU that IPv6 allows, and the largest that there is, in bytes.
const MTU: std::ops::RangeInclusive<u32> = 1280..=65_535;

/// When all is over, and, in words for a message, where that is said.
#[derive(Debug)]
pub struct End {
    /// Since the first start.
    pub at: Duration,
    /// Put after the message; empty where the file itself says it.
    pub said: String,
}

/// A step as it is written.
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

/// A step that makes sense.
#[derive(Debug, Clone)]
pub struct Said {
    /// The bytes of the file.
    pub span: Span<usize>,
    /// Since the first start.
    pub at: Duration,
    /// What is to be done.
    pub deed: Deed,
    /// The same in the words of the file.
    pub words: Arc<str>,
}

/// What a step can say.
#[derive(Debug, Clone, PartialEq)]
pub enum Deed {
    /// They end without a word.
    Kill(Who),
    /// They are started again.
    Start(Who),
    /// They leave the network in order.
    Leave(Who),
    /// They end without a word, and are started again after so long.
    Restart(Who, Duration),
    /// Nothing happens in them until they are told to go on.
    Stop(Who),
    /// They go on.
    Continue(Who),
    /// They lie. The simulator's alone.
    Lie(Who),
    /// They are honest again. The simulator's alone.
    Honest(Who),
    /// Their hosts are gone at once. The lab's alone.
    Vanish(Who),
    /// Their hosts get another address. The lab's alone.
    Address(Who),
    /// Only nodes of one part reach each other. Those that are in no part are one more.
    Partition(Vec<Who>),
    /// Everything that was cut reaches each other again.
    Heal,
    /// These directions are like that from now on; `None`: as they were at the beginning.
    Netem(Vec<Way>, Option<Arc<Impairment>>),
    /// Nothing passes there, or passes again.
    Link(Vec<Way>, bool),
    /// The largest packet that these directions carry, in bytes. The lab's alone.
    Mtu(Vec<Way>, u32),
    /// The clock jumps by so many seconds. The lab's alone.
    Clock(i64),
}

impl RawStep {
    /// Where it says that nodes lie, if it does.
    #[must_use]
    pub fn lie(&self) -> Option<Span<usize>> {
        self.lie.as_ref().map(Spanned::span)
    }
}

/// netem's words.
///
/// # Errors
/// When netem would not take them.
pub fn netem(text: &Spanned<String>) -> Result<Arc<Impairment>, Wrong> {
    let read: Result<Impairment, _> = text.get_ref().parse();
    read.map(Arc::new)
        .map_err(|error| Wrong::new(text.span(), error.to_string()))
}

fn time(text: &Spanned<String>) -> Result<Duration, Wrong> {
    duration(text.get_ref()).map_err(|what| Wrong::new(text.span(), what))
}

/// By how many seconds a clock jumps: `1h`, or `-1h` for back.
fn jump(text: &Spanned<String>) -> Result<i64, Wrong> {
    let words = text.get_ref().trim();
    let (sign, size) = match words.strip_prefix('-') {
        Some(size) => (-1, size),
        None => (1, words),
    };
    let size = duration(size).map_err(|what| Wrong::new(text.span(), what))?;
    if size.is_zero() || size.subsec_nanos() != 0 {
        let what = format!("`{words}`: the clock jumps by whole seconds");
        return Err(Wrong::new(text.span(), what));
    }
    Ok(sign * i64::try_from(size.as_secs()).expect("no time is that long"))
}

impl Names<'_> {
    /// Steps in the order in which they are written, repeated ones as often as they are. All of them come before the end.
    /// `before` is how many steps there are already.
    ///
    /// # Errors
    /// When one of them makes no sense.
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
                let what = format!("times is between 1 and {MAX_TIMES}, and not {times}");
                return Err(Wrong::new(step.span(), what));
            }
            if (times > 1) != every.is_some() {
                let what = "`times`, of two and more, and `every` go together";
                return Err(Wrong::new(step.span(), what));
            }
            let every = every.map(time).transpose()?.unwrap_or_default();
            let last = at + every * (times - 1);
            if last >= end.at {
                let End { at, said } = end;
                let what = format!("a step at {last:?}, but all is over at {at:?}{said}");
                return Err(Wrong::new(step.get_ref().at.span(), what));
            }
            if before + steps.len() + times as usize > MAX_STEPS {
                let what = format!("with this one there are more than {MAX_STEPS} steps in all");
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
                let what = format!("mtu is between {} and {}", MTU.start(), MTU.end());
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
                let what = "a partition has a part at least: [\"50%\"] parts these from the others";
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

    /// `a->b`, `a-b`, `a->`, `->a` or `a`; `a` and `b` are nodes, ranges or groups.
    ///
    /// # Errors
    /// When there are no such ways.
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
            let what = "`on` names ways: a->b, a-b, a->, ->a or a";
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
            // The site of a matrix may have a hyphen in its name.
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
        let what = format!("a step does one thing, and this does {}", deeds.len());
        return Err(Wrong::new(span, what));
    }
    let (deed, words) = deeds.remove(0);
    let takes_on = matches!(deed, Deed::Netem(..) | Deed::Link(..) | Deed::Mtu(..));
    if raw.on.is_some() && !takes_on {
        return Err(Wrong::new(span, "`on` goes with netem, link or mtu"));
    }
    if raw.down.is_some() && !matches!(deed, Deed::Restart(..)) {
        return Err(Wrong::new(span, "`down` goes with restart"));
    }
    Ok((deed, words))
}

fn on_words(raw: &RawStep) -> String {
    let on = raw.on.as_ref().map(|on| on.get_ref().join(" "));
    on.map_or_else(String::new, |on| format!(" on {on}"))
}
