//! Network impairment in the syntax of `tc qdisc ... netem`: delay, jitter, loss, corruption, duplication, reordering and a
//! rate limit, without root and on any platform.
//!
//! - [`Impairment`] describes the impairment of one link. It is parsed from netem's syntax and printed in it. [`Rules`] map
//!   destinations to impairments.
//! - [`LinkModel`] applies an impairment to a sequence of packets, as the kernel's netem does. It does no I/O, reads no clock and
//!   repeats from its seed, so a simulator can have one for each of its links.
//! - [`ImpairedSocket`] applies the rules to the packets that a node sends. It stands between quinn and the real socket.
//!
//! # Syntax
//!
//! The options are those of the man page tc-netem(8). Each may appear once, in any order, and can't be abbreviated:
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
//! A time is a number with the unit `s`, `ms` or `us`; without a unit it is in microseconds. A share is a percentage, with `%` or
//! without. A rate is in bits a second (`bit`, `kbit`, `mbit`, `gbit`, `tbit`, and `kibit` … in powers of 1024) or in bytes a
//! second (`bps`, `kbps`, …); without a unit it is in bits a second. Numbers are plain decimals that begin with a digit.
//!
//! The parser rejects what `tc` rejects: `reorder` without a delay, `distribution` without a jitter, `gap` without `reorder`, a
//! second `loss`. It also rejects any other repeated option, a limit or a rate of zero, and a jitter that the kernel would
//! truncate. `ecn`, `slot` and `seed` are not supported. `distribution uniform` is in the man page, but `tc` has no table of that
//! name; here it is the default.
//!
//! # Differences from netem
//!
//! `cargo run -p area-net-lab --release -- netem` compares all of this with the kernel's netem (6.1) and `tc` (6.1). These differences remain:
//!
//! - The model is exact, but the socket delivers late by the resolution of the runtime's timers: 0.25 ms on Linux
//!   (`TimerRuntime`), up to 2 ms with tokio's, which tick in whole milliseconds and round up.
//! - `corrupt` flips a bit of the datagram; the kernel may also flip one of a header. There the receiver's kernel drops the packet,
//!   here quinn does.
//! - `duplicate` keeps its correlation. `tc` drops it unless `delay` or `loss` has one too.
//! - Each destination has a link of its own. With netem, all destinations share the queue of one interface.
//!
//! # Rules
//!
//! ```text
//! RULE [ ; RULE ]...        RULE := [ to ADDRESS[:PORT] ] IMPAIRMENT
//! ```
//!
//! Only the most specific rule that matches a packet's destination applies: one for the address with the port, else one for the
//! address, else the one without `to`. A destination without a rule is not impaired; nor is one whose rule is `delay 0`. Each
//! destination is a link of its own, with its own queue, rate and loss bursts.
//!
//! ```
//! use area_net::impair::Rules;
//!
//! let rules: Rules = "delay 40000 10ms loss 5; to [::1]:8090 loss 100%".parse()?;
//! assert_eq!(rules.to_string(), "delay 40ms 10ms loss 5%; to [::1]:8090 loss 100%");
//!
//! let error = "delay 40ms lss 5%".parse::<Rules>().unwrap_err();
//! assert_eq!(error.to_string(), "`lss` at column 12 is not an option of netem; did you mean `loss`?");
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
pub use self::rules::Rules;
pub use self::socket::ImpairedSocket;
pub use self::value::Share;
use self::value::{Bits, Time};

/// The longest text of rules, in bytes: some lines of a screen.
pub const MAX_TEXT: usize = 4096;
/// The most rules. Each packet is compared with all of them, so the limit bounds the cost of a packet.
pub const MAX_RULES: usize = 64;

