//! One link that impairs what goes over it, as the Linux kernel's netem does (`net/sched/sch_netem.c`, version 6.1).
//!
//! What happens to a packet is decided when it comes in, in netem's order:
//!
//! 1. Is it sent twice? Is it lost? One that is both arrives once.
//! 2. Is a bit of it turned over?
//! 3. Is the queue full? Then it is dropped, with its copy.
//! 4. The copy goes through all of this by itself, except that it is not copied again.
//! 5. Does it overtake? Then it goes at once. Otherwise it is delayed, and on a line with a rate it first waits until everything
//!    that is queued has gone.
//!
//! The queue is in the order of the times to leave, so jitter alone lets packets overtake each other. A time before now is now.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use rand_chacha::ChaCha8Rng;

use super::{Chance, Delay, Impairment, Loss, Rate, Share, jitter};

/// A link in one direction. It takes some seventy bytes, and eight for each packet on its way. Random numbers come in from
/// outside, as the time does: a generator has 300 bytes, and one serves all the links of a simulator.
#[derive(Debug, Clone)]
pub struct LinkModel {
    impairment: Arc<Impairment>,
    state: State,
}

/// What a link remembers of the packets before. It is apart from the impairment, which many links share: a packet is decided on
/// without a write to what is shared, not even to count its users.
#[derive(Debug, Clone)]
struct State {
    last: Last,
    chain: Chain,
    /// Packets delayed since the last one that overtook.
    delayed: u32,
    /// The latest time that any packet was given to leave at, in ns.
    latest_ns: u64,
    /// When the packets that wait leave, in ns.
    waiting: BinaryHeap<Reverse<u64>>,
}

/// What becomes of a packet: up to two deliveries, in the order in which they were queued.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fate([Option<Delivery>; 2]);

/// A packet that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// When it leaves the link, on the clock of [`LinkModel::handle_packet`]; never before it came in. Of two with the same
    /// time, the one that came in first goes first.
    pub at: Duration,
    /// What has to be turned over in it.
    pub flip: Option<BitFlip>,
}

/// A bit to turn over, as a part of the packet's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BitFlip(u32);

impl BitFlip {
    /// Turns over the bit; in no bytes there is none.
    pub fn apply(self, bytes: &mut [u8]) {
        let bits = bytes.len() as u64 * 8;
        let bit = (u64::from(self.0) * bits) >> 32;
        let at = usize::try_from(bit / 8).expect("it is within the packet");
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

/// What each kind of draw had last, where draws are correlated.
#[derive(Debug, Clone, Default)]
struct Last {
    delay: u32,
    loss: u32,
    corrupt: u32,
    duplicate: u32,
    reorder: u32,
}

/// Where the chains of [`Loss::State`] and [`Loss::Gemodel`] are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Chain {
    /// State 1; the good state.
    #[default]
    Good,
    /// State 2: nothing is lost within a burst for a while.
    GoodInBurst,
    /// State 3: a burst of losses; the bad state.
    Burst,
    /// State 4: a single loss.
    Single,
}

impl LinkModel {
    /// A link with nothing on it.
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
                waiting: BinaryHeap::new(),
            },
        }
    }

    /// What the link does to packets.
    #[must_use]
    pub fn impairment(&self) -> &Arc<Impairment> {
        &self.impairment
    }

    /// Decides what becomes of a packet of so many bytes on the line (with all headers, if there is a rate) that comes in now.
    /// Time never goes back; where it begins doesn't matter. The same packets at the same times with the same random numbers
    /// have the same fates.
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
        while self.waiting.peek().is_some_and(|due| due.0 <= now_ns) {
            self.waiting.pop();
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
                let at = self.time_to_leave(what, now_ns, bytes, rng);
                Fate([Some(delivery(at, flip)), None])
            }
            (true, false) => self.both(what, now_ns, bytes, rng),
        }
    }

    /// A packet and its copy, which is queued first.
    fn both(&mut self, what: &Impairment, now_ns: u64, bytes: usize, rng: &mut ChaCha8Rng) -> Fate {
        let original = self.flip(what, rng);
        if self.is_full(what) {
            return Fate::default();
        }
        let copy = if self.is_lost(what, rng) {
            None
        } else {
            let flip = self.flip(what, rng);
            let at = self.time_to_leave(what, now_ns, bytes, rng);
            Some(delivery(at, flip))
        };
        let at = self.time_to_leave(what, now_ns, bytes, rng);
        Fate([copy, Some(delivery(at, original))])
    }

    fn flip(&mut self, what: &Impairment, rng: &mut ChaCha8Rng) -> Option<BitFlip> {
        happens(what.corrupt, &mut self.last.corrupt, rng).then(|| BitFlip(rng.next_u32()))
    }

    fn is_full(&self, what: &Impairment) -> bool {
        self.waiting.len() >= what.limit as usize
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
                // The state before decides on the packet, the state after on the next one.
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

    /// When the packet leaves, in ns. It waits from now on, unless that is at once.
    fn time_to_leave(
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
            // The time on the line begins when the packet could have gone, but after all that is before it.
            if self.latest_ns > now_ns {
                leaves = leaves.max(self.latest_ns.into());
            }
            leaves += i128::from(time_on_line_ns(&rate, bytes));
        }
        let leaves = u64::try_from(leaves.max(now_ns.into())).unwrap_or(u64::MAX);
        self.latest_ns = self.latest_ns.max(leaves);
        if leaves > now_ns {
            self.waiting.push(Reverse(leaves));
        }
        leaves
    }

    /// Negative, where the jitter is larger than the delay.
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
    // It is not delayed at all if it overtakes.
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

/// A random number that is like the last one of its kind, as much as the correlation says: netem's `get_crandom`. The mixture
/// is not evenly spread any more, which is why a correlated loss of 20 % loses less than 20 %.
fn correlated(correlation: Share, last: &mut u32, rng: &mut ChaCha8Rng) -> u32 {
    let fresh = rng.next_u32();
    if correlation == Share::NONE {
        return fresh;
    }
    let weight = u64::from(correlation.parts()) + 1;
    let mixed = (u64::from(fresh) * ((1 << 32) - weight) + u64::from(*last) * weight) >> 32;
    *last = u32::try_from(mixed).expect("a mean of two is not above both");
    *last
}

fn happens(chance: Chance, last: &mut u32, rng: &mut ChaCha8Rng) -> bool {
    chance.share != Share::NONE && chance.share.parts() >= correlated(chance.correlation, last, rng)
}

/// How long a packet takes to go onto the line, in ns.
fn time_on_line_ns(rate: &Rate, bytes: usize) -> u64 {
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
