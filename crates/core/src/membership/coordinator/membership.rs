//! Who is a member no longer: in a network with an authority.

use std::sync::Arc;

use super::Core;
use crate::membership::Time;
use crate::membership::interface::Event;
use crate::membership::links::Link;
use crate::membership::members::Heard;
use crate::membership::view::Index;
use crate::revocations::Revocations;
use crate::wire::{CloseCode, NodeId};

impl Core {
    /// The newest revocations that this node knows, to be kept on disk.
    #[must_use]
    pub fn revocations(&self) -> Option<&Arc<Revocations>> {
        self.members.revocations()
    }

    /// Somebody brought revocations: a neighbour, or the user of this node.
    pub(super) fn hear_revocations(
        &mut self,
        now: Time,
        revocations: &Arc<Revocations>,
        from: Option<NodeId>,
    ) {
        match (self.members.hear(revocations), from) {
            (Heard::Nothing, _) | (Heard::Forged, None) => {}
            (Heard::Forged, Some(peer)) => {
                let why = "revocations that no authority of this network signed".to_owned();
                self.out.reject("forged_revocations", peer, why);
                // It may be the list of an authority that this node trusted a moment ago, and its neighbour still does.
                if !self.members.has_changed() {
                    self.drop_faulty(now, peer);
                }
            }
            (Heard::Newer, _) => {
                let number = revocations.number();
                self.out.tell(Event::Revocations(number, from));
                // They leave first: a neighbour that is revoked has no time to say anything more.
                let all: Vec<NodeId> = self.links.iter().map(Link::peer).collect();
                for peer in all.iter().filter(|peer| Some(**peer) != from) {
                    self.gossip.tell_revocations(peer, revocations);
                }
                self.members.look_soon(now);
            }
        }
    }

    /// Certificates may have ended, or nodes were revoked: their links are closed, and they leave the view.
    pub(super) fn remove_ended(&mut self, now: Time) {
        if self.members.deadline().is_none_or(|due| due > now) {
            return;
        }
        let changed = self.members.look(now, &self.view);
        for index in changed.readmitted {
            self.view.unbar(now, index);
        }
        for (id, unfit) in changed.ended {
            // One that has changed to another authority comes back: its link was lost, where that of others has ended.
            if !unfit.depends_on_time() {
                self.close_unfit(now, &id);
            }
            self.bar_unfit(now, &id);
        }
        // A link whose peer has no record here yet: its Hello was judged by earlier revocations. And nobody who is barred has a link.
        let is_out = |id: &NodeId| {
            let index = self.view.index(&id.abbreviated());
            self.members.is_revoked(id) || index.is_some_and(|index| self.view.is_barred(index))
        };
        let links = self.links.iter().map(Link::peer);
        let out: Vec<NodeId> = links.filter(is_out).collect();
        for id in out {
            self.bar_unfit(now, &id);
        }
    }

    /// A node is no member any more.
    pub(super) fn bar_unfit(&mut self, now: Time, id: &NodeId) {
        if let Some(index) = self.view.index(&id.abbreviated())
            && index != self.view.me()
        {
            self.view.bar(now, index);
        }
        self.close_unfit(now, id);
    }

    fn close_unfit(&mut self, now: Time, id: &NodeId) {
        if let Some(conn) = self.links.get(id).map(Link::conn) {
            self.close(now, *id, conn, CloseCode::NotAllowed);
        }
    }

    /// A node went out of view, since it is no member any more.
    pub(super) fn tell_removed(&mut self, now: Time, index: Index) {
        let record = self.view.record_at(index);
        if let Err(unfit) = self.members.judge(now, record, None) {
            self.out.tell(Event::Removed(record.id(), unfit));
        }
    }
}
