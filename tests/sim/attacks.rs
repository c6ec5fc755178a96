//! Attacks of Byzantine nodes, and what they cost honest ones.
//!
//! In each scenario an honest node is killed and a new one starts while the attack goes on.

use area_net::sim::attack::Kind;
use area_net::sim::report::TollReport;
use area_net::sim::{Play, Report, report};

use crate::{flags, play, scenario};

/// Plays a scenario in which one node dies 10 s after the attack began, and a new one starts 10 s later. The attack ends after 30 s.
fn attacked(nodes: usize, attack: &str) -> Report {
    let new = nodes - 1;
    play(&format!(
        "nodes = {nodes}\nintroduction = \"star\"\nabsent = \"{new}\"\nlasts = \"70s\"\n\
         [[byzantine]]\nfrom = \"10s\"\nuntil = \"40s\"\n{attack}\n\
         [[step]]\nat = \"20s\"\nkill = \"1\"\n[[step]]\nat = \"30s\"\nstart = \"{new}\"\n"
    ))
}

fn toll(report: &Report) -> &TollReport {
    report.attacks.as_ref().expect("there is an attack")
}

/// The counters that name the neighbour which brought something, though it may only have passed it on.
const PASSED_ON: [&str; 4] = [
    "claims_over_limit",
    "database_full",
    "figures_turned_away",
    "records_turned_away",
];

/// The honest nodes are as they are without an attack: none is shown as down, none loses a link, a death and a newcomer are known
/// as soon as ever, and in the end all views are equal.
fn is_withstood(report: &Report) {
    assert_eq!(toll(report).links_lost, 0, "{:?}", toll(report).attacks);
    views_are_right(report);
}

/// The same, where an attacker may cost a node links that it can do without.
fn views_are_right(report: &Report) {
    let toll = toll(report);
    let what = &toll.attacks;
    assert_eq!(report.false_downs, 0, "{what:?}");
    assert!(report.gone.max_ms < 4000.0, "{what:?}: {:?}", report.gone);
    let new = report
        .events
        .iter()
        .find(|it| it.what.starts_with("start ") && it.at_ms > 0.0);
    let known = new.and_then(|new| new.all_known_after_ms);
    assert!(known.is_some_and(|ms| ms < 2000.0), "{what:?}: {known:?}");
    // Honest nodes pass on what the attacker signs, and what is not taken of that is counted; but none loses its link for it.
    for (what, blame) in &toll.rejected {
        let is_counted = PASSED_ON.contains(&what.as_str()) || blame.honest == 0;
        assert!(is_counted, "{what}: {toll:?}");
    }
    assert!((report.at_end.exact - 1.0).abs() < 1e-9, "{what:?}");
    assert_eq!(toll.views_at_end, 1, "{what:?}");
}

/// Plays the attack against five nodes, which are a full mesh, and against more.
fn withstands(attack: &str) -> [Report; 2] {
    let reports = [5, 24].map(|nodes| attacked(nodes, attack));
    for report in &reports {
        is_withstood(report);
    }
    reports
}

#[test]
fn invented_nodes_harm_no_honest_one() {
    withstands("attack = \"sybil\"\nids = 1000");
}

/// The same without a newcomer: all nodes know the network when the attack begins.
fn attacked_when_settled(nodes: usize, attack: &str) -> Report {
    play(&format!(
        "nodes = {nodes}\nintroduction = \"star\"\nlasts = \"70s\"\n\
         [[byzantine]]\nfrom = \"10s\"\nuntil = \"40s\"\n{attack}\n[[step]]\nat = \"20s\"\nkill = \"1\"\n"
    ))
}

#[test]
fn a_node_can_add_few_that_nobody_else_has_a_link_with() {
    for nodes in [5, 24] {
        for attack in ["sybil\"\nids = 1000", "evict\"\nids = 300\nrate = 50"] {
            let report = attacked_when_settled(nodes, &format!("attack = \"{attack}"));
            let toll = toll(&report);
            // What a member that was closed claimed may be shown for a moment beside what it claims under its next name.
            assert!(toll.invented.most <= 2 * 64, "{attack}: {toll:?}");
            assert_eq!(toll.links_lost, 0, "{attack}: {toll:?}");
            assert_eq!(report.false_downs, 0, "{attack}: {toll:?}");
            assert!(report.gone.max_ms < 4000.0, "{attack}: {:?}", report.gone);
        }
    }
}

