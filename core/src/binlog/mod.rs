//! Binlog events: their framing, their bodies, and the values in rows (binlog-parser reference §2, §3).

pub mod table_map;
