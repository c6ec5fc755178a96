//! Generates `config/network/default.toml` and `docs/settings.md` from the table of keys. The tests compare the files with the
//! generated text; `UPDATE=1 cargo test --lib settings::files` rewrites the files.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::{KEYS, Key, Layer, MAX_TARGET_BYTES, MAX_TARGETS};
use crate::impair::{MAX_RULES, MAX_TEXT};

/// The longest line of a comment or a paragraph, in characters.
const WIDTH: usize = 110;

const DEFAULT_TOML: &str = "\
# All settings of an area-net node, with their defaults.
#
# Settings are read in layers, and each layer overrides the one before it:
#   this file, then <PROFILE>.toml beside it (with -p <PROFILE>), then every -s KEY=VALUE in the order given
# A key that is missing here has the default that is built into the program, so an older copy of this file still
# works. An unknown key is an error.
#
# This file is generated from src/settings/keys.rs. Change a comment or a default there.
";

const INTRO: &str = "\
# Settings

Settings are read in layers, and each layer overrides the one before it:

1. the defaults that are built into the program,
2. `<CONFIG DIR>/network/default.toml`, which contains every key with its default and an explanation,
3. `<CONFIG DIR>/network/<PROFILE>.toml`, with `-p <PROFILE>`,
4. each `-s KEY=VALUE`, in the order given.

`-s` has three forms:

```sh
-s network.controller.listen.port=9000      # a key and a value, as in TOML
-s '\"network.controller.d2\" = true'         # a quoted key, as in TOML
-s label=zoe                                # a bare string, for a key that takes a string
```

A bare string is taken as it is, even `123` or `true`. Quote it as in TOML to keep spaces at its ends. Values are not
converted: `\"9000\"` in quotes is a string and not a port number.

Every layer is checked, even where a later layer overrides it. An unknown key, a value of the wrong type or a value
out of range is an error. The error names the key, the value and the file with its line (or the `-s` argument), and for
an unknown key also the nearest known key. The exit status is then 2, and nothing was started or written.

";

const SIMULATOR: &str = "
## In the simulator

`area-net sim` takes these settings for all of its nodes, with `-s` or as `settings = [\"KEY=VALUE\"]` in a scenario:

";

const GENERATED: &str = "
[impairment.md](impairment.md) explains the rules that `network.controller.impair` takes.

---

This page is generated from `src/settings/keys.rs` and `src/settings/files.rs`. Change it there, then run
`UPDATE=1 cargo test --lib settings::files`.
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

#[test]
fn limits_in_the_documentation_are_those_of_the_code() {
    let details = |name| KEYS.iter().find(|key| key.name == name).unwrap().details();
    let targets = details("network.controller.target.path");
    assert_eq!((MAX_TARGETS, MAX_TARGET_BYTES), (65_536, 8 << 20));
    assert!(targets.contains("65,536 entries in 8 MiB"), "{targets}");
    let impair = details("network.controller.impair");
    let limits = format!("{MAX_RULES} rules in {MAX_TEXT} bytes");
    assert!(impair.contains(&limits), "{impair}");
}

/// Compares a file of the project with this text. With `UPDATE` set, writes it first.
fn compare(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "{file} is not what src/settings/keys.rs says; run UPDATE=1 cargo test --lib settings::files"
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
        let paragraphs = [
            format!("{}.", key.summary()),
            format!("{}{}", key.details(), older(key)),
            format!("Default: {}. Range: {}.", key.default, key.range()),
        ];
        for line in paragraphs.iter().flat_map(|text| wrap(text)) {
            writeln!(text, "# {line}").unwrap();
        }
        writeln!(text, "{word} = {}", key.default).unwrap();
    }
    text
}

fn settings_md() -> String {
    let mut text = String::from(INTRO);
    text += "## All keys\n\n";
    text += "| Key | Type | Default | Range | Meaning |\n| --- | --- | --- | --- | --- |\n";
    for key in KEYS {
        let (name, default) = (key.name, key.default);
        let (kind, range, summary) = (key.kind.type_name(), key.range(), key.summary());
        writeln!(
            text,
            "| `{name}` | {kind} | `{default}` | {range} | {summary} |"
        )
        .unwrap();
    }
    text += "\n## What each key does\n";
    for key in KEYS {
        write!(text, "\n### `{}`\n\n", key.name).unwrap();
        let about = format!("{}. {}{}", key.summary(), key.details(), older(key));
        for line in wrap(&about) {
            writeln!(text, "{line}").unwrap();
        }
    }
    text += SIMULATOR;
    for key in KEYS.iter().filter(|key| key.simulated) {
        writeln!(text, "- `{}`", key.name).unwrap();
    }
    text + GENERATED
}

fn older(key: &Key) -> String {
    key.older_name.map_or_else(String::new, |older| {
        format!(" The older name `{older}` is accepted too, but not both in one layer.")
    })
}

/// Breaks a paragraph into lines, but never inside of `code`.
fn wrap(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut in_code = false;
    for word in text.split(' ') {
        let line = lines.last_mut().unwrap();
        if line.is_empty() {
            line.push_str(word);
        } else if in_code || line.chars().count() + 1 + word.chars().count() <= WIDTH {
            write!(line, " {word}").unwrap();
        } else {
            lines.push(word.to_owned());
        }
        in_code ^= word.matches('`').count() % 2 == 1;
    }
    lines
}
