//! Judges the promises from the record of a run alone.

use std::collections::BTreeMap;

use crate::lab::action::Action;
use crate::lab::measures;
use crate::lab::promises::Bound;
use crate::lab::record::{Event, What};
use crate::lab::rules;
use crate::lab::scenario::Scenario;
use crate::lab::state::{State, started};
use crate::lab::verdict::Times;
use crate::shared::table::Verdict;

/// Whether a measured time begins with that action.
type Begins = fn(&Action) -> bool;

/// Judges every promise of the scenario. `guest`: it ran in User-Mode Linux, which adds to every RTT.
pub(crate) fn judge(scenario: &Scenario, events: &[Event], guest: bool) -> Vec<Verdict> {
    let must = &scenario.must;
    let mut verdicts = vec![processes(events)];
    if let Some(bound) = must.all_know_all_within {
        verdicts.push(all_know_all(scenario, events, bound, guest));
    }
    verdicts.extend(rules::judge(scenario, events));
    if let Some(bound) = must.down_everywhere_within {
        let times = Times::of(scenario, events, Action::ends, gone);
        verdicts.push(times.verdict("down everywhere", bound));
    }
    let known = |state: &State, _: &Action| state.known();
    let exact = |state: &State, _: &Action| state.exact();
    let timed: [(_, &str, Begins); 2] = [
        (
            must.unreachable_within,
            "the rest shown as not up",
            Action::cuts,
        ),
        (must.known_again_within, "all know all again", Action::mends),
    ];
    for (bound, promised, begins) in timed {
        if let Some(bound) = bound {
            verdicts.push(Times::of(scenario, events, begins, known).verdict(promised, bound));
        }
    }
    if let Some(bound) = must.exact_within {
        let times = Times::of(scenario, events, Action::mends, exact);
        verdicts.push(times.verdict("all exact again", bound));
    }
    if let Some(bound) = must.link_down_nodes_up_within {
        let times = Times::of(scenario, events, Action::cuts, exact);
        verdicts.push(times.verdict("the link gone, the nodes up", bound));
    }
    if let Some(bound) = must.new_address_within {
        let times = Times::of(scenario, events, Action::moves, moved);
        verdicts.push(times.verdict("known at the new address", bound));
    }
    verdicts.extend(measures::judge(scenario, events, guest));
    if must.exact_at_end {
        let mut state = State::new(scenario, events);
        events.iter().for_each(|event| state.apply(event));
        let held = state.exact();
        let measured = if held { "exact" } else { "not exact" };
        verdicts.push(Verdict::new("all exact at the end", measured, Some(held)));
    }
    verdicts
}

/// No node may end by itself. Every scenario promises that.
fn processes(events: &[Event]) -> Verdict {
    let ended: BTreeMap<usize, &str> = events
        .iter()
        .filter_map(|event| match &event.what {
            What::Ended { node, how } => Some((*node, how.as_str())),
            What::Does(_) | What::Done | What::Shows(_) | What::Ping { .. } => None,
        })
        .collect();
    let measured = match ended.first_key_value() {
        None => "all went on".into(),
        Some((_, how)) => format!("{} ended: {how}", ended.len()),
    };
    Verdict::new("no node ends by itself", measured, Some(ended.is_empty()))
}

/// Time until every view lists all nodes as up, in seconds; the second value counts from the start of the last node.
/// In User-Mode Linux, starting five processes takes half a second or more. There, the first value counts from the latest
/// first view of a node.
fn first_known(scenario: &Scenario, events: &[Event], guest: bool) -> Option<(f64, f64)> {
    let mut state = State::new(scenario, events);
    let last = started(scenario, events);
    let start = events.get(last.checked_sub(1)?)?.at_s;
    let mut up = start;
    for (place, event) in events.iter().enumerate() {
        if let What::Shows(view) = &event.what
            && guest
            && state.views[view.viewer].is_none()
        {
            up = up.max(event.at_s);
        }
        state.apply(event);
        if place + 1 >= last && state.known() {
            return Some(((event.at_s - up).max(0.0), (event.at_s - start).max(0.0)));
        }
    }
    None
}

/// Judges the promise that all nodes know all nodes.
fn all_know_all(scenario: &Scenario, events: &[Event], bound: Bound, guest: bool) -> Verdict {
    let found = first_known(scenario, events, guest);
    let seconds = vec![found.map(|(time, _)| time)];
    let mut verdict = Times { seconds }.verdict("all know all", bound);
    if let (Some((_, all)), true) = (found, guest) {
        verdict.measured.push_str(&format!(
            " after the last came up, {all:.2} s after it was started"
        ));
    }
    verdict
}

/// Whether no view of a living node shows the node as up.
fn gone(state: &State, action: &Action) -> bool {
    let node = match action {
        Action::Kill { node } | Action::Leave { node } | Action::Stop { node } => node,
        Action::Vanish { node } => node,
        Action::Netem { .. }
        | Action::LinkDown { .. }
        | Action::LinkUp { .. }
        | Action::Mtu { .. }
        | Action::Start { .. }
        | Action::Continue { .. }
        | Action::Address { .. }
        | Action::Clock { .. } => return false,
    };
    let Some(id) = &state.ids[*node] else {
        return false;
    };
    let mut views = state
        .truth
        .living()
        .map(|viewer| state.views[viewer].as_ref());
    views.all(|view| {
        let shown = view.map(|view| {
            view.nodes
                .iter()
                .any(|node| &node.id == id && node.state == "up")
        });
        shown == Some(false)
    })
}

/// Whether every other living node shows the node as up, at its new address.
fn moved(state: &State, action: &Action) -> bool {
    let Action::Address { node } = action else {
        return false;
    };
    let Some(id) = &state.ids[*node] else {
        return false;
    };
    state
        .truth
        .living()
        .filter(|viewer| viewer != node)
        .all(|viewer| {
            let view = state.views[viewer].as_ref();
            let shown = view.and_then(|view| view.nodes.iter().find(|node| &node.id == id));
            shown.is_some_and(|shown| {
                let new = shown
                    .addresses
                    .iter()
                    .any(|first| state.truth.is_at(*node, first));
                shown.state == "up" && new
            })
        })
}
