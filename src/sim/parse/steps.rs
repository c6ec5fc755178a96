//! Steps and ways, from the words of a file.

use std::ops::Range as Span;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::super::lines::Way;
use super::super::places::{Places, Who};
use super::super::scenario::{Action, Step};
use super::words::{Names, Wrong, duration};
use crate::impair::Impairment;

/// A step may be repeated so often.
const MAX_TIMES: u32 = 10_000;
/// And there may be so many in all.
const MAX_STEPS: usize = 100_000;
/// How long a node is down that is restarted, where nothing is said.
const DOWN: Duration = Duration::from_secs(1);

/// When all is over, and, in words for a message, where that is said.
pub(super) struct End {
    pub(super) at: Duration,
    pub(super) said: String,
}

/// A step as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table, [[step]]")]
pub(super) struct RawStep {
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
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum UpDown {
    Up,
    Down,
}

impl RawStep {
    /// Where it says that nodes lie, if it does.
    pub(super) fn lie(&self) -> Option<Span<usize>> {
        self.lie.as_ref().map(Spanned::span)
    }
}

/// netem's words.
pub(super) fn netem(text: &Spanned<String>) -> Result<Arc<Impairment>, Wrong> {
    let read: Result<Impairment, _> = text.get_ref().parse();
    read.map(Arc::new)
        .map_err(|error| Wrong::new(text.span(), error.to_string()))
}

fn time(text: &Spanned<String>) -> Result<Duration, Wrong> {
    duration(text.get_ref()).map_err(|what| Wrong::new(text.span(), what))
}

impl Names<'_> {
    /// Steps in the order in which they are written, repeated ones as often as they are. All of them come before the end.
    pub(super) fn steps(
        &self,
        raw: &[Spanned<RawStep>],
        end: &End,
        steps: &mut Vec<Step>,
    ) -> Result<(), Wrong> {
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
            if steps.len() + times as usize > MAX_STEPS {
                let what = format!("with this one there are more than {MAX_STEPS} steps in all");
                return Err(Wrong::new(step.span(), what));
            }
            let (action, words) = self.action(step)?;
            let words: Arc<str> = words.into();
            for time in 0..times {
                steps.push(Step {
                    at: at + every * time,
                    action: action.clone(),
                    words: words.clone(),
                });
            }
        }
        Ok(())
    }

    fn action(&self, step: &Spanned<RawStep>) -> Result<(Action, String), Wrong> {
        let (span, raw) = (step.span(), step.get_ref());
        let mut actions = Vec::new();
        if let Some(text) = &raw.netem {
            let ways = self.on(raw)?;
            let what = match text.get_ref().trim() {
                "none" => None,
                _ => Some(netem(text)?),
            };
            let words = format!("netem {}{}", text.get_ref(), on_words(raw));
            actions.push((Action::Netem(ways, what), words));
        }
        if let Some(link) = raw.link {
            let (up, word) = match link {
                UpDown::Up => (true, "up"),
                UpDown::Down => (false, "down"),
            };
            let words = format!("link {word}{}", on_words(raw));
            actions.push((Action::Link(self.on(raw)?, up), words));
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
            actions.push((Action::Partition(all), words));
        }
        if raw.heal == Some(true) {
            actions.push((Action::Heal, "heal".to_owned()));
        }
        let down = raw.down.as_ref().map(time).transpose()?;
        type Make = fn(Who) -> Action;
        let about_nodes: [(&Option<Spanned<String>>, &str, Make); 7] = [
            (&raw.kill, "kill", Action::Kill),
            (&raw.start, "start", Action::Start),
            (&raw.leave, "leave", Action::Leave),
            (&raw.stop, "stop", Action::Stop),
            (&raw.go_on, "continue", Action::Continue),
            (&raw.lie, "lie", Action::Lie),
            (&raw.honest, "honest", Action::Honest),
        ];
        for (text, word, make) in about_nodes {
            if let Some(text) = text {
                actions.push((
                    make(self.one_who(text)?),
                    format!("{word} {}", text.get_ref()),
                ));
            }
        }
        if let Some(text) = &raw.restart {
            let action = Action::Restart(self.one_who(text)?, down.unwrap_or(DOWN));
            actions.push((action, format!("restart {}", text.get_ref())));
        }
        self.only(span, raw, actions)
    }

    fn only(
        &self,
        span: Span<usize>,
        raw: &RawStep,
        mut actions: Vec<(Action, String)>,
    ) -> Result<(Action, String), Wrong> {
        if actions.len() != 1 {
            let what = format!("a step does one thing, and this does {}", actions.len());
            return Err(Wrong::new(span, what));
        }
        let (action, words) = actions.remove(0);
        let takes_on = matches!(action, Action::Netem(..) | Action::Link(..));
        if raw.on.is_some() && !takes_on {
            return Err(Wrong::new(span, "`on` goes with netem or link"));
        }
        if raw.down.is_some() && !matches!(action, Action::Restart(..)) {
            return Err(Wrong::new(span, "`down` goes with restart"));
        }
        Ok((action, words))
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
    pub(super) fn ways(&self, on: &Spanned<Vec<String>>) -> Result<Vec<Way>, Wrong> {
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

fn on_words(raw: &RawStep) -> String {
    let on = raw.on.as_ref().map(|on| on.get_ref().join(" "));
    on.map_or_else(String::new, |on| format!(" on {on}"))
}
