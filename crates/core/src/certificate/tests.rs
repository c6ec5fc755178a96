use ed25519_zebra::{SigningKey, VerificationKeyBytes};

use super::*;

/// A key of its own for each number.
pub(crate) struct Key(SigningKey);

impl Key {
    pub(crate) fn new(number: u8) -> Self {
        Self(SigningKey::from([number; 32]))
    }

    pub(crate) fn public(&self) -> AuthorityKey {
        AuthorityKey(VerificationKeyBytes::from(&self.0).into())
    }
}

impl Signer for Key {
    fn node_id(&self) -> NodeId {
        NodeId(self.public().0)
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).into()
    }
}

fn terms() -> Terms {
    Terms {
        groups: vec!["berlin".into(), "servers".into()],
        not_before: 1_000_000,
        not_after: 2_000_000,
        serial: 7,
        ..Terms::new("office", NodeId([7; 32]), "bob*")
    }
}

fn authorities(numbers: &[u8]) -> Authorities {
    let keys = numbers.iter().map(|number| Key::new(*number).public());
    Authorities::new("office", keys.collect()).unwrap()
}

/// The certificate as it comes from another node: nothing is verified yet.
fn arrived(certificate: &Certificate) -> Arc<Certificate> {
    Certificate::from_bytes(&certificate.to_bytes()).unwrap()
}

fn admit(numbers: &[u8], certificate: &Certificate, label: &str, unix_s: u64) -> Result<(), Unfit> {
    let label: Arc<str> = label.into();
    let id = NodeId([7; 32]);
    authorities(numbers).admit(&id, Some(&label), Some(certificate), unix_s)
}

#[test]
fn a_certificate_admits_its_node_under_its_labels_in_its_time() {
    let issued = Certificate::issue(terms(), &Key::new(1)).unwrap();
    let certificate = arrived(&issued);
    assert_eq!(certificate, issued);
    assert_eq!(certificate.to_bytes().len(), certificate.encoded_len());
    assert_eq!(admit(&[1], &certificate, "bob", 1_500_000), Ok(()));
    assert_eq!(admit(&[1], &certificate, "bobby", 1_500_000), Ok(()));
    // Authorities take turns.
    assert_eq!(admit(&[2, 1], &arrived(&issued), "bob", 1_500_000), Ok(()));
    let label = admit(&[1], &certificate, "carol", 1_500_000).unwrap_err();
    assert_eq!(
        label.to_string(),
        "the label \"carol\", while its certificate allows \"bob*\""
    );
    assert!(!label.depends_on_time());
}

#[test]
fn what_is_wrong_at_all_times_is_told_apart_from_what_time_decides() {
    let issued = Certificate::issue(terms(), &Key::new(1)).unwrap();
    let forged = admit(&[2], &arrived(&issued), "bob", 1_500_000).unwrap_err();
    assert_eq!(forged, Unfit::Forged);
    // A verdict for one set of authorities is none for another.
    assert_eq!(admit(&[1], &issued, "bob", 1_500_000), Ok(()));
    assert_eq!(
        admit(&[2], &issued, "bob", 1_500_000),
        Err(Unfit::Forged),
        "an authority that is trusted no more"
    );
    let other = Authorities::new("home", vec![Key::new(1).public()]).unwrap();
    let id = NodeId([7; 32]);
    let refused = other.admit(&id, None, Some(&issued), 1_500_000);
    assert_eq!(refused, Err(Unfit::OtherNetwork("office".into())));
    let refused = authorities(&[1]).admit(&NodeId([8; 32]), None, Some(&issued), 1_500_000);
    assert_eq!(refused, Err(Unfit::OtherNode(id)));
    let refused = authorities(&[1]).admit(&id, None, None, 1_500_000);
    assert_eq!(refused, Err(Unfit::NoCertificate));
    for fault in [forged, Unfit::OtherNode(id), Unfit::NoCertificate] {
        assert!(!fault.depends_on_time(), "{fault}");
    }
    for (unix_s, refused) in [
        (1_000_000 - 601, Some(Unfit::NotYet { in_s: 601 })),
        (1_000_000 - 600, None),
        (2_000_000 + 600, None),
        (2_000_000 + 601, Some(Unfit::Expired { ago_s: 601 })),
        (0, Some(Unfit::NotYet { in_s: 1_000_000 })),
        (
            u64::MAX,
            Some(Unfit::Expired {
                ago_s: u64::MAX - 2_000_000,
            }),
        ),
    ] {
        let verdict = admit(&[1], &issued, "bob", unix_s);
        assert_eq!(verdict.clone().err(), refused);
        assert!(verdict.err().is_none_or(|unfit| unfit.depends_on_time()));
    }
}

#[test]
fn a_changed_byte_makes_a_certificate_void() {
    let issued = Certificate::issue(terms(), &Key::new(1)).unwrap();
    let bytes = issued.to_bytes();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let verdict = Certificate::from_bytes(&changed)
            .map(|certificate| certificate.signer(&[Key::new(1).public()]));
        assert!(!matches!(verdict, Ok(Some(_))), "byte {at}");
    }
    for end in 0..bytes.len() {
        assert!(Certificate::from_bytes(&bytes[..end]).is_err());
    }
}

