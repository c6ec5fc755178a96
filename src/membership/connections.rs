//! Connections come, go, and compete for being *the* link to a peer.

use std::collections::VecDeque;
use std::time::Duration;

use super::detector::Detector;
use super::exchange::Exchange;
use super::links::{Link, LinkPhase};
use super::spread::Allowances;
use super::{Action, Closed, ConnId, Connected, Core, Event, Time};
use crate::record::Direction;
use crate::wire::{CloseCode, Hello, Message, NodeId};

/// How long the old connection of a peer with a new run id has to prove that it lives.
pub(super) const CONTEST: Duration = Duration::from_millis(300);
/// How long the loser of two connections is kept, so that the other end has seen the winner before it sees this one close.
const CLOSE_AFTER: Duration = Duration::from_millis(500);
/// How long a link whose connection lost to one that we have not seen yet waits for it.
const ORPHAN: Duration = Duration::from_secs(2);
/// Two connections that come within this time were dialed across each other.
const CROSSING: Duration = Duration::from_secs(3);
/// A link that ends so soon is followed by a pause before the next dial.
const SHORT_LIVED: Duration = Duration::from_secs(3);
/// The time over which the losses of a link are counted, and the number that is still normal.
const FLAP_WINDOW: Duration = Duration::from_secs(600);
const FLAPS_ALLOWED: usize = 3;
const LONGEST_HOLD: Duration = Duration::from_secs(60);
/// A peer that was restarted starts with a clean slate, unless it was lost a moment ago: a new run id costs nothing.
const CLEAN_SLATE: Duration = Duration::from_secs(2);
/// The most peers whose flaps are remembered.
const MAX_FLAPS: usize = 1024;

/// A peer has come back with a new run id while its old connection seems alive.
#[derive(Debug)]
pub(super) struct Contest {
    pub(super) deadline: Time,
    pub(super) challenger: Connected,
}

/// How often a link was lost of late.
#[derive(Debug, Default)]
pub(super) struct Flaps {
    run_id: u64,
    losses: VecDeque<Time>,
}

impl Core {
    pub(super) fn handle_connected(&mut self, now: Time, new: Connected) {
        let dialing = new.dial.and_then(|dial| self.dials.remove(&dial));
        if new.peer == self.me {
            self.refuse_own_key(&new);
            return;
        }
        if let Some(dialing) = dialing {
            self.keep(new.peer);
            self.pool
                .worked(new.peer, dialing.candidate.addr, self.unix_ms(now));
            self.let_go(new.peer);
        }
        if let Err(error) = self.check_hello(&new) {
            self.reject("bad_hello", new.peer, error);
            self.actions
                .push_back(Action::Close(new.conn, CloseCode::Protocol, Vec::new()));
            return;
        }
        if self.leaving {
            self.actions
                .push_back(Action::Close(new.conn, CloseCode::Leaving, Vec::new()));
            return;
        }
        let Some(old) = self.links.get(&new.peer) else {
            if new.dial.is_none() && !self.has_room_for(&new.peer) {
                let alternatives = self.alternatives(&new.peer);
                self.actions
                    .push_back(Action::Close(new.conn, CloseCode::Full, alternatives));
            } else {
                self.adopt(now, new);
            }
            return;
        };
        if matches!(old.phase, LinkPhase::Parked { .. })
            && new.dial.is_none()
            && !self.has_room_for(&new.peer)
        {
            let alternatives = self.alternatives(&new.peer);
            self.actions
                .push_back(Action::Close(new.conn, CloseCode::Full, alternatives));
        } else if !matches!(old.phase, LinkPhase::Live { .. }) {
            self.adopt(now, new);
        } else if old.run_id != new.hello.run_id {
            self.open_contest(now, new);
        } else if self.wins(now, &new, old) {
            self.adopt(now, new);
        } else {
            self.welcome(&new);
            self.conns.insert(new.conn, new.peer);
            self.closing.push((now + CLOSE_AFTER, new.conn));
        }
    }

