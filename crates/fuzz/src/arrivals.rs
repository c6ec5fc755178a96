//! What arrives below the decoders: a control stream in pieces, and packets at the socket of all connections.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Instant;

use arbitrary::{Result, Unstructured};
use area_net::admission::Credentials;
use area_net::decoders::{Control, Ear, LIMITS, control_stream};
use area_net::wire::{CloseCode, Message, plain};

/// What the packets begin with that open a NAT.
const MAGIC: [u8; 8] = *b"\0an-open";
/// The most rendezvous that are open at once.
const MOST_OPEN: usize = 1024;
/// The shortest packet of QUIC, and the bit that each of them has in its first byte.
const SHORTEST_QUIC: usize = 21;
const FIXED_BIT: u8 = 0x40;

/// The first bytes say where the stream is cut; the rest arrives.
pub(crate) fn stream(input: &[u8]) {
    let mut bytes = Unstructured::new(input);
    let Ok((flags, cuts)) = bytes.arbitrary::<(u8, [u8; 7])>() else {
        return;
    };
    let (is_closed, is_framed) = (flags & 1 == 1, flags & 2 == 2);
    let rest = bytes.take_rest();
    let rest = if is_framed {
        framed(rest)
    } else {
        rest.to_vec()
    };
    let whole = control_stream([rest.as_slice()], is_closed);
    check_control(&rest, is_closed, &whole);
    assert_eq!(
        control_stream(pieces(&rest, &cuts), is_closed),
        whole,
        "in pieces"
    );
    if flags & 4 == 4 {
        assert_eq!(
            control_stream(rest.chunks(1), is_closed),
            whole,
            "byte by byte"
        );
    }
}

/// Puts lengths in front of bodies: libFuzzer seldom finds the right ones. Each body begins with its own length in a byte.
fn framed(mut bytes: &[u8]) -> Vec<u8> {
    let mut frames = Vec::with_capacity(bytes.len() * 2);
    while let Some((length, rest)) = bytes.split_first() {
        let (body, later) = rest.split_at(usize::from(*length).min(rest.len()));
        frames.extend_from_slice(&u32::from(*length).to_be_bytes());
        frames.extend_from_slice(body);
        bytes = later;
    }
    frames
}

/// Cuts a stream: the pieces have these lengths in turn. An empty piece is one, too.
fn pieces<'a>(mut bytes: &'a [u8], cuts: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut lengths = cuts.iter().cycle();
    let is_cut = cuts.iter().any(|length| *length > 0);
    while is_cut && !bytes.is_empty() {
        let length = lengths.next().map_or(0, |length| usize::from(*length));
        let (piece, later) = bytes.split_at(length.min(bytes.len()));
        pieces.push(piece);
        bytes = later;
    }
    pieces.push(bytes);
    pieces
}

/// A stream is what its frames say one by one, until one is refused. No more was read than these, and the head of that one.
fn check_control(bytes: &[u8], is_closed: bool, control: &Control) {
    let mut expected = Expected::of(bytes, is_closed);
    expected.control.largest = control.largest;
    // The words of a decoder are its own.
    if expected.control.refusal.1.is_empty() {
        expected.control.refusal.1.clone_from(&control.refusal.1);
    }
    assert_eq!(*control, expected.control);
    assert!(!control.refusal.1.is_empty(), "refused without a word");
    // A buffer has room for the frame that its head announces, and a head for itself.
    let most = expected.lengths.iter().copied().max().unwrap_or(0).max(4);
    assert!(
        control.largest <= most,
        "{} bytes of room, {most} announced",
        control.largest
    );
}

/// What should become of a stream, by another way of reading it: as one piece of memory.
struct Expected {
    control: Control,
    /// The lengths of the frames that were within their limits.
    lengths: Vec<usize>,
}

impl Expected {
    fn of(bytes: &[u8], is_closed: bool) -> Self {
        let mut expected = Self {
            control: Control {
                credentials: None,
                messages: Vec::new(),
                refusal: (CloseCode::Protocol, String::new()),
                read: 0,
                largest: 0,
            },
            lengths: Vec::new(),
        };
        let mut at = 0;
        while let Some(body) = expected.body(bytes, &mut at, is_closed) {
            let control = &mut expected.control;
            if is_closed && control.credentials.is_none() {
                match Credentials::from_body(body) {
                    Ok(credentials) => control.credentials = Some(credentials),
                    Err(_) => break,
                }
                continue;
            }
            match Message::from_body(body) {
                Ok(message)
                    if !control.messages.is_empty() || matches!(message, Message::Hello(_)) =>
                {
                    control.messages.push(message);
                }
                Ok(_) | Err(_) => break,
            }
        }
        expected.control.read = at;
        expected
    }

