//! Scenario files, good and bad.

use std::path::Path;

use proptest::prelude::*;

use super::super::driver::scenarios;
use super::super::scenario::{Action, Topology};
use super::super::{netem, parse};
use super::{HEAD, bad, good};
use crate::shared::project;

#[test]
fn every_shipped_scenario_is_sound_in_both_forms() {
    let files = parse::shipped(&scenarios()).unwrap();
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
    // README.md may leave them to the pages that it links to.
    for page in std::fs::read_dir(project().join("docs"))
        .into_iter()
        .flatten()
    {
        let page = page.unwrap().path();
        if page.extension().is_some_and(|extension| extension == "md") {
            documents.push_str(&std::fs::read_to_string(page).unwrap());
        }
    }
    for file in parse::shipped(&scenarios()).unwrap() {
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
    for file in parse::shipped(&scenarios()).unwrap() {
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
            "[[step]]\nat_s = 1\non = {words}\nlink = \"down\"\n[must]\n"
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
    let scenario =
        good("[[step]]\nat_s = 1\npartition = [[\"alice\"], [\"bob\", \"carol\"]]\n[must]\n");
    let Action::LinkDown { on } = &scenario.steps[0].action else {
        panic!("{:?}", scenario.steps);
    };
    assert_eq!(on, &[(0, 1), (0, 2), (1, 0), (2, 0)]);
}

#[test]
fn a_repeated_step_comes_in_the_order_of_time() {
    let scenario = good(
        "[[step]]\nat_s = 5\ntimes = 2\nevery_s = 10\nkill = \"bob\"\n\
         [[step]]\nat_s = 9\ntimes = 2\nevery_s = 10\nstart = \"bob\"\n[must]\n",
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
        "{HEAD}[[step]]\nat_s = 40\nkill = \"bob\"\n[must]\nnever_down = true\n\
         [short]\nlasts_s = 9\n[[short.step]]\nat_s = 4\nkill = \"carol\"\n"
    );
    let long = parse::scenario(Path::new("try.toml"), &text, false).unwrap();
    let short = parse::scenario(Path::new("try.toml"), &text, true).unwrap();
    assert_eq!((long.lasts_s, long.steps[0].at_s), (60.0, 40.0));
    assert_eq!((short.lasts_s, short.steps[0].at_s), (9.0, 4.0));
    assert!(short.must.never_down);
}

/// What is written after [`HEAD`], and what is said of it.
const MISTAKES: &[(&str, &str)] = &[
    (
        "[must]\nnever_donw = true\n",
        "try.toml, line 6: there is no `never_donw` here; did you mean `never_down`?",
    ),
    (
        "[[step]]\nat_s = 1\nkil = \"bob\"\n[must]\n",
        "line 7: there is no `kil` here; did you mean `kill`?",
    ),
    (
        "[[step]]\nat_s = 1\nkill = \"bop\"\n[must]\n",
        "line 7: there is no node `bop`; did you mean `bob`?",
    ),
    (
        "[[step]]\nat_s = 1\nkill = \"dave\"\n[must]\n",
        "line 7: there is no node `dave`; did you mean `",
    ),
    (
        "[[step]]\nat_s = 1\non = [\"alice->carl\"]\nlink = \"down\"\n[must]\n",
        "line 7: there is no node `carl`; did you mean `carol`?",
    ),
    (
        "[[step]]\nat_s = 1\nlink = \"dwon\"\n[must]\n",
        "line 7: there is no `dwon` here; did you mean `down`?",
    ),
    (
        "[[step]]\nat_s = 1\nnetem = \"dely 5ms\"\n[must]\n",
        "line 7: netem has no `dely`; did you mean `delay`?",
    ),
    (
        "[[step]]\nat_s = 1\nnetem = \"delay 5\"\n[must]\n",
        "line 7: `5` is no time",
    ),
    (
        "[[step]]\nat_s = 1\nnetem = \"loss 100%\"\n[must]\n",
        "line 7: what loses everything",
    ),
    (
        "[[step]]\nat_s = 9\nkill = \"bob\"\n[[step]]\nat_s = 8\nstart = \"bob\"\n[must]\n",
        "line 9: at_s = 8 runs backwards",
    ),
    (
        "[[step]]\nat_s = -1\nkill = \"bob\"\n[must]\n",
        "line 6: at_s = -1 runs backwards",
    ),
    (
        "[[step]]\nat_s = 61\nkill = \"bob\"\n[must]\n",
        "line 6: a step at 61 s, but all is over at 60 s",
    ),
    (
        "[[step]]\nat_s = 1\n[must]\n",
        "line 5: a step does one thing, and this does 0",
    ),
    (
        "[[step]]\nat_s = 1\nkill = \"bob\"\nstart = \"bob\"\n[must]\n",
        "line 5: a step does one thing, and this does 2",
    ),
    (
        "[[step]]\nat_s = 1\nstart = \"bob\"\n[must]\n",
        "line 5: at 1 s this can't be done, for bob runs then",
    ),
    (
        "[[step]]\nat_s = 1\nkill = \"bob\"\ntimes = 2\nevery_s = 1\n[must]\n",
        "at 2 s this can't be done, for bob doesn't run then",
    ),
    (
        "[[step]]\nat_s = 1\nkill = \"bob\"\ntimes = 2\n[must]\n",
        "times (up to 100) and every_s go together",
    ),
    (
        "[[step]]\nat_s = 1\npartition = [[\"alice\"], [\"bob\"]]\n[must]\n",
        "line 7: `carol` is in no part",
    ),
    (
        "[[step]]\nat_s = 1\nmtu = 576\n[must]\n",
        "line 7: IPv6 needs an mtu of 1280",
    ),
    (
        "[must]\ndown_everywhere_within_s = 3\n",
        "down_everywhere_within_s needs a step with kill",
    ),
    (
        "[must]\nall_know_all_within_s = { wurst = 3 }\n",
        "line 6: there is no `wurst` here; did you mean `worst`?",
    ),
    (
        "[must]\nall_know_all_within_s = \"soon\"\n",
        "line 6: invalid type: string \"soon\", expected seconds",
    ),
    (
        "[must]\nrtt_beside_ping_us = { least = 1, over_ping = 2 }\n",
        "rtt_beside_ping_us needs `ping",
    ),
    ("[must\n", "line 5: "),
    (
        "[must]\n[short]\nlast_s = 4\n",
        "line 7: there is no `last_s` here; did you mean `lasts_s`?",
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
        let text = format!("title = \"a try\"\ntopology = \"loopback\"\nlasts_s = 60\n{rest}");
        parse::scenario(Path::new("try.toml"), &text, false).map_err(|error| error.to_string())
    };
    let scenario =
        loopback("[[step]]\nat_s = 1\non = [\"lo\"]\nnetem = \"delay 1ms\"\n[must]\n").unwrap();
    assert_eq!((scenario.topology, scenario.nodes), (Topology::Loopback, 5));
    for (rest, says) in [
        (
            "[[step]]\nat_s = 1\nvanish = \"bob\"\n[must]\n",
            "all nodes have one host",
        ),
        (
            "[[step]]\nat_s = 1\non = [\"alice-bob\"]\nlink = \"down\"\n[must]\n",
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
    let said = parse::find(&scenarios(), "outage-6")
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
