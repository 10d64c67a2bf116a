//! The real binary, tested against real servers and stock clients.

pub mod harness;
