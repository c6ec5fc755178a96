//! The whole node, with quinn and all, over a simulated network in virtual time. No real socket, clock or entropy has a part
//! in what the nodes do, but for TLS, whose random bytes change no length and no time: a scenario repeats from its seed.

#[cfg(test)]
#[path = "whole_node/impaired.rs"]
mod impaired;
#[cfg(test)]
#[path = "whole_node/net.rs"]
mod net;
#[cfg(test)]
#[path = "whole_node/world.rs"]
mod world;

use std::time::Duration;

use area_net::snapshot::NodeState;

use net::Weather;
use world::{FIVE, NAMES, Start, World, addr, addrs, id, simulate};

#[test]
fn five_profiles_are_aware_within_a_second() {
    for seed in 1..=5 {
        simulate(seed, async |world| {
            world.start_five();
            world.until_exact(1000).await;
            // The round-trip times are those of the paths: 2 ms each way, and timers of 1 ms.
            world.pass(5000).await;
            world.nobody_was_down_since(Duration::from_secs(1));
            for name in NAMES {
                let snapshot = world.snapshot(name).await;
                for link in &snapshot.links {
                    let rtt_us = link.rtt_us.unwrap();
                    assert!((4000..=8000).contains(&rtt_us), "seed {seed}: {rtt_us}");
                    assert_eq!((link.loss_permille, link.suspect), (0, false));
                }
                assert_eq!(snapshot.rejected.0, [], "seed {seed}");
            }
        });
    }
}

#[test]
fn a_rough_network_is_learned_all_the_same() {
    simulate(11, async |world| {
        world.net.set_weather(Weather {
            delay_ms: 30,
            jitter_ms: 20,
            loss: 0.05,
            duplicate: 0.1,
            reorder: 0.1,
        });
        world.start_five();
        world.until_exact(5000).await;
        let since = world.now();
        world.pass(60_000).await;
        world.nobody_was_down_since(since);
        world.net.set_weather(Weather::CLEAR);
        world.until_exact(5000).await;
    });
}

#[test]
fn a_killed_node_is_gone_within_three_seconds() {
    for seed in 20..=24 {
        simulate(seed, async |world| {
            world.start_five();
            world.until_exact(1000).await;
            world.pass(10_000 + seed * 137).await;
            world.kill("alice");
            world
                .until(3000, "nobody shows alice as up", |world| {
                    world
                        .views()
                        .iter()
                        .all(|view| view.nodes.get("alice") == Some(&NodeState::Unreachable))
                })
                .await;
            world.until_exact(200).await;
            // The others never doubted each other.
            let since = world.now();
            world.pass(30_000).await;
            for (name, at, view) in world.shown_since(since) {
                assert_eq!(view.up().len(), 4, "seed {seed}: {name} at {at:?}");
            }
        });
    }
}

#[test]
fn a_restarted_node_is_listed_again_and_its_old_connections_are_reset() {
    for (seed, name) in [(30, "alice"), (31, "bob"), (32, "erin")] {
        simulate(seed, async |world| {
            world.start_five();
            world.until_exact(1000).await;
            world.pass(10_000).await;
            world.log.clear();
            world.kill(name);
            world.pass(100).await;
            let (_, targets) = FIVE.into_iter().find(|(who, _)| *who == name).unwrap();
            world.start_with_targets(name, targets);
            if targets.is_empty() {
                // Whoever had a link with her is reset at the next probe, and dials her.
                world.until_exact(2200).await;
                assert!(world.log.count("the peer was restarted") > 0);
            } else {
                world.until_exact(1000).await;
            }
            assert_eq!(world.log.count("no answer to any probe"), 0);
            let since = world.now();
            world.pass(20_000).await;
            world.nobody_was_down_since(since);
        });
    }
}

#[test]
fn a_node_that_was_away_for_long_is_listed_again() {
    simulate(35, async |world| {
        world.start_five();
        world.until_exact(1000).await;
        world.kill("dave");
        world.pass(120_000).await;
        world.start_with_targets("dave", &["alice"]);
        world.until_exact(1000).await;
    });
}

