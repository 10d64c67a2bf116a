//! How far the source is read ahead of the slowest client (P5): a slow client slows the source.
//!
//! Entries that the slowest client has not acknowledged are somewhere between the source and that client,
//! and every place there has a bound:
//!
//! | Place | Holds at most |
//! |---|---|
//! | the ring | [`Options::ring_entries`] entries |
//! | jobs being decoded | [`JOBS_MAX`] of [`Options::transaction_entries`] entries |
//! | the job being packed, and the transaction being held | as much each |
//! | the buffer of the link, or what was last read from it | [`READ_BYTES`] and an event |
//! | the network | a window and a segment each way, and an event at the source |
//!
//! So of the log behind that many entries, the source can have sent no more than the buffers hold. The
//! ring's bound in bytes is soft by a segment and lower at most, so it adds nothing.
//!
//! Not judged: a world where maps do not carry names, because there canald may read up to 64 MiB ahead to
//! prove what a table was; transactions without changes, which pass through and stay nowhere; clients that
//! have been silent for [`Options::reader_idle`] while others were not, which hold nothing any more.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::journal::{ClientRecord, Oracle, Record, SourceRecord, Violation};
use crate::model::history::{Body, Committed};
use crate::oracle::expected::{Expected, file_number};
use crate::oracle::{broken, client_ids};
use crate::plan::Options;

/// Jobs that are decoded at a time, at most.
const JOBS_MAX: usize = 16;

/// What canald reads from a link at a time, in bytes, at most.
const READ_BYTES: u64 = 256 << 10;

/// The journal sees a client's requests so much later than canald, at most.
const SEEN_LATE: Duration = Duration::from_secs(5);

/// Judges how far the source is read ahead.
#[derive(Debug)]
pub struct Bounds {
    ids: Vec<i16>,
    judged: bool,
    /// A reader that was silent for so long holds perhaps no entries while others do.
    idle: Duration,
    /// Entries that may wait, at most.
    entries: usize,
    /// Bytes of log that may be in buffers besides, at most, but for the events that are cut.
    bytes: u64,
    /// The largest transaction so far: no event is larger.
    largest: u64,
    history: Expected,
    readers: BTreeMap<i16, Reader>,
    open: BTreeMap<u8, VecDeque<(i64, usize)>>,
}

/// What is known of a client id.
#[derive(Clone, Copy, Debug, Default)]
struct Reader {
    /// Entries before it are acknowledged, or were never for it; none before its first entry.
    place: Option<usize>,
    last_seen: Duration,
}

impl Bounds {
    /// Has seen nothing yet.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        let transaction = options.transaction_entries as usize;
        let (window, segment) = (options.window as u64, options.segment as u64);
        Self {
            ids: client_ids(options),
            judged: options.full_metadata,
            idle: options.reader_idle.saturating_sub(SEEN_LATE),
            entries: options.ring_entries as usize + (JOBS_MAX + 2) * transaction,
            bytes: READ_BYTES + window + segment,
            largest: 0,
            history: Expected::default(),
            readers: BTreeMap::new(),
            open: BTreeMap::new(),
        }
    }

    fn client(&mut self, now: Duration, place: u8, record: &ClientRecord) {
        let reader = self
            .readers
            .entry(self.ids[usize::from(place)])
            .or_default();
        let open = self.open.entry(place).or_default();
        match record {
            ClientRecord::Refused { .. } | ClientRecord::Ended { .. } => return,
            ClientRecord::Subscribed { .. } | ClientRecord::RolledBack { from: None, .. } => {
                open.clear();
            }
            ClientRecord::RolledBack {
                from: Some(from), ..
            } => open.retain(|(batch, _)| batch < from),
            ClientRecord::Got { batch, entries, .. } => {
                let numbers = entries.iter().map(|entry| self.history.find(entry));
                let numbers: Vec<usize> = numbers.filter_map(Result::ok).collect();
                if let (Some(first), Some(last)) = (numbers.first(), numbers.last()) {
                    reader.place.get_or_insert(*first);
                    open.push_back((*batch, last + 1));
                }
            }
            ClientRecord::Acked { batch, .. } => {
                if let Some((_, end)) = open.pop_front_if(|(open, _)| open == batch) {
                    reader.place = reader.place.max(Some(end));
                }
            }
            ClientRecord::Nothing { .. } | ClientRecord::AckedWrongly { .. } => {}
        }
        reader.last_seen = now;
    }

    /// Where the slowest client stands that holds entries.
    fn slowest(&self, now: Duration) -> usize {
        let active = |reader: &&Reader| now.saturating_sub(reader.last_seen) < self.idle;
        let places = |reader: &Reader| reader.place;
        let slowest = self
            .readers
            .values()
            .filter(active)
            .filter_map(places)
            .min();
        let fastest = || self.readers.values().filter_map(places).max();
        slowest.or_else(fastest).unwrap_or(0)
    }

    fn sent(&self, now: Duration, file: &str, offset: u64) -> Result<(), String> {
        let slowest = self.slowest(now);
        let beyond = slowest + self.entries;
        let place = (file_number(file), offset);
        let log = self.history.transactions_from(beyond).skip(1);
        let log =
            log.take_while(|committed| (file_number(&committed.file), committed.start) < place);
        let sizes = log.map(|committed| bytes_before(committed, place));
        let ahead: u64 = sizes.sum();
        // An event is cut at the source, and one at canald.
        let limit = self.bytes + 2 * self.largest;
        if ahead <= limit {
            return Ok(());
        }
        let slowest = self.history.describe(slowest);
        Err(format!(
            "the source has sent the log up to {file}:{offset}, {ahead} bytes more than the {} entries \
             that may wait behind {slowest}, where the slowest client stands; {limit} bytes are allowed",
            self.entries
        ))
    }
}

