//! From binlog events to segments of entries.
//!
//! `split` is the serial stage: it follows positions, tables and transactions, and emits items.
//! `decode` is a pure function from a job of items to a segment. `plan` is what makes it fast.

pub mod decode;
pub mod fault;
pub mod gtids;
pub mod horizon;
pub mod job;
pub mod lookahead;
pub mod plan;
mod rows;
pub mod selection;
pub mod split;
mod statement;
pub mod tables;
#[cfg(test)]
pub(crate) mod testing;
pub mod transaction;
pub mod window;
