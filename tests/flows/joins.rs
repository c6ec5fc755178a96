//! Hostile dialers at the door: they hold handshakes, and join again and again with new keys. Honest newcomers get in all the same.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use area_net::admission::Admission;
use area_net::identity::{Identity, SERVER_NAME};
use area_net::settings::Settings;
use area_net::transport::Qlogs;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, Endpoint, EndpointConfig};
use tokio::time::{Instant, sleep};

use crate::strangers::Relay;
use crate::switch::{SECOND, Shared, addr, bind, start, start_as, until};

/// What an attacker has done.
#[derive(Debug, Default)]
struct Tally {
    /// Handshakes that it completed, and those that are still open.
    completed: AtomicUsize,
    open: AtomicUsize,
}

/// Holds connections from one host, each from a port of its own, whose dialer never says Hello. Whenever one is closed, it begins anew
/// if `again`.
fn hold_handshakes(
    switch: &Shared,
    host: SocketAddr,
    to: SocketAddr,
    count: u16,
    again: bool,
) -> Arc<Tally> {
    let tally = Arc::new(Tally::default());
    for at in 0..count {
        let (switch, tally) = (switch.clone(), tally.clone());
        let from = SocketAddr::new(host.ip(), host.port() + at);
        tokio::spawn(async move {
            let key = Identity::from_seed(&[200; 32]);
            let endpoint = endpoint(&switch, from);
            loop {
                if let Some(connection) = shake(&endpoint, &key, to).await {
                    tally.completed.fetch_add(1, Ordering::Relaxed);
                    tally.open.fetch_add(1, Ordering::Relaxed);
                    connection.closed().await;
                    tally.open.fetch_sub(1, Ordering::Relaxed);
                } else {
                    sleep(SECOND / 10).await;
                }
                if !again {
                    return;
                }
            }
        });
    }
    tally
}

fn endpoint(switch: &Shared, from: SocketAddr) -> Endpoint {
    let runtime = Arc::new(quinn::TokioRuntime);
    let (config, socket) = (EndpointConfig::default(), bind(switch, from));
    Endpoint::new_with_abstract_socket(config, None, socket, runtime).unwrap()
}

async fn shake(endpoint: &Endpoint, key: &Identity, to: SocketAddr) -> Option<Connection> {
    let (tls, _) = key.client_config(&Admission::open(&Settings::default().network), None);
    let crypto = QuicClientConfig::try_from(tls).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(crypto));
    let connecting = endpoint.connect_with(config, to, SERVER_NAME).unwrap();
    let shaken = tokio::time::timeout(SECOND * 3, connecting).await;
    shaken.ok()?.ok()
}

