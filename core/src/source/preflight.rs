//! `canald check`: whether a source will do, judged before anything is read from it.
//!
//! The runtime asks [`questions`] and hands the answers to [`judge`], which returns a [`Finding`] for
//! each subject, in the order in which an operator would put things right. What keeps it from asking has
//! a finding too: [`disconnected`] and [`refused`].

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use super::facts::{Checksum, GtidMode, SourceFacts, binary_logs, grant};
use super::start::StoredPlace;
use super::statements;
use crate::config::{InstanceConfig, Start};
use crate::mysql::handshake::Flavor;
use crate::mysql::query::{ResultSet, ServerError};

mod access;
mod place;

pub use access::{disconnected, refused};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works; it could work better.
    Advice,
    /// canald cannot serve this source, or would lose or misread something.
    Problem,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Advice => "advice",
            Self::Problem => "problem",
        })
    }
}

/// One subject of the check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// The subject, such as `binlog_format`.
    pub what: &'static str,
    /// What was found.
    pub found: String,
    /// What to do; empty where nothing is to be done.
    pub do_this: String,
}

/// What is asked beyond [`SourceFacts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Our privileges.
    Grants,
    /// The binlog files.
    BinaryLogs,
    /// The replicas that are connected.
    Replicas,
    /// Whether the source has the GTID set after which the destination starts.
    Start,
}

/// A statement and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What it is about.
    pub topic: Topic,
    /// Its text.
    pub sql: String,
}

/// The answer to a question. A refusal is an answer too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The question's topic.
    pub topic: Topic,
    /// What the server said.
    pub result: Result<ResultSet, ServerError>,
}

/// What to ask a source with these facts, for a destination that goes on at `stored`, if it has begun.
#[must_use]
pub fn questions(
    facts: &SourceFacts,
    config: &InstanceConfig,
    stored: Option<&StoredPlace>,
) -> Vec<Question> {
    let ask = |topic, sql: &str| Question {
        topic,
        sql: sql.to_owned(),
    };
    let mut questions = vec![
        ask(Topic::Grants, "SHOW GRANTS"),
        ask(Topic::BinaryLogs, statements::BINARY_LOGS),
        ask(Topic::Replicas, statements::replicas(&facts.version)),
    ];
    questions.extend(place::question(facts, config, stored).map(|sql| ask(Topic::Start, &sql)));
    questions
}

/// The findings on a source for a destination that goes on at `stored`, if it has begun.
#[must_use]
pub fn judge(
    facts: &SourceFacts,
    answers: &[Answer],
    config: &InstanceConfig,
    stored: Option<&StoredPlace>,
) -> Vec<Finding> {
    let answer = |topic| {
        answers
            .iter()
            .find(|answer| answer.topic == topic)
            .map(|a| &a.result)
    };
    let mut findings = vec![version(facts), log_bin(facts)];
    if facts.log_bin {
        findings.push(binlog_format(facts, config));
        findings.push(row_image(facts, config));
        findings.push(row_metadata(facts));
        findings.push(row_value_options(facts));
        findings.push(compression(facts));
        findings.push(checksum(facts));
        findings.push(gtid(facts, config));
        findings.extend(annotate(facts));
        let listed = answer(Topic::BinaryLogs);
        findings.push(reach(facts, listed));
        let logs = listed.and_then(|listed| listed.as_ref().ok());
        let logs = logs.map(binary_logs).unwrap_or_default();
        let proof = answer(Topic::Start);
        findings.push(place::judge(facts, config, stored, &logs, proof));
    }
    findings.push(privileges(
        facts,
        answer(Topic::Grants),
        &config.source.username,
    ));
    findings.push(server_id(facts, answer(Topic::Replicas), config));
    findings
}

fn ok(what: &'static str, found: impl Into<String>) -> Finding {
    Finding {
        level: Level::Ok,
        what,
        found: found.into(),
        do_this: String::new(),
    }
}

fn advice(what: &'static str, found: impl Into<String>, do_this: impl Into<String>) -> Finding {
    Finding {
        level: Level::Advice,
        what,
        found: found.into(),
        do_this: do_this.into(),
    }
}