#[test]
fn a_leaver_is_shown_as_such_within_200_ms() {
    simulate(40, async |world| {
        world.start_five();
        world.until_exact(1000).await;
        world.pass(7_300).await;
        let since = world.now();
        world.leave("dave").await;
        assert!(world.now() - since < Duration::from_secs(1));
        for name in ["alice", "bob", "carol", "erin"] {
            let history = world.history(name);
            let left = history
                .iter()
                .find(|(_, view)| view.nodes.get("dave") == Some(&NodeState::Left));
            let (at, _) = left.unwrap();
            assert!(*at - since <= Duration::from_millis(200), "{name}: {at:?}");
            // It never passed for unreachable.
            let mut after = history.iter().filter(|(at, _)| *at >= since);
            assert!(after.all(|(_, view)| view.nodes["dave"] != NodeState::Unreachable));
        }
        world.until_exact(300).await;
        // And it is welcome back.
        world.start_with_targets("dave", &["alice"]);
        world.until_exact(1000).await;
    });
}

#[test]
fn a_fifth_lost_each_way_for_five_minutes_takes_nobody_down() {
    simulate(50, async |world| {
        world.start_five();
        world.until_exact(1000).await;
        world.pass(20_000).await;
        world.net.set_weather(Weather {
            delay_ms: 10,
            jitter_ms: 5,
            loss: 0.2,
            ..Weather::CLEAR
        });
        let since = world.now();
        world.pass(300_000).await;
        world.nobody_was_down_since(since);
        world.net.set_weather(Weather::CLEAR);
        world.until_exact(60_000).await;
    });
}

#[test]
fn a_network_starts_with_a_fifth_lost_each_way() {
    simulate(55, async |world| {
        world.net.set_weather(Weather {
            delay_ms: 10,
            loss: 0.2,
            ..Weather::CLEAR
        });
        world.start_five();
        world.until_exact(20_000).await;
    });
}

#[test]
fn a_partition_shows_as_one_and_heals() {
    for seed in [60, 61, 3023] {
        simulate(seed, async |world| {
            world.start_five();
            world.until_exact(1000).await;
            world.pass(5000).await;
            let (west, east) = (["alice", "bob"], ["carol", "dave", "erin"]);
            world.net.split(&[addrs(&west), addrs(&east)]);
            world
                .until(3500, "each part shows itself", |world| {
                    world.agree_on(&west) && world.agree_on(&east)
                })
                .await;
            let since = world.now();
            world.pass(60_000).await;
            for (name, at, view) in world.shown_since(since) {
                let own: &[&str] = if west.contains(&name) { &west } else { &east };
                assert!(view.is_full_mesh_of(own), "seed {seed}: {name} at {at:?}");
                assert_eq!(view.nodes.len(), 5, "the others are remembered");
            }
            world.net.mend();
            world.until_exact(10_000).await;
        });
    }
}

#[test]
fn a_node_that_lost_every_link_is_cut_off_and_says_so() {
    simulate(65, async |world| {
        world.start_five();
        world.until_exact(1000).await;
        world.pass(5000).await;
        world
            .net
            .split(&[addrs(&["carol"]), addrs(&["alice", "bob", "dave", "erin"])]);
        world
            .until(3500, "carol says that she is cut off", |world| {
                world.view("carol").cut_off
            })
            .await;
        world.pass(10_000).await;
        assert!(world.views().iter().filter(|view| view.cut_off).count() == 1);
        world.net.mend();
        world.until_exact(10_000).await;
    });
}

#[test]
fn one_dead_direction_takes_a_link_and_no_node() {
    simulate(70, async |world| {
        world.start_five();
        world.until_exact(1000).await;
        world.pass(20_000).await;
        let since = world.now();
        world.net.break_direction(addr("alice"), addr("bob"));
        world
            .until(5000, "nobody lists the link", |world| {
                world
                    .views()
                    .iter()
                    .all(|view| !view.has_link("alice", "bob") && view.links.len() == 9)
            })
            .await;
        world.pass(60_000).await;
        world.nobody_was_down_since(since);
        assert!(!world.views()[0].has_link("alice", "bob"));
        world.net.mend();
        world.until_exact(70_000).await;
        world.nobody_was_down_since(since);
    });
}

