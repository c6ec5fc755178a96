//! A client of HTTP/1.1 over a Unix socket. It speaks with a node of the same program and the same user, one question a connection.
//!
//! It blocks: a question of the command line is over in milliseconds, and starting a runtime for it would take longer than the
//! rest. `httparse`, which the server has anyway, reads heads and the sizes of chunks.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

/// How long a node may send nothing. It answers within 100 ms. At half, a node whose machine is swapping is given up; at double, a
/// person waits ten seconds to be told that a node was stopped.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// The largest head. The server's have under 1 KiB.
const MAX_HEAD: usize = 64 * 1024;
/// The most header fields.
const MAX_FIELDS: usize = 64;
/// The largest answer. The graph of 10,000 nodes with 40,000 links has about 15 MB in the longest format.
const MAX_BODY: usize = 256 * 1024 * 1024;
/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;

/// Why a node gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("can't connect to {}", .0.display())]
    Connect(PathBuf, #[source] io::Error),
    #[error("the node did not answer within {} s; it may be stopped, or its machine is overloaded", .0.as_secs_f32())]
    Stalled(Duration),
    #[error("the node's answer was cut off; it may have ended")]
    CutOff,
    #[error("the node's answer is not HTTP: {0}")]
    Malformed(String),
    #[error("the node's answer is larger than {MAX_BODY} bytes")]
    TooLarge,
    #[error("the connection to the node failed")]
    Io(#[source] io::Error),
}

/// Where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// After this number of bytes.
    Length(u64),
    /// In chunks: the rest of the current one. `None`: a chunk's size comes next.
    Chunked(Option<u64>),
    /// With the connection.
    Close,
    /// It has ended.
    Over,
}

/// An answer whose body is still to be read.
#[derive(Debug)]
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) status: u16,
    socket: UnixStream,
    /// What was received and not used yet.
    buffer: Vec<u8>,
    framing: Framing,
    patience: Duration,
}

/// Whether a node listens on the socket.
pub(super) fn connects(path: &Path) -> io::Result<bool> {
    match connect(path, PATIENCE) {
        Ok(_) => Ok(true),
        // Nobody listens, nothing is there, or it is no socket.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::ConnectionRefused | ErrorKind::NotFound
            ) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

fn connect(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Linux bounds a connect by this too: it would wait while the queue of a stopped node is full.
    socket.set_write_timeout(Some(patience))?;
    socket.connect(&SockAddr::unix(path)?)?;
    #[cfg(target_os = "linux")]
    check_owner(&socket)?;
    Ok(UnixStream::from(std::os::fd::OwnedFd::from(socket)))
}

/// Refuses to believe another user's program, which may listen where a node of this user's would. Root may ask everybody's nodes.
#[cfg(target_os = "linux")]
fn check_owner(socket: &Socket) -> io::Result<()> {
    let owner = rustix::net::sockopt::socket_peercred(socket)?.uid.as_raw();
    let user = rustix::process::geteuid();
    if user.is_root() || crate::trusted_path::is_trusted(owner) {
        return Ok(());
    }
    let why = format!("a program of user {owner} listens there");
    Err(io::Error::new(ErrorKind::PermissionDenied, why))
}

/// Asks `GET target`, and reads the head of the answer.
pub(super) fn get(path: &Path, target: &str, patience: Duration) -> Result<Answer, HttpError> {
    let mut socket = connect(path, patience).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => HttpError::Stalled(patience),
        _ => HttpError::Connect(path.to_owned(), error),
    })?;
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: area-net/{}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    );
    socket
        .write_all(request.as_bytes())
        .map_err(HttpError::Io)?;
    Answer::begin(socket, patience)
}

/// The body of an answer that comes from a socket.
pub(crate) fn read_answer(socket: UnixStream) -> Result<Vec<u8>, String> {
    let body = Answer::begin(socket, PATIENCE).and_then(Answer::body);
    body.map_err(|error| error.to_string())
}

impl Answer {
    /// Reads the head of the answer to a request that was sent.
    pub(super) fn begin(socket: UnixStream, patience: Duration) -> Result<Self, HttpError> {
        let mut answer = Self {
            status: 0,
            socket,
            buffer: Vec::new(),
            framing: Framing::Close,
            patience,
        };
        while !answer.read_head()? {
            if answer.buffer.len() > MAX_HEAD {
                return Err(HttpError::Malformed("its head is too long".to_owned()));
            }
            if !answer.receive(Some(patience))? {
                return Err(HttpError::CutOff);
            }
        }
        Ok(answer)
    }

    /// The whole body.
    pub(super) fn body(mut self) -> Result<Vec<u8>, HttpError> {
        let mut body = Vec::new();
        let patience = self.patience;
        while let Some(piece) = self.piece(Some(patience))? {
            body.extend_from_slice(&piece);
            if body.len() > MAX_BODY {
                return Err(HttpError::TooLarge);
            }
        }
        Ok(body)
    }

    /// The next piece of the body; `None` at its end. Without `patience` it waits as long as the connection stands.
    pub(super) fn piece(
        &mut self,
        patience: Option<Duration>,
    ) -> Result<Option<Vec<u8>>, HttpError> {
        loop {
            if let Some(piece) = self.buffered()? {
                return Ok(Some(piece));
            }
            if self.framing == Framing::Over {
                return Ok(None);
            }
            if !self.receive(patience)? {
                return if self.framing == Framing::Close {
                    self.framing = Framing::Over;
                    Ok(None)
                } else {
                    Err(HttpError::CutOff)
                };
            }
        }
    }

