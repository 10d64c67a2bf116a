//! Whether the place is there where a destination begins, or goes on.

use alloc::format;
use alloc::string::{String, ToString};

use super::{Finding, advice, ok, problem};
use crate::config::InstanceConfig;
use crate::mysql::query::{ResultSet, ServerError};
use crate::position::BinlogPosition;
use crate::source::facts::{BinaryLog, SourceFacts};
use crate::source::fault::StopReason;
use crate::source::start::{GtidProof, StartDecision, StartQuestion, StoredPlace};
use crate::source::statements::mysql_gtid_proof;

const WHAT: &str = "start";

/// What must be asked before the place can be judged.
pub(super) fn question(
    facts: &SourceFacts,
    config: &InstanceConfig,
    stored: Option<&StoredPlace>,
) -> Option<String> {
    match decide(facts, config, stored, None) {
        StartDecision::ProveGtid(set) => Some(mysql_gtid_proof(&set)),
        StartDecision::DumpAt { .. }
        | StartDecision::DumpGtid(_)
        | StartDecision::Earliest
        | StartDecision::Latest(_)
        | StartDecision::Reset { .. }
        | StartDecision::SearchTime { .. }
        | StartDecision::Stop(_) => None,
    }
}

/// The finding on the place, with the files that there are and the answer to the question, if there was one.
pub(super) fn judge(
    facts: &SourceFacts,
    config: &InstanceConfig,
    stored: Option<&StoredPlace>,
    logs: &[BinaryLog],
    proof: Option<&Result<ResultSet, ServerError>>,
) -> Finding {
    let proof = proof.and_then(|answer| answer.as_ref().ok());
    let proof = proof.and_then(GtidProof::parse);
    let verb = match stored {
        Some(_) => "goes on",
        None => "begins",
    };
    let begins = |place: String| ok(WHAT, format!("{verb} {place}"));
    match decide(facts, config, stored, proof.as_ref()) {
        StartDecision::Latest(end) => begins(format!("at the end of the log, {}", end.position)),
        StartDecision::Earliest => begins(match logs.first() {
            Some(first) => format!("at the oldest event, in {}", first.file),
            None => "at the oldest event".to_string(),
        }),
        StartDecision::DumpGtid(set) => begins(format!("after {set}")),
        StartDecision::DumpAt { position, .. } => match objection(&position, logs) {
            None => begins(format!("at {position}")),
            Some(reason) => lost(&position.to_string(), &reason),
        },
        StartDecision::SearchTime {
            file: Some(file), ..
        } if is_missing(file.as_str(), logs) => lost(file.as_str(), &StopReason::PositionPurged),
        StartDecision::SearchTime { wanted, .. } => begins(format!(
            "at the last transaction before {} ms since 1970",
            wanted.0
        )),
        StartDecision::Reset { lost, .. } => advice(
            WHAT,
            format!("{lost}"),
            "canal.auto.reset.latest.pos.mode=true goes on at the end of the log",
        ),
        StartDecision::ProveGtid(set) => advice(
            WHAT,
            format!("after {set}, which the source could not compare with its own"),
            "check that it is a GTID set of this server",
        ),
        StartDecision::Stop(reason) => problem(WHAT, reason.to_string(), ""),
    }
}

fn decide(
    facts: &SourceFacts,
    config: &InstanceConfig,
    stored: Option<&StoredPlace>,
    proof: Option<&GtidProof>,
) -> StartDecision {
    let address = format!("{}:{}", config.source.host, config.source.port);
    StartQuestion {
        stored,
        config,
        facts,
        address: &address,
        refused: None,
        proof,
    }
    .decide()
}

fn lost(place: &str, reason: &StopReason) -> Finding {
    problem(WHAT, format!("{place}: {reason}"), "")
}

/// Files that could not be listed are not missing.
fn is_missing(file: &str, logs: &[BinaryLog]) -> bool {
    !logs.is_empty() && logs.iter().all(|log| log.file.as_str() != file)
}

