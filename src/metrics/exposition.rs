//! The text formats.

use std::fmt::{Display, Write as _};

use super::families::{Family, Kind};
use crate::export::text;

/// A text format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposition {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus's own format, version 0.0.4, which every reader knows.
    Text,
}

impl Exposition {
    /// The format for a request with that `Accept` header: OpenMetrics if the header names it, as Prometheus's does.
    #[must_use]
    pub fn accepted(accept: Option<&str>) -> Self {
        let names = |accept: &str| {
            accept
                .to_ascii_lowercase()
                .contains("application/openmetrics-text")
        };
        if accept.is_some_and(names) {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// The media type, for HTTP's `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Writes families one after the other. Samples of one family are adjacent, as the formats require.
pub(super) struct Writer {
    out: String,
    exposition: Exposition,
    /// The family of the last sample.
    family: &'static str,
}

impl Writer {
    pub(super) fn new(exposition: Exposition) -> Self {
        Self {
            out: String::with_capacity(16 * 1024),
            exposition,
            family: "",
        }
    }

    /// Writes a sample; before it, what is to be said of its family, if it is the first one.
    pub(super) fn put(&mut self, family: &Family, labels: &[(&str, &str)], value: impl Display) {
        let suffix = match family.kind {
            Kind::Gauge => "",
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Histogram => unreachable!("a histogram has samples of several kinds"),
        };
        self.begin(family);
        self.sample(family, suffix, labels, value);
    }

    /// Writes the buckets of a histogram, each with its upper bound and the count of values up to it, and all values' count and sum.
    pub(super) fn put_histogram(
        &mut self,
        family: &Family,
        buckets: impl Iterator<Item = (&'static str, u64)>,
        count: u64,
        sum: impl Display,
    ) {
        self.begin(family);
        for (bound, count) in buckets.chain([("+Inf", count)]) {
            self.sample(family, "_bucket", &[("le", bound)], count);
        }
        let (of_count, of_sum) = match self.exposition {
            Exposition::OpenMetrics => ("_gcount", "_gsum"),
            Exposition::Text => ("_count", "_sum"),
        };
        self.sample(family, of_count, &[], count);
        self.sample(family, of_sum, &[], sum);
    }

    pub(super) fn finish(mut self) -> String {
        if self.exposition == Exposition::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }

    fn begin(&mut self, family: &Family) {
        if std::mem::replace(&mut self.family, family.name) == family.name {
            return;
        }
        let Family {
            name,
            kind,
            unit,
            help,
            ..
        } = family;
        let (name, kind) = match (self.exposition, kind) {
            (Exposition::OpenMetrics, kind) => ((*name).to_owned(), kind.name()),
            (Exposition::Text, Kind::Counter) => (format!("{name}_total"), "counter"),
            (Exposition::Text, Kind::Info) => (format!("{name}_info"), "gauge"),
            (Exposition::Text, Kind::Gauge) => ((*name).to_owned(), "gauge"),
            (Exposition::Text, Kind::Histogram) => ((*name).to_owned(), "histogram"),
        };
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        if self.exposition == Exposition::OpenMetrics && !unit.is_empty() {
            self.write(format_args!("# UNIT {name} {unit}\n"));
        }
    }

    fn sample(
        &mut self,
        family: &Family,
        suffix: &str,
        labels: &[(&str, &str)],
        value: impl Display,
    ) {
        self.write(format_args!("{}{suffix}", family.name));
        let mut separator = '{';
        for (name, text) in labels {
            self.write(format_args!("{separator}{name}=\""));
            self.put_escaped(text);
            self.out.push('"');
            separator = ',';
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        self.write(format_args!(" {value}\n"));
    }

    /// Both formats escape the same three characters.
    fn put_escaped(&mut self, text: &str) {
        for character in text::plain(text) {
            match character {
                '\\' => self.out.push_str("\\\\"),
                '"' => self.out.push_str("\\\""),
                '\n' => self.out.push_str("\\n"),
                _ => self.out.push(character),
            }
        }
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.out
            .write_fmt(text)
            .expect("a write to a String can't fail");
    }
}
