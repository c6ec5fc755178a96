//! Who may be a member, in a network with an authority.
//!
//! Certificates are in the nodes' records, so every node judges every other one. A record whose certificate is wrong at all times is
//! as good as forged, and costs the neighbour that brought it the link. One whose certificate is over, or whose node was revoked, is
//! not taken, and nobody is blamed: an honest neighbour's clock may differ, or the revocation may not have reached it.
//!
//! The core has no wall clock. It is told what Unix time its own time zero was, and again when that is corrected. A clock that is
//! earlier than the signature on our own certificate is wrong, and that moment counts in its place: a machine that starts in 1970 is no
//! stranger to its network.
//!
//! In a network without authority, everybody is a member, and none of this costs anything.

use std::sync::Arc;
use std::time::Duration;

use super::Time;
use super::interface::Charter;
use super::view::{Index, View};
use crate::certificate::{Authorities, Certificate, Unfit, ends_at};
use crate::record::Record;
use crate::revocations::Revocations;
use crate::wire::NodeId;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Members {
    charter: Option<Charter>,
    /// This run trusted other authorities before.
    has_changed: bool,
    /// When the next certificate of a node that is up ends; looked up again then.
    next_end: Option<Time>,
}

/// What a look at all nodes found.
#[derive(Debug, Default)]
pub(super) struct Changed {
    /// They are no members any more, and why.
    pub(super) ended: Vec<(NodeId, Unfit)>,
    /// They are members again: the clock was corrected, or they are revoked no more.
    pub(super) readmitted: Vec<Index>,
}

/// The answer to revocations that somebody brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// They are known, or older than those that are known; or the network has no authority.
    Nothing,
    /// They are newer, and count from now on.
    Newer,
    /// No authority of the network signed them.
    Forged,
}

impl Members {
    /// Revocations that none of the network's authorities signed are dropped.
    pub(super) fn new(mut charter: Option<Charter>) -> Self {
        if let Some(charter) = &mut charter {
            drop_foreign(charter);
        }
        Self {
            charter,
            has_changed: false,
            next_end: None,
        }
    }

    /// Whether the network has an authority.
    pub(super) fn is_closed(&self) -> bool {
        self.charter.is_some()
    }

    /// The certificate of this node.
    pub(super) fn certificate(&self) -> Option<&Arc<Certificate>> {
        self.charter.as_ref()?.certificate.as_ref()
    }

    /// This node trusts other authorities. All nodes are looked at anew, and revocations of an authority that it trusts no more end.
    pub(super) fn set_authorities(&mut self, now: Time, authorities: Arc<Authorities>) {
        if let Some(charter) = &mut self.charter {
            charter.authorities = authorities;
            drop_foreign(charter);
            self.has_changed = true;
            self.next_end = Some(now);
        }
    }

    /// Whether this run trusted other authorities before. Neighbours that still do may bring what those signed.
    pub(super) fn has_changed(&self) -> bool {
        self.has_changed
    }

    /// Whether a node that is no member is dialed all the same. Where all members change from one authority to another, each is a stranger
    /// to those that did so before it. If none of them dialed a stranger, they would never meet again.
    pub(super) fn dials_strangers(&self) -> bool {
        self.has_changed
    }

    /// This node has another certificate.
    pub(super) fn set_certificate(&mut self, certificate: Option<Arc<Certificate>>) {
        if let Some(charter) = &mut self.charter {
            charter.certificate = certificate;
        }
    }

    /// The core's time zero was at that Unix time, in s. Certificates are looked at anew.
    pub(super) fn set_origin(&mut self, now: Time, unix_s: u64) {
        if let Some(charter) = &mut self.charter {
            charter.unix_s = unix_s;
            self.next_end = Some(now);
        }
    }

    /// The newest revocations.
    pub(super) fn revocations(&self) -> Option<&Arc<Revocations>> {
        self.charter.as_ref()?.revocations.as_ref()
    }

    /// The number of the newest revocations; 0 for none.
    pub(super) fn number(&self) -> u64 {
        self.revocations().map_or(0, |newest| newest.number())
    }

