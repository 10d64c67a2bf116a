//! A reader: the place of one client id in the ring.
//!
//! What it holds begins at its oldest open batch, or at its next entry if none is open: the ack cursor
//! of canal is not stored beside the get cursor but follows from the open batches, so the two cannot
//! disagree. States, and what moves a reader between them:
//!
//! | State | Holds slots | Next |
//! |---|---|---|
//! | `Holding` | yes | `Idle` when told so while another reader holds |
//! | `Idle` | no | `Holding` when it asks; `Behind` when a slot it needs is freed |
//! | `Behind` | no | `Returning` when it gets; `Holding` if an ack shows that it needs nothing freed |
//! | `Returning` | no | `Holding` when the source is read again |

use alloc::collections::VecDeque;

use crate::store::batch::{Skipped, Taken};
use crate::store::retained::Mark;
use crate::store::ring::Sequence;

/// Whether a reader holds its slots (`design.md` §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderState {
    /// Nothing that it has not acknowledged is freed.
    Holding,
    /// It has asked nothing for long: others may free what it needs. So far they have not.
    Idle,
    /// Something that it needs has been freed, and it has not asked for it.
    Behind,
    /// Something that it needs has been freed and it asks for it: the source must be read again.
    Returning,
}

/// A batch given and not acknowledged.
#[derive(Clone, Debug)]
struct Open {
    first: Sequence,
    end: Sequence,
    last: Mark,
}

/// One reader.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) state: ReaderState,
    /// The next sequence to look at.
    pub(super) get: Sequence,
    /// Entries at or before it are not given again, though the source is read again. None once passed.
    pub(super) had: Option<Mark>,
    /// What acknowledgement skipped since someone last asked.
    pub(super) skipped: Option<Skipped>,
    acked: Option<Mark>,
    open: VecDeque<Open>,
    /// Where it began to look, or began anew because the source is read again. Batches of before have no
    /// slots any more: their entries come again behind it.
    base: Sequence,
}

impl Reader {
    /// A reader that has had everything up to `had` and looks at `get` next.
    pub(super) fn new(state: ReaderState, get: Sequence, had: Option<Mark>) -> Self {
        Self {
            state,
            get,
            had: had.clone(),
            skipped: None,
            acked: had,
            open: VecDeque::new(),
            base: get,
        }
    }

    /// The last entry acknowledged, excluded ones included; none if nothing was.
    pub(super) const fn acked(&self) -> Option<&Mark> {
        self.acked.as_ref()
    }

    /// Batches given and not acknowledged.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// Where it began to look, or began anew.
    pub(super) const fn base(&self) -> Sequence {
        self.base
    }

    /// The oldest sequence that it needs.
    pub(super) fn needs_from(&self) -> Sequence {
        self.open
            .front()
            .map_or(self.get, |open| open.first)
            .max(self.base)
    }

    /// Notes that `taken`, whose last entry stands at `last`, is given.
    pub(super) fn give(&mut self, taken: &Taken, last: Mark) {
        self.open.push_back(Open {
            first: taken.first,
            end: taken.end,
            last,
        });
    }

    /// Confirms the oldest open batch, and says from where on slots may count as acknowledged with it.
    ///
    /// # Panics
    /// If it does not end at `end`: the ledger checks acks before anything moves.
    pub(super) fn confirm(&mut self, end: Sequence) -> Sequence {
        let oldest = self.open.pop_front();
        let Some(oldest) = oldest.filter(|open| open.end == end) else {
            panic!(
                "the oldest open batch does not end at {end}: check the ack in the ledger first"
            );
        };
        self.skipped = None;
        self.reach(oldest.last);
        end.max(self.base)
    }

    /// Notes that everything up to `mark` is acknowledged.
    pub(super) fn reach(&mut self, mark: Mark) {
        self.acked = self.acked.take().max(Some(mark));
    }

    /// Takes back every batch from the one that begins at `to` on.
    ///
    /// # Panics
    /// If no open batch begins there.
    pub(super) fn take_back(&mut self, to: Sequence) {
        assert!(
            self.open.iter().any(|open| open.first == to),
            "no open batch begins at {to}: check the rollback in the ledger first"
        );
        while self.open.back().is_some_and(|open| open.first >= to) {
            self.open.pop_back();
        }
        self.get = to.max(self.base);
        self.had = self.given().cloned();
    }

    /// Begins anew at `at`, where the entries after the last acknowledged will come again.
    pub(super) fn restart(&mut self, at: Sequence) {
        self.get = at;
        self.base = at;
        self.had = self.given().cloned();
    }

    /// The last entry that it has been given and has not given back.
    fn given(&self) -> Option<&Mark> {
        self.open
            .back()
            .map(|open| &open.last)
            .or(self.acked.as_ref())
    }
}
