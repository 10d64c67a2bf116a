//! The model against canald's own decoder and replica: what each takes for granted, the other must mean.

mod decoded;
mod dumped;

use std::time::Duration;

use crate::journal::Journal;
use crate::model::source::Source;
use crate::plan::{Act, Change, DdlAct, Flavor, Options};

/// The source's clock at the beginning: 2026-01-01.
const BASE_SECONDS: u32 = 1_767_225_600;

/// A kind of source.
fn options(flavor: Flavor, gtid: bool, full_metadata: bool, checksum: bool) -> Options {
    Options {
        flavor,
        gtid,
        full_metadata,
        checksum,
        rows_per_event: 4,
        ring_entries: 1024,
        ring_unit: 1024,
        count_entries: false,
        transaction_entries: 1024,
        ddl_isolation: false,
        window: 64 << 10,
        segment: 4096,
        latency: (Duration::ZERO, Duration::ZERO),
        disk_latency: Duration::ZERO,
        reader_idle: Duration::from_secs(60),
        clients: Vec::new(),
    }
}

/// All kinds of sources.
fn all_options() -> Vec<Options> {
    let mut all = Vec::new();
    for flavor in [Flavor::Mysql, Flavor::Mariadb] {
        for bits in 0..8 {
            all.push(options(flavor, bits & 1 != 0, bits & 2 != 0, bits & 4 != 0));
        }
    }
    all
}

/// Runs something that needs the simulator's clock and tasks.
fn simulate<T>(what: impl Future<Output = T>) -> T {
    let config = madsim::Config::default();
    madsim::runtime::Runtime::with_seed_and_config(1, config).block_on(what)
}

fn source(options: &Options) -> Source {
    let journal = Journal::new(Vec::new(), Vec::new());
    Source::new(options, 7, journal, BASE_SECONDS)
}

const fn change(table: u8, inserts: u32, updates: u32, deletes: u32, text: u32) -> Change {
    Change {
        table,
        inserts,
        updates,
        deletes,
        text,
    }
}

/// Rows of all tables over several files, a restart between two of them.
fn work(source: &Source) {
    let commit = |changes: &[Change]| {
        source.apply(&Act::Commit {
            changes: changes.to_vec(),
        })
    };
    assert!(commit(&[change(0, 30, 0, 0, 100), change(1, 3, 2, 1, 0)]));
    assert!(source.apply(&Act::Empty));
    assert!(source.apply(&Act::Rotate));
    assert!(commit(&[
        change(0, 0, 17, 3, 300),
        change(2, 1, 1, 1, 70_000)
    ]));
    source.restart();
    assert!(commit(&[change(2, 9, 0, 0, 10), change(0, 5, 40, 6, 0)]));
    assert!(!commit(&[change(1, 0, 0, 0, 0)]));
}

/// DDL between rows.
fn define(source: &Source) {
    for ddl in [DdlAct::Add, DdlAct::Add, DdlAct::Drop, DdlAct::Truncate] {
        assert!(source.apply(&Act::Ddl { table: 0, ddl }));
        let changes = vec![change(0, 6, 5, 1, 40), change(1, 1, 1, 0, 1)];
        assert!(source.apply(&Act::Commit { changes }));
    }
    assert!(!source.apply(&Act::Ddl {
        table: 1,
        ddl: DdlAct::Drop
    }));
}
