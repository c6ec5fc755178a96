//! What the report says, as JSON and as a page.

use area_net::sim::report;

use crate::play;

#[test]
fn the_json_has_its_documented_names() {
    let report = play("nodes = 4\nlasts = \"20s\"");
    let text = report::json::render(&report);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    for name in [
        "format",
        "title",
        "seed",
        "fidelity",
        "nodes",
        "ran_ms",
        "lasts_ms",
        "ended",
        "violation",
        "happened",
        "events",
        "gone",
        "gone_single",
        "known",
        "still_shown",
        "false_downs",
        "links_lost",
        "at_end",
        "traffic",
        "degree",
        "figures",
        "awareness",
        "graph",
    ] {
        assert!(json.get(name).is_some(), "{name}");
    }
    assert_eq!(json["format"], 1);
    for path in [
        "/events/0/all_exact_after_ms",
        "/events/0/stays_exact_after_ms",
        "/known/median_ms",
        "/at_end/exact",
        "/traffic/idle_bytes_per_s",
        "/traffic/copies",
        "/degree/p99",
        "/figures/at_rest",
        "/figures/at_end/own/age_ms/median",
        "/figures/at_end/others/error_percent/p99",
        "/awareness/0/known",
        "/graph/links/0/2",
    ] {
        assert!(json.pointer(path).is_some(), "{path}");
    }
}

/// Four nodes of which two are killed after 20 of 60 seconds run for 160 seconds together; four that start 10 s apart, for 180.
#[test]
fn traffic_is_divided_by_the_time_that_nodes_ran() {
    for (text, node_s) in [
        ("[[step]]\nat = \"20s\"\nkill = \"2..4\"", 160.0),
        ("start_over = \"40s\"", 180.0),
    ] {
        let traffic = play(&format!("nodes = 4\nlasts = \"60s\"\n{text}")).traffic;
        let expected = traffic.bytes as f64 / node_s;
        assert!(
            (traffic.bytes_per_s - expected).abs() <= 0.05,
            "{text}: {traffic:?}"
        );
        // The four do the same, for as long as they run.
        assert!(traffic.busiest_over_median < 1.5, "{text}: {traffic:?}");
    }
}

#[test]
fn the_end_is_reported_like_the_rest_before_it() {
    let report = play("nodes = 4\nlasts = \"90s\"");
    let idle = report.traffic.idle_bytes_per_s.expect("nothing happens");
    let end = report.at_end.bytes_per_s;
    assert!(
        (end / idle - 1.0).abs() < 0.25,
        "{end} at the end, {idle} at rest"
    );
    // All that was sent is in the curve, each part with its time.
    let mut sent = 0.0;
    let mut before = 0.0;
    for point in &report.awareness {
        sent += point.bytes_per_s * 4.0 * (point.at_ms - before) / 1000.0;
        before = point.at_ms;
    }
    let bytes = report.traffic.bytes as f64;
    assert!((sent / bytes - 1.0).abs() < 0.001, "{sent} of {bytes}");
}

#[test]
fn a_started_node_is_known_when_all_that_can_show_it() {
    let report = play(
        "nodes = 5\nlasts = \"60s\"\n[[step]]\nat = \"10s\"\nstop = \"0\"\n\
         [[step]]\nat = \"20s\"\nrestart = \"3\"",
    );
    assert_eq!(report.known.count, 6, "{:?}", report.known);
}

/// Two nodes have one link, which each of them shows. The network is at rest from 20 s on, and a sample is taken every five seconds.
#[test]
fn round_trip_times_in_views_are_compared_with_the_path() {
    let calm = play("nodes = 2\nlinks = \"delay 10ms\"\nlasts = \"60s\"").figures;
    let rest = calm.at_rest.expect("nothing happens");
    assert_eq!((calm.at_end.own.shown, calm.at_end.others.shown), (2, 0));
    assert_eq!((rest.own.shown, rest.others.shown), (2 * 8, 0));
    assert_eq!((rest.own.unmeasured, rest.own.stale), (0, 0));
    assert!(calm.at_end.own.error_us.max.abs() < 1e-9, "{calm:?}");
    assert!(rest.own.age_ms.max <= 60_000.0, "{calm:?}");
    // Nobody can know of a change that came in the last moment.
    let moved = play(
        "nodes = 2\nlinks = \"delay 10ms\"\nlasts = \"60s\"\n\
         [[step]]\nat = \"59990ms\"\nnetem = \"delay 50ms\"",
    );
    let error = moved.figures.at_end.own;
    assert!((error.error_us.median - 80_000.0).abs() < 1e-9, "{error:?}");
    assert!((error.error_percent.max - 80.0).abs() < 1e-9, "{error:?}");
    // At rest it was not different yet.
    assert_eq!(moved.figures.at_rest, calm.at_rest);
}

/// The figures of every link at every node: never old, never wrong by more than the scale's step.
#[test]
fn round_trip_times_are_current_at_every_node() {
    for (nodes, oldest_s) in [(5, 15.0), (25, 30.0), (100, 60.0)] {
        let report = play(&format!("nodes = {nodes}\nlasts = \"150s\""));
        let rest = report.figures.at_rest.expect("nothing happens");
        assert_eq!((rest.own.stale, rest.others.stale), (0, 0), "{rest:?}");
        assert!(rest.own.age_ms.max <= 3500.0, "{nodes}: {:?}", rest.own);
        assert!(rest.own.error_percent.max < 0.1, "{nodes}: {:?}", rest.own);
        let others = rest.others;
        assert!(
            others.age_ms.max <= oldest_s * 1000.0,
            "{nodes}: {others:?}"
        );
        assert!(others.error_percent.max < 3.1, "{nodes}: {others:?}");
    }
}

/// After a move, one's own links show it within five samples, and everybody hears of it at once.
#[test]
fn a_moved_round_trip_time_is_shown_by_everybody() {
    for nodes in [5, 25] {
        let report = play(&format!(
            "nodes = {nodes}\nlinks = \"delay 20ms\"\nlasts = \"100s\"\n\
             [[step]]\nat = \"60s\"\nnetem = \"delay 18ms\""
        ));
        let end = report.figures.at_end;
        assert!(end.own.error_percent.max < 3.0, "{nodes}: {:?}", end.own);
        assert!(
            end.others.error_percent.max < 6.0,
            "{nodes}: {:?}",
            end.others
        );
    }
}

/// Every element that is opened is closed, in order; a parser of its own, so that no tool is needed.
fn check_nesting(page: &str) {
    const VOID: [&str; 1] = ["meta"];
    let mut open: Vec<&str> = Vec::new();
    for tag in page.split('<').skip(1) {
        let tag = tag.split('>').next().expect("a split has a first part");
        if tag.starts_with('!') || tag.ends_with('/') {
            continue;
        }
        let name = tag.split_whitespace().next().expect("a tag has a name");
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if VOID.contains(&name) => {}
            None => open.push(name),
        }
    }
    assert_eq!(open, Vec::<&str>::new());
}

#[test]
fn the_page_is_whole_and_needs_nothing_else() {
    let report = play(
        "title = '<b>\"& done'\nnodes = 20\nlasts = \"60s\"\n[[step]]\nat = \"40s\"\nkill = \"any 3\"\n",
    );
    let page = report::html::render(&report);
    check_nesting(&page);
    for never in [
        "http", "<script", "src=", "url(", "@import", "href=", "<b>\"", "NaN", "inf",
    ] {
        assert!(!page.contains(never), "{never}");
    }
    assert!(page.contains("&lt;b&gt;&quot;&amp; done"));
    assert!(page.contains("prefers-color-scheme: dark"));
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
}
