//! A door for fuzzing: decoders that their modules keep to themselves, as functions of bytes or text.
//!
//! A program of ours reaches them only through sockets, files and arguments, which are too slow for millions of inputs. Nothing but
//! `crates/fuzz` uses this module. Errors are in words: whoever fuzzes looks at no more of them.

mod control;
mod socket;

use std::fmt::Display;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use tokio::runtime::Runtime;

use crate::admission::Keys;
use crate::admission::files::Content;
use crate::authority::Ledger;
use crate::identity::Identity;
use crate::settings::{Layer, NamedTarget, SettingsError, Targets};
use crate::web::{Site, serve_one};
use crate::wire::NodeId;
use crate::{ask, identity, transport};
pub use control::{Control, LIMITS, control_stream};
pub use socket::{Ear, Heard};

/// How long a connection may last whose client has sent everything. Nothing waits for time then, so the bound only ends a run that hangs. At half,
/// a machine under load may seem to hang. Double: the same.
const PATIENCE: Duration = Duration::from_secs(20);

/// The alternatives in the reason of a close.
#[must_use]
pub fn close_reason(bytes: &[u8]) -> Vec<SocketAddr> {
    transport::alternatives(bytes)
}

/// The node id in a TLS certificate.
#[must_use]
pub fn certified_id(der: &[u8]) -> Option<NodeId> {
    identity::certified_id(&CertificateDer::from(der))
}

/// A key file of a node or of an authority: the key, with a certificate that is in no file.
///
/// # Errors
/// As when a node starts.
pub fn key_file(pem: &[u8]) -> Result<Identity, String> {
    Identity::of_pem(Path::new("key.pem"), pem).map_err(words)
}

/// The content of a file with that key.
#[must_use]
pub fn key_text(identity: &Identity) -> String {
    identity.key_pem()
}

/// A certificate beside the key of that identity.
///
/// # Errors
/// As when a node starts.
pub fn certificate_file(identity: Identity, pem: &[u8]) -> Result<Identity, String> {
    let certified = identity.certified(Path::new("cert.pem"), pem);
    certified.map_err(words)
}

/// The certificate of an identity, in DER.
#[must_use]
pub fn certificate_bytes(identity: &Identity) -> &[u8] {
    identity.certificate()
}

/// A settings file.
///
/// # Errors
/// As when a node starts.
pub fn settings_file(text: &str) -> Result<Layer, SettingsError> {
    Layer::from_text("file.toml", text)
}

/// A target file: its addresses, and its names.
///
/// # Errors
/// As when a node starts.
pub fn target_file(json: &[u8]) -> Result<(Vec<SocketAddr>, Vec<NamedTarget>), String> {
    let listen = SocketAddr::from(([127, 0, 0, 1], 8083));
    let targets = Targets::from_json(json, listen).map_err(words)?;
    Ok((targets.others, targets.named))
}

/// A file of network keys: how many there are.
///
/// # Errors
/// As when a node starts.
pub fn network_keys(text: &[u8]) -> Result<usize, String> {
    let mut keys = Keys::default();
    keys.add(Path::new("network.key"), text).map_err(words)?;
    Ok(keys.len())
}

/// A file of an authority, of any kind: the text that would be written.
///
/// # Errors
/// As when a node starts.
pub fn authority_file(text: &str) -> Result<String, String> {
    Content::parse(text).map(|content| content.text())
}

/// The members that an authority admitted: how many there are.
///
/// # Errors
/// As in `area-net network`.
pub fn ledger(text: &str) -> Result<usize, String> {
    Ledger::parse(text).map(|ledger| ledger.members.len())
}

/// A time as people write it, in Unix ms.
#[must_use]
pub fn time(text: &str, now_ms: u64) -> Option<u64> {
    ask::time(text, now_ms)
}

/// Text from elsewhere as the command line shows it, within so many columns.
#[must_use]
pub fn shown(text: &str, columns: usize) -> (String, usize) {
    let shown = ask::text::cut(&ask::text::clean(text), columns);
    let width = ask::text::width(&shown);
    (shown, width)
}

/// What the command line reads of a node's answer over HTTP.
///
/// # Errors
/// As in a command.
pub fn http_answer(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let (mut node, client) = UnixStream::pair().map_err(words)?;
    said(&mut node, bytes).map_err(words)?;
    ask::read_answer(client)
}

/// What a node answers to the bytes of a client that then sends nothing more.
///
/// # Errors
/// If the system makes no sockets.
///
/// # Panics
/// If the connection does not end.
pub fn http_request(
    runtime: &Runtime,
    site: &Arc<Site>,
    bytes: &[u8],
    is_unix: bool,
) -> io::Result<Vec<u8>> {
    let (mut client, node) = UnixStream::pair()?;
    said(&mut client, bytes)?;
    node.set_nonblocking(true)?;
    let served = runtime.block_on(async {
        let node = tokio::net::UnixStream::from_std(node)?;
        let serve = serve_one(Arc::clone(site), node, is_unix);
        Ok::<_, io::Error>(tokio::time::timeout(PATIENCE, serve).await)
    })?;
    served.expect("a connection ends once its client does");
    let mut answer = Vec::new();
    client.read_to_end(&mut answer)?;
    Ok(answer)
}

/// Sends bytes that fit the socket's buffer, and ends.
fn said(socket: &mut UnixStream, bytes: &[u8]) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    socket.write_all(bytes)?;
    socket.shutdown(Shutdown::Write)?;
    socket.set_nonblocking(false)
}

fn words(error: impl Display) -> String {
    error.to_string()
}
