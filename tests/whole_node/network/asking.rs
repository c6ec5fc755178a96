//! What a running node is asked for.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use area_net::snapshot::{Snapshot, SnapshotReader};

use super::Network;

impl Network {
    /// The whole snapshot of a node, as of now.
    pub(crate) fn snapshot(&mut self, name: &str) -> Arc<Snapshot> {
        let reader = self.reader(name);
        let asked = async move { reader.get().await };
        let snapshot = self.ask(name, Duration::ZERO, asked);
        snapshot.expect("the node runs")
    }

    pub(crate) fn reader(&self, name: &str) -> SnapshotReader {
        let reader = self.world.reader(self.known_place(name));
        reader.expect("a whole node runs there")
    }

    /// Runs a task on the host of a node, and returns what came of it.
    #[track_caller]
    pub(crate) fn ask<T: Send + 'static>(
        &mut self,
        name: &str,
        limit: Duration,
        task: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let answer: Arc<Mutex<Option<T>>> = Arc::default();
        let slot = answer.clone();
        self.beside(name, async move {
            let came = task.await;
            *slot.lock().unwrap() = Some(came);
        });
        let until = self.now() + limit;
        loop {
            if let Some(answer) = answer.lock().unwrap().take() {
                return answer;
            }
            assert!(self.step(until), "{name} answers within {limit:?}");
        }
    }

    /// Runs a task on the host of a node.
    pub(crate) fn beside(&self, name: &str, task: impl Future<Output = ()> + Send + 'static) {
        self.world.run_beside(self.known_place(name), task);
    }
}