fn problem(what: &'static str, found: impl Into<String>, do_this: impl Into<String>) -> Finding {
    Finding {
        level: Level::Problem,
        what,
        found: found.into(),
        do_this: do_this.into(),
    }
}

/// How a global variable is changed so that it also survives a restart.
fn set_global(facts: &SourceFacts, name: &str, value: &str) -> String {
    if facts.version.is_at_least(Flavor::Mysql, (8, 0, 0)) {
        format!("SET PERSIST {name}={value};")
    } else {
        format!("SET GLOBAL {name}={value}; and the same in the server's configuration file")
    }
}

fn version(facts: &SourceFacts) -> Finding {
    const WHAT: &str = "version";
    let oldest = match facts.flavor() {
        Flavor::Mysql => (5, 6, 0),
        Flavor::Mariadb => (10, 0, 0),
    };
    let comment = facts.version_comment.as_str();
    // Distributions put all of theirs into parentheses.
    let inner = comment.strip_prefix('(').and_then(|c| c.strip_suffix(')'));
    let comment = inner.unwrap_or(comment);
    let found = if comment.is_empty() {
        facts.version.to_string()
    } else {
        format!("{} ({comment})", facts.version)
    };
    if facts.version.number < oldest {
        return problem(
            WHAT,
            found,
            "canald reads MySQL from 5.6 on and MariaDB from 10.0 on: upgrade",
        );
    }
    ok(WHAT, found)
}

fn log_bin(facts: &SourceFacts) -> Finding {
    const WHAT: &str = "log_bin";
    match &facts.end {
        Some(end) if facts.log_bin => ok(WHAT, format!("ON, ends at {}", end.position)),
        _ => problem(
            WHAT,
            "OFF",
            "put log_bin=binlog and a server_id above 0 into the server's configuration file and restart it",
        ),
    }
}

fn binlog_format(facts: &SourceFacts, config: &InstanceConfig) -> Finding {
    const WHAT: &str = "binlog_format";
    let found = &facts.binlog_format;
    if !is_accepted(&config.binlog_formats, found) {
        let accepted = config.binlog_formats.join(",");
        let cure =
            format!("canal.instance.binlog.format accepts {accepted}: change one of the two");
        return problem(WHAT, found, cure);
    }
    match found.as_str() {
        "ROW" => ok(WHAT, found),
        "MIXED" => advice(
            WHAT,
            found,
            format!(
                "statements logged as text carry no rows, and clients do not see their changes: {}",
                set_global(facts, WHAT, "ROW")
            ),
        ),
        _ => problem(WHAT, found, set_global(facts, WHAT, "ROW")),
    }
}

fn row_image(facts: &SourceFacts, config: &InstanceConfig) -> Finding {
    const WHAT: &str = "binlog_row_image";
    let found = &facts.row_image;
    if !is_accepted(&config.row_images, found) {
        let accepted = config.row_images.join(",");
        let cure = format!("canal.instance.binlog.image accepts {accepted}: change one of the two");
        return problem(WHAT, found, cure);
    }
    if found == "FULL" {
        return ok(WHAT, found);
    }
    let cure = format!(
        "clients see only the columns that the image holds; if they need all: {}",
        set_global(facts, WHAT, "FULL")
    );
    advice(WHAT, found, cure)
}

fn is_accepted(accepted: &[String], found: &str) -> bool {
    accepted.is_empty()
        || accepted
            .iter()
            .any(|value| value.eq_ignore_ascii_case(found))
}

fn row_metadata(facts: &SourceFacts) -> Finding {
    const WHAT: &str = "binlog_row_metadata";
    match facts.row_metadata.as_deref() {
        Some("FULL") => ok(WHAT, "FULL"),
        Some(found) => advice(
            WHAT,
            found,
            format!(
                "with FULL the binlog itself says what each column is, whatever DDL comes between: {}",
                set_global(facts, WHAT, "FULL")
            ),
        ),
        None => ok(
            WHAT,
            "not known to this version: canald asks information_schema, and DDL between rows can leave it in doubt",
        ),
    }
}

fn row_value_options(facts: &SourceFacts) -> Finding {
    const WHAT: &str = "binlog_row_value_options";
    match facts.row_value_options.as_str() {
        "" => ok(WHAT, "none"),
        found => problem(
            WHAT,
            found,
            format!(
                "canald does not read partial JSON updates yet: {}",
                set_global(facts, WHAT, "''")
            ),
        ),
    }
}

