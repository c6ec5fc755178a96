//! That runs repeat, and what networks do in them.

use area_net::sim::{Play, Report, report, run};

use crate::{play, scenario};

#[test]
fn constants_are_varied_at_both_fidelities_and_named_in_the_report() {
    // All nodes dial at once, where the higher ids otherwise wait for the lower ones.
    let tuning = "[tuning]\n\"overlay.courtesy\" = \"0s\"\n\"pace.small\" = 64\n";
    for fidelity in ["core", "whole"] {
        let plain = format!(
            "nodes = 6\nseed = 3\nintroduction = \"star\"\nlasts = \"5s\"\nfidelity = \"{fidelity}\"\n"
        );
        let (before, after) = (play(&plain), play(&format!("{plain}{tuning}")));
        assert!(after.traffic.dials > before.traffic.dials, "{fidelity}");
        let json = report::json::render(&after);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let named = serde_json::json!({"overlay.courtesy": "0s", "pace.small": 64});
        assert_eq!(json["tuning"], named);
        assert!(!report::json::render(&before).contains("tuning"));
    }
}

const THIRD: &str = "nodes = 30\nlasts = \"60s\"\n[[step]]\nat = \"40s\"\nkill = \"30%\"\n";

#[test]
fn the_same_seed_gives_the_same_report_to_the_byte() {
    let text = format!("links = \"delay 10ms..50ms 3ms loss 3%\"\n{THIRD}");
    let (one, other) = (play(&text), play(&text));
    assert_eq!(report::json::render(&one), report::json::render(&other));
    assert_eq!(report::html::render(&one), report::html::render(&other));
    let another = play(&format!("seed = 2\n{text}"));
    assert_ne!(report::json::render(&one), report::json::render(&another));
}

#[test]
fn the_same_seed_gives_the_same_report_on_any_number_of_threads() {
    let scenario = scenario(
        "nodes = 60\nlasts = \"40s\"\nlinks = \"delay 10ms..50ms 3ms loss 3% duplicate 2%\"\n\
         [[step]]\nat = \"10s\"\nkill = \"20%\"\n[[step]]\nat = \"15s\"\npartition = [\"0..25\"]\n\
         [[step]]\nat = \"20s\"\nleave = \"any 3\"\n[[step]]\nat = \"25s\"\nheal = true\n\
         [[step]]\nat = \"30s\"\nstart = \"down\"\n",
    );
    let on = |threads| {
        let mut play = Play::new(&scenario);
        play.world.set_threads(threads);
        let (ended, measure, world) = play.run(|_| true);
        let report = Report::new(&scenario, &ended, &measure, &world);
        assert_eq!(report.ended, "done", "{:?}", report.violation);
        report::json::render(&report) + &report::html::render(&report)
    };
    let one = on(1);
    for threads in [2, 4] {
        assert!(on(threads) == one, "{threads} threads make a difference");
    }
}

#[test]
fn a_third_dies_and_the_others_know_within_seconds() {
    let report = play(THIRD);
    assert_eq!(report.at_end.up, 21);
    assert!((report.at_end.exact - 1.0).abs() < 1e-9);
    assert_eq!(report.gone.count, 9);
    assert!(report.gone.max_ms < 8000.0, "{:?}", report.gone);
    assert_eq!((report.false_downs, report.still_shown), (0, 0));
    let killed = &report.events[1];
    assert_eq!(killed.what, "kill 30%");
    assert!(killed.all_exact_after_ms.unwrap() < 15_000.0);
    assert!(report.degree.max <= 16);
}

/// They know where all others were, and nine tenths of these are dead.
#[test]
fn the_few_that_survive_find_each_other() {
    for seed in 1..=2 {
        let report = play(&format!(
            "nodes = 150\nseed = {seed}\nlasts = \"60s\"\n[[step]]\nat = \"25s\"\nkill = \"90%\""
        ));
        let killed = &report.events[1];
        let after = killed.all_known_after_ms.expect("they find each other");
        assert!(after < 15_000.0, "seed {seed}: {after} ms");
    }
}

#[test]
fn on_lossy_links_none_is_lost_and_little_is_said_of_them() {
    for seed in 1..=2 {
        let report = play(&format!(
            "nodes = 60\nlinks = \"delay 10ms..50ms loss 10%\"\nlasts = \"60s\"\nseed = {seed}"
        ));
        assert_eq!(report.false_downs, 0);
        // Many are given up, as they are too many, and the words that lead to it are lost as well.
        assert_eq!(report.links_lost, 0);
        let idle = report.traffic.idle_bytes_per_s.expect("it came to rest");
        // Up to 512 of them are figures.
        assert!(idle < 1200.0, "{idle} bytes a node a second");
    }
}

#[test]
fn liars_are_seen_through_and_the_views_of_the_others_stay_right() {
    for seed in 1..=3 {
        let report = play(&format!(
            "nodes = 40\nseed = {seed}\nlasts = \"150s\"\n[[step]]\nat = \"40s\"\nlie = \"15%\"\n\
             [[step]]\nat = \"60s\"\nkill = \"any 3\"\n[[step]]\nat = \"100s\"\nhonest = \"all\""
        ));
        assert_eq!((report.false_downs, report.still_shown), (0, 0));
        for (event, what) in report.events.iter().zip(["start", "lie", "kill", "honest"]) {
            assert!(event.what.starts_with(what), "{}", event.what);
            // Links come and go where nodes lie, so views are exact now and then; for good once all are honest.
            let exact = match what {
                "lie" | "kill" => event.all_exact_after_ms,
                _ => event.stays_exact_after_ms,
            };
            assert!(exact.is_some(), "{event:?}");
        }
        assert!((report.at_end.exact - 1.0).abs() < 1e-9);
    }
}

