//! The files, decoded by canald, against the history.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use canald_core::binlog::file::FileReader;
use canald_core::binlog::stream::EventStream;
use canald_core::config::{FilterConfig, SubscribeFilter};
use canald_core::entry::proto::{Column, Content, Entry, EventType, RowChange};
use canald_core::filter::{ColumnFilter, ListKind, TableFilter, TableJudge, Verdicts};
use canald_core::pipeline::decode::decode;
use canald_core::pipeline::gtids::GtidTracker;
use canald_core::pipeline::plan::EncodeSettings;
use canald_core::pipeline::selection::Selection;
use canald_core::pipeline::split::{DoubtPolicy, SplitConfig, Splitter};
use canald_core::pipeline::tables::Snapshot;
use canald_core::position::BinlogFile;
use canald_core::schema::table::{ColumnSchema, TableName, TableSchema};

use super::{all_options, define, options, simulate, source, work};
use crate::journal::Journal;
use crate::model::history::{Body, Committed, Row, RowKind, RowsEvent};
use crate::model::source::value::expected;
use crate::model::source::{SCHEMA, Source};
use crate::plan::{Act, Change, Flavor};

/// What a client would see, of either side.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Begin,
    Rows {
        file: String,
        offset: u64,
        timestamp: u32,
        table: String,
        /// Name, type, and whether it is of the key.
        columns: Vec<(String, String, bool)>,
        kind: RowKind,
        rows: Vec<Row>,
    },
    Ddl {
        file: String,
        offset: u64,
        table: String,
        kind: String,
        sql: String,
    },
    End,
}

/// What the history says.
pub(super) fn told(history: &[Arc<Committed>]) -> Vec<Seen> {
    let mut seen = Vec::new();
    for committed in history {
        match &committed.body {
            Body::Rows(events) => {
                seen.push(Seen::Begin);
                seen.extend(events.iter().map(|event| told_rows(committed, event)));
                seen.push(Seen::End);
            }
            Body::Ddl(ddl) => seen.push(Seen::Ddl {
                file: committed.file.to_string(),
                offset: ddl.start,
                table: ddl.table.clone(),
                kind: ddl.kind.into(),
                sql: ddl.sql.clone(),
            }),
        }
    }
    seen
}

fn told_rows(committed: &Committed, event: &RowsEvent) -> Seen {
    let columns = event.table.columns.iter();
    Seen::Rows {
        file: committed.file.to_string(),
        offset: event.start,
        timestamp: committed.timestamp,
        table: event.table.name.clone(),
        columns: columns
            .map(|column| {
                (
                    column.name.clone(),
                    without_width(&column.sql_type),
                    column.key,
                )
            })
            .collect(),
        kind: event.kind,
        rows: event.rows.clone(),
    }
}

/// A type without the width at which MariaDB displays integers: no TABLE_MAP knows it.
fn without_width(sql_type: &str) -> String {
    match sql_type.split_once("int(") {
        Some((head, tail)) => {
            let rest = tail.split_once(')').map_or("", |(_, rest)| rest);
            format!("{head}int{rest}")
        }
        None => sql_type.into(),
    }
}

/// Canald's serial stage and decoder, for a source whose tables are as they are at the end.
pub(super) struct Decoder {
    splitter: Splitter,
    source: Source,
    pub(super) seen: Vec<Seen>,
}

impl Decoder {
    pub(super) fn new(source: &Source, stream: EventStream) -> Self {
        let nothing = |kind| Arc::new(TableFilter::compile("", kind).unwrap());
        let judge = TableJudge::new(vec![nothing(ListKind::White)], nothing(ListKind::Black));
        let columns = ColumnFilter::parse("", "").unwrap();
        let selection = Selection::new(no_filter(), columns, vec![Verdicts::new(judge)]);
        let config = SplitConfig {
            encode: Arc::new(EncodeSettings::default()),
            transaction_entries: 1024,
            drop_transaction_entries: false,
            doubt: DoubtPolicy::Stop,
            lookahead_bytes: 64 << 20,
            fold_names: false,
        };
        Self {
            splitter: Splitter::new(config, stream, selection, GtidTracker::off()),
            source: source.clone(),
            seen: Vec::new(),
        }
    }

    pub(super) fn take(&mut self, raw: Bytes) {
        self.splitter.handle_event(raw).unwrap();
        while let Some(name) = self.splitter.wanted_table().cloned() {
            let at = self.splitter.position().unwrap();
            let schema = self.schema(&name);
            self.splitter
                .handle_snapshot(name, Snapshot { schema, at })
                .unwrap();
        }
        self.splitter.close_job();
        while let Some(job) = self.splitter.next_job() {
            let decoded = decode(job);
            assert_eq!(decoded.fault, None);
            let entries = 0..decoded.segment.slots.len();
            let entries = entries.map(|slot| Entry::read(decoded.segment.entry(slot)).unwrap());
            self.seen.extend(entries.filter_map(|entry| seen(&entry)));
        }
    }

