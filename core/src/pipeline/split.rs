//! The serial stage: from raw events to items, in the order of the log.
//!
//! It follows files and offsets, transactions, tables and GTIDs, decides what becomes an entry, and
//! packs items into jobs. It stops at the first thing that it cannot account for, and names it; what
//! came before is delivered.
//!
//! States of a group (a transaction, or a statement of its own): outside; announced, once its GTID or
//! first event was seen; begun. States of a schema: known, or asked for: then events wait undecoded
//! while [`lookahead`](super::lookahead) looks through them for DDL.
//!
//! It never decodes a row, never reorders, and skips only what a filter or the log itself excludes.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::binlog::event::Event;
use crate::binlog::payload::Payload;
use crate::binlog::stream::EventStream;
use crate::filter::Verdicts;
use crate::pipeline::fault::SplitFault;
use crate::pipeline::gtids::GtidTracker;
use crate::pipeline::horizon::Horizon;
use crate::pipeline::job::{DecodeJob, EventPlace, GtidStamp, Item, ItemBody};
use crate::pipeline::lookahead::Lookahead;
use crate::pipeline::plan::EncodeSettings;
use crate::pipeline::selection::Selection;
use crate::pipeline::tables::{Snapshot, Tables};
use crate::pipeline::transaction::{Jobs, Transaction};
use crate::position::{BinlogFile, BinlogPosition};
use crate::schema::table::TableName;
use crate::store::segment::{Resume, SubjectId};

/// What to do with the rows of a table whose columns are in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoubtPolicy {
    /// Stop.
    Stop,
    /// Withhold its rows, record the range, and go on with the other tables.
    Quarantine,
    /// Name its columns `@1 @2 …`: for reading files, where nobody can be asked.
    Anonymous,
}

/// The habits of the serial stage.
#[derive(Clone, Debug)]
pub struct SplitConfig {
    /// How values are shown.
    pub encode: Arc<EncodeSettings>,
    /// Entries of a transaction that are delivered as a unit.
    pub transaction_entries: u32,
    /// Whether most begin and end entries are left out.
    pub drop_transaction_entries: bool,
    /// What to do about doubt.
    pub doubt: DoubtPolicy,
    /// Bytes of binlog that may wait for a schema's proof.
    pub lookahead_bytes: u64,
    /// Whether the source folds names to lower case (`lower_case_table_names`).
    pub fold_names: bool,
}

/// The last entry that need not be made again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SkipThrough {
    /// File and start of its event.
    pub position: BinlogPosition,
    /// Which entry of that event.
    pub ordinal: u32,
}

/// A new beginning of the stream, at a place between groups.
#[derive(Clone, Debug)]
pub struct Restart {
    /// Follows the events from there.
    pub stream: EventStream,
    /// The transactions before that place.
    pub gtids: GtidTracker,
    /// Entries that need not be made, besides those that went into jobs.
    pub skip: Option<SkipThrough>,
    /// Whether the source folds names to lower case.
    pub fold_names: bool,
}

/// A range of a table's rows that was withheld.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withheld {
    /// The table.
    pub table: TableName,
    /// Start of the rows event.
    pub from: BinlogPosition,
    /// Its end.
    pub to: BinlogPosition,
}

/// Where in a group the stream is.
#[derive(Clone, Debug)]
pub(super) enum Group {
    Outside,
    Announced(GroupPlace),
    Begun(GroupPlace),
}

/// What all entries of a group share.
#[derive(Clone, Debug)]
pub(super) struct GroupPlace {
    pub(super) resume: Resume,
    pub(super) stamp: Option<Arc<GtidStamp>>,
    /// Whether statements of the group happen. A two-phase ALTER of MariaDB happens at its commit.
    pub(super) takes_effect: bool,
}

impl Group {
    const fn place(&self) -> Option<&GroupPlace> {
        match self {
            Self::Announced(place) | Self::Begun(place) => Some(place),
            Self::Outside => None,
        }
    }

    /// Leaves the group.
    pub(super) fn take(&mut self) -> Option<GroupPlace> {
        match core::mem::replace(self, Self::Outside) {
            Self::Announced(place) | Self::Begun(place) => Some(place),
            Self::Outside => None,
        }
    }
}

/// The serial stage of one destination.
#[derive(Debug)]
pub struct Splitter {
    pub(super) config: SplitConfig,
    pub(super) stream: EventStream,
    pub(super) selection: Selection,
    pub(super) tables: Tables,
    pub(super) lookahead: Lookahead,
    pub(super) group: Group,
    pub(super) gtids: GtidTracker,
    pub(super) withheld: Vec<Withheld>,
    transaction: Transaction,
    jobs: Jobs,
    skip: Option<SkipThrough>,
}

