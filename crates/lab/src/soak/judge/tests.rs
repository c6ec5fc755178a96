use std::path::PathBuf;

use super::*;

const ROUND: f64 = 1500.0;

fn line(s: f64, event: Event) -> Line {
    Line { s, event }
}

fn began() -> Line {
    let conditions = Conditions {
        began_unix_s: 0,
        nodes: 5,
        elders: vec![0, 1],
        for_s: 7200.0,
        round_s: ROUND,
        seed: 1,
        binary: PathBuf::from("area-net"),
        settings: Vec::new(),
    };
    line(0.0, Event::Began(conditions))
}

fn sample(place: usize, rss_kb: f64) -> Sample {
    Sample {
        place,
        age_s: 100.0,
        rss_kb,
        peak_kb: rss_kb,
        private_kb: rss_kb / 2.0,
        fds: 16,
        threads: 3,
        cpu: Some(0.01),
        waited: Some(0.001),
        up: 5,
        strangers: 0,
        file_bytes: 1000,
    }
}

/// A soak of so many seconds in which the first node's memory is what `rss_kb` says.
fn soak(lasted: f64, rss_kb: impl Fn(f64) -> f64) -> Vec<Line> {
    let mut lines = vec![began()];
    let mut s = 0.0;
    while s < lasted {
        lines.push(line(s, Event::Sample(sample(0, rss_kb(s)))));
        lines.push(line(s, Event::Sample(sample(1, 12_000.0))));
        s += 10.0;
    }
    lines.push(line(lasted, Event::Finished { log_bytes: 0 }));
    lines
}

fn held(lines: &[Line], promise: &str) -> Option<bool> {
    let judgement = judge(lines).unwrap();
    let mut of = judgement.verdicts.into_iter();
    let verdict = of.find(|one| one.promised.contains(promise));
    verdict
        .unwrap_or_else(|| panic!("no promise {promise:?}"))
        .held
}

#[test]
fn memory_that_rises_and_falls_with_the_attacks_does_not_grow() {
    let with_the_round = |s: f64| {
        if s % ROUND < 300.0 {
            30_000.0
        } else {
            12_000.0
        }
    };
    assert_eq!(held(&soak(7200.0, with_the_round), "resident"), Some(true));
}

#[test]
fn a_rise_during_the_warm_up_is_no_growth() {
    let warming = |s: f64| 10_000.0 + 20_000.0 * (s / ROUND).min(1.0);
    assert_eq!(held(&soak(7200.0, warming), "resident"), Some(true));
}

#[test]
fn a_leak_is_growth() {
    let leaking = |s: f64| 12_000.0 + 3_000.0 * s / 3600.0;
    let lines = soak(7200.0, leaking);
    assert_eq!(held(&lines, "resident"), Some(false));
    // Half of it is private memory, which stays within the bound.
    assert_eq!(held(&lines, "private"), Some(true));
    let judgement = judge(&lines).unwrap();
    assert!(!judgement.held());
    let slope = &judgement.verdicts[1].measured;
    assert!(
        slope.contains("node 0: ") && slope.contains("+2996 an hour"),
        "{slope}"
    );
}

#[test]
fn a_short_soak_can_not_tell_of_growth() {
    assert_eq!(held(&soak(600.0, |_| 12_000.0), "resident"), None);
    assert_eq!(held(&[began()], "descriptors"), None);
}

#[test]
fn descriptors_and_threads_have_bounds() {
    let mut lines = soak(60.0, |_| 12_000.0);
    assert_eq!(held(&lines, "descriptors"), Some(true));
    let mut many = sample(3, 12_000.0);
    many.fds = FDS + 1;
    many.threads = THREADS + 1;
    lines.push(line(60.0, Event::Sample(many)));
    assert_eq!(held(&lines, "descriptors"), Some(false));
    assert_eq!(held(&lines, "threads"), Some(false));
}

#[test]
fn a_view_may_be_false_for_a_while() {
    let lasted = |kind, lasted_s| {
        let event = Event::False {
            kind,
            viewer: 1,
            subject: 2,
            lasted_s,
        };
        [began(), line(50.0, event)]
    };
    let (down, up) = ("is missing in a view", "is shown as up");
    assert_eq!(held(&lasted(Kind::Down, FALSE_LIMIT), down), Some(true));
    assert_eq!(
        held(&lasted(Kind::Down, FALSE_LIMIT + 0.1), down),
        Some(false)
    );
    assert_eq!(held(&lasted(Kind::Down, FALSE_LIMIT + 0.1), up), Some(true));
    assert_eq!(held(&lasted(Kind::Up, FALSE_LIMIT + 0.1), up), Some(false));
}

#[test]
fn views_must_be_exact_in_each_quiet_time() {
    let quiet = |exact_after_s, wrong: Option<&str>| {
        let wrong = wrong.map(str::to_owned);
        line(
            300.0,
            Event::Quiet {
                exact_after_s,
                wrong,
            },
        )
    };
    let promise = "when nothing happens";
    let mut lines = vec![began()];
    assert_eq!(held(&lines, promise), None);
    lines.push(quiet(Some(2.0), None));
    assert_eq!(held(&lines, promise), Some(true));
    lines.push(quiet(None, Some("node 3 does not show [1]")));
    assert_eq!(held(&lines, promise), Some(false));
    let judgement = judge(&lines).unwrap();
    let verdict = judgement
        .verdicts
        .iter()
        .find(|one| one.promised.contains(promise));
    let measured = &verdict.unwrap().measured;
    assert!(
        measured.contains("1 of 2 times") && measured.contains("node 3"),
        "{measured}"
    );
}

#[test]
fn a_node_that_ends_and_an_attack_that_can_not_be_made_are_told() {
    let fault = Event::Fault {
        place: 2,
        words: "it ended with signal 6".to_owned(),
    };
    assert_eq!(
        held(&[began(), line(9.0, fault)], "no node ends by itself"),
        Some(false)
    );
    let attack = |handshakes, failure: Option<&str>| {
        let event = Event::AttackEnded {
            name: "flood-1".to_owned(),
            failure: failure.map(str::to_owned),
            did: BTreeMap::from([("handshakes".to_owned(), handshakes)]),
        };
        [began(), line(60.0, event)]
    };
    assert_eq!(held(&attack(1.0, None), "each attack"), Some(true));
    assert_eq!(
        held(&attack(1.0, Some("can't bind")), "each attack"),
        Some(false)
    );
    assert_eq!(held(&attack(0.0, None), "each attack"), Some(false));
}

#[test]
fn a_soak_that_runs_is_judged_so_far() {
    let mut lines = soak(7200.0, |_| 12_000.0);
    assert!(judge(&lines).unwrap().ended);
    lines.pop();
    assert!(!judge(&lines).unwrap().ended);
    assert!(judge(&lines[1..]).is_err(), "the beginning is missing");
}
