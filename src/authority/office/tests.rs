use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::admission::files::read_certificate;

const NOW: u64 = 1_795_996_800;

fn wish() -> Wish {
    Wish {
        label: None,
        groups: None,
        days: 365,
    }
}

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let office = dir.path().join("office");
    (dir, office)
}

/// Whether the papers in a member's folder admit it under that label, at that time.
fn admits(folder: &Path, label: &str, unix_s: u64) -> bool {
    let authorities = read_authority(&folder.join(AUTHORITY)).unwrap();
    let certificate = read_certificate(&folder.join(MEMBER)).unwrap();
    let id = certificate.terms().id;
    let label = label.into();
    let verdict = authorities.admit(&id, Some(&label), Some(&certificate), unix_s);
    verdict.is_ok()
}

#[test]
fn a_new_member_gets_all_that_its_machine_needs() {
    let (_dir, path) = scratch();
    let mut office = Office::create(&path, "area-net").unwrap();
    let mode = |name: &str| fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(KEY), mode("members.json")], [0o600, 0o600]);
    let bob = office.admit_new("bob", &wish(), NOW).unwrap();
    let names = ["key.pem", "cert.pem", AUTHORITY, MEMBER];
    assert!(names.iter().all(|name| bob.folder.join(name).exists()));
    assert!(admits(&bob.folder, "bob", NOW));
    assert!(!admits(&bob.folder, "carol", NOW));
    assert!(!admits(&bob.folder, "bob", NOW + 366 * DAY_S));
    let again = office
        .admit_new("bob", &wish(), NOW)
        .unwrap_err()
        .to_string();
    assert!(again.contains("there is such a member already"), "{again}");
    for name in ["", "..", "a/b", "a b", ".hidden"] {
        let error = office.admit_new(name, &wish(), NOW).unwrap_err();
        assert!(error.to_string().contains("can't name a folder"), "{error}");
    }
    // The folder is all there is: it is opened again.
    let office = Office::open(&path).unwrap();
    assert_eq!(office.members(), [bob.member]);
    let error = Office::create(&path, "area-net").unwrap_err().to_string();
    assert!(error.contains("never overwritten"), "{error}");
}

#[test]
fn a_node_that_has_a_key_is_admitted_by_its_id_or_its_certificate() {
    let (dir, path) = scratch();
    let mut office = Office::create(&path, "area-net").unwrap();
    let certs = dir.path().join("certs/carol");
    let id = Identity::load_or_create(&certs).unwrap().node_id();
    for who in [
        certs.display().to_string(),
        certs.join("cert.pem").display().to_string(),
        id.to_string(),
    ] {
        assert_eq!(office.find(&who).unwrap(), id, "{who}");
    }
    assert!(office.find("carol").is_err());
    let wish = Wish {
        label: Some("carol".into()),
        groups: Some(vec!["b".into(), "a".into(), "b".into()]),
        days: 10,
    };
    let admitted = office.admit(&id, &wish, NOW).unwrap();
    assert_eq!(admitted.member.groups, ["a", "b"]);
    assert!(admits(&admitted.folder, "carol", NOW));
    assert_eq!(office.find("carol").unwrap(), id);
    assert_eq!(office.find(&id.short()).unwrap(), id);
    // A renewal keeps label and groups.
    let renewed = office.admit(&id, &self::wish(), NOW + DAY_S).unwrap();
    assert_eq!(renewed.folder, admitted.folder);
    assert_eq!(renewed.member.groups, ["a", "b"]);
    assert!(admits(&renewed.folder, "carol", NOW + 300 * DAY_S));
    assert!(!admits(&renewed.folder, "dave", NOW + DAY_S));
    let other = Identity::from_seed(&[4; 32]).node_id();
    let same_label = office.admit(&other, &wish, NOW).unwrap();
    assert_ne!(same_label.folder, admitted.folder);
    let error = office.find("carol").unwrap_err().to_string();
    assert!(error.contains("the name of 2 members"), "{error}");
}

