//! The papers of a member: the authorities that it trusts, its certificate, and the newest revocations.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use super::date::DAY_S;
use super::files::{
    AUTHORITY, FileError, MEMBER, REVOKED, read_authority, read_certificate, read_revocations,
};
use crate::certificate::{Authorities, Certificate, Unfit};
use crate::membership::Charter;
use crate::revocations::Revocations;
use crate::wire::NodeId;

/// The papers of this node, shared by the event loop, which keeps them current, and by connections, which judge their peers.
#[derive(Debug)]
pub struct Papers {
    places: Places,
    state: RwLock<State>,
}

/// Where the papers are.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// The authority's public file.
    pub authority: PathBuf,
    /// The node's certificate.
    pub certificate: PathBuf,
    /// The newest revocations, which the node writes too.
    pub revocations: PathBuf,
}

/// The settings of the papers.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// `network.name`.
    pub network: &'a str,
    /// `network.authority`.
    pub authority: &'a str,
    /// `network.certificate`.
    pub certificate: &'a str,
}

/// What changed when papers were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// The authorities.
    pub authorities: bool,
    /// The certificate.
    pub certificate: bool,
}

#[derive(Debug, Clone)]
struct State {
    authorities: Arc<Authorities>,
    certificate: Option<Arc<Certificate>>,
    revocations: Option<Arc<Revocations>>,
    unix_s: u64,
}

/// Papers that a node can't start with.
#[derive(Debug, thiserror::Error)]
pub enum PapersError {
    /// A file can't be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A certificate is there, and nobody says who must have signed it.
    #[error(
        "{certificate}: there is no {authority}; copy it from the authority's folder, or remove the certificate to run in an open network"
    )]
    NoAuthority {
        /// The certificate.
        certificate: PathBuf,
        /// The missing file.
        authority: PathBuf,
    },
    /// The authority is that of another network.
    #[error(
        "{path}: is for the network {theirs:?}, but network.name is {ours:?}; set network.name to {theirs:?}"
    )]
    OtherNetwork {
        /// The authority's public file.
        path: PathBuf,
        /// Its network.
        theirs: String,
        /// The setting.
        ours: String,
    },
    /// The certificate is not for this node as it is set.
    #[error("{path}: this node ({id}, label {label:?}) has {unfit}; {remedy}")]
    NotOurs {
        /// The certificate.
        path: PathBuf,
        /// The node.
        id: NodeId,
        /// Its label.
        label: String,
        /// The fault.
        unfit: Box<Unfit>,
        /// What to do.
        remedy: String,
    },
}

impl Papers {
    /// Reads the papers of a profile. `None`: the network has no authority. `certs` and `dir` are the profile's folders.
    ///
    /// # Errors
    /// If a file is missing that the settings name, or if one can't be used.
    pub fn load(
        wanted: &Wanted<'_>,
        certs: &Path,
        dir: &Path,
        unix_s: u64,
    ) -> Result<Option<Self>, PapersError> {
        let named = |setting: &str, name: &str| match setting {
            "" => certs.join(name),
            path => PathBuf::from(path),
        };
        let places = Places {
            authority: named(wanted.authority, AUTHORITY),
            certificate: named(wanted.certificate, MEMBER),
            revocations: dir.join(REVOKED),
        };
        let certificate = match read_certificate(&places.certificate) {
            // A node may start before it is admitted. A file that the settings name must exist.
            Err(error) if error.is_missing() && wanted.certificate.is_empty() => None,
            read => Some(read?),
        };
        let authorities = match read_authority(&places.authority) {
            Err(error) if error.is_missing() && wanted.authority.is_empty() => {
                return match certificate {
                    None => Ok(None),
                    // With this certificate, the user does not expect an open network.
                    Some(_) => Err(PapersError::NoAuthority {
                        certificate: places.certificate,
                        authority: places.authority,
                    }),
                };
            }
            read => read?,
        };
        if **authorities.network() != *wanted.network {
            return Err(PapersError::OtherNetwork {
                path: places.authority,
                theirs: authorities.network().to_string(),
                ours: wanted.network.to_owned(),
            });
        }
        let revocations = match read_revocations(&places.revocations) {
            Err(error) if error.is_missing() => None,
            // A list that the authority did not sign is as good as none, and the core drops it.
            Err(FileError::Bad { path, why }) => {
                let remedy = "copy the newest list there, or remove the file: other members tell the list again";
                return Err(FileError::bad(&path, format!("{why}; {remedy}")).into());
            }
            read => Some(read?),
        };
        Ok(Some(Self {
            places,
            state: RwLock::new(State {
                authorities: Arc::new(authorities),
                certificate,
                revocations,
                unix_s,
            }),
        }))
    }

