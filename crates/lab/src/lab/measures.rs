//! Judges promises about measurements: the RTTs and losses in the views.

use crate::lab::action::Action;
use crate::lab::promises::{BesidePing, NearPing};
use crate::lab::record::{Event, What};
use crate::lab::scenario::Scenario;
use crate::lab::state::{State, started};
use crate::lab::verdict::{Times, median};
use crate::shared::table::Verdict;

/// Tolerance for a shown RTT, as a share of the true one …
const RTT_SHARE: f64 = 0.1;

/// … plus this many ms.
const RTT_PLUS_MS: f64 = 2.0;

/// Medians skip this time after a change. Both the views and ping need it to settle.
const SETTLING_S: f64 = 10.0;

/// Shown losses count from this time after the qdisc was set.
const LOSS_AFTER_S: f64 = 60.0;

/// Judges the scenario's promises about measurements.
pub(crate) fn judge(scenario: &Scenario, events: &[Event], guest: bool) -> Vec<Verdict> {
    let must = &scenario.must;
    let mut verdicts = Vec::new();
    if let Some(bound) = must.rtt_shown_within {
        let begins = |action: &Action| action.delays();
        let times = Times::of(scenario, events, begins, rtt_shown);
        verdicts.push(times.verdict("the new RTT in every view", bound));
    }
    if let Some(near) = must.rtt_near_ping {
        verdicts.push(near_ping(scenario, events, near, guest));
    }
    if let Some(bound) = must.rtt_beside_ping {
        verdicts.push(beside_ping(scenario, events, bound, guest));
    }
    if let Some(points) = must.loss_shown_within {
        verdicts.push(loss_shown(scenario, events, points.0));
    }
    verdicts
}

/// Whether every living view shows the RTT that the qdiscs cause, for the links of the action.
fn rtt_shown(state: &State, action: &Action) -> bool {
    let Action::Netem { on, .. } = action else {
        return false;
    };
    state.truth.living().all(|viewer| {
        let Some(view) = &state.views[viewer] else {
            return false;
        };
        on.iter().all(|(one, other)| {
            let wanted = state.truth.delay_ms(*one, *other);
            let link = view.links.iter().find(|link| {
                let ends = (state.place(&link.dialer), state.place(&link.listener));
                ends == (Some(*one), Some(*other)) || ends == (Some(*other), Some(*one))
            });
            let shown = link.and_then(|link| link.rtt_ms);
            shown.is_some_and(|shown| (shown - wanted).abs() <= wanted * RTT_SHARE + RTT_PLUS_MS)
        })
    })
}

/// The shown RTTs and ping's RTTs in a part of a run.
#[derive(Default)]
struct Beside {
    shown: Vec<f64>,
    ping: Vec<f64>,
}

impl Beside {
    /// Collects from `from` to `to`: ping's answers, and at each full second the RTTs that the dialers of the pinged links show.
    fn of(scenario: &Scenario, events: &[Event], from: f64, to: f64) -> Self {
        let mut beside = Self::default();
        every_second(scenario, events, |at_s, state| {
            if (from..to).contains(&at_s) {
                for link in dialed(state).filter(|link| scenario.pings(link.dialer, link.listener))
                {
                    beside.shown.extend(link.rtt_ms);
                }
            }
        });
        let pings = events
            .iter()
            .filter(|event| (from..to).contains(&event.at_s));
        beside
            .ping
            .extend(pings.filter_map(|event| match event.what {
                What::Ping { rtt_ms } => Some(rtt_ms),
                What::Does(_) | What::Done | What::Shows(_) | What::Ended { .. } => None,
            }));
        beside
    }

    fn over_ms(&self) -> f64 {
        median(&self.shown) - median(&self.ping)
    }

    fn words(&self) -> String {
        format!(
            "shown {:.3} ms, ping {:.3} ms ({} and {} samples)",
            median(&self.shown),
            median(&self.ping),
            self.shown.len(),
            self.ping.len()
        )
    }
}

