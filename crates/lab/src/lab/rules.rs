//! Judges promises that hold at every moment: no reachable node is shown as down, no working link is dropped, and no node has
//! two identities.

use std::collections::{BTreeMap, BTreeSet};

use crate::lab::action::NAMES;
use crate::lab::record::{Event, View, What};
use crate::lab::scenario::Scenario;
use crate::lab::state::State;
use crate::shared::table::Verdict;

/// Problems beyond this number are counted but not described.
const MAX_TOLD: usize = 3;

/// Judges the scenario's promises that hold at every moment.
pub(crate) fn judge(scenario: &Scenario, events: &[Event]) -> Vec<Verdict> {
    let must = &scenario.must;
    let mut verdicts = Vec::new();
    if must.never_down {
        verdicts.push(never_down(scenario, events));
    }
    if let Some(most) = must.link_drops_at_most {
        verdicts.push(link_drops(scenario, events, most));
    }
    if must.one_identity {
        verdicts.push(one_identity(scenario, events));
    }
    if must.nothing_happens {
        verdicts.push(nothing_happens(scenario, events));
    }
    verdicts
}

/// Describes the first few problems and counts the rest.
fn told(problems: &[String]) -> String {
    let mut words = problems
        .iter()
        .take(MAX_TOLD)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    if problems.len() > MAX_TOLD {
        words.push_str(&format!("; and {} more", problems.len() - MAX_TOLD));
    }
    words
}

/// A view's last statement about another node, since a path to that node exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// Not yet shown as up.
    NotYet,
    /// Shown as up since this time, according to the view.
    Up(u64),
}

/// Once a view showed a node as up, it must keep doing so as long as a path to the node exists. The judge detects a lapse even
/// if a newer version replaced the file before the lab read it: the node is then up since a later time. A node with a path to
/// another must not report that it is cut off.
fn never_down(scenario: &Scenario, events: &[Event]) -> Verdict {
    let nodes = scenario.nodes;
    let mut state = State::new(scenario, events);
    let mut parts: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); nodes];
    let mut shown = vec![vec![Shown::NotYet; nodes]; nodes];
    let mut linked = vec![false; nodes];
    let mut problems = Vec::new();
    for event in events {
        state.apply(event);
        for viewer in 0..nodes {
            let part = state.truth.part_of(viewer);
            if part != parts[viewer] {
                let changed: Vec<usize> =
                    part.symmetric_difference(&parts[viewer]).copied().collect();
                for other in changed {
                    shown[viewer][other] = Shown::NotYet;
                }
                linked[viewer] &= part.len() > 1;
                parts[viewer] = part;
            }
        }
        match &event.what {
            What::Shows(view) if state.truth.alive(view.viewer) => {
                let at_s = event.at_s;
                let mut tell = |what: String| {
                    problems.push(format!("{at_s:.1} s: {} {what}", NAMES[view.viewer]))
                };
                let part = &parts[view.viewer];
                for other in part.iter().copied().filter(|other| *other != view.viewer) {
                    let now = since(&state, view, other);
                    let before = &mut shown[view.viewer][other];
                    match (*before, now) {
                        (Shown::Up(_), None) => {
                            tell(format!("shows {} as down", NAMES[other]));
                            *before = Shown::NotYet;
                        }
                        (Shown::Up(then), Some(now)) if then != now => {
                            tell(format!("has shown {} as down for a moment", NAMES[other]));
                            *before = Shown::Up(now);
                        }
                        (Shown::NotYet | Shown::Up(_), Some(now)) => *before = Shown::Up(now),
                        (Shown::NotYet, None) => {}
                    }
                }
                if view.cut_off && linked[view.viewer] && part.len() > 1 {
                    tell("says that it is cut off".into());
                }
                linked[view.viewer] = !view.cut_off && part.len() > 1;
            }
            What::Shows(_)
            | What::Does(_)
            | What::Done
            | What::Ping { .. }
            | What::Ended { .. } => {}
        }
    }
    let held = problems.is_empty();
    let measured = if held {
        "never".into()
    } else {
        format!("{} times: {}", problems.len(), told(&problems))
    };
    Verdict::new("nobody who is there is shown as down", measured, Some(held))
}

