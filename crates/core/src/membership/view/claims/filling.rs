//! Whose word a node believes while it fills its view.
//!
//! A node that has just come can't judge yet, so it believes what it is told. It believes the neighbours of its first links, and those at
//! addresses of the settings: without them it would not know the network. Any other neighbour may bring as many nodes as it may claim later,
//! or as many as all others brought. The rest is turned away until the node judges.
//!
//! Nodes that start together must believe each other, or they find together late. So the bound holds only if the first neighbour has run for
//! longer than a node fills its view: then the network was there before. The epochs of records tell that. If a clock is wrong, a newcomer
//! is not protected, or a start takes seconds longer.

use std::collections::{BTreeMap, BTreeSet};

use crate::membership::Time;
use crate::membership::view::ids::Index;
use crate::membership::view::{View, weight};
use crate::record::Record;
use crate::wire::NodeId;

/// Whether a node can do no better than believe what it is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::membership::view) enum Filling {
    /// It has one link at most.
    #[default]
    Alone,
    /// It has had more links, and judges once no other node has come up for a while: the time then, and the latest time.
    Until(Time, Time),
    /// It judges.
    Over,
}

/// The neighbours that a node has while it fills its view.
#[derive(Debug, Default)]
pub(in crate::membership::view) struct First {
    /// Those of the first links.
    first: BTreeSet<NodeId>,
    /// The node joins a network: one of these neighbours was there long before it.
    joins: bool,
    /// Those at addresses of the settings.
    named: BTreeSet<NodeId>,
    /// The weight of what each other one brought.
    brought: BTreeMap<NodeId, usize>,
}

impl View {
    /// A neighbour is at an address of the settings: the user trusts its word.
    pub(in crate::membership) fn trust(&mut self, peer: NodeId) {
        if self.is_filling() {
            self.claims.first.named.insert(peer);
        }
    }

    /// A derivation begins with these links in use.
    pub(super) fn note_first_links(&mut self, live: &[Index]) {
        let is_first = match self.claims.filling {
            Filling::Alone => live.len() <= 1 || self.claims.first.first.is_empty(),
            Filling::Until(..) | Filling::Over => false,
        };
        if is_first && !live.is_empty() {
            let after =
                u64::try_from(self.tuning.view.judged_after.as_millis()).unwrap_or(u64::MAX);
            let own = self.record_at(self.me).body().epoch;
            let (mut first, mut joins) = (BTreeSet::new(), false);
            for &index in live {
                let record = self.record_at(index);
                joins |= record.body().epoch.saturating_add(after) < own;
                first.insert(record.id());
            }
            (self.claims.first.first, self.claims.first.joins) = (first, joins);
        }
    }

    /// The node judges from now on.
    pub(super) fn end_filling(&mut self) {
        self.claims.filling = Filling::Over;
        self.claims.first = First::default();
    }

    /// Whether a neighbour may bring that much of other nodes while this node fills its view.
    pub(in crate::membership::view) fn believes(&self, from: &NodeId, record: &Record) -> bool {
        let First {
            first,
            joins,
            named,
            brought,
        } = &self.claims.first;
        let Some(bound) = self.claims.bound else {
            return true;
        };
        let is_trusted = match self.claims.filling {
            Filling::Alone | Filling::Over => true,
            Filling::Until(..) if !joins => true,
            Filling::Until(..) => {
                record.id() == *from || first.contains(from) || named.contains(from)
            }
        };
        let brought = brought.get(from).copied().unwrap_or(0);
        let most = bound.most.max(self.up_count.saturating_sub(brought));
        is_trusted || brought + weight(record) <= most
    }

    /// A neighbour brought a record that was taken, in place of one of that weight (0: of none).
    pub(in crate::membership::view) fn note_believed(
        &mut self,
        from: &NodeId,
        record: &Record,
        before: usize,
    ) {
        if matches!(self.claims.filling, Filling::Until(..)) && record.id() != *from {
            let brought = self.claims.first.brought.entry(*from).or_default();
            *brought += weight(record).saturating_sub(before);
        }
    }
}
