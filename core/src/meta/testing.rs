//! Cursors for tests.

use crate::meta::cursor::{Cursor, Extension, SourceAddress};
use crate::position::{BinlogFile, BinlogPosition};
use crate::store::batch::Place;
use crate::store::segment::{EntryPosition, Resume};
use crate::time::WallMillis;

/// The first entry of the event at `offset` in `file`.
pub(crate) fn position(file: &str, offset: u64) -> EntryPosition {
    EntryPosition {
        position: BinlogPosition::new(BinlogFile::new(file), offset),
        ordinal: 0,
        timestamp: WallMillis(1_700_000_000_000),
        server_id: 1,
        gtid: "".into(),
    }
}

/// The same with the place from which it is read again: itself.
pub(crate) fn place(file: &str, offset: u64) -> Place {
    let entry = position(file, offset);
    let boundary = entry.position.clone();
    Place {
        entry,
        resume: Resume {
            boundary,
            gtid_before: None,
            gtid_with: None,
        },
    }
}

/// The cursor after that entry was acknowledged.
pub(crate) fn cursor(file: &str, offset: u64) -> Cursor {
    let Place { entry, resume } = place(file, offset);
    Cursor {
        position: entry.clone(),
        source: SourceAddress {
            host: "10.0.0.3".into(),
            port: 3306,
        },
        extension: Some(Extension {
            identity: "source".into(),
            last_acked: Some(entry),
            resume,
        }),
    }
}
