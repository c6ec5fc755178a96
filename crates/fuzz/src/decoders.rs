//! The decoders of what strangers send.
//!
//! Whatever decodes must come back from its own bytes, and these bytes are no more than the received ones: a relay can't be made to send
//! more than it was sent.

use std::sync::{Arc, LazyLock};

use area_net::admission::{Credentials, MAX_PROOFS};
use area_net::certificate::{Certificate, MAX_CERTIFICATE, MAX_GROUPS, MAX_NETWORK, Terms};
use area_net::decoders::{certified_id, close_reason};
use area_net::discovery::beacon::{self, Beacon, Heard};
use area_net::figures::{FiguresBody, LinkFigures, MAX_FIGURES};
use area_net::record::{
    Body, Direction, LinkState, MAX_ADDRS, MAX_LABEL, MAX_LINKS, MAX_RECORD, PublishedAddr, Record,
    ShortRun,
};
use area_net::revocations::{MAX_REVOCATIONS, MAX_REVOKED, Revocations};
use area_net::wire::{
    Datagram, MAX_ALTERNATIVES, MAX_BUCKETS_LOG2, MAX_SYNC_ENTRIES, MAX_WAY, Message, NodeId,
};

use crate::people::{ALL, NETWORK, PEOPLE, START_S};

/// The port of the beacons that are signed here.
const PORT: u16 = 8083;

pub(crate) fn message(input: &[u8]) {
    let Ok(message) = Message::from_body(input) else {
        return;
    };
    let frame = message.to_frame();
    let (length, body) = frame.split_first_chunk().expect("the length is in front");
    assert_eq!(u32::from_be_bytes(*length) as usize, body.len());
    assert!(body.len() <= input.len(), "it became longer");
    let back = Message::from_body(body).expect("our own frames decode");
    assert_eq!(back, message, "it does not come back");
    match &message {
        Message::Hello(hello) => check_record(&hello.record),
        Message::Records(records) => records.iter().for_each(|record| check_record(record)),
        Message::Digests { log2, sums } => {
            assert!(*log2 <= MAX_BUCKETS_LOG2 && sums.len() == 1 << log2);
        }
        Message::Versions {
            log2,
            buckets,
            entries,
        } => {
            assert!(*log2 <= MAX_BUCKETS_LOG2 && buckets.len() <= 1 << log2);
            assert!(entries.len() <= MAX_SYNC_ENTRIES);
        }
        Message::Have(entries) => assert!(entries.len() <= MAX_SYNC_ENTRIES),
        Message::Request(ids) | Message::Graft(ids) => assert!(ids.len() <= MAX_SYNC_ENTRIES),
        Message::Meet(meet) => {
            assert!((3..=MAX_WAY).contains(&meet.way.len()) && meet.addrs.len() <= MAX_ADDRS);
            let (author, reader) = meet.ends();
            assert_ne!(author, reader, "a node meets itself");
        }
        Message::Figures(all) => all.iter().for_each(|(_, figures)| check_figures(figures)),
        Message::Revocations(revocations) => check_revocations(revocations),
        Message::Superfluous(_) | Message::Prune | Message::Observed(_) => {}
    }
}

fn check_record(record: &Record) {
    let body = record.body();
    assert!(record.signed_len() + 64 <= MAX_RECORD);
    assert!(body.label.len() <= MAX_LABEL && body.addrs.len() <= MAX_ADDRS);
    assert!(body.links.len() <= MAX_LINKS);
    let ordered = body.links.windows(2).all(|two| two[0].peer < two[1].peer);
    assert!(ordered, "links are out of order");
    let me = body.id.abbreviated();
    assert!(record.link_to(&me).is_none(), "a link to itself");
    for link in &body.links {
        assert_eq!(record.link_to(&link.peer), Some(link));
    }
    assert!(record.compare(record).is_eq() && !record.is_verified());
    assert_eq!(record.version().epoch, body.epoch);
    if let Some(certificate) = &body.certificate {
        check_certificate(certificate);
    }
}