#[tokio::test(start_paused = true)]
async fn a_host_that_holds_handshakes_keeps_nobody_elsewhere_out() {
    let switch = Shared::default();
    switch.lock().unwrap().delay = SECOND / 100;
    let outside = addr("198.51.100.1:8083");
    let public = start(&switch, 1, outside, &[]);
    let tally = hold_handshakes(&switch, addr("203.0.113.66:2000"), outside, 60, false);
    for _ in 0..50 {
        sleep(SECOND / 10).await;
        // One that lost its slot may hear of it a little later.
        let open = tally.open.load(Ordering::Relaxed);
        assert!(open <= 17, "{open} handshakes of one host");
    }
    assert!(tally.completed.load(Ordering::Relaxed) >= 16);
    let elsewhere = start(&switch, 2, addr("203.0.113.7:8083"), &[outside]);
    let took = until(5, || public.knows(&elsewhere)).await;
    assert!(took <= SECOND / 2, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_at_the_host_of_held_handshakes_gets_in_within_two_seconds() {
    for (host, held) in [("203.0.113.66", 16), ("[::1]", 128)] {
        for again in [false, true] {
            for after in [SECOND / 20, SECOND * 5] {
                let switch = Shared::default();
                let outside = if host == "[::1]" {
                    addr("[::1]:8083")
                } else {
                    switch.lock().unwrap().delay = SECOND / 100;
                    addr("198.51.100.1:8083")
                };
                let public = start(&switch, 1, outside, &[]);
                let from = addr(&format!("{host}:2000"));
                hold_handshakes(&switch, from, outside, held, again);
                sleep(after).await;
                let beside = addr(&format!("{host}:9083"));
                let beside = start(&switch, 2, beside, &[outside]);
                let took = until(12, || public.knows(&beside)).await;
                let what = format!("{host}, again: {again}, after {after:?}: {took:?}");
                assert!(took <= SECOND * 2, "{what}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_joins_with_ever_new_keys_is_limited_and_honest_newcomers_get_in() {
    let switch = Shared::default();
    let outside = addr("[::1]:8083");
    let public = start(&switch, 1, outside, &[]);
    let from = addr("[::1]:2000");
    let joined = Arc::new(AtomicUsize::new(0));
    let door = endpoint(&switch, from);
    for at in 0..100_u8 {
        let (door, joined) = (door.clone(), joined.clone());
        tokio::spawn(async move {
            for round in 0.. {
                let mut seed = [100 + at; 32];
                seed[..4].copy_from_slice(&u32::to_be_bytes(round));
                if let Some(connection) = shake(&door, &Identity::from_seed(&seed), outside).await {
                    joined.fetch_add(1, Ordering::Relaxed);
                    sleep(SECOND / 200).await;
                    connection.close(1_u8.into(), &[]);
                }
            }
        });
    }
    let began = Instant::now();
    for second in 1..=5 {
        sleep(SECOND).await;
        let beside = addr(&format!("[::1]:{}", 9000 + second));
        let seed = u8::try_from(second).unwrap();
        let beside = start(&switch, 10 + seed, beside, &[outside]);
        let took = until(5, || public.knows(&beside)).await;
        assert!(took <= SECOND * 2, "{took:?} after {second} s");
    }
    // Sixteen at once, and one each two seconds.
    let joined = joined.load(Ordering::Relaxed) as u64;
    assert!(
        (16..=17 + began.elapsed().as_secs() / 2).contains(&joined),
        "{joined}"
    );
    assert!(public.rejected("joins_over_limit").await > 0);
}

#[tokio::test(start_paused = true)]
async fn a_member_comes_back_through_a_flood_of_newcomers_from_everywhere() {
    let switch = Shared::default();
    switch.lock().unwrap().delay = SECOND / 100;
    let outside = addr("198.51.100.1:8083");
    // A hundred newcomers at once.
    let settings = Settings {
        joins_per_s: 5,
        ..Settings::default()
    };
    let open = Admission::open(&settings.network);
    let public = start_as(&switch, 1, outside, settings, (open, Qlogs::default()));
    let home = addr("203.0.113.7:8083");
    let member = start(&switch, 2, home, &[outside]);
    until(5, || public.knows(&member)).await;
    sleep(SECOND * 11).await;
    member.leave().await;
    for at in 0..150 {
        let from = addr(&format!("192.0.2.{at}:2000"));
        let switch = switch.clone();
        tokio::spawn(async move {
            let key = Identity::from_seed(&[200; 32]);
            let door = endpoint(&switch, from);
            while let Some(connection) = shake(&door, &key, outside).await {
                connection.close(1_u8.into(), &[]);
            }
        });
        sleep(SECOND / 200).await;
    }
    assert!(public.rejected("joins_over_limit").await > 0);
    let member = start(&switch, 2, home, &[outside]);
    let took = until(12, || public.knows(&member)).await;
    assert!(took <= SECOND * 2, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn two_hundred_nodes_on_one_machine_get_in_as_fast_as_they_come() {
    let switch = Shared::default();
    let outside = addr("[::1]:8083");
    let public = start(&switch, 1, outside, &[]);
    let mut all = Vec::new();
    for at in 0..200_u16 {
        let from = addr(&format!("[::1]:{}", 9000 + at));
        let seed = u8::try_from(2 + at).unwrap();
        let relay = Relay::join(&switch, seed, from, outside).await;
        all.push(relay);
    }
    assert_eq!(public.rejected("joins_over_limit").await, 0);
    drop(all);
}
