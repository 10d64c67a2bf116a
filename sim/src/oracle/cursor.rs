//! What is written of a client's place (I5, I6, P2), as soon as it is safe on the disk.
//!
//! - The record is whole, and once it was safe it does not vanish.
//! - The last acknowledged entry is one of the history, was acknowledged by the client (the acknowledgement
//!   was sent), and never goes back.
//! - canal's own position is a boundary: the end of a transaction, a statement, or a begin without GTIDs;
//!   it never goes back and is not ahead of the last acknowledged entry. Its GTIDs name no transaction
//!   that the client has not acknowledged.
//! - Where the log is read again is no place inside a transaction, and nothing unacknowledged is before it.
//!
//! A client that has just come is written down where it begins, which need not be a boundary: that one is
//! judged by what others had acknowledged.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::journal::{ClientRecord, DiskRecord, Oracle, Record, SourceRecord, Violation};
use crate::oracle::expected::{Expected, Part};
use crate::oracle::stored::{LogPlace, Stored, StoredCursor};
use crate::oracle::{broken, client_ids};
use crate::plan::Options;

/// Judges what is written of clients' places.
#[derive(Debug)]
pub struct Cursors {
    ids: Vec<i16>,
    history: Expected,
    /// Open batches by client, and where each ends.
    open: BTreeMap<u8, VecDeque<(i64, usize)>>,
    /// How far each client id has sent acknowledgements, in entries.
    acked: BTreeMap<i16, usize>,
    safe: BTreeMap<i16, StoredCursor>,
    was_safe: bool,
}

