//! One layer of settings (the defaults, a TOML file or one `-s`), checked against the table of keys.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Set;
use super::error::{Place, SettingsError};
use super::key::Key;
use super::keys::KEYS;
use super::kind::{Kind, Refusal};
use super::lookup;
use super::shown::shown;
use super::text::decode;

/// The largest settings file, in bytes. People write far smaller ones; without a limit, a device as path would fill the memory.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A layer in which every key is known and every value has passed the check of its key.
#[derive(Debug, Clone)]
pub struct Layer {
    pub(super) values: BTreeMap<&'static str, Set>,
}

impl Layer {
    /// The first layer: the default of every key.
    pub(super) fn of_defaults() -> Self {
        // Each default is TOML: they are read once in a process, which may start thousands of simulated nodes.
        static DEFAULTS: LazyLock<Layer> = LazyLock::new(Layer::read_defaults);
        DEFAULTS.clone()
    }

    fn read_defaults() -> Self {
        let place = Place {
            layer: "the built-in defaults".into(),
            line: None,
        };
        let set = |key: &'static Key| {
            let (value, place) = (key.default_value(), place.clone());
            (key.name, Set { value, place })
        };
        Self {
            values: KEYS.iter().map(set).collect(),
        }
    }

    /// The keys that this layer sets.
    pub fn keys(&self) -> impl Iterator<Item = &'static Key> + '_ {
        KEYS.iter().filter(|key| self.values.contains_key(key.name))
    }

    /// Reads a TOML file. Errors call it `what`.
    pub(super) fn from_file(what: &'static str, path: &Path) -> Result<Self, SettingsError> {
        let text = read_limited(path).map_err(|source| SettingsError::Unreadable {
            what,
            path: path.to_owned(),
            source,
        })?;
        Self::from_text(&shown(&path.to_string_lossy()), &text)
    }

    /// Reads TOML. Errors use `name` as the name of the file.
    pub(crate) fn from_text(name: &str, text: &str) -> Result<Self, SettingsError> {
        let mut walk = Walk::new(name, text, true);
        let table = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(text.len(), |span| span.start);
            let before = &text.as_bytes()[..at.min(text.len())];
            let line_start = before.iter().rposition(|byte| *byte == b'\n');
            SettingsError::Syntax {
                place: walk.place(&(at..at)),
                column: before.len() - line_start.map_or(0, |newline| newline + 1) + 1,
                message: shown(error.message()),
            }
        })?;
        walk.table("", table.get_ref())?;
        Ok(walk.into_layer())
    }

    /// Reads the argument of one `-s`.
    ///
    /// # Errors
    /// When it is not of the form `KEY=VALUE`, the key is unknown or the value is not allowed.
    pub fn from_argument(argument: &str) -> Result<Self, SettingsError> {
        let bad = || SettingsError::BadArgument {
            argument: argument.to_owned(),
        };
        let (key, text) = split(argument).ok_or_else(bad)?;
        let key = unquote(key);
        if key.is_empty() {
            return Err(bad());
        }
        let mut walk = Walk::new(&format!("-s {}", shown(argument)), text, false);
        let as_it_stands = || Spanned::new(0..text.len(), DeValue::String(Cow::Borrowed(text)));
        let kind = lookup::find(&key).map(|key| key.kind);
        let takes_text = kind.is_some_and(Kind::takes_text);
        let takes_list = kind == Some(Kind::Paths);
        let value = match DeValue::parse(text) {
            Ok(value) if value.get_ref().is_str() || !takes_text => value,
            Ok(value) if value.get_ref().is_array() && takes_list => value,
            Ok(_) | Err(_) => as_it_stands(),
        };
        walk.value(&key, &value)?;
        Ok(walk.into_layer())
    }
}

impl Layer {
    /// Reads an environment variable that sets a key which takes a path. The value is taken as it is.
    pub(super) fn from_variable(
        variable: &str,
        key: &str,
        value: &OsStr,
    ) -> Result<Self, SettingsError> {
        let text = value.to_string_lossy();
        let mut walk = Walk::new(variable, &text, false);
        let as_it_stands = DeValue::String(Cow::Borrowed(&*text));
        walk.value(key, &Spanned::new(0..text.len(), as_it_stands))?;
        Ok(walk.into_layer())
    }
}

/// Reads a text file of limited size.
fn read_limited(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other(format!(
            "it has more than {MAX_FILE_BYTES} bytes"
        )));
    }
    decode(&bytes).map(str::to_owned).map_err(io::Error::other)
}

/// Splits at the first `=` outside of quotes.
fn split(argument: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    let mut escaped = false;
    for (at, letter) in argument.char_indices() {
        match (quote, letter) {
            (None, '=') => {
                return Some((argument[..at].trim(), argument[at + 1..].trim()));
            }
            (None, '"' | '\'') => quote = Some(letter),
            // Backslash is an escape only in double quotes.
            (Some('"'), '\\') if !escaped => {
                escaped = true;
                continue;
            }
            (Some(open), _) if letter == open && !escaped => quote = None,
            (None | Some(_), _) => {}
        }
        escaped = false;
    }
    None
}

