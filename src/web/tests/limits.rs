//! What one client can take.

use tokio::time::timeout;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_client_that_stalls_is_given_up() {
    let scene = Scene::new();
    let wait = |places: Arc<Semaphore>| async move {
        let begun = Instant::now();
        let _free = places.acquire().await.unwrap();
        begun.elapsed()
    };
    // It sends nothing, half a head, or never reads what it asked for.
    for (request, room, seconds) in [
        ("", 1 << 20, 10),
        ("GET /v1/status HTTP/1.1\r\nHost: x\r\n", 1 << 20, 10),
        ("GET /v1/graph HTTP/1.1\r\nHost: x\r\n\r\n", 100, 15),
    ] {
        let (mut client, places) = scene.connect_with(true, room);
        client.write_all(request.as_bytes()).await.unwrap();
        let took = timeout(Duration::from_secs(60), wait(places))
            .await
            .unwrap();
        assert!(
            took.as_secs() <= seconds && took.as_secs() + 2 > seconds,
            "{request:?}: {took:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_huge_head_is_refused() {
    let scene = Scene::new();
    for request in [
        format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(100_000)),
        format!(
            "GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n",
            "a".repeat(100_000)
        ),
        format!(
            "GET / HTTP/1.1\r\nHost: x\r\n{}\r\n",
            "A: b\r\n".repeat(1000)
        ),
        "\u{0}\u{1}\r\n\r\n".to_owned(),
    ] {
        let mut client = scene.connect(false);
        client.write_all(request.as_bytes()).await.ok();
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).await.ok();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn streams_are_few_and_a_place_is_free_again() {
    let scene = Scene::new();
    let mut streams = Vec::new();
    for _ in 0..16 {
        let mut lines = Lines::of(&scene, "/v1/stream").await;
        lines.next().await.unwrap();
        streams.push(lines);
    }
    scene
        .get("/v1/stream")
        .await
        .refused(503, "too many streams");
    assert_eq!(scene.get("/v1/status").await.status, 200);
    streams.pop();
    sleep(Duration::from_secs(1)).await;
    let mut lines = Lines::of(&scene, "/v1/stream").await;
    assert_eq!(lines.next().await.unwrap()["version"], 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_all_streams_over_tcp_leaves_those_of_the_nodes_user() {
    let scene = Scene::new();
    let mut held = Vec::new();
    for _ in 0..40 {
        let mut client = scene.connect(false);
        let request = "GET /v1/events?follow=1 HTTP/1.1\r\nHost: [::1]\r\n\r\n";
        client.write_all(request.as_bytes()).await.unwrap();
        held.push(client);
    }
    sleep(Duration::from_secs(1)).await;
    let refused = scene.get_tcp("/v1/stream", "Host: [::1]\r\n").await;
    refused.refused(503, "too many streams");
    let mut lines = Lines::of(&scene, "/v1/stream").await;
    assert_eq!(lines.next().await.unwrap()["version"], 1);
}
