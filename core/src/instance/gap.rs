//! A place that is lost: canal's auto-reset goes on at the end of the log, and what lies between is told.
//!
//! The range is in the record before anything behind it is read, together with the cursors that begin
//! behind it: a crash right after finds both or neither. Entries of before the gap that are still in the
//! ring are served, but no acknowledgement of one leads a cursor back to a place that the source has lost.

use alloc::format;
use alloc::string::{String, ToString};

use crate::instance::source::{DumpPlan, PlanFrom};
use crate::instance::{Instance, Weight};
use crate::meta::record::{Gap, GapEnd};
use crate::source::facts::{EndOfLog, SourceFacts};
use crate::source::fault::{BACKOFF_FIRST, StopReason};
use crate::source::start::StoredPlace;
use crate::store::ring::Sequence;
use crate::time::Instant;

impl Instance {
    /// Goes on at the end of the log, once that is written down.
    pub(super) fn reset(
        &mut self,
        now: Instant,
        facts: &SourceFacts,
        stored: Option<StoredPlace>,
        to: EndOfLog,
        lost: &StopReason,
    ) {
        if !self.window.is_empty() {
            // what was read before the gap is put into the ring first, so that the ring knows where it lies
            let why = format!("{lost}; before the gap is passed, clients have to make room");
            return self.pause(now, BACKOFF_FIRST, why);
        }
        let gtids = self.tracker(Some(&to.gtid), facts.flavor());
        let start = self.start_cursor(Some(to.position.clone()), gtids.text());
        let gap = Gap {
            from: stored.map(lost_from),
            to: GapEnd {
                identity: facts.identity().to_string(),
                position: to.position.clone(),
                gtid: to.gtid,
            },
            reason: lost.name().into(),
        };
        self.report(
            Weight::Alarm,
            format!("GAP: {lost}; canal.auto.reset.latest.pos.mode=true, so {gap} is lost"),
        );
        self.splitter.forget_place();
        self.store.switch_source();
        self.gap_at = self.store.status().put;
        let version = self.durable.change_now(|record| {
            record.note_gap(gap);
            for client in record.clients.values_mut() {
                client.cursor = Some(start.clone());
            }
            record.start = Some(start);
        });
        let from = PlanFrom::Position(to.position);
        let skip = None;
        self.record_start(now, version, DumpPlan { from, gtids, skip });
    }

    /// Whether the ring still holds entries of before a gap: nobody's cursor may begin there.
    pub(super) fn holds_lost_places(&self) -> bool {
        let status = self.store.status();
        status.put.since(self.gap_at) < status.held.entries && self.gap_at > Sequence::ZERO
    }

    /// Whether entries that end at `end` lie before a gap, so that no cursor may rest on them.
    pub(super) fn is_before_gap(&self, end: Sequence) -> bool {
        end <= self.gap_at
    }
}

fn lost_from(place: StoredPlace) -> GapEnd {
    GapEnd {
        identity: place
            .identity
            .map_or_else(String::new, |identity| identity.to_string()),
        position: place.resume,
        gtid: place.gtid_before.unwrap_or_default(),
    }
}
