//! A node's identity: its key, its certificate, and the TLS configuration that pins a key to a node id.
//!
//! The node makes its key at the first start and keeps it. A key that is corrupt, unreadable or another user's is an error
//! that names the file, never a silent new identity. Both ends of a connection use TLS 1.3 (RFC 8446) with self-signed
//! certificates. Only the Ed25519 key in a certificate counts: it is the node's id. The handshake's signature proves it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ring::signature::{Ed25519KeyPair, KeyPair as _};
use ring::{hkdf, hmac};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};

use crate::admission::{Admission, Allow};
use crate::atomic_file::{self, Care};
use crate::record::Signer;
use crate::trusted_path;
use crate::wire::NodeId;

/// The DER of an Ed25519 SubjectPublicKeyInfo up to the key (RFC 8410, section 4).
const ED25519_SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// The largest key or certificate that is read. Ours have under 1 KiB, and those of other programs a few. At half, one with a long
/// comment could fail; at double, nothing does.
const MAX_PEM_BYTES: u64 = 64 * 1024;

/// The server name in the TLS handshake. It has no meaning: no certificate is checked against it.
pub const SERVER_NAME: &str = "area-net";

/// A node's key and certificate.
pub struct Identity {
    key: Ed25519KeyPair,
    pkcs8: Vec<u8>,
    certificate: CertificateDer<'static>,
    id: NodeId,
}

/// A key or certificate that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file or folder can't be read or written.
    #[error("{path}: {doing}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operation that failed.
        doing: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The file's content can't be used.
    #[error(
        "{path}: {why}; move key.pem and cert.pem away to let the node make new ones (which makes it a new node)"
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The fault.
        why: String,
    },
    /// The key belongs to another user.
    #[error(
        "{path}: belongs to user {owner}, but this program runs as user {user}; run it as user {owner}, or give it a key of its own"
    )]
    ForeignOwner {
        /// The key file.
        path: PathBuf,
        /// The owner's user id.
        owner: u32,
        /// The user id of this process.
        user: u32,
    },
    /// Others may put another key in the place of this one.
    #[error(
        "{folder}: mode {mode:04o} lets everybody replace the key in it; run: chmod o-w {folder}"
    )]
    OpenFolder {
        /// The key's folder.
        folder: PathBuf,
        /// The folder's permission bits.
        mode: u32,
    },
    /// Others may read or write the key.
    #[error("{path}: mode {mode:04o} lets others read or write the key; run: chmod 600 {path}")]
    TooOpen {
        /// The key file.
        path: PathBuf,
        /// The file's permission bits.
        mode: u32,
    },
}

