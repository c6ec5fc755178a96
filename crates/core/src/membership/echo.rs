//! Echoes: how long the path to a node takes now, and how long the path to each node before it.
//!
//! A node that is asked for that (a *ping*) sends one [`Echo`] to each node of the path at the same moment. An echo names its whole
//! way. Each node on the way passes it on to the next one, over the link between them, and the last one sends it back the same way as
//! an answer. So the node that asks measures all times itself, by its own clock, and a ping also shows where a path ends that no longer
//! leads to the node. A time contains what the programs on the way take to pass the echo on.
//!
//! Echoes are datagrams. On the ordered control stream, an echo would wait behind records and be sent again if it were lost: it would
//! measure the queue, and no loss would ever show.
//!
//! An echo must not serve to attack a third node. A node answers or passes on at most one message for one that comes, and keeps
//! nothing of it. It does so only if the message came from the node before it on the way, and only over links that are in use. A way
//! has no node twice, so no echo travels in circles. What a neighbour may bring is limited, and so is what is passed on to a neighbour,
//! whoever brought it. What is over a limit is dropped, which makes some pings of others look as if echoes were lost; links and views
//! don't depend on echoes.
//!
//! A node on the way that lies can delay an echo, drop it, or answer in the name of the nodes behind it, whose nonces it sees. So a
//! time is only as good as the nodes up to there.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Time;
use super::links::Links;
use super::tuning::Tuning;
use super::tuning::echo::Tuning as EchoTuning;
use super::view::View;
use crate::bucket::{Bucket, Rate};
use crate::wire::{Echo, MAX_ECHO_WAY, NodeId, ShortId};

/// What is to be done with a message.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Pass the message to that neighbour.
    Pass(NodeId, Echo),
    /// Nothing.
    Nothing,
    /// It is turned away, for this reason.
    Refused(&'static str),
}

/// The end of a ping: its number, and the time to each node in µs. See [`Event::Pinged`](super::interface::Event::Pinged).
pub(super) type Pinged = (u64, Option<Vec<Option<u32>>>);

/// What echoes are decided from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) now: Time,
    pub(super) view: &'a View,
    pub(super) links: &'a Links,
}

/// A ping whose echoes are under way.
#[derive(Debug)]
struct Ping {
    number: u64,
    sent: Time,
    /// The neighbour that all echoes went to.
    first: NodeId,
    /// The nonce of the echo to each node of the path.
    nonces: Vec<u64>,
    rtts_us: Vec<Option<u32>>,
}

/// The rate limiters of a neighbour.
#[derive(Debug)]
struct Limits {
    brought: Bucket,
    sent: Bucket,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Echoes {
    me: ShortId,
    tuning: Arc<Tuning>,
    pings: Vec<Ping>,
    limits: BTreeMap<NodeId, Limits>,
}

impl Echoes {
    pub(super) fn new(me: NodeId, tuning: Arc<Tuning>) -> Self {
        Self {
            me: me.abbreviated(),
            tuning,
            pings: Vec::new(),
            limits: BTreeMap::new(),
        }
    }

    /// When [`Self::ended`] has something, if no answer comes before.
    pub(super) fn deadline(&self) -> Option<Time> {
        let patience = self.tuning.echo.patience;
        self.pings.iter().map(|ping| ping.sent + patience).min()
    }

    /// A link is gone.
    pub(super) fn link_ended(&mut self, peer: &NodeId) {
        self.limits.remove(peer);
    }

    /// Begins a ping: the neighbour to send to, and an echo for each node of the path. `nonce` draws random numbers. An error is the
    /// end of the ping.
    pub(super) fn ping(
        &mut self,
        scene: &Scene<'_>,
        number: u64,
        path: &[NodeId],
        mut nonce: impl FnMut() -> u64,
    ) -> Result<(NodeId, Vec<Echo>), Pinged> {
        let path = &path[..path.len().min(MAX_ECHO_WAY - 1)];
        let unanswered = || (number, Some(vec![None; path.len()]));
        let first = *path.first().ok_or_else(unanswered)?;
        let ids = path.iter().map(NodeId::abbreviated);
        let way: Vec<ShortId> = std::iter::once(self.me).chain(ids).collect();
        if !scene.links.is_live(&first) || has_repeats(&way) {
            return Err(unanswered());
        }
        let rate = sent(&self.tuning.echo);
        let bucket = &mut self.limits_of(scene.now, first).sent;
        let is_full = bucket.fill(scene.now, rate) < path.len() as f64;
        if is_full || self.pings.len() >= self.tuning.echo.pings {
            return Err((number, None));
        }
        self.limits_of(scene.now, first)
            .sent
            .spend(path.len() as f64);
        let nonces: Vec<u64> = path.iter().map(|_| nonce()).collect();
        let echo = |(at, nonce): (usize, &u64)| Echo {
            way: way[..at + 2].to_vec(),
            nonce: *nonce,
            is_answer: false,
        };
        let echoes = nonces.iter().enumerate().map(echo).collect();
        self.pings.push(Ping {
            number,
            sent: scene.now,
            first,
            rtts_us: vec![None; nonces.len()],
            nonces,
        });
        Ok((first, echoes))
    }

