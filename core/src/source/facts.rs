//! What a source is: asked in three or four statements, read into [`SourceFacts`].
//!
//! [`Discovery`] is the script: variables, GTID sets, end of the log and, on MariaDB, the GTID position
//! there. What a server does not know is absent from the facts; only a refusal that leaves us blind is
//! a [`SourceFault`].

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use thiserror::Error;

use super::statements;
use crate::mysql::handshake::{Flavor, ServerVersion};
use crate::mysql::query::{ResultSet, ServerError};
use crate::position::{BinlogFile, BinlogPosition};

/// How far a server uses GTIDs: MySQL's `gtid_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GtidMode {
    /// Not at all: OFF, or a server without them.
    Off,
    /// OFF_PERMISSIVE or ON_PERMISSIVE: some transactions have one.
    Permissive,
    /// Every transaction has one: ON, or any MariaDB.
    On,
}

/// The checksum of a server's events: `binlog_checksum`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// NONE
    None,
    /// CRC32
    Crc32,
}

/// Which server a place in a binlog belongs to (`design.md` §5): a file and offset mean nothing on another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceIdentity {
    /// MySQL's `server_uuid`.
    Uuid(String),
    /// MariaDB has none: its server id and GTID domain.
    Mariadb {
        /// `server_id`
        server_id: u32,
        /// `gtid_domain_id`
        domain: u32,
    },
    /// A MySQL so old that it has none: its server id.
    ServerId(u32),
}

impl SourceIdentity {
    const MARIADB: &str = "mariadb-";
    const SERVER: &str = "server-";

    /// Reads what [`fmt::Display`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix(Self::MARIADB) {
            let (server_id, domain) = rest.split_once('-')?;
            let (server_id, domain) = (server_id.parse().ok()?, domain.parse().ok()?);
            return Some(Self::Mariadb { server_id, domain });
        }
        if let Some(rest) = text.strip_prefix(Self::SERVER) {
            return rest.parse().ok().map(Self::ServerId);
        }
        (!text.is_empty()).then(|| Self::Uuid(text.to_owned()))
    }
}

impl fmt::Display for SourceIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(uuid) => f.write_str(uuid),
            Self::Mariadb { server_id, domain } => {
                write!(f, "{}{server_id}-{domain}", Self::MARIADB)
            }
            Self::ServerId(id) => write!(f, "{}{id}", Self::SERVER),
        }
    }
}

/// The end of a source's log at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndOfLog {
    /// Where it is.
    pub position: BinlogPosition,
    /// The GTIDs up to there, without white space; empty if there are none.
    pub gtid: String,
}

/// What a source is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFacts {
    /// Family and version.
    pub version: ServerVersion,
    /// `version_comment`, such as "Percona Server (GPL)".
    pub version_comment: String,
    /// `server_id`
    pub server_id: u32,
    /// `server_uuid` (MySQL)
    pub server_uuid: Option<String>,
    /// `gtid_domain_id` (MariaDB)
    pub gtid_domain_id: Option<u32>,
    /// `log_bin`
    pub log_bin: bool,
    /// Whether a server that is itself a replica logs what it replicates.
    pub log_replica_updates: bool,
    /// `binlog_format`, upper case; ROW where the variable is gone.
    pub binlog_format: String,
    /// `binlog_row_image`, upper case; FULL where there is none.
    pub row_image: String,
    /// `binlog_row_metadata`, upper case.
    pub row_metadata: Option<String>,
    /// `binlog_row_value_options`, upper case, such as PARTIAL_JSON; empty for none.
    pub row_value_options: String,
    /// Whether transactions or events are compressed: `binlog_transaction_compression`, `log_bin_compress`.
    pub compression: bool,
    /// `binlog_annotate_row_events` (MariaDB)
    pub annotate_row_events: Option<bool>,
    /// `binlog_checksum`
    pub checksum: Checksum,
    /// `gtid_mode`
    pub gtid_mode: GtidMode,
    /// MySQL: `gtid_executed`. MariaDB: `gtid_binlog_pos`. Without white space.
    pub gtid_executed: String,
    /// MySQL: `gtid_purged`, without white space.
    pub gtid_purged: String,
    /// `lower_case_table_names`: 0, 1 or 2.
    pub lower_case_table_names: u8,
    /// `time_zone`; where it is SYSTEM, `system_time_zone`.
    pub time_zone: String,
    /// After how many seconds binlog files are deleted; 0 for never.
    pub binlog_expire_seconds: u64,
    /// The end of the log; none if there is no log.
    pub end: Option<EndOfLog>,
}

