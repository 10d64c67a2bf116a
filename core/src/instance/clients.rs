//! What an instance knows of each client, and where its cursor stands.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use crate::config::{InstanceConfig, SubscribeFilter};
use crate::filter::{FilterError, ListKind, TableFilter, TableJudge, Verdicts};
use crate::instance::Instance;
use crate::instance::durable::Version;
use crate::meta::cursor::{Cursor, Extension, SourceAddress, minimum};
use crate::meta::identity::ClientId;
use crate::pipeline::split::SkipThrough;
use crate::position::{BinlogFile, BinlogPosition};
use crate::request::SessionId;
use crate::source::start::StoredPlace;
use crate::store::ReadFrom;
use crate::store::batch::Place;
use crate::store::segment::{EntryPosition, Resume};
use crate::time::{Instant, WallMillis};

/// One client of the destination.
#[derive(Debug)]
pub(super) struct Client {
    /// The filter that it subscribed; empty if the configured one holds.
    pub(super) filter: String,
    /// What it is given of what is stored.
    pub(super) verdicts: Verdicts,
    /// The connection that holds it.
    pub(super) holder: Option<SessionId>,
    /// When it last asked for anything.
    pub(super) asked: Instant,
    /// The version that holds its subscription; none if it was read from the record.
    pub(super) subscribed: Option<Version>,
}

/// The configured lists, from which the judge of each client is made.
#[derive(Clone, Debug)]
pub(super) struct Judges {
    white: Arc<TableFilter>,
    black: Arc<TableFilter>,
    subscribe: SubscribeFilter,
}

impl Judges {
    pub(super) fn new(config: &InstanceConfig) -> Result<Self, FilterError> {
        let filter = &config.filter;
        Ok(Self {
            white: Arc::new(TableFilter::compile(&filter.white, ListKind::White)?),
            black: Arc::new(TableFilter::compile(&filter.black, ListKind::Black)?),
            subscribe: filter.subscribe,
        })
    }

    /// The judge of a client with this filter; an empty one leaves the configured list in force.
    pub(super) fn judge(&self, filter: &str) -> Result<Verdicts, FilterError> {
        let configured = self.white.clone();
        let whites = match self.subscribe {
            _ if filter.is_empty() => vec![configured],
            SubscribeFilter::Replace => {
                vec![Arc::new(TableFilter::compile(filter, ListKind::White)?)]
            }
            SubscribeFilter::Intersect => {
                vec![
                    Arc::new(TableFilter::compile(filter, ListKind::White)?),
                    configured,
                ]
            }
        };
        Ok(Verdicts::new(TableJudge::new(whites, self.black.clone())))
    }
}