impl Splitter {
    /// The serial stage for events of `stream`, from a place between groups on.
    #[must_use]
    pub fn new(
        config: SplitConfig,
        stream: EventStream,
        selection: Selection,
        gtids: GtidTracker,
    ) -> Self {
        let transaction =
            Transaction::new(config.transaction_entries, config.drop_transaction_entries);
        let jobs = Jobs::new(config.encode.clone(), config.transaction_entries);
        Self {
            lookahead: Lookahead::new(config.lookahead_bytes),
            config,
            stream,
            selection,
            tables: Tables::default(),
            group: Group::Outside,
            gtids,
            withheld: Vec::new(),
            transaction,
            jobs,
            skip: None,
        }
    }

    /// Takes one whole raw event.
    ///
    /// # Errors
    /// The stage stops here: it is not to be fed again until [`Self::restart`].
    pub fn handle_event(&mut self, raw: Bytes) -> Result<(), SplitFault> {
        if !self.lookahead.is_waiting() {
            return self.process(&raw);
        }
        self.lookahead.push(raw, self.config.fold_names)?;
        self.proceed()
    }

    /// Takes what the server says of a table, with the server's position after it said so.
    ///
    /// # Errors
    /// As [`Self::handle_event`].
    pub fn handle_snapshot(
        &mut self,
        name: TableName,
        snapshot: Snapshot,
    ) -> Result<(), SplitFault> {
        self.tables.remember(name, snapshot);
        self.proceed()
    }

    /// From here on entries are made that pass any of `filters`; rows under way keep their treatment.
    pub fn replace_filters(&mut self, filters: Vec<Verdicts>) {
        self.selection.replace_filters(filters);
        self.tables.forget_treatments();
    }

    /// The link broke: what is not yet in a job is forgotten, and will be read again from a place
    /// between groups. Entries up to the last one that went into a job are not made again.
    pub fn restart(&mut self, restart: Restart) {
        self.stream = restart.stream;
        self.gtids = restart.gtids;
        self.config.fold_names = restart.fold_names;
        self.group = Group::Outside;
        self.transaction.forget();
        // What is read again may lie before a DDL that was passed, with maps that look the same.
        self.tables.forget_ids();
        self.tables.forget_treatments();
        self.lookahead.clear();
        self.skip = self.jobs.last().cloned().max(restart.skip);
    }

    /// Reading begins at a place that has nothing to do with what was read before: what went into jobs
    /// neither says where to go on nor what to skip.
    pub fn forget_place(&mut self) {
        self.jobs.forget_last();
        self.skip = None;
    }

    /// Another log is read from here on, or the same one behind a gap: neither the places of the former nor
    /// what was known of its tables counts.
    pub fn switch_source(&mut self) {
        self.forget_place();
        self.tables.forget_snapshots();
        self.lookahead.forget_surveyed();
    }

    /// What waits for the proof of a table is given up, to be read again after a survey. What there is
    /// to survey begins where the returned horizon ends: where reading will begin again, or behind what
    /// was surveyed before. `at` is the place of the map that waits.
    pub fn begin_survey(&mut self, at: &BinlogPosition) -> Horizon {
        self.lookahead.clear();
        let group = self.group.place().map(|place| &place.resume);
        let again = self.resume().or(group).map(|resume| &resume.boundary);
        let from = again.filter(|again| *again < at).unwrap_or(at).clone();
        self.lookahead.survey_from(from)
    }

    /// Whether the columns of a table whose rows lie in the stretch `ahead` will have to be asked for.
    pub fn will_want(&mut self, table: &TableName, ahead: &Horizon) -> bool {
        if self.selection.table(table).is_none() {
            return false;
        }
        match self.tables.snapshot(table) {
            Some(snapshot) => ahead.touches_after(table, &snapshot.at),
            None => true,
        }
    }

    /// Where the server stood when it answered for `table`, if it has.
    #[must_use]
    pub fn answered_at(&self, table: &TableName) -> Option<&BinlogPosition> {
        self.tables.snapshot(table).map(|snapshot| &snapshot.at)
    }

    /// Another stretch of the log has been surveyed for DDL.
    pub fn learn(&mut self, surveyed: Horizon) {
        self.lookahead.learn(surveyed);
    }

    /// The table whose columns have to be asked of the server, if one holds the stream up and was not
    /// asked for since [`Self::handle_snapshot`] last answered.
    #[must_use]
    pub fn wanted_table(&self) -> Option<&TableName> {
        let table = self.lookahead.table()?;
        self.tables.snapshot(table).is_none().then_some(table)
    }

    /// The table that holds the stream up, if one does.
    #[must_use]
    pub fn waits_for(&self) -> Option<&TableName> {
        self.lookahead.table()
    }

    /// Bytes of binlog that wait undecoded.
    #[must_use]
    pub const fn waiting_bytes(&self) -> u64 {
        self.lookahead.bytes()
    }

    /// The next job. At the end of input, call [`Self::close_job`] first so that nothing waits for more.
    pub fn next_job(&mut self) -> Option<DecodeJob> {
        self.jobs.next_job()
    }

    /// Ends the job being packed.
    pub fn close_job(&mut self) {
        self.jobs.close();
    }

