//! Tells systemd how the node is: ready, alive, stopping. Only if systemd asks, by the variable `NOTIFY_SOCKET`.
//!
//! The protocol is sd_notify(3): a datagram with lines such as `READY=1` to a Unix socket. A datagram that can't be sent is lost:
//! systemd then does what its unit says, and the node does its work.

use std::env;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::snapshot::SnapshotReader;

/// The manager of services that has started this node, if there is one that listens.
#[derive(Debug)]
pub(super) struct Service {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How often the manager wants to hear that the node is alive.
    watchdog: Option<Duration>,
}

impl Service {
    /// Finds the manager by the variables that it has set.
    pub(super) fn of_environment() -> Self {
        let var = |name| env::var_os(name).filter(|value| !value.is_empty());
        let number = |name| var(name)?.to_str()?.parse::<u64>().ok();
        // The variables of the watchdog may be meant for a parent of this process.
        let other = number("WATCHDOG_PID").is_some_and(|pid| pid != u64::from(std::process::id()));
        let within = number("WATCHDOG_USEC").filter(|within_us| *within_us > 0 && !other);
        Self {
            socket: var("NOTIFY_SOCKET").and_then(|name| open(&name)),
            // Half of the time, as sd_watchdog_enabled(3) advises.
            watchdog: within.map(|within_us| Duration::from_micros(within_us.div_ceil(2))),
        }
    }

    /// Says that the node takes connections, and from now on, that it is alive.
    pub(super) fn ready(&self, reader: SnapshotReader) {
        self.tell("READY=1");
        let Some((period, (socket, to))) = self.watchdog.zip(self.socket.as_ref()) else {
            return;
        };
        let Ok(socket) = socket.try_clone() else {
            return;
        };
        let to = to.clone();
        tokio::spawn(async move {
            let mut ticks = interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                // The event loop is alive if it answers.
                if reader.get().await.is_none() {
                    return;
                }
                let _lost = socket.send_to_addr(b"WATCHDOG=1", &to);
            }
        });
    }

    /// Says that the node leaves.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    fn tell(&self, state: &str) {
        if let Some((socket, to)) = &self.socket {
            let _lost = socket.send_to_addr(state.as_bytes(), to);
        }
    }
}

/// A socket to send from, and the manager's: a path, or a name after `@`, which is no file.
fn open(name: &OsStr) -> Option<(UnixDatagram, SocketAddr)> {
    let to = match name.as_bytes() {
        [b'@', name @ ..] => abstract_address(name)?,
        _ => SocketAddr::from_pathname(name).ok()?,
    };
    let socket = UnixDatagram::unbound().ok()?;
    // A manager that doesn't read must not stop the node.
    socket.set_nonblocking(true).ok()?;
    Some((socket, to))
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &[u8]) -> Option<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    SocketAddr::from_abstract_name(name).ok()
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_: &[u8]) -> Option<SocketAddr> {
    None
}
