//! What is in an entry (P1): every value of every row as it was committed, and where it comes from.
//!
//! Judged against the source's own history, entry by entry, whoever gets it and whenever. The order of
//! entries is for the oracle of delivery.

use std::time::Duration;

use canald_core::entry::proto::{
    Column, Content as Held, Entry, EntryType, EventType, Header, RowChange,
};

use crate::journal::{ClientRecord, Oracle, Record, SourceRecord, Violation};
use crate::model::history::{Committed, Ddl, Row, RowKind, RowsEvent, Table};
use crate::oracle::broken;
use crate::oracle::expected::{Expected, Meaning};
use crate::plan::{Flavor, Options};

/// The property that holds the GTID of an entry's own transaction.
const CURRENT_GTID: &str = "curtGtid";

/// The property that holds how many rows are in an entry.
const ROWS_COUNT: &str = "rowsCount";

/// Judges what is in entries.
#[derive(Debug)]
pub struct Content {
    flavor: Flavor,
    gtid: bool,
    history: Expected,
}

type Checked = Result<(), String>;

impl Content {
    /// Has seen nothing yet.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        Self {
            flavor: options.flavor,
            gtid: options.gtid,
            history: Expected::default(),
        }
    }

    fn entry(&mut self, entry: &Entry) -> Checked {
        let number = self.history.find(entry)?;
        let (committed, meaning) = self.history.meaning(number);
        let header = entry.header.as_ref().ok_or("an entry without a header")?;
        let checked = self
            .header(header, committed)
            .and_then(|()| held(entry, header, committed, meaning));
        checked.map_err(|why| format!("{}: {why}", self.history.describe(number)))
    }

    fn header(&self, header: &Header, committed: &Committed) -> Checked {
        let time = i64::from(committed.timestamp) * 1_000;
        same("executeTime", &header.execute_time(), &time)?;
        if !self.gtid {
            return same("gtid", header.gtid(), "");
        }
        let Some(gtid) = &committed.gtid else {
            return Ok(());
        };
        match self.flavor {
            Flavor::Mysql => same(CURRENT_GTID, property(header, CURRENT_GTID), gtid),
            Flavor::Mariadb if header.gtid().split(',').any(|one| *one == **gtid) => Ok(()),
            Flavor::Mariadb => Err(format!("gtid is {:?} without {gtid}", header.gtid())),
        }
    }
}

fn property<'a>(header: &'a Header, name: &str) -> &'a str {
    let pair = header.props.iter().find(|pair| pair.key() == name);
    pair.map_or("", |pair| pair.value())
}

fn same<T: PartialEq + std::fmt::Debug + ?Sized>(what: &str, found: &T, wanted: &T) -> Checked {
    if found == wanted {
        return Ok(());
    }
    Err(format!("{what} is {found:?}, and was {wanted:?}"))
}

/// What the entry holds, against what was committed.
fn held(entry: &Entry, header: &Header, committed: &Committed, meaning: Meaning<'_>) -> Checked {
    let content = entry.content().map_err(|error| error.to_string())?;
    match (meaning, content) {
        (Meaning::Begin, Held::Begin(_)) => marker(header),
        (Meaning::End, Held::End(_)) => {
            let end = header.logfile_offset() + header.event_length();
            same("the end", &u64::try_from(end).ok(), &Some(committed.end))?;
            marker(header)
        }
        (Meaning::Rows(event), Held::Change(change)) => rows(header, &change, event),
        (Meaning::Ddl(ddl), Held::Change(change)) => statement(header, &change, ddl),
        (_, Held::Begin(_) | Held::End(_) | Held::Change(_) | Held::Nothing(_)) => {
            let found: EntryType = entry.entry_type();
            Err(format!("it is sent as {found:?}"))
        }
    }
}

/// Begins and ends name no table and no kind.
fn marker(header: &Header) -> Checked {
    same("schemaName", header.schema_name(), "")?;
    same("tableName", header.table_name(), "")?;
    same("eventType", &header.event_type, &None)
}

fn statement(header: &Header, change: &RowChange, ddl: &Ddl) -> Checked {
    same("schemaName", header.schema_name(), &ddl.schema)?;
    same("tableName", header.table_name(), &ddl.table)?;
    same("eventType", header.event_type().name(), ddl.kind)?;
    same(
        "eventType of the change",
        change.event_type().name(),
        ddl.kind,
    )?;
    same("isDdl", &change.is_ddl(), &true)?;
    same("sql", change.sql(), &ddl.sql)?;
    same("ddlSchemaName", change.ddl_schema_name(), &ddl.schema)?;
    same("the number of rows", &change.row_datas.len(), &0)
}

fn rows(header: &Header, change: &RowChange, event: &RowsEvent) -> Checked {
    let kind = match event.kind {
        RowKind::Insert => EventType::Insert,
        RowKind::Update => EventType::Update,
        RowKind::Delete => EventType::Delete,
    };
    same("schemaName", header.schema_name(), &event.table.schema)?;
    same("tableName", header.table_name(), &event.table.name)?;
    same("eventType", &header.event_type(), &kind)?;
    same("eventType of the change", &change.event_type(), &kind)?;
    same("isDdl", &change.is_ddl(), &false)?;
    same(
        "the number of rows",
        &change.row_datas.len(),
        &event.rows.len(),
    )?;
    let count = event.rows.len().to_string();
    same(ROWS_COUNT, property(header, ROWS_COUNT), &count)?;
    for (nth, (found, row)) in change.row_datas.iter().zip(&event.rows).enumerate() {
        let before = image(&event.table, &found.before_columns, row, false);
        let after = before.and_then(|()| image(&event.table, &found.after_columns, row, true));
        after.map_err(|why| format!("row {nth}: {why}"))?;
    }
    Ok(())
}

