//! A place to begin is safe before anything is given (I15): a crash before the first acknowledgement loses
//! nothing.

use std::time::Duration;

use crate::journal::{ClientRecord, DiskRecord, Oracle, Record, Violation};
use crate::oracle::broken;
use crate::oracle::stored::Stored;

/// Judges that canald knows where it began.
#[derive(Debug, Default)]
pub struct Started {
    is_safe: bool,
}

impl Oracle for Started {
    fn see(&mut self, _: Duration, record: &Record) -> Result<(), Violation> {
        match record {
            Record::Disk(
                DiskRecord::FolderSynced { holds, .. } | DiskRecord::PowerLost { holds },
            ) if !self.is_safe => {
                // A record that cannot be read is for the oracle of cursors.
                if let Ok(Some(stored)) = Stored::of(holds) {
                    let cursors = stored.clients.values().any(Option::is_some);
                    self.is_safe = stored.start.is_some() || cursors;
                }
                Ok(())
            }
            Record::Client(place, ClientRecord::Got { batch, .. }) if !self.is_safe => {
                let text = format!(
                    "client-{place} got batch {batch} while no place to begin was safe on the disk"
                );
                Err(broken("start", "I15", text))
            }
            Record::Source(_)
            | Record::Client(..)
            | Record::Daemon(_)
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
    use crate::oracle::testing::{got, judge, record_file, safe};

    #[test]
    fn an_entry_after_the_start_is_safe_passes() {
        let journal = [safe(&[]), got(0, 0, 1, &[])];
        assert_eq!(judge(&mut Started::default(), journal), None);
    }

    #[test]
    fn an_entry_before_the_start_is_safe_is_seen() {
        let nowhere = Record::Disk(DiskRecord::FolderSynced {
            folder: "data/example".into(),
            holds: vec![(
                "data/example/canald.meta".into(),
                record_file(1, None, &[(1, None)]).into(),
            )],
        });
        for early in [vec![], vec![nowhere]] {
            let journal = early.into_iter().chain([got(0, 0, 1, &[]), safe(&[])]);
            let violation = judge(&mut Started::default(), journal).unwrap();
            assert_eq!(violation.promise, "I15");
        }
    }
}
