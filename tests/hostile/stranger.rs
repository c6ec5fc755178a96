//! A peer that follows the protocol only as far as a test wants: quinn, a key, and messages made by hand.

use std::net::SocketAddr;
use std::sync::Arc;

use area_net::admission::Admission;
use area_net::identity::{Identity, SERVER_NAME, certified_id};
use area_net::record::{Body, LinkState, PublishedAddr, Record, Signer as _};
use area_net::wire::{Answer, CloseCode, Datagram, Hello, Message, NodeId, ViewDigest};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream, TransportConfig};
use rustls_pki_types::CertificateDer;

/// A peer with a key of its own.
pub(crate) struct Stranger {
    pub(crate) identity: Identity,
    pub(crate) network: String,
    pub(crate) label: String,
    pub(crate) run_id: u64,
    endpoint: Endpoint,
}

/// A connection after both Hellos.
pub(crate) struct Acquaintance {
    pub(crate) connection: Connection,
    pub(crate) send: SendStream,
    pub(crate) recv: RecvStream,
}

impl Stranger {
    pub(crate) fn new(network: &str, label: &str) -> Self {
        let mut seed = [99; 32];
        seed[..label.len()].copy_from_slice(label.as_bytes());
        Self {
            identity: Identity::from_seed(&seed),
            network: network.to_owned(),
            label: label.to_owned(),
            run_id: 1,
            endpoint: Endpoint::client("[::1]:0".parse().unwrap()).unwrap(),
        }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.identity.node_id()
    }

    /// The TLS configuration of a well-behaved node.
    pub(crate) fn tls(&self) -> rustls::ClientConfig {
        self.identity
            .client_config(&Admission::open(&self.network), None)
            .0
    }

    pub(crate) async fn connect_with(
        &self,
        victim: SocketAddr,
        tls: rustls::ClientConfig,
        transport: TransportConfig,
    ) -> Result<Connection, ConnectionError> {
        let crypto = QuicClientConfig::try_from(tls).unwrap();
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        config.transport_config(Arc::new(transport));
        let connecting = self.endpoint.connect_with(config, victim, SERVER_NAME);
        connecting.unwrap().await
    }

    pub(crate) async fn connect(&self, victim: SocketAddr) -> Result<Connection, ConnectionError> {
        self.connect_with(victim, self.tls(), TransportConfig::default())
            .await
    }

    /// A record about itself.
    pub(crate) fn body(&self, epoch: u64, addrs: Vec<SocketAddr>, links: Vec<LinkState>) -> Body {
        Body {
            id: self.id(),
            label: self.label.as_str().into(),
            run_id: self.run_id,
            epoch,
            seq: 1,
            uptime_s: 0,
            addrs: addrs.into_iter().map(PublishedAddr::local).collect(),
            links,
            leaving: false,
            certificate: None,
        }
    }

    pub(crate) fn sign(&self, body: Body) -> Arc<Record> {
        Record::sign(body, &self.network, &self.identity)
    }

    pub(crate) fn record(&self, epoch: u64) -> Arc<Record> {
        self.sign(self.body(epoch, Vec::new(), Vec::new()))
    }

    /// An honest Hello.
    pub(crate) fn hello(&self, victim: SocketAddr, dial_counter: u64) -> Hello {
        Hello {
            run_id: self.run_id,
            dial_counter,
            replaces: false,
            observed: victim,
            known: 1,
            digest: ViewDigest([0; 8]),
            record: self.record(10),
            revocations: 0,
        }
    }

    /// Connects, sends these bytes and returns the code that the connection was closed with.
    pub(crate) async fn says(&self, victim: SocketAddr, bytes: &[u8]) -> Option<CloseCode> {
        let connection = self.connect(victim).await.unwrap();
        let (mut send, _recv) = connection.open_bi().await.unwrap();
        send.write_all(bytes).await.ok();
        code(&connection).await
    }

