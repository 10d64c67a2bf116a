mod groups;
mod rig;
mod schemas;

use alloc::string::ToString;
use alloc::vec;

use super::*;
use crate::binlog::event::{EventFlags, EventType};
use crate::config::{FilterConfig, Start};
use crate::filter::{ColumnFilter, ListKind, TableFilter, TableJudge};
use crate::pipeline::testing::{Log, Metadata, event, format, opening, query_body, rows_body};
use crate::schema::table::{ColumnSchema, TableSchema};
use crate::source::start::tests::config;

/// Bytes that may wait for a proof.
const LOOKAHEAD_BYTES: u64 = 4096;

fn filter_config() -> FilterConfig {
    config(Start::Latest).filter
}

fn filter(white: &str) -> Vec<Verdicts> {
    let compile = |text, kind| Arc::new(TableFilter::compile(text, kind).unwrap());
    let whites = vec![compile(white, ListKind::White)];
    vec![Verdicts::new(TableJudge::new(
        whites,
        compile("", ListKind::Black),
    ))]
}

/// A splitter that has got to the start of the first event of a [`Log`].
fn splitter(filter_config: FilterConfig, white: &str) -> Splitter {
    let columns = ColumnFilter::parse("", "").unwrap();
    let split = SplitConfig {
        encode: Arc::new(EncodeSettings::default()),
        transaction_entries: 1024,
        drop_transaction_entries: false,
        doubt: DoubtPolicy::Stop,
        lookahead_bytes: LOOKAHEAD_BYTES,
        fold_names: false,
    };
    let selection = Selection::new(filter_config, columns, filter(white));
    let mut splitter = Splitter::new(
        split,
        EventStream::for_dump(),
        selection,
        GtidTracker::off(),
    );
    for raw in opening(&Log::new("bin.000001").end()) {
        splitter.handle_event(raw).unwrap();
    }
    splitter
}

/// What a server says of the table `d.name` of a [`Log`] when its log ends at `at`.
fn snapshot(name: &TableName, at: BinlogPosition) -> Snapshot {
    let column = ColumnSchema {
        name: "id".into(),
        column_type: "int(11)".into(),
        charset: None,
        is_key: true,
        nullable: Some(false),
    };
    let schema = TableSchema {
        name: name.clone(),
        columns: vec![column],
    };
    Snapshot {
        schema: Some(schema),
        at,
    }
}

/// What stops the splitter at an event of this type and body, behind the map of the table 1.
fn stop(splitter: &mut Splitter, event_type: EventType, body: &[u8]) -> Option<String> {
    let mut log = Log::new("bin.000001");
    splitter.handle_event(log.query("BEGIN")).unwrap();
    splitter
        .handle_event(log.table(1, "t", Metadata::Full))
        .unwrap();
    if let Some(table) = splitter.wanted_table().cloned() {
        let said = snapshot(&table, log.end());
        splitter.handle_snapshot(table, said).unwrap();
    }
    let at = log.end();
    let fault = splitter
        .handle_event(log.add(event_type, body))
        .err()?
        .to_string();
    assert!(
        fault.contains(&at.offset.to_string()),
        "{fault} does not say where"
    );
    Some(fault)
}

/// Each is something that holds changes canald cannot deliver: it stops, named, and is never passed over.
#[test]
fn what_cannot_be_delivered_stops_by_name() {
    let rows = rows_body(1, &[7]);
    let xa_prepare = b"\0\x01\0\0\0\x01\0\0\0\0\0\0\0x";
    let compressed = "a compressed event";
    let cases: &[(EventType, &[u8], &str)] = &[
        (
            EventType::BEGIN_LOAD_QUERY,
            b"\x01\0\0\0a,b",
            "a LOAD DATA logged as a statement",
        ),
        (
            EventType::EXECUTE_LOAD_QUERY,
            b"\x01\0\0\0",
            "a LOAD DATA logged as a statement",
        ),
        (EventType::LOAD, b"old", "a LOAD DATA logged as a statement"),
        (
            EventType::NEW_LOAD,
            b"old",
            "a LOAD DATA logged as a statement",
        ),
        (
            EventType::CREATE_FILE,
            b"old",
            "a LOAD DATA logged as a statement",
        ),
        (
            EventType::EXEC_LOAD,
            b"old",
            "a LOAD DATA logged as a statement",
        ),
        (
            EventType::QUERY,
            &query_body("INSERT INTO t VALUES (1)"),
            "(INSERT INTO t VALUES (1))",
        ),
        (
            EventType::QUERY,
            &query_body("UPDATE t SET id = 2"),
            "(UPDATE t SET id = 2)",
        ),
        (
            EventType::QUERY,
            &query_body("DELETE FROM t"),
            "(DELETE FROM t)",
        ),
        (
            EventType::QUERY,
            &query_body("SELECT `d`.`f`(1)"),
            "(SELECT `d`.`f`(1))",
        ),
        (
            EventType::QUERY,
            &query_body("CREATE TABLE u SELECT 1"),
            "(CREATE TABLE u SELECT 1)",
        ),
        (
            EventType::TRANSACTION_PAYLOAD,
            b"\x02\x01\0\x01\x01\x02\0ab",
            "a compressed transaction",
        ),
        (
            EventType::QUERY_COMPRESSED,
            &query_body("\u{1}x"),
            "Query_compressed",
        ),
        (EventType::WRITE_ROWS_COMPRESSED_V1, &rows, compressed),
        (EventType::UPDATE_ROWS_COMPRESSED_V1, &rows, compressed),
        (EventType::DELETE_ROWS_COMPRESSED_V1, &rows, compressed),
        (
            EventType::WRITE_ROWS_COMPRESSED,
            &rows,
            "Write_rows_compressed",
        ),
        (
            EventType::UPDATE_ROWS_COMPRESSED,
            &rows,
            "Update_rows_compressed",
        ),
        (
            EventType::DELETE_ROWS_COMPRESSED,
            &rows,
            "Delete_rows_compressed",
        ),
        (
            EventType::PARTIAL_UPDATE_ROWS,
            &rows,
            "a partial JSON update of d.t",
        ),
        (
            EventType::XA_PREPARE,
            xa_prepare,
            "an XA transaction (XA PREPARE)",
        ),
        (
            EventType::QUERY,
            &query_body("XA START X'31',X'',1"),
            "an XA transaction (XA START",
        ),
        (
            EventType::QUERY,
            &query_body("XA END X'31',X'',1"),
            "an XA transaction (XA END",
        ),
        (
            EventType::QUERY,
            &query_body("XA COMMIT X'31',X'',1"),
            "an XA transaction (XA COMMIT",
        ),
        (
            EventType::QUERY,
            &query_body("XA ROLLBACK X'31',X'',1"),
            "an XA transaction (XA ROLL",
        ),
        (EventType::INCIDENT, b"\x01\0\x04gone", "an incident (gone)"),
        (EventType(99), b"?", "does not know this type"),
        (
            EventType::WRITE_ROWS,
            &rows_body(2, &[7]),
            "table id 2, which no TABLE_MAP",
        ),
    ];
    for (event_type, body, name) in cases {
        let fault = stop(&mut splitter(filter_config(), ""), *event_type, body);
        let fault = fault.unwrap_or_else(|| panic!("{event_type} was passed over"));
        assert!(fault.contains(name), "{event_type}: {fault}");
    }
}

