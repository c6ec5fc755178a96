//! The tuned constants of the core, each in the `Tuning` of its owner.
//!
//! A node runs with the defaults: these are no settings, since whoever changes one must know what the others assume. A simulation may vary
//! them (`[tuning]` in a scenario), to find out what a value is good for. The documentation of each says what it bounds, why it
//! has this value, what breaks when it is halved or doubled, and which scenario shows that, as far as that is known. Values that
//! depend on each other are coupled at compile time, at the end of this file.

pub(super) mod coordinator;
pub(super) mod echo;
pub(super) mod figures;
pub(super) mod gossip;
pub(super) mod links;
pub(super) mod meet;
pub(super) mod overlay;
pub(super) mod own_record;
pub(super) mod pace;
pub(super) mod view;

use std::fmt;
use std::time::Duration;

/// All tuned constants.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuning {
    /// Links, and whether they are alive.
    pub links: links::Tuning,
    /// Records between neighbours.
    pub gossip: gossip::Tuning,
    /// Whom to link with.
    pub overlay: overlay::Tuning,
    /// When a node's own record is due.
    pub own_record: own_record::Tuning,
    /// What is measured on links, and when it is told.
    pub figures: figures::Tuning,
    /// Rendezvous of nodes that no dial connects.
    pub meet: meet::Tuning,
    /// Echoes, which measure paths.
    pub echo: echo::Tuning,
    /// What depends on the size of the network.
    pub pace: pace::Tuning,
    /// The records of all nodes.
    pub view: view::Tuning,
    /// What the core does when it ran late, and when it leaves.
    pub coordinator: coordinator::Tuning,
}

impl Default for Tuning {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Tuning {
    /// What a node runs with.
    pub const DEFAULT: Self = Self {
        links: links::Tuning::DEFAULT,
        gossip: gossip::Tuning::DEFAULT,
        overlay: overlay::Tuning::DEFAULT,
        own_record: own_record::Tuning::DEFAULT,
        figures: figures::Tuning::DEFAULT,
        meet: meet::Tuning::DEFAULT,
        echo: echo::Tuning::DEFAULT,
        pace: pace::Tuning::DEFAULT,
        view: view::Tuning::DEFAULT,
        coordinator: coordinator::Tuning::DEFAULT,
    };

    /// Sets one constant, by the name of its owner and its own, as in `links.parked`.
    ///
    /// # Errors
    /// If there is no such constant, or the value is of another kind or out of its bounds.
    pub fn set(&mut self, name: &str, value: Value) -> Result<(), TuningError> {
        let unknown = || TuningError::Unknown(name.to_owned());
        let (owner, field) = name.split_once('.').ok_or_else(unknown)?;
        let set = match owner {
            "links" => self.links.set(field, value),
            "gossip" => self.gossip.set(field, value),
            "overlay" => self.overlay.set(field, value),
            "own_record" => self.own_record.set(field, value),
            "figures" => self.figures.set(field, value),
            "meet" => self.meet.set(field, value),
            "echo" => self.echo.set(field, value),
            "pace" => self.pace.set(field, value),
            "view" => self.view.set(field, value),
            "coordinator" => self.coordinator.set(field, value),
            _ => None,
        };
        set.ok_or_else(unknown)?
            .map_err(|error| error.owned_by(owner))
    }

    /// All constants, owner by owner.
    #[must_use]
    pub fn all() -> Vec<Constant> {
        let owners: [(&'static str, &[Field]); 10] = [
            ("links", links::Tuning::FIELDS),
            ("gossip", gossip::Tuning::FIELDS),
            ("overlay", overlay::Tuning::FIELDS),
            ("own_record", own_record::Tuning::FIELDS),
            ("figures", figures::Tuning::FIELDS),
            ("meet", meet::Tuning::FIELDS),
            ("echo", echo::Tuning::FIELDS),
            ("pace", pace::Tuning::FIELDS),
            ("view", view::Tuning::FIELDS),
            ("coordinator", coordinator::Tuning::FIELDS),
        ];
        let constants = owners.iter().flat_map(|(owner, fields)| {
            fields.iter().map(move |field| Constant {
                name: format!("{owner}.{}", field.name),
                kind: field.kind,
                default: field.default,
                least: field.least,
                most: field.most,
                doc: field.doc,
            })
        });
        constants.collect()
    }
}

/// One of the constants.
#[derive(Debug, Clone, PartialEq)]
pub struct Constant {
    /// Its owner's name and its own.
    pub name: String,
    /// What kind of value it takes.
    pub kind: Kind,
    /// What a node runs with.
    pub default: Value,
    /// The least value that a simulation may give it.
    pub least: Value,
    /// The greatest value that a simulation may give it.
    pub most: Value,
    /// What it bounds, and why it has this value.
    pub doc: &'static str,
}

/// The same, without its owner.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) default: Value,
    pub(super) least: Value,
    pub(super) most: Value,
    pub(super) doc: &'static str,
}

/// What kind of value a constant takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A time.
    Time,
    /// A whole number.
    Count,
    /// Any number.
    Number,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Time => "a time",
            Self::Count => "a whole number",
            Self::Number => "a number",
        })
    }
}

