//! Tests the judge on recorded sequences.

use std::path::Path;

use super::super::action::Action;
use super::super::judge::judge;
use super::super::record::{Event, Link, Node, View, What};
use super::super::{netem, parse, truth};
use super::{HEAD, good};
use crate::shared::table::Verdict;

/// Builds the record of a run with three nodes.
struct Story {
    at_s: f64,
    events: Vec<Event>,
    since_ms: [[u64; 3]; 3],
}

const IDS: [&str; 3] = ["aaaaaaaaaa", "bbbbbbbbbb", "cccccccccc"];

impl Story {
    /// All three nodes are started. They know each other after half a second.
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

    /// Adds a view of the node: the nodes that are up, and the links (dialer, listener).
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

    /// The verdict on the one promise in `must`. Every scenario also promises that no node ends by itself; that one is skipped.
    fn verdict(&self, rest: &str) -> Verdict {
        let mut verdicts = judge(&good(rest), &self.events, false);
        assert_eq!(verdicts.len(), 2, "{verdicts:?}");
        verdicts.remove(1)
    }
}

const NEVER_DOWN: &str = "[must]\nnever_down = true\n";
const KILL_BOB: &str = "[[step]]\nat = \"10s\"\nkill = \"bob\"\n[must]\n";

#[test]
fn a_calm_run_keeps_every_promise() {
    let story = Story::begun().all_show(5.0);
    for must in [
        "never_down = true",
        "all_know_all_within = \"0.6s\"",
        "link_drops_at_most = 0",
        "one_identity = true",
        "nothing_happens = true",
        "exact_at_end = true",
    ] {
        let verdict = story.verdict(&format!("[must]\n{must}\n"));
        assert_eq!(verdict.held, Some(true), "{must}: {verdict:?}");
    }
    let verdict = story.verdict("[must]\nall_know_all_within = \"0.4s\"\n");
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
    // One direction of the alice-bob link is dead, so a path over carol remains.
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
        |bound: &str| story.verdict(&format!("{KILL_BOB}down_everywhere_within = {bound}\n"));
    assert_eq!(within("\"3s\"").held, Some(true));
    assert_eq!(within("\"2s\"").held, Some(false));
    assert_eq!(
        within("{ median = \"2.4s\", worst = \"3s\" }").held,
        Some(false)
    );
    assert_eq!(within("\"3s\"").measured, "2.50 s");
}

#[test]
fn a_dead_node_is_down_even_if_another_is_wrongly_shown_as_down() {
    let story = Story::begun()
        .then(10.0, Action::Kill { node: 1 })
        .shows(11.0, 0, &[0], &[])
        .shows(12.0, 2, &[0, 2], &[(0, 2)]);
    let verdict = story.verdict(&format!("{KILL_BOB}down_everywhere_within = \"3s\"\n"));
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
    let verdict = story.verdict(&format!("{KILL_BOB}down_everywhere_within = \"60s\"\n"));
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
    // One view shows the same link with dialer and listener swapped.
    let story = story.shows(13.0, 2, &[0, 2], &[(2, 0)]);
    assert_eq!(
        story.verdict("[must]\nexact_at_end = true\n").held,
        Some(false)
    );
}

#[test]
fn one_dead_direction_must_show_as_a_dead_link_between_living_nodes() {
    let rest = "[[step]]\nat = \"10s\"\non = [\"alice->bob\"]\nlink = \"down\"\n[must]\nlink_down_nodes_up_within = \"3s\"\n";
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
    let rest = "[[step]]\nat = \"10s\"\non = [\"alice-bob\"]\nnetem = \"delay 25ms\"\n[must]\nrtt_shown_within = \"3s\"\n";
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
    let rest =
        "[[step]]\nat = \"0s\"\nnetem = \"loss 10%\"\n[must]\nloss_shown_within = \"0.5%\"\n";
    let text = format!("{HEAD}{rest}").replace("\"60s\"", "\"90s\"");
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