impl Identity {
    /// Loads `key.pem` and `cert.pem` from a folder, and makes both if neither is there. A missing certificate is made anew
    /// from the key.
    ///
    /// # Errors
    /// If a file exists but can't be used, or if one can't be written.
    pub fn load_or_create(dir: &Path) -> Result<Self, IdentityError> {
        let (key_path, cert_path) = (dir.join("key.pem"), dir.join("cert.pem"));
        let has_key = exists(&key_path)?;
        if !has_key && exists(&cert_path)? {
            let why = "there is no key.pem next to this certificate".to_owned();
            return Err(IdentityError::Corrupt {
                path: cert_path,
                why,
            });
        }
        if !has_key {
            trusted_path::create_folder(dir, 0o700)
                .map_err(|source| io_error(dir, "can't create the folder", source))?;
            let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519)
                .map_err(|error| corrupt(&key_path, &error))?;
            write_new(&key_path, pair.serialize_pem().as_bytes(), 0o600)?;
        }
        check_folder(dir)?;
        let Key {
            pair,
            pkcs8,
            key,
            id,
        } = Key::of_pem(&key_path, &read_key(&key_path)?)?;
        if !exists(&cert_path)? {
            write_new(
                &cert_path,
                self_signed(&pair, &id, &cert_path)?.as_bytes(),
                0o644,
            )?;
        }
        let pem = trusted_path::read(&cert_path, MAX_PEM_BYTES)
            .map_err(|source| io_error(&cert_path, "can't read the certificate", source))?;
        Ok(Self {
            certificate: certificate_of_pem(&cert_path, &pem, &id)?,
            key,
            pkcs8,
            id,
        })
    }

    /// Makes a new key file. A file that exists is never overwritten.
    ///
    /// # Errors
    /// If the file exists or can't be written.
    pub fn create_key(path: &Path) -> Result<(), IdentityError> {
        if exists(path)? {
            let source = io::ErrorKind::AlreadyExists.into();
            return Err(io_error(path, "can't make a key", source));
        }
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519)
            .map_err(|error| corrupt(path, &error))?;
        write_new(path, pair.serialize_pem().as_bytes(), 0o600)
    }

    /// The identity of a key alone, with a certificate that is in no file.
    ///
    /// # Errors
    /// If the key can't be used.
    pub fn of_key(path: &Path) -> Result<Self, IdentityError> {
        Self::of_pem(path, &read_key(path)?)
    }

    /// The identity of the key in a file's text, with a certificate that is in no file.
    pub(crate) fn of_pem(path: &Path, pem: &[u8]) -> Result<Self, IdentityError> {
        let Key {
            pair,
            pkcs8,
            key,
            id,
        } = Key::of_pem(path, pem)?;
        let pem = self_signed(&pair, &id, path)?;
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).expect("just written");
        Ok(Self {
            key,
            pkcs8,
            certificate,
            id,
        })
    }

    /// The identity with the certificate in a file's text in the place of its own.
    pub(crate) fn certified(self, path: &Path, pem: &[u8]) -> Result<Self, IdentityError> {
        let certificate = certificate_of_pem(path, pem, &self.id)?;
        Ok(Self {
            certificate,
            ..self
        })
    }

    /// The certificate, in DER.
    pub(crate) fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The content of a key file with this key.
    pub(crate) fn key_pem(&self) -> String {
        let der = PrivatePkcs8KeyDer::from(self.pkcs8.as_slice());
        let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_ED25519);
        pair.expect("it was read like this").serialize_pem()
    }

    /// An identity without files, for simulated nodes. The seed is the private key.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let key = Ed25519KeyPair::from_seed_unchecked(seed).expect("32 bytes are a seed");
        // PKCS #8 v1 (RFC 8410, section 7).
        let mut pkcs8 = vec![
            0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22,
            0x04, 0x20,
        ];
        pkcs8.extend_from_slice(seed);
        let der = PrivatePkcs8KeyDer::from(pkcs8.clone());
        let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_ED25519)
            .expect("a well-formed key");
        let id = NodeId(
            key.public_key()
                .as_ref()
                .try_into()
                .expect("an Ed25519 key has 32 bytes"),
        );
        let pem = self_signed(&pair, &id, Path::new("")).expect("a well-formed certificate");
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).expect("just written");
        Self {
            key,
            pkcs8,
            certificate,
            id,
        }
    }

    /// The key for stateless resets (RFC 9000, section 10.3), and the key for connection ids. Both are derived from the private
    /// key alone, so a restarted node recognises the connections of its earlier run and resets them at once.
    #[must_use]
    pub fn quic_keys(&self) -> (hmac::Key, u64) {
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, b"area-net quic").extract(&self.pkcs8);
        let mut reset = [0; 32];
        let mut cid = [0; 32];
        for (label, out) in [
            (&b"stateless reset"[..], &mut reset),
            (&b"connection id"[..], &mut cid),
        ] {
            let info = [label];
            secret
                .expand(&info, hkdf::HKDF_SHA256)
                .and_then(|okm| okm.fill(out))
                .expect("32 bytes of HKDF-SHA256");
        }
        let cid = u64::from_be_bytes(cid[..8].try_into().expect("eight bytes"));
        (hmac::Key::new(hmac::HMAC_SHA256, &reset), cid)
    }

    /// The TLS configuration for accepted connections. It lets every node pass that proves its key and speaks a protocol of this
    /// network. Whether that node may be a member is decided after the handshake, so that the node is told why not.
    #[must_use]
    pub fn server_config(&self, admission: &Admission) -> rustls::ServerConfig {
        let verifier = Arc::new(PeerVerifier::new(None, Allow::default()));
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("ring has TLS 1.3")
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![self.certificate.clone()], self.private_key())
            .expect("the certificate fits the key");
        config.alpn_protocols = admission.protocols().to_vec();
        // Dials are rare and each one proves the key again, so there are no sessions to resume.
        config.send_tls13_tickets = 0;
        config
    }

    /// The TLS configuration for one dial, and the node id whose key answered, once it is proven. That id is set also if it is
    /// not the expected one.
    #[must_use]
    pub fn client_config(
        &self,
        admission: &Admission,
        expect: Option<NodeId>,
    ) -> (rustls::ClientConfig, Arc<OnceLock<NodeId>>) {
        let verifier = PeerVerifier::new(expect, admission.allow().clone());
        let seen = verifier.seen.clone();
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("ring has TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_auth_cert(vec![self.certificate.clone()], self.private_key())
            .expect("the certificate fits the key");
        config.alpn_protocols = admission.protocols().to_vec();
        config.resumption = rustls::client::Resumption::disabled();
        (config, seen)
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.pkcs8.clone()))
    }
}

