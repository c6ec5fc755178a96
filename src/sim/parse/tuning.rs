//! The table `[tuning]`: constants of the core that a scenario varies.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use toml::Spanned;

use super::words::{ScenarioError, duration};
use super::{Builder, Layer};
use crate::membership::{Constant, Kind, Tuning, Value};
use crate::nearest::did_you_mean;

/// The constants of all cores, and those of them that the scenario sets.
#[derive(Default)]
pub(super) struct Tuned {
    pub(super) all: Tuning,
    pub(super) set: BTreeMap<String, Value>,
}

impl Builder {
    /// Each constant from the last layer that sets it; what earlier ones say must be valid as well.
    pub(super) fn tuned(&self) -> Result<Tuned, ScenarioError> {
        let mut tuned = Tuned::default();
        let known = Tuning::all();
        for layer in &self.layers {
            for (name, written) in &layer.file.tuning {
                let value = value_of(layer, &known, name, written)?;
                let set = tuned.all.set(name, value);
                set.map_err(|error| layer.refuse(written.span(), error.to_string()))?;
                tuned.set.insert(name.clone(), value);
            }
        }
        Ok(tuned)
    }
}

fn value_of(
    layer: &Layer,
    known: &[Constant],
    name: &str,
    written: &Spanned<toml::Value>,
) -> Result<Value, ScenarioError> {
    let refuse = |what: String| layer.refuse(written.span(), what);
    if let toml::Value::Table(table) = written.get_ref() {
        let field = table.keys().next().map_or("", String::as_str);
        let what = format!("quote the constant's whole name: \"{name}.{field}\"");
        return Err(refuse(what));
    }
    let Some(constant) = known.iter().find(|constant| constant.name == name) else {
        let hint = did_you_mean(name, known.iter().map(|constant| constant.name.as_str()));
        return Err(refuse(format!("there is no constant `{name}`{hint}")));
    };
    match (constant.kind, written.get_ref()) {
        (Kind::Time, toml::Value::String(text)) => duration(text)
            .map(Value::Time)
            .map_err(|what| refuse(format!("{name}: {what}"))),
        (Kind::Count | Kind::Number, toml::Value::Integer(number)) => {
            Ok(Value::Number(*number as f64))
        }
        (Kind::Count | Kind::Number, toml::Value::Float(number)) => Ok(Value::Number(*number)),
        (kind, other) => {
            let example = constant.default;
            let example = match kind {
                Kind::Time => format!("\"{example}\""),
                Kind::Count | Kind::Number => example.to_string(),
            };
            let other = match other {
                toml::Value::String(text) => format!("{text:?}"),
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Float(number) => format!("{number:?}"),
                other => format!("a value of type {}", other.type_str()),
            };
            let what = format!("{name} takes {kind}, such as {example}, not {other}");
            Err(refuse(what))
        }
    }
}

/// The table `[tuning]` that sets these constants; nothing if there are none.
#[must_use]
pub fn toml_of_tuned(tuned: &BTreeMap<String, Value>) -> String {
    let mut text = String::new();
    if !tuned.is_empty() {
        text.push_str("\n[tuning]\n");
    }
    for (name, value) in tuned {
        let value = match value {
            Value::Time(_) => format!("\"{value}\""),
            Value::Number(_) => value.to_string(),
        };
        writeln!(text, "\"{name}\" = {value}").expect("a String takes all");
    }
    text
}

#[cfg(test)]
mod page;
#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Flags, read, read_text};
    use super::*;

    fn refused(text: &str) -> String {
        let read = read_text("x.toml", &format!("nodes = 5\n[tuning]\n{text}\n"));
        read.expect_err(text).to_string()
    }

    #[test]
    fn a_scenario_sets_constants_by_name() {
        let text =
            "[tuning]\n\"links.parked\" = \"5s\"\n\"pace.small\" = 64\n\"figures.burst_s\" = 2.5";
        let scenario = read_text("x.toml", text).unwrap();
        assert_eq!(scenario.tuning.links.parked, Duration::from_secs(5));
        assert_eq!(scenario.tuning.pace.small, 64);
        let names: Vec<_> = scenario.tuned.keys().collect();
        assert_eq!(names, ["figures.burst_s", "links.parked", "pace.small"]);
        let again = read_text("x.toml", &toml_of_tuned(&scenario.tuned)).unwrap();
        assert_eq!(again.tuning, scenario.tuning);
        let plain = read_text("x.toml", "").unwrap();
        assert_eq!(*plain.tuning, Tuning::DEFAULT);
        assert!(plain.tuned.is_empty() && toml_of_tuned(&plain.tuned).is_empty());
    }

    #[test]
    fn a_wrong_constant_is_one_error_with_its_line() {
        for (text, what) in [
            (
                "\"links.parkd\" = \"5s\"",
                "there is no constant `links.parkd`; did you mean `links.parked`?",
            ),
            (
                "\"links.parked\" = 5",
                "links.parked takes a time, such as \"10s\", not 5",
            ),
            (
                "\"links.parked\" = \"5\"",
                "links.parked: `5` needs a unit: 5s, or ms, min, h",
            ),
            (
                "\"links.parked\" = \"2h\"",
                "links.parked must be between 0s and 1h, not 2h",
            ),
            (
                "\"pace.small\" = \"64\"",
                "pace.small takes a whole number, such as 32, not \"64\"",
            ),
            (
                "\"pace.small\" = 0.5",
                "pace.small takes a whole number, not 0.5",
            ),
            (
                "pace.small = 64",
                "quote the constant's whole name: \"pace.small\"",
            ),
        ] {
            assert_eq!(refused(text), format!("x.toml, line 3: {what}"));
        }
    }

    #[test]
    fn flags_set_constants_and_errors_name_the_flag() {
        let flags = |tuning: &[&str]| Flags {
            tuning: tuning.iter().map(|&it| it.to_owned()).collect(),
            ..Flags::default()
        };
        let both = flags(&["links.parked=5s", "pace.small = 64"]);
        let scenario = read(None, &both).unwrap();
        assert_eq!(scenario.tuning.links.parked, Duration::from_secs(5));
        assert_eq!(scenario.tuning.pace.small, 64);
        for (flag, what) in [
            (
                "links.parked=5",
                "links.parked takes a time, such as \"10s\", not 5",
            ),
            (
                "links.parked",
                "links.parked: the time is missing; write 1500ms, 60s, 10min or 1h",
            ),
            (
                "pace.small=few",
                "pace.small takes a whole number, such as 32, not \"few\"",
            ),
            ("other=1", "there is no constant `other`; did you mean "),
        ] {
            let error = read(None, &flags(&[flag])).unwrap_err().to_string();
            let expected = format!("--tuning {flag}: {what}");
            assert!(error.starts_with(&expected), "{error}");
        }
        let twice = flags(&["pace.small=1", "pace.small=2"]);
        let error = read(None, &twice).unwrap_err().to_string();
        assert!(error.starts_with("--tuning pace.small=2: "), "{error}");
    }
}
