//! Binlog events, from bytes to entries.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use canald_core::binlog::event::{EventFlags, EventHeader, EventType};
use canald_core::binlog::format::ChecksumAlgorithm;
use canald_core::binlog::payload::Payload;
use canald_core::binlog::stream::EventStream;
use canald_core::config::{FilterConfig, SubscribeFilter, Zone};
use canald_core::entry::proto::{Content, Entry};
use canald_core::filter::{ColumnFilter, ListKind, TableFilter, TableJudge, Verdicts};
use canald_core::gtid::{GtidSet, MariadbGtidSet, MysqlGtidSet};
use canald_core::mysql::charset::{Charset, collation_charset};
use canald_core::pipeline::decode::{Decoded, decode};
use canald_core::pipeline::fault::SplitFault;
use canald_core::pipeline::gtids::GtidTracker;
use canald_core::pipeline::plan::{CharsetScope, EncodeSettings, MemberText};
use canald_core::pipeline::selection::Selection;
use canald_core::pipeline::split::{DoubtPolicy, Restart, SplitConfig, Splitter};
use canald_core::pipeline::tables::Snapshot;
use canald_core::pipeline::transaction::JOB_BYTES;
use canald_core::position::{BinlogFile, BinlogPosition};
use canald_core::schema::resolve::{Charsets, anonymous};
use canald_core::schema::table::{TableName, TableSchema};
use canald_core::store::segment::{Resume, Segment, SubjectId};
use prost::Message;

use crate::Script;

/// Bytes of binlog that may wait for a schema's proof: little, so that the bound is met.
const LOOKAHEAD_BYTES: u64 = 2048;

const CHECKSUM_BYTES: usize = 4;

/// Splits and decodes the events of the input, which is a binlog file without its magic. Sizes and
/// checksums are set right first, since what has wrong ones is refused before anything else is tried.
///
/// Every slot covers its entry's bytes and says what the entry says; every entry decodes, and
/// encodes again to the same bytes; jobs and look-ahead keep their bounds; and if the link breaks
/// anywhere and reading begins again where the splitter says, the same changes come once each.
///
/// # Panics
/// On a finding.
pub fn events(data: &[u8]) {
    let Some((script, bytes)) = Script::split(data) else {
        return;
    };
    let log = Log::read(bytes);
    if log.events.is_empty() {
        return;
    }
    let habits = Habits::read(script);
    let whole = Run::new(&habits, &log).deliver_all(None);
    let broken = Run::new(&habits, &log).deliver_all(Some(habits.breaks_after % log.events.len()));
    if !broken.lacks_map {
        compare(&whole.delivered, &broken.delivered, &habits);
    }
}

/// The events of an input.
struct Log {
    events: Vec<Bytes>,
    /// The stream before each event.
    streams: Vec<EventStream>,
    /// The columns that each table has at its first map, under made-up names.
    tables: BTreeMap<TableName, TableSchema>,
}

impl Log {
    fn read(mut bytes: &[u8]) -> Self {
        let mut log = Self {
            events: Vec::new(),
            streams: Vec::new(),
            tables: BTreeMap::new(),
        };
        let mut stream = EventStream::for_file(BinlogFile::new("binlog.000001"));
        while let Ok(header) = EventHeader::parse(bytes) {
            let size = (header.size as usize).clamp(EventHeader::BYTES, bytes.len());
            let (event, rest) = bytes.split_at(size);
            bytes = rest;
            let mut event = event.to_vec();
            seal(&mut event, stream.format().checksum);
            log.streams.push(stream.clone());
            if let Ok(accepted) = stream.accept(&event)
                && let Ok(Payload::TableMap(raw)) = stream.parse(&accepted)
                && let Ok(map) = raw.read(stream.format().flavor)
            {
                let schema = anonymous(&map, &CHARSETS);
                log.tables.entry(schema.name.clone()).or_insert(schema);
            }
            log.events.push(event.into());
        }
        log
    }
}