#[test]
fn floods_of_new_records_harm_no_honest_node() {
    withstands("attack = \"flood\"");
}

#[test]
fn who_floods_is_closed_and_kept_out() {
    for report in withstands("attack = \"flood\"\nrate = 5000") {
        let rejected = &toll(&report).rejected;
        assert!(rejected["over_limit"].byzantine > 0, "{rejected:?}");
        assert!(rejected["kept_out"].byzantine > 0, "{rejected:?}");
        // A second, and then twice as long each time: of the 30 s of the attack, each neighbour hears it in less than half.
        let heard = toll(&report).load.received_bytes;
        assert!(heard.mean < 400_000.0, "{heard:?}");
    }
}

#[test]
fn large_records_harm_no_honest_node() {
    withstands("attack = \"evict\"\nids = 300\nrate = 50");
}

#[test]
fn claims_of_large_records_are_passed_on_at_a_bounded_rate() {
    let (a_second, record) = (16.0, 2048.0);
    for report in withstands("attack = \"evict\"\nids = 300\nrate = 50") {
        let sent = toll(&report).load.sent_bytes;
        let neighbours = report.degree.max as f64;
        assert!(sent.most < neighbours * a_second * record, "{sent:?}");
    }
}

#[test]
fn rounds_without_end_cost_what_a_neighbour_may_ask_for() {
    for report in withstands("attack = \"rounds\"") {
        // Each neighbour of the attacker sends it all records seven times a second, and what versions it has.
        let sent = toll(&report).load.sent_bytes;
        assert!(sent.most < 200_000.0, "{sent:?}");
    }
}

#[test]
fn suspicions_without_end_delay_no_verdict() {
    withstands("attack = \"suspect\"");
    withstands("attack = \"suspect\"\nrate = 50");
}

#[test]
fn a_node_that_goes_on_listing_the_dead_keeps_none_in_view() {
    for nodes in [5, 24] {
        let report = attacked(nodes, "attack = \"haunt\"");
        assert_eq!((report.false_downs, toll(&report).links_lost), (0, 0));
        // Five seconds more than a death that nobody lies about.
        assert!(report.gone.max_ms < 8000.0, "{:?}", report.gone);
    }
}

/// It starts after the death, and before others have given the dead node up, so it never sees a neighbour withdraw its link.
#[test]
fn a_newcomer_is_told_of_the_dead_for_some_seconds_only() {
    for start in [14, 17] {
        let report = play(&format!(
            "nodes = 7\nintroduction = \"star\"\nabsent = \"5\"\nlasts = \"60s\"\n\
             [bounds]\ngone = \"18s\"\n[[byzantine]]\nfrom = \"5s\"\nattack = \"haunt\"\n\
             [[step]]\nat = \"12s\"\nkill = \"3\"\n[[step]]\nat = \"{start}s\"\nstart = \"5\"\n"
        ));
        assert_eq!((report.false_downs, report.still_shown), (0, 0));
        // It waits 5 s for a sign of life.
        let since_start = report.gone.max_ms - f64::from(start - 12) * 1000.0;
        assert!(since_start < 6000.0, "{since_start} ms");
    }
}

#[test]
fn many_joins_hide_no_honest_node() {
    for nodes in [5, 24] {
        let report = attacked(nodes, "attack = \"joins\"\nids = 2000\nvictim = 0");
        assert_eq!(report.false_downs, 0);
        assert_eq!(toll(&report).invented.at_end, 0);
        assert!((report.at_end.exact - 1.0).abs() < 1e-9);
    }
}

#[test]
fn many_joins_keep_nobody_out_and_cost_the_ring_no_link() {
    for nodes in [5, 24] {
        let report = attacked(nodes, "attack = \"joins\"\nids = 2000\nvictim = 0");
        views_are_right(&report);
        assert!(toll(&report).least_links.is_some_and(|least| least >= 2));
    }
}

#[test]
fn links_that_come_and_go_harm_no_honest_node() {
    withstands("attack = \"flap\"\nrate = 100");
}