    /// The pings that are complete, or whose time is over.
    pub(super) fn ended(&mut self, now: Time) -> Vec<Pinged> {
        let patience = self.tuning.echo.patience;
        let ended = |ping: &mut Ping| {
            now >= ping.sent + patience || ping.rtts_us.iter().all(Option::is_some)
        };
        let ended = self.pings.extract_if(.., ended);
        ended
            .map(|ping| (ping.number, Some(ping.rtts_us)))
            .collect()
    }

    /// A neighbour brought an echo, or an answer.
    pub(super) fn handle(&mut self, scene: &Scene<'_>, from: &NodeId, mut echo: Echo) -> Step {
        let rate = brought(&self.tuning.echo);
        let bucket = &mut self.limits_of(scene.now, *from).brought;
        if !bucket.take_one(scene.now, rate) {
            return Step::Refused("more echoes than a neighbour may bring");
        }
        let Some(place) = echo.way.iter().position(|id| *id == self.me) else {
            return Step::Refused("an echo whose way leads past this node");
        };
        let (before, next) = if echo.is_answer {
            (place + 1, place.checked_sub(1))
        } else {
            (place.wrapping_sub(1), Some(place + 1))
        };
        if echo.way.get(before) != Some(&from.abbreviated()) {
            return Step::Refused("an echo that left its way");
        }
        let to = match next {
            None => return self.handle_answer(scene.now, from, &echo),
            Some(next) if next == echo.way.len() => {
                echo.is_answer = true;
                Some(*from)
            }
            Some(next) => neighbor(scene, &echo.way[next]),
        };
        let live = |peer: &NodeId| scene.links.is_live(peer);
        let Some(to) = to.filter(|to| live(to) && live(from)) else {
            return Step::Nothing;
        };
        let rate = sent(&self.tuning.echo);
        let kept = self.tuning.echo.kept;
        let bucket = &mut self.limits_of(scene.now, to).sent;
        if bucket.fill(scene.now, rate) < kept + 1.0 {
            return Step::Refused("more echoes than may go to a neighbour");
        }
        bucket.spend(1.0);
        Step::Pass(to, echo)
    }

    fn handle_answer(&mut self, now: Time, from: &NodeId, echo: &Echo) -> Step {
        // The nonce is that of one echo, and so of one way.
        let waits = self.pings.iter_mut().find_map(|ping| {
            let at = ping.nonces.iter().position(|nonce| *nonce == echo.nonce)?;
            let fits = ping.first == *from && echo.way.len() == at + 2;
            (fits && ping.rtts_us[at].is_none()).then_some((ping, at))
        });
        let Some((ping, at)) = waits else {
            return Step::Refused("an answer to no echo, or a late one");
        };
        let taken = now.saturating_sub(ping.sent).as_micros();
        // 0 µs would look like no path at all.
        ping.rtts_us[at] = Some(u32::try_from(taken).unwrap_or(u32::MAX).max(1));
        Step::Nothing
    }

    fn limits_of(&mut self, now: Time, peer: NodeId) -> &mut Limits {
        let tuning = &self.tuning.echo;
        self.limits.entry(peer).or_insert_with(|| Limits {
            brought: Bucket::holding(now, brought(tuning).burst),
            sent: Bucket::holding(now, sent(tuning).burst),
        })
    }
}

/// The rate limit of what a neighbour brings.
fn brought(tuning: &EchoTuning) -> Rate {
    Rate {
        burst: tuning.brought_burst,
        per_s: tuning.brought_per_s,
    }
}

/// The rate limit of what goes to a neighbour.
fn sent(tuning: &EchoTuning) -> Rate {
    Rate {
        burst: tuning.sent_burst,
        per_s: tuning.sent_per_s,
    }
}

/// The neighbour of that short id.
fn neighbor(scene: &Scene<'_>, id: &ShortId) -> Option<NodeId> {
    let index = scene.view.index(id)?;
    Some(scene.view.get(index)?.record.id())
}

fn has_repeats(way: &[ShortId]) -> bool {
    let mut sorted = way.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).any(|two| two[0] == two[1])
}

#[cfg(test)]
mod tests;
