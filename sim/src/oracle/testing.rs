//! A small history, the entries that it makes, and canald's record, for hand-made journals.

use std::sync::Arc;
use std::time::Duration;

use canald_core::entry::proto::{
    Column, Entry, EntryType, EventType, Header, Pair, RowChange, RowData, TransactionBegin,
    TransactionEnd,
};
use prost::Message as _;

use crate::journal::{ClientRecord, DiskRecord, Oracle, Record, SourceRecord, Violation};
use crate::model::history::{Body, Committed, Ddl, Row, RowKind, RowsEvent, Table};
use crate::plan::{ClientPlan, Flavor, Options, Temper};

pub(crate) const FILE: &str = "bin.000001";

/// Bytes between the starts of transactions.
const STRIDE: u64 = 1_000;

/// Bytes of every event.
const EVENT: u64 = 50;

fn start(number: u64) -> u64 {
    4 + number * STRIDE
}

fn committed(number: u64, body: Body) -> Arc<Committed> {
    let end = match &body {
        Body::Rows(events) => start(number) + EVENT * (events.len() as u64 + 3),
        Body::Ddl(_) => start(number) + 2 * EVENT,
    };
    Arc::new(Committed {
        number,
        file: FILE.into(),
        start: start(number),
        end,
        gtid: Some(format!("0-1-{}", number + 1).into()),
        timestamp: 1_700_000_000,
        body,
    })
}

pub(crate) fn table() -> Arc<Table> {
    let column = |name: &str, key| crate::model::history::Column {
        name: name.into(),
        sql_type: "int".into(),
        key,
    };
    Arc::new(Table {
        schema: "s".into(),
        name: "t".into(),
        version: 0,
        columns: vec![column("id", true), column("n", false)],
    })
}

fn image(id: u64, n: Option<&str>) -> Option<Vec<Option<String>>> {
    Some(vec![Some(id.to_string()), n.map(Into::into)])
}

/// A transaction with so many events of two inserted rows each.
pub(crate) fn inserts(number: u64, events: u64) -> Arc<Committed> {
    let rows = |nth: u64| {
        let ids = [2 * nth, 2 * nth + 1].into_iter();
        let row = |id| Row {
            before: None,
            after: image(id, Some("x")),
        };
        ids.map(row).collect()
    };
    let event = |nth: u64| RowsEvent {
        start: start(number) + EVENT * (2 + nth),
        table: table(),
        kind: RowKind::Insert,
        rows: rows(nth),
    };
    committed(number, Body::Rows((0..events).map(event).collect()))
}

/// A transaction that changes a row: NULL becomes a value.
pub(crate) fn update(number: u64) -> Arc<Committed> {
    let row = Row {
        before: image(1, None),
        after: image(1, Some("y")),
    };
    let event = RowsEvent {
        start: start(number) + EVENT * 2,
        table: table(),
        kind: RowKind::Update,
        rows: vec![row],
    };
    committed(number, Body::Rows(vec![event]))
}

/// A transaction without changes.
pub(crate) fn empty(number: u64) -> Arc<Committed> {
    committed(number, Body::Rows(Vec::new()))
}

/// A statement.
pub(crate) fn ddl(number: u64) -> Arc<Committed> {
    let ddl = Ddl {
        start: start(number) + EVENT,
        schema: "s".into(),
        table: "t".into(),
        sql: "ALTER TABLE t ADD c int".into(),
        kind: "ALTER",
    };
    committed(number, Body::Ddl(ddl))
}

fn header(c: &Committed, offset: u64) -> Header {
    Header {
        version: Some(1),
        logfile_name: Some(c.file.to_string()),
        logfile_offset: Some(offset as i64),
        execute_time: Some(i64::from(c.timestamp) * 1_000),
        event_length: Some(EVENT as i64),
        schema_name: Some(String::new()),
        table_name: Some(String::new()),
        gtid: c.gtid.as_deref().map(Into::into),
        ..Header::default()
    }
}

