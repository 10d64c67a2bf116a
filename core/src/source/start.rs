//! Where a dump begins: canal's decision table (ha-meta-store reference §7.3) as `design.md` §4 settles it.
//!
//! | Row | When | Start |
//! |---|---|---|
//! | 1 | GTIDs on, a cursor with a GTID set | that set |
//! | 2 | no cursor, a GTID set configured | that set |
//! | 4, 5 | no cursor, a time configured / nothing | search by time / end of the log |
//! | 6, 7, 8 | no cursor, a file configured with offset / time / neither | there / search in it / its first event |
//! | 10 | the source refused the place for good, auto-reset on | end of the log, the gap told |
//! | 12 | a cursor without a file | stop, or by time if allowed |
//! | 13 | a cursor recorded on this server | there |
//! | 9, 14 | a cursor recorded on another server | its GTID set if it has one; else stop, or by time if allowed |
//!
//! A file and an offset are used only on the server they were recorded on. A GTID set is used on any,
//! once the server has proved that it has all of the set and has purged nothing outside it.
//! Pure: the same question has the same answer.

use alloc::string::{String, ToString};

use super::facts::{EndOfLog, GtidMode, SourceFacts, SourceIdentity};
use super::fault::StopReason;
use crate::config::{InstanceConfig, Start};
use crate::meta::cursor::{Cursor, minimum};
use crate::meta::record::MetaRecord;
use crate::mysql::handshake::Flavor;
use crate::mysql::query::ResultSet;
use crate::position::{BinlogFile, BinlogPosition};
use crate::time::WallMillis;

/// Where delivery stands, as a cursor keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPlace {
    /// The transaction boundary to read again from; the file's name is empty if it is not known.
    pub resume: BinlogPosition,
    /// The GTIDs before that boundary, which may be no GTIDs at all; none if that is not known.
    pub gtid_before: Option<String>,
    /// The server on which it was recorded; none in a cursor that canal wrote.
    pub identity: Option<SourceIdentity>,
    /// The address of that server, `host:port`, as canal keeps it.
    pub address: Option<String>,
    /// The time of the last entry delivered; 0 if not known.
    pub timestamp: WallMillis,
}

impl StoredPlace {
    /// The place that a cursor keeps.
    #[must_use]
    pub fn of(cursor: &Cursor) -> Self {
        let extension = cursor.extension.as_ref();
        let gtid = match extension {
            Some(known) => known.resume.gtid_before.as_deref().map(String::from),
            // Canal writes none and not known alike.
            None => Some(cursor.position.gtid.clone()).filter(|gtid| !gtid.is_empty()),
        };
        Self {
            resume: cursor.read_from().clone(),
            gtid_before: gtid,
            identity: extension.and_then(|known| SourceIdentity::parse(&known.identity)),
            address: Some(cursor.source.to_string()),
            timestamp: cursor.position.timestamp,
        }
    }

    /// The oldest place that a client of a record, or its start, needs; none if nothing was ever read.
    #[must_use]
    pub fn of_record(record: &MetaRecord) -> Option<Self> {
        let start = record.start.as_ref();
        let own = record.clients.iter().filter_map(|(id, client)| {
            let cursor = client.cursor.as_ref().or(start)?;
            Some((*id, cursor))
        });
        let oldest = minimum(own).map(|(_, cursor)| cursor);
        oldest.or(start).map(Self::of)
    }

    /// The earliest of several readers' places: from there all of them get everything.
    ///
    /// On one server by position, across servers by time (ha-meta-store reference §7.1).
    pub fn earliest(places: impl IntoIterator<Item = Self>) -> Option<Self> {
        places.into_iter().reduce(|a, b| {
            let is_later = if a.identity == b.identity && a.address == b.address {
                a.resume > b.resume
            } else {
                a.timestamp > b.timestamp
            };
            if is_later { b } else { a }
        })
    }

    /// Whether it was recorded on the server that `facts` describe, reached at `address`.
    fn is_of(&self, facts: &SourceFacts, address: &str) -> bool {
        match (&self.identity, &self.address) {
            (Some(identity), _) => *identity == facts.identity(),
            // Canal's cursors know no more than the address.
            (None, Some(recorded)) => recorded == address,
            (None, None) => false,
        }
    }
}

