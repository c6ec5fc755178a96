//! Tests of the impaired socket over a socket that records what is sent, in virtual time.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use quinn::udp::{EcnCodepoint, RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, TokioRuntime, UdpPoller};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::impair::ImpairedSocket;
use crate::impair::socket::{MAX_LINKS, MAX_QUEUED_BYTES};

/// A sent packet.
#[derive(Debug, Clone, PartialEq)]
struct Sent {
    at_ms: u128,
    to: SocketAddr,
    contents: Vec<u8>,
    segment_size: Option<usize>,
    ecn: Option<EcnCodepoint>,
    src_ip: Option<IpAddr>,
}

#[derive(Debug)]
struct Wire {
    start: Instant,
    state: Mutex<WireState>,
}

#[derive(Debug, Default)]
struct WireState {
    sent: Vec<Sent>,
    /// The number of packets that are still accepted.
    room: usize,
    /// The number of next sends that fail.
    errors: usize,
    waiter: Option<Waker>,
}

impl Wire {
    fn new() -> Arc<Self> {
        let state = WireState {
            room: usize::MAX,
            ..WireState::default()
        };
        Arc::new(Self {
            start: Instant::now(),
            state: Mutex::new(state),
        })
    }

    fn make_room(&self, room: usize) {
        let mut state = self.state.lock().unwrap();
        state.room = room;
        if let Some(waiter) = state.waiter.take() {
            waiter.wake();
        }
    }

    /// The time and the first byte of each sent packet.
    fn sent(&self) -> Vec<(u128, u8)> {
        let state = self.state.lock().unwrap();
        state
            .sent
            .iter()
            .map(|sent| (sent.at_ms, sent.contents[0]))
            .collect()
    }

    fn all(&self) -> Vec<Sent> {
        self.state.lock().unwrap().sent.clone()
    }
}

impl AsyncUdpSocket for Wire {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable(self))
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        if state.room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if state.errors > 0 {
            state.errors -= 1;
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        state.room -= 1;
        state.sent.push(Sent {
            at_ms: self.start.elapsed().as_millis(),
            to: transmit.destination,
            contents: transmit.contents.to_vec(),
            segment_size: transmit.segment_size,
            ecn: transmit.ecn,
            src_ip: transmit.src_ip,
        });
        Ok(())
    }

    fn poll_recv(
        &self,
        _: &mut Context<'_>,
        _: &mut [IoSliceMut<'_>],
        _: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(addr(1))
    }

    fn max_transmit_segments(&self) -> usize {
        10
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

#[derive(Debug)]
struct Writable(Arc<Wire>);

impl UdpPoller for Writable {
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.state.lock().unwrap();
        if state.room > 0 {
            return Poll::Ready(Ok(()));
        }
        state.waiter = Some(cx.waker().clone());
        Poll::Pending
    }
}

fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port))
}

fn transmit(to: SocketAddr, contents: &[u8]) -> Transmit<'_> {
    Transmit {
        destination: to,
        ecn: None,
        contents,
        segment_size: None,
        src_ip: None,
    }
}

fn impaired(wire: &Arc<Wire>, rules: &str) -> ImpairedSocket {
    let clock = Clock::new(Arc::new(TokioRuntime));
    ImpairedSocket::new(wire.clone(), clock, rules.parse().unwrap(), [7; 32])
}

