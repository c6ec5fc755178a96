//! `area-net wait`: waits until the network is as described.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::args::WaitArgs;
use super::error::AskError;
use super::text::{count, name, rtt};
use super::{Desk, http, read, times};
use crate::answers::types::{Links, Status};

/// How often the condition is looked at. At half, a small network costs the node 1 % of a core; at double, a script notices that the
/// network is ready 0.2 s late.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A look may take this part of the time, so that a large network is not busy with being looked at. At half, it costs the node 20 %
/// of a core; at double, a network whose answer takes 100 ms is looked at every two seconds.
const SHARE: u32 = 10;

impl Desk {
    pub(super) fn wait_for(&mut self, args: &WaitArgs) -> Result<(), AskError> {
        let timeout = argument("--timeout", &args.timeout)?;
        let rtt_max_ms = args.rtt_max.as_deref();
        let rtt_max_ms = rtt_max_ms
            .map(|text| argument("--rtt-max", text))
            .transpose()?;
        let begun = Instant::now();
        let end = begun + Duration::from_millis(timeout);
        let mut ran = false;
        loop {
            let look = Instant::now();
            let missing = match self.look(args, rtt_max_ms) {
                Ok(missing) => {
                    ran = true;
                    missing
                }
                Err(error) if error.may_start_yet() => {
                    if Instant::now() >= end && !ran {
                        return Err(error);
                    }
                    Some("the node is not running any more".to_owned())
                }
                Err(error) => return Err(error),
            };
            let Some(missing) = missing else {
                return Ok(());
            };
            let now = Instant::now();
            if now >= end {
                let what = format!("not so within {}: {missing}", args.timeout);
                return Err(AskError::False { what });
            }
            let pause = LOOK_EVERY.max((now - look) * SHARE);
            (self.wait)(pause.min(end - now))?;
        }
    }

    /// What is missing; `None` if all conditions hold.
    fn look(&self, args: &WaitArgs, rtt_max_ms: Option<u64>) -> Result<Option<String>, AskError> {
        let profile = args.profile.as_deref();
        let status: Status = read(&self.get(profile, "/v1/status")?)?;
        if let Some(wanted) = args.nodes.filter(|wanted| status.nodes.up < *wanted) {
            let up = status.nodes.up;
            return Ok(Some(format!("{up} of {} up", count(wanted, "node"))));
        }
        if let Some(most) = rtt_max_ms {
            let links: Links = read(&self.get(profile, "/v1/links")?)?;
            if let Some(slow) = slow(&links, most.saturating_mul(1000)) {
                return Ok(Some(slow));
            }
        }
        if args.agree {
            return self.differing(&status);
        }
        Ok(None)
    }

    /// Who sees the network differently; `None` if all agree that can be asked.
    fn differing(&self, status: &Status) -> Result<Option<String>, AskError> {
        if let Some(agreement) = &status.agreement {
            let (same, all) = (agreement.same, agreement.neighbours);
            let differ = same < all || status.cut_off;
            return Ok(
                differ.then(|| format!("{same} of {} see the same", count(all, "neighbour")))
            );
        }
        let mut first: Option<(String, View)> = None;
        for node in self.places.running()? {
            let answer = http::get(&node.socket, "/v1/graph?format=json", self.patience)?;
            let graph: Graph = read(&answer.body()?)?;
            if graph.network != status.network {
                continue;
            }
            let view = graph.view();
            match &first {
                Some((other, seen)) if *seen != view => {
                    let (one, other) = (node.profile, other);
                    return Ok(Some(format!("{one} and {other} see different networks")));
                }
                Some(_) => {}
                None => first = Some((node.profile, view)),
            }
        }
        Ok(None)
    }
}

fn argument(option: &str, text: &str) -> Result<u64, AskError> {
    times::duration(text).ok_or_else(|| AskError::BadArgument {
        argument: format!("{option} {}", super::text::clean(text)),
        what: "not a duration; write 80ms, 10s or 1m30s".to_owned(),
    })
}

fn slow(links: &Links, most_us: u64) -> Option<String> {
    let unmeasured = links
        .links
        .iter()
        .filter(|link| link.rtt_us.is_none())
        .count();
    if unmeasured > 0 {
        return Some(format!("{} not measured yet", count(unmeasured, "link")));
    }
    let slowest = links.links.iter().max_by_key(|link| link.rtt_us)?;
    let us = u64::from(slowest.rtt_us?);
    (us > most_us).then(|| {
        let ends = format!("{} -> {}", name(&slowest.dialer), name(&slowest.listener));
        format!("the slowest link, {ends}, takes {}", rtt(us))
    })
}

/// The part of `network.json` that says what a node sees.
#[derive(Deserialize)]
struct Graph {
    network: String,
    nodes: Vec<GraphNode>,
    links: Vec<GraphLink>,
}

#[derive(Deserialize)]
struct GraphNode {
    id: String,
    state: String,
}

#[derive(Deserialize)]
struct GraphLink {
    dialer: String,
    listener: String,
}

/// The nodes that are up, and the links.
type View = (BTreeSet<String>, BTreeSet<[String; 2]>);

impl Graph {
    fn view(self) -> View {
        let up = self.nodes.into_iter().filter(|node| node.state == "up");
        let links = self.links.into_iter();
        (
            up.map(|node| node.id).collect(),
            links.map(|link| [link.dialer, link.listener]).collect(),
        )
    }
}
