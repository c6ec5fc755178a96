mod past_maps;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use super::serve::connection;
use super::site::Site;
use crate::chronicle::{Archive, Limit, Notes};
use crate::export::formats::Format;
use crate::export::json;
use crate::snapshot::{Changes, LinkView, NodeState, NodeView, Rejected, Snapshot, SnapshotReader};
use crate::wire::NodeId;

/// The start of the node in Unix ms.
const ORIGIN: i64 = 1_700_000_000_000;

fn node(number: u8, label: &str) -> NodeView {
    NodeView {
        id: NodeId([number; 32]),
        label: label.into(),
        addrs: vec![([0, 0, 0, 0, 0, 0, 0, 1], 8000 + u16::from(number)).into()],
        state: NodeState::Up,
        since_ms: 0,
    }
}

fn link(dialer: usize, listener: usize, rtt_us: u32) -> LinkView {
    LinkView {
        dialer,
        listener,
        rtt_us: Some(rtt_us),
        rtt_at_ms: 0,
        rtt_stale: false,
        loss_permille: 0,
        suspect: false,
        other: None,
        disputed_ms: None,
    }
}

fn three() -> Snapshot {
    Snapshot {
        me: 0,
        at_ms: 0,
        origin_ms: ORIGIN,
        network: "demo".into(),
        cut_off: false,
        impaired: None,
        nodes: vec![node(1, "alice"), node(2, "bob"), node(3, "carol/ä")],
        links: vec![link(0, 1, 50), link(1, 2, 70)],
        differing: Vec::new(),
        rejected: Rejected::default(),
    }
}

/// A node whose view a test changes, and the site that shows it.
struct Scene {
    site: Arc<Site>,
    view: watch::Sender<Snapshot>,
    changes: watch::Sender<Changes>,
    /// How many snapshots the node made.
    asked: Arc<AtomicUsize>,
    start: Instant,
}

impl Scene {
    fn new() -> Self {
        Self::with_token(None)
    }

    fn with_token(token: Option<&str>) -> Self {
        let start = Instant::now();
        let (view, seen) = watch::channel(three());
        let (changes, changed) = watch::channel(Changes::default());
        let (requests, mut requested) = mpsc::channel::<oneshot::Sender<Arc<Snapshot>>>(1);
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let mut lives = seen.clone();
        tokio::spawn(async move {
            loop {
                let answer = tokio::select! {
                    biased;
                    changed = lives.changed() => match changed {
                        Ok(()) => continue,
                        // The test drops the view: the node ends.
                        Err(_) => return,
                    },
                    Some(answer) = requested.recv() => answer,
                };
                count.fetch_add(1, Ordering::Relaxed);
                let mut snapshot = seen.borrow().clone();
                snapshot.at_ms = i64::try_from(start.elapsed().as_millis()).unwrap();
                answer.send(Arc::new(snapshot)).ok();
            }
        });
        let limit = Limit {
            bytes: 1 << 20,
            age: Duration::from_secs(3600),
        };
        let archive = Arc::new(Archive::new(limit, Notes::default()));
        let reader = SnapshotReader::new(changed, requests);
        let site = Arc::new(Site::live(reader, archive, token.map(str::to_owned)));
        tokio::spawn(Arc::clone(&site.feed).run());
        Self {
            site,
            view,
            changes,
            asked,
            start,
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// The view changes, and the node says so.
    fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        self.view.send_modify(change);
        self.changes.send_modify(|changes| changes.shape += 1);
    }

    /// A client's end of a connection.
    fn connect(&self, is_unix: bool) -> DuplexStream {
        self.connect_with(is_unix, 1 << 20).0
    }

    /// The same with so much room between client and server, and a place that is free once the connection has ended.
    fn connect_with(&self, is_unix: bool, room: usize) -> (DuplexStream, Arc<Semaphore>) {
        let (client, server) = duplex(room);
        let places = Arc::new(Semaphore::new(1));
        let place = Arc::clone(&places).try_acquire_owned().unwrap();
        tokio::spawn(connection(
            Arc::clone(&self.site),
            Box::new(server),
            is_unix,
            place,
        ));
        (client, places)
    }

    async fn ask(&self, request: &str, is_unix: bool) -> Reply {
        let mut client = self.connect(is_unix);
        client.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).await.unwrap();
        Reply::parse(&bytes)
    }

    /// Asks through the socket of the same user.
    async fn get(&self, path: &str) -> Reply {
        let request = format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
        self.ask(&request, true).await
    }