fn compression(facts: &SourceFacts) -> Finding {
    let what = match facts.flavor() {
        Flavor::Mysql => "binlog_transaction_compression",
        Flavor::Mariadb => "log_bin_compress",
    };
    if facts.compression {
        let cure = set_global(facts, what, "OFF");
        return problem(
            what,
            "ON",
            format!("canald does not read compressed events yet: {cure}"),
        );
    }
    ok(what, "OFF")
}

fn checksum(facts: &SourceFacts) -> Finding {
    const WHAT: &str = "binlog_checksum";
    match facts.checksum {
        Checksum::Crc32 => ok(WHAT, "CRC32"),
        Checksum::None => advice(
            WHAT,
            "NONE",
            format!(
                "damage on the way or on the server's disk would go unseen: {}",
                set_global(facts, WHAT, "CRC32")
            ),
        ),
    }
}

fn gtid(facts: &SourceFacts, config: &InstanceConfig) -> Finding {
    let (what, is_wanted) = match facts.flavor() {
        Flavor::Mysql => (
            "gtid_mode",
            config.gtid || matches!(config.start, Start::Gtid(_)),
        ),
        Flavor::Mariadb => {
            return ok(
                "gtid",
                format!("always on, at {}", shown(&facts.gtid_executed)),
            );
        }
    };
    match facts.gtid_mode {
        GtidMode::On => ok(what, "ON"),
        GtidMode::Off | GtidMode::Permissive if is_wanted => problem(
            what,
            "not ON",
            "canal.instance.gtidon=true needs gtid_mode=ON on the server, or set it to false",
        ),
        GtidMode::Off | GtidMode::Permissive => advice(
            what,
            "not ON",
            "without GTIDs a switch to another server can be proved only by comparing transactions: \
             enforce_gtid_consistency=ON and gtid_mode=ON",
        ),
    }
}

fn shown(set: &str) -> &str {
    if set.is_empty() { "the beginning" } else { set }
}

fn annotate(facts: &SourceFacts) -> Option<Finding> {
    const WHAT: &str = "binlog_annotate_row_events";
    facts.annotate_row_events.map(|is_on| {
        if is_on {
            ok(WHAT, "ON")
        } else {
            advice(
                WHAT,
                "OFF",
                "only if clients need the text of statements: set it ON",
            )
        }
    })
}

fn reach(facts: &SourceFacts, answer: Option<&Result<ResultSet, ServerError>>) -> Finding {
    const WHAT: &str = "binlog files";
    const SHORT_SECONDS: u64 = 86_400;
    let logs = match answer {
        Some(Ok(set)) => binary_logs(set),
        Some(Err(error)) => return advice(WHAT, error.to_string(), "SHOW BINARY LOGS was refused"),
        None => Vec::new(),
    };
    let (Some(first), Some(last)) = (logs.first(), logs.last()) else {
        return advice(WHAT, "not known", "nothing: the server lists none");
    };
    let bytes = logs
        .iter()
        .fold(0_u64, |sum, log| sum.saturating_add(log.size));
    let size = match bytes >> 20 {
        0 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        mib => format!("{mib} MiB"),
    };
    let expire = facts.binlog_expire_seconds;
    let kept = match expire {
        0 => "kept until purged by hand".to_owned(),
        seconds => format!("kept for {} h", seconds / 3600),
    };
    let found = match logs.len() {
        1 => format!("{} alone, {size}, {kept}", first.file),
        count => format!(
            "{} to {}, {count} files, {size}, {kept}",
            first.file, last.file
        ),
    };
    if (1..SHORT_SECONDS).contains(&expire) {
        return advice(
            WHAT,
            found,
            format!(
                "a pause of canald longer than that loses its place: {}",
                set_global(facts, "binlog_expire_logs_seconds", "604800")
            ),
        );
    }
    ok(WHAT, found)
}

