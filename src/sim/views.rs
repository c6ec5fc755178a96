//! Compares every node's view with the true state of the network.
//!
//! A view is the set of nodes that are up, and the links between them. The set is followed change by change, as a
//! bitset. The links are compared record by record, by a *shape*: a hash of the node and its links without measurements. Views with the same
//! digest are identical, so only one of them is judged.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use super::reach::Reach;
use super::world::World;

pub use super::reach::counts;
use crate::membership::Event;
use crate::record::{Direction, Record};
use crate::wire::{NodeId, ShortId};

/// See the module's documentation.
pub struct Views {
    /// `u64` words in a row.
    row: usize,
    /// One row for each viewer: the nodes that it shows as up.
    shown: Vec<u64>,
    /// Keyed by the first half of an id, which is as random as a hash. Never iterated.
    places: HashMap<ShortId, usize, PassThrough>,
    /// How many running viewers show each node as up.
    shown_by: Vec<u32>,
    /// Who can reach whom.
    reach: Reach,
    shapes: Shapes,
    /// For each viewer, the last key that was judged, and whether the view was right.
    judged: Vec<Option<(Judged, bool)>>,
    /// Whether each view shows the right nodes, and whether it is exact.
    right: Vec<bool>,
    exact: Vec<bool>,
}

/// The digest of a view, and the sum of the true shapes that it was compared with.
type Judged = (u64, u128);

/// How all views compare with the true state at a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Nodes that run.
    pub up: usize,
    /// Ordered pairs of which the first should show the second.
    pub pairs: u64,
    /// Those of them that do.
    pub known: u64,
    /// Pairs of which the first shows the second, but should not.
    pub wrong: u64,
    /// Exact views: exactly the right nodes, and the newest list of links of each.
    pub exact: usize,
}

impl Standing {
    /// Whether every node shows exactly the right nodes.
    #[must_use]
    pub fn all_known(&self) -> bool {
        self.known == self.pairs && self.wrong == 0
    }

    /// Whether every view is exact.
    #[must_use]
    pub fn all_exact(&self) -> bool {
        self.exact == self.up
    }
}

impl Views {
    /// The views of a world in which no node knows another one yet.
    #[must_use]
    pub fn new(world: &World) -> Self {
        let nodes = world.nodes.len();
        let row = nodes.div_ceil(64);
        let ids = world.nodes.iter().enumerate();
        Self {
            row,
            shown: vec![0; nodes * row],
            places: ids
                .map(|(place, node)| (node.id().abbreviated(), place))
                .collect(),
            shown_by: vec![0; nodes],
            reach: Reach::new(world),
            shapes: Shapes::default(),
            judged: vec![None; nodes],
            right: vec![false; nodes],
            exact: vec![false; nodes],
        }
    }

    /// The place of a node.
    #[must_use]
    pub fn place(&self, id: &NodeId) -> Option<usize> {
        self.place_of(&id.abbreviated())
    }

    /// The place of the node whose id begins with this prefix.
    #[must_use]
    pub fn place_of(&self, short: &ShortId) -> Option<usize> {
        self.places.get(short).copied()
    }

    /// Whether a viewer shows a node as up.
    #[must_use]
    pub fn shows(&self, viewer: usize, place: usize) -> bool {
        self.shown[viewer * self.row + place / 64] >> (place % 64) & 1 == 1
    }

    /// How many running viewers show a node as up.
    #[must_use]
    pub fn shown_by(&self, place: usize) -> u32 {
        self.shown_by[place]
    }

    /// Who can reach whom, as it was when views were last judged.
    #[must_use]
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Nodes started or ended.
    pub fn nodes_changed(&mut self) {
        self.reach.nodes_changed();
    }

    /// Paths changed.
    pub fn terrain_changed(&mut self) {
        self.reach.terrain_changed();
    }

    /// Finds out again who can reach whom, if anything changed.
    pub fn update_reach(&mut self, world: &World) {
        self.reach.update(world);
    }

