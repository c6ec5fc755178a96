//! How the network around this node grows and shrinks: what is made while it starts up would mostly be made anew.

use std::time::Duration;

use crate::membership::Time;
use crate::membership::tuning::Tuning as All;
use crate::membership::tuning::overlay::Tuning;
use crate::membership::view::{Flip, MAX_NODES};

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
    pub(super) fn note(&mut self, now: Time, flips: &[Flip], up: usize, all: &All) {
        if flips.iter().any(|flip| flip.up) {
            if now >= self.grew + all.pace.growing(up) {
                self.grows_since = now;
            }
            self.grew = now;
        }
        let gone = flips.iter().filter(|flip| !flip.up).count();
        if gone * all.overlay.collapse >= up + gone {
            self.collapsed = Some(now);
        }
    }

    /// When the network will have grown no more for so long, or no longer counts as one that starts up.
    fn grown(&self, calm: Duration, tuning: &Tuning) -> Time {
        (self.grew + calm).min(self.grows_since + tuning.longest_growth)
    }

    /// Until when the network seems to be starting up around us, if it does: nodes still come into view, and more than a handful. The shape
    /// is made once they have come, since links made before would mostly be given up again.
    pub(super) fn grows_until(&self, now: Time, up: usize, all: &All) -> Option<Time> {
        let until = self.grown(all.pace.growing(up), &all.overlay);
        (up > all.overlay.few_nodes && now < until).then_some(until)
    }

    /// When the network will have made most of its links, if it grows no more.
    pub(super) fn shaped(&self, up: usize, all: &All) -> Time {
        let tuning = &all.overlay;
        let calm = (all.pace.growing(up) + tuning.shaped_after).max(tuning.shaped);
        self.grown(calm, tuning)
    }

    /// Until when no link is given up since a good part of the network is gone.
    pub(super) fn settles(&self, now: Time, tuning: &Tuning) -> Time {
        self.collapsed.map_or(now, |at| at + tuning.after_collapse)
    }
}
