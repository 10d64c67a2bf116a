//! Ids of batches, and what must be refused (I8).
//!
//! - A client's ids strictly grow, over all its connections and all lives of canald; no id is given twice
//!   for one client id.
//! - What must not be acknowledged is refused: after it, no answer but the refusal comes on that connection.
//! - What may be acknowledged is not refused, unless another connection has taken the place, or canald is
//!   another one by now.
//!
//! That a wrong acknowledgement moved nothing shows in what is delivered next: see the oracle of delivery.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::journal::{ClientRecord, Oracle, Record, Violation};
use crate::oracle::{broken, client_ids};
use crate::plan::Options;

/// What canald says of a batch that is not open.
const UNKNOWN_BATCH: &str = "is not exist";

/// What it says of one that is not the smallest.
const NOT_OLDEST: &str = "is not the firstly";

/// The only number that acknowledges nothing, and is not refused.
const NO_BATCH: i64 = -1;

/// Judges the ids of batches.
#[derive(Debug)]
pub struct Batches {
    ids: Vec<i16>,
    given: BTreeMap<i16, BTreeSet<i64>>,
    lines: BTreeMap<u8, Line>,
}

/// What is known of a client and its newest connection.
#[derive(Debug, Default)]
struct Line {
    connection: u32,
    /// The last id that it was given, on any connection.
    last: i64,
    open: BTreeSet<i64>,
    /// The acknowledgement that must be refused.
    wrong: Option<i64>,
    /// It named something that must be refused.
    rude: bool,
}

impl Batches {
    /// Has seen nothing yet.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        Self {
            ids: client_ids(options),
            given: BTreeMap::new(),
            lines: BTreeMap::new(),
        }
    }

    fn client(&mut self, place: u8, record: &ClientRecord) -> Result<(), String> {
        let id = self.ids[usize::from(place)];
        let competes = self.ids.iter().filter(|other| **other == id).count() > 1;
        let line = self.lines.entry(place).or_default();
        match record {
            ClientRecord::Subscribed { connection } => {
                let last = line.last;
                *line = Line {
                    connection: *connection,
                    last,
                    ..Line::default()
                };
            }
            ClientRecord::Got { batch, .. } => {
                line.answered()?;
                if *batch <= line.last {
                    return Err(format!("got batch {batch} after batch {}", line.last));
                }
                if !self.given.entry(id).or_default().insert(*batch) {
                    return Err(format!("got batch {batch}, which another connection got"));
                }
                line.last = *batch;
                line.open.insert(*batch);
            }
            ClientRecord::Nothing { .. } => line.answered()?,
            ClientRecord::Acked { batch, .. } => {
                line.open.remove(batch);
            }
            ClientRecord::AckedWrongly { batch, .. } => {
                line.rude = true;
                line.wrong = Some(*batch).filter(|batch| *batch != NO_BATCH);
            }
            ClientRecord::RolledBack { from: None, .. } => line.open.clear(),
            ClientRecord::RolledBack {
                from: Some(batch), ..
            } => {
                line.rude |= !line.open.contains(batch);
                line.open.retain(|open| open < batch);
            }
            ClientRecord::Refused { why, .. } => {
                let about_batch = why.contains(UNKNOWN_BATCH) || why.contains(NOT_OLDEST);
                if about_batch && !line.rude && !competes {
                    return Err(format!("did nothing wrong and was refused: {why}"));
                }
            }
            ClientRecord::Ended { .. } => {}
        }
        Ok(())
    }
}

impl Line {
    /// canald answered a get.
    fn answered(&self) -> Result<(), String> {
        match self.wrong {
            None => Ok(()),
            Some(batch) => Err(format!(
                "acknowledged batch {batch}, which was not for it to acknowledge, and was not refused"
            )),
        }
    }
}

impl Oracle for Batches {
    fn see(&mut self, _: Duration, record: &Record) -> Result<(), Violation> {
        let Record::Client(place, record) = record else {
            return Ok(());
        };
        let seen = self.client(*place, record);
        seen.map_err(|why| {
            let connection = self.lines.get(place).map_or(0, |line| line.connection);
            let text = format!("client-{place}, connection {connection}, {why}");
            broken("batch", "I8", text)
        })
    }
}

#[cfg(test)]
mod tests {
    use canald_core::meta::identity::ClientId;
    use canald_core::request::{BatchId, Refusal};

    use super::*;
    use crate::oracle::testing::{acked, got, judge, nothing, options, rolled_back, subscribed};

    fn wrongly(connection: u32, batch: i64) -> Record {
        Record::Client(0, ClientRecord::AckedWrongly { connection, batch })
    }

    fn refused(connection: u32, why: &str) -> Record {
        let why = why.into();
        Record::Client(0, ClientRecord::Refused { connection, why })
    }

    fn judged(journal: impl IntoIterator<Item = Record>) -> Option<Violation> {
        judge(&mut Batches::new(&options(&[1, 2])), journal)
    }

    #[test]
    fn ids_that_grow_pass_whoever_else_has_them() {
        let journal = [
            subscribed(0, 0),
            got(0, 0, 1, &[]),
            got(0, 0, 2, &[]),
            got(1, 0, 1, &[]),
            acked(0, 0, 1),
            subscribed(0, 1),
            got(0, 1, 1 << 32, &[]),
        ];
        assert_eq!(judged(journal), None);
    }

    #[test]
    fn an_id_that_comes_again_is_seen() {
        let journal = [
            subscribed(0, 0),
            got(0, 0, 5, &[]),
            subscribed(0, 1),
            got(0, 1, 5, &[]),
        ];
        assert_eq!(judged(journal).unwrap().promise, "I8");
        let mut two = Batches::new(&options(&[1, 1]));
        let journal = [got(0, 0, 5, &[]), got(1, 0, 5, &[])];
        assert!(judge(&mut two, journal).is_some());
    }

    #[test]
    fn a_wrong_acknowledgement_must_be_refused() {
        let begin = || [subscribed(0, 0), got(0, 0, 1, &[]), wrongly(0, 9)];
        let refused = [refused(0, "batchId:9 is not exist"), subscribed(0, 1)];
        let good = begin().into_iter().chain(refused).chain([nothing(0, 1)]);
        assert_eq!(judged(good), None);
        let borne = begin().into_iter().chain([nothing(0, 0)]);
        assert!(judged(borne).unwrap().text.contains("batch 9"));
    }

    #[test]
    fn a_right_acknowledgement_must_not_be_refused() {
        let client = ClientId(1);
        let unknown = Refusal::UnknownBatch {
            verb: "ack",
            client,
            batch: BatchId(1),
        };
        let not_oldest = Refusal::NotOldest {
            batch: BatchId(2),
            oldest: BatchId(1),
        };
        for refusal in [unknown, not_oldest] {
            let refused = || refused(0, &refusal.to_string());
            let right = [
                subscribed(0, 0),
                got(0, 0, 1, &[]),
                acked(0, 0, 1),
                refused(),
            ];
            assert!(judged(right).is_some(), "{refusal}");
            let rude = [subscribed(0, 0), rolled_back(0, 0, Some(4)), refused()];
            assert_eq!(judged(rude), None);
        }
    }
}
