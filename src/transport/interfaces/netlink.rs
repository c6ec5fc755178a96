//! The kernel's announcements of links and addresses, over netlink. They are not parsed.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::libc::{RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR, RTMGRP_LINK};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::transport::kernel::own;

/// The most announcements that are read in a row: more than one change makes.
const AT_ONCE: usize = 256;

/// A netlink socket that hears of links and addresses (rtnetlink(7)).
pub(super) struct Announcements(AsyncFd<OwnedFd>);

impl Announcements {
    pub(super) fn open() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            SockProtocol::NetlinkRoute,
        )?;
        let groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
        let groups = u32::try_from(groups).expect("a few low bits");
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
        Ok(Self(own(socket, Interest::READABLE)?))
    }

    /// Waits for an announcement, and empties the queue.
    pub(super) async fn next(&self) -> io::Result<()> {
        let mut guard = self.0.readable().await?;
        // The contents don't matter, so they may be cut off.
        let mut start = [0; 64];
        for _ in 0..AT_ONCE {
            let fd = self.0.get_ref().as_raw_fd();
            match recv(fd, &mut start, MsgFlags::MSG_DONTWAIT) {
                // The queue overflowed, so announcements are missing: one more reason to read the list.
                Ok(_) | Err(Errno::ENOBUFS | Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    guard.clear_ready();
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