    /// Whether a node was revoked.
    pub(super) fn is_revoked(&self, id: &NodeId) -> bool {
        self.revocations().is_some_and(|newest| newest.names(id))
    }

    /// Takes revocations that are newer than ours. Older ones are not even verified.
    pub(super) fn hear(&mut self, revocations: &Arc<Revocations>) -> Heard {
        let number = self.number();
        let Some(charter) = &mut self.charter else {
            return Heard::Nothing;
        };
        if revocations.number() <= number {
            return Heard::Nothing;
        }
        let (network, keys) = (charter.authorities.network(), charter.authorities.keys());
        if revocations.verify(network, keys).is_err() {
            return Heard::Forged;
        }
        charter.revocations = Some(revocations.clone());
        Heard::Newer
    }

    /// Whether a record is that of a member. `known`: the record of that node which was judged before. Its certificate is mostly the
    /// same, and need not be verified again.
    ///
    /// # Errors
    /// Why it is not.
    pub(super) fn judge(
        &self,
        now: Time,
        record: &Record,
        known: Option<&Arc<Record>>,
    ) -> Result<(), Unfit> {
        let Some(charter) = &self.charter else {
            return Ok(());
        };
        let body = record.body();
        let certificate = body.certificate.as_deref();
        if let Some(certificate) = certificate
            && let Some(known) = known.and_then(|known| known.body().certificate.as_deref())
        {
            certificate.trust_as(known);
        }
        let unix_s = self.unix_s(now);
        charter
            .authorities
            .admit(&body.id, Some(&body.label), certificate, unix_s)?;
        if self.is_revoked(&body.id) {
            return Err(Unfit::Revoked);
        }
        Ok(())
    }

    /// The Unix time in s.
    fn unix_s(&self, now: Time) -> u64 {
        let Some(charter) = &self.charter else {
            return 0;
        };
        let certified = self.certificate();
        let certified = certified.map_or(0, |one| one.terms().not_before);
        let clock = charter.unix_s.saturating_add(now.as_secs());
        clock.max(certified)
    }

    /// A node with this record is, or may come, up: its certificate ends at some time.
    pub(super) fn expect_end(&mut self, now: Time, record: &Record) {
        let Some(certificate) = record.body().certificate.as_deref() else {
            return;
        };
        if self.is_closed() {
            let in_s = ends_at(certificate.terms()).saturating_sub(self.unix_s(now));
            // One second later it has ended for certain.
            let end = now.saturating_add(Duration::from_secs(in_s.saturating_add(1)));
            self.next_end = Some(self.next_end.map_or(end, |next| next.min(end)));
        }
    }

    /// The nodes in view that became members, or are none any more, if a certificate may have ended by now.
    pub(super) fn look(&mut self, now: Time, view: &View) -> Changed {
        let mut changed = Changed::default();
        if self.next_end.is_none_or(|end| end > now) {
            return changed;
        }
        self.next_end = None;
        for (index, entry) in view.nodes().filter(|(index, _)| *index != view.me()) {
            let verdict = self.judge(now, entry.record, None);
            if verdict.is_ok() {
                self.expect_end(now, entry.record);
            }
            match (verdict, view.is_barred(index)) {
                (Ok(()), true) => changed.readmitted.push(index),
                (Err(unfit), false) => changed.ended.push((entry.record.id(), unfit)),
                (Ok(()), false) | (Err(_), true) => {}
            }
        }
        changed
    }

    /// Looks at all nodes at once, since the reasons changed.
    pub(super) fn look_soon(&mut self, now: Time) {
        if self.is_closed() {
            self.next_end = Some(now);
        }
    }

    /// When a certificate ends.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.next_end
    }
}

/// Drops revocations that none of the authorities signed.
fn drop_foreign(charter: &mut Charter) {
    let (network, keys) = (charter.authorities.network(), charter.authorities.keys());
    let is_good = |list: &Arc<Revocations>| list.verify(network, keys).is_ok();
    charter.revocations = charter.revocations.take().filter(is_good);
}

#[cfg(test)]
mod tests;
