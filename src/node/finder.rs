//! Discovery in the event loop: which beacons matter, and when to send one.

use std::net::SocketAddr;
use std::sync::Arc;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use tokio::sync::{mpsc, watch};

use crate::admission::Admission;
use crate::discovery::beacon::tag;
use crate::discovery::sockets::{self, Plan, Report};
use crate::discovery::{Beacon, Pace};
use crate::membership::{Core, Time};
use crate::record::Signer;
use crate::settings::Settings;
use crate::transport::interfaces::Interfaces;
use crate::wire::NodeId;

/// The most reports that wait for the event loop. More are dropped, since beacons are repeated.
const REPORTS: usize = 64;

/// See the module's documentation.
#[derive(Debug)]
pub struct Finder {
    pace: Pace,
    reports: mpsc::Receiver<Report>,
    send: mpsc::Sender<bool>,
}

impl Finder {
    /// Starts to send and to hear beacons, for a node that listens at `bound`. Must be called within tokio's runtime.
    pub(super) fn start(
        settings: &Settings,
        admission: &Admission,
        identity: &dyn Signer,
        (bound, both): (SocketAddr, bool),
        seed: [u8; 32],
        interfaces: watch::Receiver<Arc<Interfaces>>,
    ) -> Self {
        let (send, sends) = mpsc::channel(1);
        let (reporter, reports) = mpsc::channel(REPORTS);
        let marks = admission.beacon_marks();
        let plan = Plan {
            tags: marks.iter().map(|mark| tag(mark)).collect(),
            me: identity.node_id(),
            allow: settings.allow.iter().copied().collect(),
            beacon: Beacon::new(&marks[0], identity, bound.port()),
            bound,
            both,
        };
        tokio::spawn(sockets::run(plan, interfaces, sends, reporter));
        Self {
            pace: Pace::new(Time::ZERO, ChaCha8Rng::from_seed(seed)),
            reports,
            send,
        }
    }

    pub(super) fn due(&self) -> Time {
        self.pace.due()
    }

    /// The reports, in the order in which they came.
    pub(super) fn reports(&mut self) -> &mut mpsc::Receiver<Report> {
        &mut self.reports
    }

    /// Handles a report of the sockets.
    pub(super) fn hear(&mut self, now: Time, report: &Report, core: &Core) {
        match report {
            Report::Joined => self.pace.reset(now),
            Report::Heard(heard, addr) => {
                let from = (heard.id, *addr);
                let (is_up, alone) = (core.is_up(&heard.id), is_alone(core));
                self.pace.hear(now, from, heard.alone, is_up, alone);
            }
        }
    }

    /// Sends a beacon if one is due. Returns the nodes to dial now.
    pub(super) fn advance(&mut self, now: Time, core: &Core) -> Vec<(NodeId, SocketAddr)> {
        let mut due = self.pace.advance(now);
        if due.send {
            // Full: the last one is still being sent.
            self.send.try_send(is_alone(core)).ok();
        }
        due.dial.retain(|(id, _)| !core.is_up(id));
        due.dial
    }
}

fn is_alone(core: &Core) -> bool {
    core.up_count() <= 1
}
