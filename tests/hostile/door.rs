//! Strangers that don't get as far as a link.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use area_net::wire::{CloseCode, Message, PROTOCOL_VERSION};
use quinn::{ConnectionError, TransportConfig, TransportErrorCode};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::time::Instant;

use crate::processes::{until, until_exact};
use crate::scene::{HONEST, Scene};
use crate::stranger::{Stranger, code, flipped, frame, oversized};

#[tokio::test]
async fn garbage_is_dropped() {
    let scene = Scene::new().await;
    let seed = 7;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let socket = UdpSocket::bind("[::1]:0").unwrap();
    let garbage = |rng: &mut ChaCha8Rng, packets: usize| {
        for _ in 0..packets {
            let mut bytes = vec![0; rng.random_range(0..1500)];
            rng.fill(&mut bytes[..]);
            socket.send_to(&bytes, scene.victim()).ok();
        }
    };
    garbage(&mut rng, 5000);
    // QUIC long headers of known and unknown versions, followed by random bytes.
    for version in [0_u32, 1, 2, 0x6b33_43cf, u32::MAX] {
        for _ in 0..200 {
            let mut bytes = vec![0; 1200];
            rng.fill(&mut bytes[..]);
            bytes[0] |= 0xc0;
            bytes[1..5].copy_from_slice(&version.to_be_bytes());
            socket.send_to(&bytes, scene.victim()).ok();
        }
    }
    until("the victim has counted what was no QUIC", || {
        // A full buffer drops most of them, if the victim's processor is busy.
        garbage(&mut rng, 50);
        let rejected = scene.alice.picture().rejected;
        rejected.get("not_quic").is_some_and(|count| *count > 1000)
    })
    .await;
    // The victim still accepts a real node.
    let friend = scene.stranger("friend").join(scene.victim()).await;
    assert!(friend.is_open());
    scene.nobody_noticed().await;
}

/// Presents its certificate even if the other side does not accept that kind.
#[derive(Debug)]
struct Shows(Option<Arc<CertifiedKey>>);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

#[derive(Debug)]
struct Ecdsa(Arc<dyn SigningKey>);

impl SigningKey for Ecdsa {
    fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        self.0
            .choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256])
    }

    fn algorithm(&self) -> rustls::SignatureAlgorithm {
        self.0.algorithm()
    }
}

fn ecdsa() -> Arc<CertifiedKey> {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let params = rcgen::CertificateParams::new(vec!["area-net".to_owned()]).unwrap();
    let certificate = params.self_signed(&pair).unwrap().der().clone();
    let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pair.serialize_der()));
    let key = rustls::crypto::ring::sign::any_supported_type(&der).unwrap();
    Arc::new(CertifiedKey::new(vec![certificate], Arc::new(Ecdsa(key))))
}

