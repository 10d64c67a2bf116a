//! Binlog events: their framing, their bodies, and the values in rows (binlog-parser reference §2, §3).

pub mod decimal;
pub mod float;
pub mod json;
pub mod table_map;
pub mod temporal;
pub mod value;
