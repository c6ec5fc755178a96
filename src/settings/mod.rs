//! The settings of a node, typed and checked.
//!
//! Settings come in layers, each overriding the one below: the defaults that are built in, `CONFIG/network/default.toml`,
//! `CONFIG/network/<profile>.toml`, and each `-s` in the order given. Every layer is checked by itself against one
//! table of keys ([`KEYS`]), so that an error names the layer that is at fault, also where a higher one would have
//! hidden it. [`Settings::load`] reads files and writes none; whoever holds [`Settings`] needs no further check.

mod error;
mod folder;
mod layer;
mod schema;
mod targets;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use config::{Config, Value, ValueKind};

pub use self::error::{Place, SettingsError, TargetsError};
use self::layer::Layer;
use self::schema::key;
pub use self::schema::{KEYS, Key, Kind};
use self::targets::Targets;
pub use self::targets::{MAX_TARGET_BYTES, MAX_TARGETS};
use crate::impair::Rules;
use crate::wire::NodeId;

/// The profile of a node that was given none.
pub const DEFAULT_PROFILE: &str = "default";

/// The shipped `default.toml`: what holds where a user's own, perhaps older, copy leaves a key out.
const BUILT_IN: &str = include_str!("../../config/network/default.toml");

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// Everything a node needs to know before it starts; all of it is checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The profile, or `default`; names the folders under `profiles/` and `certs/`.
    pub profile: String,
    /// `label`: what people call the node.
    pub label: String,
    /// `log.level`.
    pub log_level: tracing::Level,
    /// `log.format`.
    pub log_format: LogFormat,
    /// `network.name`: only nodes with the same name form a network.
    pub network: String,
    /// `network.allow`: if not empty, the only nodes to talk to.
    pub allow: Vec<NodeId>,
    /// `network.controller.listen.addr`.
    pub listen_addr: IpAddr,
    /// `network.controller.listen.port`; 0 lets the system choose.
    pub listen_port: u16,
    /// The addresses in the file of `network.controller.target.path`.
    pub targets: Vec<SocketAddr>,
    /// The entries of that file that are this node's own address; not among the targets, and worth a word in the log.
    pub skipped_own: Vec<SocketAddr>,
    /// `network.controller.d2`: write `peers.d2`.
    pub d2: bool,
    /// `network.controller.impair`: what happens to what this node sends.
    pub impair: Rules,
    /// `network.controller.probe.interval_ms`.
    pub probe_interval_ms: u16,
    /// `network.controller.degree.full_mesh`: up to so many nodes, everybody links with everybody.
    pub full_mesh: usize,
    /// `network.controller.degree.target`: about so many links above that.
    pub degree_target: usize,
    /// `network.controller.degree.cap`: never more links than this.
    pub degree_cap: usize,
    /// `network.controller.dial.at_once`: so many dials at a time.
    pub dials_at_once: usize,
    /// `network.controller.dial.timeout_ms`: when a dial is given up.
    pub dial_timeout_ms: u64,
    /// `network.controller.refresh.bytes_per_s`: what news of round-trip times alone may cost this node, in bytes a second.
    pub refresh_bytes_per_s: u32,
    /// `network.controller.memory.forget_after_s`: how long the record of a node that is not up is kept.
    pub forget_after_s: u64,
    /// `network.controller.memory.addresses_for_days`: how long addresses that worked are kept on disk.
    pub addresses_for_days: u64,
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
        Merged::from_layers(layers).into_settings(profile)
    }
}

impl Settings {
    /// The built-in defaults under the profile [`DEFAULT_PROFILE`], with the arguments of every `-s` over them, in order.
    ///
    /// # Errors
    /// When an argument is unknown, of the wrong type or out of range, or they contradict each other.
    pub fn from_arguments(arguments: &[String]) -> Result<Self, SettingsError> {
        let layers: Result<Vec<Layer>, SettingsError> = arguments
            .iter()
            .map(|text| Layer::from_argument(text))
            .collect();
        Merged::from_layers(layers?).into_settings(DEFAULT_PROFILE)
    }
}

impl Default for Settings {
    /// The built-in defaults under the profile [`DEFAULT_PROFILE`].
    fn default() -> Self {
        Merged::from_layers(Vec::new())
            .into_settings(DEFAULT_PROFILE)
            .expect("the defaults agree with each other and name no file")
    }
}

/// All the layers in one: every key has a value that passed its check, and knows where it was set.
struct Merged(Config);

