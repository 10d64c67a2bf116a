//! What is remembered about clients: who they are, what they hold unacknowledged, where they stand.

pub mod cursor;
pub mod java;
pub mod json;
pub mod ledger;
pub mod nodes;
pub mod record;

pub use crate::identity;

#[cfg(test)]
pub(crate) mod testing;
