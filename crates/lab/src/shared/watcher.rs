//! Watches for files that are renamed into place (inotify).

use std::collections::{BTreeMap, HashMap};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::io::Errno;

/// Watches one file name in many folders.
pub(crate) struct Watcher {
    inotify: OwnedFd,
    events: Vec<MaybeUninit<u8>>,
    places: HashMap<i32, usize>,
    name: &'static str,
}

impl Watcher {
    /// Starts to watch for `name` in each of the folders, which must exist.
    pub(crate) fn new(folders: &[PathBuf], name: &'static str) -> Result<Self> {
        let inotify = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)
            .context("no inotify")?;
        let mut places = HashMap::new();
        for (place, folder) in folders.iter().enumerate() {
            let watch = inotify::add_watch(&inotify, folder, inotify::WatchFlags::MOVED_TO)
                .with_context(|| format!("can't watch {}", folder.display()))?;
            places.insert(watch, place);
        }
        Ok(Self {
            inotify,
            events: vec![MaybeUninit::uninit(); 64 * 1024],
            places,
            name,
        })
    }

    /// Waits until a file was written, or for `timeout`, or for a signal.
    pub(crate) fn wait(&self, timeout: Duration) -> Result<()> {
        let timeout = Timespec::try_from(timeout).context("a timeout that is no time")?;
        match poll(
            &mut [PollFd::new(&self.inotify, PollFlags::IN)],
            Some(&timeout),
        ) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("can't wait"),
        }
    }

    /// Returns the folders, by number, in which the file was written since the last call, and how often. If the kernel's event
    /// queue overflowed, every folder counts two more writes, one more than can be read.
    pub(crate) fn written(&mut self) -> Result<BTreeMap<usize, u64>> {
        let mut written = BTreeMap::new();
        let mut reader = inotify::Reader::new(&self.inotify, &mut self.events);
        loop {
            match reader.next() {
                Ok(event) if event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW) => {
                    for place in self.places.values() {
                        *written.entry(*place).or_insert(0) += 2;
                    }
                }
                Ok(event) => {
                    let name = event.file_name().map(|name| name.to_bytes());
                    if name == Some(self.name.as_bytes())
                        && let Some(place) = self.places.get(&event.wd())
                    {
                        *written.entry(*place).or_insert(0) += 1;
                    }
                }
                Err(Errno::AGAIN) => return Ok(written),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("can't read inotify's events"),
            }
        }
    }
}
