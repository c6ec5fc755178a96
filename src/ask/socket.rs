//! Finds the socket of a running node. Where it may be, the server says ([`web::socket_paths`]).

use std::io;
use std::path::{Path, PathBuf};

use super::error::AskError;
use super::http;
use crate::web;

/// The folders in which nodes put their sockets.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// The folder for the user's run time: `area-net/<profile>.sock`.
    runtime: Option<PathBuf>,
    /// The folder of the nodes' files: `<profile>/node.sock`.
    profiles: PathBuf,
}

/// A running node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Running {
    pub(super) profile: String,
    pub(super) socket: PathBuf,
}

impl Places {
    /// The places by the environment.
    pub(super) fn of_this_process() -> Self {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        Self::new(runtime, Path::new("profiles"))
    }

    pub(super) fn new(runtime: Option<PathBuf>, profiles: &Path) -> Self {
        Self {
            runtime: runtime.filter(|path| path.is_absolute()),
            profiles: profiles.to_owned(),
        }
    }

    /// The running node of a profile, or the only one that runs.
    pub(super) fn find(&self, profile: Option<&str>) -> Result<Running, AskError> {
        if let Some(profile) = profile {
            return self.of_profile(profile);
        }
        let mut running = self.running()?;
        match running.len() {
            0 => Err(AskError::NoneRuns {
                places: self.to_string(),
            }),
            1 => Ok(running.remove(0)),
            _ => Err(AskError::SeveralRun {
                profiles: running.into_iter().map(|node| node.profile).collect(),
            }),
        }
    }

    fn of_profile(&self, profile: &str) -> Result<Running, AskError> {
        if profile.is_empty() || profile.contains(['/', '\0']) {
            return Err(AskError::BadProfile {
                profile: profile.to_owned(),
            });
        }
        for socket in self.sockets(profile) {
            if listens(&socket)? {
                let profile = profile.to_owned();
                return Ok(Running { profile, socket });
            }
        }
        Err(AskError::ProfileNotRunning {
            profile: profile.to_owned(),
            sockets: self.sockets(profile),
        })
    }

    /// Every running node, by profile.
    pub(super) fn running(&self) -> Result<Vec<Running>, AskError> {
        let mut profiles: Vec<String> = Vec::new();
        let runtime = self.runtime.iter().map(|path| path.join("area-net"));
        let runtime = runtime.flat_map(|path| names(&path));
        profiles.extend(runtime.filter_map(|name| name.strip_suffix(".sock").map(str::to_owned)));
        profiles.extend(names(&self.profiles));
        profiles.sort();
        profiles.dedup();
        let mut running = Vec::new();
        for profile in profiles {
            for socket in self.sockets(&profile) {
                // A node of somebody else is none that could be asked.
                if matches!(listens(&socket), Ok(true)) {
                    running.push(Running { profile, socket });
                    break;
                }
            }
        }
        Ok(running)
    }

    fn sockets(&self, profile: &str) -> Vec<PathBuf> {
        web::socket_paths(
            profile,
            &self.profiles.join(profile),
            self.runtime.as_deref(),
        )
    }
}

impl std::fmt::Display for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(runtime) = &self.runtime {
            write!(f, "{}/area-net or ", runtime.display())?;
        }
        write!(f, "{}/*/", self.profiles.display())
    }
}

fn listens(socket: &Path) -> Result<bool, AskError> {
    // Without a socket in the way, no connection is tried: most profiles don't run.
    if !socket.exists() {
        return Ok(false);
    }
    http::connects(socket).map_err(|source: io::Error| AskError::NotAllowed {
        socket: socket.to_owned(),
        source,
    })
}

/// The names of the files in a folder; empty if it can't be listed.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::net::UnixListener;

    use super::*;

    struct Desk {
        dir: tempfile::TempDir,
        places: Places,
    }

    impl Desk {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let runtime = dir.path().join("run");
            fs::create_dir_all(runtime.join("area-net")).unwrap();
            let places = Places::new(Some(runtime), &dir.path().join("profiles"));
            Self { dir, places }
        }

        fn listen(&self, socket: &str) -> UnixListener {
            let path = self.dir.path().join(socket);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            UnixListener::bind(path).unwrap()
        }

        fn find(&self, profile: Option<&str>) -> Result<String, u8> {
            let found = self.places.find(profile);
            let name = |path: &Path| {
                path.strip_prefix(self.dir.path())
                    .unwrap()
                    .display()
                    .to_string()
            };
            found
                .map(|node| name(&node.socket))
                .map_err(|error| error.status())
        }
    }

    #[test]
    fn the_only_running_node_is_asked() {
        let desk = Desk::new();
        assert_eq!(desk.find(None), Err(3));
        assert_eq!(desk.find(Some("bob")), Err(3));
        let _bob = desk.listen("profiles/bob/node.sock");
        // What a killed node left is not a node.
        drop(desk.listen("profiles/alice/node.sock"));
        fs::create_dir_all(desk.dir.path().join("profiles/carol")).unwrap();
        assert_eq!(desk.find(None).unwrap(), "profiles/bob/node.sock");
        assert_eq!(desk.find(Some("bob")).unwrap(), "profiles/bob/node.sock");
        assert_eq!(desk.find(Some("alice")), Err(3));
    }

    #[test]
    fn of_several_one_must_be_chosen() {
        let desk = Desk::new();
        let _bob = desk.listen("profiles/bob/node.sock");
        let _zoe = desk.listen("run/area-net/zoe.sock");
        let error = desk.places.find(None).unwrap_err();
        assert_eq!(error.status(), 2);
        assert!(error.to_string().contains("bob, zoe"), "{error}");
        assert_eq!(desk.find(Some("zoe")).unwrap(), "run/area-net/zoe.sock");
    }

    #[test]
    fn the_node_of_this_folder_comes_first_if_it_listens() {
        let desk = Desk::new();
        let here = desk.listen("profiles/bob/node.sock");
        let _there = desk.listen("run/area-net/bob.sock");
        assert_eq!(desk.find(Some("bob")).unwrap(), "profiles/bob/node.sock");
        assert_eq!(desk.find(None).unwrap(), "profiles/bob/node.sock");
        drop(here);
        assert_eq!(desk.find(Some("bob")).unwrap(), "run/area-net/bob.sock");
    }

    #[test]
    fn a_profile_that_leads_elsewhere_is_bad_input() {
        let desk = Desk::new();
        for bad in ["", "../x", "/etc"] {
            assert_eq!(desk.find(Some(bad)), Err(2), "{bad}");
        }
    }
}
