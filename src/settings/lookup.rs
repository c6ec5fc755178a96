//! Finds a key by its name or its older name, and the nearest key to a mistyped name.

use super::key::Key;
use super::keys::KEYS;
use crate::nearest::{edits, fewest_edits};

/// The key with this name or older name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.is_called(name))
}

/// The first key in the group with this name. `None`: there is no such group.
pub(super) fn first_in_group(group: &str) -> Option<&'static str> {
    KEYS.iter().map(|key| key.name).find(|name| {
        name.strip_prefix(group)
            .is_some_and(|rest| rest.starts_with('.'))
    })
}

/// The known key that is nearest to an unknown one.
///
/// A typing error is found by the edit distance of the whole name. Where groups were left out or mixed up, the last word
/// identifies the key best, so its edit distance counts double. If nothing is wrong but that groups were left out, the first key counts
/// from which they can have been left out.
pub(super) fn nearest(unknown: &str) -> &'static str {
    let unknown = unknown.to_lowercase();
    let last_word = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    // The distance of a key that may be nearer than `most`; of any other, a number that is no less.
    let distance = |known: &str, most: usize| {
        let mut words = known.split('.');
        if unknown.split('.').all(|word| words.any(|it| it == word)) {
            return 0;
        }
        let last = 2 * edits(&last_word(&unknown), &last_word(known));
        let tails = known
            .match_indices('.')
            .map(|(dot, _)| &known[dot + 1..])
            .chain([known]);
        let mut whole = most.saturating_sub(last);
        for tail in tails {
            // Counting edits costs most of the time of a refusal.
            if fewest_edits(&unknown, tail) < whole {
                whole = whole.min(edits(&unknown, tail));
            }
        }
        whole + last
    };
    let inside = KEYS.iter().find(|key| {
        unknown
            .strip_prefix(key.name)
            .is_some_and(|rest| rest.starts_with('.'))
    });
    if let Some(key) = inside {
        return key.name;
    }
    let (mut nearest, mut least) = ("", usize::MAX);
    for key in KEYS {
        let distance = distance(key.name, least);
        if distance < least {
            (nearest, least) = (key.name, distance);
        }
    }
    nearest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_key_is_near_the_one_that_was_meant() {
        for (typed, meant) in [
            (
                "network.controller.listen.prt",
                "network.controller.listen.port",
            ),
            ("network.controller.port", "network.controller.listen.port"),
            ("port", "network.controller.listen.port"),
            ("listen.port", "network.controller.listen.port"),
            ("netwrok.controller.d2", "network.controller.d2"),
            ("d2", "network.controller.d2"),
            ("lable", "label"),
            ("Label", "label"),
            ("label.x", "label"),
            (
                "network.controler.target.pth",
                "network.controller.target.path",
            ),
            (
                "network.controller.probe.interval",
                "network.controller.probe.interval_ms",
            ),
            (
                "network.controller.full_mesh",
                "network.controller.degree.full_mesh",
            ),
            ("log.lvl", "log.level"),
        ] {
            assert_eq!(nearest(typed), meant, "{typed}");
        }
        nearest("");
        nearest(&"ä.".repeat(100_000));
    }

    proptest::proptest! {
        #[test]
        fn no_key_is_nearer_than_the_nearest(
            words in proptest::collection::vec("[a-z_.]{0,12}|port|network|controller|listen|probe|interval_ms|ä", 0..5),
        ) {
            let unknown = words.join(".");
            let distance = |known: &str| {
                let mut left = known.split('.');
                if unknown.split('.').all(|word| left.any(|it| it == word)) {
                    return 0;
                }
                let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
                let tails = known.match_indices('.').map(|(dot, _)| &known[dot + 1..]);
                let whole = tails.chain([known]).map(|tail| edits(&unknown, tail)).min().unwrap();
                whole + 2 * edits(&last(&unknown), &last(known))
            };
            let is_inside = |name: &str| {
                let rest = unknown.strip_prefix(name);
                rest.is_some_and(|rest| rest.starts_with('.'))
            };
            let expected = KEYS.iter().find(|key| is_inside(key.name));
            let expected = expected.or_else(|| KEYS.iter().min_by_key(|key| distance(key.name)));
            assert_eq!(nearest(&unknown), expected.unwrap().name, "{unknown}");
        }
    }

    #[test]
    fn the_older_name_finds_the_key() {
        let found = find("network.controller.target.file").unwrap();
        assert_eq!(found.name, "network.controller.target.path");
        assert!(find("network.controller.target").is_none());
        assert_eq!(
            first_in_group("network.controller.listen"),
            Some("network.controller.listen.addr")
        );
        assert_eq!(first_in_group("label"), None);
        assert_eq!(first_in_group("net"), None);
    }
}
