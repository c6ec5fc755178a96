//! Checks `docs/protocol.md` against the code. Every example must decode and encode to the same bytes, every table of fields must
//! describe the bytes, and every number that has a public name in the code must equal it.

#[cfg(test)]
#[path = "protocol_doc/connections.rs"]
mod connections;
#[cfg(test)]
#[path = "protocol_doc/document.rs"]
mod document;
#[cfg(test)]
#[path = "wire/sample.rs"]
mod sample;
#[cfg(test)]
#[path = "protocol_doc/samples.rs"]
mod samples;
#[cfg(test)]
#[path = "protocol_doc/view.rs"]
mod view;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Debug;
    use std::net::SocketAddr;

    use area_net::admission::{
        Admission, Allow, Credentials, Keys, MAX_CREDENTIALS, MAX_PROOFS, NetworkKey, Role, Session,
    };
    use area_net::certificate::Certificate;
    use area_net::identity::{Identity, certified_id};
    use area_net::record::{
        AddrKind, Body, Direction, LinkState, MAX_ADDRS, MAX_LABEL, MAX_LINKS, MAX_RECORD, Record,
        ShortRun, Signer as _, Version,
    };
    use area_net::wire::{
        Answer, BATCH_BYTES, CloseCode, Datagram, Echo, MAX_ALTERNATIVES, MAX_BUCKETS_LOG2,
        MAX_ECHO_WAY, MAX_FRAME, MAX_SYNC_ENTRIES, MAX_WAY, Message, NodeId, PROTOCOL_VERSION,
        Probe, ShortId, ViewDigest, dialable,
    };
    use ring::digest::{SHA256, digest};
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject as _;
    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use crate::document::{Document, bare, number, to_varint};
    use crate::sample::{NETWORK, certificate, record};
    use crate::samples::{
        ID, datagram_name, datagrams, direction_name, kind_name, message_name, messages,
    };

    /// Decodes with postcard and encodes again.
    fn comes_back<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> T {
        let (value, rest) = postcard::take_from_bytes::<T>(bytes).unwrap();
        assert!(rest.is_empty(), "{} bytes are left over", rest.len());
        assert_eq!(postcard::to_stdvec(&value).unwrap(), bytes);
        value
    }

    fn frame(bytes: &[u8]) -> Message {
        let (head, body) = bytes.split_first_chunk::<4>().unwrap();
        assert_eq!(u32::from_be_bytes(*head) as usize, body.len());
        let message = Message::from_body(body);
        let message = message.unwrap_or_else(|error| panic!("{error} in {body:02x?}"));
        assert_eq!(message.to_frame(), bytes);
        message
    }

    fn check_example(document: &Document, kind: &str, name: &str, bytes: &[u8]) {
        let signed = || document.example("signed Body");
        match kind {
            "frame" => assert_eq!(message_name(&frame(bytes)), name),
            "datagram" => {
                let datagram = Datagram::from_bytes(bytes).unwrap();
                assert_eq!(datagram.to_bytes(), bytes);
                assert_eq!(datagram_name(&datagram), name);
                check_datagram(document, datagram);
            }
            "Address" => {
                let address: SocketAddr = comes_back(bytes);
                assert_eq!(address, "[::1]:8090".parse().unwrap());
            }
            "Certificate" => {
                let shown: Certificate = comes_back(bytes);
                assert_eq!(shown, *certificate());
            }
            "reason" => {
                let alternatives: Vec<SocketAddr> = comes_back(bytes);
                assert!(alternatives.len() <= MAX_ALTERNATIVES);
            }
            "signed" => {
                let body: Body = comes_back(bytes);
                assert_eq!(body.id, Identity::from_seed(&[1; 32]).node_id());
                assert_eq!(body, *record().body());
            }
            "signature" => {
                let signature: [u8; 64] = bytes.try_into().unwrap();
                let record = Record::from_parts(signed(), signature).unwrap();
                assert_eq!(record.verify(name), Ok(()));
            }
            "signature-prefix" => {
                // Verified without the code under test: it signs and verifies with the same prefix.
                let message = [bytes, &signed()].concat();
                let signature = document.example(&format!("signature {name}"));
                let signature: [u8; 64] = signature.as_slice().try_into().unwrap();
                let id = Identity::from_seed(&[1; 32]).node_id();
                let key = ed25519_zebra::VerificationKey::try_from(id.0).unwrap();
                assert!(key.verify(&signature.into(), &message).is_ok());
            }
            "hash" => {
                assert_eq!(digest(&SHA256, &signed()).as_ref()[..16], *bytes);
                assert_eq!(record().fingerprint().to_be_bytes(), *bytes);
                assert_eq!(record().version().tie.to_be_bytes(), bytes[..4]);
            }
            "digest" => {
                assert_eq!(crate::view::digest_of([&*record()]).0, *bytes);
            }
            "alpn" => {
                let identity = Identity::from_seed(&[1; 32]);
                let server = identity.server_config(&Admission::open(name));
                let (client, _) = identity.client_config(&Admission::open(name), None);
                assert_eq!(server.alpn_protocols, [bytes]);
                assert_eq!(client.alpn_protocols, [bytes]);
            }
            "alpn-keyed" => {
                let keys = Keys::new(vec![document_key()]);
                let closed = Admission::new(name, keys, Allow::default());
                assert_eq!(closed.protocols(), [bytes]);
            }
            "credentials" => {
                let keys = Keys::new(vec![document_key()]);
                let session = Session {
                    role: Role::Dialer,
                    exporter: [9; 32],
                    me: NodeId([1; 32]),
                    peer: NodeId([2; 32]),
                };
                let closed = Admission::new("golden", keys, Allow::default());
                assert_eq!(closed.credentials(&session).to_frame(), bytes);
                Credentials::from_body(&bytes[4..]).unwrap();
            }
            "spki-prefix" => check_certificate(bytes),
            other => panic!("nobody knows how to check an example of the kind {other:?}"),
        }
    }

    /// The network key of the examples.
    fn document_key() -> NetworkKey {
        NetworkKey::new(std::array::from_fn(|at| u8::try_from(at).unwrap()))
    }

    /// Compares with the comments in the examples.
    fn check_datagram(document: &Document, datagram: Datagram) {
        let digest: [u8; 8] = document.example("digest").try_into().unwrap();
        let expected = match datagram {
            Datagram::Probe(_) => Datagram::Probe(Probe {
                seq: 300,
                heard: true,
                rtt_us: 214,
                loss: 3,
                next_ms: 1500,
                digest: ViewDigest(digest),
            }),
            Datagram::Answer(_) => Datagram::Answer(Answer {
                seq: 300,
                hold_us: 12,
            }),
            Datagram::Echo(_) => Datagram::Echo(Echo {
                way: (8..=10).map(|byte| ShortId([byte; 16])).collect(),
                nonce: 300,
                is_answer: false,
            }),
        };
        assert_eq!(datagram, expected);
    }

    /// A certificate of ours holds this prefix and the key once, and the reader of certificates finds the node id.
    fn check_certificate(prefix: &[u8]) {
        let dir = tempfile::tempdir().unwrap();
        let id = Identity::load_or_create(dir.path()).unwrap().node_id();
        let certificate = CertificateDer::from_pem_file(dir.path().join("cert.pem")).unwrap();
        let key = [prefix, &id.0].concat();
        assert_eq!(
            certificate
                .windows(key.len())
                .filter(|at| *at == key)
                .count(),
            1
        );
        assert_eq!(certified_id(&certificate), Some(id));
    }

    #[test]
    fn every_example_comes_back_from_its_bytes() {
        let document = Document::read();
        let mut frames = BTreeSet::new();
        for (info, bytes) in document.examples() {
            let (kind, name) = info.split_once(' ').unwrap_or((info, ""));
            check_example(&document, kind, name, bytes);
            if kind == "frame" {
                frames.insert(name.to_owned());
            }
        }
        let all = messages();
        let all: BTreeSet<String> = all.iter().map(|m| message_name(m).to_owned()).collect();
        assert_eq!(frames, all, "there is an example of every message");
    }

    #[test]
    fn the_hello_of_the_examples_passes_the_checks_that_it_has_to() {
        let document = Document::read();
        let Message::Hello(hello) = frame(&document.example("frame Hello")) else {
            panic!("it is called so");
        };
        let said = (
            hello.run_id,
            hello.dial_counter,
            hello.replaces,
            hello.known,
        );
        assert_eq!(said, (0x0102_0304_0506_0708, 300, false, 5));
        assert_eq!(hello.observed, "127.0.0.1:8083".parse().unwrap());
        assert_eq!(hello.record.verify(NETWORK), Ok(()));
        assert_eq!(hello.record.body().run_id, hello.run_id);
        assert_eq!(hello.digest.0.to_vec(), document.example("digest"));
    }

    #[test]
    fn variants_have_their_numbers() {
        let document = Document::read();
        let numbered = |name: &str| -> Vec<(usize, String)> {
            let rows = document.table(&format!("Variants of `{name}`"));
            let row = |row: &Vec<String>| (number(&row[0]), bare(&row[1]).to_owned());
            rows.iter().map(row).collect()
        };
        let is = |name: &str, code: Vec<(u8, &str)>| {
            let code = code
                .into_iter()
                .map(|(at, name)| (at.into(), name.to_owned()));
            assert_eq!(numbered(name), code.collect::<Vec<_>>());
        };
        let each = |message: &Message| (message.to_frame()[4], message_name(message));
        is("Message", messages().iter().map(each).collect());
        let each = |datagram: &Datagram| (datagram.to_bytes()[0], datagram_name(datagram));
        is("Datagram", datagrams().iter().map(each).collect());
        let each = |direction| {
            let bytes = postcard::to_stdvec(&direction).unwrap();
            (bytes[0], direction_name(direction))
        };
        is(
            "Direction",
            [Direction::Dialer, Direction::Listener].map(each).to_vec(),
        );
        let each = |kind| (postcard::to_stdvec(&kind).unwrap()[0], kind_name(kind));
        let kinds = [AddrKind::Advertised, AddrKind::Local, AddrKind::Observed];
        is("AddrKind", kinds.map(each).to_vec());
        let first = |addr: &str| postcard::to_stdvec(&addr.parse::<SocketAddr>().unwrap()).unwrap();
        is(
            "Address",
            vec![(first("192.0.2.7:1")[0], "V4"), (first("[::1]:1")[0], "V6")],
        );
    }

    /// A decoder that knows the tables alone takes any message apart, to its last byte.
    #[test]
    fn the_tables_of_fields_describe_the_bytes() {
        let document = Document::read();
        for message in messages() {
            let frame = message.to_frame();
            let rest = document.walk("Message", &frame[4..]);
            assert_eq!(rest, Some(&[][..]), "{message:?}");
            // One byte less is not enough for any of it.
            let body = &frame[4..frame.len() - 1];
            assert_eq!(document.walk("Message", body), None, "{message:?}");
        }
        for datagram in datagrams() {
            let bytes = datagram.to_bytes();
            assert_eq!(document.walk("Datagram", &bytes), Some(&[][..]));
        }
        for (info, bytes) in document.examples() {
            let (kind, bytes) = match info.split_once(' ') {
                Some(("frame", _)) => ("Message", &bytes[4..]),
                Some(("datagram", _)) => ("Datagram", bytes),
                Some(("signed", _)) => ("Body", bytes),
                Some(("reason", _)) => ("list of Address", bytes),
                Some(_) | None => continue,
            };
            assert_eq!(document.walk(kind, bytes), Some(&[][..]), "{info}");
        }
        let signed = postcard::to_stdvec(record().body()).unwrap();
        assert_eq!(document.walk("Body", &signed), Some(&[][..]));
    }

    /// The largest number of the type in the table must decode, and the next number must not.
    fn check_widths(kind: &str, bytes: &[u8], decodes: impl Fn(&[u8]) -> bool) {
        for (at, length, bits) in Document::read().numbers(kind, bytes) {
            let with = |number: u128| {
                let (before, behind) = (&bytes[..at], &bytes[at + length..]);
                [before, &to_varint(number), behind].concat()
            };
            let over = 1_u128 << bits;
            assert!(decodes(&with(over - 1)), "{kind}: {bits} bits at {at}");
            assert!(!decodes(&with(over)), "{kind}: {bits} bits at {at}");
        }
    }

    #[test]
    fn numbers_have_the_width_of_the_tables() {
        for message in messages() {
            let frame = message.to_frame();
            let decodes = |body: &[u8]| Message::from_body(body).is_ok();
            check_widths("Message", &frame[4..], decodes);
        }
        for datagram in datagrams() {
            let decodes = |bytes: &[u8]| Datagram::from_bytes(bytes).is_ok();
            check_widths("Datagram", &datagram.to_bytes(), decodes);
        }
        let signed = postcard::to_stdvec(record().body()).unwrap();
        let decodes = |signed: &[u8]| Record::from_parts(signed.to_vec(), [0; 64]).is_ok();
        check_widths("Body", &signed, decodes);
    }

    /// The names of a structure's fields as the compiler knows them.
    fn fields_of(value: &impl Debug) -> Vec<String> {
        let text = format!("{value:#?}");
        let lines = text.lines().filter_map(|line| line.strip_prefix("    "));
        let own = lines.filter(|line| !line.starts_with([' ', '}', ']', ')']));
        own.map(|line| line.split(':').next().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn fields_have_their_names_and_their_order() {
        let document = Document::read();
        let is = |name: &str, fields: Vec<String>| {
            let rows = document.table(&format!("Fields of `{name}`"));
            let documented: Vec<&str> = rows.iter().map(|row| bare(&row[0])).collect();
            assert_eq!(documented, fields, "{name}");
        };
        for message in messages() {
            match &message {
                Message::Hello(hello) => is("Hello", fields_of(hello)),
                Message::Meet(meet) => is("Meet", fields_of(meet)),
                _ => {}
            }
        }
        for datagram in datagrams() {
            match datagram {
                Datagram::Probe(probe) => is("Probe", fields_of(&probe)),
                Datagram::Answer(answer) => is("Answer", fields_of(&answer)),
                Datagram::Echo(echo) => is("Echo", fields_of(&echo)),
            }
        }
        let version: Version = record().version();
        is("Credentials", fields_of(&Credentials::default()));
        is("Version", fields_of(&version));
        is("Body", fields_of(record().body()));
        let link: LinkState = record().body().links[0];
        is("Link", fields_of(&link));
        is("PublishedAddr", fields_of(&record().body().addrs[0]));
    }

    #[test]
    fn close_codes_have_their_numbers() {
        let rows = Document::read().table("### 12.3 Close codes");
        let documented: Vec<(u64, String)> = rows
            .iter()
            .map(|row| (number(&row[0]) as u64, bare(&row[1]).to_owned()))
            .collect();
        let code =
            |number| CloseCode::from_number(number).map(|code| (number, format!("{code:?}")));
        let codes: Vec<(u64, String)> = (0..1000).filter_map(code).collect();
        assert_eq!(documented, codes);
    }

    #[test]
    fn limits_are_those_of_the_code() {
        let rows = Document::read().table("### 12.1 Limits");
        let mut documented: BTreeSet<&str> = BTreeSet::new();
        let known = [
            ("PROTOCOL_VERSION", PROTOCOL_VERSION as usize),
            ("MAX_FRAME", MAX_FRAME),
            ("BATCH_BYTES", BATCH_BYTES),
            ("MAX_BUCKETS_LOG2", MAX_BUCKETS_LOG2.into()),
            ("MAX_SYNC_ENTRIES", MAX_SYNC_ENTRIES),
            ("MAX_ALTERNATIVES", MAX_ALTERNATIVES),
            ("MAX_WAY", MAX_WAY),
            ("MAX_ECHO_WAY", MAX_ECHO_WAY),
            ("MAX_CREDENTIALS", MAX_CREDENTIALS),
            ("MAX_PROOFS", MAX_PROOFS),
            ("MAX_LABEL", MAX_LABEL),
            ("MAX_ADDRS", MAX_ADDRS),
            ("MAX_LINKS", MAX_LINKS),
            ("MAX_RECORD", MAX_RECORD),
        ];
        for row in &rows {
            let name = bare(&row[0]);
            let (_, value) = known.iter().find(|(known, _)| *known == name).unwrap();
            assert_eq!(number(&row[1]), *value, "{name}");
            documented.insert(name);
        }
        assert_eq!(
            documented.len(),
            known.len(),
            "the table has a row for each"
        );
        let title = include_str!("../docs/protocol.md").lines().next().unwrap();
        assert_eq!(
            title,
            format!("# The area-net protocol, version {PROTOCOL_VERSION}")
        );
    }

    #[test]
    fn the_text_repeats_the_limits_correctly() {
        let text = include_str!("../docs/protocol.md");
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let entries = format!(
            "At most {},{:03}",
            MAX_SYNC_ENTRIES / 1000,
            MAX_SYNC_ENTRIES % 1000
        );
        assert_eq!(text.matches(&entries).count(), 3, "Request, Have and Graft");
        for said in [
            format!("`label` has at most {MAX_LABEL} bytes"),
            format!("`addrs` at most {MAX_ADDRS} elements"),
            format!("`links` at most {MAX_LINKS}"),
            format!("`signed` has at most 10,{}", MAX_RECORD - 64 - 10_000),
            format!("`log2` is at most {MAX_BUCKETS_LOG2}"),
            format!("{MAX_LABEL} bytes |"),
            format!("names up to {MAX_ALTERNATIVES} addresses"),
            format!("`way` has 3 to {MAX_WAY} elements"),
            format!("`way` has 2 to {MAX_ECHO_WAY} elements"),
            format!("`addrs` has at most {MAX_ADDRS}"),
        ] {
            assert!(text.contains(&said), "{said}");
        }
    }

    #[test]
    fn varints_are_encoded_as_specified() {
        for row in Document::read().table("### 3.3 Varints") {
            let value: u64 = row[0].parse().unwrap();
            let bytes = postcard::to_stdvec(&value).unwrap();
            let documented: Vec<u8> = bare(&row[1])
                .split(' ')
                .map(|byte| u8::from_str_radix(byte, 16).unwrap())
                .collect();
            assert_eq!(documented, bytes, "{value}");
        }
        // Longer forms are read as well, but not one more byte than the type allows, nor a number that does not fit.
        let read = |bytes: &[u8]| postcard::from_bytes::<u16>(bytes).ok();
        assert_eq!(read(&[0x81, 0x80, 0x00]), Some(1));
        assert_eq!(read(&[0x81, 0x80, 0x80, 0x00]), None);
        assert_eq!(read(&[0xff, 0xff, 0x04]), None);
    }

    #[test]
    fn the_active_end_is_the_one_specified() {
        let id = |first: &str| {
            let first = u64::from_str_radix(bare(first), 16).unwrap();
            let mut id = NodeId([0; 32]);
            id.0[..8].copy_from_slice(&first.to_be_bytes());
            id
        };
        let rows = Document::read().table("### 5.3 Who probes");
        for row in &rows {
            let (own, other) = (id(&row[0]), id(&row[1]));
            assert_eq!(own.leads(&other), row[2] == "self", "{row:?}");
            assert_eq!(other.leads(&own), row[2] == "other", "{row:?}");
        }
        assert!(rows.len() > 4);
    }

    #[test]
    fn the_addresses_that_may_be_dialed_are_those_specified() {
        let rows = Document::read().table("### 10.1 Addresses that may be dialed");
        for row in &rows {
            let addr = bare(&row[0]).parse().unwrap();
            assert_eq!(dialable(&addr, false), row[1] == "yes", "{addr}");
            assert_eq!(dialable(&addr, true), row[2] == "yes", "{addr}");
        }
        assert!(rows.len() > 10);
    }

    #[test]
    fn short_forms_of_ids_are_as_specified() {
        let id = Identity::from_seed(&[1; 32]).node_id();
        assert_eq!(id.abbreviated(), ShortId(ID[..16].try_into().unwrap()));
        assert_eq!(ShortRun::of(0x0102_0304_0506_0708), ShortRun([1, 2]));
        assert_eq!(id.short(), "8a88e3dd74");
    }
}
