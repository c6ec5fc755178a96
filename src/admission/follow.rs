//! Follows the files of a member while its node runs: new authorities, a new certificate or list of revocations count without a restart.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::files::{Content, FileError, read_authority, read_certificate, read_revocations};
use super::papers::Places;
use crate::certificate::{Authorities, Certificate};
use crate::revocations::Revocations;

/// How often the files are looked at: three system calls each time. Halved: twice as many. Doubled: a revocation waits up to 10 s for
/// this node.
const EVERY: Duration = Duration::from_secs(5);
/// The most changes that wait for the event loop. The task waits while it is full.
const CHANGES: usize = 4;

/// A change that the event loop handles.
#[derive(Debug)]
pub enum Change {
    /// Time passed: certificates may end.
    Tick,
    /// The authority's public file or the node's certificate is another one, or the certificate is gone. They belong together, so both
    /// are as they are now.
    Member(Arc<Authorities>, Option<Arc<Certificate>>),
    /// Somebody put a list of revocations there.
    Revocations(Arc<Revocations>),
    /// A file can't be used.
    Unusable(FileError),
    /// The newest revocations can't be written.
    NotKept(FileError),
}

/// The event loop's end.
#[derive(Debug)]
pub struct Follower {
    /// What changed, in the order in which it was found.
    pub changes: mpsc::Receiver<Change>,
    /// Takes the newest revocations, which are written at once.
    pub newest: watch::Sender<Option<Arc<Revocations>>>,
}

/// Tells one content of a file from another.
type Stamp = Option<(i64, i64, u64, u64)>;

fn stamp(path: &Path) -> Stamp {
    let meta = fs::metadata(path).ok()?;
    Some((meta.mtime(), meta.mtime_nsec(), meta.size(), meta.ino()))
}

/// The files as they were when they were last read.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// The authority's public file, and the certificate.
    member: [Stamp; 2],
    revocations: Stamp,
}

impl Follower {
    /// Starts to follow these files. It ends with the node. Must be called within tokio's runtime.
    #[must_use]
    pub fn start(places: Places) -> Self {
        let (sender, changes) = mpsc::channel(CHANGES);
        let newest = watch::Sender::new(None);
        tokio::spawn(follow(places, sender, newest.subscribe()));
        Self { changes, newest }
    }
}

async fn follow(
    places: Places,
    changes: mpsc::Sender<Change>,
    mut newest: watch::Receiver<Option<Arc<Revocations>>>,
) {
    let mut seen = Seen::default();
    loop {
        let wanted = tokio::select! {
            biased;
            () = changes.closed() => return,
            Ok(()) = newest.changed() => newest.borrow_and_update().clone(),
            () = tokio::time::sleep(EVERY) => None,
        };
        let (files, before) = (places.clone(), seen);
        let looked = tokio::task::spawn_blocking(move || match wanted {
            Some(revocations) => keep(&files, revocations, before),
            None => look(&files, before),
        });
        let Ok((now, found)) = looked.await else {
            return;
        };
        seen = now;
        for change in found {
            if changes.send(change).await.is_err() {
                return;
            }
        }
    }
}

/// Writes the newest revocations.
fn keep(places: &Places, revocations: Arc<Revocations>, mut seen: Seen) -> (Seen, Vec<Change>) {
    let path = &places.revocations;
    let written = Content::Revocations(revocations).write(path);
    seen.revocations = stamp(path);
    let failed = written.err().map(Change::NotKept);
    (seen, failed.into_iter().collect())
}

/// Reads the files that are not as they were.
fn look(places: &Places, mut seen: Seen) -> (Seen, Vec<Change>) {
    let mut found = vec![Change::Tick];
    let at = [&places.authority, &places.certificate].map(|path| stamp(path));
    if at != seen.member {
        seen.member = at;
        found.push(member(places).unwrap_or_else(Change::Unusable));
    }
    let at = stamp(&places.revocations);
    if at != seen.revocations {
        seen.revocations = at;
        match read_revocations(&places.revocations) {
            Ok(revocations) => found.push(Change::Revocations(revocations)),
            // The node writes it again with the next list that it hears.
            Err(FileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(error) => found.push(Change::Unusable(error)),
        }
    }
    (seen, found)
}

/// The authorities and the certificate. Without the authority's public file the network would be open, so that is an error.
fn member(places: &Places) -> Result<Change, FileError> {
    let authorities = Arc::new(read_authority(&places.authority)?);
    Ok(match read_certificate(&places.certificate) {
        Err(error) if error.is_missing() => Change::Member(authorities, None),
        read => Change::Member(authorities, Some(read?)),
    })
}
