//! What tables look like: schemas, where they come from, and the statements that change them.

pub mod ddl;
pub mod live;
pub mod resolve;
pub mod script;
pub mod table;
