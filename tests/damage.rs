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

/// A log that can be damaged.
struct Patient {
    name: String,
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
        let mut start = 4;
        while let Some(size) = bytes.get(start + 9..start + 13) {
            let end = start + u32::from_le_bytes(size.try_into()?) as usize;
            events.push(start..end);
            start = end;
        }
        Ok(Self {
            name: name.into(),
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

    /// Decodes `bytes` in place of the log: the fault, if any. The rows must be those in front of `place`.
    fn decode(&self, bytes: &[u8], place: usize) -> Result<Option<String>> {
        let path = self.scratch.path().join("log.000001");
        fs::write(&path, bytes)?;
        let (rows, fault) = corpus::decode(&path)?;
        let before = self
            .rows
            .iter()
            .take_while(|row| row.offset < place as u64)
            .count();
        ensure!(
            rows == self.rows[..before],
            "{} rows, while {before} lie in front of {place}",
            rows.len()
        );
        Ok(fault.map(|fault| fault.to_string()))
    }
}

#[test]
fn what_lies_in_front_of_the_end_of_a_cut_off_file_is_printed() -> Result<()> {
    for (name, step) in LOGS {
        let log = Patient::new(name)?;
        for len in (0..log.bytes.len()).step_by(step) {
            let start = log.start_of(len);
            let fault = log
                .decode(&log.bytes[..len], start)
                .with_context(|| format!("{name} cut off at {len}"))?;
            let is_between = len == start && len > 4;
            match fault {
                // between two transactions a file may end
                None => ensure!(is_between, "{name} cut off at {len}: not noticed"),
                Some(fault) => ensure!(
                    fault.starts_with(&format!("log.000001 at offset {start}: "))
                        || is_between && fault.starts_with(&format!("log.000001:{start}: ")),
                    "{name} cut off at {len}: {fault}"
                ),
            }
        }
    }
    Ok(())
}

#[test]
fn no_flipped_bit_goes_unnoticed() -> Result<()> {
    for (name, step) in LOGS {
        let log = Patient::new(name)?;
        for at in (0..log.bytes.len()).step_by(step) {
            for mask in [1 << (at % 8), 0xff] {
                let mut bytes = log.bytes.clone();
                bytes[at] ^= mask;
                judge(&log, &bytes, at)
                    .with_context(|| format!("{name}, byte {at} ^ {mask:#x}"))?;
            }
        }
    }
    Ok(())
}

fn judge(log: &Patient, bytes: &[u8], at: usize) -> Result<()> {
    let start = log.start_of(at);
    // the flag that the server itself sets and clears in place is not covered by the checksum
    let flags = log.events[0].start + 17;
    let only_in_use = at == flags && bytes[at] ^ log.bytes[at] == EventFlags::IN_USE.0 as u8;
    let place = if only_in_use { usize::MAX } else { start };
    match log.decode(bytes, place)? {
        None => ensure!(only_in_use, "not noticed"),
        Some(fault) => ensure!(
            [" at offset ", ":"]
                .iter()
                .any(|it| fault.starts_with(&format!("log.000001{it}{start}: "))),
            "{}: {fault}",
            log.name
        ),
    }
    Ok(())
}