    /// The input ends here, though perhaps not the transaction: what is held of it goes into jobs, and the
    /// last job is closed. Returns where the transaction began that has no end, if there is one.
    pub fn end_of_input(&mut self) -> Option<BinlogPosition> {
        let open = self.group.take().map(|place| {
            self.transaction.flush_piece(&place.resume, &mut self.jobs);
            place.resume.boundary
        });
        self.transaction.forget();
        self.jobs.close();
        open
    }

    /// Ranges withheld since this was last asked, for the record beside the cursors.
    pub fn take_withheld(&mut self) -> Vec<Withheld> {
        core::mem::take(&mut self.withheld)
    }

    /// Where the stream stands.
    #[must_use]
    pub fn position(&self) -> Option<BinlogPosition> {
        self.stream.position()
    }

    /// Where reading can begin again so that nothing after the last entry in a job is missed.
    #[must_use]
    pub const fn resume(&self) -> Option<&Resume> {
        self.jobs.last_resume()
    }

    /// The last entry that went into a job.
    #[must_use]
    pub const fn last(&self) -> Option<&SkipThrough> {
        self.jobs.last()
    }

    /// The names behind subjects.
    #[must_use]
    pub const fn selection(&self) -> &Selection {
        &self.selection
    }

    /// Goes on with what waits, as far as it can.
    fn proceed(&mut self) -> Result<(), SplitFault> {
        while let Some(waiting) = self.lookahead.take_waiting() {
            if let Some(still) = self.settle_table(waiting)? {
                self.lookahead.wait_again(still);
                return Ok(());
            }
            while !self.lookahead.is_waiting() {
                let Some(raw) = self.lookahead.pop() else {
                    return Ok(());
                };
                self.process(&raw)?;
            }
        }
        Ok(())
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "handle_other takes all the rest"
    )]
    fn process(&mut self, raw: &Bytes) -> Result<(), SplitFault> {
        let event = self.stream.accept(raw)?;
        let payload = self.stream.parse(&event)?;
        match payload {
            Payload::Rows(rows) => self.handle_rows(raw, &event, &rows),
            Payload::TableMap(map) => self.handle_table_map(raw, &event, &map),
            Payload::Query(query) => self.handle_query(&event, &query),
            Payload::Xid(xid) => {
                self.handle_end(&event, xid);
                Ok(())
            }
            other => self.handle_other(&event, other),
        }
    }

    /// The file that the stream is in.
    pub(super) fn file(&self) -> BinlogFile {
        self.stream
            .file()
            .cloned()
            .unwrap_or_else(|| BinlogFile::new(""))
    }

    /// The place of an event, for faults.
    pub(super) fn at(&self, event: &Event<'_>) -> BinlogPosition {
        BinlogPosition::new(self.file(), event.start)
    }

    /// The group that `event` belongs to; it opens one if none is open.
    pub(super) fn group_place(&mut self, event: &Event<'_>) -> &GroupPlace {
        if matches!(self.group, Group::Outside) {
            self.group = Group::Announced(GroupPlace {
                resume: self.gtids.resume(self.at(event)),
                stamp: None,
                takes_effect: true,
            });
        }
        self.group.place().expect("it was opened if there was none")
    }

    /// Makes an item of `event`, unless it was delivered before.
    pub(super) fn emit(&mut self, event: &Event<'_>, subject: SubjectId, body: ItemBody) {
        let gtid = self.group_place(event).stamp.clone();
        let file = self.file();
        if self.was_delivered(&file, event.start) {
            return self.transaction.note_delivered();
        }
        self.jobs.enter_file(&file);
        let place = EventPlace {
            start: event.start,
            size: event.header.size,
            timestamp: event.header.timestamp,
            server_id: event.header.server_id,
        };
        let item = Item {
            place,
            ordinal: 0,
            subject,
            resume: 0,
            gtid,
            body,
        };
        if let Some(group) = self.group.place() {
            self.transaction.push(item, &group.resume, &mut self.jobs);
        }
    }

    /// The group is over: what it holds is flushed.
    pub(super) fn close_group(&mut self, event: &Event<'_>) {
        let Some(place) = self.group.take() else {
            return;
        };
        self.transaction
            .end(event.header.timestamp, &place.resume, &mut self.jobs);
        self.gtids.commit();
        if self.lookahead.is_surveyed()
            && let Some(position) = self.stream.position()
        {
            self.lookahead.passed(&position);
        }
    }

    /// The server died before it ended the group: nobody committed what it holds.
    pub(super) fn abandon_group(&mut self) {
        self.group = Group::Outside;
        self.transaction.forget();
    }

    fn was_delivered(&mut self, file: &BinlogFile, start: u64) -> bool {
        let Some(skip) = &self.skip else { return false };
        if *file > skip.position.file
            || (*file == skip.position.file && start > skip.position.offset)
        {
            self.skip = None;
            return false;
        }
        true
    }
}

/// The text of a name or message of the log.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
