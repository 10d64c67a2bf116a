//! Stands in for the crate of the same name, which seeds its hashers with addresses: the order of
//! zookeeper-client's maps decides in which order watches are set again and waiters are told, so it must be
//! the same in each run.

use std::hash::{BuildHasherDefault, DefaultHasher};

/// A hasher, the same for all maps.
pub type RandomState = BuildHasherDefault<DefaultHasher>;
