//! What the maps promise: they repeat, they keep still, they show round-trip times, and nothing breaks them.

use worlds::{World, distance, extent, ids, is_finite, mesh, moved, nearest, star, without};

use super::{APART, Input, Kind, Layout, Place};
use crate::snapshot::{LinkView, NodeState, NodeView, Rejected, Snapshot};
use crate::wire::NodeId;

mod worlds;

const KINDS: [Kind; 2] = [Kind::Latency, Kind::Structure];

#[test]
fn equal_inputs_give_equal_maps() {
    for kind in KINDS {
        let mut world = World::of_continents(120, 3);
        let (mut one, mut other) = (Layout::new(kind, 7), Layout::new(kind, 7));
        for step in 0..5 {
            assert_eq!(
                one.update(&world.input),
                other.update(&world.input),
                "{kind:?}"
            );
            world.jitter(step);
            world.input = without(&world.input, 17);
        }
    }
}

#[test]
fn the_order_of_links_and_their_direction_do_not_matter() {
    for kind in KINDS {
        let world = World::of_continents(60, 3);
        let mut turned = world.input.clone();
        turned.links.reverse();
        turned
            .links
            .iter_mut()
            .for_each(|link| *link = (link.1, link.0, link.2));
        assert_eq!(
            Layout::new(kind, 7).update(&world.input),
            Layout::new(kind, 7).update(&turned),
            "{kind:?}"
        );
    }
}

#[test]
fn a_map_of_continents_shows_round_trip_times() {
    for seed in 1..=2 {
        let mut world = World::of_continents(1000, seed);
        let mut layout = Layout::new(Kind::Latency, seed);
        let mut places = layout.update(&world.input);
        // Neither does it lose that while it follows measurements.
        for updates in [0, 40] {
            for step in 0..updates {
                world.jitter(step);
                places = layout.update(&world.input);
            }
            let fit = places.fit.expect("a latency map is judged");
            let unmeasured = world.unmeasured(&places);
            let what = format!("seed {seed}, {updates} updates: {fit:?}, {unmeasured}");
            assert!(fit.links.is_some_and(|links| links >= 0.9), "{what}");
            assert!(fit.drawn.is_some_and(|drawn| drawn >= 0.9), "{what}");
            assert!(
                fit.held_out.is_some_and(|held_out| held_out >= 0.7),
                "{what}"
            );
            assert!(unmeasured >= 0.7, "{what}");
        }
    }
}

#[test]
fn a_map_of_random_delays_says_that_it_predicts_nothing() {
    let world = World::of_chance(300, 1);
    let places = Layout::new(Kind::Latency, 1).update(&world.input);
    let fit = places.fit.expect("a latency map is judged");
    assert!(world.unmeasured(&places).abs() < 0.1);
    assert!(fit.held_out.expect("enough links").abs() < 0.3, "{fit:?}");
}

#[test]
fn a_map_keeps_still_while_round_trip_times_vary() {
    let mut world = World::of_continents(200, 1);
    let mut layout = Layout::new(Kind::Latency, 1);
    let mut last = layout.update(&world.input);
    let first = last.clone();
    for step in 0..30 {
        world.jitter(step);
        let next = layout.update(&world.input);
        let (median, _) = moved(&last.nodes, &next.nodes);
        assert!(median < 0.02, "step {step}: {median}");
        last = next;
    }
    // Neither has it turned or flipped, step by step.
    let (median, _) = moved(&first.nodes, &last.nodes);
    assert!(median < 0.1, "{median}");
}

#[test]
fn a_map_that_gets_the_same_input_comes_to_rest() {
    let world = World::of_continents(200, 1);
    let mut layout = Layout::new(Kind::Latency, 1);
    for _ in 0..200 {
        layout.update(&world.input);
    }
    let (before, after) = (layout.update(&world.input), layout.update(&world.input));
    let (_, most) = moved(&before.nodes, &after.nodes);
    assert!(most < 0.001, "{most}");
}