impl SourceFacts {
    /// The source's family.
    #[must_use]
    pub const fn flavor(&self) -> Flavor {
        self.version.flavor
    }

    /// Whether names of schemas and tables are folded to lower case.
    #[must_use]
    pub const fn folds_names(&self) -> bool {
        self.lower_case_table_names != 0
    }

    /// Which server this is.
    #[must_use]
    pub fn identity(&self) -> SourceIdentity {
        match (&self.server_uuid, self.flavor()) {
            (Some(uuid), Flavor::Mysql) => SourceIdentity::Uuid(uuid.clone()),
            (None, Flavor::Mysql) => SourceIdentity::ServerId(self.server_id),
            (_, Flavor::Mariadb) => SourceIdentity::Mariadb {
                server_id: self.server_id,
                domain: self.gtid_domain_id.unwrap_or_default(),
            },
        }
    }

    fn read(
        variables: &BTreeMap<String, String>,
        greeted: &ServerVersion,
    ) -> Result<Self, SourceFault> {
        let text = |name: &str| variables.get(name).cloned().unwrap_or_default();
        let upper = |name: &str| text(name).to_ascii_uppercase();
        let is_on = |name: &str| matches!(upper(name).as_str(), "ON" | "1");
        let number = |name: &str| variables.get(name).and_then(|value| value.parse().ok());
        let or = |value: String, absent: &str| {
            if value.is_empty() {
                absent.to_owned()
            } else {
                value
            }
        };
        let Some(server_id) = number("server_id") else {
            return Err(SourceFault::NoServerId);
        };
        let version = variables
            .get("version")
            .map_or_else(|| greeted.clone(), |v| ServerVersion::parse(v));
        let time_zone = match text("time_zone") {
            zone if zone == "SYSTEM" => text("system_time_zone"),
            zone => zone,
        };
        let gtid_mode = match (version.flavor, upper("gtid_mode").as_str()) {
            (Flavor::Mariadb, _) | (Flavor::Mysql, "ON") => GtidMode::On,
            (Flavor::Mysql, "ON_PERMISSIVE" | "OFF_PERMISSIVE") => GtidMode::Permissive,
            (Flavor::Mysql, _) => GtidMode::Off,
        };
        let checksum = if upper("binlog_checksum") == "CRC32" {
            Checksum::Crc32
        } else {
            Checksum::None
        };
        Ok(Self {
            version_comment: text("version_comment"),
            server_id,
            server_uuid: variables
                .get("server_uuid")
                .filter(|uuid| !uuid.is_empty())
                .cloned(),
            gtid_domain_id: number("gtid_domain_id"),
            log_bin: is_on("log_bin"),
            log_replica_updates: is_on("log_replica_updates") || is_on("log_slave_updates"),
            binlog_format: or(upper("binlog_format"), "ROW"),
            row_image: or(upper("binlog_row_image"), "FULL"),
            row_metadata: variables
                .get("binlog_row_metadata")
                .map(|v| v.to_ascii_uppercase()),
            row_value_options: upper("binlog_row_value_options"),
            compression: is_on("binlog_transaction_compression") || is_on("log_bin_compress"),
            annotate_row_events: variables
                .contains_key("binlog_annotate_row_events")
                .then(|| is_on("binlog_annotate_row_events")),
            checksum,
            gtid_mode,
            gtid_executed: String::new(),
            gtid_purged: String::new(),
            lower_case_table_names: number("lower_case_table_names")
                .and_then(|n| u8::try_from(n).ok())
                .unwrap_or_default(),
            time_zone,
            binlog_expire_seconds: binlog_expiry(variables),
            end: None,
            version,
        })
    }
}

