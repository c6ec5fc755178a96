//! A hostile member: it joins as anybody can, and then says what it likes.
//!
//! It speaks the protocol through the library's own types for keys and messages, over plain QUIC. It answers probes, so honest nodes
//! keep the link. A closed connection is counted by its code, and the attack decides whether to come back.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use area_net::admission::Admission;
use area_net::identity::{Identity, SERVER_NAME};
use area_net::record::Record;
use area_net::wire::{Answer, CloseCode, Datagram, Hello, Message, NodeId, Probe, ViewDigest};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream, TransportConfig};
use tokio::sync::mpsc;

use super::forge::{Persona, Says};

/// An honest node answers a handshake on loopback within milliseconds. It may be busy with the attack; after this long, the
/// attacker tries again.
const JOIN_LIMIT: Duration = Duration::from_secs(5);

/// How long after the end of its stream a connection may still tell why.
const REASON_COMES: Duration = Duration::from_millis(200);

/// The largest frame that the attacker reads: that of the protocol.
const MAX_FRAME: usize = 64 * 1024;

/// Messages of the peer that the attack has not read. Further ones are dropped: an attacker is not patient.
const UNREAD: usize = 1024;

/// What the attacker did, and what was done to it: counts and figures by name.
#[derive(Debug, Default)]
pub(crate) struct Deeds(Mutex<BTreeMap<String, f64>>);

impl Deeds {
    /// Adds to a count.
    pub(crate) fn add(&self, name: &str, count: usize) {
        *self.lock().entry(name.to_owned()).or_default() += count as f64;
    }

    /// Sets a figure.
    pub(crate) fn set(&self, name: &str, value: f64) {
        self.lock().insert(name.to_owned(), value);
    }

    /// One count or figure.
    pub(crate) fn count(&self, name: &str) -> f64 {
        self.lock().get(name).copied().unwrap_or(0.0)
    }

    /// All counts and figures so far.
    pub(crate) fn all(&self) -> BTreeMap<String, f64> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, f64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An address of the attacker, from which it dials.
#[derive(Clone)]
pub(crate) struct Host {
    endpoint: Endpoint,
    network: Arc<str>,
    deeds: Arc<Deeds>,
    /// Where it claims to see honest nodes, if it lies.
    sees: Option<SocketAddr>,
}

/// A connection that an honest node takes for a link to a member.
pub(crate) struct Member {
    connection: Connection,
    send: SendStream,
    received: mpsc::Receiver<Message>,
    /// What the honest node said first.
    pub(crate) hello: Hello,
    /// The time in µs that the attacker claims to have held each probe.
    hold_us: Arc<AtomicU32>,
}

impl Host {
    /// Opens a socket on that address. Must be called within a runtime.
    pub(crate) fn open(from: IpAddr, network: &str, deeds: Arc<Deeds>) -> Result<Self> {
        let socket = UdpSocket::bind((from, 0)).with_context(|| format!("can't bind {from}"))?;
        let runtime = quinn::default_runtime().context("no runtime")?;
        let config = quinn::EndpointConfig::default();
        let endpoint = Endpoint::new(config, None, socket, runtime).context("can't open QUIC")?;
        Ok(Self {
            endpoint,
            network: network.into(),
            deeds,
            sees: None,
        })
    }

    /// Claims to see all honest nodes at that address.
    pub(crate) fn seeing(mut self, addr: SocketAddr) -> Self {
        self.sees = Some(addr);
        self
    }

    /// The network's name.
    pub(crate) fn network(&self) -> &str {
        &self.network
    }

    /// What was done so far.
    pub(crate) fn deeds(&self) -> &Deeds {
        &self.deeds
    }

    /// Makes a handshake, and says nothing.
    pub(crate) async fn shake(&self, identity: &Identity, at: SocketAddr) -> Result<Connection> {
        let (tls, _) = identity.client_config(&Admission::open(&self.network), None);
        let crypto = QuicClientConfig::try_from(tls).context("no initial cipher suite")?;
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        let mut transport = TransportConfig::default();
        transport.mtu_discovery_config(None);
        config.transport_config(Arc::new(transport));
        let dial = self.endpoint.connect_with(config, at, SERVER_NAME);
        let shaken = tokio::time::timeout(JOIN_LIMIT, dial.context("can't dial")?).await;
        self.deeds.add("handshakes", 1);
        match shaken {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => {
                self.deeds.add("handshakes failed", 1);
                bail!("{error}")
            }
            Err(_) => {
                self.deeds.add("handshakes unanswered", 1);
                bail!("no answer")
            }
        }
    }

    /// Joins as a member with a first record that says that.
    pub(crate) async fn join(
        &self,
        who: &mut Persona,
        at: SocketAddr,
        says: Says,
    ) -> Result<Member> {
        let record = who.sign(&self.network, says);
        self.join_with(who.identity(), record, at).await
    }

    /// Joins as a member with this record.
    pub(crate) async fn join_with(
        &self,
        identity: &Identity,
        record: Arc<Record>,
        at: SocketAddr,
    ) -> Result<Member> {
        let connection = self.shake(identity, at).await?;
        match tokio::time::timeout(
            JOIN_LIMIT,
            greet(&connection, record, self.sees.unwrap_or(at)),
        )
        .await
        {
            Ok(Ok((send, recv, hello))) => {
                self.deeds.add("joined", 1);
                Ok(self.serve(connection, send, recv, hello))
            }
            Ok(Err(error)) => {
                self.note_end(&connection);
                Err(error)
            }
            Err(_) => {
                self.deeds.add("no Hello back", 1);
                bail!("no Hello")
            }
        }
    }

