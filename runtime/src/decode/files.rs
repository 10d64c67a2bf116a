//! Files as events: opened one after another, read in chunks, each a stream of its own.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use canald_core::binlog::event::{EventHeader, EventType};
use canald_core::binlog::file::{FileReader, FileState};
use canald_core::position::{BinlogFile, BinlogPosition};

use super::{Fault, STANDARD_INPUT, name_of};

/// Bytes asked of the system at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// What was read of all files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Files.
    pub files: u64,
    /// Events, format descriptions and all.
    pub events: u64,
    /// Bytes.
    pub bytes: u64,
    /// Files that end between transactions, but not as a server ends them.
    pub unclosed: Vec<Unclosed>,
}

/// A file that ends between transactions, without the event by which a server closes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unclosed {
    /// Its end.
    pub end: BinlogPosition,
    /// What its first event says.
    pub state: FileState,
}

impl fmt::Display for Unclosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { end, state } = self;
        let why = match state {
            FileState::InUse => "it is still being written, or its server crashed",
            FileState::Closed => "it was cut off between two transactions, or its server crashed",
        };
        write!(
            f,
            "{end}: the file ends here, and no ROTATE or STOP event says so: {why}; all that it holds was read"
        )
    }
}

/// One file, being read.
pub(super) struct Input {
    from: Box<dyn Read>,
    file: BinlogFile,
    reader: FileReader,
    buffer: BytesMut,
    last: Option<EventType>,
}

impl Input {
    pub(super) fn open(path: &PathBuf) -> Result<Self, Fault> {
        let from: Box<dyn Read> = if path == Path::new(STANDARD_INPUT) {
            Box::new(io::stdin())
        } else {
            let file = path.display().to_string();
            Box::new(File::open(path).map_err(|error| Fault::Open { file, error })?)
        };
        let file = BinlogFile::new(&name_of(path));
        Ok(Self {
            from,
            reader: FileReader::new(file.clone()),
            file,
            buffer: BytesMut::new(),
            last: None,
        })
    }

    pub(super) const fn file(&self) -> &BinlogFile {
        &self.file
    }

    /// Reads more; how many bytes there were, 0 at the end.
    pub(super) fn fill(&mut self) -> Result<usize, Fault> {
        let held = self.buffer.len();
        self.buffer.resize(held + CHUNK_BYTES, 0);
        let got = loop {
            match self.from.read(&mut self.buffer[held..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(held + *got.as_ref().unwrap_or(&0));
        got.map_err(|error| Fault::Read {
            at: self.place(),
            error,
        })
    }

    /// The next event that is there whole.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        let raw = self.reader.next(&mut self.buffer)?;
        if let Some(header) = raw.as_deref().and_then(|raw| EventHeader::parse(raw).ok()) {
            self.last = Some(header.event_type);
        }
        Ok(raw)
    }

    /// The file has been read to its end, which lies inside the transaction that began at `open`, if any.
    pub(super) fn finish(&self, open: Option<BinlogPosition>) -> Result<Option<Unclosed>, Fault> {
        let state = self.reader.finish(&self.buffer)?;
        let end = self.place();
        if let Some(begin) = open {
            return Err(Fault::OpenTransaction { begin, end, state });
        }
        let closed = matches!(self.last, Some(EventType::ROTATE | EventType::STOP));
        Ok((!closed).then_some(Unclosed { end, state }))
    }

    fn place(&self) -> BinlogPosition {
        BinlogPosition::new(self.file.clone(), self.reader.offset())
    }
}