/// `binlog_expire_logs_seconds`, or the older `expire_logs_days`, a fraction on MariaDB.
fn binlog_expiry(variables: &BTreeMap<String, String>) -> u64 {
    const DAY_SECONDS: u64 = 86_400;
    let whole = |name: &str| {
        let value = variables.get(name)?;
        value.split('.').next().unwrap_or(value).parse::<u64>().ok()
    };
    match whole("binlog_expire_logs_seconds") {
        Some(seconds) if seconds > 0 => seconds,
        Some(_) | None => whole("expire_logs_days")
            .unwrap_or_default()
            .saturating_mul(DAY_SECONDS),
    }
}

/// A source that cannot be known.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SourceFault {
    /// A privilege is missing.
    #[error("{error}: {}", grant(.version, .user))]
    Denied {
        /// The server's words.
        error: ServerError,
        /// What the server is.
        version: ServerVersion,
        /// Whose privilege.
        user: String,
    },
    /// A statement that every server knows was refused.
    #[error("{sql}: {error}")]
    Refused {
        /// The statement.
        sql: String,
        /// The server's words.
        error: ServerError,
    },
    /// There is no `server_id` among the variables.
    #[error(
        "the server told no server_id: is this a MySQL or MariaDB server, or a proxy before one?"
    )]
    NoServerId,
}

/// The statement that gives an account what canald needs.
#[must_use]
pub fn grant(version: &ServerVersion, user: &str) -> String {
    let monitor = if version.is_at_least(Flavor::Mariadb, (10, 5, 2)) {
        "BINLOG MONITOR"
    } else {
        "REPLICATION CLIENT"
    };
    alloc::format!("GRANT REPLICATION SLAVE, {monitor}, SELECT ON *.* TO '{user}'@'%';")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Variables,
    GtidSets,
    EndOfLog,
    GtidAtEnd,
    Nothing,
}

/// The script that asks a source what it is.
///
/// Ask [`Self::next_query`], hand its answer to [`Self::handle_result`], until there is no query; then
/// [`Self::finish`].
#[derive(Debug)]
pub struct Discovery {
    greeted: ServerVersion,
    user: String,
    question: Question,
    facts: Option<SourceFacts>,
    fault: Option<SourceFault>,
}

impl Discovery {
    /// For a server that greeted with this version, asked in the name of `user`.
    #[must_use]
    pub fn new(greeted: ServerVersion, user: &str) -> Self {
        let question = Question::Variables;
        Self {
            greeted,
            user: user.to_owned(),
            question,
            facts: None,
            fault: None,
        }
    }

    /// The statement to ask now; `None` when all is known.
    #[must_use]
    pub fn next_query(&self) -> Option<String> {
        let version = self
            .facts
            .as_ref()
            .map_or(&self.greeted, |facts| &facts.version);
        match self.question {
            Question::Variables => Some(statements::variables()),
            Question::GtidSets => Some(statements::gtid_sets(version)),
            Question::EndOfLog => Some(statements::end_of_log(version).to_string()),
            Question::GtidAtEnd => {
                let end = self.facts.as_ref().and_then(|facts| facts.end.as_ref());
                end.map(|end| statements::mariadb_gtid_at(&end.position))
            }
            Question::Nothing => None,
        }
    }

