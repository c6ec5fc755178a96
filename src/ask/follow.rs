//! The stream of a running node, for a program that shows it as it comes.

use std::path::PathBuf;

use super::error::AskError;
use super::http::{self, Answer, PATIENCE};
use super::socket::Places;

/// The longest line. The keyframe of 10,000 nodes with 40,000 links has about 8 MB.
const MAX_LINE: usize = 64 * 1024 * 1024;

/// A running node.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    places: Places,
    profile: String,
}

impl Source {
    /// The running node of a profile, or the only one that runs.
    ///
    /// # Errors
    /// When there is none, or several are running.
    pub(crate) fn find(profile: Option<&str>) -> Result<Self, AskError> {
        let places = Places::of_this_process();
        let profile = places.find(profile)?.profile;
        Ok(Self { places, profile })
    }

    /// The profile.
    pub(crate) fn profile(&self) -> &str {
        &self.profile
    }

    /// The stream from the beginning of the node's history on. The node may have been started again in the meantime, and then its
    /// socket is sought anew.
    ///
    /// # Errors
    /// When the node doesn't run, or refuses.
    pub(crate) fn open(&self) -> Result<Stream, AskError> {
        let socket: PathBuf = self.places.find(Some(&self.profile))?.socket;
        let answer = http::get(&socket, "/v1/stream?from=begin", PATIENCE)?;
        if answer.status != 200 {
            let what = format!("the node refused the stream with status {}", answer.status);
            return Err(AskError::Unreadable { what });
        }
        Ok(Stream::new(answer))
    }
}

/// The lines of a stream.
#[derive(Debug)]
pub(crate) struct Stream {
    answer: Answer,
    buffer: Vec<u8>,
    /// How much of the buffer was given away as lines.
    read: usize,
}

impl Stream {
    fn new(answer: Answer) -> Self {
        Self {
            answer,
            buffer: Vec::new(),
            read: 0,
        }
    }

    /// The next line without its line break; `None` at the end. The node sends a line every five seconds, so one that says nothing for
    /// longer than twice that is gone.
    ///
    /// # Errors
    /// When the connection fails, or what comes is no text.
    pub(crate) fn line(&mut self) -> Result<Option<String>, AskError> {
        let mut searched = self.read;
        loop {
            if let Some(length) = self.buffer[searched..]
                .iter()
                .position(|byte| *byte == b'\n')
            {
                let line = self.buffer[self.read..searched + length].to_vec();
                self.read = searched + length + 1;
                let line = String::from_utf8(line);
                return line.map(Some).map_err(|error| AskError::Unreadable {
                    what: error.to_string(),
                });
            }
            searched = self.buffer.len() - self.read;
            self.buffer.drain(..self.read);
            self.read = 0;
            if self.buffer.len() > MAX_LINE {
                let what = "a line has no end".to_owned();
                return Err(AskError::Unreadable { what });
            }
            match self.answer.piece(Some(2 * PATIENCE))? {
                Some(piece) => self.buffer.extend_from_slice(&piece),
                None => return Ok(None),
            }
        }
    }

    /// Whether another line was received already.
    pub(crate) fn has_line(&self) -> bool {
        self.buffer[self.read..].contains(&b'\n')
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    fn stream(chunks: &[&str], end: &str) -> (Fake, Stream) {
        let mut said = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
        for chunk in chunks {
            said.push_str(&format!("{:x}\r\n{chunk}\r\n", chunk.len()));
        }
        let fake = Fake::says(&format!("{said}{end}"));
        let answer = http::get(&fake.path, "/v1/stream", PATIENCE).unwrap();
        (fake, Stream::new(answer))
    }

    #[test]
    fn lines_are_whole_wherever_chunks_end() {
        let (_fake, mut stream) = stream(&["a", "b\nc\n\nd", "\nrest"], "0\r\n\r\n");
        let lines = std::iter::from_fn(|| stream.line().unwrap());
        assert_eq!(lines.collect::<Vec<_>>(), ["ab", "c", "", "d"]);
        assert!(!stream.has_line(), "a line without its end is none");
    }

    #[test]
    fn a_stream_that_is_cut_off_is_an_error() {
        let (_fake, mut cut) = stream(&["a\nb"], "");
        assert_eq!(cut.line().unwrap().as_deref(), Some("a"));
        assert!(cut.line().is_err());
    }
}
