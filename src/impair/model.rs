//! The model of one impaired link, after the Linux kernel's netem (`net/sched/sch_netem.c`, version 6.1).
//!
//! The fate of a packet is decided when it enters the link, in netem's order:
//!
//! 1. Duplication and loss are drawn. A packet that is both duplicated and lost arrives once.
//! 2. Corruption is drawn: one bit is flipped.
//! 3. If the queue is full, the packet is dropped together with its copy.
//! 4. The copy passes through the same steps, but is not duplicated again.
//! 5. Reordering is drawn: a reordered packet leaves at once. Any other is delayed. On a link with a rate it is also sent after
//!    everything that is queued.
//!
//! The queue is sorted by departure time, so jitter alone can reorder packets. A departure in the past becomes the present.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use rand_chacha::ChaCha8Rng;

use super::{Chance, Delay, Impairment, Loss, Rate, Share, jitter};

/// One direction of a link. It takes about seventy bytes, and eight for each packet under way. The time and the generator of
/// random numbers are arguments: a generator takes 300 bytes, and one serves all links of a simulator.
#[derive(Debug, Clone)]
pub struct LinkModel {
    impairment: Arc<Impairment>,
    state: State,
}

/// The state that earlier packets left. It is separate from the impairment, which many links share, so that a packet writes to
/// nothing shared, not even to a reference count.
#[derive(Debug, Clone)]
struct State {
    last: Last,
    chain: Chain,
    /// The number of packets delayed since the last reordered one.
    delayed: u32,
    /// The latest departure so far, in ns.
    latest_ns: u64,
    /// The departures of the queued packets, in ns.
    queue: BinaryHeap<Reverse<u64>>,
}

/// The fate of a packet: up to two deliveries, in the order of queueing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fate([Option<Delivery>; 2]);

/// The delivery of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// The departure from the link, on the clock of [`LinkModel::handle_packet`]; never before the entry. Packets with equal
    /// departures leave in the order of their entry.
    pub at: Duration,
    /// The bit to flip, if the packet is corrupted.
    pub flip: Option<BitFlip>,
}

/// A bit to flip, as a fraction of the packet's length in units of 2⁻³².
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BitFlip(u32);

impl BitFlip {
    /// Flips the bit. Does nothing if `bytes` is empty.
    pub fn apply(self, bytes: &mut [u8]) {
        let bits = bytes.len() as u64 * 8;
        let bit = (u64::from(self.0) * bits) >> 32;
        let at = usize::try_from(bit / 8).expect("the index is within the packet");
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << (bit % 8);
        }
    }
}

impl IntoIterator for Fate {
    type Item = Delivery;
    type IntoIter = std::iter::Flatten<std::array::IntoIter<Option<Delivery>, 2>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().flatten()
    }
}

/// The last draw of each kind, for correlated draws.
#[derive(Debug, Clone, Default)]
struct Last {
    delay: u32,
    loss: u32,
    corrupt: u32,
    duplicate: u32,
    reorder: u32,
}

/// The state of the chain of [`Loss::State`] or [`Loss::Gemodel`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Chain {
    /// State 1; the good state.
    #[default]
    Good,
    /// State 2: deliveries within a burst.
    GoodInBurst,
    /// State 3: a burst of losses; the bad state.
    Burst,
    /// State 4: a single loss.
    Single,
}

impl LinkModel {
    /// Creates an idle link.
    #[must_use]
    pub fn new(impairment: Arc<Impairment>, rng: &mut ChaCha8Rng) -> Self {
        let last = Last {
            delay: rng.next_u32(),
            loss: rng.next_u32(),
            corrupt: rng.next_u32(),
            duplicate: rng.next_u32(),
            reorder: rng.next_u32(),
        };
        Self {
            impairment,
            state: State {
                last,
                chain: Chain::default(),
                delayed: 0,
                latest_ns: 0,
                queue: BinaryHeap::new(),
            },
        }
    }

    /// The impairment of the link.
    #[must_use]
    pub fn impairment(&self) -> &Arc<Impairment> {
        &self.impairment
    }

