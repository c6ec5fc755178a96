//! The steps of a scenario, from the words of its file.

use std::ops::Range as Span;

use serde::Deserialize;
use toml::Spanned;

use crate::lab::netem::Netem;
use crate::lab::scenario::{Action, Direction, NAMES, Step, Topology};
use crate::lab::words::nearest;

/// A step may be repeated so often.
const MAX_TIMES: u32 = 100;

/// A step as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawStep {
    at_s: Spanned<f64>,
    times: Option<u32>,
    every_s: Option<f64>,
    on: Option<Spanned<Vec<String>>>,
    netem: Option<Spanned<String>>,
    link: Option<UpDown>,
    partition: Option<Spanned<Vec<Vec<String>>>>,
    mtu: Option<Spanned<u32>>,
    kill: Option<Spanned<String>>,
    start: Option<Spanned<String>>,
    leave: Option<Spanned<String>>,
    stop: Option<Spanned<String>>,
    #[serde(rename = "continue")]
    go_on: Option<Spanned<String>>,
    vanish: Option<Spanned<String>>,
    address: Option<Spanned<String>>,
    clock_s: Option<i64>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum UpDown {
    Up,
    Down,
}

/// Something wrong, and where.
pub(crate) struct Wrong {
    /// The bytes of the file.
    pub(crate) at: Span<usize>,
    /// In words.
    pub(crate) what: String,
}

impl Wrong {
    /// What is wrong there.
    pub(crate) fn new(at: Span<usize>, what: impl Into<String>) -> Self {
        Self {
            at,
            what: what.into(),
        }
    }
}

/// What names mean in a scenario.
pub(crate) struct Place {
    /// How the nodes are joined.
    pub(crate) topology: Topology,
    /// How many there are.
    pub(crate) nodes: usize,
}

impl Place {
    /// Steps in the order of time, repeated ones as often as they are; or why they can't be done.
    pub(crate) fn steps(&self, raw: &[Spanned<RawStep>], lasts_s: f64) -> Result<Vec<Step>, Wrong> {
        let mut steps: Vec<(Span<usize>, Step)> = Vec::new();
        let mut before = 0.0;
        for step in raw {
            let at = &step.get_ref().at_s;
            let at_s = *at.get_ref();
            if !at_s.is_finite() || at_s < before {
                let what = format!("at_s = {at_s} runs backwards: the step before is at {before}");
                return Err(Wrong::new(at.span(), what));
            }
            before = at_s;
            let times = step.get_ref().times.unwrap_or(1);
            let every_s = step.get_ref().every_s.unwrap_or(0.0);
            if !(1..=MAX_TIMES).contains(&times) || (times > 1) != (every_s > 0.0) {
                let what = format!("times (up to {MAX_TIMES}) and every_s go together");
                return Err(Wrong::new(step.span(), what));
            }
            let last_s = at_s + every_s * f64::from(times - 1);
            if last_s >= lasts_s {
                let what = format!("a step at {last_s} s, but all is over at {lasts_s} s");
                return Err(Wrong::new(at.span(), what));
            }
            let action = self.action(step)?;
            for time in 0..times {
                let at_s = at_s + every_s * f64::from(time);
                let action = action.clone();
                steps.push((step.span(), Step { at_s, action }));
            }
        }
        steps.sort_by(|(_, one), (_, other)| one.at_s.total_cmp(&other.at_s));
        let mut lives = vec![Life::Runs; self.nodes];
        for (span, step) in &steps {
            live(&mut lives, step).map_err(|what| Wrong::new(span.clone(), what))?;
        }
        Ok(steps.into_iter().map(|(_, step)| step).collect())
    }

