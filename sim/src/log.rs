//! canald's own log, into the journal: what its drivers tell, seen as an operator would see it.
//!
//! One subscriber for the thread that a run lives on. It takes what canald says from INFO upwards; with
//! a trace, everything.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record as SpanRecord};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::journal::{DaemonRecord, Journal, Record};

/// Where canald's server side speaks from: the client's driver is in the same library.
const SPEAKERS: [&str; 4] = [
    "canald::driver::server",
    "canald::driver::instance",
    "canald::driver::session",
    "canald::driver::record",
];

/// From here until the guard is dropped, what canald logs on this thread goes into `journal`.
#[must_use]
pub fn to_journal(journal: &Journal, most: Level) -> DefaultGuard {
    tracing::subscriber::set_default(ToJournal {
        journal: journal.clone(),
        most,
    })
}

struct ToJournal {
    journal: Journal,
    most: Level,
}

impl Subscriber for ToJournal {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
            && *metadata.level() <= self.most
            && SPEAKERS.contains(&metadata.target())
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.journal.record(Record::Daemon(DaemonRecord::Log {
            level: *event.metadata().level(),
            text: line.message + &line.fields,
        }));
    }

    // Spans are none of canald's habits.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &SpanRecord<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// An event as text: its message, then its other fields.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
        written.expect("a string takes all text");
    }
}