#[test]
fn a_partition_shows_as_two_networks_and_heals() {
    let report = play(
        "nodes = 24\nlasts = \"3min\"\n[[step]]\nat = \"40s\"\npartition = [\"0..12\"]\n\
         [[step]]\nat = \"100s\"\nheal = true\n",
    );
    assert!(
        report.events[1].all_known_after_ms.is_some(),
        "{:?}",
        report.events
    );
    // What is for the other side is not sent over and over: whole nodes, with QUIC's real senders, send as much.
    let cut = report.events[1].sent_until_exact.expect("views were exact");
    assert!(cut.mean < 300_000.0, "{cut:?}");
    let heal = &report.events[2];
    assert!(heal.all_exact_after_ms.is_some(), "{heal:?}");
    // Each half lacked the records of the other one, and nothing else.
    let record = heal.lacked_bytes_a_node / 12.0;
    assert!((200.0..1000.0).contains(&record), "{record} bytes");
    assert!(report.events[1].lacked_bytes_a_node.abs() < 1e-9);
    let (exact, stays) = heal
        .sent_until_exact
        .zip(heal.sent_until_it_stays)
        .expect("views were exact");
    assert!(exact.mean > heal.lacked_bytes_a_node, "{heal:?}");
    assert!(exact.mean <= stays.mean && exact.most <= stays.most);
    assert!(stays.mean <= stays.most as f64, "{heal:?}");
}

#[test]
fn nodes_stop_go_on_leave_restart_and_come_and_go() {
    let report = play(
        "nodes = 20\nlasts = \"4min\"\nclocks = \"1h\"\n[[step]]\nat = \"40s\"\nstop = \"any 2\"\n\
         [[step]]\nat = \"60s\"\ncontinue = \"all\"\n[[step]]\nat = \"80s\"\nleave = \"3\"\n\
         [[step]]\nat = \"100s\"\nstart = \"down\"\n[[step]]\nat = \"120s\"\nrestart = \"50%\"\n\
         [churn]\nper_min = 20.0\nfrom = \"140s\"\nuntil = \"180s\"\n",
    );
    assert_eq!(report.at_end.up, 20);
    assert!(
        (report.at_end.exact - 1.0).abs() < 1e-9,
        "{:?}",
        report.at_end
    );
}

#[test]
fn the_new_delay_of_a_link_is_shown_by_all() {
    let report = play(
        "nodes = 40\nlinks = \"delay 10ms\"\nlasts = \"60s\"\n\
         [[step]]\nat = \"20s\"\non = [\"3-all\"]\nnetem = \"delay 50ms\"\n\
         [[step]]\nat = \"50s\"\non = [\"3-all\"]\nnetem = \"delay 50ms\"",
    );
    let after = report.events[1].delays_shown_after_ms.expect("all show it");
    assert!(after > 100.0, "{after}");
    assert_eq!(
        report.events[2].delays_shown_after_ms, None,
        "nothing changed"
    );
}

/// Links come back while others are being dialed in their place. The fuzz found it.
#[test]
fn the_cap_holds_when_a_split_network_heals() {
    for (seed, start, split_ms, heal_ms) in [
        (
            915,
            "nodes = 27\nintroduction = \"random 1\"\nlinks = \"delay 10ms..50ms\"",
            60_000,
            65_281,
        ),
        (
            925,
            "nodes = 26\nintroduction = \"chain\"\nlinks = \"delay 20ms\"",
            82_075,
            90_277,
        ),
    ] {
        play(&format!(
            "seed = {seed}\n{start}\nlasts = \"110s\"\n\
             [[step]]\nat = \"{split_ms}ms\"\npartition = [\"30%\", \"30%\"]\n\
             [[step]]\nat = \"{heal_ms}ms\"\nheal = true"
        ));
    }
}

/// Where the parts of a split network meet, each remembers the other as it was: the links of those that died or left since among them.
/// The fuzz found it, too.
#[test]
fn who_left_a_split_network_is_not_shown_when_it_heals() {
    for seed in [937, 1, 2, 3] {
        play(&format!(
            "seed = {seed}\nnodes = 5\nintroduction = \"chain\"\nlinks = \"delay 20ms\"\nlasts = \"130s\"\n\
             [[step]]\nat = \"60s\"\npartition = [\"30%\", \"30%\"]\n\
             [[step]]\nat = \"86978ms\"\nleave = \"46%\"\n\
             [[step]]\nat = \"112622ms\"\nheal = true"
        ));
    }
}

/// Where nodes come without a pause, that is no start any more, in which those that are there would wait with their links.
#[test]
fn nodes_make_their_links_where_others_come_all_the_time() {
    let report = play("nodes = 160\nstart_over = \"32s\"\nlasts = \"32s\"");
    let (median, p99) = (report.degree.median, report.degree.p99);
    assert!(p99 * 2 < median * 3, "{:?}", report.degree);
}

#[test]
fn a_run_that_is_interrupted_reports_what_ran() {
    let scenario = scenario("nodes = 20\nlasts = \"1h\"");
    let mut spells = 0;
    let report = run(&scenario, |_| {
        spells += 1;
        spells < 5
    });
    assert_eq!(report.ended, "interrupted");
    assert!(report.ran_ms > 0.0 && report.ran_ms < 3_600_000.0);
    assert!(report::summary::render(&report).contains("20 nodes"));
}

#[test]
fn five_nodes_at_rest_send_about_what_real_ones_do() {
    // `cargo run -p area-net-lab --release -- network` measures 424 bytes a node a second on loopback.
    let report = play("nodes = 5\nlinks = \"delay 100us\"\nlasts = \"3min\"\n");
    let idle = report.traffic.idle_bytes_per_s.expect("there is rest");
    assert!((300.0..550.0).contains(&idle), "{idle}");
}