    /// Our own key is at the other end: this very node, which dialed one of its own addresses, or a second one. Only the run id tells.
    fn refuse_own_key(&mut self, new: &Connected) {
        let code = if new.hello.run_id == self.config.run_id {
            CloseCode::Myself
        } else {
            let (run_id, remote) = (new.hello.run_id, Some(new.remote));
            self.events.push_back(Event::Twin {
                run_id,
                remote,
                silenced: false,
            });
            CloseCode::IdentityInUse
        };
        self.actions
            .push_back(Action::Close(new.conn, code, Vec::new()));
    }

    /// Answers the Hello of a peer that dialed: only now does the connection exist for it.
    fn welcome(&mut self, new: &Connected) -> bool {
        if new.dial.is_some() {
            return false;
        }
        let hello = Hello {
            run_id: self.config.run_id,
            dial_counter: 0,
            replaces: false,
            observed: new.remote,
            known: u32::try_from(self.database.up_count()).expect("MAX_NODES fits"),
            digest: self.database.digest(),
            record: self.own.record(),
        };
        self.actions
            .push_back(Action::Send(new.conn, Message::Hello(hello)));
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

    /// Whether the new of two connections of the same two runs wins. Both ends compute the same. "Replaces" counts only
    /// against a connection that is older than a dial: of two that crossed, each end would take the other one for the old.
    fn wins(&self, now: Time, new: &Connected, old: &Link) -> bool {
        let crossing = now.saturating_sub(old.adopted) < CROSSING;
        if !crossing && (new.replaces || new.hello.replaces) {
            return true;
        }
        let (new_is_mine, old_is_mine) = (new.dial.is_some(), old.direction == Direction::Dialer);
        if new_is_mine == old_is_mine {
            return counter(new) > old.counter;
        }
        new_is_mine == (self.me < new.peer)
    }

    fn open_contest(&mut self, now: Time, challenger: Connected) {
        let peer = challenger.peer;
        if let Some(link) = self.links.get_mut(&peer) {
            link.detector.probe_at(now);
        }
        let contest = Contest {
            deadline: now + CONTEST,
            challenger,
        };
        if let Some(earlier) = self.contests.insert(peer, contest) {
            self.actions.push_back(Action::Close(
                earlier.challenger.conn,
                CloseCode::Duplicate,
                Vec::new(),
            ));
        }
    }

    /// Makes the connection the link to its peer, in place of whatever was.
    fn adopt(&mut self, now: Time, new: Connected) {
        let peer = new.peer;
        let was_up = self.database.is_up(&peer);
        let old = self.take_link(&peer);
        let replaced = old.as_ref().is_some_and(|old| old.listed);
        let new_run = old
            .as_ref()
            .is_some_and(|old| old.run_id != new.hello.run_id);
        if let Some(old) = &old
            && !matches!(old.phase, LinkPhase::Orphaned { .. })
        {
            self.closing.push((now + CLOSE_AFTER, old.conn));
        }
        let in_flight = self.welcome(&new).then_some(now);
        self.heard_of = (new.hello.known as usize).min(super::database::MAX_NODES);
        let direction = if new.dial.is_some() {
            Direction::Dialer
        } else {
            Direction::Listener
        };
        let dialed = direction == Direction::Dialer;
        // Replacing a connection never unlists the link.
        let hold = if replaced {
            Duration::ZERO
        } else {
            self.flap_hold(now, peer, new.hello.run_id)
        };
        let detector = self.detector(now, &new, old.map(|old| old.detector));
        // Whoever dialed has our Hello only when it says something more; until then it may yet give up.
        let confirmed = dialed || replaced;
        let link = Link {
            peer,
            conn: new.conn,
            direction,
            remote: new.remote,
            run_id: new.hello.run_id,
            counter: counter(&new),
            phase: LinkPhase::Live {
                listed_from: now + hold,
            },
            confirmed,
            listed: replaced,
            since: now,
            adopted: now,
            observed: new.hello.observed,
            detector,
            slot: self.backlog.join(),
            in_flight,
            outbox: VecDeque::new(),
            superfluous: false,
            offered: false,
            tell_superfluous: false,
            superfluous_to_peer: false,
            branch: self.new_branch(was_up),
            suspect: false,
            last_suspected: None,
            hinted: None,
            allowances: Allowances::new(now),
            exchange: Exchange::new(now),
        };
        self.conns.insert(new.conn, peer);
        self.links.insert(peer, link);
        if new.dial.is_none() && new.hello.record.body().addrs.is_empty() {
            // It publishes no address yet: it dials from the port that it listens on.
            self.pool
                .learn(peer, &[new.remote], self.unix_ms(now), false);
        }
        self.learn_own_addrs(now);
        self.take_records(now, peer, [new.hello.record.clone()]);
        self.greet(now, peer, was_up, new.hello.known, new.hello.digest);
        if confirmed {
            self.events.push_back(Event::Linked {
                peer,
                remote: new.remote,
                direction,
                replaced,
            });
        }
        if replaced {
            // If it is to another run of the peer, it counts again only when that is told.
            self.own_links_changed(now, new_run);
        } else if self.list_if_due(now, peer) {
            self.own_link_added(now, was_up);
        }
    }

    /// Begins to watch a new connection; what was learned on the one that it replaces still holds.
    fn detector(&self, now: Time, new: &Connected, old: Option<Detector>) -> Detector {
        let (active, interval) = (self.me.leads(&new.peer), self.probe_interval());
        let mut detector = Detector::new(now, active, interval, new.rtt_us);
        if new.dial.is_some() {
            // The first word, whoever probes from then on: it measures the link, and tells the listener that it stands.
            detector.probe_at(now);
        } else {
            detector.probe_no_sooner(now + interval / 2);
        }
        if let Some(old) = old {
            detector.inherit(old);
        }
        detector
    }

    /// The peer said something on a connection that it dialed, so it has our Hello: the link stands at both ends.
    pub(super) fn confirm(&mut self, now: Time, peer: NodeId) {
        let Some(link) = self.links.get_mut(&peer).filter(|link| !link.confirmed) else {
            return;
        };
        let was_up = self.database.is_up(&peer);
        link.confirmed = true;
        self.stirred = true;
        self.events.push_back(Event::Linked {
            peer,
            remote: link.remote,
            direction: link.direction,
            replaced: false,
        });
        if self.list_if_due(now, peer) {
            self.own_link_added(now, was_up);
        }
    }

    /// How long a link that flaps has to hold before it is listed. A restarted peer starts with a clean slate.
    pub(super) fn flap_hold(&mut self, now: Time, peer: NodeId, run_id: u64) -> Duration {
        let Some(flaps) = self.flaps.get_mut(&peer) else {
            return Duration::ZERO;
        };
        let last = flaps.losses.back().copied().unwrap_or_default();
        if flaps.run_id != run_id && now.saturating_sub(last) > CLEAN_SLATE {
            self.flaps.remove(&peer);
            return Duration::ZERO;
        }
        flaps
            .losses
            .retain(|at| now.saturating_sub(*at) < FLAP_WINDOW);
        let over = flaps.losses.len().saturating_sub(FLAPS_ALLOWED - 1);
        if over == 0 {
            Duration::ZERO
        } else {
            Duration::from_secs(1 << over.min(6)).min(LONGEST_HOLD)
        }
    }

    pub(super) fn note_flap(&mut self, now: Time, peer: NodeId, run_id: u64) {
        if self.flaps.len() >= MAX_FLAPS && !self.flaps.contains_key(&peer) {
            self.flaps.pop_first();
        }
        let flaps = self.flaps.entry(peer).or_default();
        flaps.run_id = run_id;
        flaps.losses.push_back(now);
        if flaps.losses.len() > 16 {
            flaps.losses.pop_front();
        }
    }

    pub(super) fn handle_closed(&mut self, now: Time, conn: ConnId, why: &Closed) {
        self.closing.retain(|(_, closing)| *closing != conn);
        let Some(peer) = self.conns.remove(&conn) else {
            self.contests
                .retain(|_, contest| contest.challenger.conn != conn);
            return;
        };
        if let Closed::Violation(code, reason) = why {
            self.reject(violation(*code), peer, reason.clone());
        }
        let Some(link) = self.links.get_mut(&peer).filter(|link| link.conn == conn) else {
            return;
        };
        if let Some(contest) = self.contests.remove(&peer) {
            self.adopt(now, contest.challenger);
            return;
        }
        if *why == Closed::ByPeer(Some(CloseCode::Duplicate)) && link.listed {
            link.phase = LinkPhase::Orphaned {
                until: now + ORPHAN,
            };
            return;
        }
        self.drop_link(now, peer, why);
    }

    fn take_link(&mut self, peer: &NodeId) -> Option<Link> {
        let link = self.links.remove(peer)?;
        self.backlog.leave(link.slot);
        Some(link)
    }

    /// Removes a link whose connection is gone.
    pub(super) fn drop_link(&mut self, now: Time, peer: NodeId, why: &Closed) {
        let Some(link) = self.take_link(&peer) else {
            return;
        };
        if link.is_branch() {
            self.add_branch();
        }
        // What the peer claims is believed where it signed it, or where we had said the same: its own word that it can do without the
        // link may have been lost, and what closes a connection is not sent again. Where that was lost, and both had agreed, the next probe
        // is answered with a reset.
        let leaving = self
            .database
            .record(&peer)
            .is_some_and(|record| record.body().leaving);
        let calm = leaving
            || *why == Closed::Local
            || (link.offered && *why == Closed::ByPeer(Some(CloseCode::Superfluous)))
            || (link.offered && link.superfluous_to_peer && *why == Closed::Reset);
        if link.listed {
            // Farewell may overtake the record that says so; the log believes it, the rest waits for the signature.
            let calm_words = calm || *why == Closed::ByPeer(Some(CloseCode::Leaving));
            self.events.push_back(Event::Unlinked {
                peer,
                why: describe(why),
                calm: calm_words,
            });
            if calm && !leaving {
                self.own_link_given_up(now);
            } else {
                self.own_links_lost(now);
                self.fill_gap(now);
            }
        }
        self.plan_soon(now);
        if leaving {
            self.pool.left(&peer);
        }
        if calm {
            return;
        }
        if now.saturating_sub(link.adopted) < SHORT_LIVED {
            self.back_off(now, peer);
        } else {
            self.retries.remove(&peer);
        }
        if link.listed {
            self.note_flap(now, peer, link.run_id);
            self.keep(peer);
            self.pool.lost(peer, now);
        }
    }

    pub(super) fn advance_contests(&mut self, now: Time) {
        let due: Vec<NodeId> = self
            .contests
            .iter()
            .filter(|(_, contest)| contest.deadline <= now)
            .map(|(id, _)| *id)
            .collect();
        for peer in due {
            let contest = self.contests.remove(&peer).expect("just listed");
            self.stirred = true;
            self.adopt(now, contest.challenger);
        }
        let (due, rest) = self.closing.iter().partition(|(due, _)| *due <= now);
        self.closing = rest;
        for (_, conn) in due {
            self.actions
                .push_back(Action::Close(conn, CloseCode::Duplicate, Vec::new()));
        }
    }

    /// Closes a link's connection from our side, and is done with it.
    pub(super) fn close(&mut self, now: Time, peer: NodeId, conn: ConnId, code: CloseCode) {
        self.actions
            .push_back(Action::Close(conn, code, Vec::new()));
        self.conns.remove(&conn);
        if self.links.get(&peer).is_none_or(|link| link.conn != conn) {
            // Not the link's connection: one that lost, and had not closed yet.
            return;
        }
        let why = match code {
            CloseCode::Superfluous | CloseCode::Leaving => Closed::Local,
            _ => Closed::Violation(code, "closed by us".to_owned()),
        };
        self.drop_link(now, peer, &why);
    }
}

/// The dialer's connection counter: ours if we dialed.
fn counter(connected: &Connected) -> u64 {
    connected
        .dial
        .map_or(connected.hello.dial_counter, |dial| dial.0)
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
