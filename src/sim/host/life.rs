//! Starts and ends of a node, pauses, and Byzantine behaviour.

use std::time::Duration;

use super::connections::host_of;
use super::{Body, Node, What};
use crate::admission::joins::Joins;
use crate::membership::{Core, Input};
use crate::sim::liar::Liar;
use crate::sim::news::Told;
use crate::sim::window::{NEVER, Scene};
use crate::wire::Message;

/// A leaving node waits this long at most for its last messages to leave.
const FAREWELL: Duration = Duration::from_secs(1);

impl Node {
    /// Begins a new run of the node, with this run id and this seed of its core.
    pub(in crate::sim) fn begin(&mut self, run_id: u64, seed: [u8; 32]) {
        assert!(self.body.is_none(), "node {} runs already", self.place);
        let unix_ms = self.unix_ms();
        self.start.run_id = run_id;
        self.start.seed = seed;
        self.start.epoch = unix_ms.max(self.start.epoch + 1);
        self.life += 1;
        self.started = self.now;
        self.leaving = false;
        self.own = None;
    }

    /// What the node's wall clock says now.
    pub(in crate::sim) fn unix_ms(&self) -> u64 {
        let since = u64::try_from(self.now.as_millis()).expect("a run is shorter than the world");
        self.clock_ms + since
    }

    /// Starts a core in the run that has begun.
    pub(in crate::sim) fn start_core(&mut self, scene: &Scene<'_>) {
        let remembered = self.start.remembered.iter();
        let addrs = remembered.flat_map(|(_, node)| node.addrs.iter().copied());
        let addrs = addrs.filter_map(|addr| Some(host_of(*scene.listeners.get(&addr)?, addr)));
        self.joins = Joins::new(self.settings.joins_per_s, addrs);
        let core = Core::new(self.config(), self.key.clone());
        self.body = Some(Body::Core(Box::new(core)));
        self.tell(Told::Started);
        self.give(scene, Input::Timeout);
        self.plan_strike();
    }

    /// Ends the node without a leave message. Its host is silent from now on.
    pub(in crate::sim) fn stop(&mut self, scene: &Scene<'_>) -> Body {
        self.keep_memory(scene);
        let body = self.body.take().expect("only a running node is killed");
        self.stopped = self.now;
        self.paused = false;
        self.liar = None;
        self.due = NEVER;
        self.ends.clear();
        // The node's own entries end with it; packets of others reach its next run, or nobody.
        let now = self.now;
        self.queue
            .retain(|due| matches!(due.what, What::Arrive(_)) && due.at > now);
        self.tell(Told::Stopped);
        body
    }

    /// Keeps the state that a real node has on disk, but only if the node may be restarted: in a large network each node's state is the whole network.
    fn keep_memory(&mut self, scene: &Scene<'_>) {
        if !scene.restarts {
            return;
        }
        let Some(core) = self.core() else { return };
        let (epoch, remembered) = (core.epoch(), core.remembered());
        drop(core);
        self.start.epoch = epoch;
        let ran = self.now - self.started;
        let remembered = remembered.into_iter();
        self.start.remembered = remembered.map(|(id, node)| (id, node.after(ran))).collect();
    }

    /// The node leaves gracefully, and ends when its last messages have left.
    pub(in crate::sim) fn leave(&mut self, scene: &Scene<'_>) {
        self.keep_memory(scene);
        self.leaving = true;
        if let Some(Body::Whole(running)) = &mut self.body {
            return running.leave();
        }
        self.at(FAREWELL, What::Gone);
        self.give(scene, Input::Leave);
    }

    /// The node becomes Byzantine, or honest again.
    pub(in crate::sim) fn lie(&mut self, lies: bool) {
        self.liar = lies.then(|| Box::new(Liar::by_lot(&mut self.rng)));
        self.turned = self.now;
    }

    /// The message that is sent in place of this one.
    pub(super) fn twisted(&mut self, message: Message) -> Message {
        let Self {
            liar,
            own,
            key,
            rng,
            ..
        } = self;
        match (liar, own) {
            (Some(liar), Some(own)) => liar.twist(message, own, key, rng),
            (Some(_) | None, _) => message,
        }
    }

    /// Pauses the node.
    pub(in crate::sim) fn pause(&mut self) {
        self.paused = true;
    }

    /// Resumes the node; everything that came due meanwhile happens now. It is open whether a resumed program sees its timers or its packets
    /// first.
    pub(in crate::sim) fn resume(&mut self, scene: &Scene<'_>, timers_first: bool) {
        self.paused = false;
        let now = self.now;
        self.went_on = now;
        if timers_first && self.due <= now {
            self.wake(scene);
        }
        while let Some(due) = self.queue.pop_by(now) {
            self.happened += 1;
            self.happen(scene, due.what);
        }
        if self.due <= now {
            self.wake(scene);
        }
        self.queue.trim();
    }
}
