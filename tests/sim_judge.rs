//! The simulator's judge: it demands what the network lets through, and nothing that no path could have shown.

use std::sync::Arc;
use std::time::Duration;

use area_net::membership::Event;
use area_net::sim::lines::Way;
use area_net::sim::parse::read_text;
use area_net::sim::places::Places;
use area_net::sim::views::{Standing, Views};
use area_net::sim::world::{World, default_settings};
use area_net::sim::{Report, run};

fn run_of(text: &str) -> Report {
    match read_text("test.toml", text) {
        Ok(scenario) => run(&scenario, |_| true),
        Err(error) => panic!("{error:?}"),
    }
}

/// Plays a scenario in which nothing goes wrong: all views are right, and no node is shown as down that others can reach.
fn play(text: &str) -> Report {
    let report = run_of(text);
    assert_eq!(report.violation, None, "{text}");
    assert_eq!(report.false_downs, 0, "{text}");
    assert!(
        (report.at_end.known - 1.0).abs() < 1e-9,
        "{text}: {:?}",
        report.at_end
    );
    assert_eq!(report.at_end.wrong, 0, "{text}");
    report
}

/// The same, and all views are exact at the end.
fn play_exactly(text: &str) -> Report {
    let report = play(text);
    assert!(
        (report.at_end.exact - 1.0).abs() < 1e-9,
        "{text}: {:?}",
        report.at_end
    );
    report
}

const LONG: &str = "lasts = \"4min\"\n";

#[test]
fn a_node_behind_a_path_that_loses_everything_is_not_missed() {
    for netem in [
        "loss 100%",
        "corrupt 100%",
        "loss gemodel 100% 0%",
        "rate 800bit",
    ] {
        // Either direction alone is enough.
        for on in ["3", "3->", "->3"] {
            let report = play_exactly(&format!(
                "nodes = 10\n{LONG}[[step]]\nat = \"20s\"\non = [\"{on}\"]\nnetem = \"{netem}\""
            ));
            assert_eq!(report.at_end.up, 10, "{netem}");
            // Nobody else is shown as down, and the one is given up by all.
            assert!(
                report.events[1].all_exact_after_ms.is_some(),
                "{netem} on {on}"
            );
        }
    }
}

#[test]
fn a_node_that_was_never_reached_is_not_missed() {
    for netem in ["loss 100%", "rate 1kbit", "delay 2s", "delay 3s"] {
        let report = play_exactly(&format!(
            "nodes = 10\n{LONG}introduction = \"chain\"\n[[link]]\non = [\"9\"]\nnetem = \"{netem}\""
        ));
        // The other nine know each other.
        assert_eq!(
            report.degree.histogram[0], 1,
            "{netem}: {:?}",
            report.degree
        );
    }
}

#[test]
fn introductions_that_lead_to_nobody_leave_nodes_alone() {
    // Two islands that never hear of each other.
    let islands = "nodes = 10\n[targets]\n\"1..5\" = [\"0\"]\n\"6..10\" = [\"5\"]\n";
    let report = play_exactly(&format!("{LONG}{islands}"));
    assert_eq!(report.degree.max, 4);
    // All know the first alone, which nobody can reach.
    let report = play_exactly(&format!(
        "nodes = 8\n{LONG}introduction = \"star\"\n[[link]]\non = [\"0\"]\nnetem = \"loss 100%\""
    ));
    assert_eq!(report.degree.max, 0);
    // The chain is broken in the middle: nobody of one side has an address of the other.
    let report = play_exactly(&format!(
        "nodes = 8\n{LONG}introduction = \"chain\"\n[[link]]\non = [\"3-4\"]\nnetem = \"loss 100%\""
    ));
    assert_eq!(report.degree.max, 3);
}

#[test]
fn a_dial_that_times_out_before_the_handshake_links_nobody() {
    for fidelity in ["core", "whole"] {
        let text = |delay: &str| {
            format!(
                "nodes = 6\nfidelity = \"{fidelity}\"\nlasts = \"2min\"\nlinks = \"delay {delay}\"\n\
                 settings = [\"network.controller.dial.timeout_ms=500\"]"
            )
        };
        assert_eq!(play_exactly(&text("600ms")).degree.max, 0);
        assert_eq!(play_exactly(&text("200ms")).degree.min, 5);
    }
}

#[test]
fn nodes_that_only_a_dead_or_paused_one_connects_do_not_show_each_other() {
    let lines = "nodes = 7\nlasts = \"6min\"\nintroduction = \"star\"\n[[link]]\non = [\"1..4-4..7\"]\nnetem = \"loss 100%\"\n";
    for (end, again) in [("kill", "start"), ("stop", "continue"), ("leave", "start")] {
        let report = play_exactly(&format!(
            "{lines}[[step]]\nat = \"60s\"\n{end} = \"0\"\n[[step]]\nat = \"3min\"\n{again} = \"0\"\n"
        ));
        for event in &report.events {
            assert!(event.all_known_after_ms.is_some(), "{end}: {event:?}");
        }
    }
}