impl Instance {
    /// Entries are made for whoever is subscribed; with nobody, for the configured list.
    pub(super) fn refresh_filters(&mut self) {
        let mut texts: Vec<&str> = self.clients.values().map(|c| c.filter.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        if texts.is_empty() {
            texts.push("");
        }
        let filters = texts
            .iter()
            .filter_map(|text| self.judges.judge(text).ok())
            .collect();
        self.splitter.replace_filters(filters);
    }

    pub(super) fn source_address(&self) -> SourceAddress {
        SourceAddress {
            host: self.config.source.host.clone(),
            port: self.config.source.port,
        }
    }

    pub(super) fn identity_text(&self) -> String {
        self.identity().map(ToString::to_string).unwrap_or_default()
    }

    /// The client has acknowledged up to `last`; canal's own cursor moves to `ack_at`, if there is one.
    pub(super) fn move_cursor(&mut self, id: ClientId, ack_at: Option<&Place>, last: &Place) {
        if id.is_temporary() {
            return;
        }
        let (source, identity) = (self.source_address(), self.identity_text());
        self.durable.change(|record| {
            let start = record.start.clone();
            let Some(client) = record.clients.get_mut(&id) else {
                return;
            };
            let former = client.cursor.take().or(start).unwrap_or_else(|| Cursor {
                position: last.entry.clone(),
                source: source.clone(),
                extension: None,
            });
            client.cursor = Some(former.after(source, identity, ack_at, last));
        });
    }

    /// What a reader's filter excludes counts as acknowledged once nothing older is open.
    pub(super) fn advance_past_excluded(&mut self, id: ClientId) {
        if let Some(skipped) = self.store.take_skipped(id)
            && !self.is_before_gap(skipped.end)
        {
            self.move_cursor(id, skipped.ack_at.as_ref(), &skipped.last);
        }
    }

    /// Where the destination's first client begins: with its very start, though temporary readers may
    /// have had it out of the ring already. None if there is a client.
    pub(super) fn start_for_the_first(&self) -> Option<Cursor> {
        let record = self.durable.record();
        match record.clients.is_empty() {
            true => record.start.clone(),
            false => None,
        }
    }

    /// Where a client stands that has just come: before the oldest entry that it will be given.
    pub(super) fn first_cursor(&self) -> Option<Cursor> {
        if self.holds_lost_places() {
            return self.durable.record().start.clone();
        }
        let (entry, last_acked, resume) = match self.store.oldest() {
            Some(Place { entry, resume }) => (entry, None, resume),
            None => {
                let resume = self.splitter.resume()?.clone();
                let last = self.splitter.last()?;
                let entry = EntryPosition {
                    position: last.position.clone(),
                    ordinal: last.ordinal,
                    timestamp: WallMillis(0),
                    server_id: 0,
                    gtid: resume.gtid_with.as_deref().unwrap_or_default().into(),
                };
                (entry.clone(), Some(entry), resume)
            }
        };
        let extension = Extension {
            identity: self.identity_text(),
            last_acked,
            resume,
        };
        Some(Cursor {
            position: entry,
            source: self.source_address(),
            extension: Some(extension),
        })
    }

    /// The cursors from which the source would be read: of every client that needs it, or the start.
    fn cursors(&self) -> Vec<(ClientId, &Cursor)> {
        let record = self.durable.record();
        let needed = self.store.needed().filter(|id| !id.is_temporary());
        let cursors = needed.filter_map(|id| {
            let own = record
                .clients
                .get(&id)
                .and_then(|client| client.cursor.as_ref());
            own.or(record.start.as_ref()).map(|cursor| (id, cursor))
        });
        let cursors: Vec<_> = cursors.collect();
        if cursors.is_empty() {
            return record
                .start
                .iter()
                .map(|start| (ClientId(0), start))
                .collect();
        }
        cursors
    }

    /// The oldest place that a client or the start needs.
    pub(super) fn oldest_place(&self) -> Option<StoredPlace> {
        let (_, cursor) = minimum(self.cursors())?;
        Some(StoredPlace::of(cursor))
    }

    /// Whether a cursor was recorded on another source than the present one.
    fn is_elsewhere(&self, cursor: &Cursor) -> bool {
        match &cursor.extension {
            Some(known) => known.identity != self.identity_text(),
            None => cursor.source != self.source_address(),
        }
    }

    /// The source is known. Cursors of another one name places that mean nothing here: their clients are
    /// given everything that is read, which begins where the oldest of them was proved to stand.
    pub(super) fn place_readers(&mut self) {
        let clients = self.durable.record().clients.iter();
        let elsewhere: Vec<_> = clients
            .filter(|(id, client)| {
                let is_elsewhere = |cursor| self.is_elsewhere(cursor);
                self.clients.contains_key(id) && client.cursor.as_ref().is_some_and(is_elsewhere)
            })
            .map(|(id, _)| *id)
            .collect();
        for id in elsewhere {
            self.store.detach(id);
            self.store.attach(id, ReadFrom::Oldest);
        }
    }

    /// The last entry that every client has acknowledged; none if one of them stands on another source.
    pub(super) fn acked_by_all(&self) -> Option<SkipThrough> {
        let acked = self.cursors().into_iter().map(|(_, cursor)| {
            if self.is_elsewhere(cursor) {
                return None;
            }
            let acked = cursor.extension.as_ref()?.last_acked.as_ref()?;
            Some(SkipThrough {
                position: acked.position.clone(),
                ordinal: acked.ordinal,
            })
        });
        acked.collect::<Option<Vec<_>>>()?.into_iter().min()
    }

    /// The cursor that says where the destination started.
    pub(super) fn start_cursor(&self, place: Option<BinlogPosition>, gtid: Option<&str>) -> Cursor {
        let boundary = place.unwrap_or_else(|| BinlogPosition::new(BinlogFile::new(""), 0));
        let entry = EntryPosition {
            position: boundary.clone(),
            ordinal: 0,
            timestamp: WallMillis(0),
            server_id: 0,
            gtid: gtid.unwrap_or_default().into(),
        };
        let gtid: Option<Arc<str>> = gtid.map(Into::into);
        let resume = Resume {
            boundary,
            gtid_before: gtid.clone(),
            gtid_with: gtid,
        };
        let extension = Extension {
            identity: self.identity_text(),
            last_acked: None,
            resume,
        };
        Cursor {
            position: entry,
            source: self.source_address(),
            extension: Some(extension),
        }
    }
}
