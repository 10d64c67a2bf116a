//! Why nothing comes (P6): every standing has a reason of one line, and whatever calls for a person was
//! caused by a fault that a person would have to mend.
//!
//! None of the faults of a plan needs a person but those of the disk, and those heal too. So a destination
//! is never stopped, unless canald was asked to stop; and an error in the log, or a canald that does not
//! start or ends by itself, is forgiven only shortly after a step on the disk has failed, or after the process
//! stood still.

use std::time::Duration;

use canald_core::status::Stage;

use crate::journal::{DaemonRecord, Oracle, Record, Violation};
use crate::oracle::broken;

/// How long after a step on the disk has failed, or after the process stood still, the consequences may be
/// told: longer than it takes canald to try again. A process that stood still finds its time run out.
const GRACE: Duration = Duration::from_secs(5);

/// Why a destination is stopped that was asked to.
const ASKED: &str = "told to stop";

/// Judges what canald says of itself.
#[derive(Debug, Default)]
pub struct Explained {
    disk_failed: Option<Duration>,
    resumed: Option<Duration>,
}

impl Explained {
    fn forgives(&self, now: Duration) -> bool {
        let recent = |failed| now.saturating_sub(failed) <= GRACE;
        self.disk_failed.is_some_and(recent) || self.resumed.is_some_and(recent)
    }

    fn daemon(&mut self, now: Duration, record: &DaemonRecord) -> Result<(), String> {
        match record {
            DaemonRecord::Resumed => {
                self.resumed = Some(now);
                Ok(())
            }
            DaemonRecord::Standing { stage, reason } => standing(stage, reason),
            DaemonRecord::Log { level, text }
                if *level == tracing::Level::ERROR && !self.forgives(now) =>
            {
                Err(format!(
                    "canald logs an error that no fault explains: {text}"
                ))
            }
            DaemonRecord::Failed(why) if !self.forgives(now) => {
                Err(format!("canald failed, and no fault explains it: {why}"))
            }
            DaemonRecord::Log { .. }
            | DaemonRecord::Failed(_)
            | DaemonRecord::Started(_)
            | DaemonRecord::Ready
            | DaemonRecord::Crashed
            | DaemonRecord::Stopped
            | DaemonRecord::Paused => Ok(()),
        }
    }
}

fn standing(stage: &str, reason: &str) -> Result<(), String> {
    if reason.trim().is_empty() || reason.contains('\n') {
        return Err(format!(
            "the reason for {stage} is not one line: {reason:?}"
        ));
    }
    if stage == Stage::Stopped.name() && reason != ASKED {
        return Err(format!("the destination is stopped: {reason}"));
    }
    Ok(())
}

impl Oracle for Explained {
    fn see(&mut self, now: Duration, record: &Record) -> Result<(), Violation> {
        match record {
            Record::Disk(crate::journal::DiskRecord::Failed { .. }) => {
                self.disk_failed = Some(now);
                Ok(())
            }
            Record::Daemon(record) => self
                .daemon(now, record)
                .map_err(|text| broken("explained", "P6", text)),
            Record::Source(_)
            | Record::Client(..)
            | Record::Disk(_)
            | Record::Network(_)
            | Record::ZooKeeper(_)
            | Record::Fault(_)
            | Record::Healed => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::DiskRecord;
    use crate::oracle::testing::judge;

    fn says(stage: Stage, reason: &str) -> Record {
        Record::Daemon(DaemonRecord::Standing {
            stage: stage.name(),
            reason: reason.into(),
        })
    }

    fn log(level: tracing::Level) -> Record {
        let text = "it could not be stored".into();
        Record::Daemon(DaemonRecord::Log { level, text })
    }

    fn failed_step() -> Record {
        Record::Disk(DiskRecord::Failed {
            step: "write",
            path: "data/canald.meta.tmp".into(),
            why: "no space left".into(),
        })
    }

    fn judged(journal: impl IntoIterator<Item = Record>) -> Option<Violation> {
        judge(&mut Explained::default(), journal)
    }

    #[test]
    fn reasons_and_warnings_pass() {
        let journal = [
            says(Stage::Streaming, "reading source:3306"),
            says(Stage::Stopped, ASKED),
            log(tracing::Level::WARN),
        ];
        assert_eq!(judged(journal), None);
    }

    #[test]
    fn a_standing_without_a_reason_is_seen() {
        assert!(judged([says(Stage::BackingOff, "")]).is_some());
        assert!(judged([says(Stage::BackingOff, "two\nlines")]).is_some());
    }

    #[test]
    fn a_stopped_destination_is_seen_whatever_the_reason() {
        let violation = judged([failed_step(), says(Stage::Stopped, "a table is in doubt")]);
        assert!(violation.unwrap().text.contains("in doubt"));
    }

    #[test]
    fn only_a_failing_disk_explains_an_error_and_not_for_long() {
        let error = || log(tracing::Level::ERROR);
        let failed = || Record::Daemon(DaemonRecord::Failed("no record".into()));
        assert_eq!(judged([failed_step(), error(), failed()]), None);
        assert!(judged([error()]).is_some());
        assert!(judged([failed()]).is_some());
        let healed = (0..6).map(|_| Record::Healed);
        let late = [failed_step()].into_iter().chain(healed).chain([error()]);
        assert!(judged(late).is_some());
    }
}
