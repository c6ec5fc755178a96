//! Compares what the two ends of each link tell of it.
//!
//! A round-trip time is the same from both ends. If the ends tell different ones, one of them is wrong or lies, and nobody else can say
//! which: what is shown then is one end's claim.
//!
//! Figures are compared once for each thing that the other end tells, with what is shown at that time. Later the path may have changed,
//! and the other end has not told yet. They differ if one is more than twice the other, and by more than 5 ms. Ends that go on differing for a
//! minute disagree. Until then the shown figure must stay about what it was: a start is a rush in which both ends measure too much, and
//! one of them has told it already.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::snapshot::{EndFigures, LinkView, Snapshot};
use crate::wire::NodeId;

/// Figures differ by more than this factor, as does a figure that did not stay what it was. Smoothing and the steps in which figures are
/// told make up to a fifth. At 1.4, two ends that measured at different seconds of a busy minute disagree; at 4, an end may halve what it
/// tells, twice.
const FACTOR: u32 = 2;

/// And by more than this, in µs: a thread that waits for its turn adds some milliseconds at one end. At half, loaded machines disagree on
/// loopback; at double, nobody notices a lie about a link within a city.
const LEAST_US: u32 = 5_000;

/// Figures that were measured further apart than this are not compared, in ms. Figures of up to a hundred nodes come more often. At half,
/// those of larger networks are never compared; at double, more paths change in between.
const APART_MS: i64 = 120_000;

/// Ends disagree after this, in ms. At half, a rush that lasts for half a minute counts as one; at double, a lie stands unmarked for two.
pub const LASTING_MS: i64 = 60_000;

/// The links whose ends tell different things, and the snapshot that was looked at last.
#[derive(Debug, Default)]
pub struct Claims {
    last: Option<Arc<Snapshot>>,
    open: BTreeMap<(NodeId, NodeId), Open>,
}

/// A link whose ends differ.
#[derive(Debug, Clone, Copy)]
struct Open {
    since_ms: i64,
    /// What was shown then.
    rtt_us: u32,
}

impl Claims {
    /// Marks the links of the next snapshot whose ends disagree.
    pub fn mark(&mut self, mut snapshot: Snapshot) -> Arc<Snapshot> {
        let mut open = BTreeMap::new();
        for at in 0..snapshot.links.len() {
            let link = &snapshot.links[at];
            let Some((shown, other)) = link.shown().zip(link.other) else {
                continue;
            };
            if !differ(shown.rtt_us, other.rtt_us) {
                continue;
            }
            let ends = ends(&snapshot, link);
            let known = match self.open.get(&ends) {
                Some(known) => *known,
                None if self.is_news(&snapshot, link, shown, other) => Open {
                    since_ms: snapshot.at_ms,
                    rtt_us: shown.rtt_us,
                },
                None => continue,
            };
            let lasts = snapshot.at_ms.saturating_sub(known.since_ms) >= LASTING_MS;
            if !lasts && is_moved(known.rtt_us, shown.rtt_us) {
                continue;
            }
            open.insert(ends, known);
            snapshot.links[at].disputed_ms = lasts.then_some(known.since_ms);
        }
        self.open = open;
        let snapshot = Arc::new(snapshot);
        self.last = Some(Arc::clone(&snapshot));
        snapshot
    }

    /// Whether the other end told this since the last snapshot, of about the same time.
    fn is_news(
        &self,
        snapshot: &Snapshot,
        link: &LinkView,
        shown: EndFigures,
        other: EndFigures,
    ) -> bool {
        let before = self
            .last
            .as_deref()
            .and_then(|last| find(last, ends(snapshot, link)));
        let is_known = before.is_some_and(|before| before.other == Some(other));
        !is_known && shown.rtt_at_ms.abs_diff(other.rtt_at_ms) <= APART_MS.unsigned_abs()
    }
}

fn ends(snapshot: &Snapshot, link: &LinkView) -> (NodeId, NodeId) {
    let id = |place: usize| snapshot.nodes[place].id;
    (id(link.dialer), id(link.listener))
}

