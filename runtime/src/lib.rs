//! canald
