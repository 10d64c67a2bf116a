//! What sessions and sinks may ask of an instance, and what it answers.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use thiserror::Error;

use crate::identity::{ClientId, Destination};
use crate::time::Duration;

/// What is said to a connection whose client id another one took over; clients know it by these words.
pub const SUPERSEDED: &str = "is now served on a newer connection";

/// A client connection (or sink) within this process; never reused, growing with time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// One request of a session; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    /// Who asks.
    pub session: SessionId,
    /// Which of its requests, counted from 1.
    pub number: u64,
}

/// The id of a batch: `(generation << 32) | counter` (`design.md` §4). Always above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub i64);

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How long a get may wait for data (wire-protocol reference §7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    No,
    /// At most this long.
    AtMost(Duration),
    /// Until there is data or the connection ends.
    Unbounded,
}

/// What a client asks about its place in one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Registers the client, or replaces its filter if one is given.
    Subscribe {
        /// Canal's filter text; empty keeps the filter in force.
        filter: String,
    },
    /// Forgets the client.
    Unsubscribe,
    /// The next batch.
    Get {
        /// Canal's fetch size: KiB in MEMSIZE, entries in ITEMSIZE; at least 1 here.
        size: u64,
        /// How long to wait.
        wait: Wait,
    },
    /// Confirms a batch, the oldest open one.
    Ack {
        /// Which.
        batch: BatchId,
    },
    /// Takes batches back so that they are delivered again.
    Rollback {
        /// This one and every later one; all if none is named.
        batch: Option<BatchId>,
    },
}

/// A request: who asks what of which destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The destination.
    pub destination: Destination,
    /// The client.
    pub client: ClientId,
    /// The question.
    pub ask: Ask,
}

/// A batch on its way to a client.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Its id.
    pub id: BatchId,
    /// Its entries as the `MESSAGES` packet carries them, one slice per segment crossed.
    pub chunks: Vec<Bytes>,
    /// How many entries.
    pub entries: u32,
    /// How many rows.
    pub rows: u64,
}

impl Batch {
    /// Bytes of all chunks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chunks.iter().map(Bytes::len).sum()
    }

    /// Whether it holds no bytes; a batch with entries always does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The answer to a request. Each request gets exactly one, or is withdrawn.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Done; nothing to return.
    Done,
    /// A get's batch.
    Batch(Batch),
    /// A get found nothing.
    NoData,
    /// Refused; nothing moved.
    Refused(Refusal),
}

/// Why a request was refused: the client's fault, or ours to be asked later.
///
/// The texts hold the substrings that existing clients and scripts look for (wire-protocol reference §9).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The destination is unknown, or not running here.
    #[error("destination:{destination} should start first ({why})")]
    NotRunning {
        /// Which.
        destination: Destination,
        /// The reason, with the cure where there is one.
        why: String,
    },
    /// The client has not subscribed.
    #[error(
        "ClientIdentity:ClientIdentity[destination={destination},clientId={client},filter=<null>] should subscribe first"
    )]
    NotSubscribed {
        /// The destination.
        destination: Destination,
        /// The client.
        client: ClientId,
    },
    /// No such batch is open: never given, given back, confirmed, or of another generation.
    #[error("{verb} error{comma}, clientId:{client} batchId:{batch} is not exist , please check", comma = if *.verb == "ack" { " " } else { "" })]
    UnknownBatch {
        /// `ack` or `rollback`.
        verb: &'static str,
        /// The client.
        client: ClientId,
        /// The batch.
        batch: BatchId,
    },
    /// An older batch is still open.
    #[error("batchId:{batch} is not the firstly:{oldest}")]
    NotOldest {
        /// The batch named.
        batch: BatchId,
        /// The batch that must come first.
        oldest: BatchId,
    },
    /// The filter is not a list of regular expressions.
    #[error("filter {filter:?} cannot be used: {why}")]
    BadFilter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        why: String,
    },
    /// Another connection took over this client id.
    #[error("clientId:{client} of destination:{destination} {SUPERSEDED}")]
    Superseded {
        /// The destination.
        destination: Destination,
        /// The client.
        client: ClientId,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn refusals_keep_the_texts_that_scripts_look_for() {
        let (client, batch) = (ClientId(1001), BatchId(7));
        let ack = Refusal::UnknownBatch {
            verb: "ack",
            client,
            batch,
        };
        assert_eq!(
            ack.to_string(),
            "ack error , clientId:1001 batchId:7 is not exist , please check"
        );
        let rollback = Refusal::UnknownBatch {
            verb: "rollback",
            client,
            batch,
        };
        assert_eq!(
            rollback.to_string(),
            "rollback error, clientId:1001 batchId:7 is not exist , please check"
        );
    }
}
