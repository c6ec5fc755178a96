//! Judges promises while a scenario runs: it is told what the lab does and what each view shows, in time order.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::places::plan::Plan;
use crate::places::promise_words::words;
use crate::places::scenario::{Promise, What, Who};
use crate::places::views::{Shown, View};
use crate::shared::table::Verdict;

/// A promise and what was found so far.
struct Tracked {
    promise: Promise,
    words: String,
    /// When it held first, in seconds since the start of the first node.
    held_at: Option<f64>,
    /// How often a lasting promise was broken, and the first time in words.
    broken: (usize, Option<String>),
    /// What was measured instead of a time.
    figure: Option<(String, bool)>,
    /// How far it is, in words, if it doesn't depend on views.
    progress: String,
}

/// The state of the run, as far as promises depend on it.
pub(crate) struct Judge {
    tracked: Vec<Tracked>,
    names: Vec<String>,
    views: Vec<Option<View>>,
    /// By node: whether its process runs.
    alive: Vec<bool>,
    /// By node: whether the switch drops its packets.
    cut: Vec<bool>,
    /// By viewer and node: since when it was shown as up in the viewer's present life.
    up_since: Vec<Vec<Option<u64>>>,
    /// By viewer: whether it shows exactly the nodes that run.
    exact: Vec<bool>,
    /// When the last of the initial starts was.
    last_start: Option<f64>,
    /// When the next step is due. What begins then begins after it.
    next_step: f64,
}

impl Judge {
    /// No node runs yet.
    pub(crate) fn new(promises: &[Promise], plan: &Plan) -> Self {
        let names: Vec<String> = plan
            .nodes
            .iter()
            .map(|place| plan.places[*place].name.clone())
            .collect();
        let count = names.len();
        let tracked = promises.iter().map(|promise| Tracked {
            words: words(promise),
            promise: promise.clone(),
            held_at: None,
            broken: (0, None),
            figure: None,
            progress: "it didn't come to that".to_owned(),
        });
        Self {
            tracked: tracked.collect(),
            names,
            views: vec![None; count],
            alive: vec![false; count],
            cut: vec![false; count],
            up_since: vec![vec![None; count]; count],
            exact: vec![false; count],
            last_start: None,
            next_step: 0.0,
        }
    }

    /// All initial starts have been made.
    pub(crate) fn all_started(&mut self, at_s: f64) {
        self.last_start = Some(at_s);
    }

    /// The next step is due at this time.
    pub(crate) fn next_step(&mut self, at_s: f64) {
        self.next_step = at_s;
    }

    /// Whether the time of a promise has begun.
    fn begun(&self, promise: &Promise, at_s: f64) -> bool {
        match (promise.after_s, self.last_start) {
            (Some(after), Some(_)) => at_s >= after && after < self.next_step,
            (None, Some(after)) => at_s >= after,
            (_, None) => false,
        }
    }

    /// A process was started, or it was ended.
    pub(crate) fn runs(&mut self, node: usize, runs: bool) {
        self.alive[node] = runs;
        self.views[node] = None;
        self.forget(node);
    }

    /// The switch drops the packets of a node, or passes them again.
    pub(crate) fn cuts(&mut self, node: usize, cut: bool) {
        self.cut[node] = cut;
        self.forget(node);
    }

    /// What was shown of a node and by it is no measure for what comes.
    fn forget(&mut self, node: usize) {
        for (viewer, row) in self.up_since.iter_mut().enumerate() {
            if viewer == node {
                row.fill(None);
            }
            row[node] = None;
        }
        for viewer in 0..self.exact.len() {
            self.exact[viewer] = self.is_exact(viewer);
        }
    }

    fn is_exact(&self, viewer: usize) -> bool {
        let Some(view) = &self.views[viewer] else {
            return false;
        };
        let up = |node: &Option<Shown>| node.as_ref().is_some_and(|node| node.up);
        view.strangers.is_empty() && view.nodes.iter().map(up).eq(self.alive.iter().copied())
    }