/// A MySQL server's answer to [`super::statements::mysql_gtid_proof`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GtidProof {
    /// What we have and the server has not; empty if it has all.
    pub ahead: String,
    /// What the server has purged and we do not have; empty if nothing.
    pub missing: String,
}

impl GtidProof {
    /// Reads the answer; `None` if it is none.
    #[must_use]
    pub fn parse(set: &ResultSet) -> Option<Self> {
        let text = |column| {
            let text = set.text(0, column)?;
            Some(
                text.chars()
                    .filter(|c| !c.is_ascii_whitespace())
                    .collect::<String>(),
            )
        };
        Some(Self {
            ahead: text("ahead")?,
            missing: text("missing")?,
        })
    }

    fn objection(&self) -> Option<StopReason> {
        let named = |set: &String| (!set.is_empty()).then(|| set.clone());
        if let Some(ahead) = named(&self.ahead) {
            return Some(StopReason::GtidUnknown { ahead: Some(ahead) });
        }
        named(&self.missing).map(|missing| StopReason::GtidPurged {
            missing: Some(missing),
        })
    }
}

/// All that a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct StartQuestion<'a> {
    /// The earliest place of all cursors, if there are any.
    pub stored: Option<&'a StoredPlace>,
    /// What the operator wants.
    pub config: &'a InstanceConfig,
    /// What the source is.
    pub facts: &'a SourceFacts,
    /// Its address, `host:port`.
    pub address: &'a str,
    /// Why the last dump from the stored or configured place was refused, if it was.
    pub refused: Option<&'a StopReason>,
    /// The answer to [`StartDecision::ProveGtid`], once there is one.
    pub proof: Option<&'a GtidProof>,
}

/// Where to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartDecision {
    /// At a file and offset.
    DumpAt {
        /// The place.
        position: BinlogPosition,
        /// The GTIDs before it, if known.
        gtid_before: Option<String>,
    },
    /// After a GTID set.
    DumpGtid(String),
    /// Ask [`super::statements::mysql_gtid_proof`] for this set, then decide again.
    ProveGtid(String),
    /// At the oldest event that the source has.
    Earliest,
    /// At the end of the log.
    Latest(EndOfLog),
    /// At the end of the log because the place is lost and the operator allows it: the gap is to be told.
    Reset {
        /// Where it goes on.
        to: EndOfLog,
        /// Why the place is lost.
        lost: StopReason,
    },
    /// At the last transaction before a time ([`super::seek::Seek`]).
    SearchTime {
        /// The time; transactions strictly before it are not read.
        wanted: WallMillis,
        /// The only file to look in; all if none.
        file: Option<BinlogFile>,
    },
    /// Nowhere until an operator decides.
    Stop(StopReason),
}

