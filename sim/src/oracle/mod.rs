//! What must hold, each promise in a file that can be read alone. An oracle knows the specification, not the
//! code: it is fed from the journal and from nothing else.
//!
//! | File | Promises (`P`: ARCHITECTURE.md, `I`: the invariants of the store and of high availability) |
//! |---|---|
//! | [`delivery`] | P1, P2, I3, I7, I12, I16: what comes, in which order, and where it begins again |
//! | [`content`] | P1: what is in an entry |
//! | [`batch`] | I8: ids of batches, and what must be refused |
//! | [`cursor`] | I5, I6, P2: what is written of a client's place |
//! | [`start`] | I15: a place to begin is safe before anything is given |
//! | [`bounds`] | P5: how far the source may be read ahead of the slowest client |
//! | [`answered`] | P4: gets are answered in time |
//! | [`liveness`] | P4, I13: what must have come in the end |
//! | [`explained`] | P6: why nothing comes |
//!
//! Two files judge nothing and serve the others: [`expected`] says which entries the history makes, and
//! [`stored`] reads canald's record without canald.
//!
//! Of the invariants of one canald without ZooKeeper, I9 (the accounts of the ring) cannot be seen from
//! outside: `core/src/store` asserts it against a naive model, under proptest.

use crate::journal::{Oracle, Violation};
use crate::plan::Options;

pub mod answered;
pub mod batch;
pub mod bounds;
pub mod content;
pub mod cursor;
pub mod delivery;
pub mod expected;
pub mod explained;
pub mod liveness;
pub mod start;
pub mod stored;
#[cfg(test)]
pub(crate) mod testing;

/// All of them, for a run in such a world.
#[must_use]
pub fn all(options: &Options) -> Vec<Box<dyn Oracle>> {
    vec![
        Box::new(content::Content::new(options)),
        Box::new(delivery::Delivery::new(options)),
        Box::new(batch::Batches::new(options)),
        Box::new(cursor::Cursors::new(options)),
        Box::new(start::Started::default()),
        Box::new(bounds::Bounds::new(options)),
        Box::new(explained::Explained::default()),
        Box::new(answered::Answered::default()),
        Box::new(liveness::Liveness::new(options)),
    ]
}

/// Something came wrong.
fn broken(oracle: &'static str, promise: &'static str, text: String) -> Violation {
    Violation {
        oracle,
        promise,
        liveness: false,
        text,
    }
}

/// The ids of the clients, by their place in the plan.
fn client_ids(options: &Options) -> Vec<i16> {
    options.clients.iter().map(|client| client.id).collect()
}
