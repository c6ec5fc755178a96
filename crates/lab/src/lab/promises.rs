//! The promises that a scenario can make, and their syntax.

use std::fmt;
use std::time::Duration;

use area_net::sim::parse::words::{duration, share};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::lab::action::{Action, Step};

/// A bound on several times: on the worst, and optionally on the median. It is written as a time (`"2.5s"`), which bounds the
/// worst, or as `{ median = "1s", worst = "2.5s" }`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bound {
    /// Upper bound on every time, in seconds.
    pub(crate) worst: f64,
    /// Upper bound on the median, in seconds.
    pub(crate) median: Option<f64>,
}

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TimeOrTable)
    }
}

/// The table form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    worst: Time,
    median: Option<Time>,
}

struct TimeOrTable;

impl<'de> Visitor<'de> for TimeOrTable {
    type Value = Bound;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time such as \"2.5s\", or { median = …, worst = … }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Bound, E> {
        let worst = duration(text).map_err(E::custom)?.as_secs_f64();
        Ok(Bound {
            worst,
            median: None,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Bound, A::Error> {
        let table = Table::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(Bound {
            worst: table.worst.0.as_secs_f64(),
            median: table.median.map(|median| median.0.as_secs_f64()),
        })
    }
}

/// A time, written with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Time(pub(crate) Duration);

impl Time {
    /// The time in milliseconds.
    pub(crate) fn ms(self) -> f64 {
        self.0.as_secs_f64() * 1000.0
    }
}

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        duration(&text).map(Self)
    }
}

/// A percentage, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Percent(pub(crate) f64);

impl TryFrom<String> for Percent {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let part = share(&text);
        part.map(|part| Self((part * 1e6).round() / 1e4))
            .ok_or_else(|| format!("`{text}` is no percentage between 0% and 100%"))
    }
}

/// Bound on the difference between the shown RTT and `ping`'s, under a qdisc.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NearPing {
    /// Allowed difference, as a share of ping's RTT.
    pub(crate) share: Percent,
    /// Allowed difference on top of that share.
    pub(crate) plus: Time,
}

/// Bounds on the shown RTT without a qdisc.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BesidePing {
    /// Lower bound: no real RTT is shorter. The shown RTT may be below ping's. Kernel timestamps exclude scheduling delay, and
    /// ping's RTT includes it.
    pub(crate) least: Time,
    /// Upper bound: ping's RTT plus this.
    pub(crate) over_ping: Time,
}

/// The promises of a scenario. A promise that the scenario doesn't name isn't judged. A measured time ends at the write of the
/// file that made the last view right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Must {
    /// After the last node's first start, every view lists exactly all nodes as up.
    pub(crate) all_know_all_within: Option<Bound>,
    /// No view ever shows a reachable node as not up, and no node with a path to another reports that it is cut off.
    pub(crate) never_down: bool,
    /// No link that works is dropped more often than this.
    pub(crate) link_drops_at_most: Option<u32>,
    /// After a kill, a stop or a vanished host, no view shows that node as up.
    pub(crate) down_everywhere_within: Option<Bound>,
    /// After links went down, every view shows exactly the nodes that are still reachable as up.
    pub(crate) unreachable_within: Option<Bound>,
    /// After a start, a continuation, or links that came up, every view lists exactly the reachable nodes as up.
    pub(crate) known_again_within: Option<Bound>,
    /// After the same actions, all views are equal. They hold a link between every two nodes that can have one, and no other.
    pub(crate) exact_within: Option<Bound>,
    /// After directions went down, no view lists those links, and every view shows all nodes as up.
    pub(crate) link_down_nodes_up_within: Option<Bound>,
    /// After a delay changed, every view shows the new RTT of those links, within 10 % plus 2 ms.
    pub(crate) rtt_shown_within: Option<Bound>,
    /// The median of the shown RTTs is within this distance of ping's median.
    pub(crate) rtt_near_ping: Option<NearPing>,
    /// The median of the shown RTTs is within these bounds. Not judged in User-Mode Linux.
    pub(crate) rtt_beside_ping: Option<BesidePing>,
    /// From a minute after the qdisc was set, the median of the shown losses is near the qdisc's true loss. The true loss counts
    /// a probe and its answer. The bound is in percentage points.
    pub(crate) loss_shown_within: Option<Percent>,
    /// After an address change, every view shows the node as up, at its new address.
    pub(crate) new_address_within: Option<Bound>,
    /// All views together never name more ids than there are nodes.
    pub(crate) one_identity: bool,
    /// After the first moment at which all views are exact, only measurements change in a view.
    pub(crate) nothing_happens: bool,
    /// At the end all views are exact and equal, as in `exact_within`.
    pub(crate) exact_at_end: bool,
}

impl Must {
    /// Checks that the scenario has the step or the `ping` that each promise is about. The error names what is missing.
    pub(crate) fn check(&self, steps: &[Step], pinged: bool) -> Result<(), String> {
        let any = |is: fn(&Action) -> bool| steps.iter().any(|step| is(&step.action));
        let (ends, cuts, mends) = (any(Action::ends), any(Action::cuts), any(Action::mends));
        let (netem, address) = (any(Action::delays), any(Action::moves));
        let end = "a step with kill, leave, stop or vanish";
        let cut = "a step with link = \"down\" or partition";
        let mend = "a step with start, continue or link = \"up\"";
        let ping = "`ping = \"alice-bob\"`, which says between whom";
        let needs = [
            (
                "down_everywhere_within",
                self.down_everywhere_within.is_some(),
                ends,
                end,
            ),
            (
                "unreachable_within",
                self.unreachable_within.is_some(),
                cuts,
                cut,
            ),
            (
                "known_again_within",
                self.known_again_within.is_some(),
                mends,
                mend,
            ),
            ("exact_within", self.exact_within.is_some(), mends, mend),
            (
                "link_down_nodes_up_within",
                self.link_down_nodes_up_within.is_some(),
                cuts,
                cut,
            ),
            (
                "rtt_shown_within",
                self.rtt_shown_within.is_some(),
                netem,
                "a step with netem",
            ),
            (
                "rtt_near_ping",
                self.rtt_near_ping.is_some(),
                netem,
                "a step with netem",
            ),
            ("rtt_near_ping", self.rtt_near_ping.is_some(), pinged, ping),
            (
                "rtt_beside_ping",
                self.rtt_beside_ping.is_some(),
                pinged,
                ping,
            ),
            (
                "loss_shown_within",
                self.loss_shown_within.is_some(),
                netem,
                "a step with netem",
            ),
            (
                "new_address_within",
                self.new_address_within.is_some(),
                address,
                "a step with address",
            ),
        ];
        match needs
            .iter()
            .find(|(_, promised, given, _)| *promised && !given)
        {
            Some((promise, _, _, what)) => Err(format!("{promise} needs {what}")),
            None => Ok(()),
        }
    }
}
