//! One setting.

use toml::de::DeValue;

use super::kind::{Kind, Value};

/// One setting.
#[derive(Debug)]
pub struct Key {
    /// The dotted name.
    pub name: &'static str,
    /// An earlier name, which is still accepted.
    pub older_name: Option<&'static str>,
    /// The type and the bounds of its value.
    pub kind: Kind,
    /// The default, as TOML.
    pub default: &'static str,
    /// Other keys: this number must be at least theirs plus the offset.
    pub at_least: &'static [(&'static str, i64)],
    /// Whether `area-net sim` accepts it as a setting of its nodes.
    pub simulated: bool,
    lines: &'static [&'static str],
}

impl Key {
    /// `lines` are the lines of a doc comment: a summary, an empty line and a paragraph.
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

    /// What it is, in one line without a full stop.
    #[must_use]
    pub fn summary(&self) -> &'static str {
        self.lines.first().map_or("", |line| line.trim())
    }

    /// The rest of its documentation, in one paragraph: what it does, and what a higher or lower value costs.
    #[must_use]
    pub fn details(&self) -> String {
        let lines = self.lines.iter().skip(1).map(|line| line.trim());
        let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
        lines.join(" ")
    }

    /// The allowed values, in short, including bounds by other keys.
    #[must_use]
    pub fn range(&self) -> String {
        let others = self.at_least.iter().map(|(other, offset)| {
            let short = other.strip_prefix("network.controller.").unwrap_or(other);
            match offset {
                0 => short.to_owned(),
                ..0 => format!("{short}-{}", -offset),
                1.. => format!("{short}+{offset}"),
            }
        });
        let others: Vec<_> = others.collect();
        if others.is_empty() {
            return self.kind.range();
        }
        format!("{}, at least {}", self.kind.range(), others.join(" and "))
    }

    pub(super) fn default_value(&self) -> Value {
        let default = DeValue::parse(self.default).expect("a default is TOML");
        let checked = self.kind.check(default.get_ref());
        checked.expect("a default passes its own check")
    }

    /// Whether this is its name or its older name.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.older_name == Some(name)
    }
}
