use std::io::{Cursor, Write as _};

use super::file::packer;
use super::replay::{Loaded, load, load_within};
use crate::chronicle::Entry;
use crate::chronicle::lines::{self, Reader};

/// The example of the document.
fn example() -> String {
    let document = include_str!("../../docs/recording.md");
    let (_, rest) = document.split_once("```jsonl\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

fn packed(text: &str) -> Vec<u8> {
    let mut packer = packer(Vec::new());
    packer.write_all(text.as_bytes()).unwrap();
    packer.finish().unwrap()
}

fn loaded(bytes: impl Into<Vec<u8>>) -> Result<Loaded, String> {
    load(Cursor::new(bytes.into()))
}

fn refused(bytes: impl Into<Vec<u8>>) -> String {
    loaded(bytes).unwrap_err()
}

#[test]
fn the_document_shows_the_lines_that_are_written() {
    let example = example();
    let mut all = example.lines();
    let first = all.next().unwrap();
    let mut reader = Reader::begin(first).unwrap();
    assert_eq!(reader.header().line(), format!("{first}\n"));
    let (mut frames, mut events, mut others) = (0, 0, 0);
    for line in all {
        match reader.next(line).unwrap() {
            Some(entry) => {
                assert_eq!(lines::line(&entry), format!("{line}\n"));
                match entry {
                    Entry::Frame(_) => frames += 1,
                    Entry::Event(_) => events += 1,
                }
            }
            None => others += 1,
        }
    }
    // Two lines are a map and a heartbeat.
    assert_eq!((frames, events, others), (6, 1, 2));
}

#[test]
fn a_loaded_recording_is_what_its_lines_say() {
    let example = example();
    for bytes in [example.clone().into_bytes(), packed(&example)] {
        let Loaded {
            header,
            chronicle,
            warnings,
        } = loaded(bytes).unwrap();
        assert_eq!((&*header.label, warnings.len()), ("bob", 0));
        let span = chronicle.span().unwrap();
        assert_eq!((span.from_ms, span.to_ms), (5000, 9500));
        let mut reader = None;
        for line in example.lines() {
            let Some(reader) = &mut reader else {
                reader = Some(Reader::begin(line).unwrap());
                continue;
            };
            if let Some(Entry::Frame(frame)) = reader.next(line).unwrap() {
                let (there, _) = chronicle.at(frame.at_ms).unwrap();
                assert_eq!(there.snapshot(), reader.picture().snapshot());
                assert_eq!(there.keyframe(), reader.picture().keyframe());
            }
        }
        let newest = reader.unwrap().picture().snapshot().unwrap();
        assert_eq!(**chronicle.last().unwrap(), newest);
        // The numbers are those of the recording, and so is what was told.
        let (then, next) = chronicle.at(7000).unwrap();
        let carol = then.node(2).unwrap();
        assert_eq!((&*carol.label, carol.told.unwrap().by), ("carol", 1));
        let after: Vec<String> = chronicle
            .since(next)
            .unwrap()
            .map(|(_, entry)| lines::line(&entry))
            .collect();
        let kept = example.lines().filter(|line| {
            line.contains("unreachable\",\"level") || line.contains("impaired\":\"delay")
        });
        assert_eq!(
            after,
            kept.map(|line| format!("{line}\n")).collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_recording_that_is_cut_off_is_shown_up_to_there() {
    let example = example();
    let whole = packed(&example);
    let first_view = example.match_indices('\n').nth(1).unwrap().0;
    for end in 0..example.len() {
        match loaded(&example.as_bytes()[..end]) {
            Ok(loaded) => {
                assert!(end >= first_view, "{end}");
                // A cut between two lines is none.
                let is_cut = !example[..end].ends_with('\n') && !example[end..].starts_with('\n');
                assert_eq!(loaded.warnings.len(), usize::from(is_cut), "{end}");
                let line = example[..end].matches('\n').count() + 1;
                for warning in loaded.warnings {
                    let said = format!("line {line}: the file is cut off here; ");
                    assert!(warning.starts_with(&said), "{warning}");
                }
            }
            Err(what) => {
                assert!(end < first_view, "{end}");
                assert!(what.starts_with("line "), "{what}");
            }
        }
    }
    let mut shown = 0;
    for end in 0..whole.len() {
        match loaded(&whole[..end]) {
            Ok(loaded) => {
                shown += 1;
                assert!(loaded.warnings[0].contains("cut off here"), "{end}");
            }
            Err(what) => assert!(what.starts_with("line "), "{what}"),
        }
    }
    assert!(shown > 0);
}

#[test]
fn what_is_no_recording_is_refused_with_the_place() {
    let example = example();
    let with = |from: &str, to: &str| example.replacen(from, to, 1);
    let header = example.lines().next().unwrap();
    assert_eq!(refused(""), "line 1: the file is empty");
    let later = refused(with("\"version\":1", "\"version\":7"));
    assert!(
        later.starts_with("line 1: the recording has version 7"),
        "{later}"
    );
    for no in [
        "\n",
        "{}\n",
        "[1]\n",
        "\u{7f}ELF\n",
        "{\"format\":\"x\",\"version\":1,\"network\":\"\",\"node\":\"\"}\n",
    ] {
        let said = refused(no);
        assert!(
            said.starts_with("line 1: this is not a recording"),
            "{said}"
        );
    }
    assert!(refused(vec![0xff, 0xfe, b'\n']).starts_with("line 1: it is no text"));
    assert!(refused(vec![0x1f, 0x8b, 0, 0, 0]).starts_with("line 1: "));
    assert_eq!(refused(header), "line 1: no view follows the header");
    assert_eq!(
        refused(with(",\"view\":{\"me\":0,", ",\"no\":{\"me\":0,")),
        "line 2: the first frame is not a keyframe"
    );
    let twin = "\"n\":1,\"id\":\"2222";
    let said =
        refused(with(twin, "\"n\":1,\"id\":\"1111").replace(&"2".repeat(60), &"1".repeat(60)));
    assert!(said.starts_with("line 2: two nodes have the id"), "{said}");
    let said = refused(with(
        "\"dialer\":0,\"listener\":1",
        "\"dialer\":1,\"listener\":1",
    ));
    assert!(
        said.starts_with("line 2: the link of the number 0 leads"),
        "{said}"
    );
}

#[test]
fn a_line_that_contradicts_the_others_ends_the_recording() {
    let example = example();
    for (from, to, line, why) in [
        ("{\"at\":6000,", "{\"at\":4000,", 4, "its time is before"),
        ("[[0,55,", "[[7,55,", 4, "there is no link of the number 7"),
        (
            "\"dialer\":2",
            "\"dialer\":9",
            3,
            "there is no node of the number 9",
        ),
        (
            "{\"n\":2,\"gone\"",
            "{\"n\":1,\"gone\"",
            10,
            "there is no node of the number 1",
        ),
        ("[{\"l\":1,\"suspect\":true}]", "7", 6, "invalid type"),
    ] {
        let loaded = loaded(example.replacen(from, to, 1)).unwrap();
        let said = format!("line {line}: {why}");
        assert!(
            loaded.warnings[0].starts_with(&said),
            "{said}: {:?}",
            loaded.warnings
        );
        let last_ms = loaded.chronicle.span().unwrap().to_ms;
        let last = loaded.chronicle.last().unwrap();
        let (there, _) = loaded.chronicle.at(last_ms).unwrap();
        assert_eq!(**last, there.snapshot().unwrap());
    }
}

#[test]
fn the_oldest_part_of_a_long_recording_is_left_out() {
    let example = example();
    let mut text: String = example
        .lines()
        .take(2)
        .map(|line| format!("{line}\n"))
        .collect();
    for second in 6..20_000 {
        let at = second * 1000;
        text += &format!("{{\"at\":{at},\"figures\":[[0,{second},{at},0,0]]}}\n");
    }
    let loaded = load_within(Cursor::new(packed(&text)), 100_000).unwrap();
    let span = loaded.chronicle.span().unwrap();
    assert!(
        span.bytes <= 100_000 + 40_000 && span.from_ms > 6000,
        "{span:?}"
    );
    assert_eq!(span.to_ms, 19_999_000);
    let left_s = (span.from_ms - 5000) / 1000;
    let said = format!("its first {left_s} s are left out");
    assert!(loaded.warnings[0].contains(&said), "{:?}", loaded.warnings);
}
