//! Neighbours that break the protocol once they have a link.

use std::net::{SocketAddr, UdpSocket};

use area_net::record::{Direction, LinkState, ShortRun};
use area_net::wire::{
    Answer, CloseCode, Datagram, Echo, MAX_FRAME, Message, NodeId, ShortId, dialable,
};
use quinn::TransportConfig;
use serde_json::Value;

use crate::processes::until;
use crate::scene::Scene;
use crate::stranger::{answer_probes, code, flipped, frame, oversized, peer};

#[tokio::test]
async fn a_neighbour_that_breaks_the_protocol_is_closed_with_its_code() {
    let scene = Scene::new().await;
    let victim = scene.victim();
    let stranger = scene.stranger("mallory");
    let protocol = Some(CloseCode::Protocol);
    let limit = Some(CloseCode::Limit);
    // Who broke the protocol is kept out for a while, so that each offence needs another node.
    let others: Vec<_> = (0..10)
        .map(|number| scene.stranger(&format!("mallory {number}")))
        .collect();
    let mut others = others.iter();
    let mut join = || others.next().expect("there are enough").join(victim);

    let hello = Message::Hello(stranger.hello(victim, 1)).to_frame();
    assert_eq!(join().await.says(&hello).await, protocol);
    let over = u32::try_from(MAX_FRAME + 1).unwrap().to_be_bytes();
    assert_eq!(join().await.says(&over).await, limit);
    assert_eq!(join().await.says(&frame(b"\xff nonsense")).await, protocol);
    let too_large = Message::Records(vec![oversized(&stranger)]).to_frame();
    assert_eq!(join().await.says(&too_large).await, protocol);
    let mut ends = join().await;
    ends.send.finish().unwrap();
    assert_eq!(code(&ends.connection).await, protocol);
    let no_probe = join().await;
    no_probe
        .connection
        .send_datagram(b"nonsense".as_slice().into())
        .unwrap();
    assert_eq!(code(&no_probe.connection).await, protocol);
    let in_circles = join().await;
    let ends = [ShortId([1; 16]), ShortId([2; 16])];
    let bytes = echo([ends[0], ends[1], ends[0]]);
    in_circles.connection.send_datagram(bytes.into()).unwrap();
    assert_eq!(code(&in_circles.connection).await, protocol);
    scene.counted("protocol_violation", 6).await;
    scene.counted("over_limit", 1).await;

    // A record with a forged signature, and one that its owner did not sign.
    let another = scene.stranger("another");
    let forged = flipped(&Message::Records(vec![another.record(10)]));
    assert_eq!(join().await.says(&forged).await, protocol);
    let body = another.body(10, Vec::new(), Vec::new());
    let stolen = Message::Records(vec![stranger.sign(body)]).to_frame();
    assert_eq!(join().await.says(&stolen).await, protocol);
    scene.counted("forged_record", 2).await;
    assert_eq!(scene.alice.picture().state("another"), "unknown");

    let mut flood = Vec::new();
    for _ in 0..200 {
        flood.extend(Message::Superfluous(true).to_frame());
    }
    assert_eq!(join().await.says(&flood).await, limit);
    scene.counted("over_limit", 2).await;
    scene.nobody_noticed().await;
}

#[tokio::test]
async fn an_older_record_is_ignored_and_the_link_stays() {
    let scene = Scene::new().await;
    let mut stranger = scene.stranger("mallory");
    let mut link = stranger.join(scene.victim()).await;
    scene.alice_shows("mallory", "up").await;
    stranger.label = "of old".to_owned();
    let old = stranger.record(9);
    for _ in 0..3 {
        link.say(&Message::Records(vec![old.clone(), old.clone()]))
            .await;
    }
    stranger.label = "of late".to_owned();
    link.say(&Message::Records(vec![stranger.record(11)])).await;
    scene.alice_shows("of late", "up").await;
    assert!(link.is_open());
    let of_old = |line: &Value| line["node"] == "of old" || line["peer"] == "of old";
    assert!(!scene.alice.logged().iter().any(of_old));
    scene.nobody_noticed().await;
}

/// A link in a record.
fn link_to(peer: NodeId, direction: Direction) -> LinkState {
    LinkState {
        peer: peer.abbreviated(),
        run: ShortRun::of(1),
        direction,
        rtt_us: 100,
        rtt_age_s: 0,
        loss: 0,
        suspect: false,
    }
}