    /// A view was written.
    pub(crate) fn shows(&mut self, viewer: usize, at_s: f64, view: View) {
        if !self.alive[viewer] {
            return;
        }
        for node in 0..self.names.len() {
            let shown = view.nodes[node].as_ref().filter(|shown| shown.up);
            let before = self.up_since[viewer][node];
            let now = shown.map(|shown| shown.changed_ms);
            if node != viewer && self.alive[node] && !self.cut[node] && !self.cut[viewer] {
                if before.is_some() && before != now {
                    self.flap(viewer, node, at_s, now.is_some());
                }
                self.up_since[viewer][node] = now.or(before);
            }
            if now.is_some() {
                self.up_since[viewer][node] = now;
            }
        }
        self.views[viewer] = Some(view);
        self.exact[viewer] = self.is_exact(viewer);
    }

    fn flap(&mut self, viewer: usize, node: usize, at_s: f64, again: bool) {
        let after = self.last_start;
        let how = if again { "down and up again" } else { "down" };
        let words = format!(
            "{} showed {} as {how} at {at_s:.1} s",
            self.names[viewer], self.names[node]
        );
        let names = &self.names;
        for tracked in &mut self.tracked {
            let What::NeverDown { who, whom } = &tracked.promise.what else {
                continue;
            };
            let begun = tracked
                .promise
                .after_s
                .or(after)
                .is_some_and(|from| at_s >= from);
            let open = tracked.promise.until_s.is_none_or(|until| at_s <= until);
            if begun && open && means(who, &names[viewer]) && means(whom, &names[node]) {
                tracked.broken.0 += 1;
                tracked.broken.1.get_or_insert_with(|| words.clone());
            }
        }
    }

    /// Judges what depends on views, at this time.
    pub(crate) fn judge(&mut self, at_s: f64, plan: &Plan) {
        for number in 0..self.tracked.len() {
            let tracked = &self.tracked[number];
            if tracked.held_at.is_none()
                && self.begun(&tracked.promise, at_s)
                && self.holds(&tracked.promise.what, plan)
            {
                self.tracked[number].held_at = Some(at_s);
            }
        }
    }

    /// A promise that depends on something else than views holds.
    pub(crate) fn found(&mut self, number: usize, at_s: f64) {
        self.tracked[number].held_at.get_or_insert(at_s);
    }

    /// How far a promise is that depends on something else than views.
    pub(crate) fn progress(&mut self, number: usize, words: String) {
        self.tracked[number].progress = words;
    }

    /// A figure was measured for a promise.
    pub(crate) fn measured(&mut self, number: usize, words: String, held: bool) {
        self.tracked[number].figure = Some((words, held));
    }

    /// The promises that are still open, with their numbers, that have begun.
    pub(crate) fn open(&self, at_s: f64) -> Vec<(usize, Promise)> {
        let tracked = self.tracked.iter().enumerate();
        tracked
            .filter(|(_, one)| one.held_at.is_none() && one.figure.is_none())
            .filter(|(_, one)| self.begun(&one.promise, at_s))
            .map(|(number, one)| (number, one.promise.clone()))
            .collect()
    }

    /// Whether every promise with a time has held, so that there is nothing to wait for. `None` of them lasts.
    pub(crate) fn settled(&self) -> bool {
        self.tracked.iter().all(|one| match one.promise.what {
            What::NeverDown { .. } => false,
            What::Bytes { .. } => one.figure.is_some(),
            _ => one.held_at.is_some(),
        })
    }

    fn of(&self, who: &Who) -> impl Iterator<Item = usize> {
        let names = self.names.iter().enumerate();
        names
            .filter(|(node, name)| self.alive[*node] && means(who, name))
            .map(|(node, _)| node)
    }

    fn shown(&self, viewer: usize, node: usize) -> Option<&Shown> {
        self.views[viewer].as_ref()?.nodes[node]
            .as_ref()
            .filter(|shown| shown.up)
    }

    fn holds(&self, what: &What, plan: &Plan) -> bool {
        match what {
            What::Know { who, whom: None } => self.every(who, |viewer| self.exact[viewer]),
            What::Know {
                who,
                whom: Some(whom),
            } => self.every(who, |viewer| {
                self.every(whom, |node| self.shown(viewer, node).is_some())
            }),
            What::Linked(groups) => self.all_pairs(groups, true),
            What::Apart(groups) => self.all_pairs(groups, false),
            What::Links { of, with, least } => {
                self.every(of, |node| self.degree(node, with) >= *least)
            }
            What::Address { of, by, is, never } => self.every(of, |node| {
                self.every(by, |viewer| {
                    self.wrong_address(viewer, node, is, never, plan).is_none()
                })
            }),
            What::NeverDown { .. }
            | What::Bytes { .. }
            | What::Tried { .. }
            | What::Says { .. }
            | What::Writes { .. } => false,
        }
    }

