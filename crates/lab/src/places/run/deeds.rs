//! Does what the steps say.

use std::fs;

use anyhow::{Context, Result, anyhow};

use super::Run;
use crate::places::scenario::{Deed, Who};
use crate::shared::cluster;

impl Run<'_> {
    pub(super) fn does(&mut self, deed: &Deed) -> Result<()> {
        self.drain()?;
        self.note(&format!("{deed:?}"))?;
        match deed {
            Deed::Start { who, targets } => {
                for node in self.net.plan.nodes_of(who) {
                    if let Some(targets) = targets {
                        self.targets_now[node] = Some(targets.clone());
                    }
                    self.start(node)?;
                }
            }
            Deed::Forget(who) => {
                for node in self.net.plan.nodes_of(who) {
                    let state = self.cluster.folders()[node].join("state.json");
                    fs::remove_file(&state)
                        .with_context(|| format!("can't remove {}", state.display()))?;
                }
            }
            Deed::Kill(who) => {
                for node in self.net.plan.nodes_of(who) {
                    self.judge.runs(node, false);
                    self.cluster.kill(node)?;
                }
            }
            Deed::Leave(who) => {
                for node in self.net.plan.nodes_of(who) {
                    self.ended[node] = true;
                    self.judge.runs(node, false);
                    self.cluster.ask_to_stop(node)?;
                }
            }
            Deed::Name { name, is } => self.resolve(name, is)?,
            Deed::Run { who, command } => {
                let command = self.net.plan.fill(command).map_err(|what| anyhow!(what))?;
                for place in self.net.plan.who(who) {
                    self.net.shell(place, &command)?;
                }
            }
            Deed::Address { .. }
            | Deed::DropAddress(..)
            | Deed::RestoreAddress(..)
            | Deed::Unplug(..)
            | Deed::Plug(..)
            | Deed::Reboot { .. }
            | Deed::Renumber { .. }
            | Deed::Cut(..)
            | Deed::Mend(..) => self.changes_net(deed)?,
        }
        let now = self.now();
        self.judge.judge(now, &self.net.plan);
        Ok(())
    }

    /// Does what changes the network.
    fn changes_net(&mut self, deed: &Deed) -> Result<()> {
        match deed {
            Deed::Address { who, net, keep } => {
                self.on_ports(who, net.as_deref(), |run, place, ports| {
                    run.net.renumber(place, ports, *keep)
                })?;
            }
            Deed::DropAddress(who, net) => {
                self.on_ports(who, net.as_deref(), |run, place, ports| {
                    run.net.drop_addresses(place, ports, true)
                })?;
            }
            Deed::RestoreAddress(who, net) => {
                self.on_ports(who, net.as_deref(), |run, place, ports| {
                    run.net.drop_addresses(place, ports, false)
                })?;
            }
            Deed::Unplug(who, net) => {
                self.on_ports(who, Some(net), |run, place, ports| {
                    ports
                        .iter()
                        .try_for_each(|port| run.net.unplug(place, *port))
                })?;
            }
            Deed::Plug(who, net) => {
                let segment = self.net.segment_of(self.index(net)?);
                for place in self.net.plan.who(who) {
                    self.net.plug(place, segment)?;
                }
            }
            Deed::Reboot { who, down_s } => {
                let at = self.now() + down_s;
                self.on_ports(who, None, |run, place, ports| {
                    run.net.cut(place, ports, true)?;
                    run.mend_at.push((at, place));
                    run.net.flush(place)
                })?;
            }
            Deed::Renumber { who, flush } => {
                self.on_ports(who, None, |run, place, ports| {
                    run.net.renumber(place, &ports[1..], false)?;
                    if *flush { run.net.flush(place) } else { Ok(()) }
                })?;
            }
            Deed::Cut(who, net) | Deed::Mend(who, net) => {
                let cut = matches!(deed, Deed::Cut(..));
                self.on_ports(who, net.as_deref(), |run, place, ports| {
                    run.net.cut(place, ports, cut)
                })?;
                if net.is_none() {
                    for node in self.net.plan.nodes_of(who) {
                        self.judge.cuts(node, cut);
                    }
                }
            }
            Deed::Start { .. }
            | Deed::Forget(_)
            | Deed::Kill(_)
            | Deed::Leave(_)
            | Deed::Name { .. }
            | Deed::Run { .. } => {}
        }
        Ok(())
    }

    /// Does something with the ports of places, on one network or on all.
    fn on_ports(
        &mut self,
        who: &Who,
        net: Option<&str>,
        mut does: impl FnMut(&mut Self, usize, &[usize]) -> Result<()>,
    ) -> Result<()> {
        let net = net.map(|net| self.index(net)).transpose()?;
        for place in self.net.plan.who(who) {
            let ports = self.net.ports(place, net);
            does(self, place, &ports)?;
        }
        Ok(())
    }

    fn index(&self, net: &str) -> Result<usize> {
        let found = self.scenario.nets.iter().position(|one| one.name == net);
        found.with_context(|| format!("there is no net {net}"))
    }

    /// Sets what a name resolves to.
    fn resolve(&mut self, name: &str, is: &[String]) -> Result<()> {
        let text = fs::read_to_string(&self.hosts_file).context("can't read the names")?;
        let mut lines: Vec<String> = text
            .lines()
            .filter(|line| line.split_whitespace().nth(1) != Some(name))
            .map(String::from)
            .collect();
        for address in is {
            let address = self.net.plan.fill(address).map_err(|what| anyhow!(what))?;
            lines.push(format!("{address} {name}"));
        }
        // In place: the file is mounted.
        cluster::write(&self.hosts_file, &(lines.join("\n") + "\n"))
    }
}
