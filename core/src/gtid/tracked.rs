//! A set that follows a stream and has its text at hand.

use alloc::string::{String, ToString};
use core::ops::Range;

use crate::gtid::{Gtid, MysqlGtidSet};

/// A MySQL GTID set and its text, which every entry of a transaction shows.
///
/// The usual next transaction continues the last interval of the server before: then only the digits of
/// one number change in the text. Everything else writes the text anew.
#[derive(Clone, Debug, Default)]
pub struct TrackedGtidSet {
    set: MysqlGtidSet,
    text: String,
    growing: Option<Growing>,
}

/// The interval that grew last, and where the text has its last number.
#[derive(Clone, Debug)]
struct Growing {
    last: Gtid,
    digits: Range<usize>,
}

impl TrackedGtidSet {
    /// Follows a stream from `set` on.
    #[must_use]
    pub fn new(set: MysqlGtidSet) -> Self {
        Self {
            text: set.to_string(),
            set,
            growing: None,
        }
    }

    /// Adds one transaction.
    ///
    /// # Panics
    /// Its number is not that of a GTID.
    pub fn add(&mut self, gtid: &Gtid) {
        self.set.add(gtid);
        if let Some(growing) = self
            .growing
            .as_mut()
            .filter(|growing| growing.continues_with(gtid))
        {
            let mut buffer = itoa::Buffer::new();
            let digits = buffer.format(gtid.number);
            self.text.replace_range(growing.digits.clone(), digits);
            growing.digits.end = growing.digits.start + digits.len();
            growing.last = *gtid;
        } else {
            self.text.clear();
            let digits = self.set.write_text(&mut self.text, gtid);
            self.growing = digits.map(|digits| Growing {
                last: *gtid,
                digits,
            });
        }
    }

    /// The set.
    #[must_use]
    pub const fn set(&self) -> &MysqlGtidSet {
        &self.set
    }

    /// Its text, as the set itself would print it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Growing {
    fn continues_with(&self, gtid: &Gtid) -> bool {
        let Gtid { uuid, tag, number } = self.last;
        (uuid, tag, number + 1) == (gtid.uuid, gtid.tag, gtid.number)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gtid::{GtidTag, ServerUuid};

    #[test]
    fn digits_change_in_place_and_may_become_more() {
        let uuid = "17026959-e61e-11f1-93b6-02fc00000001";
        let text = std::format!("{uuid}:1-8:tag:5,ff026959-e61e-11f1-93b6-02fc00000001:3");
        let mut tracked = TrackedGtidSet::new(text.parse().unwrap());
        assert_eq!(tracked.text(), text);
        for number in 9..=11 {
            tracked.add(&std::format!("{uuid}:{number}").parse().unwrap());
            assert_eq!(
                tracked.text(),
                text.replace("1-8", &std::format!("1-{number}"))
            );
        }
    }

    proptest! {
        #[test]
        fn the_text_is_always_the_sets(
            runs in proptest::collection::vec((0..3u8, 0..2u8, 1..40u64, 1..12u64), 0..20),
        ) {
            let mut tracked = TrackedGtidSet::default();
            for (server, tag, first, count) in runs {
                let tag = if tag == 0 { GtidTag::NONE } else { GtidTag::new(b"t").unwrap() };
                for number in first..first + count {
                    tracked.add(&Gtid { uuid: ServerUuid([server; 16]), tag, number });
                    prop_assert_eq!(tracked.text(), tracked.set().to_string());
                }
            }
        }
    }
}
