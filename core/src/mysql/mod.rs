//! The client side of MySQL's protocol: framing, handshake, authentication, text queries and the dump.
//!
//! [`replica::Replica`] is the machine; the other modules are its codecs. None of them does I/O.

pub mod auth;
pub mod charset;
pub mod fault;
pub mod handshake;
pub mod packet;
pub mod query;
pub mod replica;
mod rsa;
