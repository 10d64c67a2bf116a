//! client
pub mod flat;