fn privileges(
    facts: &SourceFacts,
    answer: Option<&Result<ResultSet, ServerError>>,
    user: &str,
) -> Finding {
    const WHAT: &str = "privileges";
    let cure = grant(&facts.version, user);
    let grants: Vec<String> = match answer {
        Some(Ok(set)) => {
            let rows = 0..set.rows.len();
            rows.filter_map(|row| set.text_at(row, 0))
                .map(str::to_ascii_uppercase)
                .collect()
        }
        Some(Err(error)) => return advice(WHAT, error.to_string(), cure),
        None => return advice(WHAT, "not known", cure),
    };
    let global: Vec<&str> = grants
        .iter()
        .filter_map(|grant| global_privileges(grant))
        .collect();
    let has = |names: &[&str]| {
        let mut all = global
            .iter()
            .flat_map(|list| list.split(','))
            .map(str::trim);
        all.any(|privilege| privilege == "ALL PRIVILEGES" || names.contains(&privilege))
    };
    // A grant of SELECT on each captured schema serves as well as one on all.
    let reads = |grant: &String| grant.contains(" ON ") && grant.contains("SELECT");
    let mut missing = Vec::new();
    if !has(&["REPLICATION SLAVE"]) {
        missing.push("REPLICATION SLAVE");
    }
    if !has(&["REPLICATION CLIENT", "BINLOG MONITOR"]) {
        missing.push("REPLICATION CLIENT");
    }
    if !has(&["SELECT"]) && !grants.iter().any(reads) {
        missing.push("SELECT");
    }
    let has_roles = grants.iter().any(|grant| !grant.contains(" ON "));
    match missing.as_slice() {
        [] => ok(WHAT, "all that are needed"),
        missing if has_roles => advice(
            WHAT,
            format!(
                "{} not granted directly, perhaps by a role",
                missing.join(", ")
            ),
            cure,
        ),
        missing => problem(WHAT, format!("missing: {}", missing.join(", ")), cure),
    }
}

/// The list of privileges in a grant on everything, from the upper-case text of `SHOW GRANTS`.
fn global_privileges(grant: &str) -> Option<&str> {
    let list = grant.strip_prefix("GRANT ")?;
    list.split_once(" ON *.* TO ").map(|(list, _)| list)
}