/// Sets size and checksum.
fn seal(event: &mut [u8], algorithm: ChecksumAlgorithm) {
    const TYPE_AT: usize = 4;
    const SIZE_AT: usize = 9;
    const FLAGS_AT: usize = 17;
    let size = (event.len() as u32).to_le_bytes();
    event[SIZE_AT..][..size.len()].copy_from_slice(&size);
    let is_format = event[TYPE_AT] == EventType::FORMAT_DESCRIPTION.0;
    let (Some(end), true) = (
        event
            .len()
            .checked_sub(CHECKSUM_BYTES)
            .filter(|&end| end >= EventHeader::BYTES),
        is_format || algorithm == ChecksumAlgorithm::Crc32,
    ) else {
        return;
    };
    if is_format {
        event[FLAGS_AT] &= !(EventFlags::IN_USE.0 as u8);
    }
    let checksum = crc32fast::hash(&event[..end]).to_le_bytes();
    event[end..].copy_from_slice(&checksum);
}

const CHARSETS: Charsets<'static> = Charsets {
    name: &collation_charset,
    decode: &|_, bytes| String::from_utf8_lossy(bytes).into_owned(),
};

/// What an operator has configured, and what the surroundings do.
struct Habits {
    split: SplitConfig,
    filter: FilterConfig,
    gtids: GtidTracker,
    /// What the server says of a table that it is asked for.
    answer: Answer,
    /// How far the server is ahead of the stream when it answers, in bytes.
    ahead: u64,
    breaks_after: usize,
}

#[derive(Clone, Copy)]
enum Answer {
    NoSuchTable,
    Columns,
}

impl Habits {
    fn read(mut script: Script<'_>) -> Self {
        let mut flags = script.flags();
        let members = if flags.next() {
            MemberText::Label
        } else {
            MemberText::Number
        };
        let (scope, charset) = match flags.next() {
            true => (
                CharsetScope::Always,
                Charset::from_name("GBK").unwrap_or(Charset::Utf8),
            ),
            false => (CharsetScope::Undeclared, Charset::Utf8),
        };
        let mut zone = Zone::utc();
        if flags.next() {
            zone.transitions = vec![(0, 3600), (1_700_000_000, -5400)];
        }
        let answer = if flags.next() {
            Answer::Columns
        } else {
            Answer::NoSuchTable
        };
        let fold_names = flags.next();
        let mut filter = no_filter();
        filter.drop_dml = flags.next();
        filter.drop_transaction_entries = flags.next();
        let doubt = match script.choose(3) {
            0 => DoubtPolicy::Anonymous,
            1 => DoubtPolicy::Stop,
            _ => DoubtPolicy::Quarantine,
        };
        let transaction_entries = match script.choose(8) {
            0 => 1024,
            entries => entries.into(),
        };
        let gtids = match script.choose(3) {
            0 => GtidTracker::off(),
            1 => GtidTracker::after(GtidSet::Mysql(MysqlGtidSet::default())),
            _ => GtidTracker::after(GtidSet::Mariadb(MariadbGtidSet::default())),
        };
        let split = SplitConfig {
            encode: Arc::new(EncodeSettings::new(zone, members, charset, scope)),
            transaction_entries,
            drop_transaction_entries: filter.drop_transaction_entries,
            doubt,
            lookahead_bytes: LOOKAHEAD_BYTES,
            fold_names,
        };
        Self {
            split,
            filter,
            gtids,
            answer,
            ahead: u64::from(script.byte()) * 8,
            breaks_after: script.byte().into(),
        }
    }

    fn splitter(&self, stream: EventStream) -> Splitter {
        let nothing = |kind| TableFilter::compile("", kind).expect("an empty list is one");
        let judge = TableJudge::new(
            vec![Arc::new(nothing(ListKind::White))],
            Arc::new(nothing(ListKind::Black)),
        );
        let columns = ColumnFilter::parse("", "").expect("an empty list is one");
        let selection = Selection::new(self.filter.clone(), columns, vec![Verdicts::new(judge)]);
        Splitter::new(self.split.clone(), stream, selection, self.gtids.clone())
    }
}

