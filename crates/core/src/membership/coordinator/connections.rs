//! Connections come and go, and links with them.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Core;
use crate::membership::Time;
use crate::membership::interface::{Action, Closed, ConnId, Connected, Event};
use crate::membership::links::{Meeting, Remains};
use crate::membership::overlay::{Admission, LinkEnd, Seen};
use crate::wire::{CloseCode, Hello, Message, NodeId, plain};

/// A link that is no longer in use.
#[derive(Debug)]
pub(super) struct Loss {
    pub(super) peer: NodeId,
    pub(super) run_id: u64,
    pub(super) was_listed: bool,
    /// It was on the tree.
    pub(super) was_eager: bool,
    pub(super) end: LinkEnd,
    /// Why, in words.
    pub(super) why: String,
    /// For the log, nothing is wrong.
    pub(super) calm: bool,
}

impl Core {
    /// A connection is through both Hellos.
    pub(super) fn handle_connected(&mut self, now: Time, new: Connected) {
        let dialed = new
            .dial
            .and_then(|dial| self.overlay.dial_succeeded(dial, new.remote));
        if new.peer == self.own.record().id() {
            self.refuse_own_key(&new);
            return;
        }
        if self.keeps_out(now, &new) {
            return;
        }
        self.overlay.met(now, new.remote, new.peer);
        if let Some(addr) = dialed {
            self.overlay.worked(now, new.peer, addr, &self.view);
        }
        if let Err(error) = self.check_hello(&new) {
            self.out.reject("bad_hello", new.peer, error);
            self.out.close(new.conn, CloseCode::Protocol);
            return;
        }
        if self.is_unfit(now, &new) {
            return;
        }
        if self.own.is_leaving() {
            self.out.close(new.conn, CloseCode::Leaving);
            return;
        }
        match self.links.meet(now, &new) {
            Meeting::Vacancy if new.dial.is_none() => self.admit(now, &new),
            Meeting::Vacancy | Meeting::Weaker => self.adopt(now, &new),
            Meeting::OtherRun => {
                if let Some(earlier) = self.links.open_challenge(now, new) {
                    self.out.close(earlier, CloseCode::Duplicate);
                }
            }
            Meeting::Stronger => {
                self.welcome(&new);
                self.links.keep_loser(now, &new);
            }
        }
    }

    /// Closes a connection of who has a penalty; tells whether it did.
    fn keeps_out(&mut self, now: Time, new: &Connected) -> bool {
        let caller = new.dial.is_none().then_some(new.remote);
        let Some(left) = self.penalties.left(now, &new.peer, caller) else {
            return false;
        };
        let why = format!(
            "kept out for {} s more, after a violation",
            left.as_secs() + 1
        );
        self.out.reject("kept_out", new.peer, why);
        self.out.close(new.conn, CloseCode::Limit);
        true
    }

    /// Closes a connection of who is no member; tells whether it did.
    fn is_unfit(&mut self, now: Time, new: &Connected) -> bool {
        let Err(unfit) = self.members.judge(now, &new.hello.record, None) else {
            return false;
        };
        self.out
            .reject(unfit.counter(), new.peer, unfit.to_string());
        self.out.close(new.conn, CloseCode::NotAllowed);
        true
    }

    /// A peer without a link dialed: it gets one, where there is room.
    fn admit(&mut self, now: Time, new: &Connected) {
        match self.overlay.admit(&seen!(self, now), new) {
            Admission::Admitted => self.adopt(now, new),
            Admission::InPlaceOf(other) => {
                if let Some((conn, remote)) = self
                    .links
                    .get(&other)
                    .map(|link| (link.conn(), link.remote()))
                {
                    self.refuse(conn, &other, remote);
                    self.links.close(&other, conn);
                    self.drop_link(now, other, &Closed::Local);
                }
                self.adopt(now, new);
            }
            Admission::Refused => self.refuse(new.conn, &new.peer, new.remote),
        }
    }

    /// Closes a connection for want of room, and names other nodes to try instead.
    fn refuse(&mut self, conn: ConnId, peer: &NodeId, remote: SocketAddr) {
        let alternatives = self.overlay.alternatives(peer, remote, &self.view);
        self.out
            .act(Action::Close(conn, CloseCode::Full, alternatives));
    }

