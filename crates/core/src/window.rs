//! How many bytes of a stream may be under way at once: as many as the line carries within a moment.
//!
//! A sender with 128 kB unacknowledged fills a line of 2 kB/s for a minute. Probes wait behind these bytes, so live links look
//! dead, and the data is old when it arrives. So this window follows the delay, as in FAST TCP (Wei, Jin, Low, Hegde, 2006). It
//! holds what was delivered within a round trip, scaled to the round trip that is wanted: that of an empty line and a quarter of
//! a second. Data beyond the window stays with the core, where newer records replace older ones.

use std::collections::VecDeque;
use std::time::Duration;

/// How long bytes may wait in the line. If both directions are full, a probe takes twice this longer. That is within the second
/// after which a clean link is judged down. Halved: a line of 16 kbit/s carries packets of half the size. Doubled: probes on a
/// full line time out, and live links are judged down.
const QUEUE: Duration = Duration::from_millis(250);
/// The least window, which a line of 8 kbit/s comes to: one message is under way at a time. Halved: the same, but such a line is
/// taken for one of 4 kbit/s. Doubled: it is full for 0.6 s at a time.
const LEAST: usize = 300;
/// A full packet.
const PACKET: u32 = 1200;
/// The window before anything was acknowledged: two packets, as a congestion window has at the least (RFC 9002, section 7.2).
const FIRST: usize = 2400;
/// [`Window::room`] before anything was acknowledged.
pub const FIRST_ROOM: usize = FIRST / 2;
/// A line is an ordinary one if it acknowledges at least [`ORDINARY`] of its first bytes within this time. It begins with half of
/// the largest window, so that nothing waits for acknowledgements while a network starts. At 32 kbit/s full packets both ways
/// take 0.6 s. Halved: around the world a new node is known a third later. Doubled: lines of 32 kbit/s may be full for seconds
/// once.
const FIRST_ANSWER: Duration = Duration::from_millis(400);
const ORDINARY: u64 = 1000;
/// A line that later delivers as much within half of [`QUEUE`] has 64 kbit/s or more. It gets this window at once, sixteen
/// packets: waiting for an acknowledgement delays data at every hop. Halved: less room for a storm after a moment of delay.
/// Doubled: a line of 128 kbit/s may be full for two seconds.
const USUAL: usize = 16 * 1200;
/// The shortest round trip counts for the rest of a period of this length, and for the next period. If the path becomes longer,
/// the window is too small for that long. Halved: a line that is full for a minute passes for an empty one. Doubled: a longer
/// path is slow for four minutes.
const SHORTEST_LASTS: Duration = Duration::from_secs(60);
/// The most acknowledgements that are remembered. If more come within a round trip, the window grows more slowly.
const ACKS: usize = 64;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub struct Window {
    bytes: usize,
    most: usize,
    delivered: u64,
    /// When something was acknowledged, and how much had been delivered by then.
    acks: VecDeque<(Duration, u64)>,
    /// The shortest round trip of the present period and of the one before, and when the present one began.
    shortest: [Duration; 2],
    since: Duration,
}

