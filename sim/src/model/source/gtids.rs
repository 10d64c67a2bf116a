//! Sets of MySQL's GTIDs, as far as a source needs them: read, compared, written.

use std::collections::BTreeMap;
use std::fmt;

use super::log::uuid_text;

/// The servers of a set, and of each the numbers, as sorted ranges of first and last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GtidSet(BTreeMap<[u8; 16], Vec<(u64, u64)>>);

impl GtidSet {
    /// The numbers 1 to `last` of one server.
    pub(super) fn through(uuid: [u8; 16], last: u64) -> Self {
        let ranges = (last > 0).then(|| (uuid, vec![(1, last)]));
        Self(ranges.into_iter().collect())
    }

    /// Reads `UUID:1-5:7,UUID:1`; none if it is something else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut set = Self::default();
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let mut pieces = part.split(':');
            let uuid = parse_uuid(pieces.next()?)?;
            for piece in pieces {
                let (first, last) = piece.split_once('-').unwrap_or((piece, piece));
                set.add(uuid, (first.parse().ok()?, last.parse().ok()?))?;
            }
        }
        Some(set)
    }

    /// Reads the form of COM_BINLOG_DUMP_GTID without tags; none if it is something else.
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut set = Self::default();
        for _ in 0..take(&mut bytes).map(u64::from_le_bytes)? {
            let uuid = take(&mut bytes)?;
            for _ in 0..take(&mut bytes).map(u64::from_le_bytes)? {
                let first = take(&mut bytes).map(u64::from_le_bytes)?;
                let end = take(&mut bytes).map(u64::from_le_bytes)?;
                set.add(uuid, (first, end.checked_sub(1)?))?;
            }
        }
        bytes.is_empty().then_some(set)
    }

    /// None if the range is none, or not behind those that are there.
    fn add(&mut self, uuid: [u8; 16], (first, last): (u64, u64)) -> Option<()> {
        let ranges = self.0.entry(uuid).or_default();
        let after = ranges.last().map_or(0, |(_, last)| *last);
        (after < first && first <= last).then(|| ranges.push((first, last)))
    }

    /// Whether it has this GTID.
    pub(super) fn contains(&self, uuid: [u8; 16], number: u64) -> bool {
        let ranges = self.0.get(&uuid).map_or(&[][..], Vec::as_slice);
        ranges
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&number))
    }

    /// Whether it has any of a server.
    pub(super) fn contains_server(&self, uuid: [u8; 16]) -> bool {
        self.0.contains_key(&uuid)
    }

    /// What it has and `other` has not.
    pub(super) fn without(&self, other: &Self) -> Self {
        let mut left = Self::default();
        for (uuid, ranges) in &self.0 {
            let holes = other.0.get(uuid).map_or(&[][..], Vec::as_slice);
            let rest: Vec<_> = ranges.iter().flat_map(|range| cut(*range, holes)).collect();
            if !rest.is_empty() {
                left.0.insert(*uuid, rest);
            }
        }
        left
    }

    /// Whether nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What is left of a range without sorted `holes`.
fn cut((mut first, last): (u64, u64), holes: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut left = Vec::new();
    for &(from, to) in holes {
        if to < first || last < from {
            continue;
        }
        if first < from {
            left.push((first, from - 1));
        }
        first = to + 1;
    }
    if first <= last {
        left.push((first, last));
    }
    left
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (uuid, ranges)) in self.0.iter().enumerate() {
            // As the server does it: a line for each.
            let separator = if index == 0 { "" } else { ",\n" };
            write!(f, "{separator}{}", uuid_text(*uuid))?;
            for (first, last) in ranges {
                if first == last {
                    write!(f, ":{first}")?;
                } else {
                    write!(f, ":{first}-{last}")?;
                }
            }
        }
        Ok(())
    }
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let is_uuid = digits.len() == 32 && text.len() == 36;
    let number = is_uuid.then(|| u128::from_str_radix(&digits, 16).ok())??;
    Some(number.to_be_bytes())
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = bytes.split_first_chunk()?;
    *bytes = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: [u8; 16] = [7; 16];

    fn set(numbers: &str) -> GtidSet {
        GtidSet::parse(&format!("{}:{numbers}", uuid_text(UUID))).unwrap()
    }

    #[test]
    fn a_set_is_written_as_it_was_read() {
        let text = "07070707-0707-0707-0707-070707070707:1-5:7";
        assert_eq!(GtidSet::parse(text).unwrap().to_string(), text);
        assert!(GtidSet::parse("").unwrap().is_empty());
        assert_eq!(GtidSet::parse("0-1-2"), None);
        assert_eq!(GtidSet::parse("07070707:1"), None);
    }

    #[test]
    fn sets_are_subtracted() {
        assert_eq!(set("1-9").without(&set("1-3:5:8-20")), set("4:6-7"));
        assert!(set("2-3").without(&set("1-9")).is_empty());
        assert_eq!(set("1-3").without(&GtidSet::default()), set("1-3"));
    }

    #[test]
    fn the_form_of_the_command_has_exclusive_ends() {
        let mut bytes = 1_u64.to_le_bytes().to_vec();
        bytes.extend(UUID);
        for number in [1_u64, 1, 6] {
            bytes.extend(number.to_le_bytes());
        }
        let decoded = GtidSet::decode(&bytes).unwrap();
        assert_eq!(decoded, set("1-5"));
        assert!(decoded.contains(UUID, 5) && !decoded.contains(UUID, 6));
        assert_eq!(GtidSet::decode(&bytes[1..]), None);
    }
}