/// The error with which whoever issues a certificate refuses those terms. Whoever gets one refuses them too.
fn refused(terms: Terms) -> CertificateError {
    let bytes = postcard::to_stdvec(&(postcard::to_stdvec(&terms).unwrap(), vec![0_u8; 64]));
    let arrived = Certificate::from_bytes(&bytes.unwrap()).map(|_| ());
    let issued = Certificate::issue(terms, &Key::new(1)).map(|_| ());
    assert!(
        issued.is_err() && arrived.is_err(),
        "{issued:?} {arrived:?}"
    );
    issued.unwrap_err()
}

fn long(length: usize) -> std::sync::Arc<str> {
    "x".repeat(length).into()
}

#[test]
fn terms_have_limits() {
    let over = |what| move |error| matches!(error, CertificateError::OverLimit { what: found, .. } if found == what);
    let label = long(MAX_LABEL + 1);
    assert!(over("bytes of label")(refused(Terms { label, ..terms() })));
    let network = long(MAX_NETWORK + 1);
    assert!(over("bytes of network name")(refused(Terms {
        network,
        ..terms()
    })));
    let groups = (0..=MAX_GROUPS).map(|at| format!("{at}").into()).collect();
    assert!(over("groups")(refused(Terms { groups, ..terms() })));
    let groups = vec![long(MAX_GROUP + 1)];
    assert!(over("bytes of a group's name")(refused(Terms {
        groups,
        ..terms()
    })));
    for groups in [
        vec!["b", "a"],
        vec!["a", "a"],
        vec![""],
        vec!["a b"],
        vec!["a,b"],
    ] {
        let groups = groups.into_iter().map(Into::into).collect();
        assert_eq!(
            refused(Terms { groups, ..terms() }),
            CertificateError::BadGroups
        );
    }
    let label = "bob\u{1b}[2J".into();
    assert_eq!(
        refused(Terms { label, ..terms() }),
        CertificateError::BadLabel
    );
    let (not_before, not_after) = (5, 4);
    assert_eq!(
        refused(Terms {
            not_before,
            not_after,
            ..terms()
        }),
        CertificateError::EndsBeforeItBegins
    );
    let version = 2;
    assert_eq!(
        refused(Terms { version, ..terms() }),
        CertificateError::UnknownVersion(2)
    );
}

#[test]
fn the_largest_certificate_fits() {
    let largest = Terms {
        network: long(MAX_NETWORK),
        label: long(MAX_LABEL),
        groups: (0..MAX_GROUPS)
            .map(|at| format!("{at:032}").into())
            .collect(),
        not_before: u64::MAX,
        not_after: u64::MAX,
        serial: u64::MAX,
        ..terms()
    };
    let largest = Certificate::issue(largest, &Key::new(1)).unwrap();
    assert!(largest.to_bytes().len() <= MAX_CERTIFICATE);
    assert_eq!(arrived(&largest), largest);
    let large = Certificate::from_bytes(&[0; MAX_CERTIFICATE + 1]).unwrap_err();
    assert_eq!(large, CertificateError::TooLarge(MAX_CERTIFICATE + 1));
}

#[test]
fn a_star_in_a_label_s_pattern_stands_for_any_text() {
    for (pattern, label, covers) in [
        ("bob", "bob", true),
        ("bob", "bobby", false),
        ("bob*", "bob", true),
        ("bob*", "bobby", true),
        ("*", "", true),
        ("*", "zoë", true),
        ("", "", true),
        ("", "a", false),
        ("*.berlin.*", "web1.berlin.example", true),
        ("*.berlin.*", "web1.paris.example", false),
        ("a*b*c", "a-b-b-c", true),
        ("a*b*c", "a-b-c-d", false),
        ("**a", "ba", true),
        ("zo?", "zoe", false),
    ] {
        assert_eq!(matches(pattern, label), covers, "{pattern} {label}");
    }
    // The worst case takes the product of both lengths, and not more.
    let (pattern, label) = ("*a".repeat(64), "a".repeat(127) + "b");
    assert!(!matches(&pattern, &label));
}

#[test]
fn a_network_has_one_to_four_authorities() {
    let keys = |numbers: &[u8]| {
        let keys = numbers.iter().map(|number| Key::new(*number).public());
        Authorities::new("office", keys.collect()).map(|all| all.keys().len())
    };
    assert_eq!(keys(&[]), Err(0));
    assert_eq!(keys(&[1]), Ok(1));
    assert_eq!(keys(&[1, 1, 2]), Ok(2));
    assert_eq!(keys(&[1, 2, 3, 4]), Ok(4));
    assert_eq!(keys(&[1, 2, 3, 4, 5]), Err(5));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(bytes: Vec<u8>) {
        if let Ok(certificate) = Certificate::from_bytes(&bytes) {
            assert_eq!(certificate.to_bytes().len(), certificate.encoded_len());
        }
    }

    #[test]
    fn patterns_agree_with_a_slow_matcher(pattern in "[ab*]{0,8}", label in "[ab]{0,8}") {
        fn slow(pattern: &[u8], label: &[u8]) -> bool {
            match pattern.split_first() {
                None => label.is_empty(),
                Some((b'*', rest)) => (0..=label.len()).any(|from| slow(rest, &label[from..])),
                Some((letter, rest)) => label.first() == Some(letter) && slow(rest, &label[1..]),
            }
        }
        assert_eq!(matches(&pattern, &label), slow(pattern.as_bytes(), label.as_bytes()));
    }
}
