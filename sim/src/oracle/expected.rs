//! The entries that the history makes, in order: what every client must be given.
//!
//! A transaction is a begin, an entry for each event of rows, and an end; a DDL statement is an entry of its
//! own. A transaction without changes may be given or left out, begin and end each: canald lets one through
//! now and then, and after a restart another one.
//!
//! A *place* is a number of entries: those before it. Entries are numbered from 0, so a place is also the
//! number of the next entry.

use std::collections::BTreeSet;
use std::sync::Arc;

use canald_core::entry::proto::{Entry, EntryType};

use crate::model::history::{Body, Committed, Ddl, RowsEvent};

/// What an entry is of its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its begin.
    Begin,
    /// Its nth event of rows.
    Rows(usize),
    /// Its end.
    End,
    /// The statement that it is.
    Ddl,
}

/// What an entry is of the history, with what it must hold.
#[derive(Clone, Copy, Debug)]
pub enum Meaning<'a> {
    /// The begin.
    Begin,
    /// Rows.
    Rows(&'a RowsEvent),
    /// The end.
    End,
    /// A statement.
    Ddl(&'a Ddl),
}

#[derive(Clone, Copy, Debug)]
struct Item {
    transaction: usize,
    part: Part,
}

/// The entries that the history makes.
#[derive(Debug, Default)]
pub struct Expected {
    transactions: Vec<Arc<Committed>>,
    /// The number of each transaction's first entry.
    firsts: Vec<usize>,
    items: Vec<Item>,
    /// For each place up to the last entry that may not be left out, the next such entry.
    due: Vec<usize>,
    /// Where the end of a transaction without changes was seen, by transaction and offset: the history
    /// does not say.
    ends_seen: BTreeSet<(usize, u64)>,
}

impl Expected {
    /// The source committed.
    pub fn commit(&mut self, committed: &Arc<Committed>) {
        let transaction = self.transactions.len();
        self.transactions.push(committed.clone());
        self.firsts.push(self.items.len());
        let add = |part| Item { transaction, part };
        match &committed.body {
            Body::Rows(events) => {
                self.items.push(add(Part::Begin));
                self.items
                    .extend((0..events.len()).map(Part::Rows).map(add));
                self.items.push(add(Part::End));
            }
            Body::Ddl(_) => self.items.push(add(Part::Ddl)),
        }
        if !is_empty(committed) {
            // Whatever is optional before it leads to it.
            let first = self.firsts[transaction];
            self.due.resize(first, first);
            self.due.extend(first..self.items.len());
        }
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// What must come to whoever has all before `place`: the first entry from there on that may not be left out;
    /// the number of entries if there is none. A transaction that changes nothing may be left out whole, but
    /// whoever was given its begin is owed its end.
    #[must_use]
    pub fn due(&self, place: usize) -> usize {
        let is_end = |item: &Item| matches!(item.part, Part::End);
        if self.items.get(place).is_some_and(is_end) {
            return place;
        }
        self.due.get(place).copied().unwrap_or(self.items.len())
    }

    /// The place behind the last entry that may not be left out.
    #[must_use]
    pub fn end(&self) -> usize {
        self.due.len()
    }

    /// Its transaction, and what it means.
    #[must_use]
    pub fn meaning(&self, number: usize) -> (&Committed, Meaning<'_>) {
        let item = self.items[number];
        let committed = &*self.transactions[item.transaction];
        let meaning = match (item.part, &committed.body) {
            (Part::Rows(nth), Body::Rows(events)) => Meaning::Rows(&events[nth]),
            (Part::Ddl, Body::Ddl(ddl)) => Meaning::Ddl(ddl),
            (Part::End, Body::Rows(_)) => Meaning::End,
            (Part::Begin, _) | (Part::Rows(_) | Part::End, Body::Ddl(_)) | (Part::Ddl, _) => {
                Meaning::Begin
            }
        };
        (committed, meaning)
    }

    /// What part of its transaction an entry is.
    #[must_use]
    pub fn part(&self, number: usize) -> Part {
        self.items[number].part
    }

    /// The transactions from that of entry `number` on.
    pub fn transactions_from(&self, number: usize) -> impl Iterator<Item = &Committed> {
        let from = self.items.get(number);
        let from = from.map_or(self.transactions.len(), |item| item.transaction);
        self.transactions[from..]
            .iter()
            .map(|committed| &**committed)
    }

    /// Which entry of the history `entry` claims to be.
    ///
    /// # Errors
    /// It is none: why.
    pub fn find(&mut self, entry: &Entry) -> Result<usize, String> {
        let header = entry.header.as_ref().ok_or("an entry without a header")?;
        let file = header.logfile_name();
        let offset = u64::try_from(header.logfile_offset())
            .map_err(|_| format!("an entry at {file}:{}", header.logfile_offset()))?;
        let nowhere = || format!("an entry at {file}:{offset}, where the history has none");
        let transaction = self.holding(file, offset).ok_or_else(nowhere)?;
        let committed = &self.transactions[transaction];
        let first = self.firsts[transaction];
        match (&committed.body, entry.entry_type()) {
            (Body::Rows(_), EntryType::TransactionBegin) => Ok(first),
            (Body::Rows(events), EntryType::TransactionEnd) => {
                let end = first + events.len() + 1;
                if events.is_empty() {
                    self.ends_seen.insert((transaction, offset));
                }
                Ok(end)
            }
            (Body::Rows(events), EntryType::RowData) => {
                let nth = events.iter().position(|event| event.start == offset);
                nth.map(|nth| first + 1 + nth).ok_or_else(nowhere)
            }
            (Body::Ddl(ddl), EntryType::RowData) if ddl.start == offset => Ok(first),
            (_, entry_type) => Err(format!(
                "an entry of type {entry_type:?} at {file}:{offset}, where the history has none of that type"
            )),
        }
    }

    /// Which entry starts at a place in the log; none if no entry can.
    #[must_use]
    pub fn at(&self, file: &str, offset: u64) -> Option<usize> {
        let transaction = self.holding(file, offset)?;
        let first = self.firsts[transaction];
        match &self.transactions[transaction].body {
            Body::Ddl(ddl) => (ddl.start == offset).then_some(first),
            Body::Rows(events) => match (events.first(), events.last()) {
                (Some(event), _) if offset < event.start => Some(first),
                (_, Some(event)) if offset > event.start => Some(first + events.len() + 1),
                (None, _) | (_, None) => {
                    let is_end = self.ends_seen.contains(&(transaction, offset));
                    Some(first + usize::from(is_end))
                }
                (Some(_), Some(_)) => {
                    let nth = events.iter().position(|event| event.start == offset);
                    nth.map(|nth| first + 1 + nth)
                }
            },
        }
    }

    /// The first entry whose transaction ends behind a place in the log.
    #[must_use]
    pub fn from(&self, file: &str, offset: u64) -> usize {
        let place = (file_number(file), offset);
        let before = self
            .transactions
            .partition_point(|committed| (file_number(&committed.file), committed.end) <= place);
        match self.at(file, offset) {
            Some(number) => number,
            None => self.firsts.get(before).copied().unwrap_or(self.items.len()),
        }
    }

    /// Whether a place in the log lies strictly inside a transaction.
    #[must_use]
    pub fn is_inside(&self, file: &str, offset: u64) -> bool {
        let holding = self.holding(file, offset);
        holding.is_some_and(|transaction| self.transactions[transaction].start < offset)
    }

    /// The transaction whose bytes hold a place in the log.
    fn holding(&self, file: &str, offset: u64) -> Option<usize> {
        let place = (file_number(file), offset);
        let after = self
            .transactions
            .partition_point(|committed| (file_number(&committed.file), committed.start) <= place);
        let transaction = after.checked_sub(1)?;
        let committed = &self.transactions[transaction];
        (*committed.file == *file && offset < committed.end).then_some(transaction)
    }

    /// An entry in words.
    #[must_use]
    pub fn describe(&self, number: usize) -> String {
        if number >= self.items.len() {
            return format!("entry {number}, which is not committed yet");
        }
        let (committed, meaning) = self.meaning(number);
        let what = match meaning {
            Meaning::Begin => "the begin".to_owned(),
            Meaning::End => "the end".to_owned(),
            Meaning::Ddl(ddl) => format!("`{}`", ddl.sql),
            Meaning::Rows(event) => {
                let table = &event.table;
                let (rows, start) = (event.rows.len(), event.start);
                format!("{rows} rows of {}.{} at {start}", table.schema, table.name)
            }
        };
        let (transaction, file, start) = (committed.number, &committed.file, committed.start);
        format!("entry {number} ({what} of transaction {transaction} at {file}:{start})")
    }
}

fn is_empty(committed: &Committed) -> bool {
    matches!(&committed.body, Body::Rows(events) if events.is_empty())
}

/// The number of a binlog file: files are in its order, not in that of their names.
#[must_use]
pub fn file_number(file: &str) -> u64 {
    let number = file.rsplit_once('.').map(|(_, number)| number.parse());
    number.and_then(Result::ok).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::testing::{ddl, empty, entries, inserts};

    fn expected(commits: &[Arc<Committed>]) -> Expected {
        let mut expected = Expected::default();
        for committed in commits {
            expected.commit(committed);
        }
        expected
    }

    #[test]
    fn every_entry_of_the_history_is_found_by_what_it_says_of_itself() {
        let commits = [inserts(0, 2), empty(1), ddl(2), inserts(3, 1)];
        let mut expected = expected(&commits);
        let all: Vec<Entry> = commits.iter().flat_map(|c| entries(c)).collect();
        assert_eq!(expected.len(), 4 + 2 + 1 + 3);
        for (number, entry) in all.iter().enumerate() {
            assert_eq!(expected.find(entry), Ok(number));
            let header = entry.header.as_ref().unwrap();
            let offset = header.logfile_offset() as u64;
            assert_eq!(expected.at(header.logfile_name(), offset), Some(number));
        }
    }

    #[test]
    fn what_changes_nothing_is_not_due_but_for_the_end_of_what_began() {
        let commits = [
            empty(0),
            inserts(1, 1),
            empty(2),
            empty(3),
            ddl(4),
            empty(5),
        ];
        let expected = expected(&commits);
        let due: Vec<usize> = (0..=expected.len())
            .map(|place| expected.due(place))
            .collect();
        assert_eq!(due, [2, 1, 2, 3, 4, 9, 6, 9, 8, 9, 12, 11, 12]);
        assert_eq!(expected.end(), 10);
    }

    #[test]
    fn an_entry_that_the_history_does_not_have_is_refused_with_its_place() {
        let mut expected = expected(&[inserts(0, 1)]);
        let [stranger, ..] = &entries(&inserts(7, 1))[..] else {
            panic!("a begin")
        };
        let why = expected.find(stranger).unwrap_err();
        assert!(why.contains("bin.000001:"), "{why}");
    }

    #[test]
    fn a_place_between_transactions_leads_to_the_next_one() {
        let commits = [inserts(0, 1), inserts(1, 1)];
        let expected = expected(&commits);
        assert_eq!(expected.from("bin.000001", 4), 0);
        assert_eq!(expected.from("bin.000001", commits[0].end), 3);
        assert_eq!(expected.from("bin.000002", 4), 6);
        assert!(expected.is_inside("bin.000001", commits[0].start + 1));
        assert!(!expected.is_inside("bin.000001", commits[0].start));
        assert!(!expected.is_inside("bin.000001", commits[0].end));
    }
}
