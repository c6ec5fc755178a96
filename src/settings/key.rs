//! One setting, and how a key is found by its name, by its older name, or by a slip of it.

use toml::de::DeValue;

use super::keys::KEYS;
use super::kind::{Kind, Value};

/// One setting.
#[derive(Debug)]
pub struct Key {
    /// The dotted name.
    pub name: &'static str,
    /// What it was called once; accepted forever.
    pub older_name: Option<&'static str>,
    /// What it takes.
    pub kind: Kind,
    /// The default, as TOML.
    pub default: &'static str,
    /// The numbers of other keys that this one may not fall short of, each give or take some.
    pub at_least: &'static [(&'static str, i64)],
    /// Whether `area-net sim` takes it for the nodes that it simulates.
    pub simulated: bool,
    lines: &'static [&'static str],
}

impl Key {
    /// `lines` are those of a comment: a summary, an empty line, and a paragraph.
    pub(super) const fn new(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        lines: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            older_name: None,
            kind,
            default,
            at_least: &[],
            simulated: false,
            lines,
        }
    }

    pub(super) const fn older_name(mut self, name: &'static str) -> Self {
        self.older_name = Some(name);
        self
    }

    pub(super) const fn at_least(mut self, others: &'static [(&'static str, i64)]) -> Self {
        self.at_least = others;
        self
    }

    pub(super) const fn simulated(mut self) -> Self {
        self.simulated = true;
        self
    }

    /// What it does, in one line without a full stop.
    #[must_use]
    pub fn summary(&self) -> &'static str {
        self.lines.first().map_or("", |line| line.trim())
    }

    /// The rest: what it is good for, and what more or less of it costs. One paragraph.
    #[must_use]
    pub fn details(&self) -> String {
        let lines = self.lines.iter().skip(1).map(|line| line.trim());
        let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
        lines.join(" ")
    }

    pub(super) fn default_value(&self) -> Value {
        let default = DeValue::parse(self.default).expect("a default is TOML");
        let checked = self.kind.check(default.get_ref());
        checked.expect("a default passes its own check")
    }

    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.older_name == Some(name)
    }
}

/// The setting of that name, or of that older name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.is_called(name))
}

/// The first setting in the group of that name, where there is such a group.
pub(super) fn first_in_group(group: &str) -> Option<&'static str> {
    KEYS.iter().map(|key| key.name).find(|name| {
        name.strip_prefix(group)
            .is_some_and(|rest| rest.starts_with('.'))
    })
}

/// The known key that is nearest to one that isn't.
///
/// A slip of the keyboard is near by edits; a key whose groups were left out or mixed up is near by its last word,
/// which therefore weighs double.
pub(super) fn nearest(unknown: &str) -> &'static str {
    // Edits are counted in time proportional to both lengths, and no known key is longer than this.
    let unknown: String = unknown.chars().take(100).collect::<String>().to_lowercase();
    let last_word = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let distance = |known: &str| {
        let tails = known
            .match_indices('.')
            .map(|(dot, _)| &known[dot + 1..])
            .chain([known]);
        let whole = tails
            .map(|tail| strsim::damerau_levenshtein(&unknown, tail))
            .min()
            .expect("the whole key is among them");
        whole + 2 * strsim::damerau_levenshtein(&last_word(&unknown), &last_word(known))
    };
    let inside = KEYS.iter().find(|key| {
        unknown
            .strip_prefix(key.name)
            .is_some_and(|rest| rest.starts_with('.'))
    });
    inside
        .or_else(|| KEYS.iter().min_by_key(|key| distance(key.name)))
        .expect("there are keys")
        .name
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
