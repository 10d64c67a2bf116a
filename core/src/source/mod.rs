//! Knowledge of a source: what it is, whether it will do, where its dump begins and why it ended.
//!
//! Nothing here holds a connection. Statements are data; their answers are read into facts; decisions
//! are functions of facts. [`crate::mysql::replica::Replica`] carries the statements.

pub mod facts;
pub mod fault;
pub mod preflight;
pub mod seek;
pub mod start;
pub mod statements;
