//! Lines in files that are packed with gzip, or not.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

/// The longest line. The keyframe of 10,000 nodes with 40,000 links has 7 MB. At half, that of 100,000 would not fit; twice of it lets
/// a file that is no recording take as much memory.
const LINE_BYTES: u64 = 64 << 20;

/// The first bytes of a file that is packed with gzip (RFC 1952).
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Whether a file of that name is packed.
#[must_use]
pub fn is_packed(file: &Path) -> bool {
    file.extension() == Some(OsStr::new("gz"))
}

/// Packs what is written to it. The result depends on nothing but that.
pub fn packer<W: Write>(to: W) -> GzEncoder<W> {
    GzEncoder::new(to, Compression::default())
}

/// Writes a recording.
#[derive(Debug)]
pub(super) enum Writer<W: Write> {
    Plain(W),
    Packed(GzEncoder<W>),
}

impl<W: Write> Writer<W> {
    pub(super) fn new(to: W, packed: bool) -> Self {
        match packed {
            true => Self::Packed(packer(to)),
            false => Self::Plain(to),
        }
    }

    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(to) => to.write_all(lines),
            Self::Packed(to) => to.write_all(lines),
        }
    }

    /// Brings what was written into the file, so that a reader gets it even if nothing follows.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(to) => to.flush(),
            Self::Packed(to) => to.flush(),
        }
    }

    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Self::Plain(mut to) => to.flush(),
            Self::Packed(to) => to.finish()?.flush(),
        }
    }
}

/// Reads lines one by one.
pub(super) struct Lines {
    from: Box<dyn BufRead>,
    line: Vec<u8>,
    number: usize,
}

impl Lines {
    pub(super) fn new(from: impl Read + 'static) -> io::Result<Self> {
        let mut from = BufReader::new(from);
        let packed = from.fill_buf()?.starts_with(&MAGIC);
        Ok(Self {
            from: match packed {
                true => Box::new(BufReader::new(MultiGzDecoder::new(from))),
                false => Box::new(from),
            },
            line: Vec::new(),
            number: 0,
        })
    }

    /// The number of the line that was read last, from 1.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// The next line, or why it can't be read. `None`: there is none.
    pub(super) fn next(&mut self) -> Option<Result<&str, String>> {
        self.line.clear();
        self.number += 1;
        let mut bounded = (&mut self.from).take(LINE_BYTES);
        let read = bounded.read_until(b'\n', &mut self.line);
        match read {
            Ok(0) => {
                self.number -= 1;
                return None;
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Some(Err("the file is cut off here".to_owned()));
            }
            Err(error) => return Some(Err(error.to_string())),
        }
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        } else if self.line.len() as u64 >= LINE_BYTES {
            let why = format!("it has more than {LINE_BYTES} bytes");
            return Some(Err(why));
        } else if serde_json::from_slice::<serde::de::IgnoredAny>(&self.line).is_err() {
            return Some(Err("the file is cut off here".to_owned()));
        }
        let line = std::str::from_utf8(&self.line);
        Some(line.map_err(|_| "it is no text".to_owned()))
    }
}