/// A constant's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A time.
    Time(Duration),
    /// A number, whole where the constant is a count.
    Number(f64),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(time) => fmt_time(*time, f),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

/// Writes a time as scenarios do, in the largest unit that needs no fraction.
fn fmt_time(time: Duration, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const UNITS: [(u128, &str); 5] = [
        (3_600_000_000_000, "h"),
        (60_000_000_000, "min"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
    ];
    let nanos = time.as_nanos();
    if nanos == 0 {
        return f.write_str("0s");
    }
    let whole = UNITS.iter().find(|(unit, _)| nanos.is_multiple_of(*unit));
    match whole {
        Some((unit, name)) => write!(f, "{}{name}", nanos / unit),
        None => write!(f, "{}us", nanos as f64 / 1000.0),
    }
}

/// A constant can't be set.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TuningError {
    /// No constant has this name.
    #[error("there is no constant `{0}`")]
    Unknown(String),
    /// It takes values of another kind.
    #[error("{name} takes {kind}, not {value}")]
    Kind {
        /// The constant.
        name: String,
        /// What it takes.
        kind: Kind,
        /// What it was given.
        value: Value,
    },
    /// The value is out of bounds.
    #[error("{name} must be between {least} and {most}, not {value}")]
    Bounds {
        /// The constant.
        name: String,
        /// What it was given.
        value: Value,
        /// The least value.
        least: Value,
        /// The greatest value.
        most: Value,
    },
}

impl TuningError {
    /// The same, with the owner's name before that of the constant.
    fn owned_by(mut self, owner: &str) -> Self {
        match &mut self {
            Self::Unknown(name) | Self::Kind { name, .. } | Self::Bounds { name, .. } => {
                *name = format!("{owner}.{name}");
            }
        }
        self
    }
}

/// A type of constants.
pub(super) trait Tuned: Copy + PartialOrd {
    const KIND: Kind;

    fn of(value: Value) -> Option<Self>;
}

impl Tuned for Duration {
    const KIND: Kind = Kind::Time;

    fn of(value: Value) -> Option<Self> {
        match value {
            Value::Time(time) => Some(time),
            Value::Number(_) => None,
        }
    }
}

impl Tuned for f64 {
    const KIND: Kind = Kind::Number;

    fn of(value: Value) -> Option<Self> {
        match value {
            Value::Number(number) if number.is_finite() => Some(number),
            Value::Number(_) | Value::Time(_) => None,
        }
    }
}

impl Tuned for u32 {
    const KIND: Kind = Kind::Count;

    fn of(value: Value) -> Option<Self> {
        let number = f64::of(value)?;
        let is_count = number.fract() == 0.0 && (0.0..=f64::from(Self::MAX)).contains(&number);
        is_count.then_some(number as Self)
    }
}

impl Tuned for usize {
    const KIND: Kind = Kind::Count;

    fn of(value: Value) -> Option<Self> {
        Self::try_from(u32::of(value)?).ok()
    }
}

/// The values of constants, where the macro knows their types only by name.
pub(super) const fn time(value: Duration) -> Value {
    Value::Time(value)
}

pub(super) const fn number(value: f64) -> Value {
    Value::Number(value)
}

/// Sets a field within its bounds.
pub(super) fn set<T: Tuned>(
    field: &mut T,
    name: &str,
    value: Value,
    (least, most): (T, T),
    show: impl Fn(T) -> Value,
) -> Result<(), TuningError> {
    let Some(new) = T::of(value) else {
        return Err(TuningError::Kind {
            name: name.to_owned(),
            kind: T::KIND,
            value,
        });
    };
    if !(least <= new && new <= most) {
        let (least, most) = (show(least), show(most));
        return Err(TuningError::Bounds {
            name: name.to_owned(),
            value,
            least,
            most,
        });
    }
    *field = new;
    Ok(())
}