#[test]
fn links_that_come_and_go_are_damped_at_the_first_neighbour() {
    for report in withstands("attack = \"flap\"\nrate = 100") {
        // A hundred a second at the neighbour, of eight identities. Others hear of each about once a second.
        let new = toll(&report).load.new_records;
        assert!(new.mean < 16.0, "{new:?}");
    }
}

#[test]
fn a_foreign_address_harms_no_honest_node() {
    withstands("attack = \"address\"\nids = 200");
}

#[test]
fn a_foreign_address_is_dialed_once_a_second_by_all_together() {
    // The attack lasts 30 s. Before others claim the address too, it is one stranger's, and each node that wants a link dials.
    for report in withstands("attack = \"address\"\nids = 200") {
        let stray = toll(&report).stray;
        assert!(stray.initials <= 30, "{stray:?}");
        assert!(stray.most_initials_per_s <= 4, "{stray:?}");
    }
}

#[test]
fn false_observations_harm_no_honest_node() {
    withstands("attack = \"observe\"");
    withstands("attack = \"observe\"\nnodes = 2");
}

#[test]
fn one_false_observation_adds_no_address() {
    for report in withstands("attack = \"observe\"") {
        assert_eq!(toll(&report).false_addrs, 0);
    }
}

#[test]
fn false_figures_change_none_of_links_between_others() {
    for report in withstands("attack = \"figures\"") {
        let figures = &report.figures.at_end;
        for tally in [&figures.own, &figures.others] {
            assert!(tally.error_percent.max < 10.0, "{tally:?}");
        }
    }
}

#[test]
fn the_last_epoch_is_followed_by_nobody() {
    for report in withstands("attack = \"epoch\"") {
        assert_eq!(toll(&report).epoch_ahead_ms, 0);
    }
}

#[test]
fn old_records_change_nothing() {
    withstands("attack = \"replay\"");
}

#[test]
fn a_node_that_passes_nothing_on_delays_nothing() {
    withstands("attack = \"mute\"");
    // Where many are mute, others bring what they do not.
    let report = attacked(24, "attack = \"mute\"\nnodes = 8");
    is_withstood(&report);
}

const ECLIPSE: &str = "attack = \"eclipse\"\nids = 300\nvictim = 0\nrate = 200";

#[test]
fn views_are_right_again_once_slots_are_given_back() {
    for nodes in [5, 24] {
        let report = attacked(nodes, ECLIPSE);
        assert!((report.at_end.exact - 1.0).abs() < 1e-9);
        assert_eq!(toll(&report).views_at_end, 1);
    }
}

#[test]
fn the_ring_and_the_oldest_links_of_a_node_whose_slots_are_taken_stay() {
    let report = attacked(5, ECLIPSE);
    is_withstood(&report);
    assert!(toll(&report).least_links.is_some_and(|least| least >= 2));
}

/// It gives up links beyond its ring and its oldest ones, and the nodes at their other ends have others.
#[test]
fn a_hub_whose_slots_are_taken_is_no_less_known() {
    let report = attacked(24, ECLIPSE);
    views_are_right(&report);
    assert!(toll(&report).least_links.is_some_and(|least| least >= 1));
}

#[test]
fn of_two_records_under_one_version_all_keep_the_same() {
    for report in withstands("attack = \"twoface\"") {
        assert!(toll(&report).rejected["two_bodies"].byzantine > 0);
    }
}

#[test]
fn every_attack_is_a_flag_as_well() {
    use area_net::sim::parse::{read, read_text, toml_of_flags};
    let attacks = flags(|flags| {
        flags.attack = vec![
            "sybil:ids=50,from=5s,rate=10.5".to_owned(),
            "eclipse:victim=3,nodes=2,until=40s".to_owned(),
            "observe:addr=192.0.2.1:53".to_owned(),
        ];
    });
    let read = read(None, &attacks).unwrap();
    let [sybil, eclipse, observe] = &read.byzantine[..] else {
        panic!("{:?}", read.byzantine);
    };
    assert_eq!((sybil.kind, sybil.ids, sybil.nodes), (Kind::Sybil, 50, 1));
    assert!((sybil.rate - 10.5).abs() < 1e-9);
    assert_eq!((eclipse.kind, eclipse.victim), (Kind::Eclipse, 3));
    assert_eq!((eclipse.nodes, eclipse.until.as_secs()), (2, 40));
    assert_eq!(observe.addr.to_string(), "192.0.2.1:53");
    assert_eq!(read.places(), read.nodes + 4);
    let text = toml_of_flags(&attacks);
    assert_eq!(
        read_text("x.toml", &text).unwrap().byzantine,
        read.byzantine
    );
}

