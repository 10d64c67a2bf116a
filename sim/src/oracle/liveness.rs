//! What must have come in the end (P4, I13): when faults have stopped, every client id has acknowledged
//! every change and, asking again, was told that there is no more, and the destination is being read. (An
//! acknowledgement that got lost on its way is no loss: the client had the change.)
//!
//! It never says that something is broken, only what is still missing: how long to wait is for the run to
//! decide.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use canald_core::status::Stage;

use crate::journal::{ClientRecord, DaemonRecord, Oracle, Record, SourceRecord, Violation};
use crate::oracle::client_ids;
use crate::oracle::expected::Expected;
use crate::plan::Options;

/// Knows what is missing.
#[derive(Debug)]
pub struct Liveness {
    ids: Vec<i16>,
    history: Expected,
    /// The open batches of each client's newest connection, and where each ends.
    open: BTreeMap<u8, VecDeque<(i64, usize)>>,
    /// How far each client id has acknowledged. One that comes late begins where the others stand at the
    /// latest: nobody kept for it what was before.
    done: BTreeMap<i16, usize>,
    /// The ids that were subscribed.
    known: BTreeSet<i16>,
    /// The ids that were told last that there is no more, since the last commit.
    told: BTreeSet<i16>,
    /// What canald says of its destination.
    standing: Option<(&'static str, String)>,
}

impl Liveness {
    /// Has seen nothing yet.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        let ids = client_ids(options);
        Self {
            done: ids.iter().map(|id| (*id, 0)).collect(),
            known: BTreeSet::new(),
            told: BTreeSet::new(),
            ids,
            history: Expected::default(),
            open: BTreeMap::new(),
            standing: None,
        }
    }

    fn client(&mut self, place: u8, record: &ClientRecord) {
        let id = self.ids[usize::from(place)];
        let open = self.open.entry(place).or_default();
        match record {
            ClientRecord::Subscribed { .. } => {
                open.clear();
                if self.known.insert(id) {
                    let farthest = self.done.values().copied().max();
                    self.done.insert(id, farthest.unwrap_or(0));
                }
            }
            ClientRecord::RolledBack { from: None, .. } => open.clear(),
            ClientRecord::Got { batch, entries, .. } => {
                self.told.remove(&id);
                let numbers = entries.iter().map(|entry| self.history.find(entry));
                if let Some(last) = numbers.filter_map(Result::ok).last() {
                    open.push_back((*batch, last + 1));
                }
            }
            ClientRecord::Acked { batch, .. } => {
                if let Some((_, end)) = open.pop_front_if(|(open, _)| open == batch) {
                    let done = self.done.entry(id).or_default();
                    *done = end.max(*done);
                }
            }
            ClientRecord::RolledBack {
                from: Some(from), ..
            } => open.retain(|(batch, _)| batch < from),
            ClientRecord::Nothing { .. } => {
                self.told.insert(id);
            }
            ClientRecord::AckedWrongly { .. }
            | ClientRecord::Refused { .. }
            | ClientRecord::Ended { .. } => {}
        }
    }
}

impl Oracle for Liveness {
    fn see(&mut self, _: Duration, record: &Record) -> Result<(), Violation> {
        match record {
            Record::Source(SourceRecord::Committed(committed)) => {
                self.told.clear();
                self.history.commit(committed);
            }
            Record::Client(place, record) => self.client(*place, record),
            Record::Daemon(DaemonRecord::Standing { stage, reason }) => {
                self.standing = Some((stage, reason.clone()));
            }
            Record::Source(_)
            | Record::Daemon(_)
            | Record::Disk(_)
            | Record::Network(_)
            | Record::ZooKeeper(_)
            | Record::Fault(_)
            | Record::Healed => {}
        }
        Ok(())
    }

    fn settled(&self) -> Result<(), String> {
        let mut missing = Vec::new();
        for (id, done) in &self.done {
            let next = self.history.due(*done);
            if next < self.history.len() {
                let left = self.history.end().max(next + 1) - next;
                let next = self.history.describe(next);
                missing.push(format!(
                    "client {id} has not acknowledged {left} entries, from {next} on"
                ));
            } else if self.known.contains(id) && !self.told.contains(id) {
                missing.push(format!("client {id} was not told that there is no more"));
            }
        }
        match &self.standing {
            Some((stage, reason)) if *stage != Stage::Streaming.name() => {
                missing.push(format!("the destination is {stage}: {reason}"));
            }
            Some(_) | None => {}
        }
        if missing.is_empty() {
            return Ok(());
        }
        Err(missing.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::testing::{
        acked, commit, empty, entries, got, inserts, judge, nothing, options, subscribed,
    };

    fn standing(stage: &'static str) -> Record {
        let reason = "a reason".into();
        Record::Daemon(DaemonRecord::Standing { stage, reason })
    }

    #[test]
    fn all_is_well_once_everything_is_acknowledged() {
        let committed = inserts(0, 1);
        let mut oracle = Liveness::new(&options(&[1]));
        assert_eq!(oracle.settled(), Ok(()));
        let journal = [
            commit(&committed),
            commit(&empty(1)),
            subscribed(0, 0),
            got(0, 0, 1, &entries(&committed)),
        ];
        assert_eq!(judge(&mut oracle, journal), None);
        assert!(oracle.settled().unwrap_err().contains("3 entries"));
        assert_eq!(judge(&mut oracle, [acked(0, 0, 1)]), None);
        assert!(oracle.settled().unwrap_err().contains("was not told"));
        assert_eq!(judge(&mut oracle, [nothing(0, 0)]), None);
        assert_eq!(oracle.settled(), Ok(()));
        assert_eq!(judge(&mut oracle, [commit(&empty(2))]), None);
        assert!(oracle.settled().unwrap_err().contains("was not told"));
    }

    #[test]
    fn a_client_that_lags_is_named_with_what_it_lacks() {
        let (first, second) = (inserts(0, 1), inserts(1, 1));
        let mut oracle = Liveness::new(&options(&[1, 2]));
        let journal = [
            commit(&first),
            commit(&second),
            subscribed(1, 0),
            got(1, 0, 1, &entries(&first)),
            acked(1, 0, 1),
        ];
        assert_eq!(judge(&mut oracle, journal), None);
        let missing = oracle.settled().unwrap_err();
        assert!(
            missing.contains("client 1 has not acknowledged 6"),
            "{missing}"
        );
        assert!(
            missing.contains("client 2 has not acknowledged 3"),
            "{missing}"
        );
    }

    #[test]
    fn a_destination_that_stays_stopped_is_missing() {
        let mut oracle = Liveness::new(&options(&[]));
        assert_eq!(judge(&mut oracle, [standing(Stage::Stopped.name())]), None);
        assert!(oracle.settled().unwrap_err().contains("stopped: a reason"));
        assert_eq!(
            judge(&mut oracle, [standing(Stage::Streaming.name())]),
            None
        );
        assert_eq!(oracle.settled(), Ok(()));
    }
}