impl Signer for Identity {
    fn node_id(&self) -> NodeId {
        self.id
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key
            .sign(message)
            .as_ref()
            .try_into()
            .expect("an Ed25519 signature has 64 bytes")
    }
}

/// One provider for all connections, instead of a copy of its tables for each.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER
        .get_or_init(|| Arc::new(rustls::crypto::ring::default_provider()))
        .clone()
}

fn exists(path: &Path) -> Result<bool, IdentityError> {
    path.try_exists()
        .map_err(|source| io_error(path, "can't check whether it exists", source))
}

fn io_error(path: &Path, doing: &'static str, source: io::Error) -> IdentityError {
    IdentityError::Io {
        path: path.to_owned(),
        doing,
        source,
    }
}

fn corrupt(path: &Path, why: &dyn std::fmt::Display) -> IdentityError {
    IdentityError::Corrupt {
        path: path.to_owned(),
        why: why.to_string(),
    }
}

/// Refuses a folder in which everybody may replace files. Where the sticky bit is set, only their owner may (unlink(2)). A group
/// that may write to it is the user's own business.
fn check_folder(dir: &Path) -> Result<(), IdentityError> {
    let meta =
        fs::metadata(dir).map_err(|source| io_error(dir, "can't read the folder", source))?;
    let mode = meta.mode() & 0o7777;
    if mode & 0o1002 == 0o0002 {
        return Err(IdentityError::OpenFolder {
            folder: dir.to_owned(),
            mode,
        });
    }
    Ok(())
}

/// A key, as the libraries need it.
struct Key {
    pair: rcgen::KeyPair,
    pkcs8: Vec<u8>,
    key: Ed25519KeyPair,
    id: NodeId,
}

impl Key {
    fn of_pem(path: &Path, pem: &[u8]) -> Result<Self, IdentityError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|error| corrupt(path, &error))?;
        let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_ED25519)
            .map_err(|error| corrupt(path, &format!("is not an Ed25519 key ({error})")))?;
        let pkcs8 = der.secret_pkcs8_der().to_vec();
        let key = Ed25519KeyPair::from_pkcs8(&pkcs8)
            .or_else(|_| Ed25519KeyPair::from_pkcs8_maybe_unchecked(&pkcs8))
            .map_err(|_| corrupt(path, &"is not an Ed25519 key"))?;
        let id = NodeId(
            key.public_key()
                .as_ref()
                .try_into()
                .expect("an Ed25519 key has 32 bytes"),
        );
        Ok(Self {
            pair,
            pkcs8,
            key,
            id,
        })
    }
}

/// The certificate in a file's text, if it is one of this node's key.
fn certificate_of_pem(
    path: &Path,
    pem: &[u8],
    id: &NodeId,
) -> Result<CertificateDer<'static>, IdentityError> {
    let certificate = CertificateDer::from_pem_slice(pem).map_err(|error| corrupt(path, &error))?;
    match certified_id(&certificate) {
        Some(certified) if certified == *id => Ok(certificate),
        _ => Err(corrupt(path, &"is not a certificate of the key in key.pem")),
    }
}

