//! What can be promised, and how it is written in a scenario.

use std::fmt;
use std::time::Duration;

use area_net::sim::parse::words::{duration, share};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::lab::action::{Action, Step};

/// A bound on several times: on each of them, and perhaps on the one in the middle. It is written as a time (`"2.5s"`), the worst,
/// or as `{ median = "1s", worst = "2.5s" }`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bound {
    /// None may be above, in seconds.
    pub(crate) worst: f64,
    /// Nor the one in the middle above this, in seconds.
    pub(crate) median: Option<f64>,
}

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TimeOrTable)
    }
}

/// The table.
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

/// A time with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Time(pub(crate) Duration);

impl Time {
    /// In milliseconds.
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

/// A percentage; in percent.
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

/// A bound on the RTT shown, from `ping`'s beside it.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NearPing {
    /// So much of ping's.
    pub(crate) share: Percent,
    /// And this.
    pub(crate) plus: Time,
}

/// A bound on the RTT shown at rest.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BesidePing {
    /// Not less than this, as nothing is that fast. It may well be less than ping's: a kernel's stamps leave out what the
    /// schedulers take, and ping can't.
    pub(crate) least: Time,
    /// Not more than ping's and this.
    pub(crate) over_ping: Time,
}

/// What must hold. A promise that a scenario doesn't name isn't judged. Times end when a file was
/// written that made the last view right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Must {
    /// After the last node was first started, every view lists exactly all as up.
    pub(crate) all_know_all_within: Option<Bound>,
    /// No view ever shows a node as not up that is, and to which a path is; nor does a node say that it is cut off.
    pub(crate) never_down: bool,
    /// No link that is there is dropped more often than that.
    pub(crate) link_drops_at_most: Option<u32>,
    /// After a kill, a stop or a vanishing, no view shows that node as up.
    pub(crate) down_everywhere_within: Option<Bound>,
    /// After links went down, every view shows as up exactly those to which a path is left.
    pub(crate) unreachable_within: Option<Bound>,
    /// After a start, a continuation, or links that came up, every view lists exactly those to which a path is.
    pub(crate) known_again_within: Option<Bound>,
    /// After the same, all views are one and the same, with a link between every two that can have one and no other.
    pub(crate) exact_within: Option<Bound>,
    /// After directions went down, no view lists those links any more, and all show all nodes as up.
    pub(crate) link_down_nodes_up_within: Option<Bound>,
    /// After a delay changed, every view shows the new RTT of those links, to 10 % and 2 ms.
    pub(crate) rtt_shown_within: Option<Bound>,
    /// The median of the RTTs shown is that near to the median of ping's.
    pub(crate) rtt_near_ping: Option<NearPing>,
    /// The median of the RTTs shown lies between those, beside the median of ping's. Not judged in User-Mode Linux.
    pub(crate) rtt_beside_ping: Option<BesidePing>,
    /// From a minute after the qdisc, the median of the losses shown is that near to what the qdisc does to a probe
    /// and its answer, in percentage points.
    pub(crate) loss_shown_within: Option<Percent>,
    /// After an address changed, every view shows the node as up, at the new address.
    pub(crate) new_address_within: Option<Bound>,
    /// There are never more ids than nodes.
    pub(crate) one_identity: bool,
    /// Once everything was exact, no view changes but in its measurements.
    pub(crate) nothing_happens: bool,
    /// At the end all views are one and the same, as above.
    pub(crate) exact_at_end: bool,
}

impl Must {
    /// Whether each promise has something that it is about; else what is missing.
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
