//! Who a client is: a destination and a number (wire-protocol reference §8.1).

use alloc::sync::Arc;
use core::fmt;

/// The name of a destination: one configured stream; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination(Arc<str>);

impl Destination {
    /// The destination called `name`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number by which a client of a destination is known; canal's own clients use 1001.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub i16);

impl ClientId {
    /// The first id of temporary readers (`design.md` §4): never stored, gone with their connection.
    pub const TEMPORARY_FIRST: i16 = 32_000;

    /// Whether it is a temporary reader.
    #[must_use]
    pub const fn is_temporary(self) -> bool {
        self.0 >= Self::TEMPORARY_FIRST
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