    /// Our own key is at the other end: this very node, which dialed one of its own addresses, or a second one. Only the run id tells.
    fn refuse_own_key(&mut self, new: &Connected) {
        let code = if new.hello.run_id == self.config.run_id {
            CloseCode::Myself
        } else {
            self.out.tell(Event::Twin {
                run_id: new.hello.run_id,
                remote: Some(new.remote),
                silenced: false,
            });
            CloseCode::IdentityInUse
        };
        self.out.close(new.conn, code);
    }

    /// Answers the Hello of a peer that dialed, and only then does the connection exist for it. Tells whether it did.
    fn welcome(&mut self, new: &Connected) -> bool {
        if new.dial.is_some() {
            return false;
        }
        let hello = Hello {
            run_id: self.config.run_id,
            dial_counter: 0,
            replaces: false,
            observed: new.remote,
            known: u32::try_from(self.view.up_count()).expect("MAX_NODES fits"),
            digest: self.view.digest(),
            record: Arc::clone(self.own.record()),
            revocations: self.members.number(),
        };
        self.out.send(new.conn, Message::Hello(hello));
        true
    }

    fn check_hello(&self, new: &Connected) -> Result<(), String> {
        let record = &new.hello.record;
        if record.id() != new.peer {
            return Err(format!("its Hello shows a record of {:?}", record.id()));
        }
        if record.body().run_id != new.hello.run_id {
            return Err("its Hello and its record differ in the run id".to_owned());
        }
        record
            .verify(&self.config.network)
            .map_err(|error| error.to_string())
    }

    /// Makes the connection the link to its peer, in place of whatever was.
    fn adopt(&mut self, now: Time, new: &Connected) {
        let (peer, hello) = (new.peer, &new.hello);
        let was_up = self.view.is_up(&peer);
        self.gossip.peer_down(&peer);
        let adopted = self.links.adopt(now, new);
        if !was_up {
            self.links.end_hold(now, &peer);
        }
        let greeted = self.welcome(new);
        self.overlay.linked(&peer, &self.view);
        self.overlay.hear_known(hello.known);
        self.gossip
            .peer_up(now, (peer, new.conn), &self.links, was_up, greeted);
        self.learn_addrs(now);
        if self.overlay.is_target(&new.remote) {
            self.view.trust(peer);
        }
        self.take_records(now, peer, [Arc::clone(&hello.record)]);
        if self.overlay.meets_stranger(now, &new.remote) && new.dial.is_none() {
            // It came in though nothing was sent there: the address that it dialed can be dialed.
            self.own.prove_addr(hello.observed);
        }
        if new.dial.is_none() {
            self.overlay.saw(now, peer, new.remote, &self.view);
        }
        if let Some(newest) = self.members.revocations()
            && newest.number() > hello.revocations
        {
            self.gossip.tell_revocations(&peer, newest);
        }
        self.gossip
            .greet(now, hello, was_up, &self.view, &self.links);
        if adopted.confirmed {
            self.tell_linked(&peer, adopted.replaced);
        }
        if adopted.replaced {
            // If it is to another run of the peer, it counts again only when that is told.
            self.own_link_changed(now, adopted.new_run);
        } else if self.list_if_due(now, peer) {
            self.own_link_added(now, was_up);
        }
    }

    /// A peer's packets come from another address than before: it moved, or its NAT chose another port. The peer is told.
    pub(super) fn handle_moved(&mut self, now: Time, conn: ConnId, remote: SocketAddr) {
        let Some(peer) = self.links.peer(conn) else {
            return;
        };
        if self.links.moved(&peer, remote) {
            self.gossip.tell_observed(&peer, plain(&remote));
            self.overlay.saw(now, peer, remote, &self.view);
        }
    }

