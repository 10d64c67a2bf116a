//! MySQL's GTID sets: intervals of numbers per server and tag.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use core::str::FromStr;

use crate::gtid::{Gtid, GtidError, GtidProblem, GtidTag, ServerUuid};
use crate::read::{ReadError, Reader};

/// The greatest number of a GTID.
pub const GTID_NUMBER_MAX: u64 = i64::MAX as u64 - 1;

/// A set of GTIDs, MySQL, ordered by server, then tag.
///
/// The text form is the server's: `uuid:1-40:42:tag:1-2,uuid:7`, white space allowed around commas and
/// colons. The wire form is that of COM_BINLOG_DUMP_GTID and PREVIOUS_GTIDS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MysqlGtidSet {
    /// No member is without intervals.
    members: BTreeMap<(ServerUuid, GtidTag), Intervals>,
}

impl MysqlGtidSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            members: BTreeMap::new(),
        }
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Adds one transaction.
    ///
    /// # Panics
    /// Its number is not from 1 to [`GTID_NUMBER_MAX`].
    pub fn add(&mut self, gtid: &Gtid) {
        assert!(
            (1..=GTID_NUMBER_MAX).contains(&gtid.number),
            "{gtid} is no GTID"
        );
        let member = self.members.entry((gtid.uuid, gtid.tag)).or_default();
        member.add(gtid.number..gtid.number + 1);
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (&key, intervals) in &other.members {
            let member = self.members.entry(key).or_default();
            for interval in &intervals.0 {
                member.add(interval.clone());
            }
        }
    }

    /// What is in `self` and not in `other`.
    #[must_use]
    pub fn subtract(&self, other: &Self) -> Self {
        let mut members = BTreeMap::new();
        for (key, intervals) in &self.members {
            let rest = match other.members.get(key) {
                Some(taken) => intervals.subtract(taken),
                None => intervals.clone(),
            };
            if !rest.0.is_empty() {
                members.insert(*key, rest);
            }
        }
        Self { members }
    }

    /// Whether it holds `gtid`.
    #[must_use]
    pub fn contains(&self, gtid: &Gtid) -> bool {
        self.members
            .get(&(gtid.uuid, gtid.tag))
            .is_some_and(|intervals| intervals.contains(gtid.number))
    }

    /// Whether all of it is in `other`.
    #[must_use]
    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.members.iter().all(|(key, intervals)| {
            other
                .members
                .get(key)
                .is_some_and(|theirs| intervals.is_subset_of(theirs))
        })
    }

    /// Whether any GTID has a tag: then its wire form is one that servers before 8.3 do not know.
    #[must_use]
    pub fn has_tags(&self) -> bool {
        self.members.keys().any(|(_, tag)| !tag.is_none())
    }

    /// The wire form: the old one unless there are tags (binlog-parser reference §1.10).
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let has_tags = self.has_tags();
        let count = self.members.len() as u64;
        let head = if has_tags {
            TAGGED_HIGH | count << 8 | TAGGED_LOW
        } else {
            count
        };
        let mut out = Vec::from(head.to_le_bytes());
        for ((uuid, tag), intervals) in &self.members {
            out.extend(uuid.0);
            if has_tags {
                let tag = tag.as_str().as_bytes();
                // the server's variable-length integer, of one byte for lengths up to 63
                out.push((tag.len() as u8) << 1);
                out.extend(tag);
            }
            out.extend((intervals.0.len() as u64).to_le_bytes());
            for interval in &intervals.0 {
                out.extend(interval.start.to_le_bytes());
                out.extend(interval.end.to_le_bytes());
            }
        }
        out
    }

    /// Reads the wire form, of either kind.
    ///
    /// # Errors
    /// It is cut off, or its intervals are empty, overlap, or are not in order.
    pub fn decode(bytes: &[u8]) -> Result<Self, ReadError> {
        let mut r = Reader::new(bytes);
        let head = r.u64("GTID set header")?;
        let has_tags = match head >> 56 {
            0 => false,
            1 => true,
            _ => return Err(r.invalid("GTID set header", "is of an unknown format")),
        };
        let count = if has_tags { head << 8 >> 16 } else { head };
        let mut set = Self::new();
        for _ in 0..count {
            let uuid = ServerUuid(r.array("server UUID")?);
            let tag = if has_tags {
                read_tag(&mut r)?
            } else {
                GtidTag::NONE
            };
            let intervals = Intervals::decode(&mut r)?;
            if intervals.0.is_empty() {
                continue;
            }
            if set.members.insert((uuid, tag), intervals).is_some() {
                return Err(r.invalid("server UUID", "occurs twice"));
            }
        }
        Ok(set)
    }

    /// The one GTID that it holds; none if there are none or several.
    pub(super) fn single(&self) -> Option<Gtid> {
        let (&(uuid, tag), intervals) = self.members.first_key_value()?;
        let [only] = intervals.0.as_slice() else {
            return None;
        };
        (self.members.len() == 1 && only.end - only.start == 1).then_some(Gtid {
            uuid,
            tag,
            number: only.start,
        })
    }

    /// Writes its text to the end of `out`. Gives where the number of `grown` stands if that is the upper
    /// end of the last interval of its server and tag, so that the next number would replace it.
    pub(super) fn write_text(&self, out: &mut String, grown: &Gtid) -> Option<Range<usize>> {
        let mut before = None;
        let mut digits = None;
        for (key, intervals) in &self.members {
            write_member(out, before, key, intervals).expect("strings take everything");
            before = Some(key.0);
            let can_grow = intervals
                .0
                .last()
                .is_some_and(|last| last.end == grown.number + 1 && last.start < grown.number);
            if *key == (grown.uuid, grown.tag) && can_grow {
                let count = grown.number.ilog10() as usize + 1;
                digits = Some(out.len() - count..out.len());
            }
        }
        digits
    }

    /// Adds the intervals of one server, `text` beginning with its UUID.
    fn add_text(&mut self, text: &str) -> Result<(), GtidError> {
        let mut parts = text.split(':').map(str::trim);
        let uuid: ServerUuid = parts.next().unwrap_or_default().parse()?;
        let mut tag = GtidTag::NONE;
        let mut lacks_interval = true;
        for part in parts {
            let is_interval = part.starts_with(|c: char| c.is_ascii_digit());
            if !is_interval {
                if lacks_interval && !tag.is_none() {
                    break;
                }
                tag = GtidTag::new(part.as_bytes())
                    .ok_or_else(|| GtidError::new(part, GtidProblem::Tag))?;
                lacks_interval = true;
                continue;
            }
            lacks_interval = false;
            // canal adds `…:0` to its set at every anonymous transaction: it means nothing
            if part == "0" && uuid == ServerUuid::NIL {
                continue;
            }
            let interval =
                parse_interval(part).ok_or_else(|| GtidError::new(part, GtidProblem::Interval))?;
            self.members.entry((uuid, tag)).or_default().add(interval);
        }
        if lacks_interval {
            Err(GtidError::new(text, GtidProblem::NoInterval))
        } else {
            Ok(())
        }
    }
}

