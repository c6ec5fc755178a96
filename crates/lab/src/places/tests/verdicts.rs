//! The judge on recorded sequences.

use super::super::judge::Judge;
use super::super::plan::Plan;
use super::super::views::{Shown, View};
use super::good;

/// A run of the three nodes: pub, h0 and h1, which are 0, 1 and 2.
struct Run {
    judge: Judge,
    plan: Plan,
}

impl Run {
    fn new(rest: &str) -> Self {
        let scenario = good(rest);
        let plan = Plan::new(&scenario);
        let mut judge = Judge::new(&scenario.promises, &plan);
        (0..3).for_each(|node| judge.runs(node, true));
        judge.all_started(0.0);
        judge.next_step(f64::INFINITY);
        Self { judge, plan }
    }

    /// The viewer shows these nodes as up, since these times.
    fn shows(&mut self, viewer: usize, at_s: f64, up: &[(usize, u64)], links: &[(usize, usize)]) {
        let addresses = |node: usize| {
            let (public, own) = self.plan.public(node);
            let all = public.into_iter().chain(own);
            all.map(|ip| std::net::SocketAddr::new(ip, 8083).to_string())
                .collect()
        };
        let mut view = View {
            nodes: vec![None; 3],
            links: links.iter().copied().collect(),
            strangers: Vec::new(),
        };
        for (node, changed_ms) in up {
            view.nodes[*node] = Some(Shown {
                up: true,
                changed_ms: *changed_ms,
                addresses: addresses(*node),
            });
        }
        self.judge.shows(viewer, at_s, view);
        self.judge.judge(at_s, &self.plan);
    }

    /// Whether each promise held, and the words.
    fn verdicts(&self) -> Vec<(bool, String)> {
        let verdicts = self.judge.verdicts(&self.plan).into_iter();
        verdicts
            .map(|verdict| (verdict.held == Some(true), verdict.measured))
            .collect()
    }

    fn all_show_all(&mut self, at_s: f64) {
        for viewer in 0..3 {
            self.shows(viewer, at_s, &[(0, 1), (1, 1), (2, 1)], &[]);
        }
    }
}

const KNOW: &str = "[[must]]\nknow = \"all\"\nwithin = \"2s\"\n";

#[test]
fn all_know_all_when_the_last_view_is_right() {
    let mut run = Run::new(KNOW);
    run.shows(0, 0.5, &[(0, 1), (1, 1), (2, 1)], &[]);
    run.shows(1, 0.6, &[(0, 1), (1, 1), (2, 1)], &[]);
    run.shows(2, 0.7, &[(2, 1)], &[]);
    assert!(!run.verdicts()[0].0);
    run.shows(2, 1.5, &[(0, 1), (1, 1), (2, 1)], &[]);
    assert_eq!(run.verdicts(), [(true, "1.50 s".to_owned())]);
}

#[test]
fn too_late_is_told_with_the_time() {
    let mut run = Run::new(KNOW);
    run.all_show_all(3.0);
    assert_eq!(run.verdicts(), [(false, "3.00 s".to_owned())]);
}

#[test]
fn what_is_missing_at_the_end_is_told() {
    let mut run = Run::new(KNOW);
    run.shows(0, 0.5, &[(0, 1), (1, 1)], &[]);
    let (held, words) = run.verdicts().remove(0);
    assert!(!held);
    assert!(words.contains("pub lacks 1 of 3"), "{words}");
}

#[test]
fn a_node_that_is_shown_but_does_not_run_is_one_too_many() {
    let mut run = Run::new(KNOW);
    run.judge.runs(2, false);
    run.shows(0, 0.5, &[(0, 1), (1, 1), (2, 1)], &[]);
    run.shows(1, 0.5, &[(0, 1), (1, 1)], &[]);
    assert!(run.verdicts()[0].1.contains("pub shows too many"));
}

