//! Streams of changes, and how many snapshots they cost.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_stream_begins_with_the_view_and_tells_a_change_within_100_ms() {
    let scene = Scene::new();
    let mut lines = Lines::of(&scene, "/v1/stream").await;
    assert_eq!(lines.next().await.unwrap()["format"], "area-net-recording");
    let key = lines.next().await.unwrap();
    assert_eq!(key["view"]["nodes"].as_array().unwrap().len(), 3);
    for millis in [10, 300, 1000, 20, 20, 20, 20, 20, 7000] {
        sleep(Duration::from_millis(millis)).await;
        let changed_at = scene.start.elapsed();
        scene.change(|view| {
            let state = &mut view.nodes[2].state;
            *state = if *state == NodeState::Up {
                NodeState::Left
            } else {
                NodeState::Up
            };
        });
        loop {
            let line = lines.next().await.unwrap();
            if let Some(node) = line.get("nodes").map(|nodes| &nodes[0]) {
                assert_eq!(node["n"], 2, "{line}");
                break;
            }
        }
        let took = scene.start.elapsed() - changed_at;
        assert!(took <= Duration::from_millis(100), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_says_every_five_seconds_that_the_node_lives() {
    let scene = Scene::new();
    let mut lines = Lines::of(&scene, "/v1/stream").await;
    for _ in 0..2 {
        lines.next().await.unwrap();
    }
    for _ in 0..4 {
        let before = Instant::now();
        let line = lines.next().await.unwrap();
        assert_eq!(line.as_object().unwrap().len(), 1, "{line}");
        assert_eq!(before.elapsed(), Duration::from_secs(5));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_the_past_ends_where_it_was_asked_to() {
    let scene = Scene::new();
    scene.get("/v1/status").await;
    for second in 1..5 {
        sleep(Duration::from_secs(1)).await;
        scene.change(|view| view.links[0].rtt_us = Some(50 + second));
        scene.get("/v1/status").await;
    }
    let path = format!("/v1/stream?from={}&to={}", ORIGIN + 1500, ORIGIN + 3500);
    let mut lines = Lines::of(&scene, &path).await;
    let mut at = Vec::new();
    while let Some(line) = lines.next().await {
        at.extend(line["at"].as_i64());
    }
    assert_eq!(at, [1000, 2000, 3000]);
    let mut all = Lines::of(&scene, "/v1/stream?from=begin").await;
    for expected in [
        None,
        Some(0),
        Some(1000),
        Some(2000),
        Some(3000),
        Some(4000),
    ] {
        assert_eq!(all.next().await.unwrap()["at"].as_i64(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_the_node() {
    let scene = Scene::new();
    let mut lines = Lines::of(&scene, "/v1/stream").await;
    lines.next().await.unwrap();
    let Scene { view, changes, .. } = scene;
    drop((view, changes));
    while lines.next().await.is_some() {}
}

#[tokio::test(start_paused = true)]
async fn nobody_who_looks_means_no_snapshot_and_many_who_look_mean_few() {
    let scene = Scene::new();
    for _ in 0..50 {
        scene.change(|view| view.links[0].rtt_us = Some(1));
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(scene.asked(), 0);
    for _ in 0..1000 {
        scene.get("/v1/status").await;
    }
    assert!(scene.asked() <= 2, "{}", scene.asked());

    // A minute of a view that changes all the time, with ten streams.
    let before = scene.asked();
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(Lines::of(&scene, "/v1/stream").await);
    }
    for round in 0..6000 {
        scene.change(|view| view.links[0].rtt_us = Some(round));
        sleep(Duration::from_millis(10)).await;
    }
    let asked = scene.asked() - before;
    assert!((500..=2401).contains(&asked), "{asked}");
    drop(streams);
    sleep(Duration::from_secs(20)).await;
    let before = scene.asked();
    scene.change(|view| view.links[0].rtt_us = Some(1));
    sleep(Duration::from_secs(20)).await;
    assert_eq!(scene.asked(), before);
}