impl FromStr for MysqlGtidSet {
    type Err = GtidError;

    fn from_str(text: &str) -> Result<Self, GtidError> {
        let mut set = Self::new();
        for server in text
            .split(',')
            .map(str::trim)
            .filter(|server| !server.is_empty())
        {
            set.add_text(server)?;
        }
        Ok(set)
    }
}

impl fmt::Display for MysqlGtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = None;
        for (key, intervals) in &self.members {
            write_member(f, before, key, intervals)?;
            before = Some(key.0);
        }
        Ok(())
    }
}

/// Writes one member after that of server `before`: tags of one server follow its UUID.
fn write_member(
    out: &mut impl fmt::Write,
    before: Option<ServerUuid>,
    (uuid, tag): &(ServerUuid, GtidTag),
    intervals: &Intervals,
) -> fmt::Result {
    if before != Some(*uuid) {
        let comma = if before.is_some() { "," } else { "" };
        write!(out, "{comma}{uuid}")?;
    }
    if !tag.is_none() {
        write!(out, ":{}", tag.as_str())?;
    }
    for interval in &intervals.0 {
        let last = interval.end - 1;
        if interval.start == last {
            write!(out, ":{last}")?;
        } else {
            write!(out, ":{}-{last}", interval.start)?;
        }
    }
    Ok(())
}

/// `7` or `1-40`.
fn parse_interval(text: &str) -> Option<Range<u64>> {
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (first.trim_end(), last.trim_start()),
        None => (text, text),
    };
    let first: u64 = first.parse().ok()?;
    let last: u64 = last.parse().ok()?;
    (1 <= first && first <= last && last <= GTID_NUMBER_MAX).then(|| first..last + 1)
}

fn read_tag(r: &mut Reader<'_>) -> Result<GtidTag, ReadError> {
    let length = r.u8("tag length")?;
    if length & 1 != 0 {
        return Err(r.invalid("tag length", "is beyond 63"));
    }
    if length == 0 {
        return Ok(GtidTag::NONE);
    }
    let text = r.bytes(usize::from(length >> 1), "tag")?;
    GtidTag::new(text).ok_or_else(|| r.invalid("tag", "is not a tag"))
}

/// In the header of the wire form with tags: the format, both in the highest byte, where the old form
/// has zeros, and in the lowest.
const TAGGED_HIGH: u64 = 1 << 56;
const TAGGED_LOW: u64 = 1;

