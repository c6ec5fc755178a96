//! Follows links whose delay was changed, until every node shows their new round-trip time.

use std::time::Duration;

use super::lines::{Direction, Terrain, Way};
use super::views::{Views, counts};
use super::world::World;
use crate::record::Direction as Dialed;
use crate::snapshot::LinkView;

/// The most links that are followed; the others behave alike.
const MOST: usize = 16;
/// Links are followed if their delay changed by more than half: nodes publish smaller changes only when their budget allows.
const MOVED: u32 = 2;
/// The relative tolerance between the shown and the true round-trip time.
const WITHIN: u32 = 5;

/// Links from dialer to listener, with their true round-trip time.
#[derive(Debug, Default)]
pub(super) struct Delays {
    links: Vec<(Direction, Duration)>,
    /// The viewer that did not show all of them when it was last looked at.
    lags: usize,
}

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
                if ways.iter().any(meant)
                    && let Some(delay) = world.terrain().round_trip((place, peer))
                {
                    links.push(((place, peer), delay));
                }
            }
        }
        Self { links, lags: 0 }
    }

    /// Keeps the links whose round-trip time changed enough to be published.
    pub(super) fn follow_changed(&mut self, terrain: &Terrain) {
        self.links.retain_mut(|(link, delay)| {
            let Some(after) = terrain.round_trip(*link) else {
                return false;
            };
            let before = std::mem::replace(delay, after);
            before.abs_diff(after) > before / MOVED
        });
        self.links.truncate(MOST);
    }

    /// Whether every node shows the new round-trip times. A link that is gone is not waited for.
    pub(super) fn are_shown(&mut self, world: &World, views: &Views) -> bool {
        let short = |place: usize| world.nodes[place].id().abbreviated();
        self.links.retain(|((dialer, listener), _)| {
            let own = world.nodes[*dialer].own();
            let lists = own.is_some_and(|own| own.link_to(&short(*listener)).is_some());
            lists && counts(&world.nodes[*dialer]) && counts(&world.nodes[*listener])
        });
        if self.links.is_empty() {
            return false;
        }
        // The one that lagged last comes first: as long as it lags, no other picture is made.
        let places = world.nodes.len();
        let all = (self.lags..places).chain(0..self.lags);
        let mut viewers = all.filter(|&place| counts(&world.nodes[place]));
        match viewers.find(|&viewer| !self.shows_all(world, views, viewer)) {
            Some(lags) => {
                self.lags = lags;
                false
            }
            None => true,
        }
    }

    fn shows_all(&self, world: &World, views: &Views, viewer: usize) -> bool {
        let Some((snapshot, _)) = world.nodes[viewer].snapshot(world.now()) else {
            return true;
        };
        let place = |at: usize| views.place(&snapshot.nodes[at].id);
        self.links.iter().all(|(link, delay)| {
            let shows = |shown: &LinkView| {
                let rtt = shown.rtt_us.map(|us| Duration::from_micros(us.into()));
                place(shown.dialer).zip(place(shown.listener)) == Some(*link)
                    && rtt.is_some_and(|rtt| is_within(rtt, *delay))
            };
            views.reach().component(viewer) != views.reach().component(link.0)
                || snapshot.links.iter().any(shows)
        })
    }
}

fn is_within(shown: Duration, delay: Duration) -> bool {
    shown.abs_diff(delay) <= delay / WITHIN
}
