//! One setting.

use toml::de::DeValue;

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

    /// Whether that is its name, or its older name.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.older_name == Some(name)
    }
}
