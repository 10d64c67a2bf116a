//! The ring of a destination (`design.md` §4): put, and per reader get, ack and rollback.

pub mod batch;
pub mod ring;
pub mod segment;