    /// Takes the answer to [`Self::next_query`].
    pub fn handle_result(&mut self, result: Result<ResultSet, ServerError>) {
        let asked = self.next_query();
        let answered = match (self.question, result) {
            (Question::Variables, Ok(set)) => self.variables(&set),
            (Question::GtidSets, Ok(set)) => {
                self.gtid_sets(&set);
                Ok(())
            }
            // A server of before GTIDs, or one that hides them.
            (Question::GtidSets | Question::GtidAtEnd, Err(_)) => Ok(()),
            (Question::EndOfLog, Ok(set)) => {
                self.end_of_log(&set);
                Ok(())
            }
            (Question::EndOfLog, Err(_)) if self.facts.as_ref().is_some_and(|f| !f.log_bin) => {
                Ok(())
            }
            (Question::GtidAtEnd, Ok(set)) => {
                self.gtid_at_end(&set);
                Ok(())
            }
            (Question::Nothing, _) => return,
            (Question::Variables | Question::EndOfLog, Err(error)) => {
                Err(self.refused(asked.unwrap_or_default(), error))
            }
        };
        match answered {
            Ok(()) => self.question = self.following(),
            Err(fault) => {
                self.fault = Some(fault);
                self.question = Question::Nothing;
            }
        }
    }

    /// The facts.
    ///
    /// # Errors
    /// The source refused what we cannot do without.
    ///
    /// # Panics
    /// If there still is a query to ask.
    pub fn finish(self) -> Result<SourceFacts, SourceFault> {
        assert_eq!(
            self.question,
            Question::Nothing,
            "facts are complete only after the last answer"
        );
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok(self
                .facts
                .expect("without a fault the variables were answered")),
        }
    }

    fn following(&self) -> Question {
        let end_needs_gtid = self
            .facts
            .as_ref()
            .is_some_and(|facts| facts.flavor() == Flavor::Mariadb && facts.end.is_some());
        match self.question {
            Question::Variables => Question::GtidSets,
            Question::GtidSets => Question::EndOfLog,
            Question::EndOfLog if end_needs_gtid => Question::GtidAtEnd,
            Question::EndOfLog | Question::GtidAtEnd | Question::Nothing => Question::Nothing,
        }
    }

    fn variables(&mut self, set: &ResultSet) -> Result<(), SourceFault> {
        let pairs = (0..set.rows.len()).filter_map(|row| {
            let (name, value) = (set.text_at(row, 0)?, set.text_at(row, 1)?);
            Some((name.to_ascii_lowercase(), value.to_owned()))
        });
        self.facts = Some(SourceFacts::read(&pairs.collect(), &self.greeted)?);
        Ok(())
    }

    fn gtid_sets(&mut self, set: &ResultSet) {
        if let Some(facts) = &mut self.facts {
            facts.gtid_executed = without_white_space(set.text(0, "executed").unwrap_or_default());
            facts.gtid_purged = without_white_space(set.text(0, "purged").unwrap_or_default());
        }
    }

    fn end_of_log(&mut self, set: &ResultSet) {
        let Some(facts) = &mut self.facts else { return };
        let file = set.text(0, "File").filter(|file| !file.is_empty());
        let offset = set
            .text(0, "Position")
            .and_then(|offset| offset.parse().ok());
        if let (Some(file), Some(offset)) = (file, offset) {
            let gtid = without_white_space(set.text(0, "Executed_Gtid_Set").unwrap_or_default());
            let position = BinlogPosition::new(BinlogFile::new(file), offset);
            facts.end = Some(EndOfLog { position, gtid });
        }
    }

    fn gtid_at_end(&mut self, set: &ResultSet) {
        if let Some(end) = self.facts.as_mut().and_then(|facts| facts.end.as_mut()) {
            end.gtid = without_white_space(set.text(0, "gtid").unwrap_or_default());
        }
    }

    fn refused(&self, sql: String, error: ServerError) -> SourceFault {
        if error.is_denied() {
            let (version, user) = (self.greeted.clone(), self.user.clone());
            SourceFault::Denied {
                error,
                version,
                user,
            }
        } else {
            SourceFault::Refused { sql, error }
        }
    }
}

/// GTID sets of several servers come with a line break after each comma.
fn without_white_space(set: &str) -> String {
    set.chars().filter(|c| !c.is_ascii_whitespace()).collect()
}

