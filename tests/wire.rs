//! The wire format: golden bytes, so that no change goes unnoticed; the limits; and arbitrary bytes, as a stranger may send them.

#[cfg(test)]
mod golden {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use area_net::figures::{FiguresBody, LinkFigures};
    use area_net::identity::Identity;
    use area_net::record::{
        AddrKind, Body, Direction, LinkState, PublishedAddr, Record, ShortRun, Signer as _, Version,
    };
    use area_net::wire::{
        Answer, Datagram, Hello, Meet, Message, NodeId, Probe, ShortId, ViewDigest,
    };

    pub(crate) const NETWORK: &str = "golden";

    pub(crate) fn identity() -> Identity {
        Identity::from_seed(&[1; 32])
    }

    pub(crate) fn body() -> Body {
        Body {
            id: identity().node_id(),
            label: "zoë".into(),
            run_id: 0x0102_0304_0506_0708,
            epoch: 1_700_000_000_000,
            seq: 7,
            uptime_s: 60,
            addrs: vec![
                PublishedAddr::local(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 8090))),
                PublishedAddr {
                    kind: AddrKind::Observed,
                    dialable: true,
                    addr: SocketAddr::from(([192, 0, 2, 7], 443)),
                },
            ],
            links: vec![
                LinkState {
                    peer: ShortId([2; 16]),
                    run: ShortRun([4, 5]),
                    direction: Direction::Dialer,
                    rtt_us: 214,
                    rtt_age_s: 3,
                    loss: 0,
                    suspect: false,
                },
                LinkState {
                    peer: ShortId([3; 16]),
                    run: ShortRun([255, 0]),
                    direction: Direction::Listener,
                    rtt_us: 0,
                    rtt_age_s: 65535,
                    loss: 250,
                    suspect: true,
                },
            ],
            leaving: false,
        }
    }

    pub(crate) fn record() -> Arc<Record> {
        Record::sign(body(), NETWORK, &identity())
    }

    pub(crate) fn hello() -> Hello {
        Hello {
            run_id: 9,
            dial_counter: 300,
            replaces: true,
            observed: SocketAddr::from(([127, 0, 0, 1], 8083)),
            known: 5,
            digest: ViewDigest([0, 1, 2, 3, 4, 5, 6, 7]),
            record: record(),
        }
    }

    pub(crate) fn figures() -> Arc<LinkFigures> {
        let body = FiguresBody {
            id: identity().node_id().abbreviated(),
            epoch: 1_700_000_000_000,
            seq: 7,
            count: 3,
            every_s: 10,
            rtts: vec![58],
            losses: vec![2],
        };
        LinkFigures::sign(body, NETWORK, &identity())
    }

    pub(crate) fn messages() -> Vec<Message> {
        let version = Version {
            epoch: 300,
            seq: 2,
            tie: 0xffff_ffff,
        };
        vec![
            Message::Hello(hello()),
            Message::Records(vec![record(), record()]),
            Message::Digests {
                log2: 1,
                sums: vec![1, u64::MAX],
            },
            Message::Versions {
                log2: 2,
                buckets: vec![0, 3],
                entries: vec![(ShortId([4; 16]), version)],
            },
            Message::Request(vec![ShortId([5; 16])]),
            Message::Superfluous(true),
            Message::Have(vec![(ShortId([6; 16]), version)]),
            Message::Graft(vec![ShortId([7; 16])]),
            Message::Prune,
            Message::Observed(SocketAddr::from(([192, 0, 2, 7], 443))),
            Message::Meet(Meet {
                way: vec![ShortId([8; 16]), ShortId([9; 16]), ShortId([10; 16])],
                is_answer: false,
                nonce: 300,
                asker_dials: true,
                addrs: vec![PublishedAddr::new(
                    AddrKind::Advertised,
                    SocketAddr::from(([192, 0, 2, 7], 443)),
                )],
            }),
            Message::Figures(vec![(300, figures())]),
        ]
    }

    pub(crate) fn datagrams() -> [Datagram; 2] {
        let digest = ViewDigest([9; 8]);
        [
            Datagram::Probe(Probe {
                seq: 300,
                heard: true,
                rtt_us: 214,
                loss: 3,
                next_ms: 1500,
                digest,
            }),
            Datagram::Answer(Answer {
                seq: 300,
                hold_us: 12,
            }),
        ]
    }

    pub(crate) fn hex(bytes: &[u8]) -> String {
        use std::fmt::Write as _;
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    }

    #[test]
    fn the_bytes_of_an_id() {
        assert_eq!(NodeId::from_hex(ID).unwrap(), identity().node_id());
    }

    #[test]
    fn the_bytes_of_a_record() {
        let frame = Message::Records(vec![record()]).to_frame();
        assert_eq!(hex(&frame[4..]), format!("0101{RECORD}"));
    }

    #[test]
    fn the_bytes_of_every_message() {
        let bodies: Vec<String> = messages()
            .iter()
            .map(|message| hex(&message.to_frame()))
            .collect();
        let version = "ac0202ffffffff0f";
        let [four, five, six, seven, eight, nine, ten] =
            ["04", "05", "06", "07", "08", "09", "0a"].map(|byte| byte.repeat(16));
        let golden = [
            format!("000000e00009ac0201007f000001933f050001020304050607{RECORD}"),
            format!("000001980102{RECORD}{RECORD}"),
            "0000000e02010201ffffffffffffffffff01".to_owned(),
            format!("0000001e030202000301{four}{version}"),
            format!("000000120401{five}"),
            "000000020501".to_owned(),
            format!("0000001a0601{six}{version}"),
            format!("000000120701{seven}"),
            "0000000108".to_owned(),
            "000000080900c0000207bb03".to_owned(),
            format!("000000400a03{eight}{nine}{ten}00ac020101000000c0000207bb03"),
            format!("000000630b01ac02{FIGURES}"),
        ];
        for (at, (body, golden)) in bodies.iter().zip(&golden).enumerate() {
            assert_eq!(body, golden, "message {at}");
        }
        assert_eq!(bodies.len(), golden.len());
    }

    #[test]
    fn the_bytes_of_every_datagram() {
        let bytes = datagrams().map(|datagram| hex(&datagram.to_bytes()));
        let golden = ["00ac0201d60103dc0b0909090909090909", "01ac020c"];
        assert_eq!(bytes, golden);
    }

    #[test]
    fn everything_comes_back_from_its_bytes() {
        for message in messages() {
            let back = Message::from_body(&message.to_frame()[4..]).unwrap();
            assert_eq!(back, message);
        }
        for datagram in datagrams() {
            assert_eq!(
                Datagram::from_bytes(&datagram.to_bytes()).unwrap(),
                datagram
            );
        }
    }

    const ID: &str = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c";
    const RECORD: &str = concat!(
        "88018a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f",
        "6f5c047a6fc3ab888e98a8c0e080810180d095ffbc31073c0201000100000000",
        "0000000000000000000000019a3f020100c0000207bb03020202020202020202",
        "0202020202020202040500d60103000003030303030303030303030303030303",
        "ff000100ffff03fa010040280333ee6a9f62f178e3335092f8653b92122ea1ef",
        "6e4e80d7a12bd7e0bb7d98db1dd63f8e563a32e67a35e05affe60994f4ced579",
        "9f1863cbd827009fc3990f",
    );
    const FIGURES: &str = concat!(
        "1d8a88e3dd7409f195fd52db2d3cba5d7280d095ffbc3107030a013a0102409f",
        "f4303e13fdbf7abfd68723a9fbfd68e3fb83e1169d36330d6fcf8c5c1d8a14ec",
        "0be2b7bf145b0f91befe4c7b2ab28eb8ef97e0e067cbed3d680d0a512a6b07",
    );
}

