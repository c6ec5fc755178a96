//! The snapshot: the whole overlay as this node sees it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::Core;
use crate::membership::Time;
use crate::membership::figures::Figure;
use crate::membership::view::{Entry, Index};
use crate::record::{Direction, LinkState};
use crate::snapshot::{EndFigures, LinkView, NodeState, NodeView, Snapshot};
use crate::wire::{Realm, dialable};

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
            at_ms: as_ms(now),
            // The core knows no wall clock; the node adds it.
            origin_ms: 0,
            network: self.config.network.clone(),
            cut_off: self.view.up_count() == 1 && shown.len() > 1,
            // The core knows nothing of sockets; the node adds it.
            impaired: None,
            differing: self.differing(now, &places),
            nodes,
            links,
            rejected: self.out.rejected(),
        }
    }

    /// The neighbours whose view differs from ours.
    fn differing(&self, now: Time, places: &BTreeMap<Index, usize>) -> Vec<(usize, i64)> {
        let differing = self.gossip.differing(now).filter_map(|(peer, since)| {
            let place = places.get(&self.view.index(&peer.abbreviated())?)?;
            Some((*place, as_ms(since)))
        });
        let mut differing: Vec<_> = differing.collect();
        differing.sort_unstable();
        differing
    }

    fn node_view(&self, index: Index, entry: &Entry<'_>) -> NodeView {
        let body = entry.record.body();
        let state = match (entry.up, self.view.has_left(index)) {
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
            since_ms: as_ms(entry.since),
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
        let (dialer, listener, told) = if low_dialed {
            (low, high, [from_low, from_high])
        } else {
            (high, low, [from_high, from_low])
        };
        let me = self.own.record().id();
        let is_listener = listener.1.record.id() == me;
        let of_dialer = self.told_by_dialer(now, dialer.1, listener.1);
        let of_listener = told_by_record(now, listener.1, &told[1]);
        let (figure, measured, other) = if is_listener {
            (
                None,
                told[1],
                of_dialer.map(|figure| end_figures(now, figure)),
            )
        } else {
            (of_dialer, told[0], of_listener)
        };
        let figure = self.live(now, dialer.1, listener.1).or(figure);
        let rtt_us = figure.map_or(measured.rtt_us, |figure| figure.rtt_us);
        let loss = figure.map_or(measured.loss, |figure| figure.loss);
        LinkView {
            dialer: dialer.0,
            listener: listener.0,
            rtt_us: (rtt_us > 0).then_some(rtt_us),
            rtt_at_ms: figure.map_or(as_ms(now), |figure| measured_ms(now, figure.age)),
            rtt_stale: figure.is_some_and(|figure| figure.is_stale),
            // The worse of two estimates would be too bad on average.
            loss_permille: u16::from(loss) * 4,
            suspect: from_low.suspect || from_high.suspect,
            other: other.filter(|other| other.rtt_us > 0),
            // The core doesn't remember what it showed; the node does.
            disputed_ms: None,
        }
    }

    /// What this node measures on a link of its own, now.
    fn live(&self, now: Time, dialer: &Entry<'_>, listener: &Entry<'_>) -> Option<Figure> {
        let me = self.own.record().id();
        let peer = match (dialer.record.id(), listener.record.id()) {
            (dialer, listener) if dialer == me => listener,
            (dialer, listener) if listener == me => dialer,
            _ => return None,
        };
        let link = self.links.get(&peer)?;
        self.figures.live(now, link)
    }

    /// What the dialer told of a link: by its figures, else by its record.
    fn told_by_dialer(
        &self,
        now: Time,
        dialer: &Entry<'_>,
        listener: &Entry<'_>,
    ) -> Option<Figure> {
        let index = self.view.index(&dialer.record.id().abbreviated())?;
        let told = (index, &**dialer.record, dialer.received);
        let listener = listener.record.id().abbreviated();
        let up = self.view.up_count();
        self.figures.figure(now, told, &listener, up)
    }
}

/// What a listener told of a link. Only its record tells it, so it is as old as that, and nobody can say whether it should be newer.
fn told_by_record(now: Time, listener: &Entry<'_>, link: &LinkState) -> Option<EndFigures> {
    let age = now.saturating_sub(listener.received) + Duration::from_secs(link.rtt_age_s.into());
    (link.rtt_us > 0).then(|| EndFigures {
        rtt_us: link.rtt_us,
        rtt_at_ms: measured_ms(now, age),
        loss_permille: u16::from(link.loss) * 4,
    })
}

fn end_figures(now: Time, figure: Figure) -> EndFigures {
    EndFigures {
        rtt_us: figure.rtt_us,
        rtt_at_ms: measured_ms(now, figure.age),
        loss_permille: u16::from(figure.loss) * 4,
    }
}

/// When something of that age was measured. A measurement must have the same time in every snapshot, so what is less than a
/// millisecond is left out once, of the difference.
fn measured_ms(now: Time, age: Duration) -> i64 {
    match now.checked_sub(age) {
        Some(at) => as_ms(at),
        None => -as_ms(age.saturating_sub(now)),
    }
}

fn as_ms(time: Duration) -> i64 {
    // The difference of two such times fits.
    i64::try_from(time.as_millis()).map_or(i64::MAX / 2, |ms| ms.min(i64::MAX / 2))
}