/// Judges the RTT under a qdisc. User-Mode Linux adds delay even without a qdisc. There, the offset from ping before the qdisc
/// is subtracted.
fn near_ping(scenario: &Scenario, events: &[Event], near: NearPing, guest: bool) -> Verdict {
    let promised = format!("RTT: ping's ± {} % and {:?}", near.share.0, near.plus.0);
    let all_started = events
        .get(started(scenario, events).saturating_sub(1))
        .map_or(0.0, |event| event.at_s);
    let changes: Vec<f64> = events
        .iter()
        .filter(|event| matches!(&event.what, What::Does(action) if action.delays()))
        .map(|event| event.at_s)
        .collect();
    let Some(first) = changes.first() else {
        return Verdict::new(promised, "no qdisc", Some(false));
    };
    let next = changes.get(1).copied().unwrap_or(scenario.lasts_s);
    let clean = Beside::of(scenario, events, all_started + SETTLING_S, *first);
    let under = Beside::of(scenario, events, first + SETTLING_S, next);
    let own = if guest { clean.over_ms() } else { 0.0 };
    let off = under.over_ms() - own;
    let bound = median(&under.ping) * near.share.0 / 100.0 + near.plus.ms();
    let words = format!(
        "{:+.3} ms of ± {bound:.3}: {}; clean before: {}{}",
        off,
        under.words(),
        clean.words(),
        if guest { ", taken off" } else { "" }
    );
    Verdict::new(promised, words, Some(off.abs() <= bound))
}

/// Judges the RTT without a qdisc.
fn beside_ping(scenario: &Scenario, events: &[Event], bound: BesidePing, guest: bool) -> Verdict {
    let promised = format!(
        "RTT: {:?} to ping's and {:?}",
        bound.least.0, bound.over_ping.0
    );
    let beside = Beside::of(scenario, events, SETTLING_S, scenario.lasts_s);
    let over_us = beside.over_ms() * 1000.0;
    let held =
        median(&beside.shown) >= bound.least.ms() && beside.over_ms() <= bound.over_ping.ms();
    let words = format!("{over_us:+.0} µs: {}", beside.words());
    Verdict::new(promised, words, (!guest).then_some(held))
}

/// Judges the loss of all links under a qdisc, sampled every full second from the dialers' views.
fn loss_shown(scenario: &Scenario, events: &[Event], points: f64) -> Verdict {
    let promised = format!("loss shown: the qdiscs' ± {points} points");
    let mut changes = events
        .iter()
        .filter(|event| matches!(&event.what, What::Does(action) if action.delays()));
    let since = changes
        .next_back()
        .map_or(f64::INFINITY, |event| event.at_s);
    let (mut shown, mut off) = (Vec::new(), Vec::new());
    let mut wanted = None;
    every_second(scenario, events, |at_s, state| {
        if at_s >= since + LOSS_AFTER_S {
            for link in dialed(state) {
                wanted = state.truth.loss_percent(link.dialer, link.listener);
                shown.push(link.loss_percent);
                off.extend(wanted.map(|wanted| link.loss_percent - wanted));
            }
        }
    });
    let (off, Some(wanted)) = (median(&off), wanted) else {
        return Verdict::new(promised, "no figures", Some(false));
    };
    let least = shown.iter().copied().fold(f64::INFINITY, f64::min);
    let most = shown.iter().copied().fold(0.0, f64::max);
    let words = format!(
        "{off:+.1}: median {:.1} %, links {least:.0} to {most:.0} %, of {wanted:.1} % of round trips",
        median(&shown)
    );
    Verdict::new(promised, words, Some(off.abs() <= points))
}

/// A link as its dialer's view shows it.
struct Dialed {
    dialer: usize,
    listener: usize,
    rtt_ms: Option<f64>,
    loss_percent: f64,
}

/// All links, as their dialers currently show them.
fn dialed(state: &State) -> impl Iterator<Item = Dialed> {
    state.views.iter().flatten().flat_map(|view| {
        view.links.iter().filter_map(|link| {
            let dialer = state
                .place(&link.dialer)
                .filter(|dialer| *dialer == view.viewer)?;
            Some(Dialed {
                dialer,
                listener: state.place(&link.listener)?,
                rtt_ms: link.rtt_ms,
                loss_percent: link.loss_percent,
            })
        })
    })
}

/// Calls `look` at every full second. A view counts until the next one replaces it.
fn every_second(scenario: &Scenario, events: &[Event], mut look: impl FnMut(f64, &State)) {
    let mut state = State::new(scenario, events);
    let mut next = 0.0;
    for event in events {
        while next < event.at_s {
            look(next, &state);
            next += 1.0;
        }
        state.apply(event);
    }
    while next < scenario.lasts_s {
        look(next, &state);
        next += 1.0;
    }
}
