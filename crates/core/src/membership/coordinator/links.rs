//! Probes and answers, and what happens to links.

use rand::RngExt as _;

use super::Core;
use super::connections::Loss;
use crate::membership::Time;
use crate::membership::interface::{Action, Closed, ConnId, Event};
use crate::membership::links::{Link, LinkEvent};
use crate::membership::overlay::{LinkEnd, Seen};
use crate::wire::{Answer, CloseCode, MAX_ALTERNATIVES, NodeId, Probe};

impl Core {
    /// A probe came, and the transport has answered it.
    pub(super) fn handle_probe(&mut self, now: Time, conn: ConnId, probe: &Probe) {
        let Some(peer) = self.links.peer(conn) else {
            return;
        };
        self.confirm(now, peer);
        let event = self.links.handle_probe(now, &peer, probe);
        self.link_measured(now);
        self.handle_link_event(now, peer, event);
        self.gossip
            .hear_digest(now, &peer, probe.digest, &self.view);
    }

    /// An answer came; with the path's share of the time in µs, where it could be told.
    pub(super) fn handle_answer(
        &mut self,
        now: Time,
        conn: ConnId,
        answer: &Answer,
        rtt_us: Option<u32>,
    ) {
        let Some(peer) = self.links.peer(conn) else {
            return;
        };
        self.confirm(now, peer);
        let event = self.links.handle_answer(now, &peer, answer, rtt_us);
        self.handle_link_event(now, peer, event);
        if let Some(challenger) = self.links.end_challenge(&peer) {
            // The old connection lives: two nodes run under one id.
            self.out.tell(Event::PeerTwin(peer, challenger.remote));
            // With these addresses the challenger can dial the other run, which then learns of its twin.
            let mut addrs = self.overlay.addresses(&peer, &self.view);
            addrs.truncate(MAX_ALTERNATIVES);
            let code = CloseCode::IdentityInUse;
            self.out.act(Action::Close(challenger.conn, code, addrs));
        }
        self.link_measured(now);
    }

    /// The system at the peer's address says that nobody listens there.
    pub(super) fn handle_unreachable(&mut self, now: Time, conn: ConnId) {
        if let Some(peer) = self.links.peer(conn) {
            let event = self.links.handle_unreachable(now, &peer);
            self.handle_link_event(now, peer, event);
        }
    }

    /// This machine lost the address of a connection: another one replaces it, while the link stays listed.
    pub(super) fn handle_path_lost(&mut self, now: Time, conn: ConnId) {
        if let Some(peer) = self.links.lose_path(conn) {
            self.replace(now, peer);
        }
    }

    /// A better connection to a peer may be possible. The link keeps the one it has unless the dial succeeds.
    pub(super) fn handle_redial(&mut self, now: Time, conn: ConnId) {
        if let Some(peer) = self.links.peer(conn) {
            self.replace(now, peer);
        }
    }

    /// Dials a peer anew, while its link stays listed. A node that leaves needs no other connection.
    pub(super) fn replace(&mut self, now: Time, peer: NodeId) {
        if self.own.is_leaving() {
            return;
        }
        let seen = seen!(self, now);
        self.overlay.replace(&seen, peer, &mut self.out);
    }

    /// A link was measured: our own picture shows that, and others may have to be told.
    fn link_measured(&mut self, now: Time) {
        self.out.figures_changed();
        self.figures.consider(now, &self.links);
    }

    /// Probes, verdicts, and the ends of phases, for every link.
    pub(super) fn advance_links(&mut self, now: Time) {
        let digest = self.view.digest();
        self.links.align_probes(now);
        let gossip = &self.gossip;
        let due = self.links.due(
            now,
            |peer| gossip.holds_until(peer),
            gossip.due(now, &self.links),
        );
        for peer in due {
            let jitter = self.rng.random();
            let event = self.links.probe(now, &peer, digest, jitter, &mut self.out);
            self.handle_link_event(now, peer, event);
            if self.gossip.is_stalled(now, &peer) {
                self.drop_stalled(now, peer);
            } else {
                let hold = self.gossip.holds_until(&peer);
                let event = self.links.advance_phase(now, &peer, hold);
                self.handle_link_event(now, peer, event);
            }
        }
    }

