//! Groups items by transaction, decides what is flushed, and packs what is flushed into jobs.
//!
//! States: outside a transaction (nothing held), inside (items held until the end). Canal's rules
//! (ha-meta-store reference §5.1): a transaction reaches the store as a unit unless it has more than
//! `canal.instance.transaction.size` entries; one without rows is dropped, but for one at most every
//! [`EMPTY_EVERY`] of event time or [`EMPTY_RUN_MAX`] transactions. Beside the count, the span of
//! binlog held back is bounded by [`SPAN_BYTES_MAX`], so that what items pin in memory is bounded too.
//!
//! Never drops an item that changes rows, and never reorders.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::pipeline::job::{DecodeJob, Item, ItemBody, JobId};
use crate::pipeline::plan::EncodeSettings;
use crate::pipeline::split::SkipThrough;
use crate::position::{BinlogFile, BinlogPosition};
use crate::store::segment::Resume;

/// Event time, in seconds, after which an empty transaction is let through again.
pub const EMPTY_EVERY: u32 = 5;

/// Empty transactions dropped in a row, after which one is let through.
pub const EMPTY_RUN_MAX: u32 = 8192;

/// Bytes of binlog between the first item held back and the newest; more flushes the transaction in pieces.
pub const SPAN_BYTES_MAX: u64 = 4 << 20;

/// Bytes of entries, as far as can be foreseen, at which a job is closed: its segment stays small beside
/// the ring, and what a job costs once is spread over many rows.
pub const JOB_BYTES: usize = 256 << 10;

/// Lets through one of many: the first after enough event time or after enough were held back.
#[derive(Clone, Copy, Debug, Default)]
struct Throttle {
    last: Option<u32>,
    held_back: u32,
}

impl Throttle {
    fn lets_through(&mut self, timestamp: u32) -> bool {
        let due = match self.last {
            None => true,
            Some(last) => timestamp.abs_diff(last) > EMPTY_EVERY || self.held_back > EMPTY_RUN_MAX,
        };
        if due {
            *self = Self {
                last: Some(timestamp),
                held_back: 0,
            };
        } else {
            self.held_back += 1;
        }
        due
    }
}

/// The items of the transaction in progress.
#[derive(Debug)]
pub struct Transaction {
    entries_max: usize,
    drop_markers: bool,
    items: Vec<Item>,
    holds_changes: bool,
    delivered_piece: bool,
    empties: Throttle,
    markers: Throttle,
}

impl Transaction {
    /// `entries_max` is `canal.instance.transaction.size`; `drop_markers` is
    /// `canal.instance.filter.transaction.entry`.
    #[must_use]
    pub fn new(entries_max: u32, drop_markers: bool) -> Self {
        Self {
            entries_max: entries_max as usize,
            drop_markers,
            items: Vec::new(),
            holds_changes: false,
            delivered_piece: false,
            empties: Throttle::default(),
            markers: Throttle::default(),
        }
    }

    /// Takes an item of the transaction in progress, and flushes a piece if too much is held back.
    pub fn push(&mut self, item: Item, resume: &Resume, jobs: &mut Jobs) {
        self.holds_changes |= is_change(&item);
        let first = self
            .items
            .first()
            .map_or(item.place.start, |i| i.place.start);
        let span = item.place.start.saturating_sub(first) + u64::from(item.place.size);
        self.items.push(item);
        if self.items.len() >= self.entries_max || span >= SPAN_BYTES_MAX {
            self.flush_piece(resume, jobs);
        }
    }

    /// An item of the transaction in progress was delivered before the link broke: its end is owed.
    pub const fn note_delivered(&mut self) {
        self.delivered_piece = true;
    }

    /// The transaction is over; what is held is flushed or, if it changes nothing, dropped.
    pub fn end(&mut self, timestamp: u32, resume: &Resume, jobs: &mut Jobs) {
        if self.holds_changes || self.delivered_piece {
            if self.drop_markers && !self.markers.lets_through(timestamp) {
                self.items.retain(is_change);
            }
            jobs.append(resume, self.items.drain(..));
        } else if !self.items.is_empty() && self.empties.lets_through(timestamp) {
            jobs.append(resume, self.items.drain(..));
        }
        self.forget();
    }

    /// Forgets what is held: the link broke, and the transaction will be read again from its start.
    pub fn forget(&mut self) {
        self.items.clear();
        self.holds_changes = false;
        self.delivered_piece = false;
    }

    /// Flushes what is held, though the transaction goes on.
    pub fn flush_piece(&mut self, resume: &Resume, jobs: &mut Jobs) {
        if !self.holds_changes && !self.delivered_piece {
            return; // only a begin so far: it waits for the first change
        }
        jobs.append(resume, self.items.drain(..));
        self.holds_changes = false;
        self.delivered_piece = true;
    }
}

const fn is_change(item: &Item) -> bool {
    match item.body {
        ItemBody::Begin { .. } | ItemBody::End { .. } => false,
        ItemBody::Rows { .. } | ItemBody::Statement(_) => true,
    }
}

/// Packs flushed items into jobs, each from one binlog file and bounded in items and bytes.
#[derive(Debug)]
pub struct Jobs {
    settings: Arc<EncodeSettings>,
    items_max: usize,
    next_id: u64,
    file: BinlogFile,
    items: Vec<Item>,
    resumes: Vec<Resume>,
    bytes: usize,
    closed: VecDeque<DecodeJob>,
    last: Option<SkipThrough>,
    last_resume: Option<Resume>,
}

