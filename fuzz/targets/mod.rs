//! The targets, one a module.

pub(crate) mod ddl;
pub(crate) mod events;
pub(crate) mod file;
pub(crate) mod filter;
pub(crate) mod frames;
pub(crate) mod packets;
pub(crate) mod replies;
