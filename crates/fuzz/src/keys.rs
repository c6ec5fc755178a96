//! The files with a node's key and certificate, and an authority's key: PEM around DER.

use std::fmt::Write as _;
use std::sync::LazyLock;

use area_net::admission::Admission;
use area_net::decoders::{certificate_bytes, certificate_file, key_file, key_text};
use area_net::identity::Identity;
use area_net::record::{Body, Record, Signer as _};

use crate::decoders::change;
use crate::people::{NETWORK, PEOPLE, START_S};
use crate::texts::harmless;

/// What stands between the dashes of a key, and of a certificate.
const LABELS: [&str; 2] = ["PRIVATE KEY", "CERTIFICATE"];

/// The bytes in the PEM of a known key with its public half (PKCS #8 v2), of one without (v1), and in the first one's certificate.
static GENUINE: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    let identity = &*PEOPLE.all[1];
    let short = unwrapped(&key_text(identity));
    let public = identity.node_id().0;
    // RFC 8410, section 10.3: another version, and the public key behind the private one.
    let mut long = vec![0x30, 0x51, 0x02, 0x01, 0x01];
    long.extend_from_slice(&short[5..]);
    long.extend_from_slice(&[0x81, 0x21, 0x00]);
    long.extend_from_slice(&public);
    [short, long, certificate_bytes(identity).to_vec()]
});

pub(crate) fn keys(input: &[u8]) {
    let Some((kind, bytes)) = input.split_first() else {
        return;
    };
    match kind % 8 {
        // Any text.
        0 => key(bytes),
        1 => certificate(bytes),
        // Any bytes in PEM.
        2 => key(wrapped(LABELS[0], bytes).as_bytes()),
        3 => certificate(wrapped(LABELS[1], bytes).as_bytes()),
        // Bytes of genuine files, some of them changed.
        4 => key(changed(0, bytes).as_bytes()),
        5 => key(changed(1, bytes).as_bytes()),
        6 => certificate(changed(2, bytes).as_bytes()),
        // The letters of a genuine file, some of them changed.
        _ => {
            let mut text = wrapped(LABELS[0], &GENUINE[0]).into_bytes();
            change(&mut text, bytes);
            key(&text);
        }
    }
}

fn changed(which: usize, changes: &[u8]) -> String {
    let mut der = GENUINE[which].clone();
    change(&mut der, changes);
    let text = wrapped(LABELS[which / 2], &der);
    if changes.is_empty() {
        let is_read = match which {
            2 => certificate_file(known(), text.as_bytes()).map(drop),
            _ => key_file(text.as_bytes()).map(drop),
        };
        assert_eq!(is_read, Ok(()), "a genuine file is refused");
    }
    text
}

/// A key that is read can be used, and comes back from the file that would be written.
fn key(pem: &[u8]) {
    let identity = match key_file(pem) {
        Ok(identity) => identity,
        Err(error) => return harmless(&error),
    };
    let written = key_text(&identity);
    let again = key_file(written.as_bytes()).expect("what a node writes is read");
    assert_eq!(again.node_id(), identity.node_id());
    assert_eq!(key_text(&again), written, "it does not come back");
    assert_eq!(again.quic_keys().1, identity.quic_keys().1);
    usable(&identity);
}

/// A certificate that is read is one of the node's key, and can be used with it.
fn certificate(pem: &[u8]) {
    match certificate_file(known(), pem) {
        Ok(identity) => {
            let written = wrapped(LABELS[1], certificate_bytes(&identity));
            let again = certificate_file(known(), written.as_bytes());
            let again = again.expect("the certificate alone is read");
            assert_eq!(certificate_bytes(&again), certificate_bytes(&identity));
            usable(&identity);
        }
        Err(error) => harmless(&error),
    }
}

fn known() -> Identity {
    let text = wrapped(LABELS[0], &GENUINE[0]);
    key_file(text.as_bytes()).expect("a genuine key is read")
}

/// What a node with this key signs is genuine, and TLS takes the key and the certificate.
fn usable(identity: &Identity) {
    let body = Body {
        id: identity.node_id(),
        label: "peer".into(),
        run_id: 7,
        epoch: START_S * 1000,
        seq: 3,
        uptime_s: 60,
        addrs: Vec::new(),
        links: Vec::new(),
        leaving: false,
        certificate: None,
    };
    let record = Record::sign(body, NETWORK, identity);
    assert!(
        record.verify(NETWORK).is_ok(),
        "its signature is not genuine"
    );
    let admission = Admission::open(NETWORK);
    let _configs = (
        identity.server_config(&admission),
        identity.client_config(&admission, None),
    );
}

/// Puts bytes into PEM (RFC 7468).
fn wrapped(label: &str, der: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut letters = String::with_capacity(der.len() * 4 / 3 + 4);
    for three in der.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, at| {
            bits << 8 | u32::from(three.get(at).copied().unwrap_or(0))
        });
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at) & 63) as usize];
            letters.push(if at > three.len() {
                '='
            } else {
                char::from(letter)
            });
        }
    }
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in letters.as_bytes().chunks(64) {
        let _ = writeln!(text, "{}", String::from_utf8_lossy(line));
    }
    let _ = writeln!(text, "-----END {label}-----");
    text
}

/// The bytes in PEM.
fn unwrapped(text: &str) -> Vec<u8> {
    let letters = text.lines().filter(|line| !line.starts_with('-'));
    let letters = letters
        .flat_map(str::bytes)
        .filter(|letter| *letter != b'=');
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for letter in letters {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 255) as u8);
        }
    }
    bytes
}