    /// Whether it holds for every running node of these. It doesn't if none of them runs.
    fn every(&self, who: &Who, holds: impl Fn(usize) -> bool) -> bool {
        let mut nodes = self.of(who).peekable();
        nodes.peek().is_some() && nodes.all(holds)
    }

    /// Whether both ends of each pair show its link, or neither of them does.
    fn all_pairs(&self, groups: &[Who], linked: bool) -> bool {
        let mut pairs = self.pairs(groups).peekable();
        pairs.peek().is_some() && pairs.all(|(one, other)| self.linked(one, other) == [linked; 2])
    }

    /// Pairs of running nodes: of two groups, or of the only one.
    fn pairs<'a>(&'a self, groups: &'a [Who]) -> impl Iterator<Item = (usize, usize)> + 'a {
        let members: Vec<Vec<usize>> = groups.iter().map(|who| self.of(who).collect()).collect();
        let mut pairs = BTreeSet::new();
        for (one, first) in members.iter().enumerate() {
            for (other, second) in members.iter().enumerate() {
                if one == other && members.len() > 1 {
                    continue;
                }
                for a in first {
                    for b in second.iter().filter(|b| *b != a) {
                        pairs.insert((*a.min(b), *a.max(b)));
                    }
                }
            }
        }
        pairs.into_iter()
    }

    /// Whether each of two nodes shows the link between them.
    fn linked(&self, one: usize, other: usize) -> [bool; 2] {
        [one, other].map(|viewer| {
            let view = self.views[viewer].as_ref();
            view.is_some_and(|view| view.links.contains(&(one, other)))
        })
    }

    fn degree(&self, node: usize, with: &Who) -> usize {
        let Some(view) = &self.views[node] else {
            return 0;
        };
        let others = view.links.iter().filter_map(|(one, other)| match node {
            _ if *one == node => Some(*other),
            _ if *other == node => Some(*one),
            _ => None,
        });
        others
            .filter(|other| means(with, &self.names[*other]))
            .count()
    }

    /// What is wrong with the addresses that a view shows of a node.
    fn wrong_address(
        &self,
        viewer: usize,
        node: usize,
        is: &[String],
        never: &[String],
        plan: &Plan,
    ) -> Option<String> {
        let (by, of) = (&self.names[viewer], &self.names[node]);
        let Some(shown) = self.shown(viewer, node) else {
            return Some(format!("{by} doesn't show {of} as up"));
        };
        let said = || format!("{by} shows {of} at {}", shown.addresses.join(" "));
        for text in never {
            let text = plan.fill(text).unwrap_or_default();
            let contains = |address: &String| address.contains(&text);
            if shown.addresses.iter().any(contains) {
                return Some(said());
            }
        }
        if !is.is_empty() {
            let missing = is.iter().find(|text| {
                let wanted = plan.fill(text).unwrap_or_default();
                !shown.addresses.contains(&wanted)
            });
            return missing.map(|missing| format!("{}, not at {missing}", said()));
        }
        let (public, own) = plan.public(node);
        let ips: Vec<IpAddr> = shown.addresses.iter().filter_map(|text| ip(text)).collect();
        for v4 in [true, false] {
            let mut wanted = public.iter().filter(|ip| ip.is_ipv4() == v4).peekable();
            if wanted.peek().is_some() && !wanted.any(|ip| ips.contains(ip)) {
                return Some(said());
            }
        }
        let wrong = ips.iter().any(|ip| {
            let local = matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
            !local && !public.contains(ip) && !own.contains(ip)
        });
        (wrong || ips.is_empty()).then(said)
    }

    /// The verdicts, at the end.
    pub(crate) fn verdicts(&self, plan: &Plan) -> Vec<Verdict> {
        self.tracked
            .iter()
            .map(|tracked| self.verdict(tracked, plan))
            .collect()
    }