/// Half-open intervals of numbers, in order; between any two lies a number that is in neither.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Intervals(Vec<Range<u64>>);

impl Intervals {
    fn add(&mut self, new: Range<u64>) {
        debug_assert!(new.start < new.end, "an interval holds something");
        // a stream appends: no search for what continues or follows the last interval
        match self.0.last_mut() {
            None => self.0.push(new),
            Some(last) if last.end == new.start => last.end = new.end,
            Some(last) if last.end < new.start => self.0.push(new),
            Some(_) => self.insert(new),
        }
    }

    fn insert(&mut self, new: Range<u64>) {
        let from = self.0.partition_point(|interval| interval.end < new.start);
        let to = self.0.partition_point(|interval| interval.start <= new.end);
        let merged = self.0[from..to].iter().fold(new, |all, interval| {
            all.start.min(interval.start)..all.end.max(interval.end)
        });
        self.0.splice(from..to, [merged]);
    }

    fn contains(&self, number: u64) -> bool {
        let after = self.0.partition_point(|interval| interval.start <= number);
        after
            .checked_sub(1)
            .is_some_and(|index| number < self.0[index].end)
    }

    fn is_subset_of(&self, other: &Self) -> bool {
        self.0.iter().all(|ours| {
            let after = other.0.partition_point(|theirs| theirs.start <= ours.start);
            after
                .checked_sub(1)
                .is_some_and(|index| ours.end <= other.0[index].end)
        })
    }

