//! The snapshot: the whole overlay as this node sees it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::Core;
use crate::membership::Time;
use crate::membership::view::{Entry, Index};
use crate::record::{Direction, LinkState};
use crate::snapshot::{LinkView, NodeState, NodeView, Snapshot};
use crate::wire::{Realm, dialable};

/// A measurement older than this is stale even in the smallest network.
const STALE_AFTER: Duration = Duration::from_secs(180);

impl Core {
    /// Builds the picture; its cost grows with the number of links, so it is made only when somebody asks.
    #[must_use]
    pub fn snapshot(&self, now: Time) -> Snapshot {
        let mut shown: Vec<(Index, Entry<'_>)> = self.view.nodes().collect();
        shown.sort_unstable_by_key(|(_, entry)| entry.record.id());
        let places: BTreeMap<Index, usize> = shown
            .iter()
            .enumerate()
            .map(|(place, (index, _))| (*index, place))
            .collect();
        let nodes = shown
            .iter()
            .map(|(index, entry)| self.node_view(*index, entry))
            .collect();
        let mut links = Vec::new();
        for (place, (index, entry)) in shown.iter().enumerate().filter(|(_, (_, entry))| entry.up) {
            for peer in self.view.mutual_links(*index) {
                let other = places[&peer];
                // Each pair once, from its lower end.
                if place < other && self.view.is_up_at(peer) {
                    links.push(self.link_view(
                        now,
                        (place, entry),
                        (other, &self.view.entry(peer)),
                    ));
                }
            }
        }
        links.sort_by_key(|link: &LinkView| (link.dialer, link.listener));
        Snapshot {
            me: places[&self.view.me()],
            network: self.config.network.clone(),
            cut_off: self.view.up_count() == 1 && shown.len() > 1,
            // The core knows nothing of sockets; the node adds it.
            impaired: None,
            nodes,
            links,
            rejected: self.out.rejected(),
        }
    }

    fn node_view(&self, index: Index, entry: &Entry<'_>) -> NodeView {
        let body = entry.record.body();
        let state = match (entry.up, body.leaving) {
            (true, _) => NodeState::Up,
            (false, true) => NodeState::Left,
            (false, false) => NodeState::Unreachable,
        };
        let mut addrs: Vec<SocketAddr> = body.addrs.iter().map(|one| one.addr).collect();
        if index != self.view.me() {
            // Any address can stand in a record; one that nobody can dial would make a bad target file of peers.json.
            addrs.retain(|addr| dialable(addr, entry.over_loopback));
        }
        if index != self.view.me()
            && let Some(worked) = self
                .overlay
                .best_address(&body.id)
                // One that it publishes no longer is the past. A link-local one is never published.
                .filter(|worked| {
                    let is_link_local = Realm::of(worked.ip()) == Realm::LinkLocal;
                    addrs.is_empty() || is_link_local || addrs.contains(worked)
                })
        {
            addrs.retain(|addr| *addr != worked);
            addrs.insert(0, worked);
        }
        NodeView {
            id: body.id,
            label: body.label.clone(),
            addrs,
            state,
            since_ms: self.config.unix_ms(entry.since),
        }
    }

    fn link_view(
        &self,
        now: Time,
        low: (usize, &Entry<'_>),
        high: (usize, &Entry<'_>),
    ) -> LinkView {
        let side = |from: &Entry<'_>, to: &Entry<'_>| -> LinkState {
            *from
                .record
                .link_to(&to.record.id().abbreviated())
                .expect("the link is mutual")
        };
        let (from_low, from_high) = (side(low.1, high.1), side(high.1, low.1));
        // If both claim to have dialed, for a moment, the lower id is believed, as in the choice between two connections.
        let low_dialed = from_low.direction == Direction::Dialer;
        let (dialer, listener, measured) = if low_dialed {
            (low, high, from_low)
        } else {
            (high, low, from_high)
        };
        let published = dialer
            .1
            .received
            .saturating_sub(Duration::from_secs(measured.rtt_age_s.into()));
        LinkView {
            dialer: dialer.0,
            listener: listener.0,
            rtt_us: (measured.rtt_us > 0).then_some(measured.rtt_us),
            rtt_at_ms: self.config.unix_ms(published),
            rtt_stale: now.saturating_sub(published) > self.stale_after(),
            // The worse of two estimates would be too bad on average.
            loss_permille: u16::from(measured.loss) * 4,
            suspect: from_low.suspect || from_high.suspect,
        }
    }

    /// Twenty times the time in which the budget lets every node tell its measurements anew.
    fn stale_after(&self) -> Duration {
        let round_s = self.own.refresh_round_s(self.view.up_count());
        STALE_AFTER.max(Duration::from_secs_f64((round_s * 10.0 * 2.0).min(1e6)))
    }
}