#[cfg(test)]
mod bytes {
    use area_net::identity::Identity;
    use area_net::record::{Body, LinkState, MAX_ADDRS, MAX_LABEL, MAX_LINKS, MAX_RECORD};
    use area_net::record::{Direction, PublishedAddr, Record, RecordError, ShortRun, Signer as _};
    use area_net::wire::{
        BATCH_BYTES, CloseCode, Datagram, MAX_BUCKETS_LOG2, MAX_FRAME, MAX_SYNC_ENTRIES, Message,
        NodeId, ShortId, WireError, dialable,
    };
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::golden::{NETWORK, body, datagrams, identity, messages, record};

    fn link(peer: u8) -> LinkState {
        LinkState {
            peer: ShortId([peer; 16]),
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
            .map(|peer| link(u8::try_from(peer).unwrap()))
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
                .map(|peer| link(u8::try_from(peer).unwrap()))
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

    /// A body that decodes must encode to bytes that decode to the same message.
    fn survives(body: &[u8]) {
        if let Ok(message) = Message::from_body(body) {
            let frame = message.to_frame();
            assert_eq!(Message::from_body(&frame[4..]).unwrap(), message);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_an_error(body in prop::collection::vec(any::<u8>(), 0..600)) {
            survives(&body);
            Datagram::from_bytes(&body).ok();
            Record::from_parts(body, [0; 64]).ok();
        }

        #[test]
        fn any_bytes_behind_a_known_variant(variant in 0..9_u8, tail in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut body = vec![variant];
            body.extend(tail);
            survives(&body);
            Datagram::from_bytes(&body).ok();
        }

        #[test]
        fn a_mutated_message_decodes_or_is_an_error(
            which in 0..messages().len(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<prop::sample::Index>(),
            shorten in any::<bool>(),
        ) {
            let mut body = messages()[which].to_frame().split_off(4);
            for (at, byte) in changes {
                let at = at.index(body.len());
                body[at] = byte;
            }
            if shorten {
                let length = cut.index(body.len());
                body.truncate(length);
            }
            survives(&body);
        }

        #[test]
        fn a_mutated_datagram_decodes_or_is_an_error(which in 0..2_usize, at in any::<prop::sample::Index>(), byte: u8) {
            let mut bytes = datagrams()[which].to_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(datagram) = Datagram::from_bytes(&bytes) {
                prop_assert_eq!(Datagram::from_bytes(&datagram.to_bytes()).unwrap(), datagram);
            }
        }

        #[test]
        fn a_changed_record_is_refused_or_forged(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let mut body = Message::Records(vec![record()]).to_frame().split_off(4);
            let at = at.index(body.len());
            body[at] ^= 1 << bit;
            if let Ok(Message::Records(records)) = Message::from_body(&body) {
                for record in records {
                    prop_assert!(record.verify(NETWORK).is_err());
                }
            }
        }

        #[test]
        fn any_label_comes_back(label in ".{0,40}") {
            let body = Body { label: label.as_str().into(), ..body() };
            let record = Record::sign(body, NETWORK, &identity());
            let frame = Message::Records(vec![record.clone()]).to_frame();
            prop_assert_eq!(Message::from_body(&frame[4..]).unwrap(), Message::Records(vec![record]));
        }
    }
}
