//! The signals that ask a program to stop. A signal that was ignored when the program started stays ignored.
//!
//! `nohup` ignores SIGHUP, and a shell without job control ignores SIGINT for the programs that it starts in the background. A
//! program that handled these signals all the same would end although its user asked for the opposite.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end a program: those of Ctrl-C, of `kill`, and of a terminal that closes.
const STOPPING: [SignalKind; 3] = [
    SignalKind::interrupt(),
    SignalKind::terminate(),
    SignalKind::hangup(),
];

/// Listens for SIGINT, SIGTERM and SIGHUP, except for those that were ignored at the start.
#[derive(Debug)]
pub struct Stopping(Vec<Signal>);

impl Stopping {
    /// Begins to listen. Must be called within tokio's runtime.
    ///
    /// # Errors
    /// When the system refuses to install a handler.
    pub fn listen() -> io::Result<Self> {
        let ignored = ignored();
        let heard = STOPPING
            .into_iter()
            .filter(|kind| !is_in(ignored, *kind))
            .map(signal)
            .collect::<io::Result<_>>()?;
        Ok(Self(heard))
    }

    /// Waits for one of the signals. A signal that arrived since [`Self::listen`] counts.
    pub async fn asked(&mut self) {
        std::future::poll_fn(|cx| {
            let mut heard = self.0.iter_mut().map(|signal| signal.poll_recv(cx));
            if heard.any(|heard| heard.is_ready()) {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        })
        .await;
    }
}

/// The set of signals that this process ignores, as a mask. It must be read before handlers are installed.
#[cfg(target_os = "linux")]
fn ignored() -> u64 {
    // Without /proc, all signals are handled, as on other systems.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    in_status(&status).unwrap_or_default()
}

#[cfg(not(target_os = "linux"))]
fn ignored() -> u64 {
    0
}

/// The field `SigIgn` of `/proc/PID/status` (proc(5)): a hexadecimal mask.
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "only Linux has it")
)]
fn in_status(status: &str) -> Option<u64> {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

fn is_in(mask: u64, kind: SignalKind) -> bool {
    // Signal 1 is the lowest bit.
    let bit = u32::try_from(kind.as_raw_value() - 1).ok();
    bit.and_then(|bit| mask.checked_shr(bit))
        .is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        let status =
            "Name:\tarea-net\nSigBlk:\tffffffffffffffff\nSigIgn:\t0000000000001003\nSigCgt:\t0\n";
        let mask = in_status(status).unwrap();
        let ignored = STOPPING.map(|kind| is_in(mask, kind));
        assert_eq!(
            ignored,
            [true, false, true],
            "SIGINT is 2, SIGTERM 15, SIGHUP 1"
        );
        assert_eq!(in_status("Name:\tarea-net\n"), None);
        assert_eq!(in_status("SigIgn:\tx\n"), None);
    }
}
