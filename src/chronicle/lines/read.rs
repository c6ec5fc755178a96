//! Reads lines.

use super::{FORMAT, Header, Line, VERSION, end_of_line};
use crate::chronicle::frame::{Figures, Frame};
use crate::chronicle::picture::Picture;
use crate::chronicle::store::Entry;

/// Why a recording can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// It is not a recording at all.
    #[error("line 1: this is not a recording of area-net: {0}")]
    NoHeader(String),
    /// It was written by a later version.
    #[error(
        "line 1: the recording has version {0} of the format, and this program reads up to version {VERSION}"
    )]
    Later(u32),
    /// A line is not what it should be.
    #[error("line {line}: {why}")]
    Line {
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
}

/// Reads the header.
///
/// # Errors
/// When it is none, or of a later version.
pub fn read_header(line: &str) -> Result<Header, BadLine> {
    let not = |error: serde_json::Error| BadLine::NoHeader(error.to_string());
    let header: Header = serde_json::from_str(line).map_err(not)?;
    if header.format != FORMAT {
        let why = format!("its format is {:?}", header.format);
        return Err(BadLine::NoHeader(why));
    }
    if header.version > VERSION {
        return Err(BadLine::Later(header.version));
    }
    Ok(header)
}

/// Reads any line but the first. `None`: it contains nothing for a history, such as the places on a map.
///
/// # Errors
/// In words, without the number of the line.
pub fn read_line(line: &str) -> Result<Option<Entry>, String> {
    let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
    if let Some(event) = line.event {
        return Ok(Some(Entry::Event(event.event(line.at))));
    }
    let mut frame = Frame {
        at_ms: line.at,
        origin_ms: line.origin,
        cut_off: line.cut_off,
        impaired: line.impaired,
        differing: line.differing,
        rejected: line.rejected.into_iter().collect(),
        ..Frame::default()
    };
    let (mut nodes, mut links) = (line.nodes, line.links);
    if let Some(view) = line.view {
        frame.whole = Some(view.me);
        frame.cut_off = Some(view.cut_off);
        frame.impaired = Some(view.impaired);
        frame.differing = Some(view.differing);
        frame.rejected = view.rejected.into_iter().collect();
        (nodes, links) = (view.nodes, view.links);
    }
    for node in nodes {
        node.put(&mut frame)?;
    }
    for link in links {
        link.put(&mut frame)?;
    }
    for (l, rtt_us, measured, loss_permille, stale) in line.figures {
        let figures = Figures {
            rtt_us,
            age_ms: line.at.saturating_sub(measured),
            stale: stale != 0,
            loss_permille,
        };
        frame.figures.push((l, figures));
    }
    for (l, rtt_us, measured, loss) in line.others {
        let other = rtt_us.map(|rtt_us| end_of_line((rtt_us, measured, loss)));
        frame.others.push((l, other));
    }
    frame.disputed = line.disputed;
    Ok((!frame.is_empty()).then_some(Entry::Frame(Box::new(frame))))
}

/// Reads a recording line by line, and checks that its frames follow from each other.
#[derive(Debug)]
pub struct Reader {
    header: Header,
    picture: Picture,
    lines: usize,
}

impl Reader {
    /// Begins with the header, the first line.
    ///
    /// # Errors
    /// When it is none, or of a later version.
    pub fn begin(header: &str) -> Result<Self, BadLine> {
        let header = read_header(header)?;
        Ok(Self {
            picture: Picture::new(header.network.clone()),
            header,
            lines: 1,
        })
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The view after the last line.
    #[must_use]
    pub fn picture(&self) -> &Picture {
        &self.picture
    }

    /// Reads the next line. `None`: it contains nothing for a history.
    ///
    /// # Errors
    /// When the line is not what it should be, or doesn't follow from the ones before.
    pub fn next(&mut self, line: &str) -> Result<Option<Entry>, BadLine> {
        self.lines += 1;
        let number = self.lines;
        let bad = |why: String| BadLine::Line { line: number, why };
        let entry = read_line(line).map_err(bad)?;
        if let Some(Entry::Frame(frame)) = &entry {
            if frame.whole.is_none() && frame.at_ms < self.picture.at_ms() {
                return Err(bad(
                    "its time is before that of the frame before it".to_owned()
                ));
            }
            let applied = self.picture.apply((**frame).clone());
            applied.map_err(|error| bad(error.to_string()))?;
        }
        Ok(entry)
    }
}
