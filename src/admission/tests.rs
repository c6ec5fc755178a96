use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::*;

const OLD: NetworkKey = NetworkKey::new([1; 32]);
const NEW: NetworkKey = NetworkKey::new([2; 32]);

fn id(byte: u8) -> NodeId {
    NodeId([byte; 32])
}

/// The two ends of one session: the dialer's view and the acceptor's.
fn ends() -> [Session; 2] {
    let end = |role, me, peer| Session {
        role,
        exporter: [9; 32],
        me: id(me),
        peer: id(peer),
    };
    [end(Role::Dialer, 1, 2), end(Role::Acceptor, 2, 1)]
}

fn with(keys: &[NetworkKey]) -> Admission {
    Admission::new("net", Keys::new(keys.to_vec()), Allow::default())
}

#[test]
fn either_end_admits_who_proves_a_key_of_its_own() {
    let [dialer, acceptor] = ends();
    for (mine, theirs, verdict) in [
        (vec![OLD], vec![OLD], Ok(())),
        (vec![OLD, NEW], vec![OLD], Ok(())),
        (vec![OLD], vec![NEW, OLD], Ok(())),
        (vec![OLD], vec![NEW], Err(Refusal::WrongKey)),
        (vec![OLD], vec![], Err(Refusal::NoProof)),
        (vec![], vec![OLD], Ok(())),
    ] {
        let (mine, theirs) = (with(&mine), with(&theirs));
        let shown = theirs.credentials(&acceptor);
        assert_eq!(mine.admit(&dialer, &shown), verdict, "the dialer");
        let shown = theirs.credentials(&dialer);
        assert_eq!(mine.admit(&acceptor, &shown), verdict, "the acceptor");
    }
}

#[test]
fn a_proof_counts_in_its_session_and_from_its_end_alone() {
    let net = with(&[OLD]);
    let [dialer, acceptor] = ends();
    let shown = net.credentials(&dialer);
    assert_eq!(net.admit(&acceptor, &shown), Ok(()));
    let refused = Err(Refusal::WrongKey);
    assert_eq!(net.admit(&dialer, &shown), refused, "its own, reflected");
    let others = [
        Session {
            exporter: [8; 32],
            ..acceptor.clone()
        },
        Session {
            peer: id(3),
            ..acceptor.clone()
        },
        Session {
            me: id(3),
            ..acceptor.clone()
        },
        Session {
            me: acceptor.peer,
            peer: acceptor.me,
            ..acceptor.clone()
        },
    ];
    for other in others {
        assert_eq!(net.admit(&other, &shown), refused, "{other:?}");
    }
    for at in 0..32 * 8 {
        let mut forged = shown.clone();
        forged.proofs[0][at / 8] ^= 1 << (at % 8);
        assert_eq!(net.admit(&acceptor, &forged), refused, "bit {at}");
    }
}

#[test]
fn a_list_of_allowed_nodes_holds_with_and_without_a_key() {
    let [dialer, acceptor] = ends();
    for keys in [vec![], vec![OLD]] {
        let allow = Allow::new(&[id(1)]);
        let net = Admission::new("net", Keys::new(keys), allow);
        assert_eq!(net.admit_id(&id(1)), Ok(()));
        assert_eq!(net.admit_id(&id(2)), Err(Refusal::NotAllowed));
        let shown = net.credentials(&dialer);
        assert_eq!(net.admit(&acceptor, &shown), Ok(()));
        let shown = net.credentials(&acceptor);
        assert_eq!(net.admit(&dialer, &shown), Err(Refusal::NotAllowed));
    }
    let remedy = Refusal::NotAllowed.remedy(Some(&id(7)));
    assert!(remedy.contains(&"07".repeat(32)), "{remedy}");
}

#[test]
fn protocols_differ_by_key_name_and_nothing_else() {
    let open = Admission::open("net");
    assert!(!open.is_closed());
    assert_eq!(open.protocols(), Admission::open("net").protocols());
    let both = with(&[NEW, OLD]);
    assert!(both.is_closed());
    let each = [with(&[NEW]), with(&[OLD])];
    let each: Vec<_> = each.iter().flat_map(Admission::protocols).collect();
    assert_eq!(both.protocols().iter().collect::<Vec<_>>(), each);
    let elsewhere = Admission::open("another");
    let mut all = vec![
        &open.protocols()[0],
        each[0],
        each[1],
        &elsewhere.protocols()[0],
    ];
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 4);
    for protocol in all {
        let text = std::str::from_utf8(protocol).unwrap();
        assert!(text.starts_with(&format!("area-net/{PROTOCOL_VERSION}/")));
        assert!(!text.ends_with("net") && !text.contains("another"));
    }
}

