//! A binlog *file* as a sequence of raw events; nothing is verified but that it is one
//! (binlog-parser reference §2.1).
//!
//! The reader expects the four bytes of magic, then events end to end. It holds no bytes: what is whole
//! is split off the caller's buffer without a copy, what is not stays there.

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use crate::binlog::event::{EventFlags, EventHeader, EventType};
use crate::position::{BinlogFile, BinlogPosition};

/// Most bytes of one event: the server's own limit of a packet, 1 GiB.
pub const EVENT_BYTES_MAX: usize = 1 << 30;

/// Whether the server has closed a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileState {
    /// It was closed.
    Closed,
    /// It is being written, or the server crashed while it was.
    InUse,
}

/// Cuts a binlog file into raw events.
#[derive(Clone, Debug)]
pub struct FileReader {
    file: BinlogFile,
    offset: u64,
    state: FileState,
}

impl FileReader {
    /// Reads `file` from its first byte.
    #[must_use]
    pub const fn new(file: BinlogFile) -> Self {
        Self {
            file,
            offset: 0,
            state: FileState::Closed,
        }
    }

    /// The next whole event of `buffer`, header to checksum; none if it must first be filled further.
    ///
    /// # Errors
    /// The bytes are not those of a binlog file.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, FileFault> {
        if self.offset == 0 {
            let Some(&magic) = buffer.first_chunk() else {
                return Ok(None);
            };
            self.check_magic(magic)?;
            let _ = buffer.split_to(magic.len());
            self.offset = BinlogPosition::FIRST_EVENT;
        }
        let Ok(header) = EventHeader::parse(buffer) else {
            return Ok(None);
        };
        let size = header.size as usize;
        if !(EventHeader::BYTES..=EVENT_BYTES_MAX).contains(&size) {
            return Err(self.fault(FileProblem::EventSize(header.size)));
        }
        if buffer.len() < size {
            return Ok(None);
        }
        if header.event_type == EventType::FORMAT_DESCRIPTION
            && header.flags.contains(EventFlags::IN_USE)
        {
            self.state = FileState::InUse;
        }
        self.offset += u64::from(header.size);
        Ok(Some(buffer.split_to(size).freeze()))
    }

    /// That there is no more to read; `left` is what [`Self::next`] has left in the buffer.
    ///
    /// # Errors
    /// The file ends inside its magic or inside an event.
    pub fn finish(&self, left: &[u8]) -> Result<FileState, FileFault> {
        if self.offset == 0 {
            return Err(self.fault(FileProblem::NoMagic { found: left.len() }));
        }
        if left.is_empty() {
            return Ok(self.state);
        }
        let stated = EventHeader::parse(left).ok().map(|header| header.size);
        Err(self.fault(FileProblem::CutOff {
            found: left.len(),
            stated,
            state: self.state,
        }))
    }

    /// Offset of the next event.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    fn check_magic(&self, magic: [u8; 4]) -> Result<(), FileFault> {
        let kind = match magic {
            MAGIC => return Ok(()),
            MAGIC_ENCRYPTED => return Err(self.fault(FileProblem::Encrypted)),
            [0x1f, 0x8b, ..] => "a gzip file: unpack it first",
            [0x28, 0xb5, 0x2f, 0xfd] => "a zstd file: unpack it first",
            [0xfd, b'7', b'z', b'X'] => "an xz file: unpack it first",
            [b'B', b'Z', b'h', _] => "a bzip2 file: unpack it first",
            [b'P', b'K', ..] => "a zip file: unpack it first",
            text if text
                .iter()
                .all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n')) =>
            {
                "a text, such as an index file or the output of mysqlbinlog"
            }
            _ => "something unknown",
        };
        Err(self.fault(FileProblem::Foreign {
            magic: u32::from_be_bytes(magic),
            kind,
        }))
    }

    fn fault(&self, problem: FileProblem) -> FileFault {
        FileFault {
            file: self.file.clone(),
            offset: self.offset,
            problem,
        }
    }
}

/// A file that is not the binlog file that it should be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{file} at offset {offset}: {problem}")]
pub struct FileFault {
    /// The file.
    pub file: BinlogFile,
    /// Where it is wrong.
    pub offset: u64,
    /// What is wrong.
    pub problem: FileProblem,
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FileProblem {
    /// It is not a binlog file.
    #[error("not a binlog file: begins with {magic:08x}, not fe62696e; it looks like {kind}")]
    Foreign {
        /// Its first four bytes.
        magic: u32,
        /// What has such bytes.
        kind: &'static str,
    },
    /// It is encrypted by MySQL (`binlog_encryption`).
    #[error(
        "an encrypted binlog file: only its server can read it; fetch it with \
         `mysqlbinlog --read-from-remote-server --raw`"
    )]
    Encrypted,
    /// It is shorter than its magic.
    #[error("has {found} bytes, too few for a binlog file")]
    NoMagic {
        /// Its bytes.
        found: usize,
    },
    /// An event of an impossible size.
    #[error("an event of {0} bytes, while events have 19 to 1073741824: the file is damaged here")]
    EventSize(u32),
    /// It ends inside an event.
    #[error("{}", cut_off(*.found, *.stated, *.state))]
    CutOff {
        /// Bytes that there are of the event.
        found: usize,
        /// Bytes that the event should have, if that can be told.
        stated: Option<u32>,
        /// Whether the server closed the file.
        state: FileState,
    },
}