    /// Papers without files, for simulated nodes and tests.
    #[must_use]
    pub fn of_charter(charter: Charter) -> Self {
        Self {
            places: Places::default(),
            state: RwLock::new(State {
                authorities: charter.authorities,
                certificate: charter.certificate,
                revocations: charter.revocations,
                unix_s: charter.unix_s,
            }),
        }
    }

    /// Where the files are.
    #[must_use]
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// Refuses a certificate that can never admit this node, so that its user need not search the logs of others. One that has
    /// expired is no error: a new one may come while the node runs.
    ///
    /// # Errors
    /// If the certificate is of another authority, network, node or label.
    pub fn check_own(&self, id: &NodeId, label: &str) -> Result<(), PapersError> {
        let State {
            authorities,
            certificate,
            ..
        } = self.state();
        self.check(id, label, &authorities, certificate.as_deref())
    }

    fn check(
        &self,
        id: &NodeId,
        label: &str,
        authorities: &Authorities,
        certificate: Option<&Certificate>,
    ) -> Result<(), PapersError> {
        let Some(certificate) = certificate else {
            return Ok(());
        };
        let at = certificate.terms().not_before;
        let verdict = authorities.admit(id, Some(&label.into()), Some(certificate), at);
        let Err(unfit) = verdict else { return Ok(()) };
        let remedy = match &unfit {
            Unfit::OtherLabel { allowed, .. } => {
                format!(
                    "set label to one that it allows ({allowed:?}), or get a new certificate with: {}",
                    admit_command(id)
                )
            }
            Unfit::Forged => {
                "copy the authority.pub and the member.cert of one authority".to_owned()
            }
            _ => format!("get one with: {}", admit_command(id)),
        };
        Err(PapersError::NotOurs {
            path: self.places.certificate.clone(),
            id: *id,
            label: label.to_owned(),
            unfit: Box::new(unfit),
            remedy,
        })
    }

    /// Takes the authorities and the certificate that came while the node runs, if the node could start with them; none of them otherwise.
    /// Says which of the two changed.
    ///
    /// # Errors
    /// As [`Self::check_own`], or if the authorities are those of another network.
    pub fn take(
        &self,
        id: &NodeId,
        label: &str,
        authorities: Arc<Authorities>,
        certificate: Option<Arc<Certificate>>,
    ) -> Result<Taken, PapersError> {
        let before = self.state();
        if authorities.network() != before.authorities.network() {
            return Err(PapersError::OtherNetwork {
                path: self.places.authority.clone(),
                theirs: authorities.network().to_string(),
                ours: before.authorities.network().to_string(),
            });
        }
        self.check(id, label, &authorities, certificate.as_deref())?;
        let taken = Taken {
            authorities: authorities != before.authorities,
            certificate: certificate != before.certificate,
        };
        let mut state = self.write();
        state.authorities = authorities;
        state.certificate = certificate;
        Ok(taken)
    }

    /// What the core starts with.
    #[must_use]
    pub fn charter(&self) -> Charter {
        let state = self.state();
        Charter {
            authorities: state.authorities,
            certificate: state.certificate,
            revocations: state.revocations,
            unix_s: state.unix_s,
        }
    }

    /// This node's certificate.
    #[must_use]
    pub fn certificate(&self) -> Option<Arc<Certificate>> {
        self.state().certificate
    }

    /// The newest revocations; the core has verified them.
    pub fn set_revocations(&self, revocations: Option<Arc<Revocations>>) {
        self.write().revocations = revocations;
    }

    /// The wall clock, in Unix seconds.
    pub fn set_clock(&self, unix_s: u64) {
        self.write().unix_s = unix_s;
    }

    /// Judges a peer by the certificate that it shows.
    ///
    /// # Errors
    /// Why the peer may not be a member.
    pub fn admit(&self, peer: &NodeId, certificate: Option<&[u8]>) -> Result<(), Unfit> {
        let certificate = certificate.map(Certificate::from_bytes).transpose();
        let certificate = certificate.map_err(|_| Unfit::Forged)?;
        let state = self.state();
        // A clock before the signature on our own certificate is wrong; as in the core.
        let own = state.certificate.as_ref();
        let own = own.map_or(0, |certificate| certificate.terms().not_before);
        let unix_s = state.unix_s.max(own);
        let authorities = &state.authorities;
        authorities.admit(peer, None, certificate.as_deref(), unix_s)?;
        match state.revocations {
            Some(revocations) if revocations.names(peer) => Err(Unfit::Revoked),
            Some(_) | None => Ok(()),
        }
    }

    fn state(&self) -> State {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.clone()
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The whole days for which a certificate still counts.
#[must_use]
pub fn days_left(certificate: &Certificate, unix_s: u64) -> u64 {
    certificate.terms().not_after.saturating_sub(unix_s) / DAY_S
}

/// The command that admits a node.
#[must_use]
pub fn admit_command(id: &NodeId) -> String {
    format!("area-net network admit DIR {id}")
}
