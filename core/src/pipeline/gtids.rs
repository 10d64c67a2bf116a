//! Which transactions the stream has passed, where GTIDs are tracked.
//!
//! Two texts are at hand: the set without the transaction in progress, which a resume needs, and the
//! set with it, which entries show. Canal stores the second as its cursor and loses the rest of a
//! transaction on a restart (binlog-parser reference §6.5).

use alloc::string::{String, ToString};
use alloc::sync::Arc;

use crate::gtid::{Gtid, GtidSet, MariadbGtid, MariadbGtidSet, TrackedGtidSet};
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
    set: Followed,
    before: Arc<str>,
    with: Arc<str>,
}

#[derive(Clone, Debug)]
enum Followed {
    Mysql(TrackedGtidSet),
    Mariadb(MariadbGtidSet),
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
        let text: Arc<str> = set.to_string().into();
        let set = match set {
            GtidSet::Mysql(set) => Followed::Mysql(TrackedGtidSet::new(set)),
            GtidSet::Mariadb(set) => Followed::Mariadb(set),
        };
        Self {
            passed: Some(Passed {
                set,
                before: text.clone(),
                with: text,
            }),
        }
    }

    /// The transactions passed, as text; none where GTIDs are not tracked.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.passed.as_ref().map(|passed| &*passed.before)
    }

    /// A MySQL transaction begins; what its entries show.
    pub fn begin_mysql(
        &mut self,
        gtid: &Gtid,
        sequence_number: Option<i64>,
        last_committed: Option<i64>,
    ) -> Option<Arc<GtidStamp>> {
        let passed = self.passed.as_mut()?;
        let Followed::Mysql(set) = &mut passed.set else {
            return None;
        };
        set.add(gtid);
        passed.with = set.text().into();
        Some(Arc::new(GtidStamp {
            set: String::from(set.text()),
            current: Some(gtid.to_string()),
            sequence_number,
            last_committed,
        }))
    }

    /// A MariaDB group begins; what its entries show.
    pub fn begin_mariadb(&mut self, gtid: MariadbGtid) -> Option<Arc<GtidStamp>> {
        let passed = self.passed.as_mut()?;
        let Followed::Mariadb(set) = &mut passed.set else {
            return None;
        };
        set.add(gtid);
        let set = set.to_string();
        passed.with = set.as_str().into();
        Some(Arc::new(GtidStamp {
            set,
            current: None,
            sequence_number: None,
            last_committed: None,
        }))
    }

    /// The transaction in progress is over.
    pub fn commit(&mut self) {
        if let Some(passed) = &mut self.passed {
            passed.before = passed.with.clone();
        }
    }

    /// Where reading begins again for a group that starts at `boundary`.
    #[must_use]
    pub fn resume(&self, boundary: BinlogPosition) -> Resume {
        let texts = self
            .passed
            .as_ref()
            .map(|p| (p.before.clone(), p.with.clone()));
        let (gtid_before, gtid_with) = texts.unzip();
        Resume {
            boundary,
            gtid_before,
            gtid_with,
        }
    }
}