/// Bytes of a transaction before a place in the log; nothing of one that makes no entries.
fn bytes_before(committed: &Committed, (file, offset): (u64, u64)) -> u64 {
    if matches!(&committed.body, Body::Rows(events) if events.is_empty()) {
        return 0;
    }
    match file_number(&committed.file).cmp(&file) {
        std::cmp::Ordering::Less => committed.end - committed.start,
        std::cmp::Ordering::Equal => offset.min(committed.end).saturating_sub(committed.start),
        std::cmp::Ordering::Greater => 0,
    }
}

impl Oracle for Bounds {
    fn see(&mut self, now: Duration, record: &Record) -> Result<(), Violation> {
        match record {
            Record::Source(SourceRecord::Committed(committed)) => {
                self.largest = self.largest.max(committed.end - committed.start);
                self.history.commit(committed);
            }
            Record::Source(SourceRecord::Sent { file, offset, .. }) if self.judged => {
                let sent = self.sent(now, file, *offset);
                return sent.map_err(|text| broken("bounds", "P5", text));
            }
            Record::Client(place, record) => self.client(now, *place, record),
            Record::Source(_)
            | Record::Daemon(_)
            | Record::Disk(_)
            | Record::Network(_)
            | Record::ZooKeeper(_)
            | Record::Fault(_)
            | Record::Healed => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::testing::{FILE, acked, commit, entries, got, inserts, judge, options};

    /// Transactions of 250 bytes and four entries each.
    const TRANSACTIONS: u64 = 2_000;

    fn sent(offset: u64) -> Record {
        Record::Source(SourceRecord::Sent {
            connection: 0,
            file: FILE.into(),
            offset,
        })
    }

    fn judged(full_metadata: bool, acknowledged: u64, offset: u64) -> Option<Violation> {
        let mut options = options(&[1]);
        options.full_metadata = full_metadata;
        let commits: Vec<_> = (0..TRANSACTIONS).map(|n| inserts(n, 2)).collect();
        let batches = (0..acknowledged).flat_map(|n| {
            let entries = entries(&commits[n as usize]);
            [got(0, 0, n as i64 + 1, &entries), acked(0, 0, n as i64 + 1)]
        });
        let journal = commits.iter().map(commit).chain(batches);
        judge(&mut Bounds::new(&options), journal.chain([sent(offset)]))
    }

    #[test]
    fn what_fits_between_source_and_client_may_be_sent() {
        assert_eq!(judged(true, 0, 500_000), None);
        assert_eq!(judged(true, 1_950, 2_000_000), None);
    }

    #[test]
    fn a_source_that_runs_ahead_of_the_slowest_client_is_seen() {
        let violation = judged(true, 0, 2_000_000).unwrap();
        assert_eq!(violation.promise, "P5");
        assert!(judged(true, 10, 2_000_000).is_some());
        assert_eq!(
            judged(false, 0, 2_000_000),
            None,
            "look-ahead is its own bound"
        );
    }
}
