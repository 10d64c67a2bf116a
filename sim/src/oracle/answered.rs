//! A get is answered in time, with a batch or with nothing, whatever the source and the disk do (P4).
//!
//! A client that waits in vain ends its connection by a timeout of its own, begins anew, and all seems well.
//! That is forgiven only if something was broken, or canald was not there, at some time while it waited.

use std::time::Duration;

use crate::journal::{ClientRecord, DaemonRecord, Oracle, Record, Violation};
use crate::oracle::broken;

/// How long a client waits for the answer to a get: what the get itself waits included.
const PATIENCE: Duration = Duration::from_millis(8_400);

/// What a client says when it waited in vain.
const IN_VAIN: &str = "the server did not send a batch in time";

/// What the end of a fault's record begins with.
const OVER: &str = "over: ";

/// Judges that gets are answered.
#[derive(Debug, Default)]
pub struct Answered {
    /// Faults that have begun and are not over.
    faults: usize,
    /// When a fault, or a life of canald, last began or ended.
    disturbed: Duration,
}

impl Answered {
    fn fault(&mut self, text: &str) {
        self.faults = if text.starts_with(OVER) {
            self.faults.saturating_sub(1)
        } else {
            self.faults + 1
        };
    }
}

impl Oracle for Answered {
    fn see(&mut self, now: Duration, record: &Record) -> Result<(), Violation> {
        match record {
            Record::Fault(text) => {
                self.fault(text);
                self.disturbed = now;
            }
            Record::Daemon(
                DaemonRecord::Started(_)
                | DaemonRecord::Ready
                | DaemonRecord::Crashed
                | DaemonRecord::Stopped
                | DaemonRecord::Failed(_)
                | DaemonRecord::Paused
                | DaemonRecord::Resumed,
            ) => self.disturbed = now,
            Record::Client(place, ClientRecord::Ended { connection, why })
                if why == IN_VAIN
                    && self.faults == 0
                    && now.saturating_sub(self.disturbed) > PATIENCE =>
            {
                let text = format!(
                    "client-{place} was not answered on connection {connection}, and nothing was broken"
                );
                return Err(broken("answered", "P4", text));
            }
            Record::Source(_)
            | Record::Client(..)
            | Record::Daemon(DaemonRecord::Standing { .. } | DaemonRecord::Log { .. })
            | Record::Disk(_)
            | Record::Network(_)
            | Record::ZooKeeper(_)
            | Record::Healed => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use canald_core::client::{Awaited, ClientFault};

    use super::*;
    use crate::oracle::testing::{judge, nothing};

    fn in_vain() -> Record {
        let awaited = Awaited::Messages;
        let why = ClientFault::TimedOut { awaited }.to_string();
        Record::Client(0, ClientRecord::Ended { connection: 0, why })
    }

    fn fault(text: &str) -> Record {
        Record::Fault(text.into())
    }

    /// A second passes with each record.
    fn judged(journal: impl IntoIterator<Item = Record>) -> Option<Violation> {
        let calm = (0..9).map(|_| nothing(0, 0));
        let journal = journal.into_iter().chain(calm).chain([in_vain()]);
        judge(&mut Answered::default(), journal)
    }

    #[test]
    fn waiting_in_vain_is_seen_when_all_is_well() {
        let over = [fault("cut source 2s"), fault("over: cut source 2s")];
        let violation = judged(over).unwrap();
        assert_eq!((violation.oracle, violation.promise), ("answered", "P4"));
    }

    #[test]
    fn waiting_in_vain_is_forgiven_while_something_is_broken_and_shortly_after() {
        assert_eq!(judged([fault("cut source 2s")]), None);
        let mut oracle = Answered::default();
        let journal = [Record::Daemon(DaemonRecord::Resumed), in_vain()];
        assert_eq!(judge(&mut oracle, journal), None);
    }
}