/// The dotted name of a TOML key. Text that is not a TOML key is returned unchanged and will be an unknown key.
fn unquote(key: &str) -> String {
    let assignment = format!("{key}=0");
    let Ok(table) = DeTable::parse(&assignment) else {
        return key.to_owned();
    };
    let mut words = Vec::new();
    let mut inner = Some(table.get_ref());
    while let Some((word, value)) = inner.and_then(|table| table.iter().next()) {
        words.push(word.get_ref().as_ref());
        inner = value.get_ref().as_table();
    }
    words.join(".")
}

/// Walks through the tables of a layer and collects its settings.
struct Walk<'a> {
    layer: Arc<str>,
    text: &'a str,
    has_lines: bool,
    /// The settings so far, each with the name that was used for it.
    values: BTreeMap<&'static str, (String, Set)>,
}

impl<'a> Walk<'a> {
    fn new(layer: &str, text: &'a str, has_lines: bool) -> Self {
        Self {
            layer: layer.into(),
            text,
            has_lines,
            values: BTreeMap::new(),
        }
    }

    fn into_layer(self) -> Layer {
        let values = self.values.into_iter();
        Layer {
            values: values.map(|(key, (_, value))| (key, value)).collect(),
        }
    }

    fn table(&mut self, group: &str, table: &DeTable<'_>) -> Result<(), SettingsError> {
        for (word, value) in table {
            let name = if group.is_empty() {
                word.get_ref().clone().into_owned()
            } else {
                format!("{group}.{}", word.get_ref())
            };
            self.value(&name, value)?;
        }
        Ok(())
    }

    /// `name` is the whole dotted name, whichever parts of it were quoted.
    fn value(&mut self, name: &str, value: &Spanned<DeValue<'_>>) -> Result<(), SettingsError> {
        if let Some(key) = lookup::find(name) {
            return self.setting(key, name, value);
        }
        match (lookup::first_in_group(name), value.get_ref()) {
            (Some(_), DeValue::Table(table)) => self.table(name, table),
            (Some(example), _) => Err(SettingsError::NotATable {
                key: name.to_owned(),
                value: self.written(value),
                example,
                place: self.place(&value.span()),
            }),
            // A key inside of the unknown table shows better what was meant.
            (None, DeValue::Table(table)) if !table.is_empty() => self.table(name, table),
            (None, _) => Err(SettingsError::UnknownKey {
                key: name.to_owned(),
                value: self.written(value),
                nearest: lookup::nearest(name),
                place: self.place(&value.span()),
            }),
        }
    }

    fn setting(
        &mut self,
        key: &'static Key,
        name: &str,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), SettingsError> {
        let place = self.place(&value.span());
        let checked = match key.kind.check(value.get_ref()) {
            Ok(checked) => checked,
            Err(refusal) => return Err(self.refused(key, name, value, refusal)),
        };
        let set = Set {
            value: checked,
            place: place.clone(),
        };
        let Some((first_name, _)) = self.values.insert(key.name, (name.to_owned(), set)) else {
            return Ok(());
        };
        let value = self.written(value);
        if first_name == name {
            Err(SettingsError::SetTwice {
                key: key.name,
                value,
                place,
            })
        } else {
            Err(SettingsError::BothNames {
                key: key.name,
                older: key.older_name.unwrap_or_default(),
                value,
                place,
            })
        }
    }

    fn refused(
        &self,
        key: &Key,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        refusal: Refusal,
    ) -> SettingsError {
        let place = self.place(&value.span());
        let expected = key.kind.to_string();
        match refusal {
            Refusal::WrongType => SettingsError::WrongType {
                key: name.to_owned(),
                value: self.written(value),
                found: type_of(value.get_ref()),
                expected,
                place,
            },
            Refusal::OutOfRange => SettingsError::OutOfRange {
                key: name.to_owned(),
                value: self.written(value),
                expected,
                place,
            },
            Refusal::Impairment(source) => SettingsError::Impairment {
                key: name.to_owned(),
                value: self.written(value),
                place,
                source,
            },
            Refusal::Element(index) => {
                let list = value.get_ref().as_array().expect("an element is of a list");
                SettingsError::OutOfRange {
                    key: name.to_owned(),
                    value: format!("{} (entry {})", self.written(&list[index]), index + 1),
                    expected,
                    place: self.place(&list[index].span()),
                }
            }
            Refusal::HostPort(index, why) => {
                let list = value.get_ref().as_array().expect("an element is of a list");
                SettingsError::HostPort {
                    key: name.to_owned(),
                    number: index + 1,
                    value: self.written(&list[index]),
                    place: self.place(&list[index].span()),
                    why,
                }
            }
        }
    }

    /// The value as it was written, for an error.
    fn written(&self, value: &Spanned<DeValue<'_>>) -> String {
        match value.get_ref() {
            // A table from a heading or a dotted key has no text of its own.
            DeValue::Table(_) => "{…}".to_owned(),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_) => {
                let written = self.text.get(value.span()).unwrap_or_default();
                // Backticks make an empty value visible.
                let bare = !self.has_lines && !written.starts_with(['"', '\'']);
                match (bare, value.get_ref()) {
                    (true, DeValue::String(_)) => format!("`{}`", shown(written)),
                    _ => shown(written),
                }
            }
        }
    }

    fn place(&self, span: &Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = 1 + before.matches('\n').count();
        Place {
            layer: self.layer.clone(),
            line: u32::try_from(line).ok().filter(|_| self.has_lines),
        }
    }
}

fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