impl Window {
    /// The window of a new connection. It never exceeds `most` bytes.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            bytes: FIRST,
            most,
            delivered: 0,
            acks: VecDeque::from([(Duration::ZERO, 0)]),
            shortest: [Duration::MAX; 2],
            since: Duration::ZERO,
        }
    }

    /// While no more than so many bytes are under way, a message of as many may follow: both together fit the window.
    #[must_use]
    pub fn room(&self) -> usize {
        self.bytes / 2
    }

    /// How long a full packet occupies a line with so little room; zero if no acknowledgement has shown the line to be slow.
    #[must_use]
    pub fn packet_time(room: usize) -> Duration {
        match u32::try_from(room) {
            Ok(room) if (room as usize) < FIRST_ROOM => QUEUE * PACKET / (2 * room.max(1)),
            _ => Duration::ZERO,
        }
    }

    /// How long so many bytes occupy a line with so little room; zero like [`Self::packet_time`].
    #[must_use]
    pub fn time_of(room: usize, bytes: usize) -> Duration {
        let packets = bytes.div_ceil(PACKET as usize);
        Self::packet_time(room) * u32::try_from(packets).unwrap_or(u32::MAX)
    }

    /// At `now`, so many bytes are acknowledged, the last of which were sent at `sent`. `now` never decreases.
    pub fn acknowledged(&mut self, now: Duration, sent: Duration, bytes: usize) {
        let took = now.saturating_sub(sent).max(Duration::from_micros(1));
        self.time(now, took);
        // What had been delivered when that was sent; a little more if it was overtaken.
        let earlier = self.acks.partition_point(|(at, _)| *at <= sent);
        self.acks.drain(..earlier.saturating_sub(1));
        let before = self.acks.front().map_or(0, |(_, delivered)| *delivered);
        self.delivered += bytes as u64;
        if self.acks.len() < ACKS {
            self.acks.push_back((now, self.delivered));
        }
        let delivered = self.delivered - before;
        self.follow(delivered, took);
    }

    fn follow(&mut self, delivered: u64, took: Duration) {
        let should = self.shortest[0].min(self.shortest[1]) + QUEUE;
        let fits = (delivered as f64 * should.as_secs_f64() / took.as_secs_f64()) as usize;
        self.bytes = if took <= should {
            // The line carries at least that; whether it carries more is not known.
            let is_first = delivered == self.delivered;
            let (within, usual) = if is_first {
                (FIRST_ANSWER, self.most / 2)
            } else {
                (QUEUE / 2, USUAL)
            };
            let is_ordinary = delivered >= ORDINARY && took <= within;
            let usual = if is_ordinary { usual } else { 0 };
            self.bytes.max(fits).max(usual)
        } else {
            // A single late acknowledgement says little, so the window halves at the most.
            self.bytes.min(fits.max(self.bytes / 2)).max(LEAST)
        }
        .min(self.most);
    }

    fn time(&mut self, now: Duration, took: Duration) {
        if now >= self.since + SHORTEST_LASTS {
            self.shortest = [Duration::MAX, self.shortest[0]];
            self.since = now;
        }
        self.shortest[0] = self.shortest[0].min(took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 128 * 1024;

    /// A line that carries so many bytes a second, and its window.
    struct Line {
        window: Window,
        bytes_per_s: f64,
        delay: f64,
        now: f64,
        free: f64,
        under_way: Vec<(f64, f64, usize)>,
    }

    impl Line {
        fn new(bytes_per_s: f64, delay: f64) -> Self {
            Self {
                window: Window::new(MOST),
                bytes_per_s,
                delay,
                now: 0.0,
                free: 0.0,
                under_way: Vec::new(),
            }
        }

        /// Sends as much as the window lets through until `until`. Returns the longest round trip.
        fn fill(&mut self, until: f64) -> f64 {
            let (mut longest, time) = (0.0_f64, Duration::from_secs_f64);
            while self.now < until {
                let sum: usize = self.under_way.iter().map(|packet| packet.2).sum();
                if sum <= self.window.room() {
                    // A message as large as it may be, in packets.
                    let mut left = self.window.room();
                    while left > 0 {
                        let bytes = left.min(1200);
                        left -= bytes;
                        self.free = self.free.max(self.now) + bytes as f64 / self.bytes_per_s;
                        let back = self.free + 2.0 * self.delay;
                        self.under_way.push((back, self.now, bytes));
                    }
                    continue;
                }
                let (back, sent, bytes) = self.under_way.remove(0);
                self.now = back;
                longest = longest.max(back - sent);
                self.window.acknowledged(time(back), time(sent), bytes);
            }
            longest
        }
    }

    #[test]
    fn a_slow_line_is_kept_short_and_full() {
        for bytes_per_s in [1000.0, 2000.0, 8000.0, 100_000.0] {
            let mut line = Line::new(bytes_per_s, 0.02);
            line.window.acknowledged(
                Duration::from_secs_f64(0.04 + 100.0 / bytes_per_s),
                Duration::ZERO,
                100,
            );
            line.fill(20.0);
            let longest = line.fill(60.0);
            assert!(longest < 0.8, "{bytes_per_s}: {longest} s");
            let carries = bytes_per_s * 0.25;
            let room = line.window.room() as f64;
            assert!(room >= carries.min(600.0) / 2.0, "{bytes_per_s}: {room}");
        }
    }

    #[test]
    fn a_fast_line_has_the_whole_window_after_a_few_round_trips() {
        for delay in [0.000_05, 0.02, 0.1] {
            let mut line = Line::new(12_500_000.0, delay);
            line.fill(8.0 * 2.0 * delay);
            assert_eq!(line.window.room(), MOST / 2, "{delay}");
        }
    }

    #[test]
    fn a_line_that_slows_down_is_soon_kept_short_and_one_that_recovers_soon_used() {
        let mut line = Line::new(1_000_000.0, 0.02);
        line.fill(5.0);
        assert_eq!(line.window.room(), MOST / 2);
        line.bytes_per_s = 2000.0;
        line.fill(100.0);
        assert!(line.fill(110.0) < 0.8);
        line.bytes_per_s = 1_000_000.0;
        line.fill(115.0);
        assert_eq!(line.window.room(), MOST / 2);
    }

    #[test]
    fn a_few_late_answers_on_a_quiet_line_cost_little() {
        let mut line = Line::new(12_500_000.0, 0.02);
        line.fill(2.0);
        let second = Duration::from_secs(1);
        line.window.acknowledged(10 * second, 9 * second, 100);
        assert_eq!(line.window.room(), MOST / 4);
    }
}