/// A binlog file and its length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinaryLog {
    /// The file.
    pub file: BinlogFile,
    /// Its bytes.
    pub size: u64,
}

/// Reads the answer to `SHOW BINARY LOGS`, oldest first.
#[must_use]
pub fn binary_logs(set: &ResultSet) -> Vec<BinaryLog> {
    let rows = 0..set.rows.len();
    let log = |row| {
        let file = BinlogFile::new(set.text(row, "Log_name")?);
        let size = set.text(row, "File_size")?.parse().ok()?;
        Some(BinaryLog { file, size })
    };
    rows.filter_map(log).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::mysql::query::tests::{refusal, result};
    use alloc::vec;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    /// Facts of a well configured MySQL 8.4 whose log ends at `binlog.000007:1234`.
    pub(crate) fn facts() -> SourceFacts {
        discover("8.4.13", &[], "uuid:1-5").unwrap()
    }

    /// Facts of a well configured MariaDB 10.11.
    pub(crate) fn mariadb_facts() -> SourceFacts {
        let mut discovery = Discovery::new(ServerVersion::parse("5.5.5-10.11.19-MariaDB"), "canal");
        let rows: [&[&str]; 5] = [
            &["version", "10.11.19-MariaDB"],
            &["server_id", "902"],
            &["gtid_domain_id", "0"],
            &["log_bin", "ON"],
            &["binlog_format", "ROW"],
        ];
        discovery.handle_result(Ok(result(&["Variable_name", "Value"], &rows)));
        assert_eq!(
            discovery.next_query().unwrap(),
            "SELECT @@global.gtid_binlog_pos AS executed, '' AS purged"
        );
        discovery.handle_result(Ok(result(&["executed", "purged"], &[&["0-902-12", ""]])));
        let status = result(&["File", "Position"], &[&["binlog.000002", "900"]]);
        discovery.handle_result(Ok(status));
        assert_eq!(
            discovery.next_query().unwrap(),
            "SELECT BINLOG_GTID_POS('binlog.000002', 900) AS gtid"
        );
        discovery.handle_result(Ok(result(&["gtid"], &[&["0-902-11"]])));
        discovery.finish().unwrap()
    }

    fn discover(
        version: &str,
        more: &[(&str, &str)],
        gtid: &str,
    ) -> Result<SourceFacts, SourceFault> {
        let mut discovery = Discovery::new(ServerVersion::parse(version), "canal");
        let known = [
            ("version", version),
            ("server_id", "901"),
            ("server_uuid", UUID),
            ("log_bin", "ON"),
            ("binlog_format", "ROW"),
            ("binlog_row_image", "full"),
            ("binlog_row_metadata", "FULL"),
            ("binlog_checksum", "CRC32"),
            ("gtid_mode", "ON"),
            ("lower_case_table_names", "0"),
            ("time_zone", "SYSTEM"),
            ("system_time_zone", "CET"),
            ("binlog_expire_logs_seconds", "2592000"),
        ];
        let rows: Vec<Vec<&str>> = known
            .iter()
            .chain(more)
            .map(|(n, v)| vec![*n, *v])
            .collect();
        let rows: Vec<&[&str]> = rows.iter().map(Vec::as_slice).collect();
        discovery.handle_result(Ok(result(&["Variable_name", "Value"], &rows)));
        discovery.handle_result(Ok(result(&["executed", "purged"], &[&[gtid, "uuid:1-2"]])));
        let columns = ["File", "Position", "Binlog_Do_DB", "Executed_Gtid_Set"];
        let status = result(&columns, &[&["binlog.000007", "1234", "", gtid]]);
        discovery.handle_result(Ok(status));
        assert_eq!(discovery.next_query(), None);
        discovery.finish()
    }

    #[test]
    fn a_mysql_is_known_after_three_answers() {
        let facts = discover(
            "8.4.13",
            &[("binlog_transaction_compression", "ON")],
            "a:1-5,\nb:1",
        )
        .unwrap();
        assert_eq!(facts.identity(), SourceIdentity::Uuid(UUID.into()));
        assert_eq!(facts.gtid_mode, GtidMode::On);
        assert_eq!(facts.checksum, Checksum::Crc32);
        assert_eq!(facts.row_image, "FULL");
        assert_eq!(
            (facts.gtid_executed.as_str(), facts.gtid_purged.as_str()),
            ("a:1-5,b:1", "uuid:1-2")
        );
        assert!(facts.compression);
        assert_eq!(facts.time_zone, "CET");
        let end = facts.end.unwrap();
        assert_eq!(end.position.to_string(), "binlog.000007:1234");
        assert_eq!(end.gtid, "a:1-5,b:1");
    }

    #[test]
    fn a_mariadb_is_known_by_server_and_domain_and_its_gtid_is_that_of_the_end() {
        let facts = mariadb_facts();
        assert_eq!(
            facts.identity(),
            SourceIdentity::Mariadb {
                server_id: 902,
                domain: 0
            }
        );
        assert_eq!(facts.gtid_mode, GtidMode::On);
        assert_eq!(facts.end.unwrap().gtid, "0-902-11");
        assert_eq!(facts.row_metadata, None);
    }

    #[test]
    fn a_server_without_gtids_or_log_is_still_known() {
        let mut discovery = Discovery::new(ServerVersion::parse("5.6.24"), "canal");
        let rows: [&[&str]; 2] = [&["server_id", "1"], &["log_bin", "OFF"]];
        discovery.handle_result(Ok(result(&["Variable_name", "Value"], &rows)));
        discovery.handle_result(Err(refusal(
            1193,
            "Unknown system variable 'gtid_executed'",
        )));
        assert_eq!(discovery.next_query().unwrap(), "SHOW MASTER STATUS");
        discovery.handle_result(Ok(result(&["File", "Position"], &[])));
        let facts = discovery.finish().unwrap();
        assert_eq!((facts.end, facts.gtid_mode), (None, GtidMode::Off));
        assert_eq!(facts.version.number, (5, 6, 24));
    }

    #[test]
    fn a_missing_privilege_names_the_grant_that_cures_it() {
        for (version, monitor) in [
            ("8.4.13", "REPLICATION CLIENT"),
            ("10.11.19-MariaDB", "BINLOG MONITOR"),
        ] {
            let mut discovery = Discovery::new(ServerVersion::parse(version), "canal");
            let variables: [&[&str]; 2] = [&["server_id", "1"], &["log_bin", "ON"]];
            discovery.handle_result(Ok(result(&["Variable_name", "Value"], &variables)));
            discovery.handle_result(Ok(result(&["executed", "purged"], &[&["", ""]])));
            discovery.handle_result(Err(refusal(1227, "Access denied; you need …")));
            let text = discovery.finish().unwrap_err().to_string();
            let grant =
                alloc::format!("GRANT REPLICATION SLAVE, {monitor}, SELECT ON *.* TO 'canal'@'%';");
            assert!(text.ends_with(&grant), "{text}");
        }
    }

    #[test]
    fn an_identity_survives_its_text() {
        for identity in [
            SourceIdentity::Uuid(UUID.into()),
            SourceIdentity::Mariadb {
                server_id: 7,
                domain: 3,
            },
            SourceIdentity::ServerId(9),
        ] {
            assert_eq!(SourceIdentity::parse(&identity.to_string()), Some(identity));
        }
        assert_eq!(SourceIdentity::parse(""), None);
        assert_eq!(SourceIdentity::parse("mariadb-x"), None);
    }

    #[test]
    fn files_are_listed_with_their_sizes() {
        let set = result(
            &["Log_name", "File_size", "Encrypted"],
            &[&["b.000001", "180", "No"]],
        );
        assert_eq!(
            binary_logs(&set),
            [BinaryLog {
                file: BinlogFile::new("b.000001"),
                size: 180
            }]
        );
    }
}