#[test]
fn two_networks_never_merge() {
    simulate(80, async |world| {
        world.start_with_targets("alice", &["bob", "mallory"]);
        world.start_with_targets("bob", &["alice"]);
        world.start(
            "mallory",
            Start {
                network: Some("another"),
                targets: addrs(&["alice", "bob"]),
                ..Start::default()
            },
        );
        world.pass(60_000).await;
        for (name, at, view) in world.shown_since(Duration::ZERO) {
            let among_us = !view.nodes.contains_key("mallory");
            let alone = view.nodes.len() == 1;
            assert!(if name == "mallory" { alone } else { among_us }, "{at:?}");
        }
        assert!(world.agree_on(&["alice", "bob"]));
        let rejected = &world.snapshot("alice").await.rejected.0;
        assert!(
            rejected.iter().any(|(what, _)| *what == "handshake_failed"),
            "{rejected:?}"
        );
    });
}

#[test]
fn an_allow_list_closes_the_door_both_ways() {
    simulate(85, async |world| {
        world.start(
            "alice",
            Start {
                allow: vec![id("bob")],
                targets: addrs(&["mallory"]),
                ..Start::default()
            },
        );
        world.start_with_targets("bob", &["alice"]);
        world.start_with_targets("carol", &["alice", "bob"]);
        world.start_with_targets("mallory", &["alice"]);
        world.pass(30_000).await;
        for (name, at, view) in world.shown_since(Duration::ZERO) {
            assert!(!view.has_link("alice", "carol"), "{name} at {at:?}");
            assert!(!view.has_link("alice", "mallory"), "{name} at {at:?}");
        }
        // Alice knows of carol through bob, and has her only link with him.
        let view = world.view("alice");
        assert_eq!(
            view.up().into_iter().collect::<Vec<_>>(),
            ["alice", "bob", "carol"]
        );
        assert!(view.has_link("alice", "bob") && view.has_link("bob", "carol"));
        assert_eq!(world.view("mallory").nodes.len(), 1);
    });
}

#[test]
fn a_node_whose_clock_went_back_an_hour_is_believed() {
    simulate(90, async |world| {
        world.start_five();
        world.until_exact(1000).await;
        world.pass(5000).await;
        world.kill("dave");
        world.pass(100).await;
        world.start(
            "dave",
            Start {
                label: Some("dave the second"),
                targets: addrs(&["alice"]),
                behind: Duration::from_secs(3600),
                ..Start::default()
            },
        );
        world
            .until(2500, "everybody has dave's new record", |world| {
                let names = ["alice", "bob", "carol", "dave the second", "erin"];
                world
                    .views()
                    .iter()
                    .all(|view| view.is_full_mesh_of(&names))
            })
            .await;
        let since = world.now();
        world.pass(60_000).await;
        world.nobody_was_down_since(since);
        assert_eq!(world.log.count("IN USE TWICE"), 0);
    });
}

#[test]
fn a_node_that_listens_everywhere_learns_and_publishes_its_address() {
    simulate(95, async |world| {
        let everywhere = |targets: &[&str]| Start {
            everywhere: true,
            targets: addrs(targets),
            ..Start::default()
        };
        world.start("zoe", everywhere(&[]));
        world.start("yara", everywhere(&["zoe"]));
        world.start("xenia", everywhere(&["yara"]));
        world.until_exact(2000).await;
        world.pass(1000).await;
        for viewer in ["zoe", "yara", "xenia"] {
            let snapshot = world.snapshot(viewer).await;
            for node in &snapshot.nodes {
                assert_eq!(
                    node.addrs,
                    [addr(&node.label)],
                    "{viewer} of {}",
                    node.label
                );
            }
        }
    });
}

#[test]
fn a_node_that_is_its_own_target_stops_dialing_itself() {
    simulate(100, async |world| {
        world.start_with_targets("alice", &["alice", "bob"]);
        world.start_with_targets("bob", &[]);
        world.until_exact(1000).await;
        world.pass(5000).await;
        let before = world.net.sent(addr("alice"), addr("alice"));
        assert!(before > 0, "it did try");
        world.pass(60_000).await;
        assert_eq!(world.net.sent(addr("alice"), addr("alice")), before);
        assert_eq!(world.log.count("a target is this node's own address"), 1);
        assert_eq!(world.snapshot("alice").await.rejected.0, []);
        world.nobody_was_down_since(Duration::from_secs(1));
    });
}

/// A node with the key of alice, under another name.
fn copy_of_alice(targets: &[&str]) -> Start {
    Start {
        key: Some("alice"),
        targets: addrs(targets),
        ..Start::default()
    }
}

