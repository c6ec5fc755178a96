//! Strangers at the door of a closed network. They know its application protocol, since every ClientHello shows it, but no key.

use std::net::SocketAddr;
use std::sync::Arc;

use area_net::admission::{Admission, Allow, Credentials, Keys, NetworkKey, Role, Session};
use area_net::identity::{Identity, SERVER_NAME};
use area_net::record::Signer as _;
use area_net::settings::Settings;
use area_net::wire::{CloseCode, Message};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, ConnectionError, Endpoint, EndpointConfig, RecvStream, SendStream};
use tokio::time::{Instant, sleep, timeout};

use crate::switch::{Running, SECOND, Shared, addr, bind, start_with, until};

const NODE: &str = "198.51.100.1:8083";

/// The admission to the default network, with the keys of these numbers.
fn keyed(keys: &[u8]) -> Admission {
    let keys = keys.iter().map(|key| NetworkKey::new([*key; 32]));
    let network = Settings::default().network;
    Admission::new(&network, Keys::new(keys.collect()), Allow::default())
}

/// A stranger with a key of its own, which offers and accepts the protocol of the network that has key 1.
struct Stranger {
    identity: Arc<Identity>,
    endpoint: Endpoint,
}

impl Stranger {
    fn new(switch: &Shared, seed: u8, at: SocketAddr) -> Self {
        let identity = Arc::new(Identity::from_seed(&[seed; 32]));
        let mut tls = identity.server_config(&Admission::open("nowhere"));
        tls.alpn_protocols = keyed(&[1]).protocols().to_vec();
        let crypto = QuicServerConfig::try_from(tls).unwrap();
        let server = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        let endpoint = Endpoint::new_with_abstract_socket(
            EndpointConfig::default(),
            Some(server),
            bind(switch, at),
            Arc::new(quinn::TokioRuntime),
        );
        Self {
            identity,
            endpoint: endpoint.unwrap(),
        }
    }

    async fn dial(&self, to: SocketAddr) -> Connection {
        let (mut tls, _) = self
            .identity
            .client_config(&Admission::open("nowhere"), None);
        tls.alpn_protocols = keyed(&[1]).protocols().to_vec();
        let crypto = QuicClientConfig::try_from(tls).unwrap();
        let config = quinn::ClientConfig::new(Arc::new(crypto));
        let connecting = self.endpoint.connect_with(config, to, SERVER_NAME);
        connecting.unwrap().await.unwrap()
    }

    /// The first connection of a node that dials this stranger, with its control stream.
    async fn accept(&self) -> (Connection, SendStream, RecvStream) {
        loop {
            let incoming = self.endpoint.accept().await.unwrap();
            // A dialer may try several ports at once, and goes on with one.
            let Ok(connection) = incoming.await else {
                continue;
            };
            if let Ok((send, recv)) = connection.accept_bi().await {
                return (connection, send, recv);
            }
        }
    }

    /// Says this to a node first. Returns all that it heard until the end, and how the connection ended.
    async fn says(&self, to: SocketAddr, bytes: &[u8]) -> (Vec<u8>, Option<CloseCode>) {
        let connection = self.dial(to).await;
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        send.write_all(bytes).await.ok();
        let heard = read_all(&mut recv).await;
        (heard, code(&connection).await)
    }
}

/// Everything that comes on a stream, until it or its connection ends.
async fn read_all(recv: &mut RecvStream) -> Vec<u8> {
    let mut heard = Vec::new();
    while let Ok(Some(chunk)) = recv.read_chunk(usize::MAX, true).await {
        heard.extend_from_slice(&chunk.bytes);
    }
    heard
}

async fn code(connection: &Connection) -> Option<CloseCode> {
    match connection.closed().await {
        ConnectionError::ApplicationClosed(close) => {
            assert!(close.reason.is_empty(), "a refusal names no other node");
            CloseCode::from_number(close.error_code.into_inner())
        }
        other => panic!("{other:?}"),
    }
}

