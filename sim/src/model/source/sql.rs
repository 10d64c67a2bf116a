//! The statements that canald sends to a source, and their answers (binlog-parser reference §1.6, §1.7, §4).
//!
//! Exactly those: any other is a syntax error, so that a new statement shows here before it meets a server.

use std::time::Duration;

use super::dump::Refusal;
use super::gtids::GtidSet;
use super::log::{Server, uuid_text};
use super::state::Inner;
use super::tables::Shape;
use crate::plan::Flavor;

/// What a connection has set.
#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    /// Whether it said that it knows checksums; none if it said nothing.
    pub(super) checksum: Option<bool>,
    /// Between two heartbeats of an idle dump; none for no heartbeats.
    pub(super) heartbeat: Option<Duration>,
    /// The replica that it poses as.
    pub(super) uuid: Option<String>,
    /// MariaDB: which events it knows.
    pub(super) capability: u32,
    /// MariaDB: the GTIDs that it has.
    pub(super) connect_state: Option<String>,
}

/// What a statement is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// OK, no rows.
    Done,
    /// Rows of text.
    Rows {
        columns: Vec<&'static str>,
        rows: Vec<Vec<Option<String>>>,
    },
    /// An error; the connection stays.
    Refused(Refusal),
}

/// Runs a statement.
pub(super) fn answer(inner: &Inner, session: &mut Session, sql: &str) -> Answer {
    const VARIABLES: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN (";
    const TIMEOUTS: &str =
        "SET SESSION wait_timeout=9999999, net_write_timeout=7200, net_read_timeout=7200";
    const SETUP: &str = "SET NAMES utf8mb4, SESSION sql_mode = '' \
        /*!80030 , SESSION show_gipk_in_create_table_and_information_schema = ON */";
    let flavor = inner.log.server.flavor;
    let known = match (sql, flavor) {
        (TIMEOUTS | SETUP, _) => Some(Answer::Done),
        ("SHOW BINARY LOGS", _) => Some(binary_logs(inner)),
        ("SHOW BINARY LOG STATUS", Flavor::Mysql) | ("SHOW MASTER STATUS", Flavor::Mariadb) => {
            Some(end_of_log(inner))
        }
        (
            "SELECT @@global.gtid_executed AS executed, @@global.gtid_purged AS purged",
            Flavor::Mysql,
        )
        | ("SELECT @@global.gtid_binlog_pos AS executed, '' AS purged", Flavor::Mariadb) => {
            let executed = inner.log.server.gtids_through(inner.log.last);
            Some(one_row(
                &["executed", "purged"],
                vec![Some(executed), Some(String::new())],
            ))
        }
        _ => None,
    };
    let known = known.or_else(|| match (sql.strip_prefix(VARIABLES), flavor) {
        (Some(names), _) => Some(variables(inner, names)),
        (None, Flavor::Mysql) => gtid_proof(inner, sql),
        (None, Flavor::Mariadb) => gtid_at(inner, sql),
    });
    known
        .or_else(|| set_variables(session, flavor, sql))
        .or_else(|| columns(inner, sql))
        .unwrap_or_else(|| Answer::Refused(Refusal::syntax(sql)))
}

fn one_row(columns: &[&'static str], row: Vec<Option<String>>) -> Answer {
    Answer::Rows {
        columns: columns.to_vec(),
        rows: vec![row],
    }
}

/// The variables that are asked for and that the server has.
fn variables(inner: &Inner, names: &str) -> Answer {
    let asked: Vec<&str> = names.split('\'').skip(1).step_by(2).collect();
    let known = all_variables(inner).into_iter();
    let rows = known.filter(|(name, _)| asked.contains(name));
    Answer::Rows {
        columns: vec!["Variable_name", "Value"],
        rows: rows
            .map(|(name, value)| vec![Some(name.into()), Some(value)])
            .collect(),
    }
}

fn all_variables(inner: &Inner) -> Vec<(&'static str, String)> {
    let server = inner.log.server;
    let on = |yes: bool| if yes { "ON" } else { "OFF" };
    let checksum = if server.checksum { "CRC32" } else { "NONE" };
    let both = [
        ("binlog_checksum", checksum),
        ("binlog_expire_logs_seconds", "2592000"),
        ("binlog_format", "ROW"),
        ("binlog_row_image", "FULL"),
        ("binlog_row_metadata", inner.metadata.name()),
        ("log_bin", "ON"),
        ("lower_case_table_names", "0"),
        ("system_time_zone", "UTC"),
        ("time_zone", "SYSTEM"),
        ("version", server.version()),
    ];
    let own: &[(&'static str, &'static str)] = match server.flavor {
        Flavor::Mysql => &[
            ("binlog_row_value_options", ""),
            ("binlog_transaction_compression", "OFF"),
            ("gtid_mode", on(server.gtid)),
            ("log_replica_updates", "ON"),
            ("log_slave_updates", "ON"),
            ("version_comment", "MySQL Community Server - GPL"),
        ],
        Flavor::Mariadb => &[
            ("binlog_annotate_row_events", "OFF"),
            ("expire_logs_days", "30.000000"),
            ("gtid_domain_id", "0"),
            ("log_bin_compress", "OFF"),
            ("log_slave_updates", "ON"),
            ("version_comment", "mariadb.org binary distribution"),
        ],
    };
    let fixed = both
        .iter()
        .chain(own)
        .map(|(name, value)| (*name, (*value).to_owned()));
    let mut all: Vec<_> = fixed.collect();
    all.push(("server_id", Server::ID.to_string()));
    if server.flavor == Flavor::Mysql {
        all.push(("server_uuid", uuid_text(Server::UUID)));
    }
    all
}

fn binary_logs(inner: &Inner) -> Answer {
    let is_mysql = inner.log.server.flavor == Flavor::Mysql;
    let mut columns = vec!["Log_name", "File_size"];
    columns.extend(is_mysql.then_some("Encrypted"));
    let row = |file: &super::log::File| {
        let mut row = vec![Some(file.name.to_string()), Some(file.end().to_string())];
        row.extend(is_mysql.then(|| Some("No".into())));
        row
    };
    Answer::Rows {
        columns,
        rows: inner.log.files.iter().map(row).collect(),
    }
}

fn end_of_log(inner: &Inner) -> Answer {
    let (log, file) = (&inner.log, inner.log.current());
    let mut columns = vec!["File", "Position", "Binlog_Do_DB", "Binlog_Ignore_DB"];
    let mut row = vec![
        file.name.to_string(),
        file.end().to_string(),
        String::new(),
        String::new(),
    ];
    if log.server.flavor == Flavor::Mysql {
        columns.push("Executed_Gtid_Set");
        row.push(log.server.gtids_through(log.last));
    }
    one_row(&columns, row.into_iter().map(Some).collect())
}

/// `SELECT BINLOG_GTID_POS('FILE', OFFSET) AS gtid`
fn gtid_at(inner: &Inner, sql: &str) -> Option<Answer> {
    let rest = sql
        .strip_prefix("SELECT BINLOG_GTID_POS('")?
        .strip_suffix(") AS gtid")?;
    let (name, offset) = rest.split_once("', ")?;
    let offset: u64 = offset.parse().ok()?;
    let log = &inner.log;
    let file = log.find(name).map(|index| &log.files[index]);
    let file = file.filter(|file| file.event_at(offset).is_some());
    let gtid = file.map(|file| log.server.gtids_through(file.transactions_before(offset)));
    Some(one_row(&["gtid"], vec![gtid]))
}

/// `SELECT GTID_SUBTRACT('SET', @@global.gtid_executed) AS ahead, GTID_SUBTRACT(@@global.gtid_purged, 'SET') AS missing`
fn gtid_proof(inner: &Inner, sql: &str) -> Option<Answer> {
    let rest = sql.strip_prefix("SELECT GTID_SUBTRACT('")?;
    let (wanted, rest) = rest.split_once('\'')?;
    let expected = format!(
        ", @@global.gtid_executed) AS ahead, GTID_SUBTRACT(@@global.gtid_purged, '{wanted}') AS missing"
    );
    if rest != expected {
        return None;
    }
    let Some(wanted) = GtidSet::parse(wanted) else {
        return Some(Answer::Refused(Refusal {
            code: 1772,
            state: "HY000",
            message: format!("Malformed GTID set specification '{wanted}'."),
        }));
    };
    let executed = GtidSet::through(Server::UUID, inner.log.last);
    let ahead = wanted.without(&executed).to_string();
    Some(one_row(
        &["ahead", "missing"],
        vec![Some(ahead), Some(String::new())],
    ))
}

/// `SET @name=value, …`: none if it is no such statement, or names a variable that means nothing here.
fn set_variables(session: &mut Session, flavor: Flavor, sql: &str) -> Option<Answer> {
    let mut next = session.clone();
    for assignment in outside_quotes(sql.strip_prefix("SET @")?) {
        let (name, value) = assignment.split_once('=')?;
        let text = || Some(value.strip_prefix('\'')?.strip_suffix('\'')?.to_owned());
        match (name, flavor) {
            ("master_binlog_checksum", _) | ("source_binlog_checksum", Flavor::Mysql) => {
                next.checksum = Some(value == "@@global.binlog_checksum");
            }
            ("slave_uuid", _) | ("replica_uuid", Flavor::Mysql) => next.uuid = Some(text()?),
            ("master_heartbeat_period", _) | ("source_heartbeat_period", Flavor::Mysql) => {
                let period = Duration::from_nanos(value.parse().ok()?);
                next.heartbeat = (!period.is_zero()).then_some(period);
            }
            // MariaDB knows the old names alone; the new ones are variables like any other.
            (
                "source_binlog_checksum" | "replica_uuid" | "source_heartbeat_period",
                Flavor::Mariadb,
            )
            | ("slave_gtid_strict_mode" | "slave_gtid_ignore_duplicates", Flavor::Mariadb) => {}
            ("mariadb_slave_capability", Flavor::Mariadb) => {
                next.capability = value.parse().ok()?;
            }
            ("slave_connect_state", Flavor::Mariadb) => next.connect_state = Some(text()?),
            _ => return None,
        }
    }
    *session = next;
    Some(Answer::Done)
}

/// The assignments of `a=1, @b='x, y', @c=2`, without the `@`.
fn outside_quotes(list: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = list;
    loop {
        let quoted = |at: &usize| rest[..*at].matches('\'').count() % 2 == 1;
        let mut ends = rest.match_indices(", @").map(|(at, _)| at);
        match ends.find(|at| !quoted(at)) {
            Some(at) => {
                parts.push(&rest[..at]);
                rest = &rest[at + ", @".len()..];
            }
            None => {
                parts.push(rest);
                return parts;
            }
        }
    }
}

/// A table's columns as they are now, asked for by its schema and name.
fn columns(inner: &Inner, sql: &str) -> Option<Answer> {
    let (_, rest) = sql.split_once("WHERE table_schema = '")?;
    let (schema, rest) = rest.split_once("' AND table_name = '")?;
    let (table, _) = rest.split_once('\'')?;
    if sql != columns_question(schema, table) {
        return None;
    }
    let shape = inner.tables.named(schema, table);
    let rows = shape.map(column_rows).unwrap_or_default();
    let mut answer_columns = vec!["column_name", "column_type", "character_set_name"];
    answer_columns.extend(["is_nullable", "k.column_name IS NOT NULL"]);
    Some(Answer::Rows {
        columns: answer_columns,
        rows,
    })
}

fn columns_question(schema: &str, table: &str) -> String {
    format!(
        "SELECT c.column_name, c.column_type, c.character_set_name, c.is_nullable, \
         k.column_name IS NOT NULL FROM information_schema.columns AS c LEFT JOIN (\
         SELECT column_name FROM information_schema.statistics \
         WHERE table_schema = '{schema}' AND table_name = '{table}' AND index_name = 'PRIMARY'\
         ) AS k ON k.column_name = c.column_name \
         WHERE c.table_schema = '{schema}' AND c.table_name = '{table}' ORDER BY c.ordinal_position"
    )
}

fn column_rows(shape: &Shape) -> Vec<Vec<Option<String>>> {
    let columns = shape.kinds.iter().zip(&shape.table.columns);
    let row = |(kind, column): (&super::value::Kind, &crate::model::history::Column)| {
        let nullable = if kind.is_nullable() { "YES" } else { "NO" };
        vec![
            Some(column.name.clone()),
            Some(column.sql_type.clone()),
            kind.is_text().then(|| "utf8mb4".into()),
            Some(nullable.into()),
            Some(u8::from(column.key).to_string()),
        ]
    };
    columns.map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_cut_outside_quotes() {
        let list = "a=1, @b='x, @y', @c=2";
        assert_eq!(outside_quotes(list), ["a=1", "b='x, @y'", "c=2"]);
    }

    #[test]
    fn a_session_learns_its_variables_and_refuses_what_it_does_not_know() {
        let mut session = Session::default();
        let sql = "SET @master_binlog_checksum=@@global.binlog_checksum, @slave_uuid='u', \
                   @master_heartbeat_period=15000000000, @mariadb_slave_capability=4";
        let done = set_variables(&mut session, Flavor::Mariadb, sql);
        assert_eq!(done, Some(Answer::Done));
        assert_eq!(session.checksum, Some(true));
        assert_eq!(session.heartbeat, Some(Duration::from_secs(15)));
        assert_eq!(
            (session.uuid.as_deref(), session.capability),
            (Some("u"), 4)
        );
        assert_eq!(set_variables(&mut session, Flavor::Mysql, sql), None);
        assert_eq!(set_variables(&mut session, Flavor::Mysql, "SET @x=1"), None);
    }
}