fn no_filter() -> FilterConfig {
    FilterConfig {
        white: String::new(),
        black: String::new(),
        fields: String::new(),
        black_fields: String::new(),
        subscribe: SubscribeFilter::Replace,
        drop_dcl: false,
        drop_dml: false,
        drop_ddl: false,
        drop_rows: false,
        drop_transaction_entries: false,
        drop_insert: false,
        drop_update: false,
        drop_delete: false,
        quarantine: false,
    }
}

/// An entry as a client receives it.
#[derive(Clone, Debug, PartialEq)]
struct Delivered {
    offset: u64,
    ordinal: u32,
    marker: Marker,
    bytes: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marker {
    Begin,
    Change,
    End,
}

/// What came of reading a log.
struct Read {
    delivered: Vec<Delivered>,
    /// Rows rely on a map of another transaction, which no server writes: a new beginning does not
    /// see that map.
    lacks_map: bool,
}

/// One reading of a log.
struct Run<'a> {
    habits: &'a Habits,
    log: &'a Log,
    splitter: Splitter,
    delivered: Vec<Delivered>,
}

impl<'a> Run<'a> {
    fn new(habits: &'a Habits, log: &'a Log) -> Self {
        Self {
            habits,
            log,
            splitter: habits.splitter(log.streams[0].clone()),
            delivered: Vec::new(),
        }
    }

    /// Reads on until the end or a fault; after the event `breaks_after` the link breaks once.
    fn deliver_all(mut self, breaks_after: Option<usize>) -> Read {
        let mut breaks_after = breaks_after;
        let (mut next, mut lacks_map) = (0, false);
        while let Some(raw) = self.log.events.get(next) {
            let result = self
                .splitter
                .handle_event(raw.clone())
                .and_then(|()| self.answer());
            assert!(self.splitter.waiting_bytes() <= LOOKAHEAD_BYTES);
            let breaks = breaks_after == Some(next);
            next += 1;
            lacks_map = matches!(result, Err(SplitFault::NoTableMap { .. }));
            if !self.take_jobs() || result.is_err() {
                break;
            }
            if breaks {
                breaks_after = None;
                next = self.restart();
            }
        }
        self.splitter.close_job();
        self.take_jobs();
        Read {
            delivered: self.delivered,
            lacks_map,
        }
    }

    /// Asks the server for the table that holds the stream up, if one does.
    fn answer(&mut self) -> Result<(), SplitFault> {
        while let Some(name) = self.splitter.wanted_table().cloned() {
            let schema = match self.habits.answer {
                Answer::NoSuchTable => None,
                Answer::Columns => self.log.tables.get(&name).cloned(),
            };
            let mut at = self.splitter.position().expect("a file has a name");
            at.offset = at.offset.saturating_add(self.habits.ahead);
            let snapshot = Snapshot { schema, at };
            self.splitter.handle_snapshot(name, snapshot)?;
        }
        Ok(())
    }

    fn take_jobs(&mut self) -> bool {
        self.splitter.close_job();
        while let Some(job) = self.splitter.next_job() {
            assert!(job.items.len() <= self.habits.split.transaction_entries as usize);
            assert!(job.items.len() == 1 || job.entry_bytes() <= JOB_BYTES);
            let items = job.items.len();
            let Decoded { segment, fault } = decode(job);
            assert!(segment.slots.len() <= items);
            assert_eq!(fault.is_none(), segment.slots.len() == items);
            self.take_segment(&segment);
            if fault.is_some() {
                return false;
            }
        }
        true
    }

    fn take_segment(&mut self, segment: &Segment) {
        let mut start = 0;
        for (index, slot) in segment.slots.iter().enumerate() {
            let end = slot.end as usize;
            assert!(start < end, "an entry has bytes");
            let bytes = segment.slice(index, index + 1);
            assert_eq!(bytes.len(), end - start);
            let entry = unwrap_entry(&bytes, slot.entry_len as usize);
            let marker = check_entry(&entry, slot.offset, slot.rows);
            assert!((slot.resume as usize) < segment.resumes.len());
            assert!(marker == Marker::Change || slot.subject == SubjectId::NONE);
            self.delivered.push(Delivered {
                offset: slot.offset,
                ordinal: slot.ordinal,
                marker,
                bytes,
            });
            start = end;
        }
        assert_eq!(start, segment.bytes.len(), "the last slot ends at the end");
    }

