//! Compares what the views show with who runs.

use std::collections::{BTreeMap, BTreeSet};

use super::record::{Event, Kind};

/// A view that is false for less than this is not written down: each death is in each view for a second or two.
const WRITTEN_FROM: f64 = 3.0;

/// What a view must show for it to count.
pub(crate) struct Shown<'a> {
    /// The nodes of this soak that it shows as up, by place.
    pub(crate) up: &'a BTreeSet<usize>,
    /// All others that it shows as up.
    pub(crate) strangers: usize,
}

/// Who runs, and which views have been false since when. Times are seconds since the beginning.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    nodes: usize,
    /// The nodes that run, with the time of their start, or of the end of a freeze.
    up: BTreeMap<usize, f64>,
    wrong: BTreeMap<(usize, usize), (Kind, f64)>,
}

impl Truth {
    /// Of so many nodes, none of which runs.
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            nodes,
            ..Self::default()
        }
    }

    /// A node runs from now on.
    pub(crate) fn came(&mut self, place: usize, now: f64) -> Vec<Event> {
        self.up.insert(place, now);
        self.turned(place, now)
    }

    /// A node does not run from now on.
    pub(crate) fn went(&mut self, place: usize, now: f64) -> Vec<Event> {
        self.up.remove(&place);
        self.turned(place, now)
    }

    /// The nodes that run.
    pub(crate) fn up(&self) -> impl Iterator<Item = usize> {
        self.up.keys().copied()
    }

    /// Whether a node runs.
    pub(crate) fn is_up(&self, place: usize) -> bool {
        self.up.contains_key(&place)
    }

    /// Looks at the view of each node that runs; `None` is one that has not written any since it started. Returns what was false for a
    /// while and is no longer.
    pub(crate) fn look<'a>(
        &mut self,
        now: f64,
        view: impl Fn(usize) -> Option<Shown<'a>>,
    ) -> Vec<Event> {
        let mut over = Vec::new();
        for viewer in self.up.keys().copied() {
            let shown = view(viewer);
            for subject in 0..self.nodes {
                let is_shown = shown
                    .as_ref()
                    .is_some_and(|shown| shown.up.contains(&subject));
                let wrong = match (is_shown, self.up.contains_key(&subject)) {
                    (false, true) => Some(Kind::Down),
                    // A view that was written before its node's start says nothing.
                    (true, false) => Some(Kind::Up),
                    _ => None,
                };
                match wrong {
                    Some(kind) => {
                        self.wrong.entry((viewer, subject)).or_insert((kind, now));
                    }
                    None => {
                        if let Some(since) = self.wrong.remove(&(viewer, subject)) {
                            over.extend(written(viewer, subject, since, now));
                        }
                    }
                }
            }
        }
        over
    }

    /// What is wrong in any view now, if anything is: the first of it, in words.
    pub(crate) fn wrong<'a>(&self, view: impl Fn(usize) -> Option<Shown<'a>>) -> Option<String> {
        let up: BTreeSet<usize> = self.up().collect();
        up.iter().find_map(|viewer| {
            let Some(shown) = view(*viewer) else {
                return Some(format!("node {viewer} has written no view"));
            };
            if *shown.up != up {
                let missing: Vec<_> = up.difference(shown.up).collect();
                let more: Vec<_> = shown.up.difference(&up).collect();
                return Some(format!(
                    "node {viewer} does not show {missing:?} as up, and shows {more:?}"
                ));
            }
            (shown.strangers > 0).then(|| {
                let count = shown.strangers;
                format!("node {viewer} shows {count} nodes as up that nobody runs")
            })
        })
    }

    /// What is still false at the end.
    pub(crate) fn finish(&mut self, now: f64) -> Vec<Event> {
        let wrong = std::mem::take(&mut self.wrong);
        let wrong = wrong.into_iter();
        wrong
            .filter_map(|((viewer, subject), since)| written(viewer, subject, since, now))
            .collect()
    }

    /// A node came or went: what its view shows, and what others show of it, is judged anew.
    fn turned(&mut self, place: usize, now: f64) -> Vec<Event> {
        let mut over = Vec::new();
        self.wrong.retain(|(viewer, subject), since| {
            let about = *viewer == place || *subject == place;
            if about {
                over.extend(written(*viewer, *subject, *since, now));
            }
            !about
        });
        over
    }
}

fn written(viewer: usize, subject: usize, since: (Kind, f64), now: f64) -> Option<Event> {
    let (kind, from) = since;
    let lasted_s = now - from;
    (lasted_s >= WRITTEN_FROM).then_some(Event::False {
        kind,
        viewer,
        subject,
        lasted_s,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(up: &BTreeSet<usize>) -> Option<Shown<'_>> {
        Some(Shown { up, strangers: 0 })
    }

    #[test]
    fn a_view_is_false_from_the_first_look_to_the_first_right_one() {
        let mut truth = Truth::new(3);
        for place in 0..3 {
            truth.came(place, 0.0);
        }
        let (all, without) = (BTreeSet::from([0, 1, 2]), BTreeSet::from([0, 1]));
        let one_errs = |viewer| shown(if viewer == 1 { &without } else { &all });
        assert_eq!(truth.look(10.0, one_errs), []);
        assert_eq!(truth.look(14.0, one_errs), []);
        assert!(truth.wrong(one_errs).unwrap().starts_with("node 1 "));
        let over = truth.look(15.0, |_| shown(&all));
        let expected = Event::False {
            kind: Kind::Down,
            viewer: 1,
            subject: 2,
            lasted_s: 5.0,
        };
        assert_eq!(over, [expected]);
        assert_eq!(truth.wrong(|_| shown(&all)), None);
    }

    #[test]
    fn a_dead_node_is_false_while_it_is_shown_and_a_short_while_is_not_written() {
        let mut truth = Truth::new(2);
        truth.came(0, 0.0);
        truth.came(1, 0.0);
        let (both, alone) = (BTreeSet::from([0, 1]), BTreeSet::from([0]));
        truth.look(1.0, |_| shown(&both));
        truth.went(1, 2.0);
        truth.look(2.5, |_| shown(&both));
        assert_eq!(truth.look(4.0, |_| shown(&alone)), [], "1.5 s");
        truth.look(5.0, |_| shown(&both));
        let end = truth.finish(9.0);
        assert!(
            matches!(end[..], [Event::False { kind: Kind::Up, viewer: 0, subject: 1, lasted_s }] if lasted_s == 4.0),
            "{end:?}"
        );
    }

    #[test]
    fn a_node_that_has_just_started_owes_its_view_from_its_start_on() {
        let mut truth = Truth::new(2);
        truth.came(0, 0.0);
        truth.came(1, 0.0);
        truth.look(1.0, |_| None);
        // It is killed and comes back: what was false before is written down, and a new time begins.
        let over = truth.went(1, 5.0);
        assert_eq!(over.len(), 3, "both ways, and what it shows of itself");
        truth.came(1, 6.0);
        truth.look(6.5, |_| None);
        let both = BTreeSet::from([0, 1]);
        let over = truth.look(8.0, |_| shown(&both));
        assert_eq!(
            over.len(),
            1,
            "node 0 has shown nothing since the start: {over:?}"
        );
    }

    #[test]
    fn strangers_are_false_at_rest() {
        let mut truth = Truth::new(1);
        truth.came(0, 0.0);
        let up = BTreeSet::from([0]);
        let with = |_| {
            Some(Shown {
                up: &up,
                strangers: 2,
            })
        };
        assert!(truth.wrong(with).unwrap().contains("2 nodes"));
    }
}
