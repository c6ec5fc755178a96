//! What is delivered: the systemd unit, the Debian package, the image and the manifests, and for which Rust. Each test needs tools that not
//! every machine has, and skips itself without them.

#[cfg(test)]
#[cfg(target_os = "linux")]
mod containers;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod delivery;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod licences;
#[cfg(test)]
mod msrv;
#[cfg(test)]
#[cfg(target_os = "linux")]
#[path = "../processes/ports.rs"]
mod ports;
