//! Looking for the place before a time (binlog-parser reference §1.16): which file, then where in it.
//!
//! Each step is a dump of its own, because a dump cannot be asked to begin anew: one event of a file
//! to learn when it was made, then one file from its start to the place.

use alloc::format;
use alloc::string::ToString;

use bytes::BytesMut;

use crate::binlog::event::EventType;
use crate::binlog::payload::Payload;
use crate::binlog::stream::EventStream;
use crate::instance::source::{Question, Role};
use crate::instance::{Instance, Weight};
use crate::mysql::query::{ResultSet, ServerError};
use crate::mysql::replica::DumpFrom;
use crate::position::{BinlogFile, BinlogPosition};
use crate::source::fault::StopReason;
use crate::source::seek::{Appetite, Seek, SeekEvent, SeekStep};
use crate::source::statements::BINARY_LOGS;
use crate::status::Stage;
use crate::time::{Instant, WallMillis};

/// A search by time under way.
#[derive(Debug)]
pub(super) struct Locate {
    wanted: WallMillis,
    seek: Option<Seek>,
    stream: EventStream,
}

impl Locate {
    /// Where the dump of the present step begins.
    pub(super) fn dump_from(&self) -> DumpFrom {
        match self.seek.as_ref().map(Seek::step) {
            Some(SeekStep::Created(file) | SeekStep::Scan(file)) => {
                DumpFrom::Position(BinlogPosition::new(file, BinlogPosition::FIRST_EVENT))
            }
            _ => DumpFrom::Oldest,
        }
    }
}

impl Instance {
    /// Begins the search for the last transaction before `wanted`, in `file` or in all of the log.
    pub(super) fn locate(&mut self, now: Instant, wanted: WallMillis, file: Option<BinlogFile>) {
        let reason = format!("looking for the last transaction before {} ms", wanted.0);
        self.enter(now, Stage::Locating, reason, None);
        let end = self
            .source
            .facts
            .as_ref()
            .and_then(|facts| facts.end.as_ref());
        let Some(end) = end.map(|end| end.position.clone()) else {
            return;
        };
        let seek = file.map(|file| Seek::in_file(wanted, file, end));
        let in_file = seek.is_some();
        self.source.locate = Some(Locate {
            wanted,
            seek,
            stream: EventStream::for_dump(),
        });
        if in_file {
            self.next_step(now);
        } else {
            self.source.question = Question::BinaryLogs;
            self.query(now, Role::Metadata, BINARY_LOGS);
        }
    }

    pub(super) fn binary_logs(&mut self, now: Instant, answer: Result<ResultSet, ServerError>) {
        let set = match answer {
            Ok(set) => set,
            Err(error) => return self.retry(now, format!("{BINARY_LOGS}: {error}")),
        };
        let files = (0..set.rows.len())
            .filter_map(|row| set.text_at(row, 0))
            .map(BinlogFile::new);
        let files = files.collect();
        let end = self
            .source
            .facts
            .as_ref()
            .and_then(|facts| facts.end.as_ref());
        let Some(end) = end.map(|end| end.position.clone()) else {
            return;
        };
        if let Some(locate) = self.source.locate.as_mut() {
            locate.seek = Some(Seek::new(locate.wanted, files, end));
        }
        self.next_step(now);
    }

    /// Opens the dump that the next step needs, or begins reading at the place found.
    fn next_step(&mut self, now: Instant) {
        let Some(locate) = self.source.locate.as_mut() else {
            return;
        };
        let wanted = locate.wanted;
        match locate.seek.as_ref().map(Seek::step) {
            Some(SeekStep::Created(_) | SeekStep::Scan(_)) => {
                locate.stream = EventStream::for_dump();
                self.hang_up(Role::Dump);
                self.dial(now, Role::Dump);
            }
            Some(SeekStep::Found(place)) => {
                self.source.locate = None;
                self.hang_up(Role::Dump);
                self.report(
                    Weight::Notice,
                    format!(
                        "the last transaction before {} ms ends at {place}",
                        wanted.0
                    ),
                );
                self.plan_at(now, place);
            }
            Some(SeekStep::NotFound(fault)) => {
                let reason = StopReason::TimeBeforeLog { wanted };
                self.stop_source(now, format!("{reason} ({fault})"));
            }
            None => {}
        }
    }

    /// Events of a dump that looks for a place.
    pub(super) fn take_seek_events(&mut self, now: Instant, buf: &mut BytesMut) {
        loop {
            let Some(link) = self.source.dump.as_mut() else {
                return;
            };
            match link.replica.next_event(now, buf) {
                None => return,
                Some(Err(fault)) => return self.broken(now, Role::Dump, fault),
                Some(Ok(raw)) => {
                    if self.seek_event(now, &raw) == Appetite::Enough {
                        return self.next_step(now);
                    }
                }
            }
        }
    }

    fn seek_event(&mut self, now: Instant, raw: &[u8]) -> Appetite {
        let Some(Locate {
            seek: Some(seek),
            stream,
            ..
        }) = self.source.locate.as_mut()
        else {
            return Appetite::More;
        };
        let event = match stream.accept(raw) {
            Ok(event) => event,
            Err(fault) => {
                self.stop_source(now, fault.to_string());
                return Appetite::More;
            }
        };
        let (event_type, seconds) = (event.header.event_type, event.header.timestamp);
        match seek.step() {
            SeekStep::Created(_) if event_type == EventType::FORMAT_DESCRIPTION => {
                seek.handle_created(seconds);
                Appetite::Enough
            }
            SeekStep::Scan(_) if event_type.is_heartbeat() => {
                seek.handle_end();
                Appetite::Enough
            }
            SeekStep::Scan(_) if !event.is_artificial => {
                let kind = match stream.parse(&event) {
                    Ok(payload) if ends_transaction(&payload) => SeekEvent::TransactionEnd,
                    Ok(_) | Err(_) => SeekEvent::Other,
                };
                seek.handle_event(kind, seconds, event.end)
            }
            SeekStep::Created(_)
            | SeekStep::Scan(_)
            | SeekStep::Found(_)
            | SeekStep::NotFound(_) => Appetite::More,
        }
    }
}

/// Whether reading may begin behind an event. Of statements only these stand inside of a transaction.
fn ends_transaction(payload: &Payload<'_>) -> bool {
    const INSIDE: [&[u8]; 3] = [b"BEGIN", b"SAVEPOINT", b"ROLLBACK TO"];
    if let Payload::Query(query) = payload {
        return !INSIDE.iter().any(|word| query.sql.starts_with(word));
    }
    matches!(payload, Payload::Xid(_))
}
