//! Why decoding stops.

use std::io;

use canald_core::binlog::file::{FileFault, FileState};
use canald_core::pipeline::decode::DecodeFault;
use canald_core::pipeline::fault::SplitFault;
use canald_core::position::BinlogPosition;
use thiserror::Error;

/// Why decoding stops: always names the file and, once one is read, the offset.
#[derive(Debug, Error)]
pub enum Fault {
    /// A file cannot be opened.
    #[error("cannot open {file}: {error}")]
    Open {
        /// As it was given.
        file: String,
        /// Why not.
        error: io::Error,
    },
    /// The system cannot read on.
    #[error("{at}: cannot read on: {error}")]
    Read {
        /// The event that would come next.
        at: BinlogPosition,
        /// Why not.
        error: io::Error,
    },
    /// It is no binlog file, or not a whole one.
    #[error(transparent)]
    File(#[from] FileFault),
    /// An event that cannot be accounted for.
    #[error(transparent)]
    Split(#[from] SplitFault),
    /// A row that is not what its table says.
    #[error(transparent)]
    Rows(#[from] DecodeFault),
    /// The file ends between two events of one transaction.
    #[error("{end}: the file ends inside the transaction that begins at {begin}: {}", why(*.state))]
    OpenTransaction {
        /// Where the transaction begins.
        begin: BinlogPosition,
        /// Where the file ends.
        end: BinlogPosition,
        /// Whether the server closed it.
        state: FileState,
    },
    /// What was decoded cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[source] io::Error),
}

impl Fault {
    /// Whether a schema that was given does not fit the log.
    #[must_use]
    pub const fn is_doubt(&self) -> bool {
        matches!(self, Self::Split(SplitFault::Doubt { .. }))
    }
}

const fn why(state: FileState) -> &'static str {
    match state {
        FileState::Closed => {
            "it was cut off, or its server crashed; whether the transaction was committed is not known"
        }
        FileState::InUse => {
            "it is still being written, or its server crashed; whether the transaction was committed is not known"
        }
    }
}
