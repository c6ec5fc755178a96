//! Lists the interfaces again after each change, as the kernel announces it, or every few seconds.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Interfaces;
#[cfg(target_os = "linux")]
use super::netlink;

/// The least time between two readings of the list. One change of an interface is announced several times within
/// milliseconds; with half as much, the list is read more often for nothing; with twice as much, the last of several
/// changes is heard of later.
const PAUSE: Duration = Duration::from_millis(50);
/// The time between two readings where the system announces nothing. Half as long costs an idle node twice the wake-ups, twice as
/// long leaves a node unreachable for as long after its address changed.
const POLL: Duration = Duration::from_secs(5);

/// Follows the interfaces from now on, as long as somebody holds the receiver. Must be called within tokio's runtime.
///
/// A system that lists no interfaces gives an empty list, and a warning in the log at debug level: the node runs without it.
#[must_use]
pub fn follow() -> watch::Receiver<Arc<Interfaces>> {
    // Before the first reading: no change may fall between the two.
    let news = News::open();
    let first = Interfaces::read().unwrap_or_else(|error| {
        tracing::debug!(%error, "interfaces unavailable");
        Interfaces::default()
    });
    let (sender, receiver) = watch::channel(Arc::new(first));
    tokio::spawn(async move {
        tokio::select! {
            biased;
            () = sender.closed() => {}
            () = read_again(news, &sender) => {}
        }
    });
    receiver
}

async fn read_again(mut news: News, sender: &watch::Sender<Arc<Interfaces>>) {
    loop {
        news.next().await;
        // A failed reading changes nothing; the next change reads again.
        if let Ok(now) = Interfaces::read() {
            sender.send_if_modified(|before| {
                let changed = **before != now;
                if changed {
                    *before = Arc::new(now);
                }
                changed
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The kernel's announcements. `None`: there are none, and time passes in place of them.
struct News(#[cfg(target_os = "linux")] Option<netlink::Announcements>);

#[cfg(not(target_os = "linux"))]
impl News {
    fn open() -> Self {
        Self()
    }

    async fn next(&mut self) {
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(target_os = "linux")]
impl News {
    fn open() -> Self {
        let opened = netlink::Announcements::open();
        Self(
            opened
                .inspect_err(|error| tracing::debug!(%error, "netlink unavailable"))
                .ok(),
        )
    }

    /// Waits for the next change.
    async fn next(&mut self) {
        if let Some(announcements) = &self.0
            && announcements.next().await.is_ok()
        {
            return;
        }
        tokio::time::sleep(POLL).await;
    }
}
