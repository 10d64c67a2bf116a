//! Damaged and cut off files: what came before is printed, then the place is named. Never a panic, and
//! never a row that the server did not write.

use std::fs;
use std::ops::Range;

use anyhow::{Context as _, Result, ensure};
use canald_core::binlog::event::EventFlags;
use canald_tests::harness::corpus::{self, DecodedRow};
use canald_tests::harness::{Scratch, folder};

/// Logs with checksums that hold a little of everything, and how far apart their damaged bytes lie.
const LOGS: [(&str, usize); 7] = [
    ("mysql97/base-16-gtids", 1),
    ("mysql56/base-16-gtids", 1),
    ("mariadb1011/base-16-gtids", 1),
    ("mariadb118/base-16-gtids", 1),
    ("mysql97/base-21-stopped", 1),
    ("mysql97/minimal-07-dml", 61),
    ("mariadb118/nodup-07-dml", 67),
];

/// What stands in front of the first event.
const MAGIC_BYTES: usize = 4;

/// Where an event has its flags.
const FLAGS_AT: usize = 17;

/// A log that can be damaged.
struct Patient {
    bytes: Vec<u8>,
    /// Where its events lie.
    events: Vec<Range<usize>>,
    rows: Vec<DecodedRow>,
    scratch: Scratch,
}

impl Patient {
    fn new(name: &str) -> Result<Self> {
        let path = folder().join("corpus").join(format!("{name}.binlog"));
        let bytes = fs::read(&path)?;
        let (rows, fault) = corpus::decode(&path)?;
        ensure!(fault.is_none(), "{name} is not sound: {fault:?}");
        let mut events = Vec::new();
        let mut start = MAGIC_BYTES;
        while let Some(size) = bytes.get(start + 9..start + 13) {
            let end = start + u32::from_le_bytes(size.try_into()?) as usize;
            events.push(start..end);
            start = end;
        }
        Ok(Self {
            bytes,
            events,
            rows,
            scratch: Scratch::new()?,
        })
    }

    /// Start of the event that holds `byte`; the magic is not an event.
    fn start_of(&self, byte: usize) -> usize {
        let holds = |event: &&Range<usize>| event.contains(&byte);
        self.events
            .iter()
            .find(holds)
            .map_or(0, |event| event.start)
    }

    /// Decodes `bytes` in place of the log: the place of the fault, if any. The rows must be those in
    /// front of `place`.
    fn decode(&self, bytes: &[u8], place: usize) -> Result<Option<u64>> {
        let path = self.scratch.path().join("log.000001");
        fs::write(&path, bytes)?;
        let (rows, fault) = corpus::decode(&path)?;
        let is_before = |row: &&DecodedRow| row.offset < place as u64;
        let before = self.rows.iter().take_while(is_before).count();
        ensure!(
            rows == self.rows[..before],
            "{} rows, while {before} lie in front of {place}; {fault:?}",
            rows.len()
        );
        let fault = fault.map(|fault| corpus::place_of(&fault.to_string(), &path));
        fault.transpose()
    }
}

#[test]
fn what_lies_in_front_of_the_end_of_a_cut_off_file_is_printed() -> Result<()> {
    for (name, step) in LOGS {
        let log = Patient::new(name)?;
        for len in (0..log.bytes.len()).step_by(step) {
            let start = log.start_of(len);
            let told = log
                .decode(&log.bytes[..len], start)
                .with_context(|| format!("{name} cut off at {len}"))?;
            // between two transactions a file may end
            let may_end = len == start && len >= MAGIC_BYTES;
            ensure!(
                told == Some(start as u64) || told.is_none() && may_end,
                "{name} cut off at {len}, inside what begins at {start}, told as {told:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn no_flipped_bit_goes_unnoticed() -> Result<()> {
    for (name, step) in LOGS {
        let log = Patient::new(name)?;
        for at in (0..log.bytes.len()).step_by(step) {
            let mask = 1 << (at % 8);
            flip(&log, at, mask).with_context(|| format!("{name}, byte {at} ^ {mask:#x}"))?;
        }
    }
    Ok(())
}

fn flip(log: &Patient, at: usize, mask: u8) -> Result<()> {
    let mut bytes = log.bytes.clone();
    bytes[at] ^= mask;
    // the flag that the server itself sets and clears in place is not covered by the checksum
    if at == MAGIC_BYTES + FLAGS_AT && mask == EventFlags::IN_USE.0 as u8 {
        let told = log.decode(&bytes, usize::MAX)?;
        ensure!(told.is_none(), "told at {told:?}");
        return Ok(());
    }
    let start = log.start_of(at);
    let told = log.decode(&bytes, start)?;
    ensure!(
        told == Some(start as u64),
        "in what begins at {start}, told as {told:?}"
    );
    Ok(())
}