fn frame(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap();
    [&length.to_be_bytes(), body].concat()
}

fn network() -> (Shared, Running) {
    let switch = Shared::default();
    switch.lock().unwrap().delay = SECOND / 100;
    let node = start_with(&switch, 1, addr(NODE), &[], keyed(&[1]));
    (switch, node)
}

#[tokio::test(start_paused = true)]
async fn a_dialer_without_the_key_hears_nothing_and_is_told_the_code() {
    let (switch, node) = network();
    let stranger = Stranger::new(&switch, 66, addr("203.0.113.66:2000"));
    let not_allowed = (Vec::new(), Some(CloseCode::NotAllowed));
    let protocol = (Vec::new(), Some(CloseCode::Protocol));
    let of = |proofs: Vec<[u8; 32]>| {
        let certificate = None;
        Credentials {
            proofs,
            certificate,
        }
        .to_frame()
    };
    assert_eq!(stranger.says(addr(NODE), &of(vec![])).await, not_allowed);
    let guessed = of(vec![[1; 32], [2; 32]]);
    assert_eq!(stranger.says(addr(NODE), &guessed).await, not_allowed);
    assert_eq!(node.rejected("network_key_not_proven").await, 2);

    let hello = Message::Prune.to_frame();
    for bytes in [
        hello,
        frame(b""),
        frame(b"\xff\xff\xff nonsense"),
        frame(&[0; 1025]),
        u32::MAX.to_be_bytes().to_vec(),
        of(vec![[3; 32]; 5]),
        [frame(&[0, 0, 0])].concat(),
    ] {
        assert_eq!(
            stranger.says(addr(NODE), &bytes).await,
            protocol,
            "{bytes:?}"
        );
    }
    assert_eq!(node.rejected("bad_credentials").await, 7);
    assert_eq!(node.up().await, 1);
}

