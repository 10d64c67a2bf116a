//! The flow of entries: jobs from the serial stage to decoders, segments into the ring, cursors on.
//!
//! Backpressure is a question (`design.md` §4): while the ring or the window is full, nothing is taken
//! from the serial stage, and [`Instance::read_budget`] is zero.

use alloc::format;
use alloc::string::ToString;

use crate::instance::source::READ_BYTES;
use crate::instance::{Instance, LinkId, Output, Weight};
use crate::pipeline::decode::decode;
use crate::pipeline::job::DecodeJob;
use crate::pipeline::split::Withheld;
use crate::time::Instant;

/// Bytes of entries from which a job is worth a worker's while. It depends on the job alone, so runs replay.
pub(super) const POOL_JOB_BYTES: usize = 64 << 10;

impl Instance {
    /// How many bytes may be read from a link now; 0 means not to read.
    #[must_use]
    pub fn read_budget(&self, link: LinkId) -> usize {
        if self.stopping || self.streams(link) && self.is_held_back() {
            0
        } else {
            READ_BYTES
        }
    }

    /// Nothing that the dump brings could go on: there is no room, or what it means is being asked.
    fn is_held_back(&self) -> bool {
        self.window.is_full() || !self.store_has_room() || self.splitter.wanted_table().is_some()
    }

    fn store_has_room(&self) -> bool {
        match self.window.peek() {
            Some(decoded) => self.store.can_put(&decoded.segment),
            None => self.store.room().bytes > 0 && self.store.room().entries > 0,
        }
    }

    /// Moves jobs on: out of the serial stage, through decoding, into the ring.
    pub(super) fn move_jobs(&mut self, now: Instant) {
        loop {
            self.fill_ring(now);
            if self.window.is_full() || self.stopping {
                break;
            }
            let Some(job) = self.splitter.next_job() else {
                break;
            };
            self.start(job);
        }
        self.note_withheld();
    }

    fn start(&mut self, job: DecodeJob) {
        let id = job.id;
        self.window.announce(id);
        if job.entry_bytes() >= POOL_JOB_BYTES {
            self.outputs.push_back(Output::Decode(job));
        } else {
            let decoded = decode(job);
            self.window.complete(id, decoded);
        }
    }

    /// Puts finished segments into the ring, in order, as far as they fit.
    fn fill_ring(&mut self, now: Instant) {
        while let Some(decoded) = self.window.peek() {
            if self.undecodable || !self.store.can_put(&decoded.segment) {
                return;
            }
            let Some(decoded) = self.window.take() else {
                return;
            };
            self.store.put(decoded.segment);
            if let Some(fault) = decoded.fault {
                self.undecodable = true;
                self.stop_source(now, fault.to_string());
            }
        }
    }

    /// Withheld ranges are stored with the next cursor, so no cursor can pass one unrecorded.
    fn note_withheld(&mut self) {
        for Withheld { table, from, to } in self.splitter.take_withheld() {
            let identity = self.identity_text();
            let mut is_new = false;
            let text = format!(
                "rows of {table} are withheld from {from} on: its columns are in doubt, and \
                 canal.instance.filter.table.error=true lets the other tables go on"
            );
            self.durable
                .change(|record| is_new = record.withhold(table, identity, from, to));
            if is_new {
                self.report(Weight::Alarm, text);
            }
        }
    }
}