#[tokio::test]
async fn addresses_that_are_nobodys_are_neither_dialed_nor_passed_on() {
    let scene = Scene::new().await;
    let mallory = scene.stranger("mallory");
    let mut link = mallory.join(scene.victim()).await;
    let alice = peer(&link.connection).unwrap();
    // Mallory claims to have links with four nodes. Alice will want links with them too.
    let trap = || {
        let trap = UdpSocket::bind("[::]:0").unwrap();
        trap.set_nonblocking(true).unwrap();
        let port = trap.local_addr().unwrap().port();
        (trap, port)
    };
    let ((good_trap, good_port), (bad_trap, bad_port)) = (trap(), trap());
    let good: SocketAddr = format!("[::1]:{good_port}").parse().unwrap();
    let bad = |hosts: [&str; 4]| -> Vec<SocketAddr> {
        let addrs = hosts.iter().map(|host| format!("{host}:{bad_port}"));
        addrs.map(|addr| addr.parse().unwrap()).collect()
    };
    let nodes = [
        ("good", vec![good]),
        (
            "bad1",
            bad(["[::]", "[ff02::1]", "[fe80::1]", "[::ffff:0.0.0.0]"]),
        ),
        (
            "bad2",
            bad(["0.0.0.0", "224.0.0.1", "169.254.0.1", "255.255.255.255"]),
        ),
        ("bad3", vec!["[::1]:0".parse().unwrap()]),
    ];
    let mut records = Vec::new();
    let mut links = vec![link_to(alice, Direction::Dialer)];
    for (name, addrs) in nodes {
        let node = scene.stranger(name);
        links.push(link_to(node.id(), Direction::Dialer));
        let back = link_to(mallory.id(), Direction::Listener);
        records.push(node.sign(node.body(10, addrs, vec![back])));
    }
    links.sort_by_key(|link| link.peer);
    records.push(mallory.sign(mallory.body(11, Vec::new(), links)));
    link.say(&Message::Records(records)).await;
    for name in ["good", "bad1", "bad2", "bad3"] {
        scene.alice_shows(name, "up").await;
    }
    let heard = |trap: &UdpSocket| trap.recv_from(&mut [0; 2000]).is_ok();
    until("alice dials the good one, twice", || heard(&good_trap)).await;
    until("alice dials the good one, twice", || heard(&good_trap)).await;
    assert!(!heard(&bad_trap), "nobody's address was dialed");
    until("peers.json has the good one", || {
        let peers = scene.alice.file("peers.json").unwrap_or_default();
        peers
            .as_array()
            .unwrap()
            .iter()
            .any(|peer| *peer == good.to_string())
    })
    .await;
    let peers: Vec<SocketAddr> =
        serde_json::from_value(scene.alice.file("peers.json").unwrap()).unwrap();
    for addr in peers {
        assert!(
            dialable(&addr, true),
            "peers.json has {addr}, which no target file may have"
        );
    }
    scene.nobody_noticed().await;
}

/// An echo that has this way.
fn echo<const NODES: usize>(way: [ShortId; NODES]) -> Vec<u8> {
    let echo = Echo {
        way: way.to_vec(),
        nonce: 77,
        is_answer: false,
    };
    Datagram::Echo(echo).to_bytes()
}

#[tokio::test]
async fn who_floods_echoes_only_loses_its_own() {
    let scene = Scene::new().await;
    let stranger = scene.stranger("mallory");
    let link = stranger.join(scene.victim()).await;
    let alice = peer(&link.connection).unwrap().abbreviated();
    let bob = scene.id("bob").abbreviated();
    let (connection, _send) = link.read_on();
    scene.alice_shows("mallory", "up").await;
    let me = stranger.id().abbreviated();
    let nobody = ShortId([1; 16]);
    for _ in 0..2000 {
        // To alice, over her to bob, over no link, and past her.
        for bytes in [
            echo([me, alice]),
            echo([me, alice, bob]),
            echo([me, alice, nobody]),
            echo([me, nobody]),
        ] {
            connection.send_datagram_wait(bytes.into()).await.unwrap();
        }
    }
    scene.counted("echo_refused", 1).await;
    assert!(connection.close_reason().is_none());
    scene.nobody_noticed().await;
}

#[tokio::test]
async fn who_stops_reading_is_closed_as_stalled() {
    let scene = Scene::new().await;
    let stranger = scene.stranger("mallory");
    let mut transport = TransportConfig::default();
    transport.stream_receive_window(64_u8.into());
    let connected = stranger
        .connect_with(scene.victim(), stranger.tls(), transport)
        .await;
    let connection = connected.unwrap();
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    let hello = Message::Hello(stranger.hello(scene.victim(), 1)).to_frame();
    send.write_all(&hello).await.unwrap();
    let prober = connection.clone();
    tokio::spawn(answer_probes(prober));
    assert_eq!(code(&connection).await, Some(CloseCode::Stalled));
    scene.counted("stalled", 1).await;
    scene.nobody_noticed().await;
}

#[tokio::test]
async fn who_floods_datagrams_only_loses_its_own() {
    let scene = Scene::new().await;
    let mut stranger = scene.stranger("mallory");
    let link = stranger.join(scene.victim()).await;
    let (connection, mut send) = link.read_on();
    let answer = Answer {
        seq: 77,
        hold_us: 0,
    };
    let bytes = Datagram::Answer(answer).to_bytes();
    for _ in 0..20_000 {
        connection
            .send_datagram_wait(bytes.clone().into())
            .await
            .unwrap();
    }
    // A message on its control stream still arrives afterwards.
    stranger.label = "flooder".to_owned();
    let news = Message::Records(vec![stranger.record(12)]).to_frame();
    send.write_all(&news).await.unwrap();
    scene.alice_shows("flooder", "up").await;
    assert!(connection.close_reason().is_none());
    scene.nobody_noticed().await;
}
