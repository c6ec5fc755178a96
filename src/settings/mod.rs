//! The settings of a node, typed and checked.
//!
//! Settings come in layers, each overriding the one below: the defaults that are built in, `CONFIG/network/default.toml`,
//! `CONFIG/network/<profile>.toml`, and each `-s` in the order given. Every layer is checked by itself against the one
//! table of keys ([`KEYS`]), so that an error names the layer that is at fault, also where a higher one would have
//! hidden it. [`Settings::load`] reads files and writes none; whoever holds [`Settings`] needs no further check.

mod error;
#[cfg(test)]
mod files;
mod folder;
mod key;
mod keys;
mod kind;
mod layer;
mod lookup;
mod shown;
mod start;
mod targets;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

pub use self::error::{Place, SettingsError};
pub use self::key::Key;
pub use self::keys::{KEYS, Settings};
use self::kind::Value;
pub use self::kind::{Kind, Unit};
pub use self::layer::Layer;
pub use self::start::CoreStart;
use self::targets::Targets;
pub use self::targets::{MAX_TARGET_BYTES, MAX_TARGETS, TargetsError};

/// The profile of a node that was given none.
pub const DEFAULT_PROFILE: &str = "default";

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

impl LogFormat {
    fn from_word(word: &str) -> Option<Self> {
        match word {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

impl Settings {
    /// Reads and checks all the settings of the profile (or of [`DEFAULT_PROFILE`]) in the configuration folder, with
    /// the arguments of every `-s` over them, in order. Then reads the file of targets, where one is set.
    ///
    /// # Errors
    /// When anything is missing, unreadable, unknown, of the wrong type or out of range; nothing was written.
    pub fn load(
        config_dir: &Path,
        profile: Option<&str>,
        overrides: &[String],
    ) -> Result<Self, SettingsError> {
        let profile = profile.unwrap_or(DEFAULT_PROFILE);
        let mut layers = folder::layers(config_dir, profile)?;
        for argument in overrides {
            layers.push(Layer::from_argument(argument)?);
        }
        Values::of_layers(layers).into_settings(profile)
    }

    /// The built-in defaults under the profile [`DEFAULT_PROFILE`], with these layers over them, in order.
    ///
    /// # Errors
    /// When settings contradict each other, or the file of targets is unusable.
    pub fn of_layers(layers: Vec<Layer>) -> Result<Self, SettingsError> {
        Values::of_layers(layers).into_settings(DEFAULT_PROFILE)
    }
}

impl Default for Settings {
    /// The built-in defaults under the profile [`DEFAULT_PROFILE`].
    fn default() -> Self {
        Self::of_layers(Vec::new()).expect("the defaults agree with each other and name no file")
    }
}

/// A value, and where it was set.
#[derive(Debug, Clone)]
struct Set {
    value: Value,
    place: Place,
}

/// All the layers in one: every key has a value that passed its check, and knows where it was set.
#[derive(Debug)]
struct Values(BTreeMap<&'static str, Set>);

impl Values {
    fn of_layers(layers: Vec<Layer>) -> Self {
        let mut values = Layer::of_defaults().values;
        for layer in layers {
            values.extend(layer.values);
        }
        Self(values)
    }

    fn into_settings(self, profile: &str) -> Result<Settings, SettingsError> {
        self.check_against_each_other()?;
        let mut settings = Settings::of_values(&self);
        profile.clone_into(&mut settings.profile);
        if settings.label.is_empty() {
            profile.clone_into(&mut settings.label);
        }
        let listen = SocketAddr::new(settings.listen_addr, settings.listen_port);
        let targets = self.targets(&settings.target_path, listen)?;
        settings.targets = targets.others;
        settings.skipped_own = targets.own;
        Ok(settings)
    }

    fn targets(&self, path: &str, listen: SocketAddr) -> Result<Targets, SettingsError> {
        if path.is_empty() {
            return Ok(Targets::default());
        }
        Targets::from_file(Path::new(path), listen).map_err(|source| SettingsError::Targets {
            path: path.to_owned(),
            place: self.set(TARGET_PATH).place.clone(),
            source,
        })
    }

    /// Demands of each number that it be at least what others demand of it.
    fn check_against_each_other(&self) -> Result<(), SettingsError> {
        for key in KEYS {
            for &(other_key, offset) in key.at_least {
                let (value, other) = (self.number(key.name), self.number(other_key));
                let least = other.saturating_add(offset);
                if value < least {
                    return Err(SettingsError::Contradiction {
                        key: key.name,
                        value,
                        place: self.set(key.name).place.clone(),
                        least,
                        other_key,
                        other,
                        other_place: self.set(other_key).place.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    fn set(&self, key: &str) -> &Set {
        self.0.get(key).expect("the defaults have every key")
    }

    fn get(&self, key: &str) -> &Value {
        &self.set(key).value
    }

    fn number(&self, key: &str) -> i64 {
        match self.get(key) {
            Value::Number(number) => *number,
            other => unreachable!("`{key}` is compared, and is {other:?}"),
        }
    }
}

/// The key that errors of target files name.
const TARGET_PATH: &str = "network.controller.target.path";

#[cfg(test)]
mod tests;