#[test]
fn who_is_revoked_stays_so_until_its_certificate_has_ended() {
    let (_dir, path) = scratch();
    let mut office = Office::create(&path, "area-net").unwrap();
    let [bob, carol] = ["bob", "carol"].map(|label| {
        office.admit_new(label, &wish(), NOW).unwrap();
        office.find(label).unwrap()
    });
    let list = || read_revocations(&path.join(REVOKED)).unwrap();
    assert_eq!(office.revoke(&[bob], NOW).unwrap(), 1);
    assert!(list().names(&bob) && !list().names(&carol));
    let error = office.admit(&bob, &wish(), NOW).unwrap_err().to_string();
    assert!(error.contains("was revoked, and stays so"), "{error}");
    let mut office = Office::open(&path).unwrap();
    assert_eq!(office.revoke(&[carol], NOW).unwrap(), 2);
    assert!(list().names(&bob) && list().names(&carol));
    assert!(office.renew_all(&wish(), NOW).unwrap().is_empty());
    // A year later no clock takes their certificates for good.
    assert_eq!(office.revoke(&[], NOW + 366 * DAY_S).unwrap(), 3);
    assert!(list().list().ids.is_empty());
    assert!(office.admit(&bob, &wish(), NOW).is_err());
}

#[test]
fn a_thousand_and_one_revocations_are_too_many() {
    let (_dir, path) = scratch();
    let mut office = Office::create(&path, "area-net").unwrap();
    let id = |number: usize| {
        let mut id = [7; 32];
        id[..8].copy_from_slice(&number.to_be_bytes());
        NodeId(id)
    };
    let all: Vec<NodeId> = (0..1024).map(id).collect();
    assert_eq!(office.revoke(&all, NOW).unwrap(), 1);
    let error = office.revoke(&[id(1024)], NOW).unwrap_err().to_string();
    assert!(
        error.contains("at most 1024: change the authority's key"),
        "{error}"
    );
    assert_eq!(read_revocations(&path.join(REVOKED)).unwrap().number(), 1);
}

#[test]
fn the_key_is_changed_while_members_trust_both() {
    let (_dir, path) = scratch();
    let mut office = Office::create(&path, "area-net").unwrap();
    let bob = office.admit_new("bob", &wish(), NOW).unwrap();
    let old = office.authorities().keys()[0];
    office.revoke(&[NodeId([9; 32])], NOW).unwrap();
    office.change_key(false).unwrap();
    let both = read_authority(&path.join(AUTHORITY)).unwrap();
    assert_eq!((both.keys().len(), both.keys()[1]), (2, old));
    let certificate = || read_certificate(&bob.folder.join(MEMBER)).unwrap();
    assert_eq!(certificate().signer(both.keys()), Some(old));
    let mut office = Office::open(&path).unwrap();
    assert_eq!(office.renew_all(&wish(), NOW).unwrap().len(), 1);
    assert_eq!(certificate().signer(both.keys()), Some(both.keys()[0]));
    // The list goes on with the next number, and the new key signs it.
    assert_eq!(office.revoke(&[], NOW).unwrap(), 2);
    let list = read_revocations(&path.join(REVOKED)).unwrap();
    assert!(list.names(&NodeId([9; 32])));
    assert_eq!(
        list.verify("area-net", &both.keys()[..1]),
        Ok(both.keys()[0])
    );
    assert!(
        office
            .change_key(false)
            .unwrap_err()
            .to_string()
            .contains("is not over")
    );
    // The old key ends.
    office.finish_change(NOW).unwrap();
    let one = read_authority(&path.join(AUTHORITY)).unwrap();
    assert_eq!(one.keys(), &both.keys()[..1]);
    assert_eq!(read_authority(&bob.folder.join(AUTHORITY)).unwrap(), one);
    assert!(admits(&bob.folder, "bob", NOW) && !path.join(OLD_KEY).exists());
    let list = read_revocations(&path.join(REVOKED)).unwrap();
    assert_eq!(list.number(), 2, "the new key has signed it already");
    let again = office.finish_change(NOW).unwrap_err().to_string();
    assert!(again.contains("there is no old key"), "{again}");
    office.change_key(false).unwrap();
}

