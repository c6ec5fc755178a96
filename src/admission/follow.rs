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

/// Writes the newest revocations, unless somebody put newer ones there since the last look.
fn keep(places: &Places, revocations: Arc<Revocations>, mut seen: Seen) -> (Seen, Vec<Change>) {
    let path = &places.revocations;
    let at = stamp(path);
    if at != seen.revocations
        && let Some(newer) = newer_than(places, revocations.number())
    {
        seen.revocations = at;
        return (seen, vec![Change::Revocations(newer)]);
    }
    let written = Content::Revocations(revocations).write(path);
    seen.revocations = stamp(path);
    let failed = written.err().map(Change::NotKept);
    (seen, failed.into_iter().collect())
}

/// The list that is there, if it is genuine and has a higher number.
fn newer_than(places: &Places, number: u64) -> Option<Arc<Revocations>> {
    let there = read_revocations(&places.revocations).ok()?;
    let authorities = read_authority(&places.authority).ok()?;
    let verified = there.verify(authorities.network(), authorities.keys());
    (there.number() > number && verified.is_ok()).then_some(there)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::AuthorityKey;
    use crate::identity::Identity;
    use crate::record::Signer as _;
    use crate::revocations::Revoked;
    use crate::wire::NodeId;

    fn list(number: u64, by: &Identity) -> Arc<Revocations> {
        let ids = vec![NodeId([number as u8; 32])];
        Revocations::issue(Revoked::new("office", number, 1_700_000_000, ids), by).unwrap()
    }

    #[test]
    fn a_newer_list_that_was_put_there_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let [authority, thief] = [1, 2].map(|seed| Identity::from_seed(&[seed; 32]));
        let places = Places {
            authority: folder.path().join("authority.pub"),
            certificate: folder.path().join("member.cert"),
            revocations: folder.path().join("revoked.list"),
        };
        let keys = vec![AuthorityKey(authority.node_id().0)];
        let public = Authorities::new("office", keys).unwrap();
        Content::Authority(public).write(&places.authority).unwrap();
        let there = || read_revocations(&places.revocations).unwrap().number();

        // A neighbour brought number 5. Since the last look, the user put number 6 there.
        let put = |list| {
            let put = Content::Revocations(list);
            put.write(&places.revocations).unwrap();
        };
        put(list(6, &authority));
        let (seen, found) = keep(&places, list(5, &authority), Seen::default());
        assert!(matches!(&found[..], [Change::Revocations(six)] if six.number() == 6));
        assert_eq!(there(), 6);
        let (_, found) = keep(&places, list(7, &authority), seen);
        assert!(found.is_empty() && there() == 7);

        put(list(9, &thief));
        let (_, found) = keep(&places, list(8, &authority), Seen::default());
        assert!(found.is_empty() && there() == 8);
    }
}