    /// A peer sees this node at another address than before.
    pub(super) fn handle_observed(
        &mut self,
        now: Time,
        peer: NodeId,
        conn: ConnId,
        addr: SocketAddr,
    ) {
        // A connection that lost to another says nothing about the one in use.
        if self.links.peer(conn) == Some(peer) && self.links.hear_observed(&peer, addr) {
            self.learn_addrs(now);
        }
    }

    /// Links came or went, or a peer sees this node elsewhere: its own addresses may be others.
    fn learn_addrs(&mut self, now: Time) {
        let is_target = |addr: &_| self.overlay.is_target(addr);
        self.own.learn_addrs(now, &self.links, is_target);
    }

    fn tell_linked(&mut self, peer: &NodeId, replaced: bool) {
        if let Some(link) = self.links.get(peer) {
            self.out.tell(Event::Linked {
                peer: *peer,
                remote: link.remote(),
                direction: link.direction(),
                replaced,
            });
        }
    }

    /// The peer said something over its link: that stands at both ends.
    pub(super) fn confirm(&mut self, now: Time, peer: NodeId) {
        if !self.links.confirm(&peer) {
            return;
        }
        let was_up = self.view.is_up(&peer);
        self.tell_linked(&peer, false);
        if self.list_if_due(now, peer) {
            self.own_link_added(now, was_up);
        }
    }

    /// Lists a link that stands, unless it has something to wait for; tells whether it did.
    fn list_if_due(&mut self, now: Time, peer: NodeId) -> bool {
        let hold = self.gossip.holds_until(&peer);
        let listed = self.links.list_if_due(now, &peer, hold);
        if listed {
            self.gossip.end_hold(&peer);
        }
        listed
    }

    /// The ends of collisions.
    pub(super) fn advance_collisions(&mut self, now: Time) {
        for challenger in self.links.take_winners(now) {
            // Meanwhile its peer may have got a penalty, been revoked, or lost its link and with that its place.
            if self.keeps_out(now, &challenger) || self.is_unfit(now, &challenger) {
                continue;
            }
            if challenger.dial.is_none() && self.links.get(&challenger.peer).is_none() {
                self.admit(now, &challenger);
            } else {
                self.adopt(now, &challenger);
            }
        }
        for loser in self.links.take_losers(now) {
            self.out.close(loser, CloseCode::Duplicate);
        }
    }

    /// A connection ended.
    pub(super) fn handle_closed(&mut self, now: Time, conn: ConnId, why: &Closed) {
        let Some(peer) = self.links.forget_conn(conn) else {
            return;
        };
        if let Closed::Violation(code, reason) = why {
            self.out.reject(violation(*code), peer, reason.clone());
        }
        match self.links.remains(now, &peer, conn, why) {
            Remains::Same => {
                // The link goes on, but its peer gets no other connection for a while.
                if let Closed::Violation(code, _) = why
                    && let Some(link) = self.links.get(&peer)
                {
                    self.penalties.note(now, peer, link.proved_at(), *code);
                }
            }
            Remains::Orphan => {}
            Remains::Challenger(challenger) => {
                if matches!(why, Closed::Violation(..)) {
                    self.drop_link(now, peer, why);
                }
                if self.keeps_out(now, &challenger) || self.is_unfit(now, &challenger) {
                    // The challenger may be kept out for its address alone.
                    self.drop_link(now, peer, why);
                } else {
                    self.adopt(now, &challenger);
                }
            }
            Remains::Nothing => self.drop_link(now, peer, why),
        }
    }

    /// Closes a connection from our side. If it carries the link to that peer, that is gone.
    pub(super) fn close(&mut self, now: Time, peer: NodeId, conn: ConnId, code: CloseCode) {
        self.out.close(conn, code);
        if !self.links.close(&peer, conn) {
            // One that lost a collision, and had not closed yet.
            return;
        }
        let why = match code {
            CloseCode::Superfluous | CloseCode::Leaving => Closed::Local,
            CloseCode::NotAllowed => Closed::Violation(code, "it is no member any more".to_owned()),
            _ => Closed::Violation(code, "closed by us".to_owned()),
        };
        self.drop_link(now, peer, &why);
    }

