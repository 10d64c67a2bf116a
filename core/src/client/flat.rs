//! Entries for people and programs: canal's flat message (JSON) and lines of text.
//!
//! The flat message is what canal's message-queue connectors publish: its fields in alphabetical order,
//! one object a row under `data`, and under `old` what an UPDATE replaced. Where canal marks a column
//! of one row as replaced in all later rows of the same entry, each row is judged for itself here.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use prost::DecodeError;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::entry::proto::{Column, Content, Entry, EventType, RowChange, RowData};
use crate::time::WallMillis;

/// An entry as canal's flat message, in one line. None for what carries no change: the begin and the end
/// of a transaction.
///
/// `id` is the batch's id, `ts` the time at which the message is made.
///
/// # Errors
/// The entry does not hold what its type says.
pub fn flat(entry: &Entry, id: i64, ts: WallMillis) -> Result<Option<String>, DecodeError> {
    let Content::Change(change) = entry.content()? else {
        return Ok(None);
    };
    let message = FlatMessage::new(entry, &change, id, ts);
    Ok(Some(
        serde_json::to_string(&message).expect("text and numbers are always JSON"),
    ))
}

/// An entry as lines for people: one a row, or one for a statement. None for the begin and the end of a
/// transaction.
///
/// A row reads `mysql-bin.000001:323 test.user INSERT id=1 name="abc"`; what an UPDATE replaced reads
/// `name="abc"->NULL`.
///
/// # Errors
/// The entry does not hold what its type says.
pub fn text(entry: &Entry) -> Result<Option<String>, DecodeError> {
    let Content::Change(change) = entry.content()? else {
        return Ok(None);
    };
    let mut out = String::new();
    write_text(&mut out, entry, &change).expect("a string takes all that is written");
    Ok(Some(out))
}

/// Fields in canal's order, which is that of the alphabet.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FlatMessage<'a> {
    data: Option<Vec<Row<'a>>>,
    database: &'a str,
    es: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    gtid: Option<&'a str>,
    id: i64,
    is_ddl: bool,
    mysql_type: Option<Named<'a, &'a str>>,
    old: Option<Vec<Row<'a>>>,
    pk_names: Option<Vec<&'a str>>,
    sql: &'a str,
    sql_type: Option<Named<'a, i32>>,
    table: &'a str,
    ts: i64,
    #[serde(rename = "type")]
    kind: &'static str,
}

/// The values of a row by column, NULL as null, in the order of the columns.
type Row<'a> = Named<'a, Option<&'a str>>;

/// Names and values, in their order.
struct Named<'a, V>(Vec<(&'a str, V)>);

impl<V: Serialize> Serialize for Named<'_, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'a> FlatMessage<'a> {
    fn new(entry: &'a Entry, change: &'a RowChange, id: i64, ts: WallMillis) -> Self {
        let event_type = change.event_type();
        let mut message = Self {
            data: None,
            database: "",
            es: 0,
            gtid: None,
            id,
            is_ddl: change.is_ddl(),
            mysql_type: None,
            old: None,
            pk_names: None,
            sql: change.sql(),
            sql_type: None,
            table: "",
            ts: ts.0,
            kind: event_type.name(),
        };
        if let Some(header) = &entry.header {
            message.database = header.schema_name();
            message.table = header.table_name();
            message.es = header.execute_time();
            message.gtid = header.gtid.as_deref();
        }
        if !change.row_datas.is_empty() {
            message.set_rows(event_type, &change.row_datas);
        }
        message
    }

    fn set_rows(&mut self, event_type: EventType, rows: &'a [RowData]) {
        let columns = columns_of(event_type, rows);
        let keys: Vec<&str> = columns
            .iter()
            .filter(|c| c.is_key())
            .map(|c| c.name())
            .collect();
        self.pk_names = (!keys.is_empty()).then_some(keys);
        self.mysql_type = Some(Named(
            columns.iter().map(|c| (c.name(), c.mysql_type())).collect(),
        ));
        self.sql_type = Some(Named(
            columns.iter().map(|c| (c.name(), c.sql_type())).collect(),
        ));
        self.data = Some(
            rows.iter()
                .map(|row| whole(image(event_type, row)))
                .collect(),
        );
        if event_type == EventType::Update {
            self.old = Some(
                rows.iter()
                    .map(|row| Named(replaced(row).collect()))
                    .collect(),
            );
        }
    }
}

/// The columns that occur in any row, each as it occurs first: minimal row images may differ.
fn columns_of(event_type: EventType, rows: &[RowData]) -> Vec<&Column> {
    let mut seen = BTreeSet::new();
    let all = rows.iter().flat_map(|row| image(event_type, row));
    all.filter(|column| seen.insert(column.name())).collect()
}

/// The image that `data` shows: what is there now, or was there last.
fn image(event_type: EventType, row: &RowData) -> &[Column] {
    if event_type == EventType::Delete {
        &row.before_columns
    } else {
        &row.after_columns
    }
}