/// Declares the `Tuning` of an owner: a struct with a public field for each constant, its default, and its bounds in a simulation.
///
/// ```text
/// tuning! {
///     /// What the fields are about.
///     struct Tuning {
///         /// What it bounds, why this value, what breaks at half and at double.
///         parked: Duration = Duration::from_secs(10), Duration::from_secs(1) => Duration::from_secs(3600);
///         /// …
///         misses: u32 = 4, 1 => 40;
///     }
/// }
/// ```
macro_rules! tuning {
    (@show Duration, $value:expr) => { $crate::membership::tuning::time($value) };
    (@show $kind:ident, $value:expr) => { $crate::membership::tuning::number($value as f64) };
    ($(#[$about:meta])* struct Tuning {
        $( $(#[doc = $doc:literal])* $name:ident: $kind:ident = $default:expr, $least:expr => $most:expr; )*
    }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct Tuning {
            $( $(#[doc = $doc])* pub $name: $kind, )*
        }

        impl Tuning {
            /// What a node runs with.
            pub const DEFAULT: Self = Self { $( $name: $default, )* };

            /// The fields, in their order.
            #[expect(clippy::allow_attributes, reason = "a cast is needed for some of the types only")]
            #[allow(clippy::unnecessary_cast, reason = "f64 is shown as it is")]
            pub(in crate::membership) const FIELDS: &'static [$crate::membership::tuning::Field] = &[$(
                $crate::membership::tuning::Field {
                    name: stringify!($name),
                    kind: <$kind as $crate::membership::tuning::Tuned>::KIND,
                    default: tuning!(@show $kind, Self::DEFAULT.$name),
                    least: tuning!(@show $kind, $least),
                    most: tuning!(@show $kind, $most),
                    doc: concat!($($doc, "\n"),*),
                },
            )*];

            /// Sets the field of that name; `None` if there is none.
            #[allow(clippy::unnecessary_cast, reason = "f64 is shown as it is")]
            pub(in crate::membership) fn set(
                &mut self,
                name: &str,
                value: $crate::membership::tuning::Value,
            ) -> Option<Result<(), $crate::membership::tuning::TuningError>> {
                match name {
                    $( stringify!($name) => Some($crate::membership::tuning::set(
                        &mut self.$name,
                        stringify!($name),
                        value,
                        ($least, $most),
                        |shown: $kind| tuning!(@show $kind, shown),
                    )), )*
                    _ => None,
                }
            }
        }
    };
}
pub(super) use tuning;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_is_set_by_its_name_within_its_bounds() {
        let mut tuning = Tuning::default();
        let second = Value::Time(Duration::from_secs(1));
        assert_eq!(tuning.set("pace.plan_wait", second), Ok(()));
        assert_eq!(tuning.pace.plan_wait, Duration::from_secs(1));
        let hour = Value::Time(Duration::from_secs(3600));
        for (name, value, wrong) in [
            (
                "pace.plan_wait",
                Value::Number(1.0),
                "pace.plan_wait takes a time, not 1",
            ),
            (
                "pace.small",
                Value::Number(0.5),
                "pace.small takes a whole number, not 0.5",
            ),
            (
                "pace.plan_wait",
                hour,
                "pace.plan_wait must be between 0s and 1min, not 1h",
            ),
        ] {
            let error = tuning.set(name, value).unwrap_err();
            assert_eq!(error.to_string(), wrong);
        }
        for unknown in ["pace.none", "plan_wait", "other.plan_wait"] {
            let error = tuning.set(unknown, second).unwrap_err();
            assert_eq!(error, TuningError::Unknown(unknown.to_owned()));
        }
    }

    #[test]
    fn times_are_written_as_in_scenarios() {
        for (micros, text) in [
            (0, "0s"),
            (100, "100us"),
            (1_500, "1500us"),
            (2_500_000, "2500ms"),
            (60_000_000, "1min"),
            (90_000_000, "90s"),
            (7_200_000_000, "2h"),
        ] {
            let time = Value::Time(Duration::from_micros(micros));
            assert_eq!(time.to_string(), text);
        }
        let half = Value::Time(Duration::from_nanos(500));
        assert_eq!(half.to_string(), "0.5us");
    }

    #[test]
    fn every_default_is_within_its_bounds() {
        for constant in Tuning::all() {
            let set = Tuning::default().set(&constant.name, constant.default);
            assert_eq!(set, Ok(()), "{}", constant.name);
            assert!(
                constant.doc.len() > 20,
                "{} is not explained",
                constant.name
            );
        }
    }
}