    fn schema(&self, name: &TableName) -> Option<TableSchema> {
        let inner = self.source.lock();
        let shape = inner.tables.named(&name.schema, &name.table)?;
        let columns = shape.kinds.iter().zip(&shape.table.columns);
        let columns = columns.map(|(kind, column)| ColumnSchema {
            name: column.name.clone(),
            column_type: column.sql_type.clone(),
            charset: kind.is_text().then(|| "utf8mb4".into()),
            is_key: column.key,
            nullable: Some(kind.is_nullable()),
        });
        Some(TableSchema {
            name: name.clone(),
            columns: columns.collect(),
        })
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

fn seen(entry: &Entry) -> Option<Seen> {
    let header = entry.header.clone().unwrap();
    Some(match entry.content().unwrap() {
        Content::Begin(_) => Seen::Begin,
        Content::End(_) => Seen::End,
        Content::Nothing(_) => return None,
        Content::Change(change) if change.is_ddl() => Seen::Ddl {
            file: header.logfile_name().into(),
            offset: header.logfile_offset().cast_unsigned(),
            table: header.table_name().into(),
            kind: change.event_type().name().into(),
            sql: change.sql().into(),
        },
        Content::Change(change) => {
            assert_eq!(header.schema_name(), SCHEMA);
            let first = &change.row_datas[0];
            let shown = if first.after_columns.is_empty() {
                &first.before_columns
            } else {
                &first.after_columns
            };
            Seen::Rows {
                file: header.logfile_name().into(),
                offset: header.logfile_offset().cast_unsigned(),
                timestamp: (header.execute_time() / 1000) as u32,
                table: header.table_name().into(),
                columns: shown
                    .iter()
                    .map(|c| (c.name().into(), without_width(c.mysql_type()), c.is_key()))
                    .collect(),
                kind: row_kind(&change),
                rows: change
                    .row_datas
                    .iter()
                    .map(|row| Row {
                        before: image(&row.before_columns),
                        after: image(&row.after_columns),
                    })
                    .collect(),
            }
        }
    })
}

fn row_kind(change: &RowChange) -> RowKind {
    let kinds = [
        (EventType::Insert, RowKind::Insert),
        (EventType::Update, RowKind::Update),
        (EventType::Delete, RowKind::Delete),
    ];
    let own = |(shown, _): &(EventType, RowKind)| *shown == change.event_type();
    kinds.into_iter().find(own).expect("rows").1
}

fn image(columns: &[Column]) -> Option<Vec<Option<String>>> {
    let value = |column: &Column| column.text().map(str::to_owned);
    (!columns.is_empty()).then(|| columns.iter().map(value).collect())
}

/// All files, decoded one by one.
fn decode_files(source: &Source) -> Vec<Seen> {
    let files: Vec<_> = {
        let inner = source.lock();
        let files = inner.log.files.iter();
        files
            .map(|file| (file.name.clone(), file.content()))
            .collect()
    };
    let mut seen = Vec::new();
    for (name, content) in files {
        let name = BinlogFile::new(&name);
        let mut reader = FileReader::new(name.clone());
        let mut decoder = Decoder::new(source, EventStream::for_file(name));
        let mut buffer = BytesMut::from(&content[..]);
        while let Some(raw) = reader.next(&mut buffer).unwrap() {
            decoder.take(raw);
        }
        reader.finish(&buffer).unwrap();
        assert_eq!(reader.offset(), content.len() as u64);
        seen.append(&mut decoder.seen);
    }
    seen
}

/// Both sides without transactions that changed nothing: canald passes on few of those.
#[track_caller]
pub(super) fn assert_same(seen: &[Seen], told: &[Seen]) {
    let (seen, told) = (without_empty(seen), without_empty(told));
    for (index, (seen, told)) in seen.iter().zip(&told).enumerate() {
        assert_eq!(seen, told, "entry {index}");
    }
    assert_eq!(seen.len(), told.len());
}

fn without_empty(all: &[Seen]) -> Vec<&Seen> {
    let mut kept: Vec<&Seen> = Vec::new();
    for seen in all {
        if *seen == Seen::End && kept.last() == Some(&&Seen::Begin) {
            kept.pop();
        } else {
            kept.push(seen);
        }
    }
    kept
}

#[test]
fn every_kind_of_log_decodes_to_its_history() {
    for options in all_options() {
        simulate(async {
            let source = source(&options);
            work(&source);
            if options.full_metadata {
                define(&source);
            }
            assert_same(&decode_files(&source), &told(&source.history()));
        });
    }
}

#[test]
fn a_row_of_the_history_is_what_its_id_and_revision_say() {
    simulate(async {
        let source = source(&options(Flavor::Mysql, true, true, true));
        work(&source);
        define(&source);
        let mut rows = 0;
        for committed in source.history() {
            let Body::Rows(events) = &committed.body else {
                continue;
            };
            for event in events {
                let table = event.table.name[1..].parse().unwrap();
                let images = event.rows.iter().flat_map(|row| [&row.before, &row.after]);
                for image in images.flatten() {
                    let number = |index: usize| image[index].as_ref().unwrap();
                    let (id, rev) = (number(0).parse().unwrap(), number(1).parse().unwrap());
                    for (column, value) in event.table.columns.iter().zip(image) {
                        assert_eq!(*value, expected(table, id, rev, &column.name));
                    }
                    rows += 1;
                }
            }
        }
        assert!(rows > 200, "{rows}");
    });
}

#[test]
fn the_same_seed_makes_the_same_files() {
    let files = |seed| {
        simulate(async move {
            let options = options(Flavor::Mysql, true, true, true);
            let journal = Journal::new(Vec::new(), Vec::new());
            let source = Source::new(&options, seed, journal, 5);
            work(&source);
            define(&source);
            let inner = source.lock();
            inner
                .log
                .files
                .iter()
                .map(super::super::log::File::content)
                .collect::<Vec<_>>()
        })
    };
    assert_eq!(files(1), files(1));
    assert_ne!(files(1), files(2));
}

#[test]
fn an_event_beyond_sixteen_mebibytes_decodes() {
    simulate(async {
        let source = source(&options(Flavor::Mysql, true, true, true));
        let large = Change {
            table: 0,
            inserts: 4,
            updates: 2,
            deletes: 0,
            text: 8 << 20,
        };
        source.apply(&Act::Commit {
            changes: vec![large],
        });
        assert!(source.end().1 > 16 << 20);
        assert_same(&decode_files(&source), &told(&source.history()));
    });
}