    /// Reading begins again where the splitter says; the next event to read.
    fn restart(&mut self) -> usize {
        let resume = self.splitter.resume().cloned();
        let boundary = resume.as_ref().map(|resume| &resume.boundary);
        let index = self.index_of(boundary);
        let gtids = resume.as_ref().and_then(tracker);
        self.splitter.restart(Restart {
            stream: self.log.streams[index].clone(),
            gtids: gtids.unwrap_or_else(|| self.habits.gtids.clone()),
            skip: None,
            fold_names: self.habits.split.fold_names,
        });
        index
    }

    fn index_of(&self, boundary: Option<&BinlogPosition>) -> usize {
        let Some(boundary) = boundary else { return 0 };
        let found = self
            .log
            .streams
            .iter()
            .position(|s| s.position().as_ref() == Some(boundary));
        found.expect("a resume is the start of an event")
    }
}

/// The transactions before a resume.
fn tracker(resume: &Resume) -> Option<GtidTracker> {
    let text = resume
        .gtid_before
        .as_deref()
        .filter(|text| !text.is_empty())?;
    let set = match text.parse::<MariadbGtidSet>() {
        Ok(set) => GtidSet::Mariadb(set),
        Err(_) => GtidSet::Mysql(text.parse().expect("a set that was written is one")),
    };
    Some(GtidTracker::after(set))
}

/// The entry in the bytes of its slot: tag, length, entry.
fn unwrap_entry(bytes: &Bytes, stated: usize) -> Entry {
    const MESSAGES_TAG: u8 = 0x12;
    let mut rest = &bytes[..];
    let (&tag, after) = rest.split_first().expect("an entry has a tag");
    assert_eq!(tag, MESSAGES_TAG);
    rest = after;
    let length = prost::encoding::decode_varint(&mut rest).expect("an entry has a length");
    assert_eq!(length, stated as u64);
    assert_eq!(rest.len(), stated);
    let entry = Entry::decode(rest).expect("an entry is a message");
    assert_eq!(
        entry.encode_to_vec(),
        rest,
        "an entry is written as protobuf writes it"
    );
    entry
}

fn check_entry(entry: &Entry, offset: u64, rows: u32) -> Marker {
    let header = entry.header.as_ref().expect("an entry has a header");
    assert_eq!(header.logfile_offset, Some(offset as i64));
    match entry
        .content()
        .expect("what an entry holds is what it says")
    {
        Content::Begin(_) => Marker::Begin,
        Content::End(_) => Marker::End,
        Content::Change(change) => {
            assert_eq!(change.row_datas.len(), rows as usize);
            let again = change.encode_to_vec();
            assert_eq!(
                Some(again),
                entry.store_value.as_ref().map(|value| value.to_vec())
            );
            Marker::Change
        }
        Content::Nothing(kind) => panic!("an entry of type {kind:?}"),
    }
}

/// A broken link neither loses, repeats nor changes an entry.
fn compare(whole: &[Delivered], broken: &[Delivered], habits: &Habits) {
    let whole = transactions_with_changes(whole, habits);
    let broken = transactions_with_changes(broken, habits);
    let same = whole
        .iter()
        .zip(&broken)
        .take_while(|(a, b)| a == b)
        .count();
    let (expected, found) = (whole.get(same), broken.get(same));
    assert_eq!(
        expected,
        found,
        "entry {same} after a broken link, of {}",
        whole.len()
    );
}

/// What must be the same however often a link breaks: which of the transactions without changes are
/// shown depends on what was shown before, and so does which markers are left out.
fn transactions_with_changes(entries: &[Delivered], habits: &Habits) -> Vec<Delivered> {
    let mut kept: Vec<Delivered> = Vec::new();
    for entry in entries {
        match entry.marker {
            Marker::End if kept.last().is_some_and(|last| last.marker == Marker::Begin) => {
                kept.pop();
            }
            Marker::Begin | Marker::Change | Marker::End => kept.push(entry.clone()),
        }
    }
    if habits.filter.drop_transaction_entries {
        kept.retain(|entry| entry.marker == Marker::Change);
    }
    kept
}
