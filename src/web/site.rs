//! What requests are answered from.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::feed::Feed;
use super::maps::Maps;
use crate::chronicle::Archive;
use crate::snapshot::SnapshotReader;

/// The most connections over TCP at a time, and through the socket of the same user, who must get in whatever others do. A browser
/// opens up to six. Further ones are closed at once.
const TCP_CONNECTIONS: usize = 64;
const UNIX_CONNECTIONS: usize = 32;

/// The most streams at a time over TCP, and through the socket: each makes the node send every change.
const TCP_STREAMS: usize = 16;
const UNIX_STREAMS: usize = 16;

/// What requests are answered from.
#[derive(Debug)]
pub struct Site {
    pub(super) feed: Arc<Feed>,
    pub(super) maps: Arc<Maps>,
    tcp_streams: Arc<Semaphore>,
    unix_streams: Arc<Semaphore>,
    /// What readers over TCP must know.
    pub(super) token: Option<String>,
    /// Places for connections over TCP, and through the socket.
    pub(super) tcp: Arc<Semaphore>,
    pub(super) unix: Arc<Semaphore>,
}

impl Site {
    /// The site of a running node. `token`: what readers over TCP must know.
    #[must_use]
    pub fn live(reader: SnapshotReader, archive: Arc<Archive>, token: Option<String>) -> Self {
        Self::new(Feed::new(Some(reader), archive), token)
    }

    /// The site of a recording, or of a simulation that goes on.
    #[must_use]
    pub fn recorded(archive: Arc<Archive>) -> Self {
        Self::new(Feed::new(None, archive), None)
    }

    fn new(feed: Feed, token: Option<String>) -> Self {
        let feed = Arc::new(feed);
        Self {
            maps: Arc::new(Maps::new(Arc::clone(&feed))),
            feed,
            tcp_streams: Arc::new(Semaphore::new(TCP_STREAMS)),
            unix_streams: Arc::new(Semaphore::new(UNIX_STREAMS)),
            token,
            tcp: Arc::new(Semaphore::new(TCP_CONNECTIONS)),
            unix: Arc::new(Semaphore::new(UNIX_CONNECTIONS)),
        }
    }

    /// Places for streams over TCP, or through the socket.
    pub(super) fn streams(&self, is_unix: bool) -> &Arc<Semaphore> {
        if is_unix {
            &self.unix_streams
        } else {
            &self.tcp_streams
        }
    }
}
