//! A serial stage that reads a growing log as a dump.

use super::*;
use crate::pipeline::job::DecodeJob;
use crate::pipeline::testing::format_until;
use alloc::format;

pub(super) const MYSQL: &str = "8.4.13";
pub(super) const MARIADB: &str = "10.11.19-MariaDB-log";
pub(super) const FILE: &str = "bin.000001";

/// The table id by which the rig's maps call `d.name`.
fn table_id(name: &str) -> u8 {
    name.bytes().fold(1, u8::wrapping_add)
}

/// How a rig differs from canald's defaults.
pub(super) struct Habits {
    pub(super) version: &'static str,
    pub(super) white: &'static str,
    pub(super) filter: FilterConfig,
    pub(super) transaction_entries: u32,
    pub(super) doubt: DoubtPolicy,
    pub(super) lookahead_bytes: u64,
    pub(super) gtids: GtidTracker,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            version: MYSQL,
            white: "",
            filter: filter_config(),
            transaction_entries: 1024,
            doubt: DoubtPolicy::Anonymous,
            lookahead_bytes: 1 << 20,
            gtids: GtidTracker::off(),
        }
    }
}

/// A serial stage and the log that it reads.
pub(super) struct Rig {
    pub(super) splitter: Splitter,
    version: &'static str,
    log: Log,
    /// Seconds in the headers of what is written.
    pub(super) time: u32,
}

impl Rig {
    pub(super) fn new(habits: Habits) -> Self {
        let split = SplitConfig {
            encode: Arc::new(EncodeSettings::default()),
            transaction_entries: habits.transaction_entries,
            drop_transaction_entries: habits.filter.drop_transaction_entries,
            doubt: habits.doubt,
            lookahead_bytes: habits.lookahead_bytes,
            fold_names: false,
        };
        let columns = ColumnFilter::parse("", "").unwrap();
        let selection = Selection::new(habits.filter, columns, filter(habits.white));
        let stream = EventStream::for_dump();
        let mut rig = Self {
            splitter: Splitter::new(split, stream, selection, habits.gtids),
            version: habits.version,
            log: Log::new(FILE),
            time: 1_000,
        };
        rig.open(rig.end());
        rig
    }

    pub(super) fn place(&self, offset: u64) -> BinlogPosition {
        BinlogPosition::new(self.log.end().file, offset)
    }

    /// Where the next event will begin.
    pub(super) fn end(&self) -> u64 {
        self.log.end().offset
    }

    fn open(&mut self, offset: u64) {
        let [rotate, _] = opening(&self.place(offset));
        self.splitter.handle_event(rotate).unwrap();
        self.splitter.handle_event(format(self.version)).unwrap();
    }

    /// The server goes on in `file`.
    pub(super) fn rotate(&mut self, file: &str) {
        self.log = Log::new(file);
        self.open(self.end());
    }

    /// The server dies where it is, and begins a new life in `file`.
    pub(super) fn restart_server(&mut self, file: &str) {
        self.log = Log::new(file);
        let [rotate, _] = opening(&self.place(BinlogPosition::FIRST_EVENT));
        self.splitter.handle_event(rotate).unwrap();
        let format = format_until(self.version, self.end() as u32);
        self.splitter.handle_event(format).unwrap();
    }

    /// The link broke, and reading begins again at `offset`.
    pub(super) fn read_again_from(
        &mut self,
        offset: u64,
        skip: Option<SkipThrough>,
    ) -> Result<(), SplitFault> {
        self.splitter.restart(Restart {
            stream: EventStream::for_dump(),
            gtids: GtidTracker::off(),
            skip,
            fold_names: false,
        });
        self.open(offset);
        let mut events = self.log.from(offset).into_iter();
        events.try_for_each(|raw| self.splitter.handle_event(raw))
    }

    /// Appends an event, and reads it; where it begins.
    pub(super) fn try_add(
        &mut self,
        event_type: EventType,
        body: &[u8],
    ) -> Result<u64, SplitFault> {
        let start = self.end();
        let mut raw = self.log.add(event_type, body).to_vec();
        raw[..4].copy_from_slice(&self.time.to_le_bytes());
        self.splitter.handle_event(raw.into())?;
        Ok(start)
    }

    pub(super) fn add(&mut self, event_type: EventType, body: &[u8]) -> u64 {
        self.try_add(event_type, body).unwrap()
    }

    pub(super) fn statement(&mut self, sql: &str) -> u64 {
        self.add(EventType::QUERY, &query_body(sql))
    }

    pub(super) fn begin(&mut self) -> u64 {
        self.statement("BEGIN")
    }

    pub(super) fn commit(&mut self) -> u64 {
        self.add(EventType::XID, &[5, 0, 0, 0, 0, 0, 0, 0])
    }

    /// A map of `d.name`; where it begins.
    pub(super) fn map(&mut self, name: &str) -> u64 {
        let start = self.end();
        let raw = self.log.table(table_id(name), name, Metadata::Minimal);
        self.splitter.handle_event(raw).unwrap();
        start
    }

    /// A map of `d.name` and a row of it; where the row begins.
    pub(super) fn row(&mut self, name: &str, id: u32) -> u64 {
        self.map(name);
        self.add(EventType::WRITE_ROWS, &rows_body(table_id(name), &[id]))
    }

    /// A transaction of one row; where it begins.
    pub(super) fn transaction(&mut self, name: &str, id: u32) -> u64 {
        let start = self.begin();
        self.row(name, id);
        self.commit();
        start
    }

    /// The jobs that came out since.
    pub(super) fn jobs(&mut self) -> Vec<DecodeJob> {
        self.splitter.close_job();
        core::iter::from_fn(|| self.splitter.next_job()).collect()
    }

    pub(super) fn bodies(&mut self) -> Vec<Item> {
        self.jobs().into_iter().flat_map(|job| job.items).collect()
    }

    /// Kind and place of everything that came out since.
    pub(super) fn items(&mut self) -> Vec<(&'static str, u64)> {
        let kind = |item: Item| {
            let kind = match item.body {
                ItemBody::Begin { .. } => "begin",
                ItemBody::End { .. } => "end",
                ItemBody::Rows { .. } => "rows",
                ItemBody::Statement(_) => "statement",
            };
            (kind, item.place.start)
        };
        self.bodies().into_iter().map(kind).collect()
    }

    /// How many rows entries came out since.
    pub(super) fn rows(&mut self) -> usize {
        let items = self.items();
        items.iter().filter(|(kind, _)| *kind == "rows").count()
    }

    /// Table and column of the rows entries that came out since.
    pub(super) fn columns(&mut self) -> Vec<String> {
        let shown = |item: Item| match item.body {
            ItemBody::Rows { plan, .. } => {
                Some(format!("{}.{}", plan.name(), plan.columns[0].name))
            }
            ItemBody::Begin { .. } | ItemBody::End { .. } | ItemBody::Statement(_) => None,
        };
        self.bodies().into_iter().filter_map(shown).collect()
    }

    /// The server says at the offset `at` that `d.name` has one INT called `column`.
    pub(super) fn say(&mut self, name: &str, column: &str, at: u64) -> Result<(), SplitFault> {
        let name = TableName::new("d", name);
        let mut said = snapshot(&name, self.place(at));
        for said in said
            .schema
            .iter_mut()
            .flat_map(|schema| &mut schema.columns)
        {
            said.name = column.into();
        }
        self.splitter.handle_snapshot(name, said)
    }
}