fn objection(position: &BinlogPosition, logs: &[BinaryLog]) -> Option<StopReason> {
    if is_missing(position.file.as_str(), logs) {
        return Some(StopReason::PositionPurged);
    }
    let log = logs.iter().find(|log| log.file == position.file)?;
    (position.offset > log.size).then_some(StopReason::PositionImpossible)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Start;
    use crate::mysql::query::tests::{refusal, result};
    use crate::position::BinlogFile;
    use crate::source::facts::tests::{facts, mariadb_facts};
    use crate::source::preflight::Level;
    use crate::source::start::tests::config;
    use crate::time::WallMillis;
    use alloc::vec;
    use alloc::vec::Vec;

    fn logs() -> Vec<BinaryLog> {
        let log = |name, size| BinaryLog {
            file: BinlogFile::new(name),
            size,
        };
        vec![log("b.000003", 500), log("b.000004", 900)]
    }

    fn at(file: &str, offset: u64) -> Start {
        Start::Position(BinlogPosition::new(BinlogFile::new(file), offset))
    }

    fn set() -> Start {
        Start::Gtid("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-3".into())
    }

    #[test]
    fn a_place_that_is_there_is_named_and_one_that_is_not_is_a_problem() {
        let in_file = |file: &str| Start::FileAndTime(file.into(), WallMillis(5));
        for (start, level, words) in [
            (Start::Latest, Level::Ok, "at the end of the log"),
            (Start::Earliest, Level::Ok, "in b.000003"),
            (at("b.000003", 500), Level::Ok, "at b.000003:500"),
            (at("b.000003", 501), Level::Problem, "beyond the end"),
            (at("b.000002", 4), Level::Problem, "b.000002:4: "),
            (at("b.000002", 4), Level::Problem, "purged"),
            (Start::Time(WallMillis(5)), Level::Ok, "before 5 ms"),
            (in_file("b.000004"), Level::Ok, "before 5 ms"),
            (in_file("b.000009"), Level::Problem, "b.000009: "),
        ] {
            let config = config(start);
            assert_eq!(question(&facts(), &config, None), None);
            let finding = judge(&facts(), &config, None, &logs(), None);
            assert_eq!(finding.level, level, "{finding:?}");
            assert!(finding.found.contains(words), "{words}: {finding:?}");
        }
    }

    #[test]
    fn a_destination_that_has_begun_goes_on_where_it_was_whatever_is_configured() {
        let stored = |file: &str| StoredPlace {
            resume: BinlogPosition::new(BinlogFile::new(file), 300),
            gtid_before: None,
            identity: Some(facts().identity()),
            address: None,
            timestamp: WallMillis(5),
        };
        let config = config(at("b.000001", 4));
        let judged = |file| judge(&facts(), &config, Some(&stored(file)), &logs(), None);
        let there = judged("b.000003");
        assert_eq!(there.level, Level::Ok, "{there:?}");
        assert_eq!(there.found, "goes on at b.000003:300");
        let gone = judged("b.000002");
        assert_eq!(gone.level, Level::Problem, "{gone:?}");
        assert!(gone.found.starts_with("b.000002:300: "), "{gone:?}");
    }

    #[test]
    fn files_that_were_not_listed_are_not_called_missing() {
        let finding = judge(&facts(), &config(at("b.000001", 4)), None, &[], None);
        assert_eq!(finding.level, Level::Ok, "{finding:?}");
    }

    #[test]
    fn mysql_is_asked_about_a_set_and_mariadb_is_not() {
        let config_of = |set: &str| config(Start::Gtid(set.into()));
        let asked = question(&facts(), &config(set()), None).unwrap();
        assert!(asked.contains("GTID_SUBTRACT"), "{asked}");
        assert_eq!(
            question(&mariadb_facts(), &config_of("0-902-5"), None),
            None
        );

        let proof = |ahead, missing| Ok(result(&["ahead", "missing"], &[&[ahead, missing]]));
        for (answer, level, words) in [
            (proof("", ""), Level::Ok, "after 3e11fa47"),
            (proof("", "u:1"), Level::Problem, "purged"),
            (proof("u:9", ""), Level::Problem, "u:9"),
            (Err(refusal(1772, "Malformed")), Level::Advice, "compare"),
        ] {
            let finding = judge(&facts(), &config(set()), None, &logs(), Some(&answer));
            assert_eq!(finding.level, level, "{finding:?}");
            assert!(finding.found.contains(words), "{words}: {finding:?}");
        }
    }
}
