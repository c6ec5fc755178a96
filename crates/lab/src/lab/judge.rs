//! Whether what was promised was kept, from the record of a run alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::lab::measures;
use crate::lab::promises::Bound;
use crate::lab::record::{Event, View, What};
use crate::lab::rules;
use crate::lab::scenario::{Action, Scenario};
use crate::lab::truth::Truth;

/// Actions of one kind that follow each other that closely are one: a time counts from the first of them.
const AT_ONCE_S: f64 = 1.0;

/// Whether a time begins with that action.
type Begins = fn(&Action) -> bool;

/// What came of one promise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// What was promised, with its bound.
    pub(crate) promised: String,
    /// What was measured, in words.
    pub(crate) measured: String,
    /// Whether it was held; none where it can't be judged here.
    pub(crate) held: Option<bool>,
}

impl Verdict {
    /// A verdict.
    pub(crate) fn new(
        promised: impl Into<String>,
        measured: impl Into<String>,
        held: Option<bool>,
    ) -> Self {
        Self {
            promised: promised.into(),
            measured: measured.into(),
            held,
        }
    }
}

/// Where a record is played to: what is so, and what is shown, after each event.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// What is so.
    pub(crate) truth: Truth,
    /// The newest view of each node, by place.
    pub(crate) views: Vec<Option<View>>,
    /// Whose id is whose, as they said themselves.
    pub(crate) ids: Vec<Option<String>>,
}

impl State {
    /// Before anything happened. Who calls itself what is taken from the whole record: the first view that names a node may
    /// be older than the first in which it names itself.
    pub(crate) fn new(scenario: &Scenario, events: &[Event]) -> Self {
        let nodes = scenario.nodes;
        let mut ids: Vec<Option<String>> = vec![None; nodes];
        for event in events {
            if let What::Shows(view) = &event.what {
                ids[view.viewer].get_or_insert_with(|| view.id.clone());
            }
        }
        Self {
            truth: Truth::new(nodes),
            views: vec![None; nodes],
            ids,
        }
    }

    /// After one more event.
    pub(crate) fn apply(&mut self, event: &Event) {
        match &event.what {
            What::Does(action) => {
                self.truth.apply(action);
                if let Action::Start { node } = action {
                    self.views[*node] = None;
                }
            }
            What::Shows(view) => {
                self.ids[view.viewer] = Some(view.id.clone());
                self.views[view.viewer] = Some(view.clone());
            }
            What::Ended { node, .. } => self.truth.apply(&Action::Kill { node: *node }),
            What::Done | What::Ping { .. } => {}
        }
    }

    /// The place of the node that calls itself so.
    pub(crate) fn place(&self, id: &str) -> Option<usize> {
        self.ids.iter().position(|own| own.as_deref() == Some(id))
    }

    /// Whether every node that lives shows as up exactly those to which a path is.
    pub(crate) fn known(&self) -> bool {
        self.truth.living().all(|viewer| self.knows(viewer))
    }

    fn knows(&self, viewer: usize) -> bool {
        let Some(view) = &self.views[viewer] else {
            return false;
        };
        let part = self.truth.part_of(viewer);
        // Who has lost all links says so, and the rest of what it shows is the past.
        if part.len() == 1 && view.cut_off {
            return true;
        }
        let mut up: Vec<Option<usize>> = view
            .nodes
            .iter()
            .filter(|node| node.state == "up")
            .map(|node| self.place(&node.id))
            .collect();
        up.sort_unstable();
        !view.cut_off && up.into_iter().eq(part.into_iter().map(Some))
    }

    /// Whether, besides, all views of a part have the same links: one between every two that can have one, and no other.
    pub(crate) fn exact(&self) -> bool {
        self.known() && self.truth.living().all(|viewer| self.exact_view(viewer))
    }

    fn exact_view(&self, viewer: usize) -> bool {
        let part = self.truth.part_of(viewer);
        if part.len() == 1 {
            return true;
        }
        let Some(links) = self.links(viewer) else {
            return false;
        };
        let mut pairs: Vec<(usize, usize)> = links
            .iter()
            .map(|(one, other)| (*one.min(other), *one.max(other)))
            .collect();
        pairs.sort_unstable();
        let wanted = part.iter().flat_map(|one| {
            let others = part.range(one + 1..);
            others
                .filter(|other| self.truth.linked(*one, **other))
                .map(|other| (*one, *other))
                .collect::<Vec<_>>()
        });
        let first = part.first().and_then(|first| self.links(*first));
        pairs.into_iter().eq(wanted) && first.as_ref() == Some(&links)
    }

