//! From a TOML file to a [`Scenario`]: everything that can be wrong with it is found here, before anything starts.

use std::ops::Range as Span;
use std::path::{Path, PathBuf};
use std::{fmt, fs};

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use crate::netem::Netem;
use crate::scenario::{
    Action, Bound, Direction, Listen, Must, NAMES, NearPing, Range, Scenario, Step, Topology,
};
use crate::words::{BadScenario, explain, line, nearest};

/// How long a scenario may last, in seconds: an hour.
const MAX_LASTS_S: f64 = 3600.0;

/// A step may be repeated so often.
const MAX_TIMES: u32 = 100;

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    title: String,
    topology: Topology,
    nodes: Option<Spanned<usize>>,
    #[serde(default = "own")]
    listen: Listen,
    #[serde(default)]
    settings: Vec<String>,
    lasts_s: Spanned<f64>,
    #[serde(default)]
    alone: bool,
    ping: Option<Spanned<String>>,
    #[serde(default)]
    step: Vec<Spanned<RawStep>>,
    must: RawMust,
    short: Option<Short>,
}

/// What is different in the short set. A scenario without it is not in that set.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Short {
    lasts_s: Option<Spanned<f64>>,
    step: Option<Vec<Spanned<RawStep>>>,
    must: Option<RawMust>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
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

/// A number is a bound on the worst; a table has the median as well.
#[derive(Debug, Clone, Copy)]
struct RawBound(Bound);