    /// Removes a link whose connection is gone.
    ///
    /// What the peer claims is believed where it signed it, or where we had said the same. The word that the peer can do without the link
    /// may have been lost, and what closes a connection is not sent again; where it was lost, and both had agreed, the next probe is
    /// answered with a reset.
    pub(super) fn drop_link(&mut self, now: Time, peer: NodeId, why: &Closed) {
        let Some(link) = self.links.remove(&peer) else {
            return;
        };
        if let Closed::Violation(code, _) = why {
            self.penalties.note(now, peer, link.proved_at(), *code);
        }
        let gone = self.gossip.peer_down(&peer);
        let offered = gone.is_some_and(|gone| gone.offered);
        let index = self.view.index(&peer.abbreviated());
        let end = if index.is_some_and(|index| self.view.has_left(index)) {
            LinkEnd::PeerLeft
        } else if *why == Closed::Local
            || (offered && *why == Closed::ByPeer(Some(CloseCode::Superfluous)))
            || (offered && link.is_superfluous_to_peer() && *why == Closed::Reset)
        {
            LinkEnd::GivenUp
        } else if *why == Closed::ByPeer(Some(CloseCode::Full)) && self.links.listed().count() > 0 {
            LinkEnd::Evicted
        } else {
            let lived = now.saturating_sub(link.adopted());
            LinkEnd::Broken {
                was_listed: link.is_listed(),
                short_lived: lived < self.config.tuning.coordinator.short_lived,
            }
        };
        // A leave message may overtake the record that says so; the log believes it, the rest waits for the signature.
        let calm = match end {
            LinkEnd::GivenUp | LinkEnd::PeerLeft => true,
            LinkEnd::Broken { .. } | LinkEnd::Parked | LinkEnd::Evicted => {
                *why == Closed::ByPeer(Some(CloseCode::Leaving))
            }
        };
        let loss = Loss {
            peer,
            run_id: link.run_id(),
            was_listed: link.is_listed(),
            was_eager: link.is_live() && gone.is_some_and(|gone| gone.was_eager),
            end,
            why: describe(why),
            calm,
        };
        self.link_lost(now, loss);
    }

    /// A link is no longer in use: the one place where that is handled.
    pub(super) fn link_lost(&mut self, now: Time, loss: Loss) {
        let Loss { peer, end, .. } = loss;
        if loss.was_eager {
            self.gossip.graft_nearest(&self.links);
        }
        if loss.was_listed {
            self.out.tell(Event::Unlinked {
                peer,
                why: loss.why,
                calm: loss.calm,
            });
            if end == LinkEnd::GivenUp {
                self.own.link_given_up(now);
                self.view.derive_soon(now, false);
            } else {
                let is_brief = LinkEnd::Broken {
                    was_listed: true,
                    short_lived: true,
                };
                self.own_link_lost(now, end == is_brief);
                self.gossip.fill_gap(now, &self.view, &self.links);
            }
            if matches!(end, LinkEnd::Parked | LinkEnd::Broken { .. }) {
                self.links.note_loss(now, peer, loss.run_id);
            }
        }
        self.learn_addrs(now);
        self.meet.link_ended(&peer);
        self.echoes.link_ended(&peer);
        self.overlay.link_ended(now, peer, end, &self.view);
    }
}

fn violation(code: CloseCode) -> &'static str {
    match code {
        CloseCode::Limit => "over_limit",
        CloseCode::Stalled => "stalled",
        _ => "protocol_violation",
    }
}

fn describe(why: &Closed) -> String {
    match why {
        Closed::ByPeer(Some(CloseCode::Leaving)) => "it leaves".to_owned(),
        Closed::ByPeer(Some(CloseCode::Superfluous)) | Closed::Local => {
            "both ends can do without it".to_owned()
        }
        Closed::ByPeer(Some(code)) => format!("closed by the peer: {code:?}"),
        Closed::ByPeer(None) => "closed by the peer".to_owned(),
        Closed::Reset => "the peer was restarted".to_owned(),
        Closed::TimedOut => "nothing heard for 30 s".to_owned(),
        Closed::Violation(code, reason) => format!("{code:?}: {reason}"),
        Closed::Failed(reason) => reason.clone(),
    }
}
