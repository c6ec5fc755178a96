//! The settings of a node, typed and checked.
//!
//! Settings come in layers, and each layer overrides the one before it: the built-in defaults, `CONFIG/network/default.toml`,
//! `CONFIG/network/<profile>.toml`, the variable [`KEY_FILE_VARIABLE`], and each `-s` in the order given. Every layer is checked by itself against the table of
//! keys ([`KEYS`]). So a mistake is reported with the layer that contains it, even if a later layer overrides the value.
//! [`Settings::load`] reads files and writes none. A [`Settings`] value needs no further check.
//!
//! To add a setting, add an entry to the list in `keys.rs`; that makes the field, its check and its documentation.

mod error;
#[cfg(test)]
mod files;
mod folder;
mod host_port;
mod key;
mod keys;
mod kind;
mod layer;
mod lookup;
mod shown;
mod start;
mod targets;
mod text;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;

pub use self::error::{Place, SettingsError};
pub use self::host_port::{HostPort, HostPortError};
pub use self::key::Key;
pub use self::keys::{KEYS, Settings};
use self::kind::Value;
pub use self::kind::{Kind, Unit};
pub use self::layer::Layer;
pub use self::start::CoreStart;
pub use self::targets::{MAX_TARGET_BYTES, MAX_TARGETS, NamedTarget, TargetsError};
pub(crate) use self::targets::{Targets, leads_to};
pub use self::text::EncodingError;

/// The profile of a node that was started without `-p`.
pub const DEFAULT_PROFILE: &str = "default";

/// The environment variable that names the file of the network key. It overrides the settings files, and `-s` overrides it.
pub const KEY_FILE_VARIABLE: &str = "AREA_NET_KEY_FILE";

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line, for programs.
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

/// Where a node looks for others besides its targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discovery {
    /// Nowhere.
    Off,
    /// On its links, by beacons.
    Lan,
}

impl Discovery {
    fn from_word(word: &str) -> Option<Self> {
        match word {
            "off" => Some(Self::Off),
            "lan" => Some(Self::Lan),
            _ => None,
        }
    }
}

/// Which part of the network `peers.d2` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    /// All of a small network, and a tree of a larger one.
    Auto,
    /// All nodes and links.
    All,
    /// This node, its neighbours, and the links between them.
    Mine,
    /// The shortest path from this node to every other.
    Tree,
}

impl Shows {
    fn from_word(word: &str) -> Option<Self> {
        match word {
            "auto" => Some(Self::Auto),
            "all" => Some(Self::All),
            "mine" => Some(Self::Mine),
            "tree" => Some(Self::Tree),
            _ => None,
        }
    }
}

impl Settings {
    /// Reads and checks all settings of a profile (`None`: [`DEFAULT_PROFILE`]) in the configuration folder. `key_file` is the value
    /// of [`KEY_FILE_VARIABLE`], and `overrides` are the arguments of `-s`, in order. Then reads the target file, if one is set.
    ///
    /// # Errors
    /// When anything is missing, unreadable, unknown, of the wrong type or out of range. Nothing was written then.
    pub fn load(
        config_dir: &Path,
        profile: Option<&str>,
        key_file: Option<&OsStr>,
        overrides: &[String],
    ) -> Result<Self, SettingsError> {
        let profile = profile.unwrap_or(DEFAULT_PROFILE);
        let mut layers = folder::layers(config_dir, profile)?;
        if let Some(path) = key_file.filter(|path| !path.is_empty()) {
            layers.push(Layer::from_variable(KEY_FILE_VARIABLE, NETWORK_KEY, path)?);
        }
        for argument in overrides {
            layers.push(Layer::from_argument(argument)?);
        }
        Values::of_layers(layers).into_settings(profile)
    }

    /// The settings of [`DEFAULT_PROFILE`]: the built-in defaults, overridden by these layers in order.
    ///
    /// # Errors
    /// When settings contradict each other, or the target file is unusable.
    pub fn of_layers(layers: Vec<Layer>) -> Result<Self, SettingsError> {
        Values::of_layers(layers).into_settings(DEFAULT_PROFILE)
    }
}

impl Default for Settings {
    /// The built-in defaults, for [`DEFAULT_PROFILE`].
    fn default() -> Self {
        Self::of_layers(Vec::new()).expect("the defaults agree with each other and name no file")
    }
}

/// A value and the place where it was set.
#[derive(Debug, Clone)]
struct Set {
    value: Value,
    place: Place,
}

/// All layers merged: the checked value of every key.
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
        if settings.discovery == Discovery::Lan && settings.listen_addr.is_loopback() {
            return Err(SettingsError::HiddenFromLan {
                listen: settings.listen_addr,
                listen_place: self.set(LISTEN_ADDR).place.clone(),
                place: self.set(DISCOVERY).place.clone(),
            });
        }
        let listen = SocketAddr::new(settings.listen_addr, settings.listen_port);
        let targets = self.targets(&settings.target_path, listen)?;
        settings.targets = targets.others;
        settings.named_targets = targets.named;
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

    /// Checks each number against the numbers of other keys that bound it ([`Key::at_least`]).
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

/// The key whose place an error in a target file names.
const TARGET_PATH: &str = "network.controller.target.path";
/// The key that [`KEY_FILE_VARIABLE`] sets.
const NETWORK_KEY: &str = "network.key";
/// The keys whose places the error of discovery on loopback names.
const DISCOVERY: &str = "network.controller.discovery";
const LISTEN_ADDR: &str = "network.controller.listen.addr";

#[cfg(test)]
mod tests;