    /// Connects, exchanges Hellos, and answers probes from then on.
    pub(crate) async fn join(&self, victim: SocketAddr) -> Acquaintance {
        let acquaintance = self.join_silently(victim, 1).await;
        tokio::spawn(answer_probes(acquaintance.connection.clone()));
        acquaintance
    }

    /// Connects and exchanges Hellos.
    pub(crate) async fn join_silently(
        &self,
        victim: SocketAddr,
        dial_counter: u64,
    ) -> Acquaintance {
        let connection = self.connect(victim).await.unwrap();
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        let hello = Message::Hello(self.hello(victim, dial_counter)).to_frame();
        send.write_all(&hello).await.unwrap();
        let Message::Hello(hello) = read_message(&mut recv).await else {
            panic!("its first message is no Hello");
        };
        assert_eq!(Some(hello.record.id()), peer(&connection));
        Acquaintance {
            connection,
            send,
            recv,
        }
    }
}

impl Acquaintance {
    pub(crate) async fn say(&mut self, message: &Message) {
        self.send.write_all(&message.to_frame()).await.unwrap();
    }

    /// Sends these bytes and returns the code that the connection was closed with.
    pub(crate) async fn says(mut self, bytes: &[u8]) -> Option<CloseCode> {
        self.send.write_all(bytes).await.ok();
        code(&self.connection).await
    }

    pub(crate) fn is_open(&self) -> bool {
        self.connection.close_reason().is_none()
    }

    /// Reads and drops everything that the victim sends, so that the victim never waits for it.
    pub(crate) fn read_on(self) -> (Connection, SendStream) {
        let Self {
            connection,
            send,
            mut recv,
        } = self;
        tokio::spawn(
            async move { while let Ok(Some(_)) = recv.read_chunk(usize::MAX, true).await {} },
        );
        (connection, send)
    }
}

/// Whose key the other end has.
pub(crate) fn peer(connection: &Connection) -> Option<NodeId> {
    let chain = connection
        .peer_identity()?
        .downcast::<Vec<CertificateDer<'static>>>()
        .ok()?;
    certified_id(chain.first()?)
}

/// Waits until a connection is closed; returns the code if it is one of area-net's.
pub(crate) async fn code(connection: &Connection) -> Option<CloseCode> {
    let closed = tokio::time::timeout(crate::processes::PATIENCE, connection.closed()).await;
    match closed.expect("it is never closed") {
        ConnectionError::ApplicationClosed(close) => {
            CloseCode::from_number(close.error_code.into_inner())
        }
        _ => None,
    }
}

async fn read_message(recv: &mut RecvStream) -> Message {
    let mut head = [0; 4];
    recv.read_exact(&mut head).await.unwrap();
    let mut body = vec![0; u32::from_be_bytes(head) as usize];
    recv.read_exact(&mut body).await.unwrap();
    Message::from_body(&body).unwrap()
}

pub(crate) async fn answer_probes(connection: Connection) {
    while let Ok(bytes) = connection.read_datagram().await {
        if let Ok(Datagram::Probe(probe)) = Datagram::from_bytes(&bytes) {
            let answer = Answer {
                seq: probe.seq,
                hold_us: 0,
            };
            connection
                .send_datagram(Datagram::Answer(answer).to_bytes().into())
                .ok();
        }
    }
}

/// A frame around any bytes.
pub(crate) fn frame(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap();
    [&length.to_be_bytes(), body].concat()
}

/// A frame of this message with one bit flipped in the record's signature. Behind that, a Hello has one byte more.
pub(crate) fn flipped(message: &Message) -> Vec<u8> {
    let mut frame = message.to_frame();
    let behind = usize::from(matches!(message, Message::Hello(_)));
    let last = frame.len() - 1 - behind;
    frame[last] ^= 1;
    frame
}

/// A record over the limit of a label. Only a well-behaved sender refuses to make one.
pub(crate) fn oversized(stranger: &Stranger) -> Arc<Record> {
    let label = "x".repeat(12_000).as_str().into();
    stranger.sign(Body {
        label,
        ..stranger.body(10, Vec::new(), Vec::new())
    })
}
