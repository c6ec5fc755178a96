//! Where a recording, or a simulation that runs, can be looked at.

use std::io;
use std::net::{SocketAddr, TcpListener};

use crate::web::Listener;

/// Why it can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    /// Others could look.
    #[error(
        "{0} can be reached from other machines, and a recording is shown to everybody who asks; give an address of this machine, such as [::1]:0"
    )]
    Beyond(SocketAddr),
    /// The address can't be listened on.
    #[error("can't serve the page at {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
}

/// Opens the socket over TCP, and tells its address. There is no token, so only this machine may look.
///
/// # Errors
/// When others could look, or the system refuses.
pub fn listen(addr: SocketAddr) -> Result<(Listener, SocketAddr), ShowError> {
    if !addr.ip().is_loopback() {
        return Err(ShowError::Beyond(addr));
    }
    let open = || {
        let listener = TcpListener::bind(addr)?;
        listener.set_nonblocking(true)?;
        let at = listener.local_addr()?;
        Ok((Listener::Tcp(listener), at))
    };
    open().map_err(|source| ShowError::Listen { addr, source })
}
