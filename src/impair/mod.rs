//! A worse network on purpose: delay, jitter, loss, corruption, duplicates, reordering and a narrow line, in the words of
//! `tc qdisc ... netem`, without root and on any platform.
//!
//! - [`Impairment`] is what happens on one link; it is read from netem's words and printed in them. [`Rules`] says which
//!   impairment holds for which destination.
//! - [`LinkModel`] applies an impairment to one packet after the other, as the kernel's netem does. It does no I/O, reads no
//!   clock and repeats from its seed, so a simulator can have one for each of its links.
//! - [`ImpairedSocket`] applies the rules to what a node sends, under quinn and right above the real socket.
//!
//! # The words
//!
//! They are those of the man page tc-netem(8), each at most once, in any order, in full:
//!
//! ```text
//! limit PACKETS
//! delay TIME [ JITTER [ CORRELATION ]]   [ distribution uniform | normal | pareto | paretonormal ]
//! loss [ random ] PERCENT [ CORRELATION ]
//! loss state P13 [ P31 [ P32 [ P23 [ P14 ]]]]
//! loss gemodel P [ R [ 1-H [ 1-K ]]]
//! corrupt PERCENT [ CORRELATION ]
//! duplicate PERCENT [ CORRELATION ]
//! reorder PERCENT [ CORRELATION ]        [ gap DISTANCE ]
//! rate RATE [ PACKETOVERHEAD [ CELLSIZE [ CELLOVERHEAD ]]]
//! ```
//!
//! A time is a number with `s`, `ms` or `us` behind it, and without a unit it is microseconds. A share is a percentage, with
//! `%` or without. A rate is in bits a second (`bit`, `kbit`, `mbit`, `gbit`, `tbit`, and `kibit` … in powers of 1024) or in bytes
//! a second (`bps`, `kbps`, …); without a unit it is bits. Numbers are plain decimals that begin with a digit.
//!
//! What `tc` refuses is refused: `reorder` without a delay, `distribution` without a jitter, `gap` without `reorder`, a second
//! `loss`. Beyond that, every word may come only once; a limit or a rate of nothing, and a jitter that the kernel would
//! cut short, are refused too. `ecn`, `slot` and `seed` are not supported. `distribution uniform` is in the man page, though
//! `tc` itself finds no table of that name; it is what holds without the word.
//!
//! # Where it differs from netem
//!
//! `cargo run -p area-net-lab --release -- netem` holds all of this against the kernel's netem (6.1) and `tc` (6.1). What remains:
//!
//! - The socket delivers up to 2 ms late, mostly 0.5 to 1.5: tokio's timers tick in whole milliseconds and round up. The model
//!   itself is exact.
//! - `corrupt` turns over a bit of the datagram, where the kernel may hit a header as well. There, the receiver's kernel drops the
//!   packet; here it is quinn.
//! - `duplicate` keeps its correlation. `tc` forgets it unless `delay` or `loss` has one too.
//! - What every packet passes is the line to its own destination, not an interface that all share.
//!
//! # The rules
//!
//! ```text
//! RULE [ ; RULE ]...        RULE := [ to ADDRESS[:PORT] ] IMPAIRMENT
//! ```
//!
//! The most specific rule that matches a packet's destination holds for it, alone: one for the address with the port, else
//! one for the address, else the one without `to`. A destination without a rule is left alone; so is one whose rule is
//! `delay 0`. Each destination is a link of its own, with its own queue, rate and bursts of losses.
//!
//! ```
//! use area_net::impair::Rules;
//!
//! let rules: Rules = "delay 40000 10ms loss 5; to [::1]:8090 loss 100%".parse()?;
//! assert_eq!(rules.to_string(), "delay 40ms 10ms loss 5%; to [::1]:8090 loss 100%");
//!
//! let error = "delay 40ms lss 5%".parse::<Rules>().unwrap_err();
//! assert_eq!(error.to_string(), "`lss` at column 12 is no word of netem; did you mean `loss`?");
//! # Ok::<(), area_net::impair::ParseError>(())
//! ```

