//! The limits of records and messages, and what a signature counts for.

use area_net::identity::Identity;
use area_net::record::{Body, LinkState, MAX_ADDRS, MAX_LABEL, MAX_LINKS, MAX_RECORD};
use area_net::record::{Direction, PublishedAddr, Record, RecordError, ShortRun, Signer as _};
use area_net::wire::{
    BATCH_BYTES, CloseCode, Datagram, Echo, MAX_BUCKETS_LOG2, MAX_ECHO_WAY, MAX_FRAME,
    MAX_SYNC_ENTRIES, Message, NodeId, ShortId, WireError, dialable,
};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use crate::golden::{datagrams, messages};
use crate::sample::{NETWORK, body, identity, record};

fn link(peer: u16) -> LinkState {
    let mut id = [0; 16];
    id[..2].copy_from_slice(&peer.to_be_bytes());
    LinkState {
        peer: ShortId(id),
        run: ShortRun([255; 2]),
        direction: Direction::Dialer,
        rtt_us: u32::MAX,
        rtt_age_s: u16::MAX,
        loss: 255,
        suspect: true,
    }
}

/// Decodes a body as it arrives from a peer; its signature is not looked at.
fn arrives(body: Body) -> Result<(), RecordError> {
    let signed = postcard::to_stdvec(&body).unwrap();
    Record::from_parts(signed, [0; 64]).map(|_| ())
}

fn over(what: &str, result: Result<(), RecordError>) {
    match result {
        Err(RecordError::OverLimit { what: said, .. }) => assert_eq!(said, what),
        other => panic!("{what}: {other:?}"),
    }
}

#[test]
fn a_record_has_limits() {
    assert_eq!(arrives(body()), Ok(()));
    let label = "x".repeat(MAX_LABEL + 1);
    over(
        "bytes of label",
        arrives(Body {
            label: label.into(),
            ..body()
        }),
    );
    let addrs = vec![PublishedAddr::local("[::1]:1".parse().unwrap()); MAX_ADDRS + 1];
    over("addresses", arrives(Body { addrs, ..body() }));
    let links = (0..=MAX_LINKS)
        .map(|peer| link(u16::try_from(peer).unwrap()))
        .collect();
    over("links", arrives(Body { links, ..body() }));
    for links in [vec![link(2), link(1)], vec![link(2), link(2)]] {
        assert_eq!(
            arrives(Body { links, ..body() }),
            Err(RecordError::BadLinks)
        );
    }
    let peer = body().id.abbreviated();
    let links = vec![LinkState { peer, ..link(0) }];
    assert_eq!(
        arrives(Body { links, ..body() }),
        Err(RecordError::BadLinks)
    );
    let large = vec![0; MAX_RECORD];
    assert_eq!(
        Record::from_parts(large, [0; 64]).map(|_| ()),
        Err(RecordError::TooLarge(MAX_RECORD + 64))
    );
    let mut trailing = postcard::to_stdvec(&body()).unwrap();
    trailing.push(0);
    assert_eq!(
        Record::from_parts(trailing, [0; 64]).map(|_| ()),
        Err(RecordError::Undecodable)
    );
}

#[test]
fn the_largest_record_fits() {
    let addr = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"
        .parse()
        .unwrap();
    let largest = Body {
        label: "x".repeat(MAX_LABEL).into(),
        run_id: u64::MAX,
        epoch: u64::MAX,
        seq: u32::MAX,
        uptime_s: 0,
        addrs: vec![PublishedAddr::local(addr); MAX_ADDRS],
        links: (0..MAX_LINKS)
            .map(|peer| link(u16::try_from(peer).unwrap()))
            .collect(),
        leaving: true,
        ..body()
    };
    let length = postcard::to_stdvec(&largest).unwrap().len() + 64;
    assert!(length <= MAX_RECORD, "{length} bytes");
    assert_eq!(arrives(largest), Ok(()));
    const { assert!(BATCH_BYTES + MAX_RECORD + 64 <= MAX_FRAME) };
}

#[test]
fn a_signature_counts_for_one_key_and_one_network() {
    let genuine = record();
    let bytes = Message::Records(vec![genuine.clone()]).to_frame();
    let arrived = || match Message::from_body(&bytes[4..]).unwrap() {
        Message::Records(mut records) => records.remove(0),
        other => panic!("{other:?}"),
    };
    assert_eq!(arrived().verify(NETWORK), Ok(()));
    let id = genuine.id();
    assert_eq!(arrived().verify("another"), Err(RecordError::Forged(id)));
    let signed = postcard::to_stdvec(&Body { seq: 8, ..body() }).unwrap();
    let forged = Record::from_parts(signed, [3; 64]).unwrap();
    assert_eq!(forged.verify(NETWORK), Err(RecordError::Forged(id)));
    // The verdict is kept: the second call repeats it.
    assert_eq!(forged.verify(NETWORK), Err(RecordError::Forged(id)));
    let nobody = Body {
        id: NodeId([0xff; 32]),
        ..body()
    };
    let record = Record::sign(nobody, NETWORK, &identity());
    let frame = Message::Records(vec![record]).to_frame();
    match Message::from_body(&frame[4..]).unwrap() {
        Message::Records(records) => assert!(records[0].verify(NETWORK).is_err()),
        other => panic!("{other:?}"),
    }
}

