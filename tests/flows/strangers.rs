//! Hostile neighbours of a node on the network in memory name a victim's address in rendezvous.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use area_net::admission::Admission;
use area_net::identity::{Identity, SERVER_NAME, certified_id};
use area_net::record::{
    AddrKind, Body, Direction, LinkState, PublishedAddr, Record, ShortRun, Signer as _,
};
use area_net::settings::Settings;
use area_net::wire::{Answer, Datagram, Hello, Meet, Message, NodeId, ViewDigest};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, Endpoint, EndpointConfig, RecvStream};
use rustls_pki_types::CertificateDer;
use tokio::time::sleep;

use crate::switch::{SECOND, Shared, addr, bind, start, until};

/// Dials from a socket of its own, and waits until the handshake is complete.
pub(crate) async fn connect(
    switch: &Shared,
    key: &Identity,
    from: SocketAddr,
    to: SocketAddr,
) -> Connection {
    let socket = bind(switch, from);
    let runtime = Arc::new(quinn::TokioRuntime);
    let endpoint =
        Endpoint::new_with_abstract_socket(EndpointConfig::default(), None, socket, runtime);
    let network = Settings::default().network;
    let (tls, _) = key.client_config(&Admission::open(&network), None);
    let crypto = QuicClientConfig::try_from(tls).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(crypto));
    let connecting = endpoint.unwrap().connect_with(config, to, SERVER_NAME);
    connecting.unwrap().await.unwrap()
}

/// A hostile relay: a neighbour of the node, and its connection.
pub(crate) struct Relay {
    key: Identity,
    connection: Connection,
    send: quinn::SendStream,
    node: NodeId,
}

fn link_to(peer: NodeId) -> LinkState {
    LinkState {
        peer: peer.abbreviated(),
        run: ShortRun::of(1),
        direction: Direction::Dialer,
        rtt_us: 100,
        rtt_age_s: 0,
        loss: 0,
        suspect: false,
    }
}

fn signed(key: &Identity, peers: impl IntoIterator<Item = NodeId>) -> Arc<Record> {
    let mut links: Vec<LinkState> = peers.into_iter().map(link_to).collect();
    links.sort_by_key(|link| link.peer);
    let body = Body {
        id: key.node_id(),
        label: "stranger".into(),
        run_id: 1,
        epoch: 10,
        seq: u32::try_from(1 + links.len()).unwrap(),
        uptime_s: 0,
        addrs: Vec::new(),
        links,
        leaving: false,
        certificate: None,
    };
    Record::sign(body, &Settings::default().network, key)
}

impl Relay {
    /// Becomes a neighbour of the node at that address, and answers its probes from then on.
    pub(crate) async fn join(switch: &Shared, seed: u8, from: SocketAddr, to: SocketAddr) -> Self {
        let key = Identity::from_seed(&[seed; 32]);
        let connection = connect(switch, &key, from, to).await;
        let chain = connection.peer_identity().unwrap();
        let chain = chain.downcast::<Vec<CertificateDer<'static>>>().unwrap();
        let node = certified_id(chain.first().unwrap()).unwrap();
        let (mut send, recv) = connection.open_bi().await.unwrap();
        let hello = Hello {
            run_id: 1,
            dial_counter: 1,
            replaces: false,
            observed: to,
            known: 1,
            digest: ViewDigest([0; 8]),
            record: signed(&key, []),
            revocations: 0,
        };
        let hello = Message::Hello(hello).to_frame();
        send.write_all(&hello).await.unwrap();
        tokio::spawn(answer_probes(connection.clone()));
        tokio::spawn(read_on(recv));
        Self {
            key,
            connection,
            send,
            node,
        }
    }

    async fn say(&mut self, message: &Message) {
        self.send.write_all(&message.to_frame()).await.unwrap();
    }
}