/// The impairment of one link. The default impairs nothing.
///
/// Values without effect are dropped, such as a correlation of an event that never happens. So equal values behave equally.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Impairment {
    /// The most packets that wait in the queue; further ones are dropped.
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
    /// The mean delay of packets, without jitter.
    #[must_use]
    pub fn delay(&self) -> std::time::Duration {
        std::time::Duration::from_micros(self.delay.us.into())
    }

    /// The delay that nearly all packets stay below, jitter included: three standard deviations above the mean.
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

    /// The least delay of any packet, jitter included.
    #[must_use]
    pub fn least_delay(&self) -> std::time::Duration {
        model::least_delay(self)
    }

    /// The fraction of packets lost, where each is lost independently of all others; else `None`.
    #[must_use]
    pub fn independent_loss(&self) -> Option<f64> {
        match self.loss {
            Loss::Random(chance) if chance.correlation == Share::NONE => Some(self.mean_loss()),
            Loss::Random(_) | Loss::State { .. } | Loss::Gemodel { .. } => None,
        }
    }

    /// The fraction of packets lost in the long run. Correlation is ignored.
    #[must_use]
    pub fn mean_loss(&self) -> f64 {
        let part = Share::fraction;
        match self.loss {
            Loss::Random(chance) => part(chance.share),
            // The fraction of time in bursts, plus the single losses.
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

/// What a path lets through, in figures that a judge of networks needs.
impl Impairment {
    /// The fraction of packets lost or damaged in the long run.
    #[must_use]
    pub fn share_lost(&self) -> f64 {
        1.0 - (1.0 - self.mean_loss()) * (1.0 - self.corrupt.share.fraction())
    }

    /// How many packets are lost in a row, on average, once one is.
    #[must_use]
    pub fn mean_burst(&self) -> f64 {
        let until = |chance: f64| {
            if chance > 0.0 {
                1.0 / chance
            } else {
                f64::INFINITY
            }
        };
        match self.loss {
            Loss::Random(Chance { share, .. }) if share == Share::NONE => 1.0,
            Loss::Random(Chance { share, correlation }) => {
                until((1.0 - share.fraction()) * (1.0 - correlation.fraction()))
            }
            Loss::State { p13, .. } if p13 == Share::NONE => 1.0,
            Loss::State { p31, .. } => until(p31.fraction()),
            Loss::Gemodel { p, bad, .. } if p == Share::NONE || bad == Share::NONE => 1.0,
            Loss::Gemodel { r, bad, .. } => until(r.fraction()).min(until(1.0 - bad.fraction())),
        }
    }

    /// The rate limit, in bytes a second.
    #[must_use]
    pub fn bytes_per_s(&self) -> Option<f64> {
        self.rate.map(|rate| rate.bytes_per_s as f64)
    }

    /// How many packets wait at most.
    #[must_use]
    pub fn queue(&self) -> u32 {
        self.limit
    }
}

/// The probability of an event for each packet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Chance {
    share: Share,
    /// How much each draw resembles the one before it.
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

/// The delay of a packet, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Delay {
    us: u32,
    jitter_us: u32,
    correlation: Share,
    distribution: Distribution,
}

/// The distribution of the jitter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Distribution {
    /// Uniform from the delay minus the jitter to the delay plus the jitter.
    #[default]
    Uniform,
    /// Normal; the jitter is the standard deviation.
    Normal,
    /// Pareto: mostly a little early, sometimes very late.
    Pareto,
    /// The sum of a quarter of the normal and three quarters of the Pareto deviation.
    ParetoNormal,
}

/// The loss model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// Independent losses, except for the correlation.
    Random(Chance),
    /// A Markov chain of four states. `p13` is the probability of the transition from state 1 to state 3, and so on.
    State {
        p13: Share,
        p31: Share,
        p32: Share,
        p23: Share,
        p14: Share,
    },
    /// The Gilbert-Elliott chain of a good and a bad state.
    Gemodel {
        /// From good to bad.
        p: Share,
        /// From bad to good.
        r: Share,
        /// `1-h`: the loss in the bad state.
        bad: Share,
        /// `1-k`: the loss in the good state.
        good: Share,
    },
}

impl Default for Loss {
    fn default() -> Self {
        Self::Random(Chance::default())
    }
}

/// Reordering: the chosen packets are not delayed, so they overtake the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reorder {
    chance: Chance,
    /// Only every `gap`-th packet may be chosen.
    gap: u32,
}

/// The rate limit of a link, and the size with which a packet counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rate {
    /// At least 1.
    bytes_per_s: u64,
    /// Added to each packet's bytes; may be negative.
    packet_overhead: i32,
    /// The bytes of a cell, if packets are sent in cells; 0 for no cells.
    cell_bytes: u32,
    /// Added to each cell's bytes; may be negative.
    cell_overhead: i32,
}

/// Prints netem's syntax, in the order of its man page. Parsing the output gives the same impairment.
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
            // A rule must contain an option, so the absence of impairment is printed as one too.
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
        // These are positional, so each needs those before it.
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