    fn action(&self, step: &Spanned<RawStep>) -> Result<Action, Wrong> {
        let (span, raw) = (step.span(), step.get_ref());
        let mut actions = Vec::new();
        if let Some(netem) = &raw.netem {
            actions.push(self.netem(raw, netem)?);
        }
        if let Some(link) = raw.link {
            let on = self.on(raw)?;
            actions.push(match link {
                UpDown::Up => Action::LinkUp { on },
                UpDown::Down => Action::LinkDown { on },
            });
        }
        if let Some(parts) = &raw.partition {
            actions.push(self.partition(parts)?);
        }
        if let Some(mtu) = &raw.mtu {
            if !(1280..=65_535).contains(mtu.get_ref()) {
                return Err(Wrong::new(mtu.span(), "IPv6 needs an mtu of 1280 at least"));
            }
            actions.push(Action::Mtu {
                on: self.on(raw)?,
                bytes: *mtu.get_ref(),
            });
        }
        type Make = fn(usize) -> Action;
        let about_nodes: [(&Option<Spanned<String>>, Make); 7] = [
            (&raw.kill, |node| Action::Kill { node }),
            (&raw.start, |node| Action::Start { node }),
            (&raw.leave, |node| Action::Leave { node }),
            (&raw.stop, |node| Action::Stop { node }),
            (&raw.go_on, |node| Action::Continue { node }),
            (&raw.vanish, |node| Action::Vanish { node }),
            (&raw.address, |node| Action::Address { node }),
        ];
        for (name, make) in about_nodes {
            if let Some(name) = name {
                actions.push(make(self.node(name.get_ref(), name.span())?));
            }
        }
        if let Some(seconds) = raw.clock_s {
            actions.push(Action::Clock { seconds });
        }
        if actions.len() != 1 {
            let what = format!("a step does one thing, and this does {}", actions.len());
            return Err(Wrong::new(span, what));
        }
        let action = actions.remove(0);
        self.possible(&action)
            .map_err(|what| Wrong::new(span, what))?;
        Ok(action)
    }

    /// What loopback can't do.
    fn possible(&self, action: &Action) -> Result<(), String> {
        if self.topology == Topology::Links {
            return Ok(());
        }
        match action {
            Action::Vanish { .. } | Action::Address { .. } => {
                Err("on loopback all nodes have one host; use topology = \"links\"".into())
            }
            Action::Netem { .. }
            | Action::LinkDown { .. }
            | Action::LinkUp { .. }
            | Action::Mtu { .. }
            | Action::Kill { .. }
            | Action::Start { .. }
            | Action::Leave { .. }
            | Action::Stop { .. }
            | Action::Continue { .. }
            | Action::Clock { .. } => Ok(()),
        }
    }

    fn netem(&self, raw: &RawStep, netem: &Spanned<String>) -> Result<Action, Wrong> {
        let on = self.on(raw)?;
        let netem = match netem.get_ref().trim() {
            "none" => None,
            args => Some(Netem::parse(args).map_err(|what| Wrong::new(netem.span(), what))?),
        };
        Ok(Action::Netem { on, netem })
    }

    fn partition(&self, parts: &Spanned<Vec<Vec<String>>>) -> Result<Action, Wrong> {
        let mut part_of = vec![None; self.nodes];
        for (part, names) in parts.get_ref().iter().enumerate() {
            for name in names {
                let node = self.node(name, parts.span())?;
                if part_of[node].replace(part).is_some() {
                    return Err(Wrong::new(parts.span(), format!("`{name}` is there twice")));
                }
            }
        }
        if let Some(left) = part_of.iter().position(Option::is_none) {
            let what = format!("`{}` is in no part", NAMES[left]);
            return Err(Wrong::new(parts.span(), what));
        }
        if self.topology == Topology::Loopback {
            let what = "loopback is one for all; use topology = \"links\"";
            return Err(Wrong::new(parts.span(), what));
        }
        let on = self
            .all()
            .filter(|(from, to)| part_of[*from] != part_of[*to])
            .collect();
        Ok(Action::LinkDown { on })
    }

    fn all(&self) -> impl Iterator<Item = Direction> {
        let nodes = self.nodes;
        (0..nodes).flat_map(move |from| {
            (0..nodes)
                .filter(move |to| *to != from)
                .map(move |to| (from, to))
        })
    }