async fn answer_probes(connection: Connection) {
    while let Ok(bytes) = connection.read_datagram().await {
        if let Ok(Datagram::Probe(probe)) = Datagram::from_bytes(&bytes) {
            let answer = Answer {
                seq: probe.seq,
                hold_us: 0,
            };
            let answer = Datagram::Answer(answer).to_bytes();
            connection.send_datagram(answer.into()).ok();
        }
    }
}

async fn read_on(mut recv: RecvStream) {
    while let Ok(Some(_)) = recv.read_chunk(usize::MAX, true).await {}
}

#[tokio::test(start_paused = true)]
async fn a_victim_gets_three_small_packets_a_rendezvous_and_few_a_minute() {
    let switch = Shared::default();
    switch.lock().unwrap().delay = SECOND / 100;
    let here = addr("198.51.100.1:8083");
    let node = start(&switch, 1, here, &[]);
    let victim: Vec<SocketAddr> = (0..8)
        .map(|at| SocketAddr::new(addr("203.0.113.200:1").ip(), 9000 + at))
        .collect();
    for at in &victim {
        switch.lock().unwrap().watch(*at);
    }
    let authors: Vec<Identity> = (100..116)
        .map(|seed| Identity::from_seed(&[seed; 32]))
        .collect();
    let mut relays = Vec::new();
    for (seed, host) in [(50, "203.0.113.50:8083"), (51, "203.0.113.51:8083")] {
        relays.push(Relay::join(&switch, seed, addr(host), here).await);
    }
    let relay_ids: Vec<NodeId> = relays.iter().map(|relay| relay.key.node_id()).collect();
    let invented = authors.iter().map(|key| signed(key, relay_ids.clone()));
    let invented: Vec<Arc<Record>> = invented.collect();
    for relay in &mut relays {
        let peers = authors.iter().map(|key| key.node_id());
        let own = signed(&relay.key, peers.chain([relay.node]));
        let mut records = invented.clone();
        records.push(own);
        relay.say(&Message::Records(records)).await;
    }
    until(30, || async {
        node.up().await == 1 + relays.len() + authors.len()
    })
    .await;

    let mut nonce = 0_u64;
    let mut counts = Vec::new();
    for second in 0..300 {
        for relay in &mut relays {
            // A neighbour may bring eight a second.
            for at in 0..6 {
                nonce += 1;
                let author = &authors[(second + at) % authors.len()];
                let way = [author.node_id(), relay.key.node_id(), relay.node];
                let first = nonce as usize % victim.len();
                let named = victim[first..].iter().chain(&victim[..first]);
                let meet = Meet {
                    way: way.iter().map(NodeId::abbreviated).collect(),
                    is_answer: false,
                    nonce,
                    asker_dials: nonce.is_multiple_of(2),
                    addrs: named
                        .map(|addr| PublishedAddr::new(AddrKind::Observed, *addr))
                        .collect(),
                };
                relay.say(&Message::Meet(meet)).await;
            }
        }
        sleep(SECOND).await;
        let switch = switch.lock().unwrap();
        let all = victim.iter().map(|addr| switch.came_to(addr).len());
        counts.push(all.sum::<usize>());
    }

    let mut by_rendezvous: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for addr in &victim {
        for packet in switch.lock().unwrap().came_to(addr) {
            *by_rendezvous.entry(packet.clone()).or_default() += 1;
        }
    }
    let longest = by_rendezvous.keys().map(Vec::len).max().unwrap();
    assert!(longest <= 32, "a packet of {longest} bytes");
    let most = by_rendezvous.values().max().copied();
    assert_eq!(most, Some(3), "packets of one rendezvous");
    // Six rendezvous at once, and four in each minute.
    let minutes = counts.windows(60).map(|window| window[59] - window[0]);
    let most = minutes.max().unwrap();
    assert!((1..=3 * 10).contains(&most), "{most} packets in a minute");
    let all = counts.last().copied().unwrap();
    assert!(all <= 3 * (6 + 4 * 5 + 1), "{all} packets in five minutes");
    assert!(
        relays
            .iter()
            .all(|relay| relay.connection.close_reason().is_none())
    );
}
