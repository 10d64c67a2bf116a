//! The statements that canald sends to a source (binlog-parser reference §1.6, §1.7), as data.
//!
//! Which spelling a server knows follows from its version, so no statement is tried in vain.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use crate::mysql::handshake::{Flavor, ServerVersion};
use crate::position::BinlogPosition;
use crate::time::Duration;

/// What becomes of the dump if a statement is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Necessity {
    /// It cannot begin.
    Required,
    /// It begins all the same.
    Helpful,
}

/// A statement that prepares the session of a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionStatement {
    /// Its text.
    pub sql: String,
    /// Whether the dump can do without it.
    pub necessity: Necessity,
}

/// Global variables of both families that [`super::facts::SourceFacts`] reads; a server leaves out those it lacks.
const VARIABLES: &[&str] = &[
    "version",
    "version_comment",
    "server_id",
    "server_uuid",
    "gtid_domain_id",
    "log_bin",
    "log_bin_compress",
    "log_slave_updates",
    "log_replica_updates",
    "binlog_format",
    "binlog_row_image",
    "binlog_row_metadata",
    "binlog_row_value_options",
    "binlog_transaction_compression",
    "binlog_checksum",
    "binlog_annotate_row_events",
    "binlog_expire_logs_seconds",
    "expire_logs_days",
    "gtid_mode",
    "lower_case_table_names",
    "time_zone",
    "system_time_zone",
];

/// All facts but GTID sets, which this form cuts off at 1024 bytes.
#[must_use]
pub fn variables() -> String {
    format!(
        "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('{}')",
        VARIABLES.join("','")
    )
}

/// The GTID sets, in columns `executed` and `purged`.
#[must_use]
pub fn gtid_sets(version: &ServerVersion) -> String {
    match version.flavor {
        Flavor::Mysql => {
            "SELECT @@global.gtid_executed AS executed, @@global.gtid_purged AS purged".into()
        }
        Flavor::Mariadb => "SELECT @@global.gtid_binlog_pos AS executed, '' AS purged".into(),
    }
}

/// The end of the log: file, offset and, on MySQL, the GTID set there.
#[must_use]
pub fn end_of_log(version: &ServerVersion) -> &'static str {
    if version.is_at_least(Flavor::Mysql, (8, 2, 0)) {
        "SHOW BINARY LOG STATUS"
    } else {
        "SHOW MASTER STATUS"
    }
}

/// MariaDB: the GTID position at a place in the log, in column `gtid`; NULL if the place is no end of an event.
#[must_use]
pub fn mariadb_gtid_at(place: &BinlogPosition) -> String {
    let BinlogPosition { file, offset } = place;
    format!(
        "SELECT BINLOG_GTID_POS({}, {offset}) AS gtid",
        quoted(file.as_str())
    )
}

/// The binlog files, oldest first.
pub const BINARY_LOGS: &str = "SHOW BINARY LOGS";

/// The replicas that are connected.
#[must_use]
pub fn replicas(version: &ServerVersion) -> &'static str {
    if version.is_at_least(Flavor::Mysql, (8, 0, 22)) {
        "SHOW REPLICAS"
    } else {
        "SHOW SLAVE HOSTS"
    }
}

/// MySQL: whether a dump may begin after the GTID set `wanted`, in columns `ahead` and `missing`
/// ([`super::start::GtidProof`]). The server does the arithmetic, so it is right for every kind of GTID it knows.
#[must_use]
pub fn mysql_gtid_proof(wanted: &str) -> String {
    let wanted = quoted(wanted);
    format!(
        "SELECT GTID_SUBTRACT({wanted}, @@global.gtid_executed) AS ahead, \
         GTID_SUBTRACT(@@global.gtid_purged, {wanted}) AS missing"
    )
}