#[test]
fn two_nodes_with_one_key_that_meet_both_say_so() {
    simulate(102, async |world| {
        world.start_with_targets("alice", &["bob"]);
        world.start_with_targets("bob", &[]);
        world.until_exact(1000).await;
        world.start("copy", copy_of_alice(&["alice"]));
        world.pass(20_000).await;
        assert_eq!(world.log.count("own address"), 0, "another node is there");
        // The copy is told by alice, and alice sees it for herself.
        assert!(world.log.count("IN USE TWICE (seen by [::1]:8090)") > 0);
        let seen_by_alice = format!(" at {})", addr("copy"));
        assert!(world.log.count(&seen_by_alice) > 0);
        let lines = world.log.count("IN USE TWICE");
        assert!(lines <= 6, "{lines} lines, and each may say one in 10 s");
        assert!(world.agree_on(&["alice", "bob"]));
    });
}

#[test]
fn two_nodes_with_one_key_in_two_parts_of_a_network_are_found_out() {
    simulate(103, async |world| {
        let (west, east) = (["alice", "bob"], ["copy", "carol"]);
        world.net.split(&[addrs(&west), addrs(&east)]);
        world.start_with_targets("alice", &["bob"]);
        world.start_with_targets("bob", &[]);
        world.start("copy", copy_of_alice(&["carol"]));
        world.start_with_targets("carol", &["bob"]);
        world.pass(10_000).await;
        world.net.mend();
        world.pass(120_000).await;
        // Both hear of the other's records; the lower run goes silent, and all others agree on whom they mean.
        assert_eq!(world.log.count("this one stops publishing"), 1);
        assert!(world.log.count("stop one of them") > 0);
        let since = world.now();
        world.pass(60_000).await;
        assert_eq!(world.view("bob").nodes, world.view("carol").nodes);
        assert_eq!(world.shown_since(since), [], "it is quiet then");
    });
}

#[test]
fn a_target_that_comes_later_is_found() {
    for away_ms in [500, 10_000, 60_000, 1_200_000] {
        simulate(110, async |world| {
            world.start_with_targets("bob", &["alice", "carol"]);
            world.pass(away_ms).await;
            world.start_with_targets("alice", &[]);
            // After ten minutes without success a target is tried a tenth as often.
            let limit = if away_ms > 600_000 { 60_000 } else { 6000 };
            world.until_exact(limit).await;
        });
    }
}

#[test]
fn a_larger_network_agrees_without_a_full_mesh() {
    const LETTERS: [&str; 18] = [
        "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r",
    ];
    simulate(120, async |world| {
        for (at, name) in LETTERS.into_iter().enumerate() {
            let target = at.checked_sub(1).map(|at| LETTERS[at]);
            world.start_with_targets(name, target.as_slice());
        }
        let all_up = |world: &World| {
            let views = world.views();
            views.iter().all(|view| view.up().len() == LETTERS.len())
        };
        world
            .until(5000, "everybody is up for everybody", all_up)
            .await;
        let since = world.now();
        world.pass(10_000).await;
        world.nobody_was_down_since(since);
        let views = world.views();
        assert!(views.iter().all(|view| view.links == views[0].links));
        let degree = |name: &str| {
            let links = views[0].links.iter();
            links.filter(|(a, b)| a == name || b == name).count()
        };
        for name in LETTERS {
            assert!((4..=16).contains(&degree(name)), "{name}: {}", degree(name));
        }
    });
}

#[test]
fn the_same_seed_shows_the_same_pictures_at_the_same_times() {
    let run = |seed| {
        simulate(seed, async |world| {
            world.net.set_weather(Weather {
                delay_ms: 5,
                jitter_ms: 10,
                loss: 0.1,
                duplicate: 0.05,
                reorder: 0.05,
            });
            world.start_five();
            world.pass(20_000).await;
            world.kill("alice");
            world.pass(10_000).await;
            world.start_with_targets("alice", &[]);
            world.pass(20_000).await;
            NAMES.map(|name| world.history(name))
        })
    };
    let first = run(130);
    assert!(first.iter().all(|history| history.len() > 3));
    assert_eq!(first, run(130));
    assert_ne!(first, run(131), "another seed is another story");
}