/// What a link does for ever that comes and goes, nobody can say; but others are not shown as down for it.
#[test]
fn nothing_is_demanded_of_a_path_that_hardly_lets_anything_through() {
    for netem in ["loss 90%", "loss gemodel 1% 0.5%", "rate 4kbit"] {
        let report = run_of(&format!(
            "nodes = 8\nlasts = \"6min\"\n[[link]]\non = [\"7\"]\nnetem = \"{netem}\"\n"
        ));
        assert_eq!(report.violation, None, "{netem}");
        assert!(
            (report.at_end.known - 1.0).abs() < 1e-9,
            "{netem}: {:?}",
            report.at_end
        );
    }
}

/// Two halves that a single pair of nodes connects are one network.
#[test]
fn whoever_can_be_reached_must_be_shown() {
    play_exactly(
        "nodes = 10\nlasts = \"6min\"\nintroduction = \"chain\"\n\
         [[link]]\non = [\"0..4-5..10\", \"4-6..10\"]\nnetem = \"loss 100%\"\n",
    );
    // A judge that is given no time finds that they need some.
    let report = run_of(
        "nodes = 10\nlasts = \"2min\"\n[bounds]\nexact = \"10ms\"\n[[step]]\nat = \"20s\"\npartition = [\"0..5\"]\n[[step]]\nat = \"60s\"\nheal = true",
    );
    assert_eq!(
        report.violation.expect("it takes longer").rule,
        "wrong_view"
    );
}

mod views {
    use super::*;

    /// Four nodes that run, know each other, and show only what they are told to.
    fn four() -> World {
        let mut world = World::new(1);
        for place in 0..4 {
            let others: Vec<usize> = (0..place).collect();
            world.add(place as u64, default_settings(place, &others));
        }
        for place in 0..4 {
            world.start(place);
        }
        world
    }

    fn show_all(world: &World, views: &mut Views) {
        for viewer in 0..4 {
            for other in (0..4).filter(|other| *other != viewer) {
                views.hear(viewer, &Event::Up(world.nodes[other].id()));
            }
        }
    }

    fn impair(world: &mut World, views: &mut Views, from: usize, netem: &str) {
        let way = Way {
            from: Places::Range(from, from + 1),
            to: Places::All,
        };
        let netem = Arc::new(netem.parse().expect("words of netem"));
        world.change_terrain(|terrain| terrain.ways = vec![(way, netem)]);
        views.terrain_changed();
    }

    fn counts(standing: &Standing) -> (u64, u64, u64) {
        (standing.pairs, standing.known, standing.wrong)
    }

    #[test]
    fn each_must_show_whom_it_reaches_and_nobody_else() {
        let mut world = four();
        let mut views = Views::new(&world);
        assert_eq!(counts(&views.judge(&world)), (12, 0, 0));
        show_all(&world, &mut views);
        assert_eq!(counts(&views.judge(&world)), (12, 12, 0));
        // The last one can't be reached: it and the others are wrong about each other.
        impair(&mut world, &mut views, 3, "loss 100%");
        assert_eq!(counts(&views.judge(&world)), (6, 6, 6));
        // Perhaps it can: they may show it.
        impair(&mut world, &mut views, 3, "loss 95%");
        assert_eq!(counts(&views.judge(&world)), (6, 6, 0));
        views.hear(0, &Event::Unreachable(world.nodes[3].id()));
        assert_eq!(counts(&views.judge(&world)), (6, 6, 0));
        // It certainly can.
        impair(&mut world, &mut views, 3, "loss 20%");
        assert_eq!(counts(&views.judge(&world)), (12, 11, 0));
    }

    #[test]
    fn a_node_that_was_shown_is_known_when_its_introducer_is_gone() {
        let mut world = World::new(1);
        for place in 0..3 {
            let targets: &[usize] = if place == 0 { &[] } else { &[0] };
            world.add(place as u64, default_settings(place, targets));
            world.start(place);
        }
        let mut views = Views::new(&world);
        assert_eq!(counts(&views.judge(&world)), (6, 0, 0));
        let first_ended = |views: &mut Views, world: &mut World| {
            world.kill(0);
            views.nodes_changed();
            views.clear(0);
        };
        // They may have heard of each other over the first one, but need not.
        first_ended(&mut views, &mut world);
        assert_eq!(counts(&views.judge(&world)), (0, 0, 0));
        views.hear(1, &Event::Up(world.nodes[2].id()));
        assert_eq!(counts(&views.judge(&world)), (2, 1, 0));
    }

    #[test]
    fn since_when_a_pair_is_connected_is_remembered() {
        let mut world = four();
        let mut views = Views::new(&world);
        show_all(&world, &mut views);
        views.judge(&world);
        assert_eq!(views.reach().since(0, 3), Duration::ZERO);
        impair(&mut world, &mut views, 3, "loss 100%");
        views.judge(&world);
        while world.step(Duration::from_secs(1)) {}
        impair(&mut world, &mut views, 3, "delay 1ms");
        views.judge(&world);
        assert_eq!(views.reach().since(0, 3), Duration::from_secs(1));
        assert_eq!(views.reach().since(0, 2), Duration::ZERO);
    }
}