#[test]
fn a_change_of_the_key_is_not_finished_before_all_members_have_new_certificates() {
    let (_dir, path) = scratch();
    let mut office = Office::create(&path, "area-net").unwrap();
    for label in ["bob", "carol", "dave", "erin"] {
        office.admit_new(label, &wish(), NOW).unwrap();
    }
    let dave = office.find("dave").unwrap();
    office.revoke(&[dave], NOW).unwrap();
    office.change_key(false).unwrap();
    let bob = office.find("bob").unwrap();
    office.admit(&bob, &wish(), NOW).unwrap();
    // The folder of a member may have been removed, as advised.
    fs::remove_dir_all(path.join(MEMBERS).join("erin")).unwrap();
    let said = office.finish_change(NOW).unwrap_err().to_string();
    assert!(said.contains("be cut off: carol, erin. First"), "{said}");
    assert_eq!(office.authorities().keys().len(), 2);
    office.renew_all(&wish(), NOW).unwrap();
    office.finish_change(NOW).unwrap();
    let list = read_revocations(&path.join(REVOKED)).unwrap();
    let key = office.authorities().keys()[0];
    assert_eq!((list.number(), list.names(&dave)), (2, true));
    assert_eq!(list.verify("area-net", &[key]), Ok(key));
}

#[test]
fn a_lost_key_is_replaced_by_a_new_one_beside_its_public_part() {
    let (_dir, path) = scratch();
    let mut office = Office::create(&path, "area-net").unwrap();
    let bob = office.admit_new("bob", &wish(), NOW).unwrap();
    office.revoke(&[NodeId([9; 32])], NOW).unwrap();
    let said = office.change_key(true).unwrap_err().to_string();
    assert!(said.contains("is not lost"), "{said}");
    fs::remove_file(path.join(KEY)).unwrap();
    let said = office.change_key(false).unwrap_err().to_string();
    assert!(said.contains("restore the key from its backup"), "{said}");
    let old = office.authorities().keys()[0];
    office.change_key(true).unwrap();
    // Bob's certificate still counts where the public file names both keys.
    let both = read_authority(&path.join(AUTHORITY)).unwrap();
    assert_eq!((both.keys().len(), both.keys()[1]), (2, old));
    let certificate = read_certificate(&bob.folder.join(MEMBER)).unwrap();
    assert_eq!(certificate.signer(both.keys()), Some(old));
    let mut office = Office::open(&path).unwrap();
    office.renew_all(&wish(), NOW).unwrap();
    office.finish_change(NOW).unwrap();
    assert!(admits(&bob.folder, "bob", NOW));
    assert_eq!(read_revocations(&path.join(REVOKED)).unwrap().number(), 2);
}

#[test]
fn a_key_without_the_rest_is_enough_to_go_on() {
    let (_dir, path) = scratch();
    let mut office = Office::create(&path, "area-net").unwrap();
    let bob = office.admit_new("bob", &wish(), NOW).unwrap();
    let id = office.find("bob").unwrap();
    office.revoke(&[NodeId([9; 32])], NOW).unwrap();
    // Only the key and the public file were kept; the list comes from any member.
    fs::remove_file(path.join("members.json")).unwrap();
    fs::remove_dir_all(path.join(MEMBERS)).unwrap();
    let mut office = Office::open(&path).unwrap();
    assert!(office.members().is_empty());
    office.admit(&id, &wish(), NOW).unwrap();
    assert_eq!(office.revoke(&[id], NOW).unwrap(), 2);
    assert_eq!(bob.member.label, "bob");
    // A damaged key is an error, and no new one is made.
    fs::write(path.join(KEY), "nonsense").unwrap();
    let error = office.revoke(&[], NOW).unwrap_err().to_string();
    assert!(error.contains("restore the key from its backup"), "{error}");
    let elsewhere = Office::open(Path::new("/nowhere")).unwrap_err().to_string();
    assert!(elsewhere.contains("area-net network create"), "{elsewhere}");
}
