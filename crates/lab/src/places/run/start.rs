//! Starts nodes, with their settings and targets as the places are at that time.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, anyhow};

use super::Run;
use crate::shared::cluster;

impl Run<'_> {
    pub(super) fn start(&mut self, node: usize) -> Result<()> {
        let place = self.net.plan.nodes[node];
        let host = self.net.plan.node(node).clone();
        let name = self.cluster.name(node).to_owned();
        let fill = |text: &str| self.net.plan.fill(text).map_err(|what| anyhow!(what));
        let listen = fill(&host.listen)?;
        let layer = format!(
            "label = \"{name}\"\n\n[network.controller.listen]\naddr = \"{listen}\"\nport = {}\n\n\
             [network.controller.target]\npath = \"targets/{name}.json\"\n",
            host.port
        );
        let settings = host
            .settings
            .iter()
            .map(|setting| fill(setting))
            .collect::<Result<Vec<_>>>()?;
        let folder = self.cluster.path().to_owned();
        cluster::make_dir(&folder.join("targets"))?;
        cluster::write(&folder.join(format!("config/network/{name}.toml")), &layer)?;
        let now = self.targets_now[node].as_ref();
        let text = match host.targets_from.as_ref().filter(|_| now.is_none()) {
            Some(from) => fs::read_to_string(folder.join(format!("profiles/{from}/peers.json")))
                .with_context(|| format!("{from} has no peers.json"))?,
            None => serde_json::to_string(&self.targets(place, now.unwrap_or(&host.targets))?)
                .context("targets are JSON")?,
        };
        cluster::write(&folder.join(format!("targets/{name}.json")), &text)?;
        if let Some(from) = &host.key_of {
            copy_key(&folder, from, &name)?;
        }
        self.judge.runs(node, true);
        self.ended[node] = false;
        self.cluster.set_own(node, settings);
        self.cluster.start(node)?;
        Ok(())
    }

    /// The targets of a host: literals as they are; of names, all addresses of the families that the host has; of a name with
    /// `%`, the link-local address on the network that they share.
    fn targets(&self, place: usize, targets: &[String]) -> Result<Vec<String>> {
        let plan = &self.net.plan;
        let ours = &plan.places[place].ports;
        let (has_v4, has_v6) = (
            ours.iter().any(|port| port.v4.is_some()),
            ours.iter().any(|port| port.v6.is_some()),
        );
        let mut found = Vec::new();
        for target in targets {
            if target.contains([':', '{']) {
                found.push(plan.fill(target).map_err(|what| anyhow!(what))?);
                continue;
            }
            for node in plan.nodes_of(&[target.trim_end_matches('%').to_owned()]) {
                let (there, port) = (plan.nodes[node], plan.node(node).port);
                if there == place {
                    continue;
                }
                for (number, theirs) in plan.places[there].ports.iter().enumerate() {
                    if target.ends_with('%') {
                        if let Some(own) = ours.iter().find(|own| own.segment == theirs.segment) {
                            let address = self.net.link_local(there, number)?;
                            found.push(format!("[{address}%{}]:{port}", own.name));
                        }
                        continue;
                    }
                    for address in theirs.addresses() {
                        if if address.is_ipv4() { has_v4 } else { has_v6 } {
                            found.push(SocketAddr::new(address, port).to_string());
                        }
                    }
                }
            }
        }
        Ok(found)
    }
}

/// Gives a node the key of another, unless it has one.
fn copy_key(folder: &Path, from: &str, to: &str) -> Result<()> {
    let (from, to) = (
        folder.join("certs").join(from),
        folder.join("certs").join(to),
    );
    if to.exists() {
        return Ok(());
    }
    cluster::make_dir(&to)?;
    let key = |of: &Path| of.join("key.pem");
    fs::copy(key(&from), key(&to))
        .with_context(|| format!("can't copy {}", key(&from).display()))?;
    Ok(())
}
