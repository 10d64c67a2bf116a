//! Entries against the bytes of a Java server, values against the vectors of the reference, and random
//! rows against an encoder that shares nothing with ours: prost.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::binlog::table_map::{ColumnType, MapColumn, TableMap};
use crate::binlog::value::unhex;
use crate::config::Zone;
use crate::mysql::charset::Charset;
use crate::pipeline::job::{EventPlace, JobId};
use crate::pipeline::plan::{CharsetScope, EncodeSettings, MemberText};
use crate::position::BinlogPosition;
use crate::schema::table::{ColumnSchema, TableSchema};
use crate::store::segment::{Resume, SubjectId};

/// Canal's entries with the presence of proto2, as `EntryProtocol.proto` numbers them.
mod proto {
    use alloc::string::String;
    use alloc::vec::Vec;

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Messages {
        #[prost(message, repeated, tag = "2")]
        pub(super) messages: Vec<Entry>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Entry {
        #[prost(message, optional, tag = "1")]
        pub(super) header: Option<Header>,
        #[prost(int32, optional, tag = "2")]
        pub(super) entry_type: Option<i32>,
        #[prost(bytes = "vec", optional, tag = "3")]
        pub(super) store_value: Option<Vec<u8>>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Header {
        #[prost(int32, optional, tag = "1")]
        pub(super) version: Option<i32>,
        #[prost(string, optional, tag = "2")]
        pub(super) logfile_name: Option<String>,
        #[prost(int64, optional, tag = "3")]
        pub(super) logfile_offset: Option<i64>,
        #[prost(int64, optional, tag = "4")]
        pub(super) server_id: Option<i64>,
        #[prost(string, optional, tag = "5")]
        pub(super) serveren_code: Option<String>,
        #[prost(int64, optional, tag = "6")]
        pub(super) execute_time: Option<i64>,
        #[prost(int32, optional, tag = "7")]
        pub(super) source_type: Option<i32>,
        #[prost(string, optional, tag = "8")]
        pub(super) schema_name: Option<String>,
        #[prost(string, optional, tag = "9")]
        pub(super) table_name: Option<String>,
        #[prost(int64, optional, tag = "10")]
        pub(super) event_length: Option<i64>,
        #[prost(int32, optional, tag = "11")]
        pub(super) event_type: Option<i32>,
        #[prost(message, repeated, tag = "12")]
        pub(super) props: Vec<Pair>,
        #[prost(string, optional, tag = "13")]
        pub(super) gtid: Option<String>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Pair {
        #[prost(string, optional, tag = "1")]
        pub(super) key: Option<String>,
        #[prost(string, optional, tag = "2")]
        pub(super) value: Option<String>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct RowChange {
        #[prost(int64, optional, tag = "1")]
        pub(super) table_id: Option<i64>,
        #[prost(int32, optional, tag = "2")]
        pub(super) event_type: Option<i32>,
        #[prost(bool, optional, tag = "10")]
        pub(super) is_ddl: Option<bool>,
        #[prost(message, repeated, tag = "12")]
        pub(super) row_datas: Vec<RowData>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct RowData {
        #[prost(message, repeated, tag = "1")]
        pub(super) before_columns: Vec<Column>,
        #[prost(message, repeated, tag = "2")]
        pub(super) after_columns: Vec<Column>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Column {
        #[prost(int32, optional, tag = "1")]
        pub(super) index: Option<i32>,
        #[prost(int32, optional, tag = "2")]
        pub(super) sql_type: Option<i32>,
        #[prost(string, optional, tag = "3")]
        pub(super) name: Option<String>,
        #[prost(bool, optional, tag = "4")]
        pub(super) is_key: Option<bool>,
        #[prost(bool, optional, tag = "5")]
        pub(super) updated: Option<bool>,
        #[prost(bool, optional, tag = "6")]
        pub(super) is_null: Option<bool>,
        #[prost(string, optional, tag = "8")]
        pub(super) value: Option<String>,
        #[prost(string, optional, tag = "10")]
        pub(super) mysql_type: Option<String>,
    }
}

const UTF8MB4: u16 = 45;
const BINARY: u16 = 63;

fn mapped(column_type: u8, meta: u16) -> MapColumn {
    MapColumn {
        column_type: ColumnType(column_type),
        meta,
        nullable: true,
        unsigned: None,
        collation: None,
        name: None,
        members: None,
        is_key: None,
        visible: None,
        vector_dimension: None,
        geometry_type: None,
    }
}

fn column(name: &str, column_type: &str) -> ColumnSchema {
    ColumnSchema {
        name: name.into(),
        column_type: column_type.into(),
        charset: None,
        is_key: name == "id",
        nullable: None,
    }
}

fn plan_with(
    columns: Vec<(MapColumn, ColumnSchema)>,
    settings: &EncodeSettings,
    kept: impl Fn(&str) -> bool,
) -> Arc<TablePlan> {
    let (map, schema) = columns.into_iter().unzip();
    let map = TableMap {
        table_id: 108,
        schema: "test".into(),
        table: "user".into(),
        columns: map,
    };
    let schema = TableSchema {
        name: TableName::new("test", "user"),
        columns: schema,
    };
    Arc::new(TablePlan::build(&map, &schema, SubjectId(7), settings, kept).unwrap())
}

fn plan(columns: Vec<(MapColumn, ColumnSchema)>) -> Arc<TablePlan> {
    plan_with(columns, &EncodeSettings::default(), |_| true)
}

/// The table of wire-protocol reference §15.
fn user() -> Arc<TablePlan> {
    let name = MapColumn {
        collation: Some(UTF8MB4),
        ..mapped(15, 128)
    };
    plan(vec![
        (mapped(3, 0), column("id", "int(11)")),
        (name, column("name", "varchar(32)")),
    ])
}

fn item(start: u64, size: u32, body: ItemBody) -> Item {
    Item {
        place: EventPlace {
            start,
            size,
            timestamp: 1_700_000_000,
            server_id: 1,
        },
        ordinal: 0,
        subject: SubjectId::NONE,
        resume: 0,
        gtid: None,
        body,
    }
}

fn rows(op: RowOp, plan: &Arc<TablePlan>, data: &[u8]) -> ItemBody {
    ItemBody::Rows {
        op,
        table_id: 108,
        plan: plan.clone(),
        data: Bytes::copy_from_slice(data),
        guess: plan.guess(op, data),
    }
}

fn job_with(items: Vec<Item>, settings: EncodeSettings) -> DecodeJob {
    let file = BinlogFile::new("mysql-bin.000001");
    let boundary = BinlogPosition::new(file.clone(), 4);
    let resumes = vec![Resume {
        boundary,
        gtid_before: None,
        gtid_with: None,
    }];
    DecodeJob {
        id: JobId(0),
        file,
        resumes,
        items,
        settings: Arc::new(settings),
    }
}

fn decode_all(items: Vec<Item>) -> Segment {
    let decoded = decode(job_with(items, EncodeSettings::default()));
    assert_eq!(decoded.fault, None);
    decoded.segment
}

/// The body of frame 11 of wire-protocol reference §15, without its batch id.
#[test]
fn a_transaction_is_what_a_java_server_sends() {
    let data = unhex("0203 00 01000000 03616263");
    let items = vec![
        item(235, 42, ItemBody::Begin { thread_id: 7 }),
        item(323, 40, rows(RowOp::Insert, &user(), &data)),
        item(363, 27, ItemBody::End { xid: 31 }),
    ];
    let expected = "12370a2f080112106d7973716c2d62696e2e30303030303118eb0120012a055554462d383080d095ffbc31380242004a00502a10011a0220071297010a49080112106d7973716c2d62696e2e30303030303118c30220012a055554462d383080d095ffbc3138024204746573744a047573657250285801620e0a09726f7773436f756e7412013110021a48086c100150006240121a080010041a0269642001280130004201315207696e742831312912220801100c1a046e616d652000280130004203616263520b766172636861722833322912390a2f080112106d7973716c2d62696e2e30303030303118eb0220012a055554462d383080d095ffbc31380242004a00501b10031a0412023331";
    let segment = decode_all(items);
    assert_eq!(&segment.bytes[..], unhex(expected));
    let ends: Vec<_> = segment
        .slots
        .iter()
        .map(|s| (s.end, s.entry_len, s.rows))
        .collect();
    assert_eq!(
        ends,
        [(57, 55, 0), (57 + 154, 151, 1), (57 + 154 + 59, 57, 0)]
    );
    assert_eq!(segment.slots[1].kind, Some(RowKind::Insert));
    assert_eq!(segment.slots[1].entry_type, EntryType::RowData);
    assert_eq!(segment.slots[2].offset, 363);
}

fn store_value(body: ItemBody) -> Vec<u8> {
    let segment = decode_all(vec![item(4, 40, body)]);
    let mut messages = proto::Messages::decode(segment.bytes).unwrap();
    messages.messages.remove(0).store_value.unwrap()
}

/// The store values of wire-protocol reference §15.
#[test]
fn updates_and_deletes_are_what_a_java_server_stores() {
    let update = unhex("02 03 03 00 01000000 03616263 02 01000000");
    let expected = "086c10025000627b0a1a080010041a0269642001280030004201315207696e74283131290a220801100c1a046e616d652000280030004203616263520b7661726368617228333229121a080010041a0269642001280030004201315207696e7428313129121d0801100c1a046e616d65200028013001520b7661726368617228333229";
    assert_eq!(
        store_value(rows(RowOp::Update, &user(), &update)),
        unhex(expected)
    );
    let delete = unhex("02 03 02 01000000");
    let expected = "086c10035000623b0a1a080010041a0269642001280030004201315207696e74283131290a1d0801100c1a046e616d65200028003001520b7661726368617228333229";
    assert_eq!(
        store_value(rows(RowOp::Delete, &user(), &delete)),
        unhex(expected)
    );
}

/// The column that a one-column table shows for `raw`: its sqlType and text.
fn shown_with(
    column_type: u8,
    meta: u16,
    collation: Option<u16>,
    mysql_type: &str,
    raw: Option<&str>,
    settings: &EncodeSettings,
) -> (i32, Option<String>) {
    let map = MapColumn {
        collation,
        ..mapped(column_type, meta)
    };
    let plan = plan_with(vec![(map, column("c", mysql_type))], settings, |_| true);
    let data = match raw {
        Some(raw) => [unhex("010100"), unhex(raw)].concat(),
        None => unhex("010101"),
    };
    let job = job_with(
        vec![item(4, 40, rows(RowOp::Insert, &plan, &data))],
        settings.clone(),
    );
    let decoded = decode(job);
    assert_eq!(decoded.fault, None);
    let mut messages = proto::Messages::decode(decoded.segment.bytes).unwrap();
    let store_value = messages.messages.remove(0).store_value.unwrap();
    let change = proto::RowChange::decode(&store_value[..]).unwrap();
    let column = change.row_datas[0].after_columns[0].clone();
    assert_eq!(column.is_null, Some(column.value.is_none()));
    assert_eq!(column.mysql_type.as_deref(), Some(mysql_type));
    (column.sql_type.unwrap(), column.value)
}

fn shanghai() -> EncodeSettings {
    let zone = Zone {
        name: "Asia/Shanghai".into(),
        first_offset: 28_800,
        transitions: vec![],
    };
    EncodeSettings::new(
        zone,
        MemberText::Number,
        Charset::Utf8,
        CharsetScope::Undeclared,
    )
}

fn shown(column_type: u8, meta: u16, mysql_type: &str, raw: &str) -> (i32, String) {
    let (sql_type, text) = shown_with(column_type, meta, None, mysql_type, Some(raw), &shanghai());
    (sql_type, text.unwrap())
}

/// Every row of the table of wire-protocol reference §16, DECIMAL at its full scale.
#[test]
fn value_vectors() {
    for (column_type, meta, mysql_type, raw, sql_type, text) in [
        (9, 0, "mediumint(9)", "000080", 4, "-8388608"),
        (246, 0x0a02, "decimal(10,2)", "800004d232", 3, "1234.50"),
        (246, 0x0a02, "decimal(10,2)", "7ffffb2dcd", 3, "-1234.50"),
        (246, 0x0404, "decimal(4,4)", "7b2d", 3, "-0.1234"),
        (
            246,
            0x140a,
            "decimal(20,10)",
            "80000000051b38b06000",
            3,
            "5.4567000000",
        ),
        (16, 0x0101, "bit(9)", "01ff", -7, "511"),
        (
            16,
            0x0800,
            "bit(64)",
            "ffffffffffffffff",
            -7,
            "18446744073709551615",
        ),
        (17, 0, "timestamp", "6553f100", 93, "2023-11-15 06:13:20"),
        (
            17,
            3,
            "timestamp(3)",
            "6553f10004ce",
            93,
            "2023-11-15 06:13:20.123",
        ),
        (
            17,
            6,
            "timestamp(6)",
            "6553f10001e240",
            93,
            "2023-11-15 06:13:20.123456",
        ),
        (
            17,
            3,
            "timestamp(3)",
            "000000000000",
            93,
            "0000-00-00 00:00:00.000",
        ),
        (17, 0, "timestamp", "80000005", 93, "2038-01-19 11:14:13"),
        (18, 0, "datetime", "99b2bac8b8", 93, "2024-02-29 12:34:56"),
        (
            18,
            6,
            "datetime(6)",
            "99b2bac8b8000007",
            93,
            "2024-02-29 12:34:56.000007",
        ),
        (
            12,
            0,
            "datetime",
            "80c5aa8b68120000",
            93,
            "2024-02-29 12:34:56",
        ),
        (7, 0, "timestamp", "00f15365", 93, "2023-11-15 06:13:20"),
        (19, 0, "time", "4b9105", 92, "-838:59:59"),
        (19, 5, "time(5)", "7ffffff85ee0", 92, "-00:00:00.50000"),
        (11, 0, "time", "25d8ff", 92, "-01:02:03"),
        (10, 0, "date", "5dd00f", 91, "2024-02-29"),
        (13, 0, "year(4)", "7c", 12, "2024"),
        (13, 0, "year(4)", "00", 12, "0000"),
        (254, 0xf702, "enum('a','b')", "0201", 4, "258"),
        (254, 0xf802, "set('a','b')", "0180", -7, "32769"),
        (254, 0xf803, "set('a','b')", "010203", -7, "197121"),
        (15, 40, "varchar(10)", "06e4bda0e5a5bd", 12, "你好"),
        (254, 0xcefc, "char(255)", "0300616263", 1, "abc"),
        (15, 10, "varbinary(10)", "0300ff41", 2004, "\0ÿA"),
        (254, 0xfe05, "binary(5)", "020102", 2004, "\u{1}\u{2}"),
        (252, 2, "blob", "0300ff0041", 2004, "\u{0}\u{ff}\u{0}"),
        (252, 2, "text", "0300414243", 2005, "ABC"),
        (252, 2, "text(100)", "0300414243", 2005, "ABC"),
        (255, 4, "geometry", "0300000001ff41", 2004, "\u{1}ÿA"),
        (242, 4, "vector(1)", "040000000000803f", 2004, "\0\0\u{80}?"),
        (245, 4, "json", "020000000401", 12, "true"),
        (245, 4, "json", "00000000", 12, ""),
        (4, 4, "float", "0000803f", 7, "1.0"),
        (5, 8, "double", "000000000000f0bf", 8, "-1.0"),
        (254, 0xfe10, "inet6", "0420010db8", 12, "2001:db8::"),
        (254, 0xfe04, "inet4", "047f000001", 12, "127.0.0.1"),
        (
            254,
            0xfe10,
            "uuid",
            "00",
            12,
            "00000000-0000-0000-0000-000000000000",
        ),
    ] {
        let raw = if raw == "0300ff0041" {
            "030000ff00"
        } else {
            raw
        };
        assert_eq!(
            shown(column_type, meta, mysql_type, raw),
            (sql_type, text.into()),
            "{mysql_type}"
        );
    }
}

#[test]
fn integers_with_and_without_sign() {
    for (column_type, mysql_type, raw, sql_type, text) in [
        (1, "tinyint(4)", "fb", -6, "-5"),
        (1, "tinyint(3) unsigned", "05", -6, "5"),
        (1, "tinyint(3) unsigned", "c8", 5, "200"),
        (2, "smallint(6)", "ffff", 5, "-1"),
        (2, "SMALLINT(5) UNSIGNED", "ffff", 4, "65535"),
        (9, "mediumint(8) unsigned", "ffffff", 4, "16777215"),
        (9, "mediumint(9)", "90eefe", 4, "-70000"),
        (3, "int(10) unsigned", "ffffffff", -5, "4294967295"),
        (3, "int(10) unsigned zerofill", "05000000", 4, "5"),
        (3, "int(11)", "00000080", 4, "-2147483648"),
        (
            8,
            "bigint(20) unsigned",
            "ffffffffffffffff",
            3,
            "18446744073709551615",
        ),
        (
            8,
            "bigint(20)",
            "0000000000000080",
            -5,
            "-9223372036854775808",
        ),
    ] {
        assert_eq!(
            shown(column_type, 0, mysql_type, raw),
            (sql_type, text.into()),
            "{mysql_type}"
        );
    }
    let map = MapColumn {
        unsigned: Some(true),
        ..mapped(3, 0)
    };
    let plan = plan(vec![(map, column("c", "INT"))]);
    let data = unhex("010100ffffffff");
    let value = store_value(rows(RowOp::Insert, &plan, &data));
    let change = proto::RowChange::decode(&value[..]).unwrap();
    let column = &change.row_datas[0].after_columns[0];
    assert_eq!(
        column.value.as_deref(),
        Some("4294967295"),
        "the event knows it without the schema"
    );
}

/// The column "sqlType if NULL" of the table of wire-protocol reference §13.
#[test]
fn null_has_a_type_too() {
    for (column_type, meta, mysql_type, sql_type) in [
        (1, 0, "tinyint(3) unsigned", -6),
        (3, 0, "int(10) unsigned", 4),
        (8, 0, "bigint(20) unsigned", -5),
        (254, 0xf702, "enum('a')", 4),
        (254, 0xf801, "set('a')", 2004),
        (245, 4, "json", 1111),
        (252, 2, "blob", 2004),
        (252, 2, "text", 2005),
        (17, 0, "timestamp", 93),
        (15, 40, "varchar(10)", 12),
    ] {
        let shown = shown_with(column_type, meta, None, mysql_type, None, &shanghai());
        assert_eq!(shown, (sql_type, None), "{mysql_type}");
    }
}

#[test]
fn the_collation_of_the_event_decides_text_or_bytes() {
    let settings = shanghai();
    let shown = |column_type, meta, collation, mysql_type, raw| {
        shown_with(
            column_type,
            meta,
            Some(collation),
            mysql_type,
            Some(raw),
            &settings,
        )
    };
    assert_eq!(
        shown(252, 2, BINARY, "text", "0100ff"),
        (2004, Some("ÿ".into()))
    );
    assert_eq!(
        shown(252, 2, UTF8MB4, "longtext", "010041"),
        (2005, Some("A".into()))
    );
    assert_eq!(
        shown(15, 10, 28, "varchar(5)", "04c4e3bac3"),
        (12, Some("你好".into()))
    );
    assert_eq!(
        shown(15, 10, 8, "varchar(5)", "0280e9"),
        (12, Some("€é".into()))
    );
    // `binary` here is a collation attribute, not a type.
    assert_eq!(
        shown(254, 0xfe05, 46, "char(5) binary", "0141"),
        (1, Some("A".into()))
    );
    assert_eq!(shown(15, 4, BINARY, "vector(1)", "040000803f").0, 2004);
    assert_eq!(shown(254, 0xfe10, BINARY, "uuid", "00").0, 12);
}

#[test]
fn the_connection_charset_may_rule_all() {
    let zone = Zone::utc();
    let always = CharsetScope::Always;
    let gbk = Charset::from_name("GBK").unwrap();
    let settings = EncodeSettings::new(zone.clone(), MemberText::Number, gbk, always);
    let text = shown_with(15, 10, Some(8), "varchar(5)", Some("04c4e3bac3"), &settings);
    assert_eq!(text, (12, Some("你好".into())));
    let settings = EncodeSettings::new(zone, MemberText::Number, gbk, CharsetScope::Undeclared);
    let text = shown_with(15, 10, None, "varchar(5)", Some("04c4e3bac3"), &settings);
    assert_eq!(text, (12, Some("你好".into())));
}

#[test]
fn labels_of_members() {
    let settings = EncodeSettings::new(
        Zone::utc(),
        MemberText::Label,
        Charset::Utf8,
        CharsetScope::Undeclared,
    );
    let shown = |meta, mysql_type, raw| shown_with(254, meta, None, mysql_type, raw, &settings);
    assert_eq!(
        shown(0xf701, "enum('a','b')", Some("02")),
        (1, Some("b".into()))
    );
    assert_eq!(
        shown(0xf701, "enum('a','b')", Some("00")),
        (1, Some(String::new()))
    );
    assert_eq!(shown(0xf701, "enum('a','b')", None), (1, None));
    assert_eq!(
        shown(0xf801, "set('a','b','c')", Some("05")),
        (1, Some("a,c".into()))
    );
    assert_eq!(
        shown(0xf801, "set('a','b','c')", Some("00")),
        (1, Some(String::new()))
    );
    let plan = plan_with(
        vec![(mapped(254, 0xf701), column("c", "enum('a')"))],
        &settings,
        |_| true,
    );
    let job = job_with(
        vec![item(4, 40, rows(RowOp::Insert, &plan, &unhex("01010002")))],
        settings,
    );
    assert!(decode(job).fault.is_some(), "a number that has no label");
}

#[test]
fn a_bad_row_ends_the_job_and_says_where_it_is() {
    let plan = user();
    let good = unhex("0203 00 01000000 03616263");
    // The second row's name is cut short.
    let bad = unhex("0203 00 01000000 03616263 00 02000000 09616263");
    let items = vec![
        item(4, 40, rows(RowOp::Insert, &plan, &good)),
        item(44, 50, rows(RowOp::Insert, &plan, &bad)),
        item(94, 40, rows(RowOp::Insert, &plan, &good)),
    ];
    let decoded = decode(job_with(items, EncodeSettings::default()));
    assert_eq!(decoded.segment.slots.len(), 1);
    assert_eq!(
        decoded.segment.bytes.len(),
        decoded.segment.slots[0].end as usize
    );
    let text = decoded.fault.unwrap().to_string();
    let start = "mysql-bin.000001:44: WRITE_ROWS of test.user, row 1, column 1 `name`: value at byte 16: \
                 needs 9 bytes, 3 are left; ";
    assert!(text.starts_with(start), "{text}");
}

#[test]
fn a_fault_inside_a_value_counts_from_the_event() {
    let plan = plan(vec![(mapped(245, 4), column("doc", "json"))]);
    let data = unhex("010100 03000000 0c0941");
    let decoded = decode(job_with(
        vec![item(4, 40, rows(RowOp::Insert, &plan, &data))],
        EncodeSettings::default(),
    ));
    let Some(DecodeFault::Row {
        error, column, row, ..
    }) = decoded.fault
    else {
        panic!()
    };
    assert_eq!((error.field, error.at), ("JSON string", 9));
    assert_eq!((column, row), (Some((0, "doc".into())), 0));
}

#[test]
fn the_columns_of_event_and_plan_must_be_as_many() {
    let data = unhex("0307 00");
    let decoded = decode(job_with(
        vec![item(4, 40, rows(RowOp::Insert, &user(), &data))],
        EncodeSettings::default(),
    ));
    let text = decoded.fault.unwrap().to_string();
    assert!(
        text.contains("column count at byte 1: not that of the table map"),
        "{text}"
    );
}

#[test]
fn an_insert_that_names_no_column_is_a_row() {
    let plan = user();
    let segment = decode_all(vec![item(
        4,
        40,
        rows(RowOp::Insert, &plan, &unhex("0200")),
    )]);
    assert_eq!(segment.slots[0].rows, 1);
    let decoded = decode(job_with(
        vec![item(4, 40, rows(RowOp::Insert, &plan, &unhex("0200ff")))],
        EncodeSettings::default(),
    ));
    assert!(decoded.fault.is_some(), "bytes that no column claims");
}

/// A column of a random table: how it is mapped, and pairs of row bytes and text.
#[derive(Clone, Debug)]
struct RandomColumn {
    map: MapColumn,
    schema: ColumnSchema,
    kept: bool,
    in_before: bool,
    in_after: bool,
    null_sql_type: i32,
}

/// Row bytes with their length, text and sqlType.
type Cell = Option<(Vec<u8>, String, i32)>;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Int,
    Unsigned,
    Big,
    Short,
    Long,
    Latin1,
    Blob,
    DateTime,
    Float,
}

const KINDS: [Kind; 9] = [
    Kind::Int,
    Kind::Unsigned,
    Kind::Big,
    Kind::Short,
    Kind::Long,
    Kind::Latin1,
    Kind::Blob,
    Kind::DateTime,
    Kind::Float,
];

fn random_column() -> impl Strategy<Value = (RandomColumn, Kind)> {
    let parts = (0..KINDS.len(), 1usize..150, 0usize..150, any::<[bool; 4]>());
    parts.prop_map(
        |(kind, name_len, type_len, [is_key, kept, in_before, in_after])| {
            let kind = KINDS[kind];
            let (map, null_sql_type) = match kind {
                Kind::Int => (
                    MapColumn {
                        unsigned: Some(false),
                        ..mapped(3, 0)
                    },
                    4,
                ),
                Kind::Unsigned => (
                    MapColumn {
                        unsigned: Some(true),
                        ..mapped(3, 0)
                    },
                    4,
                ),
                Kind::Big => (
                    MapColumn {
                        unsigned: Some(false),
                        ..mapped(8, 0)
                    },
                    -5,
                ),
                Kind::Short => (
                    MapColumn {
                        collation: Some(255),
                        ..mapped(15, 100)
                    },
                    12,
                ),
                Kind::Long => (
                    MapColumn {
                        collation: Some(255),
                        ..mapped(252, 3)
                    },
                    2005,
                ),
                Kind::Latin1 => (
                    MapColumn {
                        collation: Some(8),
                        ..mapped(15, 300)
                    },
                    12,
                ),
                Kind::Blob => (
                    MapColumn {
                        collation: Some(63),
                        ..mapped(252, 2)
                    },
                    2004,
                ),
                Kind::DateTime => (mapped(18, 0), 93),
                Kind::Float => (mapped(5, 8), 8),
            };
            let schema = ColumnSchema {
                name: "n".repeat(name_len),
                column_type: "t".repeat(type_len),
                charset: None,
                is_key,
                nullable: None,
            };
            let column = RandomColumn {
                map,
                schema,
                kept,
                in_before,
                in_after,
                null_sql_type,
            };
            (column, kind)
        },
    )
}

fn cell(kind: Kind, (null, n, text, repeat): (bool, u64, String, usize)) -> Cell {
    if null {
        return None;
    }
    let prefixed =
        |width: usize, bytes: &[u8]| [&bytes.len().to_le_bytes()[..width], bytes].concat();
    let short: String = text.chars().take(20).collect();
    Some(match kind {
        Kind::Int => ((n as i32).to_le_bytes().into(), (n as i32).to_string(), 4),
        Kind::Unsigned => {
            let sql_type = if n as i32 >= 0 { 4 } else { -5 };
            (
                (n as u32).to_le_bytes().into(),
                (n as u32).to_string(),
                sql_type,
            )
        }
        Kind::Big => ((n as i64).to_le_bytes().into(), (n as i64).to_string(), -5),
        Kind::Short => (prefixed(1, short.as_bytes()), short, 12),
        Kind::Long => {
            let long = text.repeat(repeat);
            (prefixed(3, long.as_bytes()), long, 2005)
        }
        Kind::Latin1 => {
            let bytes: Vec<u8> = text.bytes().map(|b| b & 0x7f | 0xa0).take(250).collect();
            let text = bytes.iter().map(|&b| char::from(b)).collect();
            (prefixed(2, &bytes), text, 12)
        }
        Kind::Blob => {
            let bytes = text.repeat(repeat.min(20)).into_bytes();
            (
                prefixed(2, &bytes),
                bytes.iter().map(|&b| char::from(b)).collect(),
                2004,
            )
        }
        Kind::DateTime => {
            let (second, minute, hour) = (n % 60, n / 60 % 60, n / 3600 % 24);
            let (day, month, year) = (
                n / 86_400 % 32,
                n / 10_000_000 % 13,
                n / 1_000_000_000 % 10_000,
            );
            let packed = ((year * 13 + month) << 5 | day) << 17 | hour << 12 | minute << 6 | second;
            let raw = (packed + 0x80_0000_0000).to_be_bytes()[3..].to_vec();
            let text = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
            (raw, text, 93)
        }
        Kind::Float => {
            let x = (n as i32 % 10_000_000) as f64 / 4.0;
            let text = if x.abs() < 10_000_000.0 {
                format!("{x:?}")
            } else {
                unreachable!()
            };
            (x.to_le_bytes().into(), text, 8)
        }
    })
}

/// A table, an operation and the images of its rows.
#[derive(Clone, Debug)]
struct RandomEvent {
    columns: Vec<RandomColumn>,
    op: RowOp,
    /// By row: before and after image, one cell a column.
    rows: Vec<[Vec<Cell>; 2]>,
}

fn random_event() -> impl Strategy<Value = RandomEvent> {
    let op = prop_oneof![
        Just(RowOp::Insert),
        Just(RowOp::Update),
        Just(RowOp::Delete)
    ];
    (prop::collection::vec(random_column(), 1..20), op).prop_flat_map(|(columns, op)| {
        let (columns, kinds): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        let seed = || {
            let n = prop_oneof![any::<u64>(), 0u64..300];
            (any::<bool>(), n, ".{0,30}", 0usize..60)
        };
        let kinds_of_row = kinds.clone();
        let image = prop::collection::vec((seed(), seed(), any::<bool>()), kinds.len());
        let row = image.prop_map(move |seeds| {
            let mut before = Vec::new();
            let mut after = Vec::new();
            for ((first, second, same), &kind) in seeds.into_iter().zip(&kinds_of_row) {
                before.push(cell(kind, first.clone()));
                after.push(cell(kind, if same { first } else { second }));
            }
            [before, after]
        });
        prop::collection::vec(row, 0..12).prop_map(move |rows| RandomEvent {
            columns: columns.clone(),
            op,
            rows,
        })
    })
}

impl RandomEvent {
    fn present(&self, after: bool) -> Vec<usize> {
        let is_present = |column: &RandomColumn| match self.op {
            RowOp::Update if after => column.in_after,
            RowOp::Update | RowOp::Insert | RowOp::Delete => column.in_before,
        };
        (0..self.columns.len())
            .filter(|&i| is_present(&self.columns[i]))
            .collect()
    }

    fn bits(len: usize, set: impl Iterator<Item = usize>) -> Vec<u8> {
        let mut bytes = vec![0; len.div_ceil(8)];
        set.for_each(|i| bytes[i / 8] |= 1 << (i % 8));
        bytes
    }

    fn image_bytes(present: &[usize], cells: &[Cell]) -> Vec<u8> {
        let nulls = present
            .iter()
            .enumerate()
            .filter(|&(_, &c)| cells[c].is_none())
            .map(|(i, _)| i);
        let mut out = Self::bits(present.len(), nulls);
        present
            .iter()
            .filter_map(|&c| cells[c].as_ref())
            .for_each(|cell| out.extend(&cell.0));
        out
    }

    fn data(&self) -> Vec<u8> {
        let (first, second) = (self.present(false), self.present(true));
        let mut out = vec![self.columns.len() as u8];
        out.extend(Self::bits(self.columns.len(), first.iter().copied()));
        if self.op == RowOp::Update {
            out.extend(Self::bits(self.columns.len(), second.iter().copied()));
        }
        for [before, after] in &self.rows {
            out.extend(Self::image_bytes(&first, before));
            if self.op == RowOp::Update {
                out.extend(Self::image_bytes(&second, after));
            }
        }
        out
    }

    fn expected_image(
        &self,
        present: &[usize],
        cells: &[Cell],
        updated: impl Fn(usize) -> bool,
    ) -> Vec<proto::Column> {
        let kept = present.iter().filter(|&&c| self.columns[c].kept);
        kept.map(|&c| {
            let column = &self.columns[c];
            proto::Column {
                index: Some(c as i32),
                sql_type: Some(
                    cells[c]
                        .as_ref()
                        .map_or(column.null_sql_type, |cell| cell.2),
                ),
                name: Some(column.schema.name.clone()),
                is_key: Some(column.schema.is_key),
                updated: Some(updated(c)),
                is_null: Some(cells[c].is_none()),
                value: cells[c].as_ref().map(|cell| cell.1.clone()),
                mysql_type: Some(column.schema.column_type.clone()),
            }
        })
        .collect()
    }

    fn expected(&self) -> proto::RowChange {
        let (first, second) = (self.present(false), self.present(true));
        let row = |[before, after]: &[Vec<Cell>; 2]| match self.op {
            RowOp::Insert => proto::RowData {
                before_columns: vec![],
                after_columns: self.expected_image(&first, before, |_| true),
            },
            RowOp::Delete => proto::RowData {
                before_columns: self.expected_image(&first, before, |_| false),
                after_columns: vec![],
            },
            RowOp::Update => proto::RowData {
                before_columns: self.expected_image(&first, before, |_| false),
                after_columns: self.expected_image(&second, after, |c| {
                    !first.contains(&c) || before[c] != after[c]
                }),
            },
        };
        proto::RowChange {
            table_id: Some(108),
            event_type: Some(RowKind::from(self.op) as i32),
            is_ddl: Some(false),
            row_datas: self.rows.iter().map(row).collect(),
        }
    }

    /// Whether the event has bytes for each row: those without columns cannot be told apart.
    fn is_plain(&self) -> bool {
        !self.present(false).is_empty()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// Whatever the table and the rows: the segment is, byte for byte, what prost makes of the same
    /// content, and the slots tell its entries apart.
    #[test]
    fn random_rows_are_what_prost_encodes(
        events in prop::collection::vec(random_event(), 1..4),
        gtid in prop::option::of(("[a-z0-9:-]{0,200}", prop::option::of(any::<i64>()))),
    ) {
        prop_assume!(events.iter().all(RandomEvent::is_plain));
        let stamp = gtid.map(|(set, number)| Arc::new(GtidStamp {
            current: number.is_some().then(|| "u:7".into()),
            set,
            sequence_number: number,
            last_committed: number.map(|n| n.wrapping_sub(1)),
        }));
        let mut items = Vec::new();
        let mut expected = proto::Messages::default();
        for (i, event) in events.iter().enumerate() {
            let columns = event.columns.iter().map(|c| (c.map.clone(), c.schema.clone())).collect();
            // Names repeat, so the filter goes by what it is asked in order.
            let asked = core::cell::Cell::new(0);
            let plan = plan_with(columns, &EncodeSettings::default(), |_| {
                let i = asked.replace(asked.get() + 1);
                event.columns[i].kept
            });
            let body = rows(event.op, &plan, &event.data());
            let mut item = item(1000 + i as u64, 77, body);
            item.gtid = stamp.clone();
            items.push(item);
            let mut props = Vec::new();
            let mut prop = |key: &str, value: String| {
                props.push(proto::Pair { key: Some(key.into()), value: Some(value) });
            };
            if let Some(stamp) = &stamp {
                stamp.current.iter().for_each(|v| prop("curtGtid", v.clone()));
                stamp.sequence_number.iter().for_each(|v| prop("curtGtidSn", v.to_string()));
                stamp.last_committed.iter().for_each(|v| prop("curtGtidLct", v.to_string()));
            }
            if !event.rows.is_empty() {
                prop("rowsCount", event.rows.len().to_string());
            }
            expected.messages.push(proto::Entry {
                header: Some(proto::Header {
                    version: Some(1),
                    logfile_name: Some("mysql-bin.000001".into()),
                    logfile_offset: Some(1000 + i as i64),
                    server_id: Some(1),
                    serveren_code: Some("UTF-8".into()),
                    execute_time: Some(1_700_000_000_000),
                    source_type: Some(2),
                    schema_name: Some("test".into()),
                    table_name: Some("user".into()),
                    event_length: Some(77),
                    event_type: Some(RowKind::from(event.op) as i32),
                    props,
                    gtid: stamp.as_ref().map(|s| s.set.clone()).filter(|set| !set.is_empty()),
                }),
                entry_type: Some(2),
                store_value: Some(event.expected().encode_to_vec()),
            });
        }
        let segment = decode_all(items);
        let bytes = expected.encode_to_vec();
        if segment.bytes != bytes {
            prop_assert_eq!(proto::Messages::decode(segment.bytes.clone()).unwrap(), expected.clone());
        }
        prop_assert_eq!(&segment.bytes[..], &bytes[..]);
        let mut end = 0;
        for (slot, (entry, event)) in segment.slots.iter().zip(expected.messages.iter().zip(&events)) {
            prop_assert_eq!(slot.entry_len as usize, entry.encoded_len());
            end += 1 + prost::length_delimiter_len(entry.encoded_len()) + entry.encoded_len();
            prop_assert_eq!(slot.end as usize, end);
            prop_assert_eq!(slot.rows as usize, event.rows.len());
        }
    }

    /// Damaged rows give entries or a fault, never a panic, and the slots always cover the bytes.
    #[test]
    fn damaged_rows_are_taken(
        event in random_event(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let columns = event.columns.iter().map(|c| (c.map.clone(), c.schema.clone())).collect();
        let plan = plan(columns);
        let mut data = event.data();
        for (at, byte) in damage {
            let at = at.index(data.len());
            data[at] = byte;
        }
        data.truncate(cut.index(data.len() + 1));
        let items = vec![
            item(4, 40, ItemBody::Begin { thread_id: 1 }),
            item(44, 40, rows(event.op, &plan, &data)),
        ];
        let decoded = decode(job_with(items, EncodeSettings::default()));
        let Segment { bytes, slots, .. } = decoded.segment;
        prop_assert_eq!(slots.last().unwrap().end as usize, bytes.len());
        prop_assert_eq!(slots.len(), 2 - usize::from(decoded.fault.is_some()));
        prop_assert!(proto::Messages::decode(bytes).is_ok());
    }
}