    fn note_end(&self, connection: &Connection) {
        if let Some(reason) = connection.close_reason() {
            self.deeds.add(&format!("closed: {}", words(&reason)), 1);
        }
    }

    fn serve(
        &self,
        connection: Connection,
        send: SendStream,
        mut recv: RecvStream,
        hello: Hello,
    ) -> Member {
        let (messages, received) = mpsc::channel(UNREAD);
        let hold_us = Arc::new(AtomicU32::new(0));
        let host = self.clone();
        let reading = connection.clone();
        tokio::spawn(async move {
            while let Ok(message) = read(&mut recv).await {
                // A full queue drops the message.
                messages.try_send(message).ok();
            }
            reading.closed().await;
            host.note_end(&reading);
        });
        let (answering, hold) = (connection.clone(), hold_us.clone());
        tokio::spawn(async move {
            while let Ok(bytes) = answering.read_datagram().await {
                if let Ok(Datagram::Probe(probe)) = Datagram::from_bytes(&bytes) {
                    let answer = Answer {
                        seq: probe.seq,
                        hold_us: hold.load(Ordering::Relaxed),
                    };
                    let bytes = Datagram::Answer(answer).to_bytes();
                    answering.send_datagram(bytes.into()).ok();
                }
            }
        });
        Member {
            connection,
            send,
            received,
            hello,
            hold_us,
        }
    }
}

impl Member {
    /// Sends a message.
    pub(crate) async fn send(&mut self, message: &Message) -> Result<()> {
        self.send_frame(&message.to_frame()).await
    }

    /// Sends bytes that are a frame, or not.
    pub(crate) async fn send_frame(&mut self, frame: &[u8]) -> Result<()> {
        let sent = self.send.write_all(frame).await;
        if sent.is_err() {
            // A node that closes a connection stops the stream first; the reason comes a moment later.
            let closed = self.connection.closed();
            tokio::time::timeout(REASON_COMES, closed).await.ok();
        }
        sent.context("closed")
    }

    /// A message of the peer, if one has come.
    pub(crate) fn received_now(&mut self) -> Option<Message> {
        self.received.try_recv().ok()
    }

    /// Sends a probe that claims these figures.
    pub(crate) fn probe(&self, seq: u32, rtt_us: u32, loss: u8) {
        let probe = Probe {
            seq,
            heard: true,
            rtt_us,
            loss,
            next_ms: 1500,
            digest: self.hello.digest,
        };
        let bytes = Datagram::Probe(probe).to_bytes();
        self.connection.send_datagram(bytes.into()).ok();
    }

    /// Claims from now on to hold each probe for so long before it answers.
    pub(crate) fn claim_hold(&self, hold_us: u32) {
        self.hold_us.store(hold_us, Ordering::Relaxed);
    }

    /// Whether the connection has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.connection.close_reason().is_some()
    }

    /// The honest node at the other end.
    pub(crate) fn id(&self) -> NodeId {
        self.hello.record.id()
    }

    /// Waits for the end of the connection.
    pub(crate) async fn closed(&self) {
        self.connection.closed().await;
    }
}

impl Drop for Member {
    /// Ends the connection without a farewell. Else the dropped stream would end in an orderly way, which breaks the protocol.
    fn drop(&mut self) {
        // A second end would replace the reason of the first.
        if self.connection.close_reason().is_none() {
            self.connection.close(0_u32.into(), &[]);
        }
    }
}

async fn greet(
    connection: &Connection,
    record: Arc<Record>,
    observed: SocketAddr,
) -> Result<(SendStream, RecvStream, Hello)> {
    let (mut send, mut recv) = connection.open_bi().await?;
    let hello = Hello {
        run_id: record.body().run_id,
        dial_counter: 1,
        replaces: false,
        observed,
        known: 1,
        digest: ViewDigest([0; 8]),
        record,
        revocations: 0,
    };
    send.write_all(&Message::Hello(hello).to_frame()).await?;
    match read(&mut recv).await? {
        Message::Hello(hello) => Ok((send, recv, hello)),
        other => bail!("no Hello, but {other:?}"),
    }
}

async fn read(recv: &mut RecvStream) -> Result<Message> {
    let mut head = [0; 4];
    recv.read_exact(&mut head).await?;
    let length = u32::from_be_bytes(head) as usize;
    if length > MAX_FRAME {
        bail!("a frame of {length} bytes");
    }
    let mut body = vec![0; length];
    recv.read_exact(&mut body).await?;
    Ok(Message::from_body(&body)?)
}

/// The end of a connection in a word or two.
fn words(reason: &ConnectionError) -> String {
    match reason {
        ConnectionError::ApplicationClosed(close) => {
            let code = close.error_code.into_inner();
            CloseCode::from_number(code).map_or(format!("code {code}"), |code| format!("{code:?}"))
        }
        ConnectionError::LocallyClosed => "by the attacker".to_owned(),
        ConnectionError::TimedOut => "silent".to_owned(),
        ConnectionError::Reset => "reset".to_owned(),
        ConnectionError::ConnectionClosed(close) => format!("{:?}", close.error_code),
        other => format!("{other:?}"),
    }
}