    fn verdict(&self, tracked: &Tracked, plan: &Plan) -> Verdict {
        let words = &tracked.words;
        if let Some((figure, held)) = &tracked.figure {
            return Verdict::new(words, figure, Some(*held));
        }
        let after = tracked.promise.after_s.or(self.last_start);
        if let What::NeverDown { .. } = tracked.promise.what {
            return match &tracked.broken {
                (0, _) if after.is_some() => Verdict::new(words, "never", Some(true)),
                (0, _) => Verdict::new(words, "it didn't come to that", Some(false)),
                (count, first) => {
                    let first = first.as_deref().unwrap_or_default();
                    Verdict::new(words, format!("{count} times: {first}"), Some(false))
                }
            };
        }
        match (tracked.held_at, after) {
            (Some(at), Some(after)) => {
                let time = at - after;
                Verdict::new(
                    words,
                    format!("{time:.2} s"),
                    Some(time <= tracked.promise.within_s),
                )
            }
            _ => {
                let lacks = self.lacks(tracked, plan);
                Verdict::new(words, format!("never: {lacks}"), Some(false))
            }
        }
    }

    /// What a promise lacks at the end, in words.
    fn lacks(&self, tracked: &Tracked, plan: &Plan) -> String {
        let some = |mut lines: Vec<String>| {
            let more = lines.len().saturating_sub(3);
            lines.truncate(3);
            let more = if more > 0 {
                format!("; and {more} more")
            } else {
                String::new()
            };
            lines.join("; ") + &more
        };
        match &tracked.promise.what {
            What::Know { who, whom } => {
                let wanted: Vec<usize> = match whom {
                    Some(whom) => self.of(whom).collect(),
                    None => self.of(&vec!["all".to_owned()]).collect(),
                };
                let mut lines = Vec::new();
                for viewer in self.of(who) {
                    let missing = wanted
                        .iter()
                        .filter(|node| self.shown(viewer, **node).is_none())
                        .count();
                    let wrong = whom.is_none() && !self.exact[viewer];
                    if missing > 0 {
                        lines.push(format!(
                            "{} lacks {missing} of {}",
                            self.names[viewer],
                            wanted.len()
                        ));
                    } else if wrong {
                        lines.push(format!("{} shows too many", self.names[viewer]));
                    }
                }
                format!("{} views are wrong: {}", lines.len(), some(lines))
            }
            What::Linked(groups) | What::Apart(groups) => {
                let wanted = matches!(tracked.promise.what, What::Linked(_));
                let pairs: Vec<(usize, usize)> = self.pairs(groups).collect();
                let wrong: Vec<String> = pairs
                    .iter()
                    .filter(|(one, other)| self.linked(*one, *other) != [wanted; 2])
                    .map(|(one, other)| format!("{}-{}", self.names[*one], self.names[*other]))
                    .collect();
                let so = if wanted { "not linked" } else { "linked" };
                format!(
                    "{} of {} pairs are {so}: {}",
                    wrong.len(),
                    pairs.len(),
                    some(wrong)
                )
            }
            What::Links { of, with, least } => {
                let few = self.of(of).filter(|node| self.degree(*node, with) < *least);
                let has = |node| format!("{} has {}", self.names[node], self.degree(node, with));
                let lines: Vec<String> = few.map(has).collect();
                format!("{} have fewer: {}", lines.len(), some(lines))
            }
            What::Address { of, by, is, never } => {
                let nodes: Vec<usize> = self.of(of).collect();
                let pairs = self
                    .of(by)
                    .flat_map(|viewer| nodes.iter().map(move |node| (viewer, *node)));
                let wrong = pairs
                    .filter_map(|(viewer, node)| self.wrong_address(viewer, node, is, never, plan));
                some(wrong.collect())
            }
            What::Tried { .. } | What::Says { .. } | What::Writes { .. } => {
                tracked.progress.clone()
            }
            What::NeverDown { .. } | What::Bytes { .. } => "it wasn't measured".into(),
        }
    }
}

/// Whether the names mean this node. Numbers at its end tell copies apart.
fn means(who: &Who, name: &str) -> bool {
    let stem = name.trim_end_matches(|digit: char| digit.is_ascii_digit());
    who.iter()
        .any(|one| one == "all" || one == name || one == stem)
}

/// The IP address in `ADDRESS:PORT`.
fn ip(text: &str) -> Option<IpAddr> {
    let (host, _port) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.split('%').next()?.parse().ok()
}