    /// The directions that `on` selects; all without it.
    fn on(&self, raw: &RawStep) -> Result<Vec<Direction>, Wrong> {
        let Some(on) = &raw.on else {
            return Ok(self.all().collect());
        };
        let mut selected = Vec::new();
        for word in on.get_ref() {
            match (self.topology, word.as_str()) {
                (_, "all") | (Topology::Loopback, "lo") => selected.extend(self.all()),
                (Topology::Loopback, _) => {
                    let what = "loopback has one qdisc for all: leave `on` out, or write [\"lo\"]";
                    return Err(Wrong::new(on.span(), what));
                }
                (Topology::Links, word) => selected.extend(self.select(word, &on.span())?),
            }
        }
        selected.sort_unstable();
        selected.dedup();
        Ok(selected)
    }

    /// `alice->bob`, `alice-bob`, `alice->`, `->alice` or `alice`.
    fn select(&self, word: &str, span: &Span<usize>) -> Result<Vec<Direction>, Wrong> {
        let node = |name: &str| self.node(name, span.clone());
        let chosen: Vec<Direction> = if let Some((from, to)) = word.split_once("->") {
            let from = if from.is_empty() {
                None
            } else {
                Some(node(from)?)
            };
            let to = if to.is_empty() { None } else { Some(node(to)?) };
            self.all()
                .filter(|way| {
                    from.is_none_or(|from| way.0 == from) && to.is_none_or(|to| way.1 == to)
                })
                .collect()
        } else if let Some((one, other)) = word.split_once('-') {
            let (one, other) = (node(one)?, node(other)?);
            self.all()
                .filter(|way| *way == (one, other) || *way == (other, one))
                .collect()
        } else {
            let node = node(word)?;
            self.all()
                .filter(|way| way.0 == node || way.1 == node)
                .collect()
        };
        if chosen.is_empty() {
            return Err(Wrong::new(span.clone(), format!("`{word}` is no link")));
        }
        Ok(chosen)
    }

    /// Two nodes, as `alice-bob`.
    pub(crate) fn pair(&self, pair: &Spanned<String>) -> Result<Direction, Wrong> {
        let (one, other) = pair
            .get_ref()
            .split_once('-')
            .ok_or_else(|| Wrong::new(pair.span(), "ping is between two: \"alice-bob\""))?;
        Ok((self.node(one, pair.span())?, self.node(other, pair.span())?))
    }

    fn node(&self, name: &str, span: Span<usize>) -> Result<usize, Wrong> {
        let names = &NAMES[..self.nodes];
        names
            .iter()
            .position(|known| *known == name)
            .ok_or_else(|| {
                let hint = nearest(name, names.iter().copied());
                Wrong::new(span, format!("there is no node `{name}`{hint}"))
            })
    }
}

/// How a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Runs,
    Stopped,
    Ended,
}

/// What a step makes of the processes, where it can be done.
fn live(lives: &mut [Life], step: &Step) -> Result<(), String> {
    let (node, can, then) = match step.action {
        Action::Kill { node } => (node, [Life::Runs, Life::Stopped], Life::Ended),
        Action::Leave { node } | Action::Vanish { node } => (node, [Life::Runs; 2], Life::Ended),
        Action::Start { node } => (node, [Life::Ended; 2], Life::Runs),
        Action::Stop { node } => (node, [Life::Runs; 2], Life::Stopped),
        Action::Continue { node } => (node, [Life::Stopped; 2], Life::Runs),
        Action::Netem { .. }
        | Action::LinkDown { .. }
        | Action::LinkUp { .. }
        | Action::Mtu { .. }
        | Action::Address { .. }
        | Action::Clock { .. } => return Ok(()),
    };
    let (name, at_s) = (NAMES[node], step.at_s);
    if step.at_s <= 0.0 {
        return Err(format!(
            "{name} doesn't run yet: all nodes are started at 0"
        ));
    }
    if !can.contains(&lives[node]) {
        let is = match lives[node] {
            Life::Runs => "runs",
            Life::Stopped => "is stopped",
            Life::Ended => "doesn't run",
        };
        return Err(format!(
            "at {at_s} s this can't be done, for {name} {is} then"
        ));
    }
    lives[node] = then;
    Ok(())
}