#[test]
fn others_stay_when_a_node_leaves_and_it_returns_to_its_place() {
    for kind in KINDS {
        let world = World::of_continents(100, 1);
        let mut layout = Layout::new(kind, 1);
        let before = layout.update(&world.input);
        let gone = 17;
        let after = layout.update(&without(&world.input, gone));
        let mut rest = before.nodes.clone();
        let was = rest.remove(gone);
        let (median, _) = moved(&rest, &after.nodes);
        assert!(median < 0.03, "{kind:?}: {median}");
        let again = layout.update(&world.input);
        let off = distance(was, again.nodes[gone]) / extent(&before.nodes);
        assert!(off < 0.05, "{kind:?}: {off}");
    }
}

#[test]
fn a_map_from_nothing_lies_on_the_last_one() {
    // Most nodes are new, so the map is made from nothing: only the alignment keeps it from lying in any direction.
    let world = World::of_continents(120, 5);
    for kind in KINDS {
        let mut layout = Layout::new(kind, 1);
        let half = (0..70).fold(world.input.clone(), |rest, step| {
            without(&rest, (step * 7) % rest.nodes.len())
        });
        let before = layout.update(&half);
        let after = layout.update(&world.input);
        let place = |id: &NodeId| {
            after.nodes[world
                .input
                .nodes
                .iter()
                .position(|node| node == id)
                .expect("it stayed")]
        };
        let now: Vec<Place> = half.nodes.iter().map(place).collect();
        // Whatever turn or flip is tried, none brings them nearer.
        let off = |turn: fn(Place) -> (f32, f32)| -> f32 {
            let mean = |places: &[Place]| {
                let count = places.len() as f32;
                (
                    places.iter().map(|place| place.x).sum::<f32>() / count,
                    places.iter().map(|place| place.y).sum::<f32>() / count,
                )
            };
            let (from, to) = (mean(&now), mean(&before.nodes));
            let pairs = now.iter().zip(&before.nodes);
            let square = pairs.map(|(one, other)| {
                let (x, y) = turn(Place {
                    x: one.x - from.0,
                    y: one.y - from.1,
                    height: 0.0,
                });
                (x - other.x + to.0).powi(2) + (y - other.y + to.1).powi(2)
            });
            square.sum()
        };
        let as_is = off(|place| (place.x, place.y));
        let turns: [fn(Place) -> (f32, f32); 5] = [
            |place| (-place.x, -place.y),
            |place| (place.y, -place.x),
            |place| (-place.y, place.x),
            |place| (place.x, -place.y),
            |place| (-place.x, place.y),
        ];
        assert!(turns.iter().all(|turn| as_is < off(*turn)), "{kind:?}");
    }
}

#[test]
fn five_nodes_in_a_full_mesh_are_a_regular_pentagon() {
    let places = Layout::new(Kind::Structure, 1).update(&mesh(5)).nodes;
    let pairs = (0..5).flat_map(|a| (0..a).map(move |b| (a, b)));
    let mut all: Vec<f32> = pairs.map(|(a, b)| distance(places[a], places[b])).collect();
    all.sort_by(f32::total_cmp);
    // Five sides and five diagonals, which are longer by the golden ratio.
    assert!(
        all[..5].iter().all(|side| (side - 1.0).abs() < 0.01),
        "{all:?}"
    );
    assert!(
        all[5..]
            .iter()
            .all(|diagonal| (diagonal - 1.618).abs() < 0.01),
        "{all:?}"
    );
}

#[test]
fn leaves_are_spread_around_their_hub() {
    let places = Layout::new(Kind::Structure, 1).update(&star(49)).nodes;
    let hub = places[0];
    let far = places[1..].iter().map(|leaf| distance(hub, *leaf));
    let far: Vec<f32> = far.collect();
    assert!(far.iter().all(|&one| (one - far[0]).abs() < 0.1), "{far:?}");
    // On all sides.
    let mut angles: Vec<f32> = places[1..]
        .iter()
        .map(|leaf| (leaf.y - hub.y).atan2(leaf.x - hub.x))
        .collect();
    angles.sort_by(f32::total_cmp);
    assert!(
        angles.windows(2).all(|two| two[1] - two[0] < 0.3),
        "{angles:?}"
    );
}