async fn pass(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

#[tokio::test(start_paused = true)]
async fn packets_without_a_rule_pass_unchanged() {
    let wire = Wire::new();
    let socket = impaired(&wire, "to [::1]:2 loss 100%");
    assert_eq!(socket.max_transmit_segments(), 10);
    assert!(!socket.may_fragment());
    assert_eq!(socket.local_addr().unwrap(), addr(1));
    let many = Transmit {
        segment_size: Some(2),
        ..transmit(addr(3), b"aabbc")
    };
    socket.try_send(&many).unwrap();
    socket.try_send(&transmit(addr(2), b"lost")).unwrap();
    let all = wire.all();
    assert_eq!(all.len(), 1);
    assert_eq!(
        (&all[0].contents[..], all[0].segment_size),
        (&b"aabbc"[..], Some(2))
    );
    // A full socket is reported to the sender, as without impairment.
    wire.make_room(0);
    let full = socket.try_send(&many).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
}

#[tokio::test(start_paused = true)]
async fn segments_are_split_into_datagrams_and_keep_their_metadata() {
    let wire = Wire::new();
    let socket = impaired(&wire, "delay 20ms");
    let many = Transmit {
        segment_size: Some(2),
        ecn: Some(EcnCodepoint::Ect0),
        src_ip: Some(addr(1).ip()),
        ..transmit(addr(2), b"aabbc")
    };
    socket.try_send(&many).unwrap();
    pass(30).await;
    let all = wire.all();
    let contents: Vec<_> = all.iter().map(|sent| &sent.contents[..]).collect();
    assert_eq!(contents, [&b"aa"[..], b"bb", b"c"]);
    for sent in &all {
        assert_eq!(
            (sent.at_ms, sent.to, sent.segment_size),
            (20, addr(2), None)
        );
        assert_eq!((sent.ecn, sent.src_ip), (many.ecn, many.src_ip));
    }
}

#[tokio::test(start_paused = true)]
async fn each_packet_leaves_when_it_is_due() {
    let wire = Wire::new();
    let socket = impaired(
        &wire,
        "delay 40ms; to [::1]:3 delay 10ms; to [::1]:4 delay 0",
    );
    socket.try_send(&transmit(addr(2), &[2])).unwrap();
    socket.try_send(&transmit(addr(3), &[3])).unwrap();
    socket.try_send(&transmit(addr(4), &[4])).unwrap();
    // A packet without delay does not wait for the task.
    assert_eq!(wire.sent(), [(0, 4)]);
    pass(5).await;
    socket.try_send(&transmit(addr(3), &[5])).unwrap();
    socket.drained().await;
    assert_eq!(wire.sent(), [(0, 4), (10, 3), (15, 5), (40, 2)]);
}

#[tokio::test(start_paused = true)]
async fn packets_are_reordered_and_duplicated() {
    let wire = Wire::new();
    let socket = impaired(
        &wire,
        "delay 10ms reorder 100% gap 2; to [::1]:3 duplicate 100%",
    );
    for byte in 0..4 {
        socket.try_send(&transmit(addr(2), &[byte])).unwrap();
    }
    socket.try_send(&transmit(addr(3), &[9])).unwrap();
    socket.drained().await;
    assert_eq!(
        wire.sent(),
        [(0, 1), (0, 3), (0, 9), (0, 9), (10, 0), (10, 2)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_corrupted_packet_differs_in_one_bit() {
    let wire = Wire::new();
    let socket = impaired(&wire, "corrupt 100%");
    socket.try_send(&transmit(addr(2), &[0; 100])).unwrap();
    let sent = wire.all();
    let bits = sent[0].contents.iter().map(|byte| byte.count_ones());
    assert_eq!(bits.sum::<u32>(), 1);
}

#[tokio::test(start_paused = true)]
async fn each_destination_has_a_link_of_its_own() {
    let wire = Wire::new();
    // 62 bytes of headers and 938 bytes of contents take 1 ms.
    let socket = impaired(&wire, "rate 8mbit");
    for byte in 0..3 {
        socket.try_send(&transmit(addr(2), &[byte; 938])).unwrap();
    }
    socket.try_send(&transmit(addr(3), &[9; 938])).unwrap();
    socket.drained().await;
    assert_eq!(wire.sent(), [(1, 0), (1, 9), (2, 1), (3, 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_full_socket_loses_nothing() {
    let wire = Wire::new();
    let socket = impaired(&wire, "delay 10ms; to [::1]:3 delay 0");
    wire.make_room(1);
    for byte in 0..3 {
        socket.try_send(&transmit(addr(2), &[byte])).unwrap();
    }
    pass(20).await;
    assert_eq!(wire.sent(), [(10, 0)]);
    // A packet without delay queues behind it.
    socket.try_send(&transmit(addr(3), &[3])).unwrap();
    assert_eq!(wire.sent().len(), 1);
    wire.make_room(2);
    pass(1).await;
    assert_eq!(wire.sent(), [(10, 0), (20, 1), (20, 2)]);
    wire.make_room(usize::MAX);
    pass(1).await;
    assert_eq!(wire.sent()[3..], [(21, 3)]);
    // The same holds if the sender finds the socket full.
    wire.make_room(0);
    socket.try_send(&transmit(addr(3), &[4])).unwrap();
    pass(1).await;
    wire.make_room(usize::MAX);
    socket.drained().await;
    assert_eq!(wire.sent()[4..], [(23, 4)]);
}

#[tokio::test(start_paused = true)]
async fn an_error_costs_at_most_its_own_packet() {
    let wire = Wire::new();
    let socket = impaired(&wire, "delay 10ms");
    // An error about an earlier packet costs no packet.
    wire.state.lock().unwrap().errors = 1;
    socket.try_send(&transmit(addr(2), &[1])).unwrap();
    socket.drained().await;
    wire.state.lock().unwrap().errors = 2;
    socket.try_send(&transmit(addr(2), &[2])).unwrap();
    socket.try_send(&transmit(addr(2), &[3])).unwrap();
    socket.drained().await;
    assert_eq!(wire.sent(), [(10, 1), (20, 3)]);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_socket_ends_its_task_and_frees_the_socket_below() {
    let wire = Wire::new();
    let socket = impaired(&wire, "delay 10ms");
    socket.try_send(&transmit(addr(2), &[1])).unwrap();
    pass(5).await;
    drop(socket);
    pass(100).await;
    assert_eq!(wire.sent(), []);
    assert_eq!(Arc::strong_count(&wire), 1);
}

#[tokio::test(start_paused = true)]
async fn links_and_queued_bytes_are_bounded() {
    let wire = Wire::new();
    let socket = impaired(&wire, "delay 10s");
    let packet = vec![0; 60_000];
    for port in 1..=2000 {
        socket.try_send(&transmit(addr(port), &packet)).unwrap();
    }
    assert_eq!(socket.links(), MAX_LINKS);
    let bytes = socket.queued_bytes();
    assert!((MAX_QUEUED_BYTES - 61_000..=MAX_QUEUED_BYTES).contains(&bytes));
    socket.drained().await;
    assert_eq!(socket.queued_bytes(), 0);
    socket.try_send(&transmit(addr(1), &packet)).unwrap();
    assert!(socket.queued_bytes() > 0, "the socket still queues packets");
}
