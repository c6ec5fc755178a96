//! The files that are written from the table of keys, `config/network/default.toml` and `docs/settings.md`: each must be what
//! the table says. `UPDATE=1 cargo test --lib settings::files` writes them anew.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::{KEYS, Key, Kind, Layer, Unit};

/// The longest line of a comment in default.toml, in characters.
const WIDTH: usize = 110;

const DEFAULT_TOML: &str = "\
# The settings of an area-net node: every key there is, with its default.
#
# Layers, each overriding the one below:
#   this file  <  <profile>.toml beside it (-p <profile>)  <  every -s KEY=VALUE, in the order given
# A key that is left out here keeps the default that is built into the program, so an older copy of this file
# goes on working. A key that area-net doesn't know is an error, not ignored.
#
# This file is written from src/settings/keys.rs: a change belongs there, and a test compares.
";

const SETTINGS_MD: &str = "\
# Settings

This page is written from `src/settings/keys.rs`: a change belongs there, and a test compares.
";

#[test]
fn default_toml_is_what_the_table_says() {
    compare("config/network/default.toml", &default_toml());
}

#[test]
fn settings_md_is_what_the_table_says() {
    compare("docs/settings.md", &settings_md());
}

#[test]
fn default_toml_sets_each_key_to_its_default() {
    fn leaves(prefix: &str, table: &DeTable<'_>, text: &str, found: &mut Vec<(String, String)>) {
        for (word, value) in table {
            let name = format!("{prefix}{}", word.get_ref());
            match value.get_ref() {
                DeValue::Table(table) => leaves(&format!("{name}."), table, text, found),
                _ => found.push((name, text[value.span()].to_owned())),
            }
        }
    }
    let text = default_toml();
    let mut found = Vec::new();
    let table = DeTable::parse(&text).unwrap();
    leaves("", table.get_ref(), &text, &mut found);
    found.sort();
    let mut known: Vec<_> = KEYS
        .iter()
        .map(|key| (key.name.to_owned(), key.default.to_owned()))
        .collect();
    known.sort();
    assert_eq!(found, known);
    let layer = Layer::from_text("default.toml", &text).unwrap();
    assert_eq!(layer.keys().count(), KEYS.len());
}

/// Demands that the file of the project holds this text, or makes it so where `UPDATE` is set.
fn compare(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "{file} is not what src/settings/keys.rs says: UPDATE=1 cargo test --lib settings::files"
    );
}

fn default_toml() -> String {
    let mut text = String::from(DEFAULT_TOML);
    let mut open = "";
    for key in KEYS {
        let (group, word) = key.name.rsplit_once('.').unwrap_or(("", key.name));
        text.push('\n');
        if group != open {
            writeln!(text, "[{group}]").unwrap();
            open = group;
        }
        let range = format!("Default: {}. Bound: {}.", key.default, range(key));
        for line in wrap(&key.details()).iter().chain(&wrap(&range)) {
            writeln!(text, "# {line}").unwrap();
        }
        writeln!(text, "{word} = {}", key.default).unwrap();
    }
    text
}

fn settings_md() -> String {
    let mut text = String::from(SETTINGS_MD);
    for key in KEYS {
        write!(text, "\n## `{}`\n\n{}\n", key.name, key.details()).unwrap();
    }
    text
}

/// What a key takes, with what other keys demand of it.
fn range(key: &Key) -> String {
    let mut range = match key.kind {
        Kind::Number { min, max, unit } => format!("{min} to {max}{}", unit_name(unit)),
        other => other.to_string(),
    };
    for (other, offset) in key.at_least {
        let offset = match offset {
            0 => String::new(),
            offset => format!(" {offset:+}"),
        };
        write!(range, ", at least {other}{offset}").unwrap();
    }
    range
}

fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::One => "",
        Unit::BytesPerSecond => " bytes a second",
        Unit::Milliseconds => " milliseconds",
        Unit::Seconds => " seconds",
        Unit::Days => " days",
    }
}

fn wrap(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().unwrap();
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(word.to_owned());
        } else {
            write!(line, " {word}").unwrap();
        }
    }
    lines
}