#[test]
fn credentials_come_back_from_their_bytes_within_their_limits() {
    let largest = Credentials {
        proofs: vec![[5; 32]; MAX_PROOFS],
        certificate: Some(vec![6; 800]),
    };
    for credentials in [Credentials::default(), largest.clone()] {
        let frame = credentials.to_frame();
        assert_eq!(
            u32::from_be_bytes(*frame.first_chunk().unwrap()) as usize,
            frame.len() - 4
        );
        assert!(frame.len() - 4 <= MAX_CREDENTIALS);
        let back = Credentials::from_body(&frame[4..]);
        assert_eq!(back.as_ref(), Ok(&credentials));
        let longer = [&frame[4..], &[0]].concat();
        assert_eq!(
            Credentials::from_body(&longer),
            Err(CredentialsError::Trailing(1))
        );
        for cut in 4..frame.len() {
            assert!(Credentials::from_body(&frame[4..cut]).is_err(), "{cut}");
        }
    }
    let mut more = largest;
    more.proofs.push([5; 32]);
    let more = Credentials::from_body(&more.to_frame()[4..]);
    assert_eq!(more, Err(CredentialsError::TooMany(MAX_PROOFS + 1)));
}

fn file(dir: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn fault(paths: &[&Path]) -> String {
    Keys::load(paths).unwrap_err().to_string()
}

#[test]
fn a_key_file_that_was_made_is_read_and_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("net.key");
    let key = NetworkKey::new(std::array::from_fn(|at| u8::try_from(at).unwrap()));
    Keys::create(&path, &key).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(Keys::load(&[&path]).unwrap(), Keys::new(vec![key.clone()]));
    let error = Keys::create(&path, &NEW).unwrap_err();
    assert!(matches!(error, KeyFileError::Exists(_)), "{error}");
    assert_eq!(Keys::load(&[&path]).unwrap(), Keys::new(vec![key.clone()]));
    let nowhere = Keys::create(&dir.path().join("no/folder"), &NEW).unwrap_err();
    assert!(
        nowhere.to_string().contains("no/folder: can't create it"),
        "{nowhere}"
    );
    assert!(!format!("{key:?}").contains("01"), "{key:?}");
}

#[test]
fn keys_come_in_the_order_of_the_files_and_their_lines() {
    let dir = tempfile::tempdir().unwrap();
    let hex = |byte: u8| format!("{byte:02x}{}", "5a".repeat(31));
    let key = |byte: u8| {
        let mut bytes = [0x5a; 32];
        bytes[0] = byte;
        NetworkKey::new(bytes)
    };
    let first = file(
        &dir,
        "first",
        &format!(
            "# new\n{}\r\n\n  {}  \n# old",
            hex(3),
            hex(2).to_uppercase()
        ),
    );
    let second = file(&dir, "second", &hex(1));
    let keys = Keys::load(&[&first, &second]).unwrap();
    assert_eq!(keys, Keys::new(vec![key(3), key(2), key(1)]));
    assert_eq!(keys.tags("net").len(), 3);
}

#[test]
fn a_fault_names_the_file_the_line_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let good = "5b".repeat(31) + "00";
    let says = |text: &str, parts: &[&str]| {
        let path = file(&dir, "bad", text);
        let fault = fault(&[&path]);
        for part in [&[path.to_str().unwrap()], parts].concat() {
            assert!(fault.contains(part), "no {part:?} in: {fault}");
        }
        assert!(
            !fault.contains("5b5b"),
            "no part of a key is shown: {fault}"
        );
    };
    says("", &["contains no key", "area-net network key"]);
    says("# only words\n", &["contains no key"]);
    says(&format!("\n{good}ab"), &["line 2", "has 66 characters"]);
    says(
        &format!("{}xy", &good[..62]),
        &["line 1", "character 63 is no hexadecimal digit"],
    );
    says(&format!("{}0y", &good[..62]), &["character 64"]);
    says(
        &format!("{good} # a comment"),
        &["line 1", "64 hexadecimal digits"],
    );
    says(&format!("{good}\n#\n{good}"), &["line 3", "the same key"]);
    says(&"00".repeat(32), &["line 1", "is not random"]);
    let five: Vec<_> = (0..5).map(|at| format!("{at:02}{}", &good[2..])).collect();
    says(&five.join("\n"), &["line 5", "key 5", "at most 4"]);
    says(&"#\n".repeat(40_000), &["more than 64 KiB"]);
    let missing = dir.path().join("missing");
    assert!(fault(&[&missing]).contains("missing: can't read it"));
    assert!(fault(&[dir.path()]).contains("is not a regular file"));
}

#[test]
fn a_key_file_that_others_may_read_is_refused_with_the_command_that_helps() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "net.key", &("5b".repeat(31) + "00"));
    for mode in [0o640, 0o604, 0o620, 0o602, 0o644, 0o666] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let fault = fault(&[&path]);
        assert!(fault.contains(&format!("mode {mode:04o}")), "{fault}");
        assert!(
            fault.contains(&format!("run: chmod 600 {}", path.display())),
            "{fault}"
        );
    }
    for mode in [0o600, 0o400] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        Keys::load(&[&path]).unwrap();
    }
}
