//! What the two ends of a link tell.

use super::*;

#[test]
fn tells_what_both_ends_of_a_link_told() {
    let mut chronicle = Chronicle::new(ROOMY);
    for (at_ms, told) in [
        (100, Some((90, 7))),
        (200, Some((90, 7))),
        (300, None),
        (400, Some((380, 8))),
    ] {
        let mut view = Arc::unwrap_or_clone(view(at_ms, &[up(2)], &[(1, 2, 10)]));
        view.links[0].other = told.map(|(rtt_at_ms, rtt_us)| EndFigures {
            rtt_us,
            rtt_at_ms,
            loss_permille: 4,
        });
        chronicle.record(&Arc::new(view));
    }
    let series = chronicle.series([&id(2), &id(1)], 600);
    // Each measurement once, at its own time.
    assert_eq!(series.other, [(90, Some(7), 4), (380, Some(8), 4)]);
}

/// Recordings of before these fields existed are still read; and a reader of then ignores them.
#[test]
fn what_the_other_end_tells_is_a_field_more_in_the_lines() {
    let mut differ = Differ::default();
    let news = News::default();
    let mut line = |view| lines::line(&Entry::Frame(Box::new(differ.next(&view, &news))));
    let first = line(view(1000, &[up(2)], &[(1, 2, 27)]));
    let both = "\"loss\":27,\"suspect\":false,\"other\":[28,940,3],\"disputed\":990}]";
    assert!(first.contains(both), "{first}");
    let second = line(view(2000, &[up(2)], &[(1, 2, 30)]));
    let expected =
        "\"figures\":[[0,30,1990,30,0]],\"others\":[[0,31,1990,3]],\"disputed\":[[0,null]]}\n";
    assert!(second.ends_with(expected), "{second}");
    let third = line(view(3000, &[up(2)], &[(1, 2, 31)]));
    assert!(
        third.ends_with(",\"others\":[[0,null,3000,0]],\"rejected\":{\"over_limit\":1}}\n"),
        "{third}"
    );

    let header = Header::new("demo".into(), &id(1), "one".into()).line();
    let mut reader = Reader::begin(&header).unwrap();
    let old = first.replace(",\"other\":[28,940,3],\"disputed\":990", "");
    for line in [
        &old,
        &second.replace(
            "\"others\":[[0,31,1990,3]],\"disputed\":[[0,null]]",
            "\"later\":7",
        ),
    ] {
        reader.next(line).unwrap();
    }
    let read = reader.picture().snapshot().unwrap();
    assert_eq!(
        (read.links[0].other, read.links[0].rtt_us),
        (None, Some(30))
    );
}