/// The time since which the view shows the node as up. `None` if the view doesn't show it as up.
fn since(state: &State, view: &View, node: usize) -> Option<u64> {
    let id = state.ids[node].as_ref()?;
    let found = view.nodes.iter().find(|node| &node.id == id)?;
    (found.state == "up").then_some(found.since_ms)
}

/// A drop is a link that disappears from the view of one of its own ends although the link works.
fn link_drops(scenario: &Scenario, events: &[Event], most: u32) -> Verdict {
    let mut state = State::new(scenario, events);
    // For each node: the peers at the other end of the links in its own view.
    let mut held: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); scenario.nodes];
    let mut drops: BTreeMap<(usize, usize), u32> = BTreeMap::new();
    for event in events {
        state.apply(event);
        for (node, links) in held.iter_mut().enumerate() {
            links.retain(|other| state.truth.linked(node, *other));
        }
        if let What::Shows(view) = &event.what
            && let Some(links) = state.links(view.viewer)
        {
            let viewer = view.viewer;
            let now: BTreeSet<usize> = links
                .iter()
                .filter(|link| link.0 == viewer || link.1 == viewer)
                .map(|link| if link.0 == viewer { link.1 } else { link.0 })
                .filter(|other| state.truth.linked(viewer, *other))
                .collect();
            for other in held[viewer].difference(&now) {
                *drops.entry((viewer, *other)).or_insert(0) += 1;
            }
            held[viewer] = now;
        }
    }
    // Both ends may drop the same link. The end with more drops counts.
    let worst = drops.iter().max_by_key(|(_, count)| **count);
    let links: BTreeSet<(usize, usize)> = drops
        .keys()
        .map(|(one, other)| (*one.min(other), *one.max(other)))
        .collect();
    let measured = match worst {
        None => "none".into(),
        Some(((one, other), count)) => {
            format!(
                "{} links; {}-{} {count} times",
                links.len(),
                NAMES[*one],
                NAMES[*other]
            )
        }
    };
    let held = worst.is_none_or(|(_, count)| *count <= most);
    Verdict::new(format!("drops of a link: {most}"), measured, Some(held))
}

/// All views together must not name more ids than there are nodes.
fn one_identity(scenario: &Scenario, events: &[Event]) -> Verdict {
    let mut ids = BTreeSet::new();
    for event in events {
        if let What::Shows(view) = &event.what {
            ids.extend(view.nodes.iter().map(|node| node.id.as_str()));
        }
    }
    let held = ids.len() == scenario.nodes;
    Verdict::new(
        "an identity a node",
        format!("{} of {} nodes", ids.len(), scenario.nodes),
        Some(held),
    )
}

/// After the first moment at which all views are exact, only measurements may change.
fn nothing_happens(scenario: &Scenario, events: &[Event]) -> Verdict {
    let promised = "nothing happens";
    let mut state = State::new(scenario, events);
    let mut rest: Option<Vec<Option<View>>> = None;
    let mut problems = Vec::new();
    for event in events {
        state.apply(event);
        if rest.is_none() && state.exact() {
            rest = Some(
                state
                    .views
                    .iter()
                    .map(|view| view.as_ref().map(unmeasured))
                    .collect(),
            );
        }
        if let (What::Shows(view), Some(rest)) = (&event.what, &mut rest) {
            let now = Some(unmeasured(view));
            if rest[view.viewer] != now {
                problems.push(format!(
                    "{:.1} s: {}'s view changes",
                    event.at_s, NAMES[view.viewer]
                ));
                rest[view.viewer] = now;
            }
        }
    }
    match (rest, problems.is_empty()) {
        (None, _) => Verdict::new(promised, "it was never exact", Some(false)),
        (Some(_), true) => Verdict::new(promised, "nothing", Some(true)),
        (Some(_), false) => Verdict::new(promised, told(&problems), Some(false)),
    }
}

/// The view without measurements, which may change at any time.
fn unmeasured(view: &View) -> View {
    let mut view = view.clone();
    for link in &mut view.links {
        link.rtt_ms = None;
        link.loss_percent = 0.0;
    }
    view
}
