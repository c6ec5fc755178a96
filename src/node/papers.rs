//! What a node of a network with an authority does about its own certificate, and about revocations.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::Node;
use crate::admission::follow::{Change, Follower};
use crate::admission::{Papers, admit_command, days_left};
use crate::certificate::{Authorities, Certificate};
use crate::events::EventName;
use crate::membership::{Core, Input};
use crate::revocations::Revocations;
use crate::wire::NodeId;

/// The time before the end of its certificate at which a node warns, in s: a month, since whoever renews it may be away; a week; a day;
/// and when it has ended.
const WARNINGS: [u64; 4] = [30 * 86_400, 7 * 86_400, 86_400, 0];
/// A correction of the wall clock that the core is told, in s. Certificates count ten minutes longer than they say, so it need not be
/// less. Half as much would tell the core of every leap second.
const CORRECTION_S: u64 = 2;

/// The papers of a running node.
pub(super) struct Desk {
    papers: Arc<Papers>,
    follower: Option<Follower>,
    id: NodeId,
    label: String,
    /// The Unix time in s at the core's time zero, as the core was told last.
    origin_s: u64,
    /// The warnings given so far.
    warned: Option<usize>,
    /// What is wrong with the certificate at present, for `area-net status`.
    notice: Option<String>,
}

impl Desk {
    pub(super) fn new(
        papers: Arc<Papers>,
        follower: Option<Follower>,
        id: NodeId,
        label: String,
    ) -> Self {
        let origin_s = papers.charter().unix_s;
        Self {
            papers,
            follower,
            id,
            label,
            origin_s,
            warned: None,
            notice: None,
        }
    }