fn entry(header: Header, entry_type: EntryType, value: Vec<u8>) -> Entry {
    Entry {
        header: Some(header),
        entry_type: Some(entry_type as i32),
        store_value: Some(value.into()),
    }
}

const fn kind(kind: RowKind) -> EventType {
    match kind {
        RowKind::Insert => EventType::Insert,
        RowKind::Update => EventType::Update,
        RowKind::Delete => EventType::Delete,
    }
}

fn columns(event: &RowsEvent, row: &Row, is_after: bool) -> Vec<Column> {
    let image = if is_after { &row.after } else { &row.before };
    let Some(image) = image else {
        return Vec::new();
    };
    let columns = event.table.columns.iter().zip(image).enumerate();
    let column =
        |(i, (column, value)): (usize, (&crate::model::history::Column, &Option<String>))| {
            let differs = row.before.as_ref().is_none_or(|before| before[i] != *value);
            Column {
                index: Some(i as i32),
                name: Some(column.name.clone()),
                is_key: Some(column.key),
                updated: Some(is_after && differs),
                is_null: Some(value.is_none()),
                value: value.clone(),
                ..Column::default()
            }
        };
    columns.map(column).collect()
}

fn rows_entry(c: &Committed, event: &RowsEvent) -> Entry {
    let row = |row: &Row| RowData {
        before_columns: columns(event, row, false),
        after_columns: columns(event, row, true),
        props: Vec::new(),
    };
    let change = RowChange {
        table_id: Some(7),
        event_type: Some(kind(event.kind) as i32),
        is_ddl: Some(false),
        row_datas: event.rows.iter().map(row).collect(),
        ..RowChange::default()
    };
    let rows = Pair {
        key: Some("rowsCount".into()),
        value: Some(event.rows.len().to_string()),
    };
    let header = Header {
        schema_name: Some(event.table.schema.clone()),
        table_name: Some(event.table.name.clone()),
        event_type: Some(kind(event.kind) as i32),
        props: vec![rows],
        ..header(c, event.start)
    };
    entry(header, EntryType::RowData, change.encode_to_vec())
}

fn ddl_entry(c: &Committed, ddl: &Ddl) -> Entry {
    let change = RowChange {
        event_type: Some(EventType::Alter as i32),
        is_ddl: Some(true),
        sql: Some(ddl.sql.clone()),
        ddl_schema_name: Some(ddl.schema.clone()),
        ..RowChange::default()
    };
    let header = Header {
        schema_name: Some(ddl.schema.clone()),
        table_name: Some(ddl.table.clone()),
        event_type: Some(EventType::Alter as i32),
        ..header(c, ddl.start)
    };
    entry(header, EntryType::RowData, change.encode_to_vec())
}

/// The entries of a transaction, as a client must get them.
pub(crate) fn entries(c: &Committed) -> Vec<Entry> {
    let events = match &c.body {
        Body::Ddl(ddl) => return vec![ddl_entry(c, ddl)],
        Body::Rows(events) => events,
    };
    let begin = TransactionBegin::default().encode_to_vec();
    let end = TransactionEnd {
        transaction_id: Some("1".into()),
        ..TransactionEnd::default()
    };
    let at = |offset| header(c, offset);
    let mut entries = vec![entry(
        at(c.start + EVENT),
        EntryType::TransactionBegin,
        begin,
    )];
    entries.extend(events.iter().map(|event| rows_entry(c, event)));
    entries.push(entry(
        at(c.end - EVENT),
        EntryType::TransactionEnd,
        end.encode_to_vec(),
    ));
    entries
}

/// A world with clients of these ids.
pub(crate) fn options(ids: &[i16]) -> Options {
    Options {
        flavor: Flavor::Mariadb,
        gtid: true,
        full_metadata: true,
        checksum: true,
        rows_per_event: 2,
        ring_entries: 16,
        ring_unit: 1_024,
        count_entries: true,
        transaction_entries: 4,
        ddl_isolation: false,
        window: 4_096,
        segment: 1_024,
        latency: (Duration::ZERO, Duration::from_millis(5)),
        disk_latency: Duration::from_millis(5),
        reader_idle: Duration::from_secs(60),
        clients: ids
            .iter()
            .map(|id| ClientPlan {
                id: *id,
                batch: 4,
                temper: Temper::Good,
            })
            .collect(),
    }
}