mod error;
mod grammar;
mod jitter;
mod model;
mod rules;
mod socket;
#[cfg(test)]
mod tests;
mod value;

use std::fmt;

pub use self::error::{Fault, ParseError};
pub use self::model::{BitFlip, Delivery, Fate, LinkModel};
pub use self::rules::{MAX_RULES, MAX_TEXT, Rules};
pub use self::socket::ImpairedSocket;
pub use self::value::Share;
use self::value::{Bits, Time};

/// What happens to packets on one link. The default leaves them alone.
///
/// Values that change nothing are not kept (a correlation of what never happens, say), so equal impairments behave equally.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Impairment {
    /// So many packets wait at most; one more is dropped.
    limit: u32,
    delay: Delay,
    loss: Loss,
    corrupt: Chance,
    duplicate: Chance,
    reorder: Option<Reorder>,
    rate: Option<Rate>,
}

/// netem's own default, and `tc`'s.
const DEFAULT_LIMIT: u32 = 1000;

impl Default for Impairment {
    fn default() -> Self {
        Self {
            limit: DEFAULT_LIMIT,
            delay: Delay::default(),
            loss: Loss::default(),
            corrupt: Chance::default(),
            duplicate: Chance::default(),
            reorder: None,
            rate: None,
        }
    }
}

impl Impairment {
    /// How long packets are delayed, jitter aside.
    #[must_use]
    pub fn delay(&self) -> std::time::Duration {
        std::time::Duration::from_micros(self.delay.us.into())
    }

    /// How long nearly all packets take at most, jitter and all.
    #[must_use]
    pub fn most_delay(&self) -> std::time::Duration {
        let Delay {
            us,
            jitter_us,
            distribution,
            ..
        } = self.delay;
        let deviations = match distribution {
            Distribution::Uniform => 1,
            Distribution::Normal | Distribution::Pareto | Distribution::ParetoNormal => 3,
        };
        std::time::Duration::from_micros(u64::from(us) + deviations * u64::from(jitter_us))
    }

    /// The least time that any packet takes: no jitter makes it shorter.
    #[must_use]
    pub fn least_delay(&self) -> std::time::Duration {
        model::least_delay(self)
    }

    /// The part of the packets that is lost, where each is lost independently of all others; else `None`.
    #[must_use]
    pub fn independent_loss(&self) -> Option<f64> {
        match self.loss {
            Loss::Random(chance) if chance.correlation == Share::NONE => Some(self.mean_loss()),
            Loss::Random(_) | Loss::State { .. } | Loss::Gemodel { .. } => None,
        }
    }

    /// The part of the packets that is lost in the long run, whatever the correlation.
    #[must_use]
    pub fn mean_loss(&self) -> f64 {
        let part = |share: Share| f64::from(share.parts()) / f64::from(Share::ALL.parts());
        match self.loss {
            Loss::Random(chance) => part(chance.share),
            // Of the time, so much is spent in bursts; what is lost singly comes on top.
            Loss::State { p13, p31, p14, .. } => {
                let (to, from) = (part(p13), part(p31));
                let burst = if to == 0.0 { 0.0 } else { to / (to + from) };
                (burst + part(p14)).min(1.0)
            }
            Loss::Gemodel { p, r, bad, good } => {
                let (p, r) = (part(p), part(r));
                let in_bad = if p == 0.0 { 0.0 } else { p / (p + r) };
                in_bad * part(bad) + (1.0 - in_bad) * part(good)
            }
        }
    }
}

/// Something that happens to a share of the packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Chance {
    share: Share,
    /// How much each draw is like the one before it.
    correlation: Share,
}

impl Chance {
    fn new(share: Share, correlation: Share) -> Self {
        if share == Share::NONE {
            Self::default()
        } else {
            Self { share, correlation }
        }
    }
}

/// How long a packet takes, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Delay {
    us: u32,
    jitter_us: u32,
    correlation: Share,
    distribution: Distribution,
}

