//! A hash that is the same on every machine and in every build: what two runs of one plan are compared by,
//! and what stands for bytes in a journal. It keeps nobody out.

use std::fmt;
use std::hash::{Hash as _, Hasher};
use std::time::Duration;

use prost::Message as _;

use crate::journal::{ClientRecord, DiskRecord, Record, SourceRecord};

/// Odd, and its bits are well mixed: the fraction of the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// The hash of all that was fed to it, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest(u64);

impl Digest {
    /// The digest of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> u64 {
        let mut digest = Self::default();
        digest.write(bytes);
        digest.finish()
    }

    /// Feeds a record of a journal.
    pub fn record(&mut self, at: Duration, record: &Record) {
        at.hash(self);
        // What is large is fed as it is; the rest by its text, which tells the kinds apart as well.
        match record {
            Record::Source(SourceRecord::Committed(committed)) => committed.hash(self),
            Record::Client(
                place,
                ClientRecord::Got {
                    connection,
                    batch,
                    entries,
                },
            ) => {
                (*place, *connection, *batch).hash(self);
                for entry in entries.iter() {
                    self.write(&entry.encode_to_vec());
                }
            }
            Record::Disk(DiskRecord::FolderSynced { folder: _, holds })
            | Record::Disk(DiskRecord::PowerLost { holds }) => holds.hash(self),
            Record::Source(_)
            | Record::Client(..)
            | Record::Daemon(_)
            | Record::Disk(_)
            | Record::Network(_)
            | Record::ZooKeeper(_)
            | Record::Fault(_)
            | Record::Healed => fmt::write(self, format_args!("{record:?}")).unwrap_or_default(),
        }
    }

    fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(FACTOR).rotate_left(29);
    }
}

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            let word = word.try_into().expect("the chunks have eight bytes");
            self.word(u64::from_le_bytes(word));
        }
        let mut last = [0; 8];
        let rest = words.remainder();
        last[..rest.len()].copy_from_slice(rest);
        // The length too: zeros at the end count.
        self.word(u64::from_le_bytes(last) ^ (bytes.len() as u64) << 56);
    }

    fn finish(&self) -> u64 {
        let mixed = self.0 ^ (self.0 >> 32);
        mixed.wrapping_mul(FACTOR) ^ (mixed >> 29)
    }
}

impl fmt::Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_length_and_every_byte_count() {
        let texts: [&[u8]; 8] = [
            b"",
            b"\0",
            b"\0\0",
            b"a",
            b"abcdefgh",
            b"abcdefgi",
            b"abcdefgh\0",
            b"hgfedcba",
        ];
        let digests: std::collections::BTreeSet<u64> =
            texts.iter().map(|t| Digest::of(t)).collect();
        assert_eq!(digests.len(), texts.len());
        let mut parts = Digest::default();
        parts.record(Duration::ZERO, &Record::Healed);
        let mut later = Digest::default();
        later.record(Duration::from_nanos(1), &Record::Healed);
        assert_ne!(parts, later);
    }
}