impl<'de> Deserialize<'de> for RawBound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RawBound;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("seconds, or { median = …, worst = … }")
            }

            fn visit_f64<E: de::Error>(self, worst: f64) -> Result<RawBound, E> {
                Ok(RawBound(Bound {
                    worst,
                    median: None,
                }))
            }

            fn visit_i64<E: de::Error>(self, worst: i64) -> Result<RawBound, E> {
                let worst =
                    u32::try_from(worst).map_err(|_| E::custom("so many seconds can't be"))?;
                self.visit_f64(f64::from(worst))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawBound, A::Error> {
                Bound::deserialize(de::value::MapAccessDeserializer::new(map)).map(RawBound)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMust {
    all_know_all_within_s: Option<RawBound>,
    #[serde(default)]
    never_down: bool,
    link_drops_at_most: Option<u32>,
    down_everywhere_within_s: Option<RawBound>,
    unreachable_within_s: Option<RawBound>,
    known_again_within_s: Option<RawBound>,
    exact_within_s: Option<RawBound>,
    link_down_nodes_up_within_s: Option<RawBound>,
    rtt_shown_within_s: Option<RawBound>,
    rtt_near_ping: Option<NearPing>,
    rtt_over_ping_us: Option<Range>,
    loss_shown_within_points: Option<f64>,
    new_address_within_s: Option<RawBound>,
    #[serde(default)]
    one_identity: bool,
    #[serde(default)]
    nothing_happens: bool,
    #[serde(default)]
    exact_at_end: bool,
}

fn own() -> Listen {
    Listen::Own
}

/// Something wrong, and where.
struct Wrong {
    at: Span<usize>,
    what: String,
}

impl Wrong {
    fn new(at: Span<usize>, what: impl Into<String>) -> Self {
        Self {
            at,
            what: what.into(),
        }
    }
}

/// Reads a file, in its short form where `short` and it has one.
pub(crate) fn file(path: &Path, short: bool) -> Result<Scenario, BadScenario> {
    let text = fs::read_to_string(path).map_err(|source| BadScenario::Unreadable {
        file: path.to_owned(),
        source,
    })?;
    scenario(path, &text, short)
}

/// Whether the scenario has a short form.
pub(crate) fn has_short(text: &str) -> bool {
    toml::from_str::<File>(text).is_ok_and(|file| file.short.is_some())
}

/// Reads the text of the file at `path`.
pub(crate) fn scenario(path: &Path, text: &str, short: bool) -> Result<Scenario, BadScenario> {
    let wrong = |wrong: Wrong| BadScenario::Wrong {
        file: path.to_owned(),
        line: line(text, wrong.at.start),
        what: wrong.what,
    };
    let file: File = toml::from_str(text)
        .map_err(|error| Wrong::new(error.span().unwrap_or(0..0), explain(error.message())))
        .map_err(wrong)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    // The long form is held to the rules even where the short one is wanted: a mistake in it must not wait.
    let long = build(&name, &file, None).map_err(wrong)?;
    match &file.short {
        None => Ok(long),
        Some(form) => {
            let built = build(&name, &file, Some(form)).map_err(wrong)?;
            Ok(if short { built } else { long })
        }
    }
}

/// The scenarios in a folder, in the order of their names.
pub(crate) fn shipped(folder: &Path) -> Result<Vec<PathBuf>, BadScenario> {
    let unreadable = |source| BadScenario::Unreadable {
        file: folder.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|end| end == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The file of a scenario that is named on the command line: one that ships, or a path.
pub(crate) fn find(folder: &Path, name: &str) -> Result<PathBuf, BadScenario> {
    let files = shipped(folder)?;
    let stem = |path: &PathBuf| {
        path.file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    if let Some(path) = files.iter().find(|path| stem(path) == name) {
        return Ok(path.clone());
    }
    let path = PathBuf::from(name);
    if path.is_file() {
        return Ok(path);
    }
    let names: Vec<String> = files.iter().map(stem).collect();
    Err(BadScenario::Unknown {
        name: name.to_owned(),
        hint: nearest(name, names.iter().map(String::as_str)),
    })
}

/// Puts the parts together, those of the short form first.
fn build(name: &str, file: &File, short: Option<&Short>) -> Result<Scenario, Wrong> {
    let lasts = short
        .and_then(|short| short.lasts_s.as_ref())
        .unwrap_or(&file.lasts_s);
    let steps = short
        .and_then(|short| short.step.as_ref())
        .unwrap_or(&file.step);
    let must = short
        .and_then(|short| short.must.as_ref())
        .unwrap_or(&file.must);
    let lasts_s = *lasts.get_ref();
    if !(1.0..=MAX_LASTS_S).contains(&lasts_s) {
        return Err(Wrong::new(
            lasts.span(),
            format!("lasts_s is between 1 and {MAX_LASTS_S}"),
        ));
    }
    let nodes = nodes(file)?;
    let place = Place {
        topology: file.topology,
        nodes,
    };
    let steps = place.steps(steps, lasts_s)?;
    let ping = match &file.ping {
        None => None,
        Some(pair) => Some(place.pair(pair)?),
    };
    let must = checked(must, &steps, lasts)?;
    if (must.rtt_near_ping.is_some() || must.rtt_over_ping_us.is_some()) && ping.is_none() {
        return Err(Wrong::new(
            lasts.span(),
            "a promise about ping needs `ping = \"alice-bob\"`",
        ));
    }
    Ok(Scenario {
        name: name.to_owned(),
        title: file.title.clone(),
        topology: file.topology,
        nodes,
        listen: file.listen,
        settings: file.settings.clone(),
        lasts_s,
        alone: file.alone,
        ping,
        steps,
        must,
    })
}

fn nodes(file: &File) -> Result<usize, Wrong> {
    let Some(nodes) = &file.nodes else {
        return Ok(5);
    };
    let most = NAMES.len();
    match (file.topology, *nodes.get_ref()) {
        (Topology::Loopback, count) if count != 5 => Err(Wrong::new(
            nodes.span(),
            "on loopback the five shipped profiles run",
        )),
        (_, count) if !(2..=most).contains(&count) => Err(Wrong::new(
            nodes.span(),
            format!("nodes is between 2 and {most}"),
        )),
        (_, count) => Ok(count),
    }
}

/// What names mean in a scenario.
struct Place {
    topology: Topology,
    nodes: usize,
}

impl Place {
    fn steps(&self, raw: &[Spanned<RawStep>], lasts_s: f64) -> Result<Vec<Step>, Wrong> {
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

    fn pair(&self, pair: &Spanned<String>) -> Result<Direction, Wrong> {
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

/// The promises, each of which must have something that it is about.
fn checked(raw: &RawMust, steps: &[Step], at: &Spanned<f64>) -> Result<Must, Wrong> {
    let bound = |raw: Option<RawBound>| raw.map(|raw| raw.0);
    let must = Must {
        all_know_all_within_s: bound(raw.all_know_all_within_s),
        never_down: raw.never_down,
        link_drops_at_most: raw.link_drops_at_most,
        down_everywhere_within_s: bound(raw.down_everywhere_within_s),
        unreachable_within_s: bound(raw.unreachable_within_s),
        known_again_within_s: bound(raw.known_again_within_s),
        exact_within_s: bound(raw.exact_within_s),
        link_down_nodes_up_within_s: bound(raw.link_down_nodes_up_within_s),
        rtt_shown_within_s: bound(raw.rtt_shown_within_s),
        rtt_near_ping: raw.rtt_near_ping,
        rtt_over_ping_us: raw.rtt_over_ping_us,
        loss_shown_within_points: raw.loss_shown_within_points,
        new_address_within_s: bound(raw.new_address_within_s),
        one_identity: raw.one_identity,
        nothing_happens: raw.nothing_happens,
        exact_at_end: raw.exact_at_end,
    };
    let any = |is: fn(&Action) -> bool| steps.iter().any(|step| is(&step.action));
    let needs = [
        (
            must.down_everywhere_within_s.is_some(),
            any(Action::ends),
            "down_everywhere_within_s",
            "kill, leave, stop or vanish",
        ),
        (
            must.unreachable_within_s.is_some(),
            any(Action::cuts),
            "unreachable_within_s",
            "link = \"down\" or partition",
        ),
        (
            must.known_again_within_s.is_some(),
            any(Action::mends),
            "known_again_within_s",
            "start, continue or link = \"up\"",
        ),
        (
            must.exact_within_s.is_some(),
            any(Action::mends),
            "exact_within_s",
            "start, continue or link = \"up\"",
        ),
        (
            must.link_down_nodes_up_within_s.is_some(),
            any(Action::cuts),
            "link_down_nodes_up_within_s",
            "link = \"down\"",
        ),
        (
            must.rtt_shown_within_s.is_some(),
            any(Action::delays),
            "rtt_shown_within_s",
            "netem",
        ),
        (
            must.rtt_near_ping.is_some(),
            any(Action::delays),
            "rtt_near_ping",
            "netem",
        ),
        (
            must.loss_shown_within_points.is_some(),
            any(Action::delays),
            "loss_shown_within_points",
            "netem",
        ),
        (
            must.new_address_within_s.is_some(),
            any(Action::moves),
            "new_address_within_s",
            "address",
        ),
    ];
    match needs
        .iter()
        .find(|(promised, given, ..)| *promised && !given)
    {
        Some((_, _, promise, step)) => Err(Wrong::new(
            at.span(),
            format!("{promise} needs a step with {step}"),
        )),
        None => Ok(must),
    }
}