#[test]
fn no_two_nodes_overlap_on_a_structure_map() {
    for input in [
        mesh(12),
        star(300),
        World::of_continents(300, 1).input,
        World::of_chance(600, 1).input,
    ] {
        let places = Layout::new(Kind::Structure, 1).update(&input).nodes;
        let nearest = nearest(&places);
        assert!(nearest > 0.8 * APART, "{} nodes: {nearest}", places.len());
    }
}

#[test]
fn a_new_node_is_put_beside_its_neighbours() {
    for kind in KINDS {
        let world = World::of_continents(100, 1);
        let mut layout = Layout::new(kind, 1);
        layout.update(&without(&world.input, 99));
        let places = layout.update(&world.input).nodes;
        let links = world.input.links.iter();
        let of_new: Vec<f32> = links
            .filter(|link| link.1 == 99)
            .map(|link| distance(places[link.0], places[99]))
            .collect();
        let mean = of_new.iter().sum::<f32>() / of_new.len() as f32;
        assert!(
            mean < 0.6 * extent(&places),
            "{kind:?}: {mean} of {}",
            extent(&places)
        );
    }
}

#[test]
fn parts_without_a_link_between_them_do_not_overlap() {
    for kind in KINDS {
        let mut input = mesh(30);
        // Ten, ten, and ten nodes that have nobody.
        input
            .links
            .retain(|&(a, b, _)| b < 10 || (10..20).contains(&a) && b < 20);
        let places = Layout::new(kind, 1).update(&input).nodes;
        let within = (0..10)
            .flat_map(|a| (0..a).map(move |b| (a, b)))
            .map(|(a, b)| distance(places[a], places[b]));
        let within = within.fold(0.0, f32::max);
        let middle = |part: &[Place]| Place {
            x: part.iter().map(|place| place.x).sum::<f32>() / 10.0,
            y: part.iter().map(|place| place.y).sum::<f32>() / 10.0,
            height: 0.0,
        };
        assert!(
            distance(middle(&places[..10]), middle(&places[10..20])) > within,
            "{kind:?}"
        );
        let others = (20..30).flat_map(|alone| (0..alone).map(move |other| (alone, other)));
        let mut others = others.map(|(alone, other)| distance(places[alone], places[other]));
        assert!(others.all(|far| far > 0.05 * within), "{kind:?}");
    }
}

#[test]
fn a_network_that_splits_and_heals_is_one_map_again() {
    for kind in KINDS {
        let world = World::of_continents(60, 1);
        let mut layout = Layout::new(kind, 1);
        let before = layout.update(&world.input);
        let mut split = world.input.clone();
        split.links.retain(|&(a, b, _)| (a < 30) == (b < 30));
        layout.update(&split);
        let mut after = layout.update(&world.input);
        for _ in 0..20 {
            after = layout.update(&world.input);
        }
        assert!(
            extent(&after.nodes) < 1.5 * extent(&before.nodes),
            "{kind:?}"
        );
    }
}

/// 40 nodes in a chain with these round-trip times.
fn chain(rtt_us: fn(usize) -> Option<u32>) -> Input {
    let links = (1..40).map(|node| (node - 1, node, rtt_us(node)));
    Input {
        nodes: ids(40),
        links: links.collect(),
    }
}

fn hostile_inputs() -> Vec<Input> {
    let pair = |rtt_us| vec![(0, 1, rtt_us)];
    let tears = vec![(0, 1, Some(u32::MAX)), (1, 2, Some(0)), (0, 2, Some(1))];
    let loops = vec![(3, 3, Some(1)), (3, 99, Some(1)), (usize::MAX, 1, None)];
    let again = vec![(1, 2, Some(7)), (2, 1, None), (1, 2, Some(9))];
    let few = [
        (0, Vec::new()),
        (1, Vec::new()),
        (2, Vec::new()),
        (2, pair(Some(0))),
        (2, pair(None)),
        (2, pair(Some(u32::MAX))),
        (3, tears),
        (40, Vec::new()),
        (40, loops),
        (40, again),
    ];
    let few = few.map(|(nodes, links)| Input {
        nodes: ids(nodes),
        links,
    });
    let mut same_node = chain(|_| Some(1000));
    same_node.nodes = vec![ids(1)[0]; 40];
    let many = [
        chain(|_| None),
        chain(|_| Some(0)),
        chain(|_| Some(u32::MAX)),
        chain(|node| Some(if node % 2 == 0 { 0 } else { u32::MAX })),
        same_node,
        star(300),
    ];
    few.into_iter().chain(many).collect()
}

