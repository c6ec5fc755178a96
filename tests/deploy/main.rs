//! What is delivered: the systemd unit, the Debian package and the manifests. Each test needs tools that not every machine has, and skips
//! itself without them.

#[cfg(test)]
#[cfg(target_os = "linux")]
mod delivery;