    /// A piece of the body out of what was received.
    fn buffered(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        loop {
            let rest = match self.framing {
                Framing::Over => return Ok(None),
                Framing::Length(0) => {
                    self.framing = Framing::Over;
                    return Ok(None);
                }
                Framing::Chunked(None) => {
                    if !self.read_size()? {
                        return Ok(None);
                    }
                    continue;
                }
                // The line break after a chunk.
                Framing::Chunked(Some(0)) => match self.buffer.get(..2) {
                    Some(b"\r\n") => {
                        self.buffer.drain(..2);
                        self.framing = Framing::Chunked(None);
                        continue;
                    }
                    Some(_) => return Err(HttpError::Malformed("a chunk is too long".to_owned())),
                    None => return Ok(None),
                },
                Framing::Length(rest) | Framing::Chunked(Some(rest)) => rest,
                Framing::Close => u64::MAX,
            };
            if self.buffer.is_empty() {
                return Ok(None);
            }
            let length =
                usize::try_from(rest).map_or(self.buffer.len(), |rest| rest.min(self.buffer.len()));
            let piece = self.buffer.drain(..length).collect();
            let rest = rest - length as u64;
            match &mut self.framing {
                Framing::Length(left) | Framing::Chunked(Some(left)) => *left = rest,
                Framing::Chunked(None) | Framing::Close | Framing::Over => {}
            }
            return Ok(Some(piece));
        }
    }

    /// Reads the size of the next chunk; false if it is not complete. What follows the last chunk doesn't matter, since the
    /// connection is not used again.
    fn read_size(&mut self) -> Result<bool, HttpError> {
        match httparse::parse_chunk_size(&self.buffer) {
            Ok(httparse::Status::Complete((used, size))) => {
                self.buffer.drain(..used);
                self.framing = if size == 0 {
                    Framing::Over
                } else {
                    Framing::Chunked(Some(size))
                };
                Ok(true)
            }
            Ok(httparse::Status::Partial) if self.buffer.len() < MAX_HEAD => Ok(false),
            Ok(httparse::Status::Partial) | Err(_) => Err(HttpError::Malformed(
                "the size of a chunk is no number".to_owned(),
            )),
        }
    }

    /// Reads the head; false if it is not complete.
    fn read_head(&mut self) -> Result<bool, HttpError> {
        let malformed = |what: &dyn std::fmt::Display| HttpError::Malformed(what.to_string());
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut head = httparse::Response::new(&mut fields);
        let parsed = head.parse(&self.buffer);
        let httparse::Status::Complete(used) = parsed.map_err(|error| malformed(&error))? else {
            return Ok(false);
        };
        let field = |name: &str| {
            let mut fields = head.headers.iter();
            let found = fields.find(|field| field.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(found.value).ok().map(str::trim)
        };
        let chunked =
            field("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        let framing = match field("content-length") {
            _ if chunked => Framing::Chunked(None),
            Some(length) => Framing::Length(length.parse().map_err(|error| malformed(&error))?),
            None => Framing::Close,
        };
        self.status = head.code.unwrap_or_default();
        self.framing = framing;
        self.buffer.drain(..used);
        Ok(true)
    }

    /// Receives more; false if the node closed the connection.
    fn receive(&mut self, patience: Option<Duration>) -> Result<bool, HttpError> {
        self.socket
            .set_read_timeout(patience)
            .map_err(HttpError::Io)?;
        let before = self.buffer.len();
        self.buffer.resize(before + READ_BYTES, 0);
        let read = loop {
            match self.socket.read(&mut self.buffer[before..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer
            .truncate(before + read.as_ref().copied().unwrap_or(0));
        match read {
            Ok(bytes) => Ok(bytes > 0),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(HttpError::Stalled(patience.unwrap_or_default()))
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Err(HttpError::CutOff),
            Err(error) => Err(HttpError::Io(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::fake::Fake;

    fn body(said: &str) -> Result<Vec<u8>, HttpError> {
        let fake = Fake::says(said);
        get(&fake.path, "/v1/status", PATIENCE)?.body()
    }

    #[test]
    fn a_body_ends_where_its_head_says() {
        let length = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, and more";
        assert_eq!(body(length).unwrap(), b"hello");
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n";
        assert_eq!(body(chunked).unwrap(), b"hello");
        assert_eq!(body("HTTP/1.0 200 OK\r\n\r\nhello").unwrap(), b"hello");
        assert_eq!(
            body("HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n").unwrap(),
            b""
        );
    }

    #[test]
    fn an_answer_that_is_cut_off_is_told_from_a_whole_one() {
        for cut in [
            "",
            "HTTP/1.1 200 O",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        ] {
            assert!(matches!(body(cut), Err(HttpError::CutOff)), "{cut:?}");
        }
    }

    #[test]
    fn what_is_not_http_is_an_error() {
        for bad in [
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n",
        ] {
            assert!(matches!(body(bad), Err(HttpError::Malformed(_))), "{bad:?}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(2 * MAX_HEAD));
        assert!(matches!(body(&endless), Err(HttpError::Malformed(_))));
    }

    #[test]
    fn a_node_that_stalls_is_given_up() {
        for said in ["", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"] {
            let fake = Fake::stalls(said);
            let answer = get(&fake.path, "/", Duration::from_millis(50)).and_then(Answer::body);
            let Err(error @ HttpError::Stalled(_)) = answer else {
                panic!("{answer:?}");
            };
            assert!(error.to_string().contains("within 0.05 s"), "{error}");
        }
    }

    #[test]
    fn nobody_listens_where_nothing_is_or_only_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.sock");
        assert!(!connects(&path).unwrap());
        std::fs::write(&path, "").unwrap();
        assert!(!connects(&path).unwrap());
        let error = get(&path, "/", PATIENCE).unwrap_err();
        assert!(matches!(error, HttpError::Connect(..)), "{error}");
    }
}