fn cut_off(found: usize, stated: Option<u32>, state: FileState) -> alloc::string::String {
    let of = stated.map_or_else(alloc::string::String::new, |n| alloc::format!(" of {n}"));
    let why = match state {
        FileState::Closed => "it was cut off, though its server had closed it: copy it again",
        FileState::InUse => "it is still being written, or was cut off when its server crashed",
    };
    alloc::format!("the file ends inside an event, after {found}{of} bytes: {why}")
}

const MAGIC: [u8; 4] = *b"\xfebin";
const MAGIC_ENCRYPTED: [u8; 4] = *b"\xfdbin";

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use std::string::ToString;

    use super::*;

    fn event(event_type: u8, flags: u16, body: &[u8]) -> Vec<u8> {
        let mut raw = Vec::from([0, 0, 0, 0, event_type, 1, 0, 0, 0]);
        raw.extend((19 + body.len() as u32).to_le_bytes());
        raw.extend([0; 4]);
        raw.extend(flags.to_le_bytes());
        raw.extend(body);
        raw
    }

    fn reader() -> FileReader {
        FileReader::new(BinlogFile::new("binlog.000001"))
    }

    #[test]
    fn events_come_whole_however_the_bytes_come() {
        let events = [
            event(15, 0, &[1; 40]),
            event(3, 0, &[]),
            event(16, 0, &[2; 8]),
        ];
        let file: Vec<u8> = MAGIC.into_iter().chain(events.concat()).collect();
        for piece in [1, 7, 20, 1000] {
            let (mut reader, mut buffer, mut got) = (reader(), BytesMut::new(), Vec::new());
            for chunk in file.chunks(piece) {
                buffer.extend_from_slice(chunk);
                while let Some(raw) = reader.next(&mut buffer).unwrap() {
                    got.push(raw.to_vec());
                }
            }
            assert_eq!(got, events);
            assert_eq!(reader.offset(), file.len() as u64);
            assert_eq!(reader.finish(&buffer), Ok(FileState::Closed));
        }
    }

    #[test]
    fn a_file_cut_off_says_whether_it_is_in_use() {
        for (flags, expected) in [(0, "copy it again"), (1, "still being written")] {
            let mut buffer = BytesMut::from(&MAGIC[..]);
            buffer.extend(event(15, flags, &[]));
            let mut reader = reader();
            assert!(reader.next(&mut buffer).unwrap().is_some());
            let state = if flags == 0 {
                FileState::Closed
            } else {
                FileState::InUse
            };
            assert_eq!(reader.finish(&buffer), Ok(state));
            buffer.extend(&event(16, 0, &[2; 8])[..20]);
            assert_eq!(reader.next(&mut buffer), Ok(None));
            let text = reader.finish(&buffer).unwrap_err().to_string();
            assert!(text.starts_with("binlog.000001 at offset 23: the file ends inside an event"));
            assert!(text.contains("after 20 of 27 bytes"), "{text}");
            assert!(text.contains(expected), "{text}");
            let text = reader.finish(&[1, 2]).unwrap_err().to_string();
            assert!(text.contains("after 2 bytes"), "{text}");
        }
    }

    #[test]
    fn a_foreign_file_is_named() {
        let cases: [(&[u8], &str); 5] = [
            (b"\x1f\x8b\x08\x00", "gzip"),
            (b"\x28\xb5\x2f\xfd", "zstd"),
            (b"./binlog.000001", "text"),
            (b"\x00\x01\x02\x03", "00010203"),
            (b"\xfdbin", "an encrypted binlog file"),
        ];
        for (bytes, expected) in cases {
            let text = reader()
                .next(&mut BytesMut::from(bytes))
                .unwrap_err()
                .to_string();
            assert!(text.contains(expected), "{text}");
        }
        assert_eq!(reader().next(&mut BytesMut::from(&b"\xfeb"[..])), Ok(None));
        let fault = reader().finish(b"\xfeb").unwrap_err();
        assert_eq!(fault.problem, FileProblem::NoMagic { found: 2 });
    }

    #[test]
    fn an_impossible_size_is_damage() {
        for size in [0, 18, EVENT_BYTES_MAX as u32 + 1, u32::MAX] {
            let mut raw = event(16, 0, &[2; 8]);
            raw[9..13].copy_from_slice(&size.to_le_bytes());
            let mut buffer = BytesMut::from(&MAGIC[..]);
            buffer.extend(raw);
            let fault = reader().next(&mut buffer).unwrap_err();
            assert_eq!(
                (fault.offset, fault.problem),
                (4, FileProblem::EventSize(size))
            );
        }
    }
}
