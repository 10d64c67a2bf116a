//! A binlog file, from its magic on, however damaged.

use bytes::{Bytes, BytesMut};
use canald_core::binlog::event::EventHeader;
use canald_core::binlog::file::{FileFault, FileReader, FileState};
use canald_core::binlog::stream::EventStream;
use canald_core::position::{BinlogFile, BinlogPosition};

use crate::Script;

/// Cuts a file into events and reads each.
///
/// However the bytes arrive, the events and the verdict are the same; what was cut off is what was
/// there, and offsets count it.
///
/// # Panics
/// On a finding.
pub fn file(data: &[u8]) {
    let Some((mut script, bytes)) = Script::split(data) else {
        return;
    };
    let whole = cut(bytes, bytes.len().max(1));
    let pieces = cut(bytes, usize::from(script.byte()) + 1);
    assert_eq!(
        whole, pieces,
        "pieces of a file give other events than the whole"
    );
    let Cut { events, offset, .. } = whole;
    let length: usize = events.iter().map(Bytes::len).sum();
    if offset > 0 {
        assert_eq!(offset, BinlogPosition::FIRST_EVENT + length as u64);
    }
    follow(&events);
}

#[derive(Debug, PartialEq)]
struct Cut {
    events: Vec<Bytes>,
    offset: u64,
    end: Result<FileState, FileFault>,
}

fn cut(bytes: &[u8], piece: usize) -> Cut {
    let mut reader = FileReader::new(name());
    let (mut buffer, mut events) = (BytesMut::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            match reader.next(&mut buffer) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(fault) => {
                    let (offset, end) = (reader.offset(), Err(fault));
                    return Cut {
                        events,
                        offset,
                        end,
                    };
                }
            }
        }
    }
    let (offset, end) = (reader.offset(), reader.finish(&buffer));
    Cut {
        events,
        offset,
        end,
    }
}

fn follow(events: &[Bytes]) {
    let mut stream = EventStream::for_file(name());
    for raw in events {
        let before = stream.offset();
        let Ok(event) = stream.accept(raw) else {
            assert_eq!(stream.offset(), before, "a refused event moves nothing");
            return;
        };
        assert_eq!(
            (event.start, event.end),
            (before, before + raw.len() as u64)
        );
        assert!(event.body.len() + EventHeader::BYTES <= raw.len());
        if let Err(fault) = stream.parse(&event) {
            assert_eq!(fault.offset, event.start);
            assert!(!fault.to_string().is_empty());
        }
    }
}

fn name() -> BinlogFile {
    BinlogFile::new("binlog.000001")
}