/// What a dump's session needs before it begins.
///
/// Heartbeats every `heartbeat`; `uuid` is the replica that canald poses as. Both spellings are set:
/// MySQL 5.7 and MariaDB read only the old ones.
#[must_use]
pub fn dump_session(
    version: &ServerVersion,
    uuid: &str,
    heartbeat: Duration,
) -> Vec<SessionStatement> {
    /// A dump held back by a slow client must outlive the server's patience with writers.
    const TIMEOUTS: &str =
        "SET SESSION wait_timeout=9999999, net_write_timeout=7200, net_read_timeout=7200";
    let (uuid, nanos) = (quoted(uuid), heartbeat.as_nanos());
    let mut variables = format!(
        "SET @master_binlog_checksum=@@global.binlog_checksum, \
         @source_binlog_checksum=@@global.binlog_checksum, \
         @slave_uuid={uuid}, @replica_uuid={uuid}, \
         @master_heartbeat_period={nanos}, @source_heartbeat_period={nanos}"
    );
    if version.flavor == Flavor::Mariadb {
        // 4: the events themselves, GTID and GTID_LIST among them, instead of replacements.
        variables.push_str(", @mariadb_slave_capability=4");
    }
    vec![
        SessionStatement {
            sql: variables,
            necessity: Necessity::Required,
        },
        SessionStatement {
            sql: TIMEOUTS.to_string(),
            necessity: Necessity::Helpful,
        },
    ]
}

/// MariaDB: begins the dump after the GTIDs of `position`, one for each domain (binlog-parser reference §1.11).
#[must_use]
pub fn mariadb_gtid_start(position: &str) -> SessionStatement {
    let position = quoted(position);
    let sql = format!(
        "SET @slave_connect_state={position}, @slave_gtid_strict_mode=0, @slave_gtid_ignore_duplicates=0"
    );
    SessionStatement {
        sql,
        necessity: Necessity::Required,
    }
}

/// A string literal that stays one in every `sql_mode`: quotes are doubled, backslashes and NULs left
/// out. What is quoted here (file names, UUIDs, GTIDs) holds none of them unless someone means harm.
fn quoted(text: &str) -> String {
    let text: String = text.chars().filter(|c| *c != '\0' && *c != '\\').collect();
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spelling_follows_the_version() {
        for (version, end, list) in [
            ("5.6.24", "SHOW MASTER STATUS", "SHOW SLAVE HOSTS"),
            ("5.7.42", "SHOW MASTER STATUS", "SHOW SLAVE HOSTS"),
            ("8.0.46", "SHOW MASTER STATUS", "SHOW REPLICAS"),
            ("8.4.13", "SHOW BINARY LOG STATUS", "SHOW REPLICAS"),
            ("9.7.4", "SHOW BINARY LOG STATUS", "SHOW REPLICAS"),
            ("10.11.19-MariaDB", "SHOW MASTER STATUS", "SHOW SLAVE HOSTS"),
            ("11.8.9-MariaDB", "SHOW MASTER STATUS", "SHOW SLAVE HOSTS"),
        ] {
            let version = ServerVersion::parse(version);
            assert_eq!(
                (end_of_log(&version), replicas(&version)),
                (end, list),
                "{version}"
            );
        }
    }

    #[test]
    fn heartbeats_are_in_nanoseconds_and_mariadb_is_told_our_capability() {
        let session = |version| {
            dump_session(
                &ServerVersion::parse(version),
                "u-u",
                Duration::from_secs(15),
            )
            .remove(0)
            .sql
        };
        assert!(session("8.0.46").contains("@master_heartbeat_period=15000000000,"));
        assert!(session("8.0.46").contains("@slave_uuid='u-u'"));
        assert!(!session("8.0.46").contains("mariadb"));
        assert!(session("10.11.19-MariaDB").ends_with("@mariadb_slave_capability=4"));
    }

    #[test]
    fn a_literal_stays_one() {
        assert_eq!(quoted("0-1-2"), "'0-1-2'");
        assert_eq!(quoted(r"a\' OR 1=1 -- "), "'a'' OR 1=1 -- '");
    }
}
