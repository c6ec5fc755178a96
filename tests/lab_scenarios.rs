//! The lab without its kernel: scenario files, good and bad, and the judge on recorded sequences.

#![allow(dead_code, reason = "the lab itself uses the rest")]

#[path = "../benches/lab/judge.rs"]
mod judge;
#[path = "../benches/lab/measures.rs"]
mod measures;
#[path = "../benches/lab/netem.rs"]
mod netem;
#[path = "../benches/lab/parse.rs"]
mod parse;
#[path = "../benches/lab/promises.rs"]
mod promises;
#[path = "../benches/lab/record.rs"]
mod record;
#[path = "../benches/lab/rules.rs"]
mod rules;
#[path = "../benches/lab/scenario.rs"]
mod scenario;
#[path = "../benches/lab/steps.rs"]
mod steps;
#[path = "../benches/lab/truth.rs"]
mod truth;
#[path = "../benches/lab/words.rs"]
mod words;

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use crate::judge::{Verdict, judge};
use crate::record::{Event, Link, Node, View, What};
use crate::scenario::{Action, Scenario, Topology};

/// Three nodes, and whatever is to be tried.
const HEAD: &str = "title = \"a try\"\ntopology = \"links\"\nnodes = 3\nlasts_s = 60\n";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/lab/scenarios")
}

fn read(rest: &str) -> Result<Scenario, String> {
    let text = format!("{HEAD}{rest}");
    parse::scenario(Path::new("try.toml"), &text, false).map_err(|error| error.to_string())
}

fn good(rest: &str) -> Scenario {
    read(rest).expect("a sound scenario")
}

fn bad(rest: &str) -> String {
    read(rest).expect_err("a mistake")
}

