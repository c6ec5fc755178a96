//! How the network around this node grows and shrinks: what is made while it starts up would mostly be made anew.

use std::time::Duration;

use crate::membership::view::{Flip, MAX_NODES};
use crate::membership::{Time, pace};

/// Nodes that still come after this time are no start: in a large network some always come and go, and the others need their links.
const LONGEST_GROWTH: Duration = Duration::from_secs(10);
/// Up to this many nodes nobody waits: a handful of nodes is meshed at once.
const FEW_NODES: usize = 6;
/// A network that grew no more for this long has made most of its links: so long after it counted as grown, and no sooner than that
/// after the last newcomer.
const SHAPED_AFTER: Duration = Duration::from_millis(700);
const SHAPED: Duration = Duration::from_millis(1500);
/// A collapse: one part in so many of the network went out of view at once.
const COLLAPSE: usize = 32;
/// No link is given up for this long after one. (Without it, 7000 views of which 3000 nodes had died were almost exact after 8.5 s,
/// when the first links were given up, and exact after 12.1 s.)
const AFTER_COLLAPSE: Duration = Duration::from_secs(4);

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Growth {
    /// The most nodes that the last Hello spoke of.
    heard_of: usize,
    /// When a node last came into view, and since when they come without a pause.
    grew: Time,
    grows_since: Time,
    /// When a good part of the network last went out of view.
    collapsed: Option<Time>,
}

impl Growth {
    /// A neighbour said in its Hello how many nodes it knows.
    pub(super) fn hear(&mut self, known: u32) {
        self.heard_of = (known as usize).min(MAX_NODES);
    }

    /// How many nodes will read our record: a newcomer has heard how many there are before it knows them.
    pub(super) fn readers(&self, up: usize) -> usize {
        up.max(self.heard_of / 2)
    }

    /// Nodes came into view, and went; `up` are in view now.
    pub(super) fn note(&mut self, now: Time, flips: &[Flip], up: usize) {
        if flips.iter().any(|flip| flip.up) {
            if now >= self.grew + pace::growing(up) {
                self.grows_since = now;
            }
            self.grew = now;
        }
        let gone = flips.iter().filter(|flip| !flip.up).count();
        if gone * COLLAPSE >= up + gone {
            self.collapsed = Some(now);
        }
    }

    /// When the network will have grown no more for so long, or no longer counts as one that starts up.
    fn grown(&self, calm: Duration) -> Time {
        (self.grew + calm).min(self.grows_since + LONGEST_GROWTH)
    }

    /// Until when the network seems to be starting up around us, if it does: nodes still come into view, and more than a handful. The shape
    /// is made once they have come, since links made before would mostly be given up again.
    pub(super) fn grows_until(&self, now: Time, up: usize) -> Option<Time> {
        let until = self.grown(pace::growing(up));
        (up > FEW_NODES && now < until).then_some(until)
    }

    /// When the network will have made most of its links, if it grows no more.
    pub(super) fn shaped(&self, up: usize) -> Time {
        self.grown((pace::growing(up) + SHAPED_AFTER).max(SHAPED))
    }

    /// Until when no link is given up since a good part of the network is gone.
    pub(super) fn settles(&self, now: Time) -> Time {
        self.collapsed.map_or(now, |at| at + AFTER_COLLAPSE)
    }
}
