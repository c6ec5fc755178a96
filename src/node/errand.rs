//! What may block, on a thread of its own: writes to a disk, and questions to the system's resolver.
//!
//! tokio has a pool of such threads, but it panics if the system has no thread left, and a program that ends waits for it: as long as
//! a disk or a name server hangs.

use std::io;
use std::thread;

use tokio::sync::oneshot;

/// Runs `work` on a new thread with this name, and waits for its result. Whoever drops the future leaves the thread behind.
///
/// # Errors
/// When the system has no thread left.
pub(super) async fn run<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (done, result) = oneshot::channel();
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(move || {
        // Nobody may wait for it any more.
        done.send(work()).ok();
    })?;
    result.await.map_err(io::Error::other)
}
