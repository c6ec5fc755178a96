//! Follows links whose delay was changed, until every node shows their new round-trip time.

use std::time::Duration;

use super::lines::{Direction, Terrain, Way};
use super::views::{Views, counts};
use super::world::World;
use crate::record::{Direction as Dialed, Record};
use crate::wire::ShortId;

/// The most links that are followed; the others behave alike.
const MOST: usize = 16;
/// Links are followed if their delay changed by more than half: nodes publish smaller changes only when their budget allows.
const MOVED: u32 = 2;
/// The relative tolerance between the shown and the true round-trip time.
const WITHIN: u32 = 5;

/// Links from dialer to listener, with their true round-trip time.
#[derive(Debug, Default)]
pub(super) struct Delays(Vec<(Direction, Duration)>);

impl Delays {
    /// The links on these directions.
    pub(super) fn of(world: &World, views: &Views, ways: &[Way]) -> Self {
        let mut links = Vec::new();
        for place in world.running() {
            let Some(own) = world.nodes[place].own() else {
                continue;
            };
            let dialed = own.body().links.iter();
            let dialed = dialed.filter(|link| link.direction == Dialed::Dialer);
            for peer in dialed.filter_map(|link| views.place_of(&link.peer)) {
                let meant = |way: &Way| way.contains((place, peer)) || way.contains((peer, place));
                if ways.iter().any(meant) {
                    links.push(((place, peer), both_ways(world.terrain(), (place, peer))));
                }
            }
        }
        Self(links)
    }

    /// Keeps the links whose round-trip time changed enough to be published.
    pub(super) fn follow_changed(&mut self, terrain: &Terrain) {
        self.0.retain_mut(|(link, delay)| {
            let before = std::mem::replace(delay, both_ways(terrain, *link));
            before.abs_diff(*delay) > before / MOVED
        });
        self.0.truncate(MOST);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every node shows the new round-trip times. A link that is gone is not waited for.
    pub(super) fn are_shown(&mut self, world: &World, views: &Views) -> bool {
        let short = |place: usize| world.nodes[place].id().abbreviated();
        self.0.retain(|((dialer, listener), _)| {
            let own = world.nodes[*dialer].own();
            let lists = own.is_some_and(|own| own.link_to(&short(*listener)).is_some());
            lists && counts(&world.nodes[*dialer]) && counts(&world.nodes[*listener])
        });
        let viewers = world.running().filter(|&place| counts(&world.nodes[place]));
        let mut cores = viewers.filter_map(|place| Some((place, world.nodes[place].core()?)));
        !self.is_empty()
            && cores.all(|(viewer, core)| {
                self.0.iter().all(|((dialer, listener), delay)| {
                    let record = core.record(&world.nodes[*dialer].id());
                    views.component(viewer) != views.component(*dialer)
                        || record.is_some_and(|record| shows(record, &short(*listener), *delay))
                })
            })
    }
}

fn shows(record: &Record, listener: &ShortId, delay: Duration) -> bool {
    let link = record.link_to(listener);
    link.is_some_and(|link| is_within(Duration::from_micros(link.rtt_us.into()), delay))
}

fn is_within(shown: Duration, delay: Duration) -> bool {
    shown.abs_diff(delay) <= delay / WITHIN
}

fn both_ways(terrain: &Terrain, (from, to): Direction) -> Duration {
    terrain.impairment((from, to)).delay() + terrain.impairment((to, from)).delay()
}