type Judged = Result<(), (&'static str, String)>;

impl Cursors {
    /// Has seen nothing yet.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        Self {
            ids: client_ids(options),
            history: Expected::default(),
            open: BTreeMap::new(),
            acked: BTreeMap::new(),
            safe: BTreeMap::new(),
            was_safe: false,
        }
    }

    fn client(&mut self, place: u8, record: &ClientRecord) {
        let open = self.open.entry(place).or_default();
        match record {
            ClientRecord::Subscribed { .. } | ClientRecord::RolledBack { from: None, .. } => {
                open.clear();
            }
            ClientRecord::RolledBack {
                from: Some(from), ..
            } => open.retain(|(batch, _)| batch < from),
            ClientRecord::Got { batch, entries, .. } => {
                let numbers = entries.iter().map(|entry| self.history.find(entry));
                // An entry of no history is for the oracle of delivery.
                let last = numbers.filter_map(Result::ok).last();
                if let Some(last) = last {
                    open.push_back((*batch, last + 1));
                }
            }
            ClientRecord::Acked { batch, .. } => {
                if let Some((_, end)) = open.pop_front_if(|(open, _)| open == batch) {
                    let acked = self.acked.entry(self.ids[usize::from(place)]).or_default();
                    *acked = end.max(*acked);
                }
            }
            ClientRecord::Nothing { .. }
            | ClientRecord::AckedWrongly { .. }
            | ClientRecord::Refused { .. }
            | ClientRecord::Ended { .. } => {}
        }
    }

    fn holds(&mut self, holds: &[(String, Arc<[u8]>)], is_all: bool) -> Judged {
        let stored = match Stored::of(holds) {
            Ok(Some(stored)) => stored,
            Ok(None) if is_all && self.was_safe => {
                return Err(("P2", "the record was safe, and is gone".into()));
            }
            Ok(None) => return Ok(()),
            Err(why) => return Err(("P2", format!("the record cannot be read: {why}"))),
        };
        self.was_safe = true;
        for (id, cursor) in &stored.clients {
            match (cursor, self.safe.get(id)) {
                (Some(cursor), Some(former)) if cursor == former => {}
                (Some(cursor), former) => {
                    let judged = match former {
                        None => self.first(cursor),
                        Some(former) => self.moved(*id, former, cursor),
                    };
                    let told = |(promise, why)| (promise, format!("client {id}: {why}"));
                    judged.map_err(told)?;
                    self.safe.insert(*id, cursor.clone());
                }
                (None, Some(_)) => {
                    return Err(("I5", format!("client {id}: its cursor is gone")));
                }
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// A client's first cursor: where it begins.
    fn first(&self, cursor: &StoredCursor) -> Judged {
        let Some(last) = &cursor.last_acked else {
            return Ok(());
        };
        let end = self.entry(last)? + 1;
        let farthest = self.acked.values().max().copied().unwrap_or(0);
        if end > farthest {
            let last = self.ends(end);
            let text = format!("its first cursor is behind {last}, which nobody acknowledged");
            return Err(("I3", text));
        }
        self.boundary(cursor, end)
    }

    fn moved(&self, id: i16, former: &StoredCursor, cursor: &StoredCursor) -> Judged {
        let Some(last) = &cursor.last_acked else {
            return Err(("I5", format!("it went back to {:?}", cursor.position)));
        };
        let end = self.entry(last)? + 1;
        let before = former.last_acked.as_ref();
        let before = before.map_or(Ok(0), |at| self.entry(at).map(|number| number + 1))?;
        if end < before {
            let (end, before) = (self.ends(end), self.ends(before));
            return Err(("I5", format!("its cursor went back to {end} from {before}")));
        }
        let acked = self.acked.get(&id).copied().unwrap_or(0);
        if end > acked.max(before) {
            let (end, acked) = (self.ends(end), self.ends(acked));
            let text = format!("its cursor is at {end}, and it acknowledged {acked}");
            return Err(("I3", text));
        }
        if cursor.position != former.position {
            self.position(former, cursor, end, acked)?;
        }
        self.boundary(cursor, end)
    }

    /// canal's own position has moved.
    fn position(
        &self,
        former: &StoredCursor,
        cursor: &StoredCursor,
        end: usize,
        acked: usize,
    ) -> Judged {
        let number = self.entry(&cursor.position)?;
        let what = || self.history.describe(number);
        match self.history.part(number) {
            Part::End | Part::Ddl => {}
            Part::Begin if cursor.gtid.is_empty() => {}
            Part::Begin | Part::Rows(_) => {
                return Err(("I6", format!("its position is {}, no boundary", what())));
            }
        }
        if number >= end {
            let last = self.ends(end);
            return Err(("I6", format!("its position is {}, behind {last}", what())));
        }
        // Where a client begins is no place that it has reached, until it has acknowledged what is there.
        let at = |place: &LogPlace| self.history.at(&place.file, place.offset);
        let last = former.last_acked.as_ref().and_then(at);
        let former = at(&former.position).filter(|former| last >= Some(*former));
        if former.is_some_and(|former| number < former) {
            return Err(("I5", format!("its position went back to {}", what())));
        }
        let first_open = self.history.due(acked);
        let open = self.history.transactions_from(first_open);
        let mut gtids = open.filter_map(|committed| committed.gtid.as_deref());
        match gtids.find(|gtid| contains(&cursor.gtid, gtid)) {
            Some(gtid) => Err((
                "I6",
                format!("its GTIDs {} hold {gtid}, not acknowledged", cursor.gtid),
            )),
            None => Ok(()),
        }
    }

    /// Where the log is read again.
    fn boundary(&self, cursor: &StoredCursor, end: usize) -> Judged {
        let Some(LogPlace { file, offset }) = &cursor.boundary else {
            return Err(("P2", "it does not say where to read again".into()));
        };
        if self.history.is_inside(file, *offset) {
            let text = format!("it reads again from {file}:{offset}, inside a transaction");
            return Err(("I6", text));
        }
        let from = self.history.from(file, *offset);
        if from > self.history.due(end) {
            let (from, end) = (self.history.describe(from), self.history.describe(end));
            return Err(("P1", format!("it reads again from {from}, behind {end}")));
        }
        Ok(())
    }

    /// The entry before a place, in words.
    fn ends(&self, place: usize) -> String {
        let last = place.checked_sub(1);
        last.map_or_else(|| "nothing".into(), |last| self.history.describe(last))
    }

    fn entry(&self, place: &LogPlace) -> Result<usize, (&'static str, String)> {
        let LogPlace { file, offset } = place;
        let found = self.history.at(file, *offset);
        found.ok_or_else(|| ("I6", format!("no entry is at {file}:{offset}")))
    }
}

/// Whether a set of GTIDs, in either flavour's notation, holds one.
fn contains(set: &str, gtid: &str) -> bool {
    let mut members = set.split(',').map(str::trim);
    if let Some((server, number)) = gtid.split_once(':') {
        let Ok(number) = number.parse::<u64>() else {
            return false;
        };
        return members
            .filter_map(|one| one.split_once(':'))
            .any(|(of, ranges)| {
                of == server && ranges.split(':').any(|range| range_holds(range, number))
            });
    }
    let Some((domain, number)) = mariadb(gtid) else {
        return false;
    };
    members.any(|one| mariadb(one).is_some_and(|(of, last)| of == domain && number <= last))
}

fn range_holds(range: &str, number: u64) -> bool {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let parsed = (first.parse::<u64>(), last.parse::<u64>());
    matches!(parsed, (Ok(first), Ok(last)) if first <= number && number <= last)
}

/// Domain and number of `domain-server-number`.
fn mariadb(gtid: &str) -> Option<(&str, u64)> {
    let (rest, number) = gtid.rsplit_once('-')?;
    let (domain, _) = rest.split_once('-')?;
    Some((domain, number.parse().ok()?))
}

impl Oracle for Cursors {
    fn see(&mut self, _: Duration, record: &Record) -> Result<(), Violation> {
        let judged = match record {
            Record::Source(SourceRecord::Committed(committed)) => {
                self.history.commit(committed);
                Ok(())
            }
            Record::Client(place, record) => {
                self.client(*place, record);
                Ok(())
            }
            Record::Disk(DiskRecord::FolderSynced { holds, .. }) => self.holds(holds, false),
            Record::Disk(DiskRecord::PowerLost { holds }) => self.holds(holds, true),
            Record::Source(_)
            | Record::Daemon(_)
            | Record::Disk(_)
            | Record::Network(_)
            | Record::ZooKeeper(_)
            | Record::Fault(_)
            | Record::Healed => Ok(()),
        };
        judged.map_err(|(promise, text)| broken("cursor", promise, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::testing::{
        FILE, acked, commit, entries, got, inserts, judge, options, record_file, safe, subscribed,
    };

    /// Offset of the nth entry of a transaction with one event of rows.
    fn offset(transaction: u64, nth: usize) -> u64 {
        let header = entries(&inserts(transaction, 1))[nth].header.clone();
        header.unwrap().logfile_offset() as u64
    }

    /// Two transactions, of which the client acknowledges the first; then the disk says so much.
    fn judged(disk: impl IntoIterator<Item = Record>) -> Option<Violation> {
        let (first, second) = (inserts(0, 1), inserts(1, 1));
        let journal = [
            commit(&first),
            commit(&second),
            safe(&[(1, None)]),
            subscribed(0, 0),
            got(0, 0, 1, &entries(&first)),
            got(0, 0, 2, &entries(&second)),
            acked(0, 0, 1),
        ];
        let mut oracle = Cursors::new(&options(&[1]));
        judge(&mut oracle, journal.into_iter().chain(disk))
    }

    #[test]
    fn a_cursor_at_the_end_of_what_was_acknowledged_passes() {
        let end = offset(0, 2);
        assert_eq!(
            judged([safe(&[(1, Some(end))]), safe(&[(1, Some(end))])]),
            None
        );
    }

    #[test]
    fn a_cursor_ahead_of_what_was_acknowledged_is_seen() {
        let violation = judged([
            safe(&[(1, Some(offset(0, 2)))]),
            safe(&[(1, Some(offset(1, 2)))]),
        ]);
        assert_eq!(violation.unwrap().promise, "I3");
        let at_once = judged([safe(&[(1, Some(offset(1, 2)))])]).unwrap();
        assert_eq!(at_once.promise, "I3");
    }

    #[test]
    fn a_cursor_that_goes_back_or_goes_is_seen() {
        let end = safe(&[(1, Some(offset(0, 2)))]);
        let back = judged([end.clone(), safe(&[(1, Some(offset(0, 0)))])]).unwrap();
        assert_eq!(back.promise, "I5");
        let gone = judged([end, safe(&[(1, None)])]).unwrap();
        assert_eq!(gone.promise, "I5");
    }

    #[test]
    fn a_position_that_is_no_entry_or_no_boundary_is_seen() {
        let end = || safe(&[(1, Some(offset(0, 0)))]);
        let inside = judged([end(), safe(&[(1, Some(offset(0, 1)))])]).unwrap();
        assert!(inside.text.contains("no boundary"), "{inside}");
        let nowhere = judged([end(), safe(&[(1, Some(5_000))])]).unwrap();
        assert!(nowhere.text.contains("no entry is at"), "{nowhere}");
    }

    #[test]
    fn reading_again_from_inside_a_transaction_or_too_late_is_seen() {
        let place = |offset| LogPlace {
            file: FILE.into(),
            offset,
        };
        let mut oracle = Cursors::new(&options(&[1]));
        let (first, second) = (inserts(0, 1), inserts(1, 1));
        assert_eq!(judge(&mut oracle, [commit(&first), commit(&second)]), None);
        let again = |from| {
            let cursor = StoredCursor {
                position: place(offset(0, 2)),
                gtid: String::new(),
                last_acked: Some(place(offset(0, 1))),
                boundary: Some(place(from)),
            };
            oracle.boundary(&cursor, 2).map_err(|(promise, _)| promise)
        };
        assert_eq!(again(first.start), Ok(()));
        assert_eq!(again(first.start + 1), Err("I6"));
        assert_eq!(again(second.start), Err("P1"));
    }

    #[test]
    fn a_record_that_is_damaged_or_gone_is_seen() {
        let held = |file: Vec<u8>| vec![("data/canald.meta".to_owned(), Arc::from(file))];
        let mut file = record_file(1, Some((FILE, 4)), &[]);
        file.pop();
        let holds = held(file);
        let damaged = judged([Record::Disk(DiskRecord::PowerLost { holds })]).unwrap();
        assert!(damaged.text.contains("cannot be read"), "{damaged}");
        let gone = judged([Record::Disk(DiskRecord::PowerLost { holds: Vec::new() })]);
        assert!(gone.unwrap().text.contains("is gone"));
    }

    #[test]
    fn sets_of_gtids_hold_what_they_say() {
        assert!(contains("a:1-5:8, b:3", "a:8"));
        assert!(contains("a:1-5:8, b:3", "b:3"));
        assert!(!contains("a:1-5:8, b:3", "a:7"));
        assert!(!contains("a:1-5", "c:2"));
        assert!(contains("0-1-100,7-1-4", "0-2-99"));
        assert!(!contains("0-1-100,7-1-4", "7-1-5"));
        assert!(!contains("", "0-1-1"));
    }
}