#[test]
fn every_shipped_scenario_is_sound_in_both_forms() {
    let files = parse::shipped(&folder()).unwrap();
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
fn the_readme_names_every_shipped_scenario() {
    let readme =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    for file in parse::shipped(&folder()).unwrap() {
        let name = file.file_stem().unwrap().to_str().unwrap();
        assert!(
            readme.contains(&format!("`{name}`")),
            "README.md doesn't name {name}"
        );
    }
}

#[test]
fn the_short_set_ends_within_minutes() {
    let mut total = 0.0;
    for file in parse::shipped(&folder()).unwrap() {
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
    let said = parse::find(&folder(), "outage-6").unwrap_err().to_string();
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

/// A record of three nodes, written as a story.
struct Story {
    at_s: f64,
    events: Vec<Event>,
    since_ms: [[u64; 3]; 3],
}

const IDS: [&str; 3] = ["aaaaaaaaaa", "bbbbbbbbbb", "cccccccccc"];

impl Story {
    /// All three are started, and know each other after half a second.
    fn begun() -> Self {
        let mut story = Self {
            at_s: 0.0,
            events: Vec::new(),
            since_ms: [[1; 3]; 3],
        };
        for node in 0..3 {
            story.does(Action::Start { node });
        }
        story.all_show(0.5)
    }

    fn push(&mut self, what: What) {
        self.events.push(Event {
            at_s: self.at_s,
            what,
        });
    }

    fn does(&mut self, action: Action) {
        self.push(What::Does(action));
        self.push(What::Done);
    }

    fn then(mut self, at_s: f64, action: Action) -> Self {
        self.at_s = at_s;
        self.does(action);
        self
    }

    /// The node's view at that time: who is up, and the links (dialer, listener).
    fn shows(mut self, at_s: f64, viewer: usize, up: &[usize], links: &[(usize, usize)]) -> Self {
        self.at_s = at_s;
        let nodes = (0..3).map(|node| Node {
            id: IDS[node].into(),
            state: if up.contains(&node) {
                "up"
            } else {
                "unreachable"
            }
            .into(),
            since_ms: self.since_ms[viewer][node],
            addresses: vec![format!("[{}]:8083", truth::address(node, 0))],
        });
        let links = links.iter().map(|(dialer, listener)| Link {
            dialer: IDS[*dialer].into(),
            listener: IDS[*listener].into(),
            rtt_ms: Some(50.0),
            loss_percent: 19.0,
            suspect: false,
        });
        let view = View {
            viewer,
            id: IDS[viewer].into(),
            cut_off: up.len() < 2,
            nodes: nodes.collect(),
            links: links.collect(),
        };
        self.push(What::Shows(view));
        self
    }

    fn all_show(mut self, at_s: f64) -> Self {
        for viewer in 0..3 {
            self = self.shows(at_s, viewer, &[0, 1, 2], &[(0, 1), (0, 2), (1, 2)]);
        }
        self
    }

    /// The verdict on the one promise that `must` names, besides that no node ends by itself.
    fn verdict(&self, rest: &str) -> Verdict {
        let mut verdicts = judge(&good(rest), &self.events, false);
        assert_eq!(verdicts.len(), 2, "{verdicts:?}");
        verdicts.remove(1)
    }
}

const NEVER_DOWN: &str = "[must]\nnever_down = true\n";
const KILL_BOB: &str = "[[step]]\nat_s = 10\nkill = \"bob\"\n[must]\n";

#[test]
fn a_calm_run_keeps_every_promise() {
    let story = Story::begun().all_show(5.0);
    for must in [
        "never_down = true",
        "all_know_all_within_s = 0.6",
        "link_drops_at_most = 0",
        "one_identity = true",
        "nothing_happens = true",
        "exact_at_end = true",
    ] {
        let verdict = story.verdict(&format!("[must]\n{must}\n"));
        assert_eq!(verdict.held, Some(true), "{must}: {verdict:?}");
    }
    let verdict = story.verdict("[must]\nall_know_all_within_s = 0.4\n");
    assert_eq!(verdict.held, Some(false), "{verdict:?}");
}

#[test]
fn one_version_that_shows_a_node_as_down_is_enough() {
    let story = Story::begun()
        .shows(7.0, 0, &[0, 2], &[(0, 2), (1, 2)])
        .shows(7.1, 0, &[0, 1, 2], &[(0, 1), (0, 2), (1, 2)]);
    let verdict = story.verdict(NEVER_DOWN);
    assert_eq!(verdict.held, Some(false));
    assert!(
        verdict.measured.contains("7.0 s: alice shows bob as down"),
        "{verdict:?}"
    );
}

#[test]
fn a_version_that_nobody_could_read_is_told_by_the_next() {
    let mut story = Story::begun();
    story.since_ms[0][1] = 2;
    let verdict = story
        .shows(7.0, 0, &[0, 1, 2], &[(0, 1), (0, 2), (1, 2)])
        .verdict(NEVER_DOWN);
    assert_eq!(verdict.held, Some(false));
    assert!(verdict.measured.contains("for a moment"), "{verdict:?}");
}

#[test]
fn who_is_dead_or_behind_a_cut_may_be_shown_as_down() {
    let killed = Story::begun()
        .then(10.0, Action::Kill { node: 1 })
        .shows(11.0, 0, &[0, 2], &[(0, 2)])
        .then(20.0, Action::Start { node: 1 })
        .all_show(20.5);
    assert_eq!(killed.verdict(NEVER_DOWN).held, Some(true));
    let between = vec![(0, 1), (1, 0), (0, 2), (2, 0)];
    let cut = Story::begun()
        .then(
            10.0,
            Action::LinkDown {
                on: between.clone(),
            },
        )
        .shows(11.0, 0, &[0], &[])
        .shows(11.0, 1, &[1, 2], &[(1, 2)])
        .then(20.0, Action::LinkUp { on: between })
        .shows(20.1, 1, &[1, 2], &[(1, 2)])
        .all_show(20.5);
    assert_eq!(cut.verdict(NEVER_DOWN).held, Some(true));
    // With one direction of one link dead, there is a path over carol.
    let one_way = Story::begun()
        .then(10.0, Action::LinkDown { on: vec![(0, 1)] })
        .shows(11.0, 0, &[0, 2], &[(0, 2), (1, 2)]);
    assert_eq!(one_way.verdict(NEVER_DOWN).held, Some(false));
}

#[test]
fn a_killed_node_is_down_everywhere_once_the_last_view_says_so() {
    let story = Story::begun()
        .then(10.0, Action::Kill { node: 1 })
        .shows(11.0, 0, &[0, 2], &[(0, 2)])
        .shows(12.5, 2, &[0, 2], &[(0, 2)]);
    let within =
        |bound: &str| story.verdict(&format!("{KILL_BOB}down_everywhere_within_s = {bound}\n"));
    assert_eq!(within("3").held, Some(true));
    assert_eq!(within("2").held, Some(false));
    assert_eq!(within("{ median = 2.4, worst = 3.0 }").held, Some(false));
    assert_eq!(within("3").measured, "2.50 s");
}

#[test]
fn a_dead_node_is_down_even_if_another_is_wrongly_shown_as_down() {
    let story = Story::begun()
        .then(10.0, Action::Kill { node: 1 })
        .shows(11.0, 0, &[0], &[])
        .shows(12.0, 2, &[0, 2], &[(0, 2)]);
    let verdict = story.verdict(&format!("{KILL_BOB}down_everywhere_within_s = 3\n"));
    assert_eq!(verdict.held, Some(true), "{verdict:?}");
    assert_eq!(story.verdict(NEVER_DOWN).held, Some(false));
}

#[test]
fn what_the_next_step_ends_is_never() {
    let story = Story::begun()
        .then(10.0, Action::Kill { node: 1 })
        .shows(11.0, 0, &[0, 2], &[(0, 2)])
        .then(20.0, Action::Start { node: 1 })
        .all_show(20.5);
    let verdict = story.verdict(&format!("{KILL_BOB}down_everywhere_within_s = 60\n"));
    assert_eq!(
        (verdict.held, verdict.measured.as_str()),
        (Some(false), "never")
    );
}

#[test]
fn a_stale_link_is_not_exact() {
    let story = Story::begun()
        .then(10.0, Action::Kill { node: 1 })
        .shows(11.0, 0, &[0, 2], &[(0, 2)])
        .shows(11.0, 2, &[0, 2], &[(0, 2), (1, 2)]);
    let verdict = story.verdict("[must]\nexact_at_end = true\n");
    assert_eq!(verdict.held, Some(false));
    let story = story.shows(12.0, 2, &[0, 2], &[(0, 2)]);
    assert_eq!(
        story.verdict("[must]\nexact_at_end = true\n").held,
        Some(true)
    );
    // The same link, dialed the other way in another's eyes.
    let story = story.shows(13.0, 2, &[0, 2], &[(2, 0)]);
    assert_eq!(
        story.verdict("[must]\nexact_at_end = true\n").held,
        Some(false)
    );
}

#[test]
fn one_dead_direction_must_show_as_a_dead_link_between_living_nodes() {
    let rest = "[[step]]\nat_s = 10\non = [\"alice->bob\"]\nlink = \"down\"\n[must]\nlink_down_nodes_up_within_s = 3\n";
    let mut story = Story::begun().then(10.0, Action::LinkDown { on: vec![(0, 1)] });
    for viewer in 0..3 {
        assert_eq!(story.verdict(rest).held, Some(false));
        story = story.shows(12.0, viewer, &[0, 1, 2], &[(0, 2), (1, 2)]);
    }
    assert_eq!(story.verdict(rest).measured, "2.00 s");
}

#[test]
fn drops_are_counted_on_links_that_could_be_there() {
    let most = |most: u32| format!("[must]\nlink_drops_at_most = {most}\n");
    let mut story = Story::begun();
    for at_s in [10.0, 20.0] {
        story = story
            .shows(at_s, 0, &[0, 1, 2], &[(0, 2), (1, 2)])
            .all_show(at_s + 1.0);
    }
    assert_eq!(story.verdict(&most(1)).held, Some(false));
    assert_eq!(story.verdict(&most(2)).held, Some(true));
    let cut = Story::begun()
        .then(10.0, Action::LinkDown { on: vec![(0, 1)] })
        .shows(12.0, 0, &[0, 1, 2], &[(0, 2), (1, 2)]);
    assert_eq!(cut.verdict(&most(0)).held, Some(true));
}

#[test]
fn a_second_identity_and_a_process_that_ends_are_told() {
    let mut story = Story::begun();
    if let What::Shows(view) = &mut story.events.last_mut().unwrap().what {
        let mut twin = view.nodes[0].clone();
        twin.id = "dddddddddd".into();
        view.nodes.push(twin);
    }
    assert_eq!(
        story.verdict("[must]\none_identity = true\n").held,
        Some(false)
    );
    let how = "exit status: 1: so it goes".to_owned();
    story.push(What::Ended { node: 2, how });
    let verdicts = judge(&good("[must]\n"), &story.events, false);
    assert_eq!(verdicts[0].held, Some(false), "{verdicts:?}");
}

#[test]
fn an_rtt_counts_as_shown_once_it_is_in_every_view() {
    let on = vec![(0, 1), (1, 0)];
    let netem = Some(netem::Netem::parse("delay 25ms").unwrap());
    let rest = "[[step]]\nat_s = 10\non = [\"alice-bob\"]\nnetem = \"delay 25ms\"\n[must]\nrtt_shown_within_s = 3\n";
    let mut story = Story::begun();
    for event in &mut story.events {
        if let What::Shows(view) = &mut event.what {
            view.links[0].rtt_ms = Some(1.0);
        }
    }
    let story = story.then(10.0, Action::Netem { on, netem });
    assert_eq!(story.verdict(rest).measured, "never");
    assert_eq!(story.all_show(11.0).verdict(rest).measured, "1.00 s");
}

#[test]
fn losses_are_held_against_what_the_qdiscs_do_to_round_trips() {
    let rest = "[[step]]\nat_s = 0\nnetem = \"loss 10%\"\n[must]\nloss_shown_within_points = 0.5\n";
    let text = format!("{HEAD}{rest}").replace("lasts_s = 60", "lasts_s = 90");
    let scenario = parse::scenario(Path::new("try.toml"), &text, false).unwrap();
    let verdict = |args: &str| {
        let netem = Some(netem::Netem::parse(args).unwrap());
        let on = vec![(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)];
        let mut events = vec![Event {
            at_s: 0.0,
            what: What::Does(Action::Netem { on, netem }),
        }];
        events.extend(Story::begun().events);
        judge(&scenario, &events, false).remove(1)
    };
    // 10 % each way are 19 % of round trips, and that is what the views show.
    assert_eq!(verdict("loss 10%").held, Some(true));
    assert_eq!(verdict("loss 5%").held, Some(false));
}