    /// Decides the fate of a packet that enters the link at `now`. `bytes` is its size on the link; with a rate it must include all
    /// headers. `now` never decreases, and its origin is arbitrary. Equal packets, times and random numbers give equal fates.
    pub fn handle_packet(&mut self, now: Duration, bytes: usize, rng: &mut ChaCha8Rng) -> Fate {
        self.state
            .handle_packet(&self.impairment, nanos(now), bytes, rng)
    }
}

impl State {
    fn handle_packet(
        &mut self,
        what: &Impairment,
        now_ns: u64,
        bytes: usize,
        rng: &mut ChaCha8Rng,
    ) -> Fate {
        while self.queue.peek().is_some_and(|due| due.0 <= now_ns) {
            self.queue.pop();
        }
        let twice = happens(what.duplicate, &mut self.last.duplicate, rng);
        let lost = self.is_lost(what, rng);
        match (twice, lost) {
            (false, true) => Fate::default(),
            (true, true) | (false, false) => {
                let flip = self.flip(what, rng);
                if self.is_full(what) {
                    return Fate::default();
                }
                let at = self.departure_ns(what, now_ns, bytes, rng);
                Fate([Some(delivery(at, flip)), None])
            }
            (true, false) => self.duplicated(what, now_ns, bytes, rng),
        }
    }

    /// Queues the copy of a packet, then the packet.
    fn duplicated(
        &mut self,
        what: &Impairment,
        now_ns: u64,
        bytes: usize,
        rng: &mut ChaCha8Rng,
    ) -> Fate {
        let original = self.flip(what, rng);
        if self.is_full(what) {
            return Fate::default();
        }
        let copy = if self.is_lost(what, rng) {
            None
        } else {
            let flip = self.flip(what, rng);
            let at = self.departure_ns(what, now_ns, bytes, rng);
            Some(delivery(at, flip))
        };
        let at = self.departure_ns(what, now_ns, bytes, rng);
        Fate([copy, Some(delivery(at, original))])
    }

    fn flip(&mut self, what: &Impairment, rng: &mut ChaCha8Rng) -> Option<BitFlip> {
        happens(what.corrupt, &mut self.last.corrupt, rng).then(|| BitFlip(rng.next_u32()))
    }

    fn is_full(&self, what: &Impairment) -> bool {
        self.queue.len() >= what.limit as usize
    }

    fn is_lost(&mut self, what: &Impairment, rng: &mut ChaCha8Rng) -> bool {
        match what.loss {
            Loss::Random(chance) => happens(chance, &mut self.last.loss, rng),
            Loss::State {
                p13,
                p31,
                p32,
                p23,
                p14,
            } => {
                let random = u64::from(rng.next_u32());
                let below = |shares: &[Share]| {
                    random < shares.iter().map(|share| u64::from(share.parts())).sum()
                };
                self.chain = match self.chain {
                    Chain::Good if below(&[p14]) => Chain::Single,
                    Chain::Good if below(&[p14, p13]) => Chain::Burst,
                    Chain::Good | Chain::Single => Chain::Good,
                    Chain::GoodInBurst if below(&[p23]) => Chain::Burst,
                    Chain::GoodInBurst => Chain::GoodInBurst,
                    Chain::Burst if below(&[p32]) => Chain::GoodInBurst,
                    Chain::Burst if below(&[p32, p31]) => Chain::Good,
                    Chain::Burst => Chain::Burst,
                };
                matches!(self.chain, Chain::Single | Chain::Burst)
            }
            Loss::Gemodel { p, r, bad, good } => {
                // The loss of this packet is drawn in the old state.
                let (change, lost, other) = match self.chain {
                    Chain::Good | Chain::GoodInBurst | Chain::Single => (p, good, Chain::Burst),
                    Chain::Burst => (r, bad, Chain::Good),
                };
                if rng.next_u32() < change.parts() {
                    self.chain = other;
                }
                rng.next_u32() < lost.parts()
            }
        }
    }