/// How the jitter is spread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Distribution {
    /// Evenly from the delay less the jitter up to the delay and the jitter.
    #[default]
    Uniform,
    /// The jitter is the standard deviation.
    Normal,
    /// Mostly a little early, and now and then very late.
    Pareto,
    /// A quarter normal, three quarters pareto.
    ParetoNormal,
}

/// Which packets are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// Each by itself, but for the correlation.
    Random(Chance),
    /// A Markov chain of four states; `p13` is the probability to go from state 1 to state 3, and so on.
    State {
        p13: Share,
        p31: Share,
        p32: Share,
        p23: Share,
        p14: Share,
    },
    /// Gilbert and Elliott's chain of a good and a bad state.
    Gemodel {
        /// From good to bad.
        p: Share,
        /// From bad to good.
        r: Share,
        /// `1-h`: what is lost in the bad state.
        bad: Share,
        /// `1-k`: what is lost in the good state.
        good: Share,
    },
}

impl Default for Loss {
    fn default() -> Self {
        Self::Random(Chance::default())
    }
}

/// Packets that overtake: they are not delayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reorder {
    chance: Chance,
    /// Only each so many-th packet has the chance.
    gap: u32,
}

/// How fast the line is, and what a packet weighs on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rate {
    /// At least 1.
    bytes_per_s: u64,
    /// Added to each packet; taken off, where negative.
    packet_overhead: i32,
    /// A packet is cut into cells of so many bytes; 0 for no cells.
    cell_bytes: u32,
    /// Added to each cell.
    cell_overhead: i32,
}

/// netem's words, in the order of its man page; reading these gives the same impairment.
impl fmt::Display for Impairment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words: Vec<String> = Vec::new();
        if self.limit != DEFAULT_LIMIT {
            words.push(format!("limit {}", self.limit));
        }
        if self.delay != Delay::default() {
            words.push(self.delay.to_string());
        }
        if self.loss != Loss::default() {
            words.push(self.loss.to_string());
        }
        for (word, chance) in [("corrupt", self.corrupt), ("duplicate", self.duplicate)] {
            if chance != Chance::default() {
                words.push(format!("{word} {chance}"));
            }
        }
        if let Some(reorder) = self.reorder {
            words.push(format!("reorder {}", reorder.chance));
            if reorder.gap != 1 {
                words.push(format!("gap {}", reorder.gap));
            }
        }
        if let Some(rate) = self.rate {
            words.push(rate.to_string());
        }
        if words.is_empty() {
            // A rule must say something, even that nothing happens.
            words.push("delay 0us".to_owned());
        }
        f.write_str(&words.join(" "))
    }
}

impl fmt::Display for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.share)?;
        if self.correlation == Share::NONE {
            return Ok(());
        }
        write!(f, " {}", self.correlation)
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "delay {}", Time(self.us))?;
        if self.jitter_us == 0 {
            return Ok(());
        }
        write!(f, " {}", Time(self.jitter_us))?;
        if self.correlation != Share::NONE {
            write!(f, " {}", self.correlation)?;
        }
        match self.distribution {
            Distribution::Uniform => Ok(()),
            Distribution::Normal => f.write_str(" distribution normal"),
            Distribution::Pareto => f.write_str(" distribution pareto"),
            Distribution::ParetoNormal => f.write_str(" distribution paretonormal"),
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random(chance) => write!(f, "loss {chance}"),
            Self::State {
                p13,
                p31,
                p32,
                p23,
                p14,
            } => write!(f, "loss state {p13} {p31} {p32} {p23} {p14}"),
            Self::Gemodel { p, r, bad, good } => write!(f, "loss gemodel {p} {r} {bad} {good}"),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rate {}", Bits(self.bytes_per_s * 8))?;
        // Each of these may only be given after the one before it.
        let after = [
            i64::from(self.packet_overhead),
            i64::from(self.cell_bytes),
            i64::from(self.cell_overhead),
        ];
        let count = after
            .iter()
            .rposition(|value| *value != 0)
            .map_or(0, |at| at + 1);
        for value in &after[..count] {
            write!(f, " {value}")?;
        }
        Ok(())
    }
}
