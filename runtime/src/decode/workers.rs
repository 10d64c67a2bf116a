//! The line from files to output: one thread splits, others decode, and results keep their order.
//!
//! At most [`WAITING_PER_WORKER`] jobs a worker are under way; the splitting thread then waits for the
//! oldest. A job that fails ends the line: what was made before it is handed on, what comes after is not.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Scope};

use canald_core::binlog::stream::EventStream;
use canald_core::pipeline::decode::{DecodeFault, Decoded, decode as decode_job};
use canald_core::pipeline::gtids::GtidTracker;
use canald_core::pipeline::job::DecodeJob;
use canald_core::pipeline::selection::Selection;
use canald_core::pipeline::split::{Restart, SplitConfig, Splitter};
use canald_core::pipeline::tables::Snapshot;
use canald_core::position::{BinlogFile, BinlogPosition};
use canald_core::schema::table::TableSchema;
use canald_core::store::segment::Segment;

use super::Fault;
use super::files::{Input, Seen};

/// Jobs that may wait for each worker: enough to keep it busy while events are split.
const WAITING_PER_WORKER: usize = 4;

/// What is decoded, and how.
#[derive(Debug)]
pub struct Decoding {
    /// The habits of the serial stage; `DoubtPolicy::Anonymous`, for there is no server to ask.
    pub split: SplitConfig,
    /// Which changes are wanted.
    pub selection: Selection,
    /// Tables as they were when the files begin.
    pub schemas: Vec<TableSchema>,
    /// Threads that decode, at least one.
    pub workers: usize,
}

/// Decodes `files` in their order. `make` turns the entries of each segment into something, on any thread;
/// `take` gets that in the order of the log; `read` is told how many more bytes were read.
///
/// # Errors
/// What cannot be read, or [`Fault::Output`] with what `take` said. All that came before has been taken.
pub fn decode<T: Send>(
    files: &[PathBuf],
    decoding: Decoding,
    make: impl Fn(&Segment) -> T + Sync,
    take: impl FnMut(T) -> io::Result<()>,
    read: impl FnMut(usize),
) -> Result<Seen, Fault> {
    let workers = decoding.workers.max(1);
    let (jobs, waiting) = sync_channel(workers * WAITING_PER_WORKER);
    let waiting = Mutex::new(waiting);
    thread::scope(|scope| {
        for _ in 0..workers {
            spawn(scope, &waiting, &make);
        }
        let line = Line {
            jobs,
            under_way: VecDeque::new(),
            room: workers * (1 + WAITING_PER_WORKER),
            take,
        };
        Run {
            splitter: splitter(decoding),
            line,
            read,
            seen: Seen::default(),
        }
        .files(files)
    })
}

fn splitter(decoding: Decoding) -> Splitter {
    let Decoding {
        split,
        selection,
        schemas,
        ..
    } = decoding;
    // Before every file, whatever they are called.
    let at = BinlogPosition::new(BinlogFile::new(""), 0);
    let stream = EventStream::for_file(at.file.clone());
    let mut splitter = Splitter::new(split, stream, selection, GtidTracker::off());
    for schema in schemas {
        let (name, at) = (schema.name.clone(), at.clone());
        let schema = Some(schema);
        splitter
            .handle_snapshot(name, Snapshot { schema, at })
            .expect("nothing waits for a schema before the first event");
    }
    splitter
}

/// A job with the place for its result.
type Order<T> = (DecodeJob, SyncSender<Made<T>>);

struct Made<T> {
    made: T,
    fault: Option<DecodeFault>,
}

fn spawn<'scope, T: Send>(
    scope: &'scope Scope<'scope, '_>,
    waiting: &'scope Mutex<Receiver<Order<T>>>,
    make: &'scope (impl Fn(&Segment) -> T + Sync),
) {
    scope.spawn(move || {
        loop {
            // The lock is held while waiting: the other idle workers wait for it instead.
            let order = waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .recv();
            let Ok((job, result)) = order else { return };
            let Decoded { segment, fault } = decode_job(job);
            let made = make(&segment);
            // Nobody waits for it after an error.
            let _ = result.send(Made { made, fault });
        }
    });
}

/// Jobs under way, in order.
struct Line<T, F> {
    jobs: SyncSender<Order<T>>,
    under_way: VecDeque<Receiver<Made<T>>>,
    room: usize,
    take: F,
}

impl<T, F: FnMut(T) -> io::Result<()>> Line<T, F> {
    fn push(&mut self, job: DecodeJob) -> Result<(), Fault> {
        if self.under_way.len() >= self.room {
            self.take_oldest()?;
        }
        let (result, place) = sync_channel(1);
        self.jobs
            .send((job, result))
            .expect("workers wait for jobs as long as the line exists");
        self.under_way.push_back(place);
        Ok(())
    }

    fn take_oldest(&mut self) -> Result<(), Fault> {
        let Some(place) = self.under_way.pop_front() else {
            return Ok(());
        };
        let Made { made, fault } = place
            .recv()
            .expect("a worker answers each job, or its panic ends the scope");
        (self.take)(made).map_err(Fault::Output)?;
        fault.map_or(Ok(()), |fault| Err(fault.into()))
    }

    fn finish(&mut self) -> Result<(), Fault> {
        while !self.under_way.is_empty() {
            self.take_oldest()?;
        }
        Ok(())
    }
}

struct Run<T, F, R> {
    splitter: Splitter,
    line: Line<T, F>,
    read: R,
    seen: Seen,
}

impl<T, F: FnMut(T) -> io::Result<()>, R: FnMut(usize)> Run<T, F, R> {
    fn files(mut self, files: &[PathBuf]) -> Result<Seen, Fault> {
        for path in files {
            let outcome = Input::open(path).and_then(|input| self.file(input));
            // An older job that fails is what stands first in the log.
            self.line.finish()?;
            outcome?;
        }
        Ok(self.seen)
    }

    fn file(&mut self, mut input: Input) -> Result<(), Fault> {
        self.splitter.restart(Restart {
            stream: EventStream::for_file(input.file().clone()),
            gtids: GtidTracker::off(),
            skip: None,
            fold_names: false,
        });
        // Files need not follow each other.
        self.splitter.forget_place();
        let outcome = self.events(&mut input);
        let open = self.splitter.end_of_input();
        self.push_jobs()?;
        outcome?;
        self.seen.files += 1;
        self.seen.unclosed.extend(input.finish(open)?);
        Ok(())
    }

    fn events(&mut self, input: &mut Input) -> Result<(), Fault> {
        loop {
            let bytes = input.fill()?;
            if bytes == 0 {
                return Ok(());
            }
            self.seen.bytes += bytes as u64;
            while let Some(raw) = input.next()? {
                self.splitter.handle_event(raw)?;
                self.seen.events += 1;
                self.push_jobs()?;
            }
            (self.read)(bytes);
        }
    }

    fn push_jobs(&mut self) -> Result<(), Fault> {
        while let Some(job) = self.splitter.next_job() {
            self.line.push(job)?;
        }
        Ok(())
    }
}