impl StartQuestion<'_> {
    /// The decision.
    #[must_use]
    pub fn decide(&self) -> StartDecision {
        let Some(end) = &self.facts.end else {
            return StartDecision::Stop(StopReason::BinlogOff);
        };
        if let Some(reason) = self.refused {
            return self.lost(reason.clone(), end);
        }
        match self.stored {
            Some(place) => self.by_stored(place, end),
            None => self.by_config(end),
        }
    }

    /// Rows 2 to 8.
    fn by_config(&self, end: &EndOfLog) -> StartDecision {
        match &self.config.start {
            Start::Gtid(set) => self.by_gtid(set, end),
            Start::Time(wanted) => StartDecision::SearchTime {
                wanted: *wanted,
                file: None,
            },
            Start::Latest => StartDecision::Latest(end.clone()),
            Start::Earliest => StartDecision::Earliest,
            Start::Position(place) => {
                let offset = place.offset.max(BinlogPosition::FIRST_EVENT);
                let position = BinlogPosition::new(place.file.clone(), offset);
                StartDecision::DumpAt {
                    position,
                    gtid_before: None,
                }
            }
            Start::FileAndTime(file, wanted) => {
                let file = Some(BinlogFile::new(file));
                StartDecision::SearchTime {
                    wanted: *wanted,
                    file,
                }
            }
        }
    }

    /// Rows 1 and 9 to 14.
    fn by_stored(&self, place: &StoredPlace, end: &EndOfLog) -> StartDecision {
        let is_here = place.is_of(self.facts, self.address);
        let is_placed = !place.resume.file.as_str().is_empty();
        let gtid = place.gtid_before.as_deref().filter(|set| self.speaks(set));
        match gtid {
            Some(set) if self.config.gtid && self.facts.gtid_mode == GtidMode::On => {
                return self.by_gtid(set, end);
            }
            // Not wanted, but between servers the only proof there is.
            Some(set) if !is_here && self.facts.gtid_mode == GtidMode::On => {
                return self.by_gtid(set, end);
            }
            Some(_) if self.config.gtid && !is_here => {
                return StartDecision::Stop(StopReason::GtidModeOff);
            }
            Some(_) | None => {}
        }
        if is_here && is_placed {
            let (position, gtid_before) = (place.resume.clone(), place.gtid_before.clone());
            return StartDecision::DumpAt {
                position,
                gtid_before,
            };
        }
        if self.config.switch_by_time && place.timestamp.0 > 0 {
            let fallback = i64::try_from(self.config.fallback.as_millis()).unwrap_or(i64::MAX);
            let wanted = WallMillis(place.timestamp.0.saturating_sub(fallback));
            return StartDecision::SearchTime { wanted, file: None };
        }
        StartDecision::Stop(if is_placed {
            StopReason::SwitchUnproven {
                place: place.resume.clone(),
                recorded_on: place.identity.clone(),
                connected_to: self.facts.identity(),
                end: Some(end.position.clone()),
            }
        } else {
            StopReason::PlaceWithoutFile
        })
    }

    fn by_gtid(&self, set: &str, end: &EndOfLog) -> StartDecision {
        if self.facts.gtid_mode != GtidMode::On {
            return StartDecision::Stop(StopReason::GtidModeOff);
        }
        match (self.facts.flavor(), self.proof) {
            // A MariaDB proves it itself, by refusing the dump.
            (Flavor::Mariadb, _) => StartDecision::DumpGtid(set.to_string()),
            (Flavor::Mysql, None) => StartDecision::ProveGtid(set.to_string()),
            (Flavor::Mysql, Some(proof)) => match proof.objection() {
                Some(reason) => self.lost(reason, end),
                None => StartDecision::DumpGtid(set.to_string()),
            },
        }
    }

    /// Row 10: canal's auto-reset, only for a place that is really lost.
    fn lost(&self, reason: StopReason, end: &EndOfLog) -> StartDecision {
        if self.config.auto_reset && reason.allows_reset() {
            StartDecision::Reset {
                to: end.clone(),
                lost: reason,
            }
        } else {
            StartDecision::Stop(reason)
        }
    }

    /// Whether a GTID set is one of this family: MySQL's has a UUID and a colon, MariaDB's three numbers.
    fn speaks(&self, set: &str) -> bool {
        let is_mysql = set.contains(':');
        !set.is_empty() && is_mysql == (self.facts.flavor() == Flavor::Mysql)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::{
        BatchMode, FilterConfig, SourceConfig, SslMode, StoreConfig, SubscribeFilter, Zone,
    };
    use crate::meta::identity::Destination;
    use crate::mysql::query::tests::result;
    use crate::source::facts::tests::{facts, mariadb_facts};
    use crate::time::Duration;
    use alloc::vec::Vec;

    const HERE: &str = "db:3306";
    const SET: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5";

    /// A destination with canal's defaults that starts at `start`.
    pub(crate) fn config(start: Start) -> InstanceConfig {
        InstanceConfig {
            destination: Destination::new("example"),
            meta: crate::config::MetaMode::File,
            source: SourceConfig {
                host: "db".into(),
                port: 3306,
                username: "canal".into(),
                password: "canal".into(),
                database: String::new(),
                ssl: SslMode::Disabled,
                replica_server_id: 7,
                replica_uuid: "u".into(),
                query_timeout: Duration::from_secs(30),
                heartbeat: Duration::from_secs(15),
                silence: Duration::from_secs(25),
            },
            gtid: false,
            start,
            auto_reset: false,
            switch_by_time: false,
            fallback: Duration::from_secs(60),
            store: StoreConfig {
                entries: 16_384,
                unit: 1024,
                batch_mode: BatchMode::Bytes,
                ddl_isolation: false,
                reader_idle: Duration::from_secs(60),
            },
            filter: FilterConfig {
                white: String::new(),
                black: String::new(),
                fields: String::new(),
                black_fields: String::new(),
                subscribe: SubscribeFilter::Replace,
                drop_dcl: false,
                drop_dml: false,
                drop_ddl: false,
                drop_rows: false,
                drop_transaction_entries: false,
                drop_insert: false,
                drop_update: false,
                drop_delete: false,
                quarantine: false,
            },
            transaction_entries: 1024,
            binlog_formats: Vec::new(),
            row_images: Vec::new(),
            connection_charset: "UTF-8".into(),
            connection_charset_always: false,
            enum_text: false,
            zone: Zone::utc(),
            lookahead_bytes: 0,
            get_linger: Duration::ZERO,
        }
    }

    fn at(offset: u64) -> BinlogPosition {
        BinlogPosition::new(BinlogFile::new("binlog.000003"), offset)
    }

    /// A place recorded on the server of [`facts`].
    fn place() -> StoredPlace {
        StoredPlace {
            resume: at(500),
            gtid_before: None,
            identity: Some(facts().identity()),
            address: Some(HERE.into()),
            timestamp: WallMillis(100_000),
        }
    }

    fn elsewhere() -> StoredPlace {
        StoredPlace {
            identity: Some(SourceIdentity::ServerId(5)),
            ..place()
        }
    }

    fn ask(stored: Option<&StoredPlace>, config: &InstanceConfig) -> StartDecision {
        let facts = facts();
        StartQuestion {
            stored,
            config,
            facts: &facts,
            address: HERE,
            refused: None,
            proof: None,
        }
        .decide()
    }

    fn dump_at(position: BinlogPosition) -> StartDecision {
        StartDecision::DumpAt {
            position,
            gtid_before: None,
        }
    }

    #[test]
    fn row_1_a_cursor_with_gtids_resumes_after_them_on_any_server() {
        let mut config = config(Start::Latest);
        config.gtid = true;
        let stored = StoredPlace {
            gtid_before: Some(SET.into()),
            ..elsewhere()
        };
        assert_eq!(
            ask(Some(&stored), &config),
            StartDecision::ProveGtid(SET.into())
        );
        let facts = facts();
        let decide = |ahead: &str, missing: &str, auto_reset| {
            let proof = GtidProof {
                ahead: ahead.into(),
                missing: missing.into(),
            };
            let config = InstanceConfig {
                auto_reset,
                ..config.clone()
            };
            let (stored, proof) = (Some(&stored), Some(&proof));
            StartQuestion {
                stored,
                config: &config,
                facts: &facts,
                address: HERE,
                refused: None,
                proof,
            }
            .decide()
        };
        assert_eq!(decide("", "", false), StartDecision::DumpGtid(SET.into()));
        let lost = StopReason::GtidPurged {
            missing: Some("u:6".into()),
        };
        assert_eq!(decide("", "u:6", false), StartDecision::Stop(lost.clone()));
        let to = facts.end.clone().unwrap();
        assert_eq!(decide("", "u:6", true), StartDecision::Reset { to, lost });
        let behind = StopReason::GtidUnknown {
            ahead: Some("u:5".into()),
        };
        assert_eq!(decide("u:5", "", false), StartDecision::Stop(behind));
    }

    #[test]
    fn row_1_without_gtids_on_the_server_resumes_by_file_only_where_it_was_recorded() {
        let mut config = config(Start::Latest);
        config.gtid = true;
        let mut facts = facts();
        facts.gtid_mode = GtidMode::Off;
        let gtid_before = Some(SET.to_string());
        let ask = |stored: &StoredPlace| {
            let stored = Some(stored);
            let (refused, proof) = (None, None);
            StartQuestion {
                stored,
                config: &config,
                facts: &facts,
                address: HERE,
                refused,
                proof,
            }
            .decide()
        };
        let here = StoredPlace {
            gtid_before: gtid_before.clone(),
            ..place()
        };
        assert_eq!(
            ask(&here),
            StartDecision::DumpAt {
                position: at(500),
                gtid_before: gtid_before.clone()
            }
        );
        let elsewhere = StoredPlace {
            gtid_before,
            ..elsewhere()
        };
        assert_eq!(
            ask(&elsewhere),
            StartDecision::Stop(StopReason::GtidModeOff)
        );
    }

    #[test]
    fn a_record_is_read_from_its_oldest_cursor_and_else_from_its_start() {
        use crate::meta::identity::ClientId;
        use crate::meta::record::ClientRecord;
        use crate::meta::testing::cursor;

        let mut record = MetaRecord::default();
        assert_eq!(StoredPlace::of_record(&record), None);
        record.start = Some(cursor("b.000001", 100));
        let offset = |record: &MetaRecord| StoredPlace::of_record(record).unwrap().resume.offset;
        assert_eq!(offset(&record), 100);
        for (id, at) in [(1, 500), (2, 400)] {
            let client = ClientRecord {
                cursor: Some(cursor("b.000001", at)),
                ..ClientRecord::default()
            };
            record.clients.insert(ClientId(id), client);
        }
        assert_eq!(offset(&record), 400);
        record.clients.insert(ClientId(3), ClientRecord::default());
        assert_eq!(offset(&record), 100, "it has had nothing yet");
    }

    #[test]
    fn row_2_a_configured_set_is_proved_by_mysql_and_left_to_mariadb() {
        assert_eq!(
            ask(None, &config(Start::Gtid(SET.into()))),
            StartDecision::ProveGtid(SET.into())
        );
        let config = config(Start::Gtid("0-902-5".into()));
        let facts = mariadb_facts();
        let question = StartQuestion {
            stored: None,
            config: &config,
            facts: &facts,
            address: HERE,
            refused: None,
            proof: None,
        };
        assert_eq!(question.decide(), StartDecision::DumpGtid("0-902-5".into()));
    }

    #[test]
    fn rows_4_and_5_a_time_is_searched_and_nothing_means_the_end() {
        let time = ask(None, &config(Start::Time(WallMillis(5))));
        assert_eq!(
            time,
            StartDecision::SearchTime {
                wanted: WallMillis(5),
                file: None
            }
        );
        assert_eq!(
            ask(None, &config(Start::Latest)),
            StartDecision::Latest(facts().end.unwrap())
        );
        assert_eq!(ask(None, &config(Start::Earliest)), StartDecision::Earliest);
    }

    #[test]
    fn rows_6_to_8_a_file_is_used_with_its_offset_its_time_or_its_first_event() {
        assert_eq!(
            ask(None, &config(Start::Position(at(500)))),
            dump_at(at(500))
        );
        let in_file = ask(
            None,
            &config(Start::FileAndTime("b.1".into(), WallMillis(5))),
        );
        let file = Some(BinlogFile::new("b.1"));
        assert_eq!(
            in_file,
            StartDecision::SearchTime {
                wanted: WallMillis(5),
                file
            }
        );
        assert_eq!(ask(None, &config(Start::Position(at(0)))), dump_at(at(4)));
    }

    #[test]
    fn row_10_a_lost_place_moves_to_the_end_only_with_auto_reset() {
        let facts = facts();
        let decide = |auto_reset, refused: &StopReason| {
            let config = InstanceConfig {
                auto_reset,
                ..config(Start::Latest)
            };
            let (stored, refused) = (Some(&place()), Some(refused));
            StartQuestion {
                stored,
                config: &config,
                facts: &facts,
                address: HERE,
                refused,
                proof: None,
            }
            .decide()
        };
        let lost = StopReason::PositionPurged;
        assert_eq!(decide(false, &lost), StartDecision::Stop(lost.clone()));
        let to = facts.end.clone().unwrap();
        assert_eq!(decide(true, &lost), StartDecision::Reset { to, lost });
        let corrupt = StopReason::SourceCorrupt;
        assert_eq!(decide(true, &corrupt), StartDecision::Stop(corrupt.clone()));
    }

    #[test]
    fn row_12_a_cursor_without_a_file_stops_unless_time_is_allowed() {
        let mut config = config(Start::Latest);
        let resume = BinlogPosition::new(BinlogFile::new(""), 0);
        let stored = StoredPlace { resume, ..place() };
        assert_eq!(
            ask(Some(&stored), &config),
            StartDecision::Stop(StopReason::PlaceWithoutFile)
        );
        config.switch_by_time = true;
        let wanted = WallMillis(40_000);
        assert_eq!(
            ask(Some(&stored), &config),
            StartDecision::SearchTime { wanted, file: None }
        );
    }

    #[test]
    fn row_13_a_cursor_of_this_server_is_used_as_it_stands_whatever_is_configured() {
        let config = config(Start::Earliest);
        assert_eq!(ask(Some(&place()), &config), dump_at(at(500)));
        let moved = StoredPlace {
            address: Some("old:3306".into()),
            ..place()
        };
        assert_eq!(
            ask(Some(&moved), &config),
            dump_at(at(500)),
            "the server counts, not its address"
        );
        let of_canal = StoredPlace {
            identity: None,
            ..place()
        };
        assert_eq!(ask(Some(&of_canal), &config), dump_at(at(500)));
    }

    #[test]
    fn rows_9_and_14_a_cursor_of_another_server_stops_unless_gtids_prove_it_or_time_is_allowed() {
        let mut config = config(Start::Latest);
        let unproven = |recorded_on| {
            StartDecision::Stop(StopReason::SwitchUnproven {
                place: at(500),
                recorded_on,
                connected_to: facts().identity(),
                end: facts().end.map(|end| end.position),
            })
        };
        assert_eq!(
            ask(Some(&elsewhere()), &config),
            unproven(elsewhere().identity)
        );
        let of_canal = StoredPlace {
            identity: None,
            address: Some("old:3306".into()),
            ..place()
        };
        assert_eq!(ask(Some(&of_canal), &config), unproven(None));
        let proved = StoredPlace {
            gtid_before: Some(SET.into()),
            ..elsewhere()
        };
        assert_eq!(
            ask(Some(&proved), &config),
            StartDecision::ProveGtid(SET.into())
        );
        let other_family = StoredPlace {
            gtid_before: Some("0-1-5".into()),
            ..elsewhere()
        };
        assert_eq!(
            ask(Some(&other_family), &config),
            unproven(elsewhere().identity)
        );
        config.switch_by_time = true;
        let wanted = WallMillis(40_000);
        assert_eq!(
            ask(Some(&elsewhere()), &config),
            StartDecision::SearchTime { wanted, file: None }
        );
        let timeless = StoredPlace {
            timestamp: WallMillis(0),
            ..elsewhere()
        };
        assert_eq!(
            ask(Some(&timeless), &config),
            unproven(elsewhere().identity)
        );
    }

    #[test]
    fn a_source_without_a_log_starts_nowhere() {
        let mut facts = facts();
        facts.end = None;
        let config = config(Start::Latest);
        let question = StartQuestion {
            stored: Some(&place()),
            config: &config,
            facts: &facts,
            address: HERE,
            refused: None,
            proof: None,
        };
        assert_eq!(
            question.decide(),
            StartDecision::Stop(StopReason::BinlogOff)
        );
    }

    #[test]
    fn the_earliest_place_is_found_by_file_number_and_between_servers_by_time() {
        let six = BinlogPosition::new(BinlogFile::new("b.999999"), 900);
        let seven = BinlogPosition::new(BinlogFile::new("b.1000000"), 4);
        let a = StoredPlace {
            resume: seven,
            ..place()
        };
        let b = StoredPlace {
            resume: six,
            ..place()
        };
        assert_eq!(
            StoredPlace::earliest([a.clone(), b.clone()]),
            Some(b.clone())
        );
        let old = StoredPlace {
            timestamp: WallMillis(1),
            ..elsewhere()
        };
        assert_eq!(StoredPlace::earliest([a, old.clone(), b]), Some(old));
        assert_eq!(StoredPlace::earliest([]), None);
    }

    #[test]
    fn a_proof_is_read_from_its_row() {
        let set = result(&["ahead", "missing"], &[&["a:1,\nb:2", ""]]);
        let proof = GtidProof::parse(&set).unwrap();
        assert_eq!(
            proof,
            GtidProof {
                ahead: "a:1,b:2".into(),
                missing: String::new()
            }
        );
        assert_eq!(GtidProof::parse(&ResultSet::default()), None);
    }
}