fn whole(columns: &[Column]) -> Row<'_> {
    Named(
        columns
            .iter()
            .map(|column| (column.name(), column.text()))
            .collect(),
    )
}

/// What was there before, of the columns that an UPDATE changed. A column that the before image lacks
/// has no old value.
fn replaced(row: &RowData) -> impl Iterator<Item = (&str, Option<&str>)> {
    let updated = |before: &&Column| {
        row.after_columns
            .iter()
            .any(|after| after.updated() && after.index() == before.index())
    };
    row.before_columns
        .iter()
        .filter(updated)
        .map(|before| (before.name(), before.text()))
}

fn write_text(out: &mut String, entry: &Entry, change: &RowChange) -> fmt::Result {
    let event_type = change.event_type();
    let mut head = String::new();
    if let Some(header) = &entry.header {
        let (file, offset) = (header.logfile_name(), header.logfile_offset());
        let (schema, table) = (header.schema_name(), header.table_name());
        write!(head, "{file}:{offset} ")?;
        match (schema.is_empty(), table.is_empty()) {
            (false, false) => write!(head, "{schema}.{table} ")?,
            (true, true) => {}
            (false, true) | (true, false) => write!(head, "{schema}{table} ")?,
        }
    }
    head.push_str(event_type.name());
    if change.row_datas.is_empty() {
        out.push_str(&head);
        for word in change.sql().split_whitespace() {
            write!(out, " {word}")?;
        }
        return Ok(());
    }
    for (i, row) in change.row_datas.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        out.push_str(&head);
        for column in image(event_type, row) {
            write!(out, " {}=", column.name())?;
            if event_type == EventType::Update && column.updated() {
                let before = row
                    .before_columns
                    .iter()
                    .find(|b| b.index() == column.index());
                match before {
                    Some(before) => write_value(out, before)?,
                    None => out.push('?'),
                }
                out.push_str("->");
            }
            write_value(out, column)?;
        }
    }
    Ok(())
}

