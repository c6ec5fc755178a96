//! Scenario files, good and bad.

use std::path::Path;

use proptest::prelude::*;

use super::super::action::{Action, Step};
use super::super::driver::folder;
use super::super::scenario::Topology;
use super::super::{netem, parse};
use super::{HEAD, bad, good};
use crate::shared::{project, scenarios};

#[test]
fn every_shipped_scenario_is_sound_in_both_forms() {
    let files = scenarios::shipped(&folder()).unwrap();
    assert!(files.len() >= 20);
    for file in &files {
        for short in [false, true] {
            let scenario = parse::file(file, short).unwrap();
            assert!(scenario.lasts_s <= 600.0, "{}", scenario.name);
            assert!(scenario.title.len() <= 100, "{}", scenario.name);
        }
    }
}

#[test]
fn the_documents_name_every_shipped_scenario() {
    let mut documents = std::fs::read_to_string(project().join("README.md")).unwrap();
    // README.md may leave the scenario names to the pages in docs.
    for page in std::fs::read_dir(project().join("docs"))
        .into_iter()
        .flatten()
    {
        let page = page.unwrap().path();
        if page.extension().is_some_and(|extension| extension == "md") {
            documents.push_str(&std::fs::read_to_string(page).unwrap());
        }
    }
    for file in scenarios::shipped(&folder()).unwrap() {
        let name = file.file_stem().unwrap().to_str().unwrap();
        assert!(
            documents.contains(&format!("`{name}`")),
            "no document names {name}"
        );
    }
}

#[test]
fn the_scenario_in_the_documents_is_sound() {
    let name = project().join("docs/impairment.md");
    let page = std::fs::read_to_string(&name).unwrap();
    let (_, rest) = page.split_once("```toml\n").expect("there is a scenario");
    let (scenario, _) = rest.split_once("```").expect("the scenario ends");
    parse::scenario(&name, scenario, false).unwrap();
}

#[test]
fn the_short_set_ends_within_minutes() {
    let mut total = 0.0;
    for file in scenarios::shipped(&folder()).unwrap() {
        if parse::has_short(&std::fs::read_to_string(&file).unwrap()) {
            total += parse::file(&file, true).unwrap().lasts_s;
        }
    }
    assert!(total > 0.0);
    assert!(total <= 400.0, "{total} s for one after the other");
}