#[test]
fn hostile_inputs_give_finite_places() {
    let inputs = hostile_inputs();
    for kind in KINDS {
        for (number, input) in inputs.iter().enumerate() {
            let mut layout = Layout::new(kind, 1);
            for _ in 0..3 {
                let places = layout.update(input);
                let what = format!("{kind:?}, input {number}: {places:?}");
                assert_eq!(places.nodes.len(), input.nodes.len(), "{what}");
                assert!(is_finite(&places), "{what}");
            }
        }
        // One after the other.
        let mut layout = Layout::new(kind, 1);
        for (number, input) in inputs.iter().chain(inputs.iter().rev()).enumerate() {
            assert!(is_finite(&layout.update(input)), "{kind:?}, step {number}");
        }
    }
}

#[test]
fn only_nodes_that_are_up_are_on_the_map() {
    let node = |number: usize, state| NodeView {
        id: ids(4)[number],
        label: "".into(),
        addrs: Vec::new(),
        state,
        since_ms: 0,
    };
    let link = |dialer, listener, rtt_us| LinkView {
        dialer,
        listener,
        rtt_us,
        rtt_at_ms: 0,
        rtt_stale: false,
        loss_permille: 0,
        suspect: false,
        other: None,
        disputed_ms: None,
    };
    let snapshot = Snapshot {
        at_ms: 0,
        me: 0,
        origin_ms: 0,
        network: "test".into(),
        cut_off: false,
        impaired: None,
        nodes: vec![
            node(0, NodeState::Left),
            node(1, NodeState::Up),
            node(2, NodeState::Unreachable),
            node(3, NodeState::Up),
        ],
        links: vec![link(3, 1, Some(700)), link(1, 2, Some(5)), link(1, 9, None)],
        differing: Vec::new(),
        rejected: Rejected::default(),
    };
    let expected = Input {
        nodes: vec![ids(4)[1], ids(4)[3]],
        links: vec![(1, 0, Some(700))],
    };
    assert_eq!(Input::from(&snapshot), expected);
}

#[test]
fn ten_thousand_nodes_around_one_are_placed() {
    for kind in KINDS {
        let mut layout = Layout::new(kind, 1);
        let places = layout.update(&star(9999));
        assert!(is_finite(&places), "{kind:?}");
        let after = layout.update(&without(&star(9999), 5000));
        assert!(is_finite(&after), "{kind:?}");
    }
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut layout = Layout::new(Kind::Structure, 1);
    for round in 0..20_u8 {
        let mut input = mesh(100);
        input.nodes.iter_mut().for_each(|id| id.0[31] = round);
        layout.update(&input);
    }
    assert!(
        layout.known.len() <= 100 + super::GONE + 100,
        "{}",
        layout.known.len()
    );
}

#[test]
fn judging_adds_at_most_a_fourth_to_the_work_of_updates() {
    let mut world = World::of_continents(300, 1);
    let mut layout = Layout::new(Kind::Latency, 1);
    layout.update(&world.input);
    let (first, mut in_judgements) = (layout.judge.work, 0);
    for step in 0..400 {
        world.jitter(step);
        let before = layout.judge.held_out;
        let work = layout.judge.work;
        layout.update(&world.input);
        if layout.judge.held_out != before {
            in_judgements += layout.judge.work - work;
        }
    }
    let all = layout.judge.work - first;
    assert!(in_judgements > 0, "it is judged again");
    assert!(in_judgements * 4 <= all, "{in_judgements} of {all}");
}

#[test]
fn a_lone_node_stands_at_the_origin() {
    for kind in [Kind::Latency, Kind::Structure] {
        for number in 0..20 {
            let input = Input {
                nodes: vec![NodeId([number; 32])],
                links: Vec::new(),
            };
            let mut layout = Layout::new(kind, 1);
            for _ in 0..3 {
                let place = layout.update(&input).nodes[0];
                assert!(
                    place.x.hypot(place.y) < 10.0,
                    "{kind:?} {number}: {place:?}"
                );
            }
        }
    }
}