impl Merged {
    fn from_layers(layers: Vec<Layer>) -> Self {
        let built_in = Layer::from_text("the built-in defaults", BUILT_IN)
            .expect("the built-in defaults pass their own checks");
        let builder = Config::builder().add_source(built_in);
        let merged = layers
            .into_iter()
            .fold(builder, |builder, layer| builder.add_source(layer))
            .build();
        Self(merged.expect("a checked layer merges"))
    }

    fn into_settings(self, profile: &str) -> Result<Settings, SettingsError> {
        self.at_least(key::DEGREE_CAP, key::DEGREE_TARGET, 0)?;
        // In a full mesh everybody has a link with everybody else.
        self.at_least(key::DEGREE_CAP, key::FULL_MESH, -1)?;
        let listen_addr = self.text(key::LISTEN_ADDR).parse().expect(CHECKED);
        let listen_port = self.number(key::LISTEN_PORT);
        let targets = self.targets(SocketAddr::new(listen_addr, listen_port))?;
        let label = match self.text(key::LABEL) {
            empty if empty.is_empty() => profile.to_owned(),
            label => label,
        };
        Ok(Settings {
            profile: profile.to_owned(),
            label,
            log_level: self.text(key::LOG_LEVEL).parse().expect(CHECKED),
            log_format: match self.text(key::LOG_FORMAT).as_str() {
                "json" => LogFormat::Json,
                _ => LogFormat::Text,
            },
            network: self.text(key::NETWORK),
            allow: self.node_ids(key::ALLOW),
            listen_addr,
            listen_port,
            targets: targets.others,
            skipped_own: targets.own,
            d2: self.value(key::D2).clone().into_bool().expect(CHECKED),
            impair: self.text(key::IMPAIR).parse().expect(CHECKED),
            probe_interval_ms: self.number(key::PROBE_INTERVAL),
            full_mesh: self.number(key::FULL_MESH),
            degree_target: self.number(key::DEGREE_TARGET),
            degree_cap: self.number(key::DEGREE_CAP),
            dials_at_once: self.number(key::DIALS_AT_ONCE),
            dial_timeout_ms: self.number(key::DIAL_TIMEOUT),
            refresh_bytes_per_s: self.number(key::REFRESH),
            forget_after_s: self.number(key::FORGET_AFTER),
            addresses_for_days: self.number(key::ADDRESSES_FOR),
        })
    }

    fn targets(&self, listen: SocketAddr) -> Result<Targets, SettingsError> {
        let path = self.text(key::TARGET_PATH);
        if path.is_empty() {
            return Ok(Targets::default());
        }
        Targets::from_file(Path::new(&path), listen).map_err(|source| SettingsError::Targets {
            path,
            place: self.place(key::TARGET_PATH),
            source,
        })
    }

    /// Demands that one number be at least another, give or take `offset`.
    fn at_least(
        &self,
        key: &'static str,
        other_key: &'static str,
        offset: i64,
    ) -> Result<(), SettingsError> {
        let (value, other): (i64, i64) = (self.number(key), self.number(other_key));
        let least = other + offset;
        if value >= least {
            return Ok(());
        }
        Err(SettingsError::Contradiction {
            key,
            value,
            place: self.place(key),
            least,
            other_key,
            other,
            other_place: self.place(other_key),
        })
    }

    fn value(&self, key: &str) -> &Value {
        key.split('.').fold(&self.0.cache, |value, word| {
            let inner = match &value.kind {
                ValueKind::Table(table) => table.get(word),
                _ => None,
            };
            inner.expect("the built-in defaults have every key")
        })
    }

    fn place(&self, key: &str) -> String {
        let origin = self.value(key).origin();
        origin.expect("a checked value knows its place").to_owned()
    }

    fn text(&self, key: &str) -> String {
        self.value(key).clone().into_string().expect(CHECKED)
    }

    fn number<T: TryFrom<i64>>(&self, key: &str) -> T {
        let number = self.value(key).clone().into_int().expect(CHECKED);
        T::try_from(number).ok().expect(CHECKED)
    }

    fn node_ids(&self, key: &str) -> Vec<NodeId> {
        let list = self.value(key).clone().into_array().expect(CHECKED);
        list.into_iter()
            .map(|id| NodeId::from_hex(&id.into_string().expect(CHECKED)).expect(CHECKED))
            .collect()
    }
}

const CHECKED: &str = "every layer was checked against the table of keys";

#[cfg(test)]
mod tests;
