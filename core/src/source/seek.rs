//! Finds a place by time (binlog-parser reference §1.16): which file, then where in it.
//!
//! A file begins when it is created, and the first event of a dump of it carries that time. So the
//! files are bisected by reading one event of each, and one file is scanned. The place is the end of
//! the last transaction whose time is **strictly less** than the wanted one; the scan ends at the first
//! event that is not. A file begun before the time without a transaction before it yields its start.
//!
//! Bounds: `log2(files) + 1` dumps. It reads nothing itself, and never trusts a clock to be monotonic
//! within a file: it stops at the first event that is too late, which can only be too early a place.

use alloc::vec::Vec;

use thiserror::Error;

use crate::position::{BinlogFile, BinlogPosition};
use crate::time::WallMillis;

/// What the search needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeekStep {
    /// Dump this file from its first event and say when that was written ([`Seek::handle_created`]).
    Created(BinlogFile),
    /// Dump this file from its first event and hand over its events ([`Seek::handle_event`]) until told
    /// enough, or until it ends ([`Seek::handle_end`]).
    Scan(BinlogFile),
    /// The place.
    Found(BinlogPosition),
    /// There is no such place.
    NotFound(SeekFault),
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SeekFault {
    /// The server lists no file.
    #[error("the source lists no binlog files: set log_bin on it")]
    NoFiles,
    /// Every file was begun at or after the time.
    #[error("every binlog file of the source is newer than the time wanted")]
    TimeBeforeLog,
}

/// What an event is to the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekEvent {
    /// The last of a transaction (XID, COMMIT, ROLLBACK, XA end), or a statement that is one by itself, such as a DDL.
    TransactionEnd,
    /// Any other.
    Other,
}

/// Whether the search wants more of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appetite {
    /// The next event, please.
    More,
    /// Close the dump and ask for the next step.
    Enough,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Files before `low` were begun before the time, those from `high` on were not.
    Bisect {
        low: usize,
        high: usize,
    },
    Scan {
        file: usize,
        found: u64,
    },
    Done(Result<BinlogPosition, SeekFault>),
}

/// One search.
#[derive(Clone, Debug)]
pub struct Seek {
    wanted: WallMillis,
    files: Vec<BinlogFile>,
    end: BinlogPosition,
    state: State,
}

impl Seek {
    /// A search over all `files` (oldest first, as `SHOW BINARY LOGS` lists them) of a log that ends at `end`.
    #[must_use]
    pub fn new(wanted: WallMillis, files: Vec<BinlogFile>, end: BinlogPosition) -> Self {
        let state = match files.len() {
            0 => State::Done(Err(SeekFault::NoFiles)),
            high => State::Bisect { low: 0, high },
        };
        Self {
            wanted,
            files,
            end,
            state,
        }
    }

    /// A search in one file; without a transaction before the time it finds the file's start.
    #[must_use]
    pub fn in_file(wanted: WallMillis, file: BinlogFile, end: BinlogPosition) -> Self {
        let found = BinlogPosition::FIRST_EVENT;
        Self {
            wanted,
            files: alloc::vec![file],
            end,
            state: State::Scan { file: 0, found },
        }
    }

    /// What to do now.
    #[must_use]
    pub fn step(&self) -> SeekStep {
        match &self.state {
            State::Bisect { low, high } => {
                SeekStep::Created(self.files[middle(*low, *high)].clone())
            }
            State::Scan { file, .. } => SeekStep::Scan(self.files[*file].clone()),
            State::Done(Ok(place)) => SeekStep::Found(place.clone()),
            State::Done(Err(fault)) => SeekStep::NotFound(*fault),
        }
    }

    /// The file of [`SeekStep::Created`] was begun at `seconds`: the time in the header of its first event.
    pub fn handle_created(&mut self, seconds: u32) {
        let State::Bisect { low, high } = &mut self.state else {
            return;
        };
        let file = middle(*low, *high);
        if WallMillis::from_event_seconds(seconds) < self.wanted {
            *low = file + 1;
        } else {
            *high = file;
        }
        if *low < *high {
            return;
        }
        self.state = match low.checked_sub(1) {
            Some(file) => State::Scan {
                file,
                found: BinlogPosition::FIRST_EVENT,
            },
            None => State::Done(Err(SeekFault::TimeBeforeLog)),
        };
    }

    /// An event of the file of [`SeekStep::Scan`]: the time in its header, and where it ends.
    ///
    /// Artificial events, whose time is 0, are not handed over.
    pub fn handle_event(&mut self, event: SeekEvent, seconds: u32, end: u64) -> Appetite {
        let State::Scan { file, found } = &mut self.state else {
            return Appetite::Enough;
        };
        if WallMillis::from_event_seconds(seconds) >= self.wanted {
            self.handle_end();
            return Appetite::Enough;
        }
        if event == SeekEvent::TransactionEnd {
            *found = end;
        }
        if self.files[*file] == self.end.file && end >= self.end.offset {
            self.handle_end();
            return Appetite::Enough;
        }
        Appetite::More
    }

    /// The file of [`SeekStep::Scan`] has no more events: its dump went on to another one, or waits.
    pub fn handle_end(&mut self) {
        if let State::Scan { file, found } = self.state {
            self.state = State::Done(Ok(BinlogPosition::new(self.files[file].clone(), found)));
        }
    }
}

