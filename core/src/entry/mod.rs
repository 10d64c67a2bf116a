//! Canal's `Entry`: its kinds and its bytes (wire-protocol reference §4, §5, §12).

pub mod kind;
pub mod proto;
pub mod wire;
