//! What tables look like: schemas, where they come from, and the statements that change them.

mod column_type;
pub mod ddl;
pub mod live;
pub mod resolve;
pub mod script;
mod shape;
pub mod table;