#[tokio::test(start_paused = true)]
async fn who_stalls_before_its_proof_is_closed_in_time_and_holds_few_slots() {
    let (switch, node) = network();
    let stranger = Stranger::new(&switch, 66, addr("203.0.113.66:2000"));
    let silent = stranger.dial(addr(NODE)).await;
    let half = stranger.dial(addr(NODE)).await;
    let (mut send, mut recv) = half.open_bi().await.unwrap();
    send.write_all(&frame(&[0; 200])[..100]).await.unwrap();
    let began = Instant::now();
    assert!(read_all(&mut recv).await.is_empty());
    assert_eq!(code(&half).await, Some(CloseCode::HelloTimeout));
    assert_eq!(code(&silent).await, Some(CloseCode::HelloTimeout));
    let took = began.elapsed();
    assert!(SECOND * 9 < took && took < SECOND * 11, "{took:?}");
    // One port holds eight slots, and a member from the same host gets in.
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(stranger.dial(addr(NODE)).await);
    }
    let ninth = timeout(SECOND, stranger.dial(addr(NODE))).await;
    assert!(ninth.is_err());
    let to = [addr(NODE)];
    let beside = start_with(&switch, 2, addr("203.0.113.66:8083"), &to, keyed(&[1]));
    let took = until(5, || node.knows(&beside)).await;
    assert!(took <= SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_listener_without_the_key_hears_proofs_and_nothing_else() {
    let (switch, _node) = network();
    let mallory = addr("203.0.113.66:8083");
    let stranger = Stranger::new(&switch, 66, mallory);
    let label = Settings::default().label;
    for answer in [
        Credentials::default().to_frame(),
        Credentials {
            proofs: vec![[7; 32]],
            certificate: None,
        }
        .to_frame(),
        Message::Prune.to_frame(),
        frame(&[0; 2000]),
        Vec::new(),
    ] {
        let seed = 10 + u8::try_from(answer.len() % 100).unwrap();
        let from = addr(&format!("203.0.113.{seed}:8083"));
        let dialer = start_with(&switch, seed, from, &[mallory], keyed(&[1]));
        let (connection, mut send, mut recv) = stranger.accept().await;
        send.write_all(&answer).await.unwrap();
        let heard = read_all(&mut recv).await;
        let body = heard.get(4..).unwrap();
        let credentials = Credentials::from_body(body).unwrap();
        assert_eq!(
            (credentials.proofs.len(), credentials.certificate),
            (1, None)
        );
        assert_eq!(heard.len(), 4 + 1 + 32 + 1);
        let network = Settings::default().network;
        for secret in [network.as_bytes(), label.as_bytes()] {
            assert!(!heard.windows(secret.len()).any(|part| part == secret));
        }
        let code = code(&connection).await;
        if !answer.is_empty() {
            let malformed = Credentials::from_body(answer.get(4..).unwrap()).is_err();
            let (expected, counter) = if malformed {
                (CloseCode::Protocol, "bad_credentials")
            } else {
                (CloseCode::NotAllowed, "network_key_not_proven")
            };
            assert_eq!(code, Some(expected));
            assert_eq!(dialer.rejected(counter).await, 1);
        }
        dialer.leave().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_proof_that_is_forwarded_at_once_proves_nothing() {
    let (switch, node) = network();
    let mallory = addr("203.0.113.66:8083");
    let stranger = Stranger::new(&switch, 66, mallory);
    let dialer = start_with(
        &switch,
        2,
        addr("203.0.113.7:8083"),
        &[mallory],
        keyed(&[1]),
    );
    // A member dials mallory. She dials another one, and forwards the proof before the member gives up.
    let (_connection, _send, mut recv) = stranger.accept().await;
    let mut proof = vec![0; 4 + 1 + 32 + 1];
    recv.read_exact(&mut proof).await.unwrap();
    let (heard, code) = stranger.says(addr(NODE), &proof).await;
    assert_eq!((heard.len(), code), (0, Some(CloseCode::NotAllowed)));
    assert_eq!(node.rejected("network_key_not_proven").await, 1);
    assert_eq!((node.up().await, dialer.up().await), (1, 1));
    // The same bytes with a true key, in the session that they are made for, do admit.
    let connection = stranger.dial(addr(NODE)).await;
    let me = stranger.identity.node_id();
    let peer = Identity::from_seed(&[1; 32]).node_id();
    let session = Session::of(&connection, Role::Dialer, me, peer);
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    let proof = keyed(&[1]).credentials(&session).to_frame();
    send.write_all(&proof).await.unwrap();
    let mut answer = vec![0; proof.len()];
    recv.read_exact(&mut answer).await.unwrap();
    let answer = Credentials::from_body(&answer[4..]).unwrap();
    assert_eq!(keyed(&[1]).admit(&session, &answer), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn packets_of_a_member_that_are_sent_again_admit_nobody() {
    let (switch, node) = network();
    switch.lock().unwrap().watch(addr(NODE));
    let home = addr("203.0.113.7:8083");
    let member = start_with(&switch, 2, home, &[addr(NODE)], keyed(&[1]));
    until(5, || node.knows(&member)).await;
    let recorded = switch.lock().unwrap().came_to(&addr(NODE)).to_vec();
    member.leave().await;
    sleep(SECOND * 40).await;
    for (from, pause) in [
        ("203.0.113.66:8083", SECOND / 100),
        ("203.0.113.7:8083", SECOND / 1000),
    ] {
        let socket = bind(&switch, addr(from));
        for contents in &recorded {
            use quinn::AsyncUdpSocket as _;
            let transmit = quinn::udp::Transmit {
                destination: addr(NODE),
                ecn: None,
                contents,
                segment_size: None,
                src_ip: None,
            };
            socket.try_send(&transmit).unwrap();
            sleep(pause).await;
        }
        sleep(SECOND * 15).await;
        assert_eq!(node.up().await, 1, "from {from}");
    }
    let failed = node.rejected("hello_timeout").await + node.rejected("handshake_failed").await;
    assert!(failed >= 1);
}