#[test]
fn directions_are_selected_by_name() {
    let on = |words: &str| {
        let scenario = good(&format!(
            "[[step]]\nat = \"1s\"\non = {words}\nlink = \"down\"\n[must]\n"
        ));
        match &scenario.steps[0].action {
            Action::LinkDown { on } => on.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(on("[\"alice->bob\"]"), [(0, 1)]);
    assert_eq!(on("[\"alice-bob\"]"), [(0, 1), (1, 0)]);
    assert_eq!(on("[\"alice->\"]"), [(0, 1), (0, 2)]);
    assert_eq!(on("[\"->alice\"]"), [(1, 0), (2, 0)]);
    assert_eq!(
        on("[\"carol\", \"alice->carol\"]"),
        [(0, 2), (1, 2), (2, 0), (2, 1)]
    );
    assert_eq!(on("[\"all\"]").len(), 6);
}

#[test]
fn a_partition_cuts_what_is_between_its_parts() {
    let scenario = good("[[step]]\nat = \"1s\"\npartition = [\"alice\"]\n[must]\n");
    let Action::LinkDown { on } = &scenario.steps[0].action else {
        panic!("{:?}", scenario.steps);
    };
    assert_eq!(on, &[(0, 1), (0, 2), (1, 0), (2, 0)]);
}

/// Each step's time in seconds, and its action in words.
fn done(rest: &str) -> Vec<(f64, String)> {
    let words = |step: &Step| (step.at_s, step.action.words(3));
    good(rest).steps.iter().map(words).collect()
}

fn at(at_s: f64, words: &str) -> (f64, String) {
    (at_s, words.to_owned())
}

#[test]
fn a_step_is_about_each_node_of_a_range_or_a_group() {
    let steps = done(
        "[groups]\nwest = \"0..2\"\n\
         [[step]]\nat = \"5s\"\nkill = \"west\"\n[[step]]\nat = \"9s\"\nstart = \"0..2\"\n[must]\n",
    );
    let all = [
        at(5.0, "kill -9 alice"),
        at(5.0, "kill -9 bob"),
        at(9.0, "start alice"),
        at(9.0, "start bob"),
    ];
    assert_eq!(steps, all);
}

#[test]
fn a_restart_is_a_kill_and_a_start() {
    let steps = done("[[step]]\nat = \"5s\"\nrestart = \"bob\"\ndown = \"3s\"\n[must]\n");
    assert_eq!(steps, [at(5.0, "kill -9 bob"), at(8.0, "start bob")]);
}

#[test]
fn all_links_come_up_when_a_network_heals() {
    let steps = done(
        "[[step]]\nat = \"5s\"\npartition = [\"alice\"]\n[[step]]\nat = \"9s\"\nheal = true\n[must]\n",
    );
    let all = [at(5.0, "down: alice-bob alice-carol"), at(9.0, "up: all")];
    assert_eq!(steps, all);
}

#[test]
fn the_clock_jumps_ahead_and_back() {
    let steps = done(
        "[[step]]\nat = \"5s\"\nclock = \"1h\"\n[[step]]\nat = \"9s\"\nclock = \"-1h\"\n[must]\n",
    );
    let all = [
        at(5.0, "the clock jumps by 3600 s"),
        at(9.0, "the clock jumps by -3600 s"),
    ];
    assert_eq!(steps, all);
}

#[test]
fn a_repeated_step_comes_in_the_order_of_time() {
    let scenario = good(
        "[[step]]\nat = \"5s\"\ntimes = 2\nevery = \"10s\"\nkill = \"bob\"\n\
         [[step]]\nat = \"9s\"\ntimes = 2\nevery = \"10s\"\nstart = \"bob\"\n[must]\n",
    );
    let steps: Vec<(f64, String)> = scenario
        .steps
        .iter()
        .map(|step| (step.at_s, step.action.words(3)))
        .collect();
    let words = |at_s: f64, words: &str| (at_s, words.to_owned());
    assert_eq!(
        steps,
        [
            words(5.0, "kill -9 bob"),
            words(9.0, "start bob"),
            words(15.0, "kill -9 bob"),
            words(19.0, "start bob")
        ]
    );
}

#[test]
fn the_short_form_replaces_what_it_names() {
    let text = format!(
        "{HEAD}[[step]]\nat = \"40s\"\nkill = \"bob\"\n[must]\nnever_down = true\n\
         [short]\nlasts = \"9s\"\n[[short.step]]\nat = \"4s\"\nkill = \"carol\"\n"
    );
    let long = parse::scenario(Path::new("try.toml"), &text, false).unwrap();
    let short = parse::scenario(Path::new("try.toml"), &text, true).unwrap();
    assert_eq!((long.lasts_s, long.steps[0].at_s), (60.0, 40.0));
    assert_eq!((short.lasts_s, short.steps[0].at_s), (9.0, 4.0));
    assert!(short.must.never_down);
}

/// A text to append to [`HEAD`], and the expected error.
const MISTAKES: &[(&str, &str)] = &[
    (
        "[must]\nnever_donw = true\n",
        "try.toml, line 6: unknown word `never_donw`; did you mean `never_down`?",
    ),
    (
        "[[step]]\nat = \"1s\"\nkil = \"bob\"\n[must]\n",
        "line 7: unknown word `kil`; did you mean `kill`?",
    ),
    (
        "[[step]]\nat = \"1s\"\nkill = \"bop\"\n[must]\n",
        "line 7: there is no node or group `bop`; did you mean `bob`?",
    ),
    (
        "[[step]]\nat = \"1s\"\nkill = \"dave\"\n[must]\n",
        "line 7: there is no node or group `dave`; did you mean `",
    ),
    (
        "[[step]]\nat = \"1s\"\non = [\"alice->carl\"]\nlink = \"down\"\n[must]\n",
        "line 7: there is no node or group `carl`; did you mean `carol`?",
    ),
    (
        "[[step]]\nat = \"1s\"\nlink = \"dwon\"\n[must]\n",
        "line 7: unknown word `dwon`; did you mean `down`?",
    ),
    (
        "[[step]]\nat = \"1s\"\nnetem = \"dely 5ms\"\n[must]\n",
        "line 7: `dely` at column 1 is not an option of netem; did you mean `delay`?",
    ),
    (
        "[[step]]\nat = \"1s\"\nnetem = \"delay 5m\"\n[must]\n",
        "line 7: `5m` at column 7 is not a time",
    ),
    (
        "[[step]]\nat = \"1s\"\nnetem = \"loss 100%\"\n[must]\n",
        "line 5: what loses everything",
    ),
    (
        "[[step]]\nat = \"9s\"\nstart = \"bob\"\n[[step]]\nat = \"8s\"\nkill = \"bob\"\n[[step]]\nat = \"7s\"\nstart = \"bob\"\n[must]\n",
        "line 11: at 7 s this can't be done, for bob runs then",
    ),
    (
        "[[step]]\nat = \"-1s\"\nkill = \"bob\"\n[must]\n",
        "line 6: `-1s` is not a time",
    ),
    (
        "[[step]]\nat = \"61s\"\nkill = \"bob\"\n[must]\n",
        "line 6: a step at 61s, but the run ends at 60s",
    ),
    (
        "[[step]]\nat = \"1s\"\n[must]\n",
        "line 5: a step must have exactly one action, not 0",
    ),
    (
        "[[step]]\nat = \"1s\"\nkill = \"bob\"\nstart = \"bob\"\n[must]\n",
        "line 5: a step must have exactly one action, not 2",
    ),
    (
        "[[step]]\nat = \"1s\"\nstart = \"bob\"\n[must]\n",
        "line 5: at 1 s this can't be done, for bob runs then",
    ),
    (
        "[[step]]\nat = \"1s\"\nkill = \"bob\"\ntimes = 2\nevery = \"1s\"\n[must]\n",
        "at 2 s this can't be done, for bob doesn't run then",
    ),
    (
        "[[step]]\nat = \"1s\"\nkill = \"bob\"\ntimes = 2\n[must]\n",
        "`times` (two or more) needs `every`, and `every` needs `times`",
    ),
    (
        "[[step]]\nat = \"1s\"\npartition = [\"alice\", \"0..2\"]\n[must]\n",
        "line 5: `alice` is in two parts",
    ),
    (
        "[[step]]\nat = \"1s\"\nmtu = 576\n[must]\n",
        "line 7: mtu must be from 1280 to 65535",
    ),
    (
        "[must]\ndown_everywhere_within = \"3s\"\n",
        "down_everywhere_within needs a step with kill",
    ),
    (
        "[must]\nall_know_all_within = { wurst = \"3s\" }\n",
        "line 6: unknown word `wurst`; did you mean `worst`?",
    ),
    (
        "[must]\nall_know_all_within = \"soon\"\n",
        "line 6: `soon` is not a time; write 1500ms",
    ),
    (
        "[must]\nrtt_beside_ping = { least = \"1us\", over_ping = \"2us\" }\n",
        "rtt_beside_ping needs `ping",
    ),
    ("[must\n", "line 5: "),
    (
        "[[step]]\nat_s = 20\nkill = \"bob\"\n[must]\n",
        "line 6: `at_s` is written in another way now: at = \"20s\"",
    ),
    (
        "[must]\nall_know_all_within_s = 1.0\n",
        "line 6: `all_know_all_within_s` is written in another way now: all_know_all_within = \"1s\"",
    ),
    (
        "[must]\nrtt_near_ping = { percent = 1.0, plus_ms = 0.3 }\n",
        "line 6: `percent` is written in another way now: share = \"1%\"",
    ),
    (
        "[must]\nall_know_all_within = 1.0\n",
        "line 6: invalid type: floating point `1.0`, expected a time such as \"2.5s\"",
    ),
    (
        "[[step]]\nat = 20\nkill = \"bob\"\n[must]\n",
        "line 6: invalid type: integer `20`, expected a string",
    ),
    (
        "[[step]]\nat = \"20\"\nkill = \"bob\"\n[must]\n",
        "line 6: `20` needs a unit: 20s",
    ),
    (
        "[[step]]\nat = \"1s\"\nkill = \"30%\"\n[must]\n",
        "line 5: `30%` is drawn while a simulation runs; in the lab, name the nodes",
    ),
    (
        "[[step]]\nat = \"1s\"\nlie = \"bob\"\n[must]\n",
        "line 5: `lie` is the simulator's",
    ),
    (
        "[[step]]\nat = \"1s\"\nclock = \"0.5s\"\n[must]\n",
        "line 7: `0.5s`: the clock can only jump by whole seconds",
    ),
    (
        "[[step]]\nat = \"50s\"\nrestart = \"bob\"\ndown = \"10s\"\n[must]\n",
        "line 5: they start at 60s, but the run ends at 60s",
    ),
    (
        "[[step]]\nat = \"1s\"\non = [\"bob->bob\"]\nlink = \"down\"\n[must]\n",
        "line 5: no link goes from a node to itself",
    ),
    (
        "[groups]\nbob = \"0..2\"\n[must]\n",
        "line 6: `bob` can't be the name of a group",
    ),
    (
        "[must]\n[short]\nlast = \"4s\"\n",
        "line 7: unknown word `last`; did you mean `lasts`?",
    ),
];

#[test]
fn a_mistake_is_named_with_its_line_and_the_nearest_word() {
    for (text, says) in MISTAKES {
        let said = bad(text);
        assert!(said.contains(says), "{text}\nsaid: {said}\nnot:  {says}");
    }
}

#[test]
fn loopback_has_one_host_and_one_qdisc() {
    let loopback = |rest: &str| {
        let text = format!("title = \"a try\"\ntopology = \"loopback\"\nlasts = \"60s\"\n{rest}");
        parse::scenario(Path::new("try.toml"), &text, false).map_err(|error| error.to_string())
    };
    let scenario =
        loopback("[[step]]\nat = \"1s\"\non = [\"lo\"]\nnetem = \"delay 1ms\"\n[must]\n").unwrap();
    assert_eq!((scenario.topology, scenario.nodes), (Topology::Loopback, 5));
    for (rest, says) in [
        (
            "[[step]]\nat = \"1s\"\nvanish = \"bob\"\n[must]\n",
            "all nodes have one host",
        ),
        (
            "[[step]]\nat = \"1s\"\non = [\"alice-bob\"]\nlink = \"down\"\n[must]\n",
            "one qdisc for all",
        ),
        ("nodes = 3\n[must]\n", "the five shipped profiles"),
    ] {
        let said = loopback(rest).unwrap_err();
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn a_qdisc_is_changed_in_place_unless_an_option_goes() {
    let commands = |before, now| netem::replace("lo", before, now);
    let change = "qdisc change dev lo root netem delay 5ms loss 1%";
    let (add, del) = (
        "qdisc add dev lo root netem loss 1%",
        "qdisc del dev lo root",
    );
    assert_eq!(commands(None, Some("loss 1%")), [add]);
    assert_eq!(
        commands(Some("delay 9ms"), Some("delay 5ms loss 1%")),
        [change]
    );
    assert_eq!(commands(Some("rate 1mbit"), Some("loss 1%")), [del, add]);
    assert_eq!(commands(Some("loss 1%"), None), [del]);
    assert!(commands(Some("loss 1%"), Some("loss 1%")).is_empty());
    assert!(commands(None, None).is_empty());
}

#[test]
fn an_unknown_scenario_is_refused_with_the_nearest_name() {
    let said = scenarios::find(&folder(), "outage-6")
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("there is no scenario `outage-6`; did you mean `outage-"),
        "{said}"
    );
}

proptest! {
    /// No text makes the parser panic.
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC*") {
        let _read_or_refused = parse::scenario(Path::new("any.toml"), &text, true);
        let _parsed_or_refused = netem::Netem::parse(&text);
    }
}