/// The TLS error that the victim ends a handshake with, even if the client took the handshake for complete.
async fn tls_error(
    stranger: &Stranger,
    victim: SocketAddr,
    tls: rustls::ClientConfig,
) -> TransportErrorCode {
    let connected = stranger
        .connect_with(victim, tls, TransportConfig::default())
        .await;
    let error = match connected {
        Err(error) => error,
        Ok(connection) => connection.closed().await,
    };
    match error {
        ConnectionError::ConnectionClosed(close) => close.error_code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_client_that_is_not_ours_does_not_get_through_tls() {
    let scene = Scene::new().await;
    let stranger = scene.stranger("mallory");
    let ours = String::from_utf8(stranger.tls().alpn_protocols[0].clone()).unwrap();
    let network = scene.desk.network.clone();
    let no_application_protocol = TransportErrorCode::crypto(120);
    for alpn in [
        "h3".to_owned(),
        "area-net".to_owned(),
        format!("area-net/0/{network}"),
        format!("area-net/1/{network}"),
        format!("area-net/{PROTOCOL_VERSION}/another"),
        format!("{ours} "),
    ] {
        assert_ne!(alpn, ours);
        let mut tls = stranger.tls();
        tls.alpn_protocols = vec![alpn.clone().into_bytes()];
        let error = tls_error(&stranger, scene.victim(), tls).await;
        assert_eq!(error, no_application_protocol, "{alpn}");
    }
    let mut tls = stranger.tls();
    tls.alpn_protocols.clear();
    tls_error(&stranger, scene.victim(), tls).await;
    let mut tls = stranger.tls();
    tls.client_auth_cert_resolver = Arc::new(Shows(None));
    let certificate_required = TransportErrorCode::crypto(116);
    let error = tls_error(&stranger, scene.victim(), tls).await;
    assert_eq!(error, certificate_required);
    let mut tls = stranger.tls();
    tls.client_auth_cert_resolver = Arc::new(Shows(Some(ecdsa())));
    tls_error(&stranger, scene.victim(), tls).await;
    // Without any protocol is as with another one.
    scene.counted("other_network", 7).await;
    scene.counted("handshake_failed", 2).await;
    scene.nobody_noticed().await;
}

#[tokio::test]
async fn who_never_says_hello_is_closed_after_five_seconds() {
    let scene = Scene::new().await;
    let stranger = scene.stranger("mallory");
    let since = Instant::now();
    let no_stream = stranger.connect(scene.victim()).await.unwrap();
    let half = stranger.connect(scene.victim()).await.unwrap();
    let (mut send, _recv) = half.open_bi().await.unwrap();
    let hello = Message::Hello(stranger.hello(scene.victim(), 1)).to_frame();
    send.write_all(&hello[..hello.len() / 2]).await.unwrap();
    assert_eq!(code(&no_stream).await, Some(CloseCode::HelloTimeout));
    assert_eq!(code(&half).await, Some(CloseCode::HelloTimeout));
    assert!(
        since.elapsed() >= Duration::from_millis(4900),
        "{:?}",
        since.elapsed()
    );
    scene.counted("hello_timeout", 2).await;
    scene.nobody_noticed().await;
}

#[tokio::test]
async fn a_bad_hello_is_refused_with_its_code() {
    let scene = Scene::new().await;
    let stranger = scene.stranger("mallory");
    let victim = scene.victim();
    let honest = stranger.hello(victim, 1);
    let protocol = Some(CloseCode::Protocol);
    let limit = Some(CloseCode::Limit);

    let no_hello = Message::Request(Vec::new()).to_frame();
    assert_eq!(stranger.says(victim, &no_hello).await, protocol);
    assert_eq!(
        stranger
            .says(victim, &frame(b"\xff\xff\xff nonsense"))
            .await,
        protocol
    );
    assert_eq!(stranger.says(victim, &frame(b"")).await, protocol);
    assert_eq!(stranger.says(victim, &u32::MAX.to_be_bytes()).await, limit);
    assert_eq!(stranger.says(victim, &frame(&[0; 12_000])).await, limit);
    let mut longer = Message::Hello(honest.clone()).to_frame()[4..].to_vec();
    longer.push(0);
    assert_eq!(stranger.says(victim, &frame(&longer)).await, protocol);

    let mut hello = honest.clone();
    hello.record = scene.stranger("another").record(10);
    assert_eq!(
        stranger
            .says(victim, &Message::Hello(hello).to_frame())
            .await,
        protocol
    );
    let mut hello = honest.clone();
    hello.run_id += 1;
    assert_eq!(
        stranger
            .says(victim, &Message::Hello(hello).to_frame())
            .await,
        protocol
    );
    let forged = flipped(&Message::Hello(honest.clone()));
    assert_eq!(stranger.says(victim, &forged).await, protocol);
    let mut hello = honest.clone();
    let elsewhere = Stranger::new("another-network", "mallory");
    hello.record = elsewhere.record(10);
    assert_eq!(
        stranger
            .says(victim, &Message::Hello(hello).to_frame())
            .await,
        protocol
    );
    let mut hello = honest.clone();
    hello.record = oversized(&stranger);
    assert_eq!(
        stranger
            .says(victim, &Message::Hello(hello).to_frame())
            .await,
        limit
    );

    scene.counted("bad_hello", 11).await;
    assert_eq!(scene.alice.picture().state("mallory"), "unknown");
    scene.nobody_noticed().await;
}

#[tokio::test]
async fn half_open_connections_are_bounded_and_pass() {
    let scene = Scene::new().await;
    let victim = scene.victim();
    let mut dials = tokio::task::JoinSet::new();
    for at in 0..200 {
        let stranger = scene.stranger(&format!("mallory{at}"));
        dials.spawn(async move { (stranger.connect(victim).await, stranger) });
    }
    let (mut open, mut refused) = (Vec::new(), 0);
    while let Some(dialed) = dials.join_next().await {
        match dialed.unwrap() {
            (Ok(connection), stranger) => open.push((connection, stranger)),
            (Err(ConnectionError::ConnectionClosed(_)), _) => refused += 1,
            (Err(other), _) => panic!("{other:?}"),
        }
    }
    // Each one beyond the limit was refused, or took the place of one that had waited.
    let held = || {
        let open = open.iter();
        open.filter(|(connection, _)| connection.close_reason().is_none())
            .count()
    };
    until("no more than the limit are held", || held() <= 128).await;
    until("the victim has counted the others", || {
        let rejected = scene.alice.picture().rejected;
        let count = |what| rejected.get(what).copied().unwrap_or(0);
        count("handshakes_over_limit") >= refused
            && count("handshakes_over_limit") + count("handshake_yielded") >= 72
    })
    .await;
    // One that lost its place before TLS was done has no code of ours; all that were held until the end have.
    let lost: Vec<bool> = open
        .iter()
        .map(|(connection, _)| connection.close_reason().is_some())
        .collect();
    for ((connection, _stranger), lost) in open.iter().zip(lost) {
        let code = code(connection).await;
        assert!(lost || code == Some(CloseCode::HelloTimeout), "{code:?}");
    }
    // Then an honest newcomer finds room again.
    let targets = scene.desk.targets("dave", &[victim]);
    let addr = crate::processes::ports(1)[0];
    let dave = scene.desk.start("dave", addr, &[&targets]);
    let [alice, bob, carol] = HONEST;
    until_exact(&[&scene.alice, &dave], &[alice, bob, carol, "dave"]).await;
    scene.nobody_noticed().await;
}

#[tokio::test]
async fn a_hundred_offences_are_a_line_in_the_log() {
    let scene = Scene::new().await;
    for at in 0..100 {
        // From one port, not so many connections would begin.
        let stranger = scene.stranger(&format!("mallory{at}"));
        let code = stranger.says(scene.victim(), &frame(b"\xff")).await;
        assert_eq!(code, Some(CloseCode::Protocol));
    }
    scene.counted("bad_hello", 100).await;
    scene.nobody_noticed().await;
}