fn server_id(
    facts: &SourceFacts,
    answer: Option<&Result<ResultSet, ServerError>>,
    config: &InstanceConfig,
) -> Finding {
    const WHAT: &str = "server id";
    const CURE: &str =
        "set canal.instance.mysql.slaveId to a number that no server and no other replica uses";
    let ours = config.source.replica_server_id;
    if ours == facts.server_id {
        return problem(
            WHAT,
            format!("canald would use {ours}, the source's own"),
            CURE,
        );
    }
    let Some(Ok(set)) = answer else {
        return ok(
            WHAT,
            format!("{ours}; the list of replicas is not readable"),
        );
    };
    let clash = (0..set.rows.len()).find(|row| {
        set.text(*row, "Server_Id")
            .or_else(|| set.text(*row, "Server_id"))
            == Some(&ours.to_string())
    });
    let Some(row) = clash else {
        return match set.rows.len() {
            0 => ok(WHAT, format!("{ours}, no other replica")),
            1 => ok(WHAT, format!("{ours}, 1 other replica")),
            many => ok(WHAT, format!("{ours}, {many} other replicas")),
        };
    };
    let uuid = set
        .text(row, "Replica_UUID")
        .or_else(|| set.text(row, "Slave_UUID"));
    match uuid {
        Some(uuid) if uuid.eq_ignore_ascii_case(&config.source.replica_uuid) => advice(
            WHAT,
            format!("{ours} is connected already, as this destination"),
            "if that is not this cluster's owner: stop it",
        ),
        Some(_) | None => problem(WHAT, format!("{ours} is in use by another replica"), CURE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::query::tests::{refusal, result};
    use crate::source::facts::tests::{facts, mariadb_facts};
    use crate::source::start::tests::config;

    const GRANT: &str = "GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `canal`@`%`";

    fn answers(grants: &[&str]) -> Vec<Answer> {
        let rows: Vec<Vec<&str>> = grants.iter().map(|grant| vec![*grant]).collect();
        let rows: Vec<&[&str]> = rows.iter().map(Vec::as_slice).collect();
        let files: [&[&str]; 2] = [&["b.000001", "1048576"], &["b.000002", "2097152"]];
        let replicas: [&[&str]; 1] = [&["9", "h", "3306", "901", "other-uuid"]];
        let columns = ["Server_Id", "Host", "Port", "Source_Id", "Replica_UUID"];
        vec![
            Answer {
                topic: Topic::Grants,
                result: Ok(result(&["Grants for canal@%"], &rows)),
            },
            Answer {
                topic: Topic::BinaryLogs,
                result: Ok(result(&["Log_name", "File_size"], &files)),
            },
            Answer {
                topic: Topic::Replicas,
                result: Ok(result(&columns, &replicas)),
            },
        ]
    }

    fn judged(facts: &SourceFacts, answers: &[Answer], config: &InstanceConfig) -> Vec<Finding> {
        judge(facts, answers, config, None)
    }

    fn find<'a>(findings: &'a [Finding], what: &str) -> &'a Finding {
        findings
            .iter()
            .find(|finding| finding.what == what)
            .unwrap()
    }

    #[test]
    fn a_source_as_it_should_be_has_no_problem_and_no_advice() {
        let findings = judged(&facts(), &answers(&[GRANT]), &config(Start::Latest));
        for finding in &findings {
            assert_eq!(finding.level, Level::Ok, "{finding:?}");
            assert!(finding.do_this.is_empty());
        }
        let files = find(&findings, "binlog files");
        assert_eq!(
            files.found,
            "b.000001 to b.000002, 2 files, 3 MiB, kept for 720 h"
        );
        let mariadb = judged(&mariadb_facts(), &answers(&[GRANT]), &config(Start::Latest));
        assert!(
            mariadb
                .iter()
                .all(|finding| finding.level != Level::Problem),
            "{mariadb:?}"
        );
    }

    #[test]
    fn the_version_is_shown_as_its_distribution_calls_it() {
        for (comment, shown) in [
            ("", "MySQL 8.4.13"),
            ("(Debian)", "MySQL 8.4.13 (Debian)"),
            (
                "MySQL Community Server (GPL)",
                "MySQL 8.4.13 (MySQL Community Server (GPL))",
            ),
        ] {
            let mut facts = facts();
            facts.version_comment = comment.into();
            assert_eq!(version(&facts).found, shown);
        }
    }

    #[test]
    fn the_files_are_counted_and_measured() {
        let file = |size| {
            let files: [&[&str]; 1] = [&["b.000001", size]];
            result(&["Log_name", "File_size"], &files)
        };
        for (size, shown) in [
            ("1253", "b.000001 alone, 2 KiB, kept for 720 h"),
            ("9437184", "b.000001 alone, 9 MiB, kept for 720 h"),
        ] {
            assert_eq!(reach(&facts(), Some(&Ok(file(size)))).found, shown);
        }
    }

    #[test]
    fn each_fault_of_the_configuration_has_a_statement_that_cures_it() {
        let mut facts = facts();
        facts.binlog_format = "STATEMENT".into();
        facts.compression = true;
        facts.row_value_options = "PARTIAL_JSON".into();
        facts.row_metadata = Some("MINIMAL".into());
        facts.checksum = Checksum::None;
        facts.binlog_expire_seconds = 3600;
        let findings = judged(&facts, &answers(&[GRANT]), &config(Start::Latest));
        for (what, level, cure) in [
            (
                "binlog_format",
                Level::Problem,
                "SET PERSIST binlog_format=ROW;",
            ),
            (
                "binlog_transaction_compression",
                Level::Problem,
                "SET PERSIST binlog_transaction_compression=OFF;",
            ),
            (
                "binlog_row_value_options",
                Level::Problem,
                "SET PERSIST binlog_row_value_options='';",
            ),
            (
                "binlog_row_metadata",
                Level::Advice,
                "SET PERSIST binlog_row_metadata=FULL;",
            ),
            (
                "binlog_checksum",
                Level::Advice,
                "SET PERSIST binlog_checksum=CRC32;",
            ),
            (
                "binlog files",
                Level::Advice,
                "SET PERSIST binlog_expire_logs_seconds=604800;",
            ),
        ] {
            let finding = find(&findings, what);
            assert_eq!(finding.level, level, "{what}");
            assert!(finding.do_this.ends_with(cure), "{}", finding.do_this);
        }
    }

    #[test]
    fn without_a_log_nothing_is_said_about_its_contents() {
        let mut facts = facts();
        (facts.log_bin, facts.end) = (false, None);
        let findings = judged(&facts, &answers(&[GRANT]), &config(Start::Latest));
        assert_eq!(find(&findings, "log_bin").level, Level::Problem);
        assert!(
            findings
                .iter()
                .all(|finding| finding.what != "binlog_format")
        );
    }

    #[test]
    fn the_formats_that_the_operator_accepts_are_asked_for() {
        let mut config = config(Start::Latest);
        config.row_images = vec!["minimal".into()];
        let findings = judged(&facts(), &answers(&[GRANT]), &config);
        assert_eq!(find(&findings, "binlog_row_image").level, Level::Problem);
        config.row_images = vec!["full".into(), "minimal".into()];
        let findings = judged(&facts(), &answers(&[GRANT]), &config);
        assert_eq!(find(&findings, "binlog_row_image").level, Level::Ok);
    }

    #[test]
    fn privileges_are_read_from_what_the_server_shows() {
        let level = |grants: &[&str]| {
            let findings = judged(&facts(), &answers(grants), &config(Start::Latest));
            find(&findings, "privileges").clone()
        };
        assert_eq!(
            level(&["GRANT ALL PRIVILEGES ON *.* TO `root`@`%` WITH GRANT OPTION"]).level,
            Level::Ok
        );
        let by_schema = [
            "GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO `canal`@`%`",
            "GRANT SELECT ON `shop`.* TO `canal`@`%`",
        ];
        assert_eq!(level(&by_schema).level, Level::Ok);
        let none = level(&["GRANT USAGE ON *.* TO `canal`@`%`"]);
        assert_eq!(none.level, Level::Problem);
        assert_eq!(
            none.found,
            "missing: REPLICATION SLAVE, REPLICATION CLIENT, SELECT"
        );
        assert!(
            none.do_this
                .starts_with("GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.*")
        );
        let role = level(&[
            "GRANT USAGE ON *.* TO `canal`@`%`",
            "GRANT `cdc`@`%` TO `canal`@`%`",
        ]);
        assert_eq!(role.level, Level::Advice);
    }

    #[test]
    fn a_server_id_of_another_replica_or_of_the_source_is_a_clash() {
        let level = |id, uuid: &str| {
            let mut config = config(Start::Latest);
            config.source.replica_server_id = id;
            config.source.replica_uuid = uuid.into();
            find(&judged(&facts(), &answers(&[GRANT]), &config), "server id").level
        };
        assert_eq!(level(7, "u"), Level::Ok);
        assert_eq!(level(901, "u"), Level::Problem);
        assert_eq!(level(9, "u"), Level::Problem);
        assert_eq!(level(9, "OTHER-UUID"), Level::Advice);
    }

    #[test]
    fn what_the_server_refuses_to_tell_is_said() {
        let refused = |topic| Answer {
            topic,
            result: Err(refusal(1227, "Access denied")),
        };
        let answers = [Topic::Grants, Topic::BinaryLogs, Topic::Replicas].map(refused);
        let findings = judged(&facts(), &answers, &config(Start::Latest));
        assert_eq!(find(&findings, "binlog files").level, Level::Advice);
        assert_eq!(find(&findings, "server id").level, Level::Ok);
    }

    #[test]
    fn gtids_are_a_problem_only_where_they_are_wanted() {
        let mut facts = facts();
        facts.gtid_mode = GtidMode::Off;
        let mut config = config(Start::Latest);
        let level = |config: &InstanceConfig| {
            find(&judged(&facts, &answers(&[GRANT]), config), "gtid_mode").level
        };
        assert_eq!(level(&config), Level::Advice);
        config.gtid = true;
        assert_eq!(level(&config), Level::Problem);
    }

    #[test]
    fn the_questions_are_in_the_servers_own_spelling() {
        let config = config(Start::Latest);
        let sql: Vec<String> = questions(&mariadb_facts(), &config, None)
            .into_iter()
            .map(|q| q.sql)
            .collect();
        assert_eq!(sql, ["SHOW GRANTS", "SHOW BINARY LOGS", "SHOW SLAVE HOSTS"]);
    }
}