fn check_certificate(certificate: &Certificate) {
    let terms = certificate.terms();
    assert_eq!(terms.check(), Ok(()));
    assert!(terms.network.len() <= MAX_NETWORK && terms.groups.len() <= MAX_GROUPS);
    assert!(certificate.to_bytes().len() <= MAX_CERTIFICATE + 3);
    assert_eq!(certificate.to_bytes().len(), certificate.encoded_len());
}

fn check_figures(figures: &LinkFigures) {
    let body = figures.body();
    assert!(body.rtts.len() <= MAX_LINKS && figures.encoded_len() <= MAX_FIGURES + 3);
    assert!(body.losses.is_empty() || body.losses.len() == body.rtts.len());
}

fn check_revocations(revocations: &Revocations) {
    let list = revocations.list();
    assert!(list.ids.len() <= MAX_REVOKED && list.number > 0);
    assert!(list.ids.iter().all(|id| revocations.names(id)));
    let bytes = revocations.to_bytes();
    assert_eq!(bytes.len(), revocations.encoded_len());
    assert!(bytes.len() <= MAX_REVOCATIONS + 4);
}

pub(crate) fn packets(input: &[u8]) {
    let Some((kind, bytes)) = input.split_first() else {
        return;
    };
    match kind % 6 {
        0 => {
            if let Ok(datagram) = Datagram::from_bytes(bytes) {
                let back = datagram.to_bytes();
                assert!(back.len() <= bytes.len());
                assert_eq!(Datagram::from_bytes(&back).ok(), Some(datagram));
            }
        }
        1 => {
            if let Ok(credentials) = Credentials::from_body(bytes) {
                assert!(credentials.proofs.len() <= MAX_PROOFS);
                let frame = credentials.to_frame();
                assert!(frame.len() - 4 <= bytes.len());
                assert_eq!(Credentials::from_body(&frame[4..]), Ok(credentials));
            }
        }
        2 => {
            if let Some(heard) = Heard::read(bytes, beacon::tag(NETWORK)) {
                assert!(heard.port >= 1024 && bytes.len() == beacon::SIZE);
                // The signature of a node that exists, and so none that the input made up.
                let known = PEOPLE.place(&heard.id).is_some();
                assert!(known || !beacon::is_signed(bytes, &heard));
            }
        }
        3 => changed_beacon(bytes),
        4 => assert!(close_reason(bytes).len() <= MAX_ALTERNATIVES),
        _ => {
            let _id: Option<NodeId> = certified_id(bytes);
        }
    }
}

/// Reads a beacon of a known node in which the input changed some bytes.
fn changed_beacon(changes: &[u8]) {
    static BEACON: LazyLock<[u8; beacon::SIZE]> =
        LazyLock::new(|| *Beacon::new(NETWORK, &*PEOPLE.all[1], PORT).bytes(false));
    let mut bytes = *BEACON;
    change(&mut bytes, changes);
    if let Some(heard) = Heard::read(&bytes, beacon::tag(NETWORK)) {
        let genuine = beacon::is_signed(&bytes, &heard);
        assert_eq!(
            genuine,
            bytes == *BEACON,
            "a changed beacon is genuine, or an unchanged one is not"
        );
    }
}

/// Changes bytes: each two of the input are a place and what it is combined with.
pub(crate) fn change(bytes: &mut [u8], changes: &[u8]) {
    for pair in changes.chunks_exact(2) {
        // Most documents are longer than 256 bytes, so the changes are spread.
        let at = usize::from(pair[0]) * 131 % bytes.len();
        bytes[at] ^= pair[1];
    }
}