    /// Whether a node's view was exact when it was last judged.
    #[must_use]
    pub fn is_exact(&self, viewer: usize) -> bool {
        self.exact[viewer]
    }

    /// Whether it showed the right nodes.
    #[must_use]
    pub fn has_right_nodes(&self, viewer: usize) -> bool {
        self.right[viewer]
    }

    /// Clears a viewer's row, as it ended or was cut off. Returns the nodes that it showed.
    pub fn clear(&mut self, viewer: usize) -> Vec<usize> {
        let mut gone = Vec::new();
        for word in 0..self.row {
            let bits = std::mem::take(&mut self.shown[viewer * self.row + word]);
            let set = (0..64).filter(|bit| bits >> bit & 1 == 1);
            gone.extend(set.map(|bit| word * 64 + bit));
        }
        for place in &gone {
            self.shown_by[*place] -= 1;
        }
        self.judged[viewer] = None;
        gone
    }

    /// Processes one event of a node; returns the nodes that it no longer shows as up.
    pub fn hear(&mut self, viewer: usize, event: &Event) -> Vec<usize> {
        match event {
            Event::Up(id) => {
                if let Some(place) = self.place(id)
                    && !self.shows(viewer, place)
                {
                    self.shown[viewer * self.row + place / 64] |= 1 << (place % 64);
                    self.shown_by[place] += 1;
                    self.reach.learn(viewer, place);
                }
                Vec::new()
            }
            Event::Unreachable(id) | Event::Left(id) | Event::Removed(id, _) => {
                match self.place(id) {
                    Some(place) if self.shows(viewer, place) => {
                        self.shown[viewer * self.row + place / 64] &= !(1 << (place % 64));
                        self.shown_by[place] -= 1;
                        vec![place]
                    }
                    Some(_) | None => Vec::new(),
                }
            }
            Event::CutOff => self.clear(viewer),
            Event::Links(_)
            | Event::Revocations(..)
            | Event::Pinged { .. }
            | Event::Linked { .. }
            | Event::Unlinked { .. }
            | Event::Restored(_)
            | Event::Suspected(_)
            | Event::DialFailed(..)
            | Event::OwnTarget(_)
            | Event::Twin { .. }
            | Event::PeerTwin(..)
            | Event::Rejected { .. } => Vec::new(),
        }
    }

    /// Compares all views with the true state.
    pub fn judge(&mut self, world: &World) -> Standing {
        let there: Vec<usize> = (0..world.nodes.len())
            .filter(|&place| counts(&world.nodes[place]))
            .collect();
        self.reach.update(world);
        // The nodes that a view must contain, and those that it may.
        let mut must: BTreeMap<u32, Truth> = BTreeMap::new();
        let mut may: BTreeMap<u32, Truth> = BTreeMap::new();
        for &place in &there {
            let part = must.entry(self.reach.component(place));
            part.or_insert_with(|| Truth::new(self.row)).add(place);
            let part = may.entry(self.reach.wide_component(place));
            let part = part.or_insert_with(|| Truth::new(self.row));
            part.add(place);
            if let Some(own) = world.nodes[place].own() {
                part.add_shape(self.shapes.of(own));
            }
        }
        let liars = Liars::of(world, self.row);
        let mut standing = Standing {
            up: there.len(),
            ..Standing::default()
        };
        let mut seen = HashMap::new();
        self.exact.fill(false);
        self.right.fill(false);
        for &viewer in &there {
            let must = &must[&self.reach.component(viewer)];
            let may = &may[&self.reach.wide_component(viewer)];
            let row = &self.shown[viewer * self.row..(viewer + 1) * self.row];
            let (mut known, mut wrong) = (0, 0);
            let masks = must.nodes.iter().zip(&may.nodes).zip(&liars.mask);
            for (bits, ((must, may), liars)) in row.iter().zip(masks) {
                known += u64::from((bits & must).count_ones());
                wrong += u64::from((bits & !may & !liars).count_ones());
            }
            standing.pairs += must.count - 1;
            standing.known += known;
            standing.wrong += wrong;
            if known == must.count - 1 && wrong == 0 {
                self.right[viewer] = true;
                self.exact[viewer] = self.is_right(world, viewer, may, &liars, &mut seen);
                standing.exact += usize::from(self.exact[viewer]);
            }
        }
        self.shapes.shrink(8 * world.nodes.len() + 1024);
        standing
    }