    /// Decides the departure of a packet, in ns, and queues the packet unless it leaves at once.
    fn departure_ns(
        &mut self,
        what: &Impairment,
        now_ns: u64,
        bytes: usize,
        rng: &mut ChaCha8Rng,
    ) -> u64 {
        if let Some(reorder) = what.reorder
            && self.delayed >= reorder.gap - 1
            && happens(reorder.chance, &mut self.last.reorder, rng)
        {
            self.delayed = 0;
            return now_ns;
        }
        self.delayed = self.delayed.saturating_add(1);
        let mut leaves = i128::from(now_ns) + i128::from(self.delay_ns(&what.delay, rng));
        if let Some(rate) = what.rate {
            // Transmission begins after the delay and after the packets ahead.
            if self.latest_ns > now_ns {
                leaves = leaves.max(self.latest_ns.into());
            }
            leaves += i128::from(transmission_ns(&rate, bytes));
        }
        let leaves = u64::try_from(leaves.max(now_ns.into())).unwrap_or(u64::MAX);
        self.latest_ns = self.latest_ns.max(leaves);
        if leaves > now_ns {
            self.queue.push(Reverse(leaves));
        }
        leaves
    }

    /// Draws a delay. It is negative if the jitter exceeds it.
    fn delay_ns(&mut self, delay: &Delay, rng: &mut ChaCha8Rng) -> i64 {
        let mean = i64::from(delay.us) * 1000;
        if delay.jitter_us == 0 {
            return mean;
        }
        let random = correlated(delay.correlation, &mut self.last.delay, rng);
        mean + jitter::deviation_ns(delay.distribution, delay.jitter_us * 1000, random)
    }
}

/// See [`Impairment::least_delay`].
pub(super) fn least_delay(what: &Impairment) -> Duration {
    // A reordered packet has no delay.
    if what.reorder.is_some() {
        return Duration::ZERO;
    }
    let Delay {
        us,
        jitter_us,
        correlation: _,
        distribution,
    } = what.delay;
    let mut least = i64::from(us) * 1000;
    if jitter_us > 0 {
        least += jitter::least_deviation_ns(distribution, jitter_us * 1000);
    }
    Duration::from_nanos(u64::try_from(least).unwrap_or(0))
}

/// Draws a random number that is correlated with the last one of its kind: netem's `get_crandom`. The mixture is not uniform, so a
/// correlated loss of 20 % loses less than 20 %.
fn correlated(correlation: Share, last: &mut u32, rng: &mut ChaCha8Rng) -> u32 {
    let fresh = rng.next_u32();
    if correlation == Share::NONE {
        return fresh;
    }
    let weight = u64::from(correlation.parts()) + 1;
    let mixed = (u64::from(fresh) * ((1 << 32) - weight) + u64::from(*last) * weight) >> 32;
    *last = u32::try_from(mixed).expect("a weighted mean of two u32 fits u32");
    *last
}

fn happens(chance: Chance, last: &mut u32, rng: &mut ChaCha8Rng) -> bool {
    chance.share != Share::NONE && chance.share.parts() >= correlated(chance.correlation, last, rng)
}

/// The transmission time of a packet, in ns.
fn transmission_ns(rate: &Rate, bytes: usize) -> u64 {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX / 2);
    let mut bytes = (bytes + i64::from(rate.packet_overhead)).max(0);
    if rate.cell_bytes > 0 {
        let cells = bytes.cast_unsigned().div_ceil(rate.cell_bytes.into());
        let cell = i64::from(rate.cell_bytes) + i64::from(rate.cell_overhead);
        bytes = i64::try_from(cells)
            .unwrap_or(i64::MAX)
            .saturating_mul(cell.max(0));
    }
    let ns = u128::from(bytes.cast_unsigned()) * 1_000_000_000 / u128::from(rate.bytes_per_s);
    u64::try_from(ns).unwrap_or(u64::MAX)
}

fn delivery(at_ns: u64, flip: Option<BitFlip>) -> Delivery {
    Delivery {
        at: Duration::from_nanos(at_ns),
        flip,
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).expect("a run is shorter than 500 years")
}