    /// The links (dialer, listener) of a node's view, sorted; none where one is with a stranger.
    pub(crate) fn links(&self, viewer: usize) -> Option<Vec<(usize, usize)>> {
        let view = self.views[viewer].as_ref()?;
        let mut links: Vec<(usize, usize)> = view
            .links
            .iter()
            .map(|link| Some((self.place(&link.dialer)?, self.place(&link.listener)?)))
            .collect::<Option<_>>()?;
        links.sort_unstable();
        Some(links)
    }
}

/// How long it took from each of some actions until something held.
pub(crate) struct Times {
    /// Seconds each; none where it didn't come before the next action that disturbs, or the end.
    pub(crate) seconds: Vec<Option<f64>>,
}

impl Times {
    /// From each action that `begins`, until `holds`.
    pub(crate) fn of(
        scenario: &Scenario,
        events: &[Event],
        begins: impl Fn(&Action) -> bool,
        holds: impl Fn(&State, &Action) -> bool,
    ) -> Self {
        let mut state = State::new(scenario, events);
        let first = started(scenario, events);
        let mut seconds = Vec::new();
        let mut waiting: Option<(f64, Action)> = None;
        for (place, event) in events.iter().enumerate() {
            state.apply(event);
            if let What::Does(action) = &event.what
                && place >= first
            {
                let at_once = waiting
                    .as_ref()
                    .is_some_and(|(since, _)| event.at_s - since < AT_ONCE_S);
                if waiting.is_some() && action.disturbs() && !(at_once && begins(action)) {
                    seconds.push(None);
                    waiting = None;
                }
                if waiting.is_none() && begins(action) {
                    waiting = Some((event.at_s, action.clone()));
                }
            }
            if let Some((since, action)) = &waiting
                && holds(&state, action)
            {
                seconds.push(Some((event.at_s - since).max(0.0)));
                waiting = None;
            }
        }
        if waiting.is_some() {
            seconds.push(None);
        }
        Self { seconds }
    }

    /// Holds them against a bound.
    pub(crate) fn verdict(mut self, promised: &str, bound: Bound) -> Verdict {
        let promised = match bound.median {
            Some(median) => format!("{promised}: median {median} s, worst {} s", bound.worst),
            None => format!("{promised}: {} s", bound.worst),
        };
        let never = self.seconds.iter().filter(|time| time.is_none()).count();
        let mut times: Vec<f64> = self
            .seconds
            .drain(..)
            .map(|time| time.unwrap_or(f64::INFINITY))
            .collect();
        times.sort_by(f64::total_cmp);
        let (Some(worst), middle) = (times.last(), measures::median(&times)) else {
            return Verdict::new(promised, "it didn't come to that", Some(false));
        };
        let mut measured = match times.len() {
            1 => seconds(*worst),
            count => format!(
                "{count} times: median {}, worst {}",
                seconds(middle),
                seconds(*worst)
            ),
        };
        if never > 0 && times.len() > 1 {
            measured.push_str(&format!(" ({never} never)"));
        }
        let held = *worst <= bound.worst && bound.median.is_none_or(|median| middle <= median);
        Verdict::new(promised, measured, Some(held))
    }
}

fn seconds(time: f64) -> String {
    if time.is_finite() {
        format!("{time:.2} s")
    } else {
        "never".into()
    }
}

/// The place of the event after which every node was started once.
pub(crate) fn started(scenario: &Scenario, events: &[Event]) -> usize {
    let start = |event: &Event| matches!(event.what, What::Does(Action::Start { .. }));
    let starts = events.iter().enumerate().filter(|(_, event)| start(event));
    starts
        .map(|(place, _)| place)
        .nth(scenario.nodes - 1)
        .map_or(events.len(), |last| last + 1)
}

/// Judges every promise of the scenario. `guest`: it ran in User-Mode Linux, whose own slowness is in every RTT.
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

/// No node ends by itself; every scenario promises that.
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

/// From the last first start. User-Mode Linux takes half a second and more to start five processes: there, it is from the first view
/// of the node that came up last.
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

/// The promise about that.
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

/// Whether no living view shows the node as up any more.
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

/// Whether every living view shows the node as up, also at its new address.
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