fn find(snapshot: &Snapshot, (dialer, listener): (NodeId, NodeId)) -> Option<&LinkView> {
    let place = |id: NodeId| {
        let nodes = &snapshot.nodes;
        nodes.binary_search_by_key(&id, |node| node.id).ok()
    };
    let wanted = (place(dialer)?, place(listener)?);
    let links = &snapshot.links;
    let at = links.binary_search_by_key(&wanted, |link| (link.dialer, link.listener));
    Some(&links[at.ok()?])
}

fn differ(one_us: u32, other_us: u32) -> bool {
    one_us.abs_diff(other_us) > LEAST_US && is_moved(one_us, other_us)
}

fn is_moved(one_us: u32, other_us: u32) -> bool {
    let (less, more) = (one_us.min(other_us), one_us.max(other_us));
    more > less.saturating_mul(FACTOR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::example;

    /// The view of node 0 at a time in s of a link between two others: what is shown, and what the other end told at another time.
    fn view(at_s: i64, shown_ms: u32, (other_s, other_ms): (i64, u32)) -> Snapshot {
        let mut view = example::snapshot(3, &[(1, 2, shown_ms * 1000)]);
        view.at_ms = at_s * 1000;
        view.links[0].rtt_at_ms = view.at_ms;
        view.links[0].other = Some(EndFigures {
            rtt_us: other_ms * 1000,
            rtt_at_ms: other_s * 1000,
            loss_permille: 0,
        });
        view
    }

    /// Since when the ends disagree after all of these views, in s.
    fn disputed(views: impl IntoIterator<Item = Snapshot>) -> Option<i64> {
        let mut claims = Claims::default();
        let marked = views.into_iter().map(|view| claims.mark(view));
        let last = marked.last().unwrap();
        last.links[0].disputed_ms.map(|since_ms| since_ms / 1000)
    }

    #[test]
    fn ends_that_differ_for_a_minute_disagree() {
        let until = |last: i64| (10..=last).map(|at| view(at, 100, (9, 1)));
        assert_eq!(disputed(until(69)), None);
        assert_eq!(disputed(until(70)), Some(10));
        // The mark stays while nothing new is told, though the shown end goes on as it likes.
        assert_eq!(
            disputed(until(70).chain([view(900, 300, (9, 1))])),
            Some(10)
        );
        assert_eq!(disputed(until(70).chain([view(71, 100, (70, 99))])), None);
        assert_eq!(disputed(until(70).chain([view(71, 1, (9, 1))])), None);
    }

    #[test]
    fn noise_is_no_disagreement() {
        let lasting = |shown, other| disputed((10..200).map(|at| view(at, shown, (9, other))));
        assert_eq!(lasting(4, 9), None);
        assert_eq!(lasting(100, 200), None);
        assert_eq!(lasting(100, 201), Some(10));
        assert_eq!(lasting(1, 6), None);
        assert_eq!(lasting(1, 7), Some(10));
    }

    #[test]
    fn a_path_that_changed_since_the_other_end_told_is_no_disagreement() {
        let agreed = (10..20).map(|at| view(at, 20, (9, 20)));
        let moved = (20..300).map(|at| view(at, 200, (9, 20)));
        assert_eq!(disputed(agreed.chain(moved)), None);
    }

    #[test]
    fn what_one_end_told_in_the_rush_of_a_start_is_no_disagreement() {
        let rush = (10..15).map(|at| view(at, 60, (9, 130)));
        let calm = (15..300).map(|at| view(at, 20, (9, 130)));
        assert_eq!(disputed(rush.chain(calm)), None);
    }

    #[test]
    fn figures_of_different_times_are_not_compared() {
        let old = |told| disputed((500..700).map(|at| view(at, 100, (told, 1))));
        assert_eq!(old(379), None);
        assert_eq!(old(380), Some(500));
    }

    #[test]
    fn only_links_whose_ends_differ_are_kept() {
        let mut claims = Claims::default();
        claims.mark(view(10, 100, (9, 1)));
        assert_eq!(claims.open.len(), 1);
        let mut gone = view(11, 100, (9, 1));
        gone.links.clear();
        claims.mark(gone);
        assert_eq!(claims.open.len(), 0);
    }
}