#[test]
fn a_wrong_attack_is_refused_with_its_place() {
    use area_net::sim::parse::read_text;
    for (text, what) in [
        (
            "attack = \"sibyl\"",
            "unknown attack `sibyl`; did you mean `sybil`? (valid: ",
        ),
        (
            "attack = \"rounds\"\nids = 5",
            "the attack rounds needs no further identities",
        ),
        (
            "attack = \"sybil\"\nids = 0",
            "ids must be from 1 to 65536, not 0",
        ),
        (
            "attack = \"sybil\"\nvictim = 1",
            "the attack sybil is not directed at one node",
        ),
        (
            "attack = \"flap\"\nvictim = 9",
            "there is no node 9: they are 0 to 4",
        ),
        (
            "attack = \"mute\"\naddr = \"[::1]:1\"",
            "the attack mute names no address",
        ),
        (
            "attack = \"observe\"\naddr = \"::1\"",
            "`::1` is not an address with a port",
        ),
        (
            "attack = \"mute\"\nfrom = \"2min\"",
            "an attack from 120s until 60s never happens",
        ),
        (
            "attack = \"mute\"\nrate = -1.0",
            "rate (prunes of each neighbour a second) must be from 0 to 1e6",
        ),
        ("attack = \"mute\"\nspeed = 1", "unknown word `speed`"),
    ] {
        let text = format!("nodes = 5\nlasts = \"60s\"\n[[byzantine]]\n{text}\n");
        let error = read_text("x.toml", &text).expect_err(&text).to_string();
        assert!(error.contains(what), "{error}");
    }
    let whole = "nodes = 5\nfidelity = \"whole\"\n[[byzantine]]\nattack = \"mute\"\n";
    let error = read_text("x.toml", whole).expect_err(whole).to_string();
    assert_eq!(
        error,
        "x.toml, line 3: attacks need fidelity core: whole nodes can't be Byzantine"
    );
}

#[test]
fn attacks_repeat_on_any_number_of_threads() {
    let scenario = scenario(
        "nodes = 60\nlasts = \"20s\"\n\
         byzantine = [{ attack = \"sybil\", ids = 200, from = \"8s\" }, { attack = \"joins\", ids = 200, from = \"5s\" }]\n\
         [[step]]\nat = \"10s\"\nkill = \"20%\"\n",
    );
    let on = |threads| {
        let mut play = Play::new(&scenario);
        play.world.set_threads(threads);
        let (ended, measure, world) = play.run(|_| true);
        report::json::render(&Report::new(&scenario, &ended, &measure, &world))
    };
    let one = on(1);
    for threads in [2, 4] {
        assert!(on(threads) == one, "{threads} threads make a difference");
    }
}

/// Every message is encoded and decoded, and every node verifies every signature by itself.
#[test]
fn attackers_send_only_what_the_wire_allows() {
    for attack in [
        "sybil\"\nids = 100",
        "flood\"\nrate = 50.0",
        "evict\"\nids = 20",
        "rounds\"",
        "suspect\"",
        "joins\"\nids = 100",
        "flap\"",
        "address\"\nids = 20",
        "observe\"",
        "figures\"",
        "epoch\"",
        "replay\"",
        "mute\"",
        "eclipse\"\nids = 50",
        "twoface\"",
    ] {
        let scenario = scenario(&format!(
            "nodes = 5\nlasts = \"8s\"\n[[byzantine]]\nfrom = \"4s\"\nattack = \"{attack}\n"
        ));
        let mut play = Play::new(&scenario);
        play.world.encoded = true;
        let (ended, measure, world) = play.run(|_| true);
        let report = Report::new(&scenario, &ended, &measure, &world);
        assert_eq!(report.violation, None, "{attack}");
        let rejected = &toll(&report).rejected;
        let broken = ["forged_record", "protocol_violation", "bad_hello"];
        assert!(
            broken.iter().all(|name| !rejected.contains_key(*name)),
            "{attack}: {rejected:?}"
        );
    }
}
