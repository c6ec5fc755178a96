//! The event loop of a node, and the actions of its core.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Node, What};
use crate::membership::{Action, Core, DialError, DialId, Input, Time};
use crate::record::Record;
use crate::sim::news::Told;
use crate::sim::path::{EndRef, Wanted};
use crate::sim::queue::Due;
use crate::sim::window::{NEVER, Scene, Window};
use crate::wire::CloseCode;

/// A core with more timeouts than this in one millisecond loops without progress.
const WAKES_PER_MS: u32 = 1000;

impl Node {
    /// The time of the next event.
    pub(in crate::sim) fn next(&self) -> Time {
        if self.paused {
            return NEVER;
        }
        self.queue.first().map_or(self.due, |at| at.min(self.due))
    }

    /// Processes all events that are due in a window.
    pub(in crate::sim) fn run(&mut self, scene: &Scene<'_>, window: &Window) {
        loop {
            let next = self.next();
            if !window.holds(next) {
                break;
            }
            self.now = next;
            // At the same time, events come before the timeout.
            match self.queue.pop_by(next) {
                Some(due) => {
                    self.happened += 1;
                    self.happen(scene, due.what);
                }
                None => self.wake(scene),
            }
        }
        self.queue.trim();
    }

    pub(super) fn happen(&mut self, scene: &Scene<'_>, what: What) {
        match what {
            What::Transmit(flight) => self.transmit(scene, flight),
            What::Arrive(flight) => self.arrive(scene, *flight),
            What::Acked(end, bytes, sent) => self.acked(end, bytes, sent),
            What::ProbePath(end, count) => self.probe_path(scene, end, count),
            What::Heard(end) => self.heard(end),
            What::Flushed(end) => self.flushed(scene, end),
            What::DialTimeout(end) => self.dial_timeout(scene, end),
            What::Idle(end) => self.idle(scene, end),
            What::Forget(end) => self.forget(end),
            What::Strike => self.strike(scene),
            What::Gone => {
                if self.is_running() {
                    self.hang_up_all(scene, CloseCode::Leaving);
                    self.stop(scene);
                }
            }
        }
    }

    pub(super) fn wake(&mut self, scene: &Scene<'_>) {
        self.happened += 1;
        let tick = self.now.as_millis();
        self.wakes = if self.wakes.0 == tick {
            (tick, self.wakes.1 + 1)
        } else {
            (tick, 1)
        };
        assert!(
            self.wakes.1 <= WAKES_PER_MS,
            "node {} loops without progress at {:?}",
            self.place,
            self.now
        );
        self.give(scene, Input::Timeout);
    }

    /// Queues an event of this node.
    pub(in crate::sim) fn at(&mut self, after: Duration, what: What) {
        let due = self.due_at(self.now + after, what);
        self.queue.push(due);
    }

    /// Queues an event for a node, perhaps itself, at a time after this window.
    pub(in crate::sim) fn post(&mut self, to: u32, at: Time, what: What) {
        let due = self.due_at(at, what);
        self.outbox.push((to, due));
    }

    fn due_at(&mut self, at: Time, what: What) -> Due<What> {
        self.count += 1;
        Due {
            at,
            origin: self.place,
            number: self.count,
            what,
        }
    }

    pub(in crate::sim) fn tell(&mut self, what: Told) {
        match self.news.last_mut() {
            Some((at, told)) if *at == self.now => told.push(what),
            _ => self.news.push((self.now, vec![what])),
        }
    }

    /// Writes to the log, if there is one.
    pub(in crate::sim) fn note(&mut self, scene: &Scene<'_>, what: fmt::Arguments<'_>) {
        if scene.logs {
            self.log.push((self.now, what.to_string()));
        }
    }

    /// Passes an input to the core and executes its actions.
    pub(in crate::sim) fn give(&mut self, scene: &Scene<'_>, input: Input) {
        let (now, started) = (self.now, self.started);
        let Some(input) = self.censored(scene, input) else {
            return;
        };
        if let Input::Closed(_, why) = &input {
            self.tell(Told::Closed(why.clone()));
        }
        let Some(core) = self.bare() else { return };
        core.handle(now - started, input);
        while let Some(action) = self.bare().and_then(Core::poll_action) {
            self.traffic.actions += 1;
            self.note(scene, format_args!("{action:?}"));
            self.perform(scene, action);
        }
        while let Some(event) = self.bare().and_then(Core::poll_event) {
            self.note(scene, format_args!("{event:?}"));
            self.tell(Told::Event(event));
        }
        let core = self.bare().expect("it runs");
        let due = (core.poll_timeout() + started).max(now);
        let own = core.own_record();
        self.due = due;
        let known = self.own.as_ref();
        if known.is_none_or(|before| !Arc::ptr_eq(before, &own)) {
            self.published(own);
        }
        if self.leaving && self.bare().is_some_and(|core| core.is_flushed()) {
            self.at(Duration::ZERO, What::Gone);
        }
    }

    fn perform(&mut self, scene: &Scene<'_>, action: Action) {
        match action {
            Action::Dial {
                dial,
                addr,
                // A simulated node has one address. Others in its record are those of nobody.
                others,
                expect,
                replaces,
                eager,
            } => {
                self.traffic.dials += 1;
                self.tell(Told::Dialed(addr));
                if scene.attacked {
                    for other in others {
                        self.tell(Told::Dialed(other));
                    }
                }
                let wanted = Wanted {
                    dial,
                    addr,
                    expect,
                    replaces,
                    eager,
                };
                self.dial(scene, wanted);
            }
            // Simulated paths have no NATs, and nobody pings a bare core.
            Action::Open { .. } | Action::Echo(..) => {}
            Action::Send(conn, message) => {
                let message = self.twisted(message);
                match self.disguised(EndRef::of(conn), message) {
                    Some(message) => self.send(scene, conn, message),
                    None => self.swallow(conn),
                }
            }
            Action::Probe(conn, probe) => {
                let probe = self.disguised_probe(conn, probe);
                self.probe(scene, conn, probe);
            }
            Action::Close(conn, code, alternatives) => {
                self.count_close(scene, conn, code);
                self.hang_up(scene, conn, code, alternatives);
            }
        }
    }

    /// The node has a new record of its own.
    pub(in crate::sim) fn published(&mut self, own: Arc<Record>) {
        let before = self.own.replace(own.clone());
        self.tell(Told::Published(own, before));
    }

    pub(in crate::sim) fn dial_failed(&mut self, scene: &Scene<'_>, dial: DialId, why: DialError) {
        self.give(scene, Input::DialFailed(dial, why));
    }
}
