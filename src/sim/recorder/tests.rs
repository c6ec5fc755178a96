use std::io::Read as _;

use flate2::read::GzDecoder;

use super::*;
use crate::chronicle::lines::Reader;
use crate::sim::world::default_settings;

fn text(recorder: Recorder) -> String {
    let packed = recorder.finish();
    let mut text = String::new();
    GzDecoder::new(&packed[..])
        .read_to_string(&mut text)
        .unwrap();
    text
}

/// A world of nodes, each told of the one before it.
fn world(nodes: usize) -> World {
    let mut world = World::new(7);
    for place in 0..nodes {
        let targets: Vec<usize> = place.checked_sub(1).into_iter().collect();
        world.add(place as u64, default_settings(place, &targets));
        world.nodes[place].start.tells_links = true;
        world.start(place);
    }
    world
}

/// Runs a world, and records it in steps. Returns what the viewer showed at each of them.
fn run(world: &mut World, recorder: &mut Recorder, until: Duration) -> Vec<Snapshot> {
    let mut shown = Vec::new();
    while world.now() < until {
        let next = world.now() + LOOK;
        while world.step(next) {
            while let Some(news) = world.poll_news() {
                recorder.hear(&news);
            }
        }
        recorder.look(world);
        let origin_ms = recorder.origin_ms.unwrap();
        let shows = |place: &usize| seen_by(world, *place, origin_ms).is_some();
        let viewer = (0..world.nodes.len()).find(shows);
        shown.extend(viewer.and_then(|viewer| seen_by(world, viewer, origin_ms)));
    }
    shown
}

#[test]
fn a_recording_gives_what_the_viewer_showed_also_after_the_viewer_changed() {
    let mut world = world(9);
    let mut recorder = Recorder::new(0, true, None);
    let mut shown = run(&mut world, &mut recorder, Duration::from_secs(10));
    world.kill(4);
    shown.extend(run(&mut world, &mut recorder, Duration::from_secs(30)));
    world.kill(0);
    shown.extend(run(&mut world, &mut recorder, Duration::from_secs(50)));
    world.kill(1);
    world.start(4);
    shown.extend(run(&mut world, &mut recorder, Duration::from_secs(70)));

    let text = text(recorder);
    let mut lines = text.lines();
    let mut reader = Reader::begin(lines.next().unwrap()).unwrap();
    let mut frames = BTreeMap::new();
    let mut viewers = Vec::new();
    let mut told = 0;
    let mut numbers: BTreeMap<crate::wire::NodeId, u32> = BTreeMap::new();
    for line in lines {
        let Some(Entry::Frame(frame)) = reader.next(line).unwrap() else {
            continue;
        };
        viewers.extend(frame.whole);
        told += frame
            .changed
            .iter()
            .filter(|it| it.state.is_some_and(|it| it.2.is_some()))
            .count();
        for node in reader.picture().nodes() {
            // Nobody is forgotten within a minute, so each keeps its number.
            assert_eq!(*numbers.entry(node.id).or_insert(node.n), node.n);
        }
        frames.insert(frame.at_ms, reader.picture().snapshot().unwrap());
    }
    assert_eq!(viewers.len(), 3, "{viewers:?}");
    assert!(told > 0, "who noticed the death of node 4?");
    // Measurements alone are recorded once a second, so the rest is what each moment showed.
    let shape = |view: &Snapshot| {
        let mut view = view.clone();
        view.at_ms = 0;
        view.rejected.0.clear();
        for link in &mut view.links {
            (
                link.rtt_us,
                link.rtt_at_ms,
                link.rtt_stale,
                link.loss_permille,
            ) = (None, 0, false, 0);
            (link.other, link.disputed_ms) = (None, None);
        }
        view
    };
    let mut exact = 0;
    for view in &shown {
        let (_, frame) = frames.range(..=view.at_ms).next_back().unwrap();
        assert_eq!(shape(frame), shape(view), "at {}", view.at_ms);
        if frame.at_ms == view.at_ms {
            assert_eq!(frame, view);
            exact += 1;
        }
    }
    assert!(exact > 60, "{exact} frames");
}

#[test]
fn the_chosen_node_is_seen_once_it_runs_and_maps_place_all_nodes() {
    let mut world = World::new(7);
    for place in 0..4_usize {
        let targets: Vec<usize> = place.checked_sub(1).into_iter().collect();
        world.add(place as u64, default_settings(place, &targets));
    }
    world.start(0);
    world.start(1);
    let mut recorder = Recorder::new(2, true, None);
    run(&mut world, &mut recorder, Duration::from_secs(3));
    assert_eq!(recorder.viewer, 0);
    world.start(2);
    world.start(3);
    world.step(world.now() + LOOK);
    recorder.look(&world);
    assert_eq!(recorder.viewer, 2);
    let until = world.now() + Duration::from_secs(10);
    while world.now() < until {
        let next = world.now() + LOOK;
        while world.step(next) {}
        recorder.look(&world);
    }
    let text = text(recorder);
    for kind in ["latency", "structure"] {
        let kind = format!("\"kind\":\"{kind}\"");
        let placed: std::collections::BTreeSet<u64> = text
            .lines()
            .filter(|line| line.contains(&kind))
            .flat_map(|line| {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                let places = line["map"]["places"].as_array().unwrap().clone();
                places.into_iter().map(|place| place[0].as_u64().unwrap())
            })
            .collect();
        let mut lines = text.lines();
        let mut reader = Reader::begin(lines.next().unwrap()).unwrap();
        for line in lines {
            reader.next(line).unwrap();
        }
        let nodes: Vec<u32> = reader.picture().nodes().map(|node| node.n).collect();
        assert_eq!(nodes.len(), 4);
        let is_placed = |n: &u32| placed.contains(&u64::from(*n));
        assert!(nodes.iter().all(is_placed), "{kind}: {nodes:?}, {placed:?}");
    }
}