    fn subtract(&self, other: &Self) -> Self {
        let mut rest = Vec::new();
        let mut taken = other.0.iter().peekable();
        for ours in &self.0 {
            let mut start = ours.start;
            while let Some(next) = taken.peek().filter(|next| next.start < ours.end) {
                if start < next.start {
                    rest.push(start..next.start);
                }
                start = start.max(next.end);
                if next.end > ours.end {
                    break;
                }
                taken.next();
            }
            if start < ours.end {
                rest.push(start..ours.end);
            }
        }
        Self(rest)
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, ReadError> {
        let mut intervals = Self::default();
        let mut end_before = 0;
        for _ in 0..r.u64("interval count")? {
            let (start, end) = (r.u64("interval start")?, r.u64("interval end")?);
            if start <= end_before || end <= start || end > GTID_NUMBER_MAX + 1 {
                return Err(r.invalid("interval", "is empty, out of range or out of order"));
            }
            intervals.0.push(start..end);
            end_before = end;
        }
        Ok(intervals)
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use std::string::ToString;
    use std::{format, vec};

    use proptest::prelude::*;

    use super::*;

    const A: &str = "17026959-e61e-11f1-93b6-02fc00000001";
    const B: &str = "af121e47-1111-2222-3333-d6c0a848da91";

    fn set(text: &str) -> MysqlGtidSet {
        text.parse().unwrap()
    }

    #[test]
    fn text_with_tags_white_space_and_several_servers() {
        let text = format!("{B}:7 : 9-10,\n{A}:1-863:Tag_UTY:1-2:_x:5,,");
        let expected = format!("{A}:1-863:_x:5:tag_uty:1-2,{B}:7:9-10");
        assert_eq!(set(&text).to_string(), expected);
        assert_eq!(set(&expected), set(&text));
        assert!(set("").is_empty());
        assert!(set(" \n ").is_empty());
        assert_eq!(set(&format!("{A}:3:1-2")).to_string(), format!("{A}:1-3"));
    }

    #[test]
    fn wrong_text_is_named() {
        let problem = |text: &str| text.parse::<MysqlGtidSet>().unwrap_err().problem;
        assert_eq!(problem(A), GtidProblem::NoInterval);
        assert_eq!(problem(&format!("{A}:tag")), GtidProblem::NoInterval);
        assert_eq!(
            problem(&format!("{A}:tag:other:1")),
            GtidProblem::NoInterval
        );
        assert_eq!(problem(&format!("{A}:0")), GtidProblem::Interval);
        assert_eq!(problem(&format!("{A}:5-4")), GtidProblem::Interval);
        assert_eq!(
            problem(&format!("{A}:1-9223372036854775807")),
            GtidProblem::Interval
        );
        assert_eq!(problem(&format!("{A}:-4")), GtidProblem::Tag);
        assert_eq!(problem("0-1-100"), GtidProblem::Uuid);
        let error = "0-1-100".parse::<MysqlGtidSet>().unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("`0-1-100`: not a server UUID")
        );
    }

    #[test]
    fn canals_mark_of_anonymous_transactions_means_nothing() {
        let nil = "00000000-0000-0000-0000-000000000000:0";
        assert_eq!(set(&format!("{nil},{A}:1-5")), set(&format!("{A}:1-5")));
    }

    #[test]
    fn an_interval_inside_another_changes_nothing() {
        // canal's arithmetic makes 1-5 of this
        let mut whole = set(&format!("{A}:1-10"));
        whole.add(&format!("{A}:5").parse().unwrap());
        assert_eq!(whole.to_string(), format!("{A}:1-10"));
    }

    #[test]
    fn tags_are_sets_of_their_own() {
        let tagged = set(&format!("{A}:tag:1-5"));
        assert!(!tagged.is_subset_of(&set(&format!("{A}:1-5"))));
        assert!(tagged.is_subset_of(&set(&format!("{A}:1-5:tag:1-9"))));
        assert!(tagged.has_tags());
        assert!(!set(&format!("{A}:1-5")).has_tags());
    }

    /// The body of a PREVIOUS_GTIDS event of MySQL 9.7.
    const PREVIOUS_GTIDS: &str = "010400000000000117026959e61e11f193b602fc00000001\
        0001000000000000000100000000000000600300000000000017026959e61e11f193b602fc00000001\
        0e7461675f75747901000000000000000100000000000000030000000000000\
        0af121e47111122223333d6c0a848da9100010000000000000005000000000000000700000000000000\
        af121e47111122223333d6c0a848da91067574790100000000000000010000000000000002000000\
        00000000";

    fn unhex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn the_wire_form_with_tags_is_the_servers() {
        let bytes = unhex(PREVIOUS_GTIDS);
        let decoded = MysqlGtidSet::decode(&bytes).unwrap();
        assert_eq!(
            decoded,
            set(&format!("{A}:1-863:tag_uty:1-2,{B}:5-6:uty:1"))
        );
        assert_eq!(decoded.encode(), bytes);
    }

    #[test]
    fn the_wire_form_without_tags_is_the_old_one() {
        let encoded = set(&format!("{A}:1-220")).encode();
        let expected = "010000000000000017026959e61e11f193b602fc00000001\
            01000000000000000100000000000000dd00000000000000";
        assert_eq!(encoded, unhex(expected));
        assert_eq!(MysqlGtidSet::new().encode(), vec![0; 8]);
        assert!(MysqlGtidSet::decode(&[0; 8]).unwrap().is_empty());
    }

    #[test]
    fn a_damaged_wire_form_is_refused() {
        let bytes = unhex(PREVIOUS_GTIDS);
        for cut in 0..bytes.len() {
            assert!(MysqlGtidSet::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let mut wrong = bytes;
        wrong[7] = 2;
        assert_eq!(
            MysqlGtidSet::decode(&wrong).unwrap_err().field,
            "GTID set header"
        );
        wrong[7] = 1;
        wrong[33..41].fill(0);
        assert_eq!(MysqlGtidSet::decode(&wrong).unwrap_err().field, "interval");
    }

    /// A naive set over few servers, tags and numbers, and the same as text of shuffled parts.
    fn naive() -> impl Strategy<Value = BTreeSet<(u8, u8, u64)>> {
        proptest::collection::btree_set((0..2u8, 0..3u8, 1..30u64), 0..40)
    }

    fn gtid(&(server, tag, number): &(u8, u8, u64)) -> Gtid {
        let tag = [
            GtidTag::NONE,
            GtidTag::new(b"a").unwrap(),
            GtidTag::new(b"b").unwrap(),
        ][usize::from(tag)];
        Gtid {
            uuid: ServerUuid([server; 16]),
            tag,
            number,
        }
    }

    fn built<'a>(naive: impl IntoIterator<Item = &'a (u8, u8, u64)>) -> MysqlGtidSet {
        let mut set = MysqlGtidSet::new();
        naive.into_iter().for_each(|item| set.add(&gtid(item)));
        set
    }

    proptest! {
        #[test]
        fn sets_do_as_naive_sets_do(a in naive(), b in naive()) {
            let (set_a, set_b) = (built(&a), built(a.iter().rev()));
            prop_assert_eq!(&set_a, &set_b, "the order of adding does not matter");
            let set_b = built(&b);
            prop_assert_eq!(set_a.is_subset_of(&set_b), a.is_subset(&b));
            prop_assert_eq!(set_a.subtract(&set_b), built(a.difference(&b)));
            let mut union = set_a.clone();
            union.merge(&set_b);
            prop_assert_eq!(&union, &built(a.union(&b)));
            for item in a.union(&b) {
                prop_assert_eq!(set_a.contains(&gtid(item)), a.contains(item));
            }
            prop_assert_eq!(&set(&union.to_string()), &union);
            prop_assert_eq!(&MysqlGtidSet::decode(&union.encode()).unwrap(), &union);
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = MysqlGtidSet::decode(&bytes);
        }

        #[test]
        fn no_text_makes_parsing_panic(text in "[0-9a-f:, _-]{0,60}") {
            let _ = text.parse::<MysqlGtidSet>();
        }
    }
}
