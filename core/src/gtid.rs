//! gtid