    fn drop_stalled(&mut self, now: Time, peer: NodeId) {
        let why = "it stopped reading".to_owned();
        self.out.reject("stalled", peer, why);
        if let Some(conn) = self.links.get(&peer).map(Link::conn) {
            self.close(now, peer, conn, CloseCode::Stalled);
        }
    }

    fn handle_link_event(&mut self, now: Time, peer: NodeId, event: Option<LinkEvent>) {
        match event {
            None => {}
            Some(LinkEvent::Listed) => {
                self.gossip.end_hold(&peer);
                self.own_link_changed(now, true);
            }
            Some(LinkEvent::Suspected) => {
                self.out.tell(Event::Suspected(peer));
                self.own_link_lost(now, false);
            }
            Some(LinkEvent::Cleared) => self.own_link_changed(now, false),
            Some(LinkEvent::Revived) => self.revive(now, peer),
            Some(LinkEvent::Lost { was_listed }) => self.park(now, peer, was_listed),
            Some(LinkEvent::Dead(conn)) => self.close(now, peer, conn, CloseCode::Down),
            Some(LinkEvent::Abandoned) => {
                let why = Closed::ByPeer(Some(CloseCode::Duplicate));
                self.drop_link(now, peer, &why);
            }
        }
    }

    /// A link that was judged down answers. It is restored, unless others have taken its slot, or are being dialed for it.
    fn revive(&mut self, now: Time, peer: NodeId) {
        if !self.overlay.has_slot_for(&peer, &seen!(self, now)) {
            if let Some(conn) = self.links.get(&peer).map(Link::conn) {
                self.close(now, peer, conn, CloseCode::Full);
            }
            return;
        }
        self.links.restore(now, &peer);
        self.out.tell(Event::Restored(peer));
        if !self.view.is_up(&peer) {
            self.links.end_hold(now, &peer);
            self.gossip.hold_for_round(now, &peer, &self.view);
        }
        self.gossip.offer_all(&peer, &self.view);
        self.gossip.offer_news_of_unreachable(&peer, &self.view);
        let hold = self.gossip.holds_until(&peer);
        if self.links.list_if_due(now, &peer, hold) {
            self.handle_link_event(now, peer, Some(LinkEvent::Listed));
        }
    }

    /// A link was judged down; its connection is kept for a while.
    fn park(&mut self, now: Time, peer: NodeId, was_listed: bool) {
        let Some(run_id) = self.links.get(&peer).map(Link::run_id) else {
            return;
        };
        let loss = Loss {
            peer,
            run_id,
            was_listed,
            was_eager: self.gossip.is_eager(&peer),
            end: LinkEnd::Parked,
            why: "no answer to any probe".to_owned(),
            calm: false,
        };
        self.link_lost(now, loss);
    }

    /// A link has another state or connection; `gained`: others should soon know, as nodes are reached by it.
    pub(super) fn own_link_changed(&mut self, now: Time, gained: bool) {
        let around = self.around();
        if gained {
            self.own.link_gained(now, around, &self.links);
        } else {
            self.own.link_changed(now, around, &self.links);
        }
        self.look_soon(now, false);
    }

    /// A link is listed from now on; `was_up`: its peer was in view already.
    pub(super) fn own_link_added(&mut self, now: Time, was_up: bool) {
        let around = self.around();
        if was_up {
            self.own.link_added(now, around, &self.links);
        } else {
            self.own.link_gained(now, around, &self.links);
        }
        self.look_soon(now, false);
    }

    /// A link was lost, soon after it had come if it was `brief`, or is suspect.
    pub(super) fn own_link_lost(&mut self, now: Time, brief: bool) {
        self.own.link_lost(now, brief, &self.links);
        self.view.derive_soon(now, true);
    }
}