/// One image of a row.
fn image(table: &Table, found: &[Column], row: &Row, is_after: bool) -> Checked {
    let (side, wanted) = if is_after {
        ("after", &row.after)
    } else {
        ("before", &row.before)
    };
    let Some(wanted) = wanted else {
        return same(&format!("columns {side}"), &found.len(), &0);
    };
    same(&format!("columns {side}"), &found.len(), &wanted.len())?;
    for (index, (found, value)) in found.iter().zip(wanted).enumerate() {
        let differs = row
            .before
            .as_ref()
            .is_none_or(|before| before[index] != *value);
        column(table, index, found, value.as_deref(), is_after && differs)
            .map_err(|why| format!("column {index} {side}: {why}"))?;
    }
    Ok(())
}

fn column(
    table: &Table,
    index: usize,
    found: &Column,
    value: Option<&str>,
    updated: bool,
) -> Checked {
    let defined = &table.columns[index];
    same("index", &usize::try_from(found.index()).ok(), &Some(index))?;
    same("name", found.name(), &defined.name)?;
    same("isKey", &found.is_key(), &defined.key)?;
    same("isNull", &found.is_null(), &value.is_none())?;
    same("value", &found.value.as_deref(), &value)?;
    same("updated", &found.updated(), &updated)
}

impl Oracle for Content {
    fn see(&mut self, _: Duration, record: &Record) -> Result<(), Violation> {
        match record {
            Record::Source(SourceRecord::Committed(committed)) => self.history.commit(committed),
            Record::Client(place, ClientRecord::Got { entries, .. }) => {
                for entry in entries.iter() {
                    let told = |why| broken("content", "P1", format!("client-{place} got {why}"));
                    self.entry(entry).map_err(told)?;
                }
            }
            Record::Source(_)
            | Record::Client(..)
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
    use std::sync::Arc;

    use prost::Message as _;

    use super::*;
    use crate::oracle::testing::{
        commit, ddl, empty, entries, got, inserts, judge, options, update,
    };

    fn judged(committed: &Arc<Committed>, entries: &[Entry]) -> Option<Violation> {
        let mut oracle = Content::new(&options(&[1]));
        judge(&mut oracle, [commit(committed), got(0, 0, 1, entries)])
    }

    /// What is said when the rows entry of `committed` is spoilt so.
    fn spoilt(committed: &Arc<Committed>, spoil: impl FnOnce(&mut RowChange)) -> String {
        let mut all = entries(committed);
        let mut change = RowChange::decode(all[1].store_value.clone().unwrap()).unwrap();
        spoil(&mut change);
        all[1].store_value = Some(change.encode_to_vec().into());
        judged(committed, &all).expect("it is spoilt").text
    }

    #[test]
    fn what_was_committed_passes() {
        for committed in [inserts(0, 3), update(1), empty(2), ddl(3)] {
            assert_eq!(judged(&committed, &entries(&committed)), None);
        }
    }

    #[test]
    fn a_value_that_was_changed_is_named() {
        let text = spoilt(&update(0), |change| {
            change.row_datas[0].after_columns[1].value = Some("z".into());
        });
        assert!(
            text.contains("row 0: column 1 after: value is Some(\"z\")"),
            "{text}"
        );
    }

    #[test]
    fn null_is_not_an_empty_text() {
        let text = spoilt(&update(0), |change| {
            let column = &mut change.row_datas[0].before_columns[1];
            (column.is_null, column.value) = (Some(false), Some(String::new()));
        });
        assert!(text.contains("before: isNull is false"), "{text}");
    }

    #[test]
    fn rows_that_changed_places_or_are_missing_are_seen() {
        let text = spoilt(&inserts(0, 1), |change| change.row_datas.swap(0, 1));
        assert!(text.contains("row 0: column 0 after: value"), "{text}");
        let text = spoilt(&inserts(0, 1), |change| {
            change.row_datas.pop();
        });
        assert!(text.contains("the number of rows is 1"), "{text}");
    }

    #[test]
    fn names_keys_and_updated_flags_are_judged() {
        let text = spoilt(&update(0), |change| {
            change.row_datas[0].after_columns[0].is_key = Some(false);
        });
        assert!(text.contains("isKey is false"), "{text}");
        let text = spoilt(&update(0), |change| {
            change.row_datas[0].after_columns[1].updated = Some(false);
        });
        assert!(text.contains("updated is false"), "{text}");
        let text = spoilt(&update(0), |change| {
            change.row_datas[0].after_columns[1].name = Some("m".into());
        });
        assert!(text.contains("name is \"m\""), "{text}");
    }

    #[test]
    fn a_header_that_lies_is_seen() {
        let committed = inserts(0, 1);
        let mut all = entries(&committed);
        all[1].header.as_mut().unwrap().table_name = Some("u".into());
        let text = judged(&committed, &all).unwrap().text;
        assert!(text.contains("tableName is \"u\""), "{text}");
        let mut all = entries(&committed);
        all[0].header.as_mut().unwrap().gtid = Some("0-1-77".into());
        let text = judged(&committed, &all).unwrap().text;
        assert!(text.contains("without 0-1-1"), "{text}");
        let mut all = entries(&committed);
        all[2].header.as_mut().unwrap().event_length = Some(1);
        assert!(
            judged(&committed, &all)
                .unwrap()
                .text
                .contains("the end is")
        );
    }

    #[test]
    fn an_entry_of_no_transaction_is_seen() {
        let strange = entries(&inserts(5, 1));
        let violation = judged(&inserts(0, 1), &strange[..1]).unwrap();
        assert!(
            violation.text.contains("the history has none"),
            "{violation}"
        );
    }
}
