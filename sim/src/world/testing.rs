//! What tests of the world, and of what lives in it, need: a small world, and a journal that can be read.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::journal::{Journal, Record};
use crate::plan::{Flavor, Options};

/// A world with small windows and pieces, and delays of 1 to 3 ms.
pub(crate) fn options() -> Options {
    Options {
        flavor: Flavor::Mysql,
        gtid: false,
        full_metadata: true,
        checksum: true,
        rows_per_event: 10,
        ring_entries: 16,
        ring_unit: 1024,
        count_entries: false,
        transaction_entries: 1024,
        ddl_isolation: false,
        window: 4096,
        segment: 500,
        latency: (Duration::from_millis(1), Duration::from_millis(3)),
        disk_latency: Duration::from_millis(5),
        reader_idle: Duration::from_secs(60),
        clients: Vec::new(),
    }
}

/// A journal, and what was written in it.
pub(crate) fn journal() -> (Journal, Arc<Mutex<Vec<Record>>>) {
    let records = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&records);
    let keep = Box::new(move |_, record: &Record| kept.lock().unwrap().push(record.clone()));
    (Journal::new(Vec::new(), vec![keep]), records)
}
