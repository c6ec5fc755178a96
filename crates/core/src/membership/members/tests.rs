use super::*;
use crate::certificate::tests::Key;
use crate::certificate::{Authorities, Terms};
use crate::membership::testing::{body, ms, node, record};
use crate::record::Body;
use crate::revocations::Revoked;

const START: u64 = 1_700_000_000;

fn charter() -> Charter {
    let keys = vec![Key::new(1).public()];
    Charter {
        authorities: Arc::new(Authorities::new("tests", keys).unwrap()),
        certificate: None,
        revocations: None,
        unix_s: START,
    }
}

/// A certificate from the start for so many seconds.
fn certificate(number: u8, lasts_s: u64) -> Arc<Certificate> {
    let terms = Terms {
        not_before: START,
        not_after: START + lasts_s,
        ..Terms::new("tests", node(number), "*")
    };
    Certificate::issue(terms, &Key::new(1)).unwrap()
}

fn certified(number: u8, seq: u32, certificate: Option<Arc<Certificate>>) -> Arc<Record> {
    record(Body {
        seq,
        certificate,
        ..body(node(number), 1, 1)
    })
}

fn revoked(number: u64, nodes: &[u8]) -> Arc<Revocations> {
    let ids = nodes.iter().map(|number| node(*number)).collect();
    let list = Revoked::new("tests", number, START, ids);
    Revocations::issue(list, &Key::new(1)).unwrap()
}

fn secs(secs: u64) -> Time {
    Duration::from_secs(secs)
}

#[test]
fn a_network_without_authority_judges_nobody() {
    let mut members = Members::new(None);
    assert!(!members.is_closed() && members.deadline().is_none());
    let record = certified(2, 1, None);
    assert_eq!(members.judge(ms(0), &record, None), Ok(()));
    assert_eq!(members.hear(&revoked(1, &[2])), Heard::Nothing);
    members.expect_end(ms(0), &certified(2, 2, Some(certificate(2, 1))));
    members.look_soon(ms(0));
    assert!(members.deadline().is_none());
}

#[test]
fn the_newest_revocations_count_and_no_others() {
    let mut members = Members::new(Some(charter()));
    let record = certified(2, 1, Some(certificate(2, 1000)));
    assert_eq!(members.judge(ms(0), &record, None), Ok(()));
    assert_eq!(members.hear(&revoked(2, &[2])), Heard::Newer);
    assert_eq!(members.judge(ms(0), &record, None), Err(Unfit::Revoked));
    // An older list, which does not name the node yet, is replayed; and one that the node made up.
    assert_eq!(members.hear(&revoked(1, &[])), Heard::Nothing);
    assert_eq!(members.hear(&revoked(2, &[])), Heard::Nothing);
    let list = Revoked::new("tests", 9, START, Vec::new());
    let made_up = Revocations::issue(list, &Key::new(2)).unwrap();
    assert_eq!(members.hear(&made_up), Heard::Forged);
    assert!(members.is_revoked(&node(2)) && members.number() == 2);
    // A file that somebody else wrote counts as little.
    let start = Charter {
        revocations: Some(made_up),
        ..charter()
    };
    assert_eq!(Members::new(Some(start)).number(), 0);
}

#[test]
fn a_certificate_ends_by_the_clock_and_ten_minutes_later_for_others() {
    let mut members = Members::new(Some(charter()));
    let mut view = View::new(certified(1, 1, None));
    let short = certified(2, 1, Some(certificate(2, 3600)));
    let long = certified(3, 1, Some(certificate(3, 7200)));
    for record in [&short, &long] {
        assert_eq!(members.judge(ms(0), record, None), Ok(()));
        members.expect_end(ms(0), record);
        view.accept(record.clone(), ms(0), Some(node(3)), false);
    }
    let end = secs(3600 + 600 + 1);
    assert_eq!(members.deadline(), Some(end));
    assert!(members.look(end - ms(1), &view).ended.is_empty());
    assert_eq!(members.judge(end - secs(1), &short, None), Ok(()));
    let ended = members.look(end, &view).ended;
    let ids: Vec<NodeId> = ended.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [node(2)]);
    assert_eq!(members.deadline(), Some(secs(7200 + 600 + 1)));
    // The clock was fast by an hour, and is corrected.
    let index = view.index(&node(2).abbreviated()).unwrap();
    view.bar(end, index);
    members.set_origin(end, START - 3600);
    assert_eq!(members.look(end, &view).readmitted, [index]);
}

#[test]
fn a_clock_before_our_own_certificate_is_wrong() {
    let start = Charter {
        certificate: Some(certificate(1, 3600)),
        unix_s: 0,
        ..charter()
    };
    let members = Members::new(Some(start));
    let other = certified(2, 1, Some(certificate(2, 3600)));
    assert_eq!(members.judge(ms(0), &other, None), Ok(()));
    // Nothing tells a node without certificate.
    let start = Charter {
        unix_s: 0,
        ..charter()
    };
    let unfit = Members::new(Some(start)).judge(ms(0), &other, None);
    assert_eq!(unfit, Err(Unfit::NotYet { in_s: START }));
}

#[test]
fn a_certificate_is_verified_once_for_all_records_that_contain_it() {
    let members = Members::new(Some(charter()));
    let arrived = || Certificate::from_bytes(&certificate(2, 10).to_bytes()).unwrap();
    let first = certified(2, 1, Some(arrived()));
    assert_eq!(members.judge(ms(0), &first, None), Ok(()));
    let second = certified(2, 2, Some(arrived()));
    let trusted = || {
        let certificate = second.body().certificate.as_ref().unwrap();
        // Without keys, only a verdict that is there already can be found.
        certificate.has_verdict()
    };
    assert!(!trusted());
    assert_eq!(members.judge(ms(0), &second, Some(&first)), Ok(()));
    assert!(trusted());
    // A certificate of other bytes gets no verdict from this one.
    let forged = Certificate::issue(certificate(2, 20).terms().clone(), &Key::new(3)).unwrap();
    let forged = Certificate::from_bytes(&forged.to_bytes()).unwrap();
    let third = certified(2, 3, Some(forged));
    let unfit = members.judge(ms(0), &third, Some(&second));
    assert_eq!(unfit, Err(Unfit::Forged));
}
