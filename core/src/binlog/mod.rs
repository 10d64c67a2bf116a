//! Binlog events: their framing, their bodies, and the values in rows (binlog-parser reference §2, §3).
//!
//! [`mod@file`] cuts a binlog *file* into raw events; a dump delivers them one a packet. Either way each
//! raw event goes through [`stream::EventStream`], which verifies it and places it in its file, and
//! then, if anyone needs its body, through [`event::Event::parse`].

pub mod compressed;
pub mod decimal;
pub mod event;
pub mod file;
pub mod float;
pub mod format;
pub mod gtid_event;
pub mod heartbeat;
pub mod json;
pub mod mariadb_gtid;
mod optional_metadata;
pub mod payload;
pub mod query;
pub mod rotate;
pub mod rows;
pub mod statement;
pub mod stream;
pub mod table_map;
pub mod temporal;
pub mod value;
pub mod xa;
