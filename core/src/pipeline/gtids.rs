//! Which transactions the stream has passed, where GTIDs are tracked.
//!
//! Between groups the set holds every transaction passed; inside one it does not hold the one in
//! progress (binlog-parser reference §6.5: canal stores a set that does, and loses the rest of the
//! transaction on a restart).

use alloc::string::{String, ToString};
use alloc::sync::Arc;

use crate::gtid::{Gtid, GtidSet};
use crate::pipeline::job::GtidStamp;
use crate::position::BinlogPosition;
use crate::store::segment::Resume;

/// The set of transactions passed, or nothing where GTIDs are not tracked.
#[derive(Clone, Debug, Default)]
pub struct GtidTracker {
    passed: Option<Passed>,
}

#[derive(Clone, Debug)]
struct Passed {
    set: GtidSet,
    text: Arc<str>,
    in_progress: Option<(Gtid, Arc<str>)>,
}

impl GtidTracker {
    /// GTIDs are not tracked: entries carry none.
    #[must_use]
    pub const fn off() -> Self {
        Self { passed: None }
    }

    /// Every transaction of `set` has been passed.
    #[must_use]
    pub fn after(set: GtidSet) -> Self {
        let text = set.to_string().into();
        Self { passed: Some(Passed { set, text, in_progress: None }) }
    }

    /// Whether GTIDs are tracked.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.passed.is_some()
    }

    /// The transactions passed.
    #[must_use]
    pub fn set(&self) -> Option<&GtidSet> {
        self.passed.as_ref().map(|passed| &passed.set)
    }

    /// The transaction `gtid` begins; what its entries show. None where GTIDs are not tracked.
    pub fn begin(
        &mut self,
        gtid: Gtid,
        sequence_number: Option<i64>,
        last_committed: Option<i64>,
    ) -> Option<Arc<GtidStamp>> {
        let passed = self.passed.as_mut()?;
        let mut with = passed.set.clone();
        with.add(&gtid);
        let text: Arc<str> = with.to_string().into();
        let current = match &gtid {
            Gtid::Mysql { .. } => Some(gtid.to_string()),
            Gtid::Mariadb { .. } => None,
        };
        passed.in_progress = Some((gtid, text.clone()));
        let set = String::from(&*text);
        Some(Arc::new(GtidStamp { set, current, sequence_number, last_committed }))
    }

    /// The transaction in progress is over.
    pub fn commit(&mut self) {
        if let Some(passed) = &mut self.passed
            && let Some((gtid, text)) = passed.in_progress.take()
        {
            passed.set.add(&gtid);
            passed.text = text;
        }
    }

    /// Where reading begins again for a group that starts at `boundary`.
    #[must_use]
    pub fn resume(&self, boundary: BinlogPosition) -> Resume {
        let (before, with) = match &self.passed {
            None => (None, None),
            Some(passed) => {
                let with = passed.in_progress.as_ref().map(|(_, text)| text.clone());
                (Some(passed.text.clone()), with.or_else(|| Some(passed.text.clone())))
            }
        };
        Resume { boundary, gtid_before: before, gtid_with: with }
    }
}