const NEVER_DOWN: &str = "[[must]]\nnever_down = \"all\"\nafter = \"1s\"\nuntil = \"9s\"\n";

#[test]
fn down_for_a_moment_is_found_even_between_two_reads() {
    let mut run = Run::new(NEVER_DOWN);
    run.all_show_all(0.5);
    assert!(run.verdicts()[0].0);
    // The same node is up, but since another time.
    run.shows(0, 2.0, &[(0, 1), (1, 2), (2, 1)], &[]);
    let (held, words) = run.verdicts().remove(0);
    assert!(!held);
    assert!(
        words.contains("pub showed h0 as down and up again at 2.0 s"),
        "{words}"
    );
}

#[test]
fn down_does_not_count_of_a_node_that_ended_or_was_cut_off_or_at_another_time() {
    let mut run = Run::new(NEVER_DOWN);
    run.all_show_all(0.5);
    run.shows(1, 0.7, &[(1, 1)], &[]);
    run.judge.runs(2, false);
    run.shows(0, 2.0, &[(0, 1), (1, 1)], &[]);
    run.judge.cuts(1, true);
    run.shows(0, 3.0, &[(0, 1)], &[]);
    run.judge.cuts(1, false);
    run.shows(0, 4.0, &[(0, 1), (1, 2)], &[]);
    run.shows(0, 9.5, &[(0, 1)], &[]);
    assert!(run.verdicts()[0].0, "{:?}", run.verdicts());
}

#[test]
fn a_link_counts_when_both_ends_show_it() {
    let mut run = Run::new(
        "[[must]]\nlinked = [\"h0\", \"pub\"]\nwithin = \"2s\"\n[[must]]\napart = \"h\"\nwithin = \"2s\"\n\
         [[must]]\nlinks = \"h0\"\nleast = 2\nwithin = \"2s\"\n",
    );
    run.all_show_all(0.1);
    run.shows(0, 0.5, &[(0, 1), (1, 1), (2, 1)], &[(0, 1)]);
    assert!(!run.verdicts()[0].0);
    run.shows(1, 0.6, &[(0, 1), (1, 1), (2, 1)], &[(0, 1)]);
    assert_eq!(run.verdicts()[0], (true, "0.60 s".to_owned()));
    assert_eq!(run.verdicts()[1], (true, "0.10 s".to_owned()));
    assert!(run.verdicts()[2].1.contains("h0 has 1"));
}

#[test]
fn an_address_that_a_node_had_before_is_wrong() {
    let mut run = Run::new("[[must]]\naddress = \"pub\"\nafter = \"1s\"\nwithin = \"2s\"\n");
    run.all_show_all(0.5);
    run.plan.renumber(2, 0);
    run.judge.judge(1.5, &run.plan);
    let (held, words) = run.verdicts().remove(0);
    assert!(!held);
    assert!(
        words.contains("pub shows pub at [2001:db8::3]:8083 198.51.100.3:8083"),
        "{words}"
    );
    run.all_show_all(2.5);
    assert_eq!(run.verdicts(), [(true, "1.50 s".to_owned())]);
}

#[test]
fn a_time_that_begins_with_a_step_begins_after_it() {
    let mut run = Run::new("[[must]]\nknow = \"all\"\nafter = \"5s\"\nwithin = \"2s\"\n");
    run.judge.next_step(5.0);
    run.all_show_all(5.0);
    assert!(!run.verdicts()[0].0);
    run.judge.next_step(f64::INFINITY);
    run.judge.judge(5.1, &run.plan);
    assert!(run.verdicts()[0].0);
}

#[test]
fn nothing_holds_of_nodes_of_which_none_runs() {
    let mut run = Run::new("[[must]]\nknow = \"h0\"\nwhom = \"pub\"\nwithin = \"2s\"\n");
    run.judge.runs(1, false);
    run.all_show_all(0.5);
    assert!(!run.verdicts()[0].0);
}