impl Jobs {
    /// Jobs of at most `items_max` items, decoded with `settings`.
    #[must_use]
    pub fn new(settings: Arc<EncodeSettings>, items_max: u32) -> Self {
        Self {
            settings,
            items_max: items_max as usize,
            next_id: 0,
            file: BinlogFile::new(""),
            items: Vec::new(),
            resumes: Vec::new(),
            bytes: 0,
            closed: VecDeque::new(),
            last: None,
            last_resume: None,
        }
    }

    /// From here on items come from `file`.
    pub fn enter_file(&mut self, file: &BinlogFile) {
        if *file != self.file {
            self.close();
            self.file = file.clone();
        }
    }

    /// The last item that went into a job.
    #[must_use]
    pub const fn last(&self) -> Option<&SkipThrough> {
        self.last.as_ref()
    }

    /// Where reading begins again for what follows the last item that went into a job.
    #[must_use]
    pub const fn last_resume(&self) -> Option<&Resume> {
        self.last_resume.as_ref()
    }

    /// What went into jobs says nothing about where to go on.
    pub fn forget_last(&mut self) {
        self.last = None;
        self.last_resume = None;
    }

    /// The oldest finished job. Call [`Self::close`] first to have everything.
    pub fn next_job(&mut self) -> Option<DecodeJob> {
        self.closed.pop_front()
    }

    /// Finishes the job being packed.
    pub fn close(&mut self) {
        if self.items.is_empty() {
            return;
        }
        self.closed.push_back(DecodeJob {
            id: JobId(self.next_id),
            file: self.file.clone(),
            resumes: self.resumes.drain(..).collect(),
            items: self.items.drain(..).collect(),
            settings: self.settings.clone(),
        });
        self.next_id += 1;
        self.bytes = 0;
    }

    /// Takes items that share a resume.
    fn append(&mut self, resume: &Resume, items: impl Iterator<Item = Item>) {
        let mut last = None;
        let mut known = self.resumes.last() == Some(resume);
        for mut item in items {
            let bytes = item.entry_bytes();
            let full = self.items.len() >= self.items_max || self.bytes + bytes > JOB_BYTES;
            if full {
                self.close();
            }
            if self.items.is_empty() || !known {
                self.resumes.push(resume.clone());
                known = true;
            }
            item.resume = (self.resumes.len() - 1) as u32;
            self.bytes += bytes;
            last = Some((item.place.start, item.ordinal));
            self.items.push(item);
        }
        if let Some((start, ordinal)) = last {
            self.note_last(start, ordinal);
            self.last_resume = Some(resume.clone());
        }
    }

    fn note_last(&mut self, start: u64, ordinal: u32) {
        match &mut self.last {
            Some(last) if last.position.file == self.file => {
                last.position.offset = start;
                last.ordinal = ordinal;
            }
            last => {
                let position = BinlogPosition::new(self.file.clone(), start);
                *last = Some(SkipThrough { position, ordinal });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::kind::RowKind;
    use crate::pipeline::job::{EventPlace, Statement};
    use crate::store::segment::SubjectId;
    use alloc::boxed::Box;

    fn item(start: u64, body: ItemBody) -> Item {
        let place = EventPlace {
            start,
            size: 10,
            timestamp: 1,
            server_id: 1,
        };
        Item {
            place,
            ordinal: 0,
            subject: SubjectId::NONE,
            resume: 0,
            gtid: None,
            body,
        }
    }

    fn change(start: u64) -> Item {
        let statement = Statement {
            kind: RowKind::Query,
            is_ddl: None,
            sql: "insert".into(),
            schema: None,
            table: None,
            ddl_schema: None,
        };
        item(start, ItemBody::Statement(Box::new(statement)))
    }

    fn resume(offset: u64) -> Resume {
        let boundary = BinlogPosition::new(BinlogFile::new("b.1"), offset);
        Resume {
            boundary,
            gtid_before: None,
            gtid_with: None,
        }
    }

    fn starts(jobs: &mut Jobs) -> Vec<u64> {
        jobs.close();
        core::iter::from_fn(|| jobs.next_job())
            .flat_map(|job| job.items)
            .map(|item| item.place.start)
            .collect()
    }

    /// A transaction was delivered but for its end when the link broke. Read again, it has nothing left
    /// but that end, and must not pass for one without changes.
    #[test]
    fn the_end_of_a_transaction_follows_its_delivered_part_after_a_restart() {
        let mut transaction = Transaction::new(2, false);
        let mut jobs = Jobs::new(Arc::new(EncodeSettings::default()), 2);
        let at = resume(4);
        transaction.push(item(4, ItemBody::Begin { thread_id: 1 }), &at, &mut jobs);
        transaction.push(item(14, ItemBody::End { xid: 1 }), &at, &mut jobs);
        transaction.end(1, &at, &mut jobs);
        assert_eq!(
            starts(&mut jobs),
            [4, 14],
            "one without changes is let through now and then"
        );

        let at = resume(24);
        transaction.push(item(24, ItemBody::Begin { thread_id: 1 }), &at, &mut jobs);
        transaction.push(change(34), &at, &mut jobs);
        assert_eq!(
            starts(&mut jobs),
            [24, 34],
            "a piece is delivered at two entries"
        );
        transaction.forget();
        transaction.note_delivered();
        transaction.note_delivered();
        transaction.push(item(44, ItemBody::End { xid: 2 }), &at, &mut jobs);
        transaction.end(1, &at, &mut jobs);
        assert_eq!(starts(&mut jobs), [44]);
    }
}
