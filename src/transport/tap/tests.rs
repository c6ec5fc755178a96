use super::*;

const PEER: &str = "[::1]:9000";

fn packet(len: usize, cid: u8) -> Vec<u8> {
    let mut packet = vec![cid; len];
    packet[0] = 0x40;
    packet
}

fn scene() -> (Arc<Tap>, Watch, SocketAddr, Instant) {
    let (tap, peer) = (Arc::new(Tap::default()), PEER.parse().unwrap());
    let watch = tap.watch(peer);
    (tap, watch, peer, tokio::time::Instant::now().into_std())
}

#[tokio::test]
async fn a_probe_leaves_with_the_next_packet() {
    let (tap, watch, peer, now) = scene();
    watch.probe_queued(7, 20);
    tap.leaves(peer, &packet(60, 1), now);
    tap.leaves(peer, &packet(60, 1), now + Duration::from_millis(1));
    assert_eq!(watch.probe_left(7), Some(now));
    assert_eq!(watch.probe_left(7), None, "an answer counts once");
}

#[tokio::test]
async fn two_waiting_datagrams_or_two_connections_to_a_peer_give_no_time() {
    let (tap, watch, peer, now) = scene();
    watch.probe_queued(1, 20);
    watch.answer_queued(8, now);
    tap.leaves(peer, &packet(80, 1), now);
    assert_eq!(watch.probe_left(1), None);
    let second = tap.watch(peer);
    watch.probe_queued(2, 20);
    tap.leaves(peer, &packet(60, 1), now);
    tap.arrives(peer, 60, now, now);
    assert_eq!((watch.probe_left(2), watch.arrived(8, now)), (None, None));
    drop(second);
    tap.arrives(peer, 60, now, now);
    assert_eq!(watch.arrived(8, now), Some(now));
}

#[tokio::test]
async fn a_datagram_is_matched_to_the_only_recent_packet_that_fits() {
    let (tap, watch, peer, now) = scene();
    let later = now + Duration::from_millis(2);
    tap.arrives(peer, 33, now, now);
    tap.arrives(peer, 70, later, later);
    assert_eq!(
        watch.arrived(16, later),
        Some(later),
        "the other is too short"
    );
    tap.arrives(peer, 70, now, now);
    tap.arrives(peer, 70, later, later);
    assert_eq!(watch.arrived(16, later), None, "either could be it");
    tap.arrives(peer, 70, now, now);
    assert_eq!(watch.arrived(16, now + FRESH * 2), None, "it is too old");
}

#[tokio::test]
async fn the_usual_lag_of_answers_does_not_grow_with_a_few_slow_ones() {
    let (tap, watch, peer, now) = scene();
    assert_eq!(watch.answer_lag(), Duration::ZERO);
    for lag in [40, 900, 41, 800, 42] {
        watch.answer_queued(8, now);
        tap.leaves(peer, &packet(60, 1), now + Duration::from_micros(lag));
    }
    assert_eq!(watch.answer_lag(), Duration::from_micros(42));
    for _ in 0..5 {
        watch.answer_queued(8, now);
        tap.leaves(peer, &packet(60, 1), now + Duration::from_micros(300));
    }
    assert_eq!(watch.answer_lag(), Duration::from_micros(300), "followed");
    watch.answer_queued(8, now);
    tap.leaves(peer, &packet(60, 1), now + Duration::from_micros(40));
    assert_eq!(watch.answer_lag(), Duration::from_micros(40), "quiet again");
}

#[tokio::test]
async fn only_an_icmp_that_quotes_our_connection_id_counts() {
    let (tap, watch, peer, now) = scene();
    tap.leaves(peer, &packet(60, 5), now);
    tap.unreachable(peer, &packet(60, 6));
    tap.unreachable(peer, &[]);
    assert_eq!(*watch.observed.unreachable.borrow(), 0);
    tap.unreachable(peer, &packet(20, 5));
    let mut heard = 0;
    watch.unreachable(&mut heard).await;
    assert_eq!(heard, 1);
}

#[tokio::test]
async fn a_moved_peer_is_followed_and_a_dropped_watch_leaves_nothing() {
    let (tap, watch, peer, now) = scene();
    let there = "[::1]:9001".parse().unwrap();
    watch.follow(there);
    tap.arrives(peer, 60, now, now);
    assert_eq!(watch.arrived(8, now), None);
    tap.arrives(there, 60, now, now);
    assert_eq!(watch.arrived(8, now), Some(now));
    drop(watch);
    assert!(tap.connections().is_empty());
}

#[test]
fn a_path_that_is_shorter_than_any_gives_no_time() {
    let left = tokio::time::Instant::now().into_std();
    let path = |taken_us, hold_us| {
        let received = left + Duration::from_micros(taken_us);
        rtt_us(Some(left), Some(received), Answer { seq: 1, hold_us })
    };
    assert_eq!(path(55, 40), Some(15));
    assert_eq!(path(55, 52), None, "it was held for less");
    assert_eq!(path(55, 500), None);
}