const fn middle(low: usize, high: usize) -> usize {
    low + (high - low) / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec;
    use proptest::prelude::*;

    fn file(n: usize) -> BinlogFile {
        BinlogFile::new(&format!("b.{n:06}"))
    }

    fn seconds(s: i64) -> WallMillis {
        WallMillis(s * 1000)
    }

    /// Runs a search over files of `(begun, transactions of (time, end))`; returns the place and the dumps it took.
    fn run(
        log: &[(u32, Vec<(u32, u64)>)],
        mut seek: Seek,
    ) -> (Result<BinlogPosition, SeekFault>, usize) {
        let mut dumps = 0;
        let number = |file: &BinlogFile| file.parts().1.unwrap() as usize;
        loop {
            match seek.step() {
                SeekStep::Created(file) => seek.handle_created(log[number(&file)].0),
                SeekStep::Scan(file) => {
                    let (begun, transactions) = &log[number(&file)];
                    let mut appetite = seek.handle_event(SeekEvent::Other, *begun, 120);
                    for (time, end) in transactions {
                        if appetite == Appetite::More {
                            appetite = seek.handle_event(SeekEvent::Other, *time, end - 30);
                        }
                        if appetite == Appetite::More {
                            appetite = seek.handle_event(SeekEvent::TransactionEnd, *time, *end);
                        }
                    }
                    seek.handle_end();
                }
                SeekStep::Found(place) => return (Ok(place), dumps),
                SeekStep::NotFound(fault) => return (Err(fault), dumps),
            }
            dumps += 1;
        }
    }

    fn over_all(
        log: &[(u32, Vec<(u32, u64)>)],
        wanted: WallMillis,
    ) -> (Result<BinlogPosition, SeekFault>, usize) {
        let files = (0..log.len()).map(file).collect();
        let end = BinlogPosition::new(file(log.len().saturating_sub(1)), u64::MAX);
        run(log, Seek::new(wanted, files, end))
    }

    #[test]
    fn the_place_is_the_end_of_the_last_transaction_strictly_before_the_time() {
        let log = [
            (10, vec![(11, 300), (12, 500)]),
            (20, vec![(21, 300), (25, 500), (25, 700), (30, 900)]),
        ];
        let at = |n, offset| Ok(BinlogPosition::new(file(n), offset));
        assert_eq!(over_all(&log, seconds(25)).0, at(1, 300));
        assert_eq!(over_all(&log, WallMillis(25_001)).0, at(1, 700));
        assert_eq!(over_all(&log, seconds(99)).0, at(1, 900));
        assert_eq!(over_all(&log, seconds(20)).0, at(0, 500));
        // Begun before the time, first transaction after it: the start of the file.
        assert_eq!(over_all(&log, seconds(21)).0, at(1, 4));
        assert_eq!(over_all(&log, seconds(10)).0, Err(SeekFault::TimeBeforeLog));
        assert_eq!(over_all(&[], seconds(10)).0, Err(SeekFault::NoFiles));
    }

    #[test]
    fn a_thousand_files_take_a_dozen_dumps() {
        let log: Vec<_> = (0..1000_u32)
            .map(|n| (n * 10, vec![(n * 10 + 1, 300)]))
            .collect();
        let (place, dumps) = over_all(&log, seconds(4321));
        assert_eq!(place, Ok(BinlogPosition::new(file(432), 4)));
        assert!(dumps <= 12, "{dumps}");
    }

    #[test]
    fn one_file_alone_yields_at_least_its_start() {
        let log = [(10, vec![(11, 300), (12, 500)])];
        let end = BinlogPosition::new(file(0), 500);
        let found = |wanted| {
            run(&log, Seek::in_file(seconds(wanted), file(0), end.clone()))
                .0
                .unwrap()
                .offset
        };
        assert_eq!((found(5), found(12), found(50)), (4, 300, 500));
    }

    #[test]
    fn the_scan_of_the_newest_file_ends_where_the_log_ended() {
        let end = BinlogPosition::new(file(0), 300);
        let mut seek = Seek::in_file(seconds(99), file(0), end);
        assert_eq!(
            seek.handle_event(SeekEvent::TransactionEnd, 11, 300),
            Appetite::Enough
        );
        assert_eq!(
            seek.step(),
            SeekStep::Found(BinlogPosition::new(file(0), 300))
        );
    }

    proptest! {
        #[test]
        fn nothing_at_or_after_the_time_lies_before_the_place(
            gaps in proptest::collection::vec(proptest::collection::vec(0_u32..5, 0..6), 1..20),
            wanted in 0_i64..200,
        ) {
            let mut clock = 10;
            let log: Vec<(u32, Vec<(u32, u64)>)> = gaps.iter().map(|gaps| {
                let begun = clock;
                let transactions = gaps.iter().enumerate().map(|(i, gap)| {
                    clock += gap;
                    (clock, 300 + 200 * i as u64)
                });
                (begun, transactions.collect())
            }).collect();
            let wanted = seconds(wanted);
            match over_all(&log, wanted).0 {
                Ok(place) => for (n, (_, transactions)) in log.iter().enumerate() {
                    for (time, end) in transactions {
                        let is_read = BinlogPosition::new(file(n), *end) > place;
                        prop_assert!(is_read || WallMillis::from_event_seconds(*time) < wanted);
                        prop_assert!(!is_read || WallMillis::from_event_seconds(*time) >= wanted);
                    }
                },
                Err(fault) => {
                    prop_assert_eq!(fault, SeekFault::TimeBeforeLog);
                    prop_assert!(WallMillis::from_event_seconds(log[0].0) >= wanted);
                }
            }
        }
    }
}
