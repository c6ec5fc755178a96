mod access;
mod answers;
mod limits;
mod past_maps;
mod streams;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep};

use super::serve::connection;
use super::site::Site;
use crate::chronicle::{Archive, Limit, Notes};
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
