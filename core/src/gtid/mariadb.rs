//! MariaDB's GTIDs: the last one of each domain says what is done.

use alloc::collections::BTreeMap;
use core::fmt;
use core::str::FromStr;

use crate::gtid::{GtidError, GtidProblem};

/// The GTID of a transaction, MariaDB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MariadbGtid {
    /// The domain: a stream of transactions with an order of its own.
    pub domain: u32,
    /// The server of origin.
    pub server: u32,
    /// Its number in the domain.
    pub sequence: u64,
}

impl fmt::Display for MariadbGtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server, self.sequence)
    }
}

impl FromStr for MariadbGtid {
    type Err = GtidError;

    fn from_str(text: &str) -> Result<Self, GtidError> {
        let parse = || {
            let mut parts = text.trim().splitn(3, '-');
            let domain = parts.next()?.parse().ok()?;
            let server = parts.next()?.parse().ok()?;
            let sequence = parts.next()?.parse().ok()?;
            Some(Self {
                domain,
                server,
                sequence,
            })
        };
        parse().ok_or_else(|| GtidError::new(text, GtidProblem::Mariadb))
    }
}

/// A position in all domains, MariaDB: the last GTID of each, ordered by domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MariadbGtidSet {
    domains: BTreeMap<u32, MariadbGtid>,
}

impl MariadbGtidSet {
    /// Before everything.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            domains: BTreeMap::new(),
        }
    }

    /// Whether it is before everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.domains.is_empty()
    }

    /// Moves its domain to `gtid`, whatever was there: the order in a domain is that of the log.
    pub fn add(&mut self, gtid: MariadbGtid) {
        self.domains.insert(gtid.domain, gtid);
    }

    /// Moves its domain to `gtid` unless it has a place there: what GTID_LIST is good for.
    pub fn add_if_absent(&mut self, gtid: MariadbGtid) {
        self.domains.entry(gtid.domain).or_insert(gtid);
    }

    /// The last GTID of a domain.
    #[must_use]
    pub fn last(&self, domain: u32) -> Option<MariadbGtid> {
        self.domains.get(&domain).copied()
    }

    /// The last GTIDs, ordered by domain.
    pub fn iter(&self) -> impl Iterator<Item = MariadbGtid> + '_ {
        self.domains.values().copied()
    }

    /// Whether `gtid` is done, if the domain's sequence never went back.
    #[must_use]
    pub fn contains(&self, gtid: &MariadbGtid) -> bool {
        self.domains
            .get(&gtid.domain)
            .is_some_and(|last| gtid.sequence <= last.sequence)
    }

    /// Whether all that is done here is done there, if no domain's sequence ever went back.
    #[must_use]
    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.domains.values().all(|last| other.contains(last))
    }
}

impl FromStr for MariadbGtidSet {
    type Err = GtidError;

    fn from_str(text: &str) -> Result<Self, GtidError> {
        let mut set = Self::new();
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let gtid: MariadbGtid = part.parse()?;
            if set.domains.insert(gtid.domain, gtid).is_some() {
                return Err(GtidError::new(part, GtidProblem::DomainTwice));
            }
        }
        Ok(set)
    }
}

impl fmt::Display for MariadbGtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for gtid in self.domains.values() {
            write!(f, "{comma}{gtid}")?;
            comma = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn a_position_has_one_gtid_per_domain() {
        let mut set: MariadbGtidSet = " 5-1-1,\n0-1011-35".parse().unwrap();
        assert_eq!(set.to_string(), "0-1011-35,5-1-1");
        set.add(MariadbGtid {
            domain: 0,
            server: 7,
            sequence: 36,
        });
        set.add_if_absent(MariadbGtid {
            domain: 5,
            server: 9,
            sequence: 9,
        });
        set.add_if_absent(MariadbGtid {
            domain: 6,
            server: 9,
            sequence: 9,
        });
        assert_eq!(set.to_string(), "0-7-36,5-1-1,6-9-9");
        assert_eq!(set.last(0).unwrap().server, 7);
        assert!(set.contains(&"0-1011-20".parse().unwrap()));
        assert!(!set.contains(&"0-7-37".parse().unwrap()));
        assert!(!set.contains(&"1-7-1".parse().unwrap()));
        assert!(
            "0-1-5"
                .parse::<MariadbGtidSet>()
                .unwrap()
                .is_subset_of(&set)
        );
        assert!(!set.is_subset_of(&"0-1-50".parse().unwrap()));
        assert_eq!(set.iter().count(), 3);
        assert!("".parse::<MariadbGtidSet>().unwrap().is_empty());
    }

    #[test]
    fn wrong_text_is_named() {
        for text in [
            "0-1",
            "0-1-x",
            "0-1-1-1",
            "4294967296-1-1",
            "uuid:1-5",
            "-1-1-1",
        ] {
            let error = text.parse::<MariadbGtidSet>().unwrap_err();
            assert_eq!(
                (error.text.as_str(), error.problem),
                (text, GtidProblem::Mariadb)
            );
        }
        let error = "0-1-1,0-2-2".parse::<MariadbGtidSet>().unwrap_err();
        assert_eq!(
            (error.text.as_str(), error.problem),
            ("0-2-2", GtidProblem::DomainTwice)
        );
    }
}