    /// Whether a view with exactly the right nodes has the right links for each of them.
    fn is_right(
        &mut self,
        world: &World,
        viewer: usize,
        truth: &Truth,
        liars: &Liars,
        seen: &mut HashMap<Judged, bool>,
    ) -> bool {
        let core = world.nodes[viewer].core().expect("it runs");
        let judged = (u64::from_le_bytes(core.digest().0), truth.sum);
        if let Some((before, right)) = self.judged[viewer]
            && before == judged
        {
            return right;
        }
        // While much changes, the search for a wrong record ends early.
        let right = *seen.entry(judged).or_insert_with(|| {
            core.records_up()
                .filter(|record| !liars.ids.contains(&record.id()))
                .filter(|record| {
                    !liars.invent || self.places.contains_key(&record.id().abbreviated())
                })
                .all(|record| truth.shapes.contains(&self.shapes.of(record)))
        });
        self.judged[viewer] = Some((judged, right));
        right
    }
}

/// Byzantine nodes may be shown or not.
struct Liars {
    /// One bit for each node.
    mask: Vec<u64>,
    ids: Vec<NodeId>,
    /// Some of them may have invented nodes, which no view need show or not show.
    invent: bool,
}

impl Liars {
    fn of(world: &World, row: usize) -> Self {
        let mut liars = Self {
            mask: vec![0; row],
            ids: Vec::new(),
            invent: world.nodes.iter().any(|node| node.is_hostile()),
        };
        let all = world.nodes.iter().enumerate();
        for (place, node) in all.filter(|(_, node)| node.is_lying()) {
            liars.mask[place / 64] |= 1 << (place % 64);
            liars.ids.push(node.id());
        }
        liars
    }
}

/// The nodes of one component, and what views should say of them.
struct Truth {
    /// One bit for each node.
    nodes: Vec<u64>,
    count: u64,
    /// The shape of each of them.
    shapes: HashSet<u128, PassThrough>,
    /// The sum of these, which identifies them.
    sum: u128,
}

impl Truth {
    fn new(row: usize) -> Self {
        Self {
            nodes: vec![0; row],
            count: 0,
            shapes: HashSet::default(),
            sum: 0,
        }
    }

    fn add(&mut self, place: usize) {
        self.nodes[place / 64] |= 1 << (place % 64);
        self.count += 1;
    }

    fn add_shape(&mut self, shape: u128) {
        self.shapes.insert(shape);
        self.sum = self.sum.wrapping_add(shape);
    }
}

/// The shapes of records, computed once for each record.
#[derive(Default)]
struct Shapes(HashMap<u64, u128, PassThrough>);

impl Shapes {
    fn of(&mut self, record: &Record) -> u128 {
        let key = record.fingerprint() as u64;
        *self.0.entry(key).or_insert_with(|| shape(record))
    }

    /// Clears the cache if it grew beyond what the nodes can hold; entries are recomputed on demand.
    fn shrink(&mut self, most: usize) {
        if self.0.len() > most {
            self.0.clear();
        }
    }
}

/// FNV-1a with 128 bits.
fn shape(record: &Record) -> u128 {
    let body = record.body();
    let links = body.links.iter();
    let links = links.flat_map(|link| {
        let dialer = u8::from(link.direction == Direction::Dialer);
        link.peer.0.into_iter().chain([dialer])
    });
    let mut hash = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128;
    for byte in body.id.0.into_iter().chain(links) {
        hash = (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    hash
}

/// A hasher for keys that are hashes already.
type PassThrough = BuildHasherDefault<Passed>;

#[derive(Default)]
struct Passed(u64);

impl Hasher for Passed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 << 8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn write_u128(&mut self, number: u128) {
        self.0 = number as u64;
    }
}