/// Numbers bare, everything else in quotes with JSON's escapes, so that a row stays a line.
fn write_value(out: &mut String, column: &Column) -> fmt::Result {
    /// `java.sql.Types`: BIT, TINYINT, BIGINT, DECIMAL, INTEGER, SMALLINT, REAL, DOUBLE.
    const NUMBERS: [i32; 8] = [-7, -6, -5, 3, 4, 5, 7, 8];
    match column.text() {
        None => out.write_str("NULL"),
        Some(value) if NUMBERS.contains(&column.sql_type()) => out.write_str(value),
        Some(value) => {
            let quoted = serde_json::to_string(value).expect("text is always JSON");
            out.write_str(&quoted)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::proto::{EntryType, Header};
    use alloc::string::ToString;
    use alloc::vec;
    use prost::Message;

    fn column(index: i32, name: &str, value: Option<&str>, updated: bool) -> Column {
        let (sql_type, mysql_type) = if index == 0 {
            (4, "int(11)")
        } else {
            (12, "varchar(32)")
        };
        Column {
            index: Some(index),
            sql_type: Some(sql_type),
            name: Some(name.into()),
            is_key: Some(index == 0),
            updated: Some(updated),
            is_null: Some(value.is_none()),
            value: value.map(ToString::to_string),
            mysql_type: Some(mysql_type.into()),
            ..Column::default()
        }
    }

    fn row(before: Vec<Column>, after: Vec<Column>) -> RowData {
        RowData {
            before_columns: before,
            after_columns: after,
            props: vec![],
        }
    }

    fn entry(change: &RowChange) -> Entry {
        let header = Header {
            logfile_name: Some("mysql-bin.000001".into()),
            logfile_offset: Some(323),
            execute_time: Some(1_700_000_000_000),
            schema_name: Some("test".into()),
            table_name: Some("user".into()),
            ..Header::default()
        };
        Entry {
            header: Some(header),
            entry_type: Some(EntryType::RowData as i32),
            store_value: Some(change.encode_to_vec().into()),
        }
    }

    fn rows(event_type: EventType, row_datas: Vec<RowData>) -> Entry {
        let event_type = Some(event_type as i32);
        entry(&RowChange {
            event_type,
            is_ddl: Some(false),
            row_datas,
            ..RowChange::default()
        })
    }

    fn json(entry: &Entry) -> String {
        flat(entry, 7, WallMillis(1_700_000_000_123))
            .unwrap()
            .unwrap()
    }

    #[test]
    fn an_insert_shows_its_rows_in_the_order_of_the_columns() {
        let after = |id, name| {
            row(
                vec![],
                vec![
                    column(0, "id", Some(id), true),
                    column(1, "a\"b", name, true),
                ],
            )
        };
        let insert = rows(
            EventType::Insert,
            vec![after("1", Some("x\ny")), after("2", None)],
        );
        assert_eq!(
            json(&insert),
            r#"{"data":[{"id":"1","a\"b":"x\ny"},{"id":"2","a\"b":null}],"database":"test","es":1700000000000,"id":7,"isDdl":false,"mysqlType":{"id":"int(11)","a\"b":"varchar(32)"},"old":null,"pkNames":["id"],"sql":"","sqlType":{"id":4,"a\"b":12},"table":"user","ts":1700000000123,"type":"INSERT"}"#
        );
        assert_eq!(
            text(&insert).unwrap().unwrap(),
            "mysql-bin.000001:323 test.user INSERT id=1 a\"b=\"x\\ny\"\n\
             mysql-bin.000001:323 test.user INSERT id=2 a\"b=NULL"
        );
    }

    #[test]
    fn an_update_shows_only_what_it_replaced_row_by_row() {
        let first = row(
            vec![
                column(0, "id", Some("1"), false),
                column(1, "name", Some("abc"), false),
            ],
            vec![
                column(0, "id", Some("1"), false),
                column(1, "name", None, true),
            ],
        );
        let second = row(
            vec![
                column(0, "id", Some("2"), false),
                column(1, "name", Some("z"), false),
            ],
            vec![
                column(0, "id", Some("3"), true),
                column(1, "name", Some("z"), false),
            ],
        );
        let update = rows(EventType::Update, vec![first, second]);
        let json = json(&update);
        assert!(
            json.contains(r#""data":[{"id":"1","name":null},{"id":"3","name":"z"}]"#),
            "{json}"
        );
        assert!(
            json.contains(r#""old":[{"name":"abc"},{"id":"2"}]"#),
            "{json}"
        );
        assert_eq!(
            text(&update).unwrap().unwrap(),
            "mysql-bin.000001:323 test.user UPDATE id=1 name=\"abc\"->NULL\n\
             mysql-bin.000001:323 test.user UPDATE id=2->3 name=\"z\""
        );
    }

    #[test]
    fn a_minimal_image_has_no_old_value_for_what_was_not_logged() {
        let minimal = row(
            vec![column(0, "id", Some("1"), false)],
            vec![column(1, "name", Some("new"), true)],
        );
        let other = row(
            vec![column(0, "id", Some("2"), false)],
            vec![column(0, "id", Some("3"), true)],
        );
        let update = rows(EventType::Update, vec![minimal, other]);
        let json = json(&update);
        assert!(
            json.contains(r#""data":[{"name":"new"},{"id":"3"}]"#),
            "{json}"
        );
        assert!(json.contains(r#""old":[{},{"id":"2"}]"#), "{json}");
        assert!(json.contains(r#""sqlType":{"name":12,"id":4}"#), "{json}");
        let text = text(&update).unwrap().unwrap();
        assert!(text.contains("UPDATE name=?->\"new\"\n"), "{text}");
    }

    #[test]
    fn a_delete_shows_what_was_there() {
        let gone = row(
            vec![
                column(0, "id", Some("1"), false),
                column(1, "name", None, false),
            ],
            vec![],
        );
        let delete = rows(EventType::Delete, vec![gone]);
        let json = json(&delete);
        assert!(
            json.starts_with(r#"{"data":[{"id":"1","name":null}],"#),
            "{json}"
        );
        assert!(
            json.contains(r#""old":null"#) && json.ends_with(r#""type":"DELETE"}"#),
            "{json}"
        );
    }

    #[test]
    fn a_statement_has_text_and_no_data() {
        let ddl = RowChange {
            event_type: Some(EventType::Alter as i32),
            is_ddl: Some(true),
            sql: Some("ALTER TABLE user\n\tADD COLUMN c int".into()),
            ..RowChange::default()
        };
        let mut ddl = entry(&ddl);
        let header = ddl.header.as_mut().unwrap();
        header.gtid = Some("726757ad:1-12".into());
        assert_eq!(
            json(&ddl),
            r#"{"data":null,"database":"test","es":1700000000000,"gtid":"726757ad:1-12","id":7,"isDdl":true,"mysqlType":null,"old":null,"pkNames":null,"sql":"ALTER TABLE user\n\tADD COLUMN c int","sqlType":null,"table":"user","ts":1700000000123,"type":"ALTER"}"#
        );
        assert_eq!(
            text(&ddl).unwrap().unwrap(),
            "mysql-bin.000001:323 test.user ALTER ALTER TABLE user ADD COLUMN c int"
        );
    }

    #[test]
    fn the_bounds_of_transactions_are_no_messages_and_damage_is_an_error() {
        for kind in [EntryType::TransactionBegin, EntryType::TransactionEnd] {
            let entry = Entry {
                entry_type: Some(kind as i32),
                ..Entry::default()
            };
            assert_eq!(flat(&entry, 1, WallMillis(0)), Ok(None));
            assert_eq!(text(&entry), Ok(None));
        }
        let store_value = Some(bytes::Bytes::from_static(&[0x0a]));
        let damaged = Entry {
            store_value,
            ..Entry::default()
        };
        assert!(flat(&damaged, 1, WallMillis(0)).is_err() && text(&damaged).is_err());
    }
}
