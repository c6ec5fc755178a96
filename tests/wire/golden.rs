//! Golden bytes, so that no change goes unnoticed.

use std::net::SocketAddr;

use area_net::record::{AddrKind, Body, PublishedAddr, Signer as _, Version};
use area_net::wire::{
    Answer, Datagram, Echo, Hello, Meet, Message, NodeId, Probe, ShortId, ViewDigest,
};

use crate::sample::{body, certificate, figures, identity, record, revocations};

pub(crate) fn hello() -> Hello {
    Hello {
        run_id: 9,
        dial_counter: 300,
        replaces: true,
        observed: SocketAddr::from(([127, 0, 0, 1], 8083)),
        known: 5,
        digest: ViewDigest([0, 1, 2, 3, 4, 5, 6, 7]),
        record: record(),
        revocations: 300,
    }
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
        Message::Revocations(revocations()),
    ]
}

pub(crate) fn datagrams() -> [Datagram; 3] {
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
        Datagram::Echo(Echo {
            way: vec![ShortId([8; 16]), ShortId([9; 16])],
            nonce: 300,
            is_answer: true,
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
fn the_bytes_of_a_certificate() {
    assert_eq!(hex(&certificate().to_bytes()), CERTIFICATE);
    let body = Body {
        certificate: Some(certificate()),
        ..body()
    };
    let signed = hex(&postcard::to_stdvec(&body).unwrap());
    assert!(signed.ends_with(&format!("0001{CERTIFICATE}")), "{signed}");
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
        format!("000000e30009ac0201007f000001933f050001020304050607{RECORD}ac02"),
        format!("0000019a0102{RECORD}{RECORD}"),
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
        format!("000000720c{REVOCATIONS}"),
    ];
    for (at, (body, golden)) in bodies.iter().zip(&golden).enumerate() {
        assert_eq!(body, golden, "message {at}");
    }
    assert_eq!(bodies.len(), golden.len());
}

#[test]
fn the_bytes_of_every_datagram() {
    let bytes = datagrams().map(|datagram| hex(&datagram.to_bytes()));
    let [eight, nine] = ["08", "09"].map(|byte| byte.repeat(16));
    let echo = format!("0202{eight}{nine}ac0201");
    let golden = ["00ac0201d60103dc0b0909090909090909", "01ac020c", &echo];
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
    "89018a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f",
    "6f5c047a6fc3ab888e98a8c0e080810180d095ffbc31073c0201000100000000",
    "0000000000000000000000019a3f020100c0000207bb03020202020202020202",
    "0202020202020202040500d60103000003030303030303030303030303030303",
    "ff000100ffff03fa010000402d48fdc721ca0504216b33e90516c6942f162c80",
    "06bdd867b244f90ef53ae532a321843f37a049ded8f26f31dee055997a3475a2",
    "79b0bfc02052968210c32906",
);
const FIGURES: &str = concat!(
    "1d8a88e3dd7409f195fd52db2d3cba5d7280d095ffbc3107030a013a0102409f",
    "f4303e13fdbf7abfd68723a9fbfd68e3fb83e1169d36330d6fcf8c5c1d8a14ec",
    "0be2b7bf145b0f91befe4c7b2ab28eb8ef97e0e067cbed3d680d0a512a6b07",
);
const REVOCATIONS: &str = concat!(
    "2f0106676f6c64656e0380e2cfaa060109090909090909090909090909090909",
    "09090909090909090909090909090909402ddc1fe9c440485d5b2efbe5a102e3",
    "717392b5c4501ea6d661ec1d56273f8aba7b07e1f4a58f573f1cb4c6d3cb7823",
    "d44f4bf955361cb6781c9cbe6fc8e1d30f",
);
const CERTIFICATE: &str = concat!(
    "400106676f6c64656e8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d9412",
    "1bf3748801b40f6f5c037a6f2a01066265726c696e80e2cfaa0680c9d4b906ac",
    "02405b64b2de2fecd7b452b05e62e8d37fa40b2b6d0689b366dd90f76b72b60e",
    "7e574645dca22dd441cad2e298a9fd288113b6b3d6384ed798f8ee05fb4a5048",
    "6000",
);