/// The text of a key file that nobody else may read or write.
fn read_key(path: &Path) -> Result<Vec<u8>, IdentityError> {
    let unreadable = |source| io_error(path, "can't read the key", source);
    let file = trusted_path::open(path).map_err(unreadable)?;
    let meta = file.metadata().map_err(unreadable)?;
    let user = rustix::process::geteuid().as_raw();
    if meta.uid() != user {
        return Err(IdentityError::ForeignOwner {
            path: path.to_owned(),
            owner: meta.uid(),
            user,
        });
    }
    let mode = meta.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(IdentityError::TooOpen {
            path: path.to_owned(),
            mode,
        });
    }
    trusted_path::read_open(file, MAX_PEM_BYTES).map_err(unreadable)
}

fn self_signed(pair: &rcgen::KeyPair, id: &NodeId, path: &Path) -> Result<String, IdentityError> {
    let wrong = |error: rcgen::Error| corrupt(path, &error);
    let mut params = rcgen::CertificateParams::new(vec![SERVER_NAME.to_owned()]).map_err(wrong)?;
    params.distinguished_name.push(
        rcgen::DnType::CommonName,
        format!("area-net {}", id.short()),
    );
    Ok(params.self_signed(pair).map_err(wrong)?.pem())
}

/// Writes a new file by rename, so that a kill at any instant leaves the whole file or none.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), IdentityError> {
    let care = Care { mode, synced: true };
    let written = atomic_file::write(path, bytes, care);
    written.map_err(|source| io_error(path, "can't write", source))
}

/// The node id in a certificate: its Ed25519 key. `None` for any other kind of key.
#[must_use]
pub fn certified_id(certificate: &CertificateDer<'_>) -> Option<NodeId> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let spki = parsed.subject_public_key_info();
    let key = spki.as_ref().strip_prefix(&ED25519_SPKI)?;
    key.try_into().ok().map(NodeId)
}

/// The reason for refusing a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The dialer expected another node.
    #[error("another node answered: {0:?}")]
    OtherKey(NodeId),
    /// The node is not on the list of allowed ids.
    #[error("{0:?} is not on the list of allowed nodes (network.allow)")]
    NotAllowed(NodeId),
}

/// Reads the node id from the certificate. The handshake's signature by that key is the proof.
#[derive(Debug)]
struct PeerVerifier {
    expect: Option<NodeId>,
    allow: Allow,
    seen: Arc<OnceLock<NodeId>>,
}

impl PeerVerifier {
    fn new(expect: Option<NodeId>, allow: Allow) -> Self {
        Self {
            expect,
            allow,
            seen: Arc::default(),
        }
    }

    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        let id = certified_id(certificate).ok_or(CertificateError::BadEncoding)?;
        let refusal = if self.expect.is_some_and(|expected| expected != id) {
            Refusal::OtherKey(id)
        } else if !self.allow.permits(&id) {
            Refusal::NotAllowed(id)
        } else {
            return Ok(());
        };
        Err(CertificateError::Other(rustls::OtherError(Arc::new(refusal))).into())
    }

    /// Verifies the proof before it uses the node id: certificates are public, so one without proof must not teach us
    /// anything about an address.
    fn check_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &provider().signature_verification_algorithms;
        let proven = verify_tls13_signature(message, certificate, signature, algorithms)?;
        if let Some(id) = certified_id(certificate) {
            // Only read for a dial. The listener's verifier serves many handshakes and keeps the first id it saw.
            self.seen.set(id).ok();
        }
        self.check(certificate)?;
        Ok(proven)
    }
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // The node id is judged once it is proven, in `check_signature`.
        certified_id(certificate)
            .map(|_| ServerCertVerified::assertion())
            .ok_or_else(|| CertificateError::BadEncoding.into())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        certified_id(certificate)
            .map(|_| ClientCertVerified::assertion())
            .ok_or_else(|| CertificateError::BadEncoding.into())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
