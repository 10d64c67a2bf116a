//! Segments for tests.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::config::{BatchMode, StoreConfig};
use crate::entry::kind::{EntryType, RowKind};
use crate::position::{BinlogFile, BinlogPosition};
use crate::store::segment::{Resume, Segment, Slot, SubjectId};
use crate::time::{Duration, WallMillis};

/// A ring of `entries` slots and a unit of 1 KiB.
pub(crate) fn config(entries: u32, batch_mode: BatchMode) -> StoreConfig {
    StoreConfig {
        entries,
        unit: 1024,
        batch_mode,
        ddl_isolation: false,
        reader_idle: Duration::from_secs(60),
    }
}

/// A row of `entry_len` bytes that no filter judges.
pub(crate) fn slot(entry_len: u32) -> Slot {
    Slot {
        end: entry_len,
        entry_len,
        offset: 4,
        ordinal: 0,
        execute_time: WallMillis(1_700_000_000_000),
        server_id: 1,
        rows: 1,
        subject: SubjectId::NONE,
        resume: 0,
        entry_type: EntryType::RowData,
        kind: Some(RowKind::Insert),
    }
}

/// Rows of the given lengths in `file`, one event of 10 bytes each, from `offset` on.
pub(crate) fn segment(file: &str, offset: u64, lengths: &[u32]) -> Segment {
    let mut end = 0;
    let slots: Vec<Slot> = lengths
        .iter()
        .zip(0..)
        .map(|(&len, n)| {
            end += len;
            Slot {
                end,
                offset: offset + 10 * n,
                ..slot(len)
            }
        })
        .collect();
    segment_of(file, slots)
}

/// A segment of `slots`, whose bytes are their index repeated.
pub(crate) fn segment_of(file: &str, slots: Vec<Slot>) -> Segment {
    let file = BinlogFile::new(file);
    let mut bytes = Vec::new();
    for (slot, n) in slots.iter().zip(0_usize..) {
        bytes.resize(slot.end as usize, n as u8);
    }
    let boundary = BinlogPosition::new(file.clone(), BinlogPosition::FIRST_EVENT);
    let resumes = [Resume {
        boundary,
        gtid_before: None,
        gtid_with: None,
    }]
    .into();
    Segment {
        bytes: Bytes::from(bytes),
        slots,
        file,
        resumes,
    }
}
