//! From binlog events to segments of entries.
//!
//! `split` is the serial stage: it follows positions, tables and transactions, and emits items.
//! `decode` is a pure function from a job of items to a segment. `plan` is what makes it fast.

pub mod decode;
pub mod job;
pub mod plan;