    /// What changed, if anything did.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Option<Change> {
        match self.follower.as_mut()?.changes.poll_recv(cx) {
            Poll::Ready(change) => change,
            Poll::Pending => None,
        }
    }

    /// Handles a change. `origin_s`: the Unix time at the core's time zero, by the wall clock as it is now; `unix_s`: that clock. Returns
    /// inputs for the core.
    pub(super) fn hear(&mut self, change: Change, origin_s: u64, unix_s: u64) -> Vec<Input> {
        match change {
            Change::Tick => {
                self.papers.set_clock(unix_s);
                self.warn(unix_s);
                if origin_s.abs_diff(self.origin_s) < CORRECTION_S {
                    return Vec::new();
                }
                self.origin_s = origin_s;
                vec![Input::Origin(origin_s)]
            }
            Change::Member(authorities, certificate) => self.take(authorities, certificate, unix_s),
            Change::Revocations(revocations) => vec![Input::Revocations(revocations)],
            Change::Unusable(error) => {
                let action = "going on as before";
                tracing::error!(error = %Chain(&error), action, "{}", EventName::PaperUnusable);
                Vec::new()
            }
            Change::NotKept(error) => {
                let action = "after a restart, the node learns them from others";
                tracing::warn!(error = %Chain(&error), action, "{}", EventName::RevocationsNotKept);
                Vec::new()
            }
        }
    }

    /// Takes the authorities and the certificate as they are in the files now.
    fn take(
        &mut self,
        authorities: Arc<Authorities>,
        certificate: Option<Arc<Certificate>>,
        unix_s: u64,
    ) -> Vec<Input> {
        let (trusted, own) = (authorities.clone(), certificate.clone());
        let taken = match self.papers.take(&self.id, &self.label, trusted, own) {
            Ok(taken) => taken,
            Err(error) => {
                let action = "going on with the authority and the certificate before";
                tracing::error!(error = %Chain(&error), action, "{}", EventName::PaperUnusable);
                return Vec::new();
            }
        };
        let mut inputs = Vec::new();
        if taken.authorities {
            let keys = authorities.keys().len();
            tracing::info!(keys, "{}", EventName::AuthorityChanged);
            inputs.push(Input::Authorities(authorities));
        }
        if taken.certificate {
            self.warned = None;
            let days = certificate.as_ref().map(|one| days_left(one, unix_s));
            tracing::info!(days, "{}", EventName::CertificateChanged);
            self.warn(unix_s);
            inputs.push(Input::Certificate(certificate));
        }
        inputs
    }

    /// Somebody put revocations into the file, and the core has judged them. If they are not the newest, the file is written again.
    pub(super) fn settle(&self, given: &Arc<Revocations>, core: &Core) {
        let newest = core.revocations();
        if newest.is_none_or(|newest| newest != given) {
            let number = given.number();
            let newest_number = newest.map_or(0, |newest| newest.number());
            let action = "keeping the newest revocations";
            tracing::warn!(
                number,
                newest = newest_number,
                action,
                "{}",
                EventName::RevocationsIgnored
            );
            self.keep(newest);
        }
    }

    /// Newer revocations count from now on.
    pub(super) fn keep(&self, newest: Option<&Arc<Revocations>>) {
        self.papers.set_revocations(newest.cloned());
        if let Some(follower) = &self.follower {
            follower.newest.send_replace(newest.cloned());
        }
    }

    /// Says in time that this node's certificate ends, and then that it has ended.
    pub(super) fn warn(&mut self, unix_s: u64) {
        let admit = admit_command(&self.id);
        let place = self.papers.places().certificate.display().to_string();
        let remedy = format!("get one with: {admit}, and copy it to {place}");
        let Some(certificate) = self.papers.certificate() else {
            let cause = "this node has no certificate, so no other node admits it";
            self.notice = Some(format!("no member: {cause}; {remedy}"));
            if self.warned.replace(WARNINGS.len()) != Some(WARNINGS.len()) {
                tracing::error!(cause, action = remedy, "{}", EventName::NoMember);
            }
            return;
        };
        if self.is_revoked() {
            let cause = "the authority has revoked this node";
            self.notice = Some(format!("no member: {cause}"));
            if self.warned.replace(WARNINGS.len() + 1) != Some(WARNINGS.len() + 1) {
                let action = "if it belongs here, give it a new key, and admit that one";
                tracing::error!(cause, action, "{}", EventName::NoMember);
            }
            return;
        }
        let left = certificate.terms().not_after.saturating_sub(unix_s);
        let due = WARNINGS.iter().rposition(|before| left <= *before);
        let days = days_left(&certificate, unix_s);
        self.notice = match (due, left) {
            (None, _) => None,
            (Some(_), 0) => Some(format!("no member: its certificate has expired; {remedy}")),
            (Some(_), _) => Some(format!("the certificate ends in {days} days; {remedy}")),
        };
        let Some(due) = due.filter(|due| self.warned != Some(*due)) else {
            return;
        };
        self.warned = Some(due);
        if left == 0 {
            let cause = "the certificate of this node has expired, so other nodes close their links with it";
            tracing::error!(cause, action = remedy, "{}", EventName::NoMember);
        } else {
            tracing::warn!(days, action = remedy, "{}", EventName::CertificateEnds);
        }
    }

    fn is_revoked(&self) -> bool {
        let revocations = self.papers.charter().revocations;
        revocations.is_some_and(|newest| newest.names(&self.id))
    }

    /// What the user of this node must know.
    pub(super) fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }
}

impl Node {
    /// Handles what changed about this node's papers.
    pub(super) fn hear_paper(&mut self, change: Change) {
        let given = match &change {
            Change::Revocations(revocations) => Some(revocations.clone()),
            Change::Tick | Change::Member(..) | Change::Unusable(_) | Change::NotKept(_) => None,
        };
        let origin_s = u64::try_from(self.origin_ms() / 1000).unwrap_or_default();
        let unix_s = origin_s.saturating_add(self.now().as_secs());
        let desk = self.desk.as_mut();
        let inputs = desk.map(|desk| desk.hear(change, origin_s, unix_s));
        for input in inputs.unwrap_or_default() {
            let are_authorities = matches!(input, Input::Authorities(_));
            self.step(input);
            if let (true, Some(desk)) = (are_authorities, &self.desk) {
                // The core dropped a list that none of them signed.
                desk.papers
                    .set_revocations(self.core.revocations().cloned());
            }
        }
        if let (Some(given), Some(desk)) = (given, &self.desk) {
            desk.settle(&given, &self.core);
        }
        self.tell_notices();
    }

    /// What the user of this node must know, for `area-net status`.
    pub(super) fn tell_notices(&self) {
        if let Some(notes) = &self.notes {
            let certificate = self.desk.as_ref().and_then(Desk::notice);
            notes.set_notice("certificate", certificate.map(str::to_owned));
            notes.set_notice("refused", self.story.refusal());
        }
    }
}

/// An error with its causes.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}