/// Documents that a known key signed, in their encoding: a record with a certificate, figures, a certificate, revocations.
static GENUINE: LazyLock<[Vec<u8>; 4]> = LazyLock::new(|| {
    let (people, signer) = (&*PEOPLE, &*PEOPLE.all[1]);
    let certificate = people.certificate(1, 0).expect("it is the good one");
    let body = Body {
        id: people.id(1),
        label: "peer".into(),
        run_id: 7,
        epoch: START_S * 1000,
        seq: 3,
        uptime_s: 60,
        addrs: vec![PublishedAddr::local(([127, 0, 0, 1], PORT).into())],
        links: {
            let mut links: Vec<LinkState> = (2..ALL).map(|peer| link(people.id(peer))).collect();
            links.sort_by_key(|link| link.peer);
            links
        },
        leaving: false,
        certificate: Some(certificate.clone()),
    };
    let figures = FiguresBody {
        id: people.id(1).abbreviated(),
        epoch: body.epoch,
        seq: body.seq,
        count: 1,
        every_s: 10,
        rtts: vec![58; ALL - 2],
        losses: Vec::new(),
    };
    let encoded = "documents encode";
    [
        postcard::to_stdvec(&Record::sign(body, NETWORK, signer)).expect(encoded),
        postcard::to_stdvec(&LinkFigures::sign(figures, NETWORK, signer)).expect(encoded),
        certificate.to_bytes(),
        people.revocations[1].to_bytes(),
    ]
});

fn link(peer: NodeId) -> LinkState {
    LinkState {
        peer: peer.abbreviated(),
        run: ShortRun::of(7),
        direction: Direction::Dialer,
        rtt_us: 1000,
        rtt_age_s: 1,
        loss: 0,
        suspect: false,
    }
}

pub(crate) fn signed(input: &[u8]) {
    let Some((kind, bytes)) = input.split_first() else {
        return;
    };
    let kind = usize::from(*kind);
    if kind % 8 < 4 {
        read(kind % 4, bytes);
        return;
    }
    let genuine = &GENUINE[kind % 4];
    let mut changed = genuine.clone();
    change(&mut changed, bytes);
    if let Some((is_genuine, canonical)) = read(kind % 4, &changed) {
        let is_same = canonical == *genuine;
        assert_eq!(
            is_genuine, is_same,
            "a changed document is genuine, or an unchanged one is not"
        );
    }
}

/// Reads a document. Tells whether it is one that a known key signed, and what it is in the shortest encoding.
fn read(kind: usize, bytes: &[u8]) -> Option<(bool, Vec<u8>)> {
    let people = &*PEOPLE;
    let found = match kind {
        0 => {
            let record: Arc<Record> = Arc::new(postcard::from_bytes(bytes).ok()?);
            check_record(&record);
            let canonical = postcard::to_stdvec(&*record).expect("it was decoded");
            let known = people.place(&record.id()).is_some();
            (known && record.verify(NETWORK).is_ok(), canonical)
        }
        1 => {
            let figures: LinkFigures = postcard::from_bytes(bytes).ok()?;
            check_figures(&figures);
            let canonical = postcard::to_stdvec(&figures).expect("it was decoded");
            let is_genuine = figures.verify(people.id(1), NETWORK).is_ok();
            (is_genuine, canonical)
        }
        2 => {
            let certificate = Certificate::from_bytes(bytes).ok()?;
            check_certificate(&certificate);
            let back = Certificate::from_bytes(&certificate.to_bytes());
            assert_eq!(back.as_ref(), Ok(&certificate));
            let charter = people.charter();
            let terms: &Terms = certificate.terms();
            let verdict = charter
                .authorities
                .admit(&terms.id, None, Some(&certificate), START_S);
            (verdict.is_ok(), certificate.to_bytes())
        }
        _ => {
            let revocations = Revocations::from_bytes(bytes).ok()?;
            check_revocations(&revocations);
            let keys = people.charter();
            let keys = keys.authorities.keys();
            let is_genuine = revocations.verify(NETWORK, keys).is_ok();
            (is_genuine, revocations.to_bytes())
        }
    };
    assert!(found.1.len() <= bytes.len(), "it became longer");
    Some(found)
}