#[test]
fn a_mariadb_group_of_an_xa_transaction_stops_by_name() {
    let mut splitter = splitter(filter_config(), "");
    splitter
        .handle_event(format("5.5.5-10.11.6-MariaDB-log"))
        .unwrap();
    // flags: PREPARED_XA; then format id, lengths of both parts, and the parts
    let body = b"\x01\0\0\0\0\0\0\0\0\0\0\0\x40\x01\0\0\0\x01\0x";
    let raw = Log::new("bin.000001").add(EventType::MARIADB_GTID, body);
    let fault = splitter.handle_event(raw).unwrap_err().to_string();
    assert!(fault.contains("an XA transaction"), "{fault}");
}

#[test]
fn what_says_itself_that_it_may_be_ignored_is_ignored() {
    let mut splitter = splitter(filter_config(), "");
    let end = Log::new("bin.000001").end().offset as u32;
    let raw = event(EventType(99), EventFlags::IGNORABLE, end + 20, b"?");
    splitter.handle_event(raw).unwrap();
    for event_type in [
        EventType::VIEW_CHANGE,
        EventType::TRANSACTION_CONTEXT,
        EventType::APPEND_BLOCK,
        EventType::DELETE_FILE,
    ] {
        assert_eq!(
            stop(&mut self::splitter(filter_config(), ""), event_type, b"x"),
            None
        );
    }
}

/// MariaDB decrypts what it dumps, and tells of it only by an event without a place. A file is another matter.
#[test]
fn an_encrypted_log_is_read_from_its_server_and_not_from_its_file() {
    let raw = event(EventType::START_ENCRYPTION, EventFlags(0), 0, &[1; 21]);
    splitter(filter_config(), "").handle_event(raw).unwrap();
    let mut file = EventStream::for_file(BinlogFile::new("bin.000001"));
    file.accept(&format("5.5.5-10.11.6-MariaDB-log")).unwrap();
    let raw = Log::new("bin.000001").add(EventType::START_ENCRYPTION, &[1; 21]);
    let fault = file.accept(&raw).unwrap_err().to_string();
    assert!(fault.contains("encrypted by MariaDB"), "{fault}");
}

#[test]
fn changes_logged_as_text_are_passed_over_only_if_nobody_wants_them() {
    let insert = query_body("INSERT INTO t VALUES (1)");
    let filled = query_body("CREATE TABLE u SELECT 1");
    let stops = |white, body| {
        stop(
            &mut splitter(filter_config(), white),
            EventType::QUERY,
            body,
        )
        .is_some()
    };
    assert!(!stops(r"d\.t", &filled));
    assert!(stops(r"d\.u", &filled));
    assert!(
        stops(r"d\.other", &insert),
        "triggers may change other tables"
    );
    for (event_type, body) in [
        (EventType::QUERY, insert),
        (EventType::QUERY, filled),
        (EventType::BEGIN_LOAD_QUERY, vec![1]),
        (EventType::EXECUTE_LOAD_QUERY, vec![1]),
    ] {
        let config = FilterConfig {
            drop_dml: true,
            ..filter_config()
        };
        assert_eq!(stop(&mut splitter(config, ""), event_type, &body), None);
    }
}
