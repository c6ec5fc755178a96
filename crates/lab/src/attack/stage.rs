//! Where an attack takes place: the honest nodes' addresses, the time at which it begins, and the thread on which it runs.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use tokio::sync::watch;

use super::attacker::{Deeds, Host};
use super::conditions::KILLED;

/// An attacker that was closed comes back after this long with a new key. It is short on purpose: a real one would not wait. At
/// zero, an attacker that is refused at once would measure its own machine.
pub(crate) const COME_BACK: Duration = Duration::from_millis(20);

/// An attack under way.
pub(crate) type Deed = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// What an attack may know: what any member knows.
pub(crate) struct Stage {
    /// The network's name.
    pub(crate) network: String,
    /// The honest nodes' addresses, the victim's first.
    pub(crate) nodes: Vec<SocketAddr>,
    /// The address that the attacker dials from.
    pub(crate) from: IpAddr,
    /// Every random choice follows from it.
    pub(crate) seed: u64,
    /// What was done.
    pub(crate) deeds: Arc<Deeds>,
    ready: watch::Sender<bool>,
    go: watch::Receiver<bool>,
}

impl Stage {
    /// The victim's address.
    pub(crate) fn victim(&self) -> SocketAddr {
        self.nodes[0]
    }

    /// The address of the honest node that will be killed.
    pub(crate) fn doomed(&self) -> SocketAddr {
        self.nodes[KILLED]
    }

    /// The attack's source of random numbers; `which` tells several attackers apart.
    pub(crate) fn random(&self, which: u64) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.seed ^ which.rotate_left(32))
    }

    /// Opens a socket to dial from.
    pub(crate) fn host(&self) -> Result<Host> {
        Host::open(self.from, &self.network, self.deeds.clone())
    }

    /// Ends the preparation: returns when the attack may begin.
    pub(crate) async fn begin(&self) {
        self.ready.send_replace(true);
        let mut go = self.go.clone();
        go.wait_for(|go| *go).await.ok();
    }
}

/// An attack on a thread of its own. Dropping it ends the attack.
pub(crate) struct Running {
    ready: watch::Receiver<bool>,
    go: watch::Sender<bool>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Running {
    /// Prepares an attack.
    pub(crate) fn prepare(
        play: fn(Arc<Stage>) -> Deed,
        network: String,
        nodes: Vec<SocketAddr>,
        from: IpAddr,
        seed: u64,
        deeds: Arc<Deeds>,
    ) -> Result<Self> {
        let (ready, is_ready) = watch::channel(false);
        let (go, goes) = watch::channel(false);
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let stage = Arc::new(Stage {
            network,
            nodes,
            from,
            seed,
            deeds,
            ready,
            go: goes,
        });
        let thread = std::thread::Builder::new()
            .name("attacker".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .context("no runtime")?;
                runtime.block_on(async {
                    tokio::select! {
                        biased;
                        _ = stopped => Ok(()),
                        end = play(stage) => end,
                    }
                })
            })
            .context("no thread")?;
        Ok(Self {
            ready: is_ready,
            go,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Whether the attack is prepared, or over already.
    pub(crate) fn is_ready(&self) -> bool {
        let is_over = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
        *self.ready.borrow() || is_over
    }

    /// Lets the attack begin.
    pub(crate) fn begin(&self) {
        self.go.send_replace(true);
    }

    /// Ends the attack. Returns why it failed, if it could not be made as it was meant.
    pub(crate) fn end(mut self) -> Result<()> {
        self.halt()
    }

    fn halt(&mut self) -> Result<()> {
        if let Some(stop) = self.stop.take() {
            stop.send(()).ok();
        }
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(end)) => end,
            Some(Err(_)) => anyhow::bail!("the attacker panicked"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.halt().ok();
    }
}
