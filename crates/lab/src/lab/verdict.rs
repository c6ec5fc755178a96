//! The times that a promise is about, and the verdict on them.

use crate::lab::action::Action;
use crate::lab::promises::Bound;
use crate::lab::record::{Event, What};
use crate::lab::scenario::Scenario;
use crate::lab::state::{State, started};
use crate::shared::table::Verdict;

/// Actions of one kind within this time count as one. The time is measured from the first of them.
const AT_ONCE_S: f64 = 1.0;

/// The times from each matching action until a condition held.
pub(crate) struct Times {
    /// In seconds. `None` if the condition did not hold before the next disturbing action, or before the end.
    pub(crate) seconds: Vec<Option<f64>>,
}

impl Times {
    /// Measures from each action that `begins` accepts until `holds` is true.
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

    /// Compares the times with a bound.
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
        let (Some(worst), middle) = (times.last(), median(&times)) else {
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

/// The median: the middle value, or the mean of the two middle values. NaN if there is none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => f64::NAN,
        (count, middle) if count % 2 == 1 => sorted[middle],
        (_, middle) => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}