    /// The body of the next frame, if all of it is there.
    fn body<'a>(&mut self, bytes: &'a [u8], at: &mut usize, is_closed: bool) -> Option<&'a [u8]> {
        let [credentials, hello, other] = LIMITS;
        let limit = if is_closed && self.control.credentials.is_none() {
            credentials
        } else if self.control.messages.is_empty() {
            hello
        } else {
            other
        };
        let rest = &bytes[*at..];
        let Some((length, rest)) = rest.split_first_chunk() else {
            *at = bytes.len();
            return None;
        };
        *at += 4;
        let length = u32::from_be_bytes(*length) as usize;
        if length > limit {
            self.control.refusal = (
                CloseCode::Limit,
                format!("a frame of {length} bytes exceeds the limit of {limit}"),
            );
            return None;
        }
        self.lengths.push(length);
        let body = &rest[..length.min(rest.len())];
        *at += body.len();
        (body.len() == length).then_some(body)
    }
}

/// Plays the network at the socket of a node that opens NATs.
pub(crate) fn opener(input: &[u8]) {
    static NOW: LazyLock<Instant> = LazyLock::new(now);
    let mut bytes = Unstructured::new(input);
    let mut ear = Ear::new(*NOW);
    let mut open = BTreeSet::new();
    while !bytes.is_empty() && step(&mut bytes, &mut ear, &mut open).is_ok() {}
}

#[expect(
    clippy::disallowed_methods,
    reason = "the socket wants some time, and nothing depends on which"
)]
fn now() -> Instant {
    Instant::now()
}

fn step(bytes: &mut Unstructured<'_>, ear: &mut Ear, open: &mut BTreeSet<u64>) -> Result<()> {
    let what: u8 = bytes.arbitrary()?;
    match what % 8 {
        0 => {
            // Some numbers, or as many as there is room for.
            let (nonce, more): (u8, u8) = bytes.arbitrary()?;
            for nonce in u64::from(nonce)..=u64::from(nonce) + u64::from(more) * 8 {
                ear.begin(nonce);
                if open.len() < MOST_OPEN {
                    open.insert(nonce);
                }
            }
        }
        1 => {
            let nonce = u64::from(bytes.arbitrary::<u8>()?);
            ear.end(nonce);
            open.remove(&nonce);
        }
        _ => {
            let (from, stride): (u8, u8) = bytes.arbitrary()?;
            let (from, stride) = (addr(from), usize::from(stride & 31));
            let packets = packets(bytes, what)?;
            hear(ear, open, from, &packets, stride);
        }
    }
    Ok(())
}

/// What is in the buffer of the socket: packets that open a NAT, and others.
fn packets(bytes: &mut Unstructured<'_>, what: u8) -> Result<Vec<u8>> {
    let mut packets = Vec::new();
    for _ in 0..=what >> 6 {
        let kind: u8 = bytes.arbitrary()?;
        match kind & 3 {
            0 | 1 => {
                packets.extend_from_slice(&MAGIC);
                let nonce: u8 = bytes.arbitrary()?;
                packets.extend_from_slice(&u64::from(nonce).to_be_bytes());
            }
            2 => packets.extend_from_slice(bytes.bytes(usize::from(kind >> 3).min(bytes.len()))?),
            _ => {
                packets.push(kind);
                packets.resize(packets.len() + 15, kind);
            }
        }
    }
    Ok(packets)
}

fn addr(from: u8) -> SocketAddr {
    let port = 8000 + u16::from(from >> 1);
    if from & 1 == 0 {
        ([192, 0, 2, 1], port).into()
    } else {
        // A socket of both families tells IPv4 addresses like this.
        ([0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0201], port).into()
    }
}

/// The node is told once of each open rendezvous whose packet came, and QUIC sees none of these packets.
fn hear(ear: &mut Ear, open: &mut BTreeSet<u64>, from: SocketAddr, bytes: &[u8], stride: usize) {
    let heard = ear.hear(from, bytes, stride);
    let packets: Vec<&[u8]> = bytes.chunks(stride.max(1)).collect();
    let is_opener = |packet: &&[u8]| packet.len() == 16 && packet.starts_with(&MAGIC);
    if packets.is_empty() || !packets.iter().all(is_opener) {
        assert!(heard.opened.is_empty(), "{heard:?}");
        assert_eq!(heard.passed, bytes.len(), "QUIC misses packets");
        let is_quic = |packet: &&&[u8]| packet.len() >= SHORTEST_QUIC && packet[0] & FIXED_BIT != 0;
        let others = packets.len() - packets.iter().filter(is_quic).count();
        assert_eq!(heard.not_quic, others as u64);
        return;
    }
    assert_eq!((heard.passed, heard.not_quic), (0, 0), "{heard:?}");
    let mut expected = Vec::new();
    for packet in packets {
        let nonce = packet.last_chunk().copied().map(u64::from_be_bytes);
        if let Some(nonce) = nonce.filter(|nonce| open.remove(nonce)) {
            expected.push((nonce, plain(&from)));
        }
    }
    assert_eq!(heard.opened, expected);
}