/// Records as they come from the network: no signature is verified yet.
fn arrived(seqs: std::ops::Range<u32>) -> Vec<std::sync::Arc<Record>> {
    let fresh = |seq| Record::sign(Body { seq, ..body() }, NETWORK, &identity());
    let frame = Message::Records(seqs.map(fresh).collect()).to_frame();
    match Message::from_body(&frame[4..]).unwrap() {
        Message::Records(records) => records,
        other => panic!("{other:?}"),
    }
}

#[test]
fn signatures_get_the_same_verdicts_in_a_batch_as_one_by_one() {
    let rng = || ChaCha8Rng::seed_from_u64(1);
    for size in [0, 1, 2, 3, 40] {
        let good = arrived(0..size);
        Record::verify_all(good.iter().map(|record| &**record), NETWORK, rng());
        assert!(good.iter().all(|record| record.verify(NETWORK).is_ok()));
    }
    for bad in 0..4 {
        let mut records = arrived(0..4);
        let signed = postcard::to_stdvec(&Body { seq: 9, ..body() }).unwrap();
        records[bad] = Record::from_parts(signed, [3; 64]).unwrap();
        Record::verify_all(records.iter().map(|record| &**record), NETWORK, rng());
        for (at, record) in records.iter().enumerate() {
            assert_eq!(record.verify(NETWORK).is_ok(), at != bad);
        }
    }
    let others = arrived(0..8);
    Record::verify_all(others.iter().map(|record| &**record), "another", rng());
    assert!(
        others
            .iter()
            .all(|record| record.verify("another").is_err())
    );
}

