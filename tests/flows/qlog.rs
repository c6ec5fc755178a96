//! What is logged of connections.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use area_net::transport::{QlogLimits, Qlogs};
use serde_json::Value;

use crate::switch::{Shared, addr, start_logged, until};

/// How long the thread that writes may take, on a machine that builds at the same time.
const PATIENCE: Duration = Duration::from_secs(30);

/// The records of each file in a folder, as RFC 7464 delimits them; the last one may be half written.
fn logs(folder: &Path) -> Vec<(String, Vec<Value>)> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap());
    let read = files.map(|file| {
        let text = fs::read_to_string(file.path()).unwrap();
        let records = text
            .split('\u{1e}')
            .skip(1)
            .filter(|record| record.ends_with('\n'));
        let records = records.map(|record| serde_json::from_str(record).unwrap());
        (file.file_name().into_string().unwrap(), records.collect())
    });
    read.collect()
}

fn names(records: &[Value]) -> BTreeSet<&str> {
    records
        .iter()
        .filter_map(|record| record["name"].as_str())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn each_end_logs_its_connection() {
    let switch = Shared::default();
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [of_alice, of_bob] = [0, 1].map(|at| {
        let limits = QlogLimits {
            folder: folders[at].path().join("deep/er"),
            file_bytes: 1 << 20,
            files: 9,
        };
        Qlogs::open(limits, 1_700_000_000_000).unwrap()
    });
    let [a, b] = ["10.0.0.1:8000", "10.0.0.2:8000"].map(addr);
    let alice = start_logged(&switch, 1, a, &[], of_alice);
    let bob = start_logged(&switch, 2, b, &[a], of_bob);
    until(5, || alice.knows(&bob)).await;
    until(5, || bob.knows(&alice)).await;
    for (folder, side) in folders.iter().zip(["accepted", "dialed"]) {
        let begun = Instant::now();
        let wanted = ["transport:packet_received", "transport:packet_sent"];
        loop {
            let logs = logs(&folder.path().join("deep/er"));
            let of_side = logs.iter().filter(|(name, _)| name.contains(side));
            let is_there = |(_, records): &(String, Vec<Value>)| {
                let names = names(records);
                wanted.iter().all(|name| names.contains(name))
            };
            if let Some((_, records)) = of_side.clone().find(|log| is_there(log)) {
                assert_eq!(records[0]["qlog_format"], "JSON-SEQ");
                let title = records[0]["title"].as_str().unwrap();
                assert!(title.starts_with("area-net, 10.0.0."), "{title}");
                let times: Vec<_> = records[1..]
                    .iter()
                    .map(|it| it["time"].as_f64().unwrap())
                    .collect();
                assert!(times.is_sorted());
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{side}: {logs:?}");
            std::thread::yield_now();
        }
    }
}