fn log_position(offset: u64, is_acked: bool) -> String {
    let place = |offset: u64| {
        format!(
            r#""gtid":"","included":false,"journalName":"{FILE}","position":{offset},"serverId":1,"timestamp":1"#
        )
    };
    let boundary = 4 + (offset - 4) / STRIDE * STRIDE;
    let last = format!(r#""lastAcked":{{{}}},"#, place(offset));
    let last = if is_acked { last } else { String::new() };
    format!(
        r#"{{"identity":{{"slaveId":-1,"sourceAddress":{{"address":"source","port":3306}}}},"postion":{{{}}},"canald":{{"identity":"u",{last}"resume":{{"journalName":"{FILE}","position":{boundary}}}}}}}"#,
        place(offset)
    )
}

/// A record of canald with a start, and with clients whose last acknowledged entry is at an offset.
pub(crate) fn record_file(
    generation: u32,
    start: Option<(&str, u64)>,
    clients: &[(i16, Option<u64>)],
) -> Vec<u8> {
    let start = start.map(|(_, offset)| format!(r#""start":{},"#, log_position(offset, false)));
    let clients = clients.iter().map(|(id, acked)| {
        let cursor = acked.map(|offset| format!(r#","cursor":{}"#, log_position(offset, true)));
        let cursor = cursor.unwrap_or_default();
        format!(r#"{{"clientIdentity":{{"clientId":{id},"filter":""}}{cursor}}}"#)
    });
    let clients = clients.collect::<Vec<_>>().join(",");
    let start = start.unwrap_or_default();
    let body = format!(r#"{{"generation":{generation},{start}"clientDatas":[{clients}]}}"#);
    let numbers = format!("1 {}", body.len());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(numbers.as_bytes());
    hasher.update(body.as_bytes());
    let crc = hasher.finalize();
    format!("canald-meta {numbers} {crc:08x}\n{body}").into_bytes()
}

/// The folder of the destination is safe, with such a record.
pub(crate) fn safe(clients: &[(i16, Option<u64>)]) -> Record {
    let file = record_file(1, Some((FILE, 4)), clients);
    Record::Disk(DiskRecord::FolderSynced {
        folder: "data/example".into(),
        holds: vec![("data/example/canald.meta".into(), file.into())],
    })
}

pub(crate) fn commit(c: &Arc<Committed>) -> Record {
    Record::Source(SourceRecord::Committed(c.clone()))
}

pub(crate) fn subscribed(place: u8, connection: u32) -> Record {
    Record::Client(place, ClientRecord::Subscribed { connection })
}

pub(crate) fn got(place: u8, connection: u32, batch: i64, entries: &[Entry]) -> Record {
    let entries = Arc::new(entries.to_vec());
    Record::Client(
        place,
        ClientRecord::Got {
            connection,
            batch,
            entries,
        },
    )
}

pub(crate) fn nothing(place: u8, connection: u32) -> Record {
    Record::Client(place, ClientRecord::Nothing { connection })
}

pub(crate) fn acked(place: u8, connection: u32, batch: i64) -> Record {
    Record::Client(place, ClientRecord::Acked { connection, batch })
}

pub(crate) fn rolled_back(place: u8, connection: u32, from: Option<i64>) -> Record {
    Record::Client(place, ClientRecord::RolledBack { connection, from })
}

/// Shows an oracle a journal, a second between records: what it says first, if anything.
pub(crate) fn judge(
    oracle: &mut dyn Oracle,
    journal: impl IntoIterator<Item = Record>,
) -> Option<Violation> {
    for (second, record) in journal.into_iter().enumerate() {
        if let Err(violation) = oracle.see(Duration::from_secs(second as u64), &record) {
            return Some(violation);
        }
    }
    None
}
