//! The maps of the past.

use std::collections::BTreeMap;

use super::*;

/// The places on a line's map, by the numbers of the nodes.
fn places(line: &Value) -> BTreeMap<u64, (f64, f64)> {
    let places = line["map"]["places"].as_array().expect("a map");
    let place = |place: &Value| {
        let [x, y] = [1, 2].map(|at| place[at].as_f64().unwrap());
        (place[0].as_u64().unwrap(), (x, y))
    };
    places.iter().map(place).collect()
}

/// A ring with a chord: nodes 1 to 8.
fn eight() -> Snapshot {
    let mut view = three();
    view.nodes = (1..=8).map(|n| node(n, &format!("n{n}"))).collect();
    let next = |at: usize| link(at, (at + 1) % 8, 20_000);
    view.links = (0..8).map(next).collect();
    view.links.push(link(0, 4, 50_000));
    view.links.sort_by_key(|link| (link.dialer, link.listener));
    view
}

/// All lines of the past between two times, in s.
async fn past(scene: &Scene, kind: &str, from: i64, to: i64) -> Vec<Value> {
    let [from, to] = [from, to].map(|at| ORIGIN + at * 1000);
    let path = format!("/v1/stream?from={from}&to={to}&map={kind}");
    let mut lines = Lines::of(scene, &path).await;
    let mut all = Vec::new();
    while let Some(line) = lines.next().await {
        all.push(line);
    }
    all
}

#[tokio::test(start_paused = true)]
async fn the_past_has_the_places_of_then_and_moves_nothing_that_was_the_same() {
    let scene = Scene::new();
    tokio::spawn(Arc::clone(&scene.site.maps).run());
    scene.change(|view| *view = eight());
    scene.get("/v1/status").await;
    // After five seconds, node 8 and its two links are gone.
    sleep(Duration::from_secs(5)).await;
    scene.change(|view| {
        view.nodes[7].state = NodeState::Unreachable;
        view.links
            .retain(|link| link.dialer != 7 && link.listener != 7);
    });
    scene.get("/v1/status").await;
    sleep(Duration::from_secs(5)).await;
    scene.change(|view| view.cut_off = !view.cut_off);
    scene.get("/v1/status").await;
    for kind in ["latency", "structure"] {
        let mut live = Lines::of(&scene, &format!("/v1/stream?map={kind}")).await;
        let now = loop {
            let line = live.next().await.unwrap();
            if line.get("map").is_some() {
                break places(&line);
            }
        };
        assert_eq!(now.len(), 7);
        let after = past(&scene, kind, 6, 6).await;
        let shown = after.iter().find(|line| line.get("map").is_some()).unwrap();
        let then = places(shown);
        assert_eq!(then.len(), 7, "{kind}");
        let extent = now.values().map(|(x, y)| x.hypot(*y)).fold(0.0, f64::max);
        for (n, (x, y)) in &then {
            let (now_x, now_y) = now[n];
            let moved = (x - now_x).hypot(y - now_y);
            assert!(
                moved < extent / 10.0,
                "{kind}: {n} moved by {moved} of {extent}"
            );
        }
        let before = past(&scene, kind, 2, 6).await;
        let mut maps = before.iter().filter(|line| line.get("map").is_some());
        // The view and its map come first, so that a page never shows it without places.
        assert!(before[1].get("view").is_some() && before[2].get("map").is_some());
        let first = maps.next().unwrap();
        assert_eq!(first["map"]["kind"], kind);
        assert_eq!(
            places(first).len(),
            8,
            "{kind}: the node that is gone had a place"
        );
        assert_eq!(first["at"], before[1]["at"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_has_a_bounded_number_of_maps() {
    let scene = Scene::new();
    scene.change(|view| *view = eight());
    scene.get("/v1/status").await;
    for at in 0..300 {
        sleep(Duration::from_secs(1)).await;
        scene.change(|view| view.links[at % 3].suspect = !view.links[at % 3].suspect);
        scene.change(|view| {
            view.links[3].rtt_us = Some(20_000 + 9_000 * u32::try_from(at % 7).unwrap())
        });
        scene.get("/v1/status").await;
    }
    let all = past(&scene, "latency", 0, 300).await;
    let (maps, rest): (Vec<_>, Vec<_>) = all.iter().partition(|line| line.get("map").is_some());
    assert!((10..=61).contains(&maps.len()), "{} maps", maps.len());
    assert!(rest.len() > 300, "{} lines", rest.len());
    let times: Vec<_> = all[1..].iter().map(|line| line["at"].as_i64()).collect();
    assert!(times.is_sorted());
}