fn refused(message: &Message) -> &'static str {
    match Message::from_body(&message.to_frame()[4..]) {
        Err(WireError::OverLimit { what, .. }) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_has_limits() {
    let log2 = MAX_BUCKETS_LOG2;
    let (buckets, entries) = (vec![], vec![]);
    let too_fine = "log2 of digest buckets";
    assert_eq!(
        refused(&Message::Digests {
            log2: log2 + 1,
            sums: vec![0; 2048]
        }),
        too_fine
    );
    assert_eq!(
        refused(&Message::Digests {
            log2: 255,
            sums: vec![]
        }),
        too_fine
    );
    let versions = Message::Versions {
        log2: 255,
        buckets,
        entries,
    };
    assert_eq!(refused(&versions), too_fine);
    for count in [0, 7, 9] {
        let sums = vec![0; count];
        assert_eq!(refused(&Message::Digests { log2: 3, sums }), "digest sums");
    }
    let version = record().version();
    let entries = vec![(ShortId([0; 16]), version); MAX_SYNC_ENTRIES + 1];
    let buckets = vec![];
    assert_eq!(
        refused(&Message::Versions {
            log2,
            buckets,
            entries
        }),
        "versions"
    );
    let (buckets, entries) = (vec![0; 3], vec![]);
    assert_eq!(
        refused(&Message::Versions {
            log2: 1,
            buckets,
            entries
        }),
        "buckets"
    );
    let requested = vec![ShortId([0; 16]); MAX_SYNC_ENTRIES + 1];
    assert_eq!(
        refused(&Message::Request(requested.clone())),
        "requested records"
    );
    assert_eq!(refused(&Message::Graft(requested)), "records in a graft");
    let pushed = vec![(ShortId([0; 16]), version); MAX_SYNC_ENTRIES + 1];
    assert_eq!(refused(&Message::Have(pushed)), "lazily pushed records");
    for message in messages() {
        let mut body = message.to_frame().split_off(4);
        body.extend([0, 0, 0]);
        assert!(matches!(
            Message::from_body(&body),
            Err(WireError::Trailing(3))
        ));
    }
    for datagram in datagrams() {
        let mut bytes = datagram.to_bytes();
        bytes.push(0);
        assert!(matches!(
            Datagram::from_bytes(&bytes),
            Err(WireError::Trailing(1))
        ));
    }
}

#[test]
fn the_way_of_an_echo_has_limits() {
    let echo = |numbers: &[u8]| {
        let way = numbers.iter().map(|number| ShortId([*number; 16]));
        let echo = Echo {
            way: way.collect(),
            nonce: u64::MAX,
            is_answer: false,
        };
        Datagram::Echo(echo).to_bytes()
    };
    let longest: Vec<u8> = (0..u8::try_from(MAX_ECHO_WAY).unwrap()).collect();
    let too_long: Vec<u8> = (0..=u8::try_from(MAX_ECHO_WAY).unwrap()).collect();
    for good in [&[1, 2][..], &longest] {
        assert!(Datagram::from_bytes(&echo(good)).is_ok(), "{good:?}");
    }
    // A packet takes at most 1200 bytes, and carries a probe beside three of these.
    assert!(echo(&longest).len() <= 280);
    for bad in [&[][..], &[1], &[1, 2, 1], &too_long] {
        match Datagram::from_bytes(&echo(bad)) {
            Err(WireError::OverLimit { what, .. }) => {
                assert_eq!(what, "nodes on the way of an echo");
            }
            other => panic!("{bad:?}: {other:?}"),
        }
    }
}

#[test]
fn the_largest_messages_fit_into_a_frame() {
    let version = area_net::record::Version {
        epoch: u64::MAX,
        seq: u32::MAX,
        tie: u32::MAX,
    };
    let versions = Message::Versions {
        log2: MAX_BUCKETS_LOG2,
        buckets: vec![u16::MAX; 1 << MAX_BUCKETS_LOG2],
        entries: vec![(ShortId([255; 16]), version); MAX_SYNC_ENTRIES],
    };
    let digests = Message::Digests {
        log2: MAX_BUCKETS_LOG2,
        sums: vec![u64::MAX; 1 << MAX_BUCKETS_LOG2],
    };
    let want = Message::Request(vec![ShortId([255; 16]); MAX_SYNC_ENTRIES]);
    for message in [versions, digests, want] {
        let frame = message.to_frame();
        assert!(frame.len() - 4 <= MAX_FRAME, "{} bytes", frame.len());
        assert!(Message::from_body(&frame[4..]).is_ok());
    }
}

#[test]
fn only_some_addresses_may_be_dialed() {
    // The address; whether it may be dialed if told over a network, and over loopback.
    let table = [
        ("192.0.2.7:1", true, true),
        ("[2001:db8::1]:8083", true, true),
        ("[fd00::1]:8083", true, true),
        ("10.0.0.1:80", true, true),
        ("127.0.0.1:8083", false, true),
        ("127.9.9.9:8083", false, true),
        ("[::1]:8083", false, true),
        ("[::ffff:127.0.0.1]:8083", false, true),
        ("[::ffff:192.0.2.7]:1", true, true),
        ("192.0.2.7:0", false, false),
        ("[::1]:0", false, false),
        ("0.0.0.0:1", false, false),
        ("[::]:1", false, false),
        ("[::ffff:0.0.0.0]:1", false, false),
        ("224.0.0.1:1", false, false),
        ("[ff02::1]:1", false, false),
        ("[::ffff:224.0.0.1]:1", false, false),
        ("169.254.1.1:1", false, false),
        ("[fe80::1]:1", false, false),
        ("[::ffff:169.254.1.1]:1", false, false),
        ("255.255.255.255:1", false, false),
    ];
    for (addr, network, loopback) in table {
        let addr = addr.parse().unwrap();
        assert_eq!(dialable(&addr, false), network, "{addr} over a network");
        assert_eq!(dialable(&addr, true), loopback, "{addr} over loopback");
    }
}

#[test]
fn close_codes_keep_their_numbers() {
    let codes = [
        CloseCode::Leaving,
        CloseCode::Duplicate,
        CloseCode::Superfluous,
        CloseCode::Full,
        CloseCode::Down,
        CloseCode::HelloTimeout,
        CloseCode::Protocol,
        CloseCode::Limit,
        CloseCode::Stalled,
        CloseCode::NotAllowed,
        CloseCode::Myself,
        CloseCode::IdentityInUse,
    ];
    for (number, code) in (1..).zip(codes) {
        assert_eq!(code.number(), number);
        assert_eq!(CloseCode::from_number(number.into()), Some(code));
    }
    assert_eq!(CloseCode::from_number(0), None);
    assert_eq!(CloseCode::from_number(13), None);
    assert_eq!(CloseCode::from_number(u64::MAX), None);
}

#[test]
fn exactly_one_of_two_nodes_leads_and_each_leads_about_half_of_its_links() {
    let ids: Vec<NodeId> = (0..100)
        .map(|seed| Identity::from_seed(&[seed; 32]).node_id())
        .collect();
    for id in &ids {
        assert!(!id.leads(id));
        let led = ids.iter().filter(|other| id.leads(other)).count();
        assert!((25..=74).contains(&led), "{id:?} leads {led} of 99");
        let both = |other: &&NodeId| *other != id && id.leads(other) == other.leads(id);
        assert_eq!(ids.iter().find(both), None);
    }
    let (low, high) = (NodeId([0; 32]), NodeId([128; 32]));
    let opposite = {
        let mut opposite = low;
        opposite.0[0] = 128;
        opposite
    };
    assert!(low.leads(&opposite) && !opposite.leads(&low));
    assert_ne!(low.leads(&high), high.leads(&low));
}

#[test]
fn node_ids_are_read_strictly() {
    let id = record().id();
    assert_eq!(NodeId::from_hex(&id.to_string()), Ok(id));
    assert_eq!(NodeId::from_hex(&id.to_string().to_uppercase()), Ok(id));
    for text in [
        "",
        "12",
        &"g".repeat(64),
        &"é".repeat(32),
        &"0".repeat(65),
        &"+1".repeat(32),
    ] {
        assert!(NodeId::from_hex(text).is_err(), "{text}");
    }
}