    async fn get_tcp(&self, path: &str, headers: &str) -> Reply {
        let request = format!("GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
        self.ask(&request, false).await
    }
}

#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no head: {:?}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8(bytes[..end].to_vec())
            .unwrap()
            .to_lowercase();
        Self {
            status: head[9..12].parse().unwrap(),
            head,
            body: bytes[end + 4..].to_vec(),
        }
    }

    #[track_caller]
    fn json(&self) -> Value {
        assert!(
            self.head.contains("content-type: application/json"),
            "{self:?}"
        );
        serde_json::from_slice(&self.body).unwrap()
    }

    #[track_caller]
    fn refused(&self, status: u16, what: &str) {
        assert_eq!(self.status, status, "{self:?}");
        let said = self.json()["error"]["what"].as_str().unwrap().to_owned();
        assert!(said.contains(what), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_question_has_an_answer() {
    let scene = Scene::new();
    for path in [
        "/v1/status",
        "/v1/nodes",
        "/v1/links",
        "/v1/node/bob",
        "/v1/node/carol%2F%C3%A4",
        "/v1/node/0202",
        "/v1/node/%5B::1%5D:8002",
        "/v1/link/alice/bob",
        "/v1/link/bob/alice",
        "/v1/path?to=bob",
        "/v1/path?from=bob&to=carol/%C3%A4",
        "/v1/explain",
        "/v1/ping/bob",
        "/v1/graph",
        "/v1/history",
        "/v1/events",
        "/v1/events?about=bob&since=0&name=node%20up",
    ] {
        let reply = scene.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        assert_eq!(reply.json()["format"], 1, "{path}");
        for header in [
            "content-security-policy",
            "x-content-type-options: nosniff",
            "no-store",
        ] {
            assert!(reply.head.contains(header), "{path}: {}", reply.head);
        }
    }
    assert_eq!(scene.get("/v1/graph").await.body, json::network(&three()));
    for format in Format::ALL {
        let reply = scene.get(&format!("/v1/graph?format={format}")).await;
        assert_eq!(reply.status, 200, "{format}");
        assert!(reply.head.contains(format.content_type()), "{format}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_page_is_served_with_its_files() {
    let scene = Scene::new();
    let page = scene.get("/").await;
    assert!(page.head.contains("text/html"), "{page:?}");
    let text = String::from_utf8(page.body).unwrap();
    assert!(text.contains("<title>"));
    for name in ["main.js", "style.css", "icon.svg"] {
        assert_eq!(scene.get(&format!("/page/{name}")).await.status, 200);
    }
    scene
        .get("/page/../Cargo.toml")
        .await
        .refused(404, "nothing at");
}

#[tokio::test(start_paused = true)]
async fn a_question_without_an_answer_says_why() {
    let scene = Scene::new();
    scene.get("/v1/nothing").await.refused(404, "/v1/nothing");
    scene.get("/else").await.refused(404, "/else");
    scene.get("/v1/node/zed").await.refused(404, "zed");
    scene
        .get("/v1/node/%ff")
        .await
        .refused(400, "percent-encoded");
    scene
        .get("/v1/link/alice/carol%2F%C3%A4")
        .await
        .refused(404, "no link");
    scene.get("/v1/path").await.refused(400, "missing");
    scene.get("/v1/graph?format=svg").await.refused(400, "svg");
    scene.get("/v1/status?att=5").await.refused(400, "att");
    scene
        .get("/v1/status?at=soon")
        .await
        .refused(400, "Unix ms");
    scene
        .get("/v1/status?at=5")
        .await
        .refused(410, "before the history");
    scene
        .view
        .send_modify(|view| view.nodes[1].label = "alice".into());
    sleep(Duration::from_secs(1)).await;
    let several = scene.get("/v1/node/alice").await;
    several.refused(409, "2 nodes");
    assert_eq!(several.json()["candidates"].as_array().unwrap().len(), 2);
    let post =
        "POST /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    scene.ask(post, true).await.refused(405, "only reads");
    let body =
        "GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";
    scene.ask(body, true).await.refused(413, "body");
}

#[tokio::test(start_paused = true)]
async fn over_tcp_only_this_page_reads_and_beyond_loopback_only_with_the_token() {
    let scene = Scene::new();
    assert_eq!(
        scene
            .get_tcp("/v1/status", "Host: [::1]:8095\r\n")
            .await
            .status,
        200
    );
    for headers in [
        "Host: evil.example\r\n",
        "Host: [::1]:1\r\nOrigin: http://evil.example\r\n",
        "Host: [::1]:1\r\nSec-Fetch-Site: cross-site\r\n",
        "",
    ] {
        let reply = scene.get_tcp("/v1/status", headers).await;
        assert!(matches!(reply.status, 400 | 403), "{headers}: {reply:?}");
    }
    let guarded = Scene::with_token(Some("secret-secret-16"));
    let host = "Host: 192.0.2.7:8095\r\n";
    assert_eq!(guarded.get_tcp("/", host).await.status, 200);
    guarded
        .get_tcp("/v1/stream", host)
        .await
        .refused(401, "token");
    let told = format!("{host}Authorization: Bearer secret-secret-16\r\n");
    assert_eq!(guarded.get_tcp("/v1/status", &told).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn the_past_is_answered_as_the_present_was() {
    let scene = Scene::new();
    scene.get("/v1/status").await;
    sleep(Duration::from_secs(10)).await;
    scene.change(|view| {
        view.nodes[2].state = NodeState::Unreachable;
        view.links.pop();
    });
    assert_eq!(
        scene.get("/v1/links").await.json()["links"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let then = scene.get(&format!("/v1/links?at={}", ORIGIN + 5000)).await;
    assert_eq!(then.json()["links"].as_array().unwrap().len(), 2);
    let then = scene.get(&format!("/v1/graph?at={}", ORIGIN + 5000)).await;
    assert_eq!(then.body, json::network(&three()));
}

/// Reads the lines of a stream.
struct Lines {
    client: DuplexStream,
    /// What was received, without the head and the sizes of chunks.
    text: String,
    raw: Vec<u8>,
    is_body: bool,
}

impl Lines {
    async fn of(scene: &Scene, path: &str) -> Self {
        let mut client = scene.connect(true);
        let request = format!("GET {path} HTTP/1.1\r\nHost: node\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        Self {
            client,
            text: String::new(),
            raw: Vec::new(),
            is_body: false,
        }
    }

    /// Takes chunks out of what was received.
    fn unwrap_chunks(&mut self) {
        if !self.is_body {
            let Some(end) = self.raw.windows(4).position(|four| four == b"\r\n\r\n") else {
                return;
            };
            assert!(
                self.raw.starts_with(b"HTTP/1.1 200"),
                "{:?}",
                String::from_utf8_lossy(&self.raw)
            );
            self.raw.drain(..end + 4);
            self.is_body = true;
        }
        while let Some(end) = self.raw.windows(2).position(|two| two == b"\r\n") {
            let size = std::str::from_utf8(&self.raw[..end]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            if self.raw.len() < end + 2 + size + 2 {
                return;
            }
            self.text += std::str::from_utf8(&self.raw[end + 2..end + 2 + size]).unwrap();
            self.raw.drain(..end + 2 + size + 2);
        }
    }

    /// The next line; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((line, rest)) = self.text.split_once('\n') {
                let value = serde_json::from_str(line).unwrap();
                self.text = rest.to_owned();
                return Some(value);
            }
            let mut bytes = [0; 4096];
            let count = self.client.read(&mut bytes).await.unwrap();
            if count == 0 {
                return None;
            }
            self.raw.extend(&bytes[..count]);
            self.unwrap_chunks();
            if self.raw.starts_with(b"0\r\n") {
                return None;
            }
        }
    }
}

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

/// The description for programs names every route, and every field that it promises is in the answer.
#[tokio::test(start_paused = true)]
async fn the_answers_are_as_described() {
    let scene = Scene::new();
    let described: Value = serde_json::from_str(include_str!("../../docs/openapi.json")).unwrap();
    let text = include_str!("../../docs/api.md");
    let paths = described["paths"].as_object().unwrap();
    for (path, about) in paths {
        let asked = path.replace("{x}", "bob").replace("{y}", "alice");
        let question = path.replace("{x}", "X").replace("{y}", "Y");
        assert!(text.contains(&format!("GET {question}")), "{question}");
        let content = about["get"]["responses"]["200"]["content"]
            .as_object()
            .unwrap();
        let Some(schema) = content.get("application/json") else {
            continue;
        };
        let asked = if path == "/v1/path" {
            "/v1/path?to=bob"
        } else {
            &asked
        };
        let reply = scene.get(asked).await;
        assert_eq!(reply.status, 200, "{asked}: {reply:?}");
        let name = schema["schema"]["$ref"].as_str().unwrap();
        let name = name.strip_prefix("#/components/schemas/").unwrap();
        let promised = &described["components"]["schemas"][name]["required"];
        for field in promised.as_array().unwrap() {
            let field = field.as_str().unwrap();
            assert!(reply.json().get(field).is_some(), "{asked} lacks {field}");
        }
    }
    let questions = text.lines().filter(|line| line.starts_with("| `GET /v1/"));
    for question in questions {
        let path = question
            .trim_start_matches("| `GET ")
            .split(['?', '`'])
            .next()
            .unwrap();
        let path = path.replace("/X", "/{x}").replace("/Y", "/{y}");
        assert!(paths.contains_key(&path), "{path} is not described");
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_simulation_that_begins_the_first_view_is_waited_for() {
    let limit = Limit {
        bytes: 1 << 20,
        age: Duration::from_secs(3600),
    };
    let archive = Arc::new(Archive::new(limit, Notes::default()));
    let mut scene = Scene::new();
    scene.site = Arc::new(Site::recorded(Arc::clone(&archive)));
    let begins = async {
        sleep(Duration::from_secs(1)).await;
        archive.record(&Arc::new(three()));
    };
    let (reply, ()) = tokio::join!(scene.get("/v1/status"), begins);
    assert_eq!(reply.status, 200, "{reply:?}");

    let limit_of_patience = Instant::now();
    scene.site = Arc::new(Site::recorded(Arc::new(Archive::new(
        limit,
        Notes::default(),
    ))));
    scene.get("/v1/status").await.refused(503, "no history yet");
    assert_eq!(limit_of_patience.elapsed(), Duration::from_secs(5));
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

#[tokio::test(start_paused = true)]
async fn a_request_for_a_proxy_is_refused_over_tcp() {
    let scene = Scene::new();
    let request =
        "GET http://evil.example/v1/status HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n";
    scene.ask(request, false).await.refused(400, "proxy");
}
