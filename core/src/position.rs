//! Places in a binlog.
//!
//! A position is a file and **our own** 64-bit running offset (binlog-parser reference §1.16): the
//! offset field of an event wraps at 4 GiB and is zero in many events, so it is never used as it stands.

use alloc::sync::Arc;
use core::cmp::Ordering;
use core::fmt;

/// The name of a binlog file, such as `mysql-bin.000007`; cheap to clone.
///
/// Ordered by base name, then by the *number* of its suffix: `x.1000000` is after `x.999999`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BinlogFile(Arc<str>);

impl BinlogFile {
    /// The file called `name`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Base name and number: `mysql-bin` and 7. A name without a number has none.
    #[must_use]
    pub fn parts(&self) -> (&str, Option<u64>) {
        match self.0.rsplit_once('.') {
            Some((base, number)) if !number.is_empty() => match number.parse() {
                Ok(n) => (base, Some(n)),
                Err(_) => (&self.0, None),
            },
            _ => (&self.0, None),
        }
    }
}

impl PartialOrd for BinlogFile {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for BinlogFile {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.0, &other.0) {
            return Ordering::Equal;
        }
        self.parts()
            .cmp(&other.parts())
            .then_with(|| self.0.cmp(&other.0))
    }
}

impl fmt::Display for BinlogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in the binlog of one server: a file and bytes from its start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BinlogPosition {
    /// The file.
    pub file: BinlogFile,
    /// Bytes from the start of the file.
    pub offset: u64,
}

impl BinlogPosition {
    /// The offset of the first event of every file: the four bytes of magic come before it.
    pub const FIRST_EVENT: u64 = 4;

    /// The place `offset` bytes into `file`.
    #[must_use]
    pub const fn new(file: BinlogFile, offset: u64) -> Self {
        Self { file, offset }
    }
}

impl fmt::Display for BinlogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_ordered_by_number_and_not_as_text() {
        let (a, b) = (
            BinlogFile::new("bin.999999"),
            BinlogFile::new("bin.1000000"),
        );
        assert!(a < b);
        assert_eq!(a.parts(), ("bin", Some(999_999)));
        assert_eq!(BinlogFile::new("plain").parts(), ("plain", None));
    }
}
