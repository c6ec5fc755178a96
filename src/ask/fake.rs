//! A node for tests: a Unix socket that says what it was told to say.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// See the module's documentation. Its threads end with the process.
pub(super) struct Fake {
    pub(super) path: PathBuf,
    /// The targets that it was asked for.
    pub(super) asked: Arc<Mutex<Vec<String>>>,
    _dir: Option<tempfile::TempDir>,
}

impl Fake {
    /// Says the same to everybody, and closes.
    pub(super) fn says(said: &str) -> Self {
        let said = said.to_owned();
        Self::alone(move |_| (said.clone(), false))
    }

    /// Says the same to everybody, and then nothing more.
    pub(super) fn stalls(said: &str) -> Self {
        let said = said.to_owned();
        Self::alone(move |_| (said.clone(), true))
    }

    fn alone(answer: impl Fn(&str) -> (String, bool) + Send + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let fake = Self::at(&dir.path().join("node.sock"), answer);
        let _dir = Some(dir);
        Self { _dir, ..fake }
    }

    /// Answers targets with a status and a document. The query counts too, if an answer is there for it.
    pub(super) fn answers(path: &Path, answers: BTreeMap<&'static str, (u16, String)>) -> Self {
        Self::at(path, move |target| {
            let plain = target.split('?').next().unwrap_or_default();
            let found = answers.get(target).or_else(|| answers.get(plain));
            let none = (
                404,
                r#"{"format":1,"error":{"what":"no such page"}}"#.to_owned(),
            );
            let (status, body) = found.unwrap_or(&none);
            let said = format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            (said, false)
        })
    }

    /// Answers each target by a function that also says whether to stall afterwards.
    pub(super) fn at(
        path: &Path,
        answer: impl Fn(&str) -> (String, bool) + Send + 'static,
    ) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = asked.clone();
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming() {
                let mut stream: UnixStream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                // A connection that asks nothing only looks whether somebody listens.
                let Some(Ok(first)) = lines.next() else {
                    continue;
                };
                lines.find(|line| line.as_ref().is_ok_and(String::is_empty));
                let target = first.split(' ').nth(1).unwrap().to_owned();
                noted.lock().unwrap().push(target.clone());
                let (said, stalls) = answer(&target);
                // The client may have seen enough.
                let _closed = stream.write_all(said.as_bytes());
                if stalls {
                    kept.push(stream);
                }
            }
        });
        Self {
            path: path.to_owned(),
            asked,
            _dir: None,
        }
    }
}
