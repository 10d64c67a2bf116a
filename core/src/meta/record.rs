//! What is durable for a destination, and its file.
//!
//! The file is one header line and JSON that an operator can read, with canal's names where canal has
//! them (`clientDatas` is that of a Java `meta.dat`):
//!
//! ```text
//! canald-meta 1 1234 89abcdef
//! { "generation": 3, "start": …, "clientDatas": […], "quarantined": […], "gaps": […] }
//! ```
//!
//! The header names the format's version, the bytes of the JSON, and the CRC-32 of both numbers and the
//! JSON. Each write keeps the former file beside the new one; [`choose`] says which of the two counts.
//! A damaged file is never read in part.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::Serialize;
use thiserror::Error;

use crate::meta::cursor::Cursor;
use crate::meta::identity::ClientId;
use crate::meta::java::{
    BinlogPositionJson, LogPositionForm, LogPositionJson, read_binlog_position, read_clients,
    read_log_position,
};
use crate::meta::json::{JsonFault, Node, parse};
use crate::meta::ledger::Generation;
use crate::position::BinlogPosition;
use crate::schema::table::TableName;

/// The version of the format that is written, and the newest that is read.
pub const FORMAT_VERSION: u32 = 1;

/// What a file begins with.
const MAGIC: &str = "canald-meta";

/// What is kept of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientRecord {
    /// Its filter; empty if it never gave one.
    pub filter: String,
    /// Where it stands; none before its first ack.
    pub cursor: Option<Cursor>,
}

/// A stretch of the binlog whose rows of one table were withheld.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantinedRange {
    /// The identity of the source that the positions belong to.
    pub identity: String,
    /// The first event withheld.
    pub from: BinlogPosition,
    /// The first event not withheld any more; none if it still lasts.
    pub to: Option<BinlogPosition>,
}

/// Gaps that are kept; of more, the oldest two become one.
pub const GAPS_MAX: usize = 256;

/// One end of a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GapEnd {
    /// The identity of the source that the position belongs to; empty if not known.
    pub identity: String,
    /// The place.
    pub position: BinlogPosition,
    /// The GTIDs before it; empty if not known.
    pub gtid: String,
}

/// A stretch of the binlog that nobody was given: the source had lost it, and the operator's key let the
/// destination go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// What every client had been given; none if there was no client and no start.
    pub from: Option<GapEnd>,
    /// Where reading went on.
    pub to: GapEnd,
    /// Why: the name of the state that it ended, such as `PositionPurged`.
    pub reason: String,
}

impl fmt::Display for GapEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.position)?;
        if !self.gtid.is_empty() {
            write!(f, " ({})", self.gtid)?;
        }
        Ok(())
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.from {
            Some(from) => write!(f, "everything from {from} to {}", self.to),
            None => write!(f, "everything before {}", self.to),
        }
    }
}

/// What is durable for a destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetaRecord {
    /// The last generation of batch ids that may have been used.
    pub generation: Generation,
    /// Where the destination started: written before its first entry is stored, so that a crash before
    /// the first ack loses nothing.
    pub start: Option<Cursor>,
    /// The clients that have subscribed.
    pub clients: BTreeMap<ClientId, ClientRecord>,
    /// What was withheld, by table, in the order of the binlog.
    pub quarantined: BTreeMap<TableName, Vec<QuarantinedRange>>,
    /// What was lost, oldest first: written before what lies behind it is read.
    pub gaps: Vec<Gap>,
}

/// Why a file does not count.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MetaFault {
    /// It does not begin like one.
    #[error("it does not begin with `{MAGIC} VERSION LENGTH CRC`: it is another file, or damaged")]
    NoHeader,
    /// A crash or a copy cut it, or something was added.
    #[error("it holds {found} bytes after its header, which names {named}: it was cut or added to")]
    Length {
        /// Bytes that the header names.
        named: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// Something in it changed after it was written.
    #[error(
        "its checksum is {found:08x}, its header names {named}: it is corrupt, or was edited by hand"
    )]
    Checksum {
        /// What the header names.
        named: String,
        /// What the bytes have.
        found: u32,
    },
    /// A newer canald wrote it.
    #[error(
        "its format is version {0}, this canald reads up to {FORMAT_VERSION}: use a newer canald"
    )]
    Newer(u32),
    /// It is whole, and its content makes no sense.
    #[error("its content cannot be used: {0}")]
    Content(#[from] JsonFault),
    /// Neither file counts.
    #[error(
        "canald.meta: {current}; canald.meta.1: {previous}. Without either, what was acknowledged is \
         unknown: restore one, or remove both to start anew"
    )]
    NoneGood {
        /// What is wrong with the current file.
        current: String,
        /// What is wrong with the previous one.
        previous: String,
    },
}

impl MetaRecord {
    /// Notes that rows of `table` were withheld from `from` to `to`; true if that begins a new range.
    pub fn withhold(
        &mut self,
        table: TableName,
        identity: String,
        from: BinlogPosition,
        to: BinlogPosition,
    ) -> bool {
        let ranges = self.quarantined.entry(table).or_default();
        if let Some(last) = ranges.last_mut()
            && last.identity == identity
            && last.to.as_ref().is_none_or(|end| *end <= to)
        {
            last.to = Some(to);
            return false;
        }
        ranges.push(QuarantinedRange {
            identity,
            from,
            to: Some(to),
        });
        true
    }

    /// The hosts by which cursors name their source that only its address tells (a Java server wrote them).
    #[must_use]
    pub fn foreign_hosts(&self) -> BTreeSet<String> {
        let clients = self.clients.values().filter_map(|c| c.cursor.as_ref());
        let cursors = clients.chain(self.start.as_ref());
        let foreign = cursors.filter(|cursor| cursor.extension.is_none());
        foreign.map(|cursor| cursor.source.host.clone()).collect()
    }

    /// Such cursors that name their source `host` name it `ours`: both are one to the resolver, and to canal.
    pub fn rename_host(&mut self, host: &str, ours: &str) {
        let clients = self.clients.values_mut().filter_map(|c| c.cursor.as_mut());
        for cursor in clients.chain(self.start.as_mut()) {
            if cursor.extension.is_none() && cursor.source.host == host {
                ours.clone_into(&mut cursor.source.host);
            }
        }
    }

    /// Notes that a stretch was lost.
    pub fn note_gap(&mut self, gap: Gap) {
        self.gaps.push(gap);
        if self.gaps.len() > GAPS_MAX {
            let oldest = self.gaps.remove(0);
            if let Some(joined) = self.gaps.first_mut() {
                joined.from = oldest.from;
            }
        }
    }

    /// The bytes of its file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let json = RecordJson::new(self);
        let mut body =
            serde_json::to_vec_pretty(&json).expect("texts and numbers always serialise");
        body.push(b'\n');
        let mut bytes = header(FORMAT_VERSION, &body).into_bytes();
        bytes.extend(body);
        bytes
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It is not whole, of a newer version, or its content makes no sense.
    pub fn decode(bytes: &[u8]) -> Result<Self, MetaFault> {
        let body = check(bytes)?;
        let value = parse(body)?;
        Ok(Self::read(&Node::root(&value, "record"))?)
    }

    fn read(root: &Node<'_>) -> Result<Self, JsonFault> {
        let generation = root.member("generation")?;
        let number = generation.number("a generation")?;
        let Some(generation) = Generation::new(number) else {
            return Err(generation.unexpected("a generation of 31 bits"));
        };
        let start = root
            .optional("start")?
            .map(|node| read_log_position(&node))
            .transpose()?;
        let clients = read_clients(root)?;
        let mut quarantined = BTreeMap::new();
        if let Some(tables) = root.optional("quarantined")? {
            for table in tables.items()? {
                let (schema, name) = (table.member("schema")?, table.member("table")?);
                let ranges: Result<Vec<_>, _> = table
                    .member("ranges")?
                    .items()?
                    .map(|range| read_range(&range))
                    .collect();
                quarantined.insert(TableName::new(schema.text()?, name.text()?), ranges?);
            }
        }
        let gaps: Result<Vec<_>, _> = match root.optional("gaps")? {
            Some(gaps) => gaps.items()?.map(|gap| read_gap(&gap)).collect(),
            None => Ok(Vec::new()),
        };
        Ok(Self {
            generation,
            start,
            clients,
            quarantined,
            gaps: gaps?,
        })
    }
}

fn read_gap(node: &Node<'_>) -> Result<Gap, JsonFault> {
    Ok(Gap {
        from: node
            .optional("from")?
            .map(|node| read_gap_end(&node))
            .transpose()?,
        to: read_gap_end(&node.member("to")?)?,
        reason: node.member("reason")?.text()?.to_owned(),
    })
}

fn read_gap_end(node: &Node<'_>) -> Result<GapEnd, JsonFault> {
    Ok(GapEnd {
        identity: node.member("identity")?.text()?.to_owned(),
        position: read_binlog_position(&node.member("position")?)?,
        gtid: node.member("gtid")?.text()?.to_owned(),
    })
}

fn read_range(node: &Node<'_>) -> Result<QuarantinedRange, JsonFault> {
    Ok(QuarantinedRange {
        identity: node.member("identity")?.text()?.to_owned(),
        from: read_binlog_position(&node.member("from")?)?,
        to: node
            .optional("to")?
            .map(|node| read_binlog_position(&node))
            .transpose()?,
    })
}

/// `VERSION LENGTH`, which the checksum covers together with the body.
fn numbers(version: u32, body: &[u8]) -> String {
    format!("{version} {}", body.len())
}

fn checksum(numbers: &str, body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(numbers.as_bytes());
    crc.update(body);
    crc.finalize()
}

fn header(version: u32, body: &[u8]) -> String {
    let numbers = numbers(version, body);
    let crc = checksum(&numbers, body);
    format!("{MAGIC} {numbers} {crc:08x}\n")
}

/// The body of a file that is whole and of a version that is known.
fn check(bytes: &[u8]) -> Result<&[u8], MetaFault> {
    let end = memchr::memchr(b'\n', bytes).ok_or(MetaFault::NoHeader)?;
    let (line, body) = (&bytes[..end], &bytes[end + 1..]);
    let line = core::str::from_utf8(line).map_err(|_| MetaFault::NoHeader)?;
    let mut words = line.split(' ');
    let (Some(MAGIC), Some(version), Some(length), Some(crc), None) = (
        words.next(),
        words.next(),
        words.next(),
        words.next(),
        words.next(),
    ) else {
        return Err(MetaFault::NoHeader);
    };
    let version: u32 = version.parse().map_err(|_| MetaFault::NoHeader)?;
    let named: u64 = length.parse().map_err(|_| MetaFault::NoHeader)?;
    if named != body.len() as u64 {
        return Err(MetaFault::Length {
            named,
            found: body.len() as u64,
        });
    }
    // The checksum comes before the version, so that a damaged digit does not pass for a newer format.
    let found = checksum(&numbers(version, body), body);
    if crc != format!("{found:08x}") {
        return Err(MetaFault::Checksum {
            named: crc.to_owned(),
            found,
        });
    }
    // What parses as a number may be written in several ways; only one of them is ours.
    if line.len() + 1 != header(version, body).len() {
        return Err(MetaFault::NoHeader);
    }
    if version > FORMAT_VERSION {
        return Err(MetaFault::Newer(version));
    }
    Ok(body)
}

/// Which file the record comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// There is none: the destination is new here.
    Fresh,
    /// `canald.meta`.
    Current,
    /// `canald.meta.1`, one write older.
    Previous,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fresh => "nothing stored",
            Self::Current => "canald.meta",
            Self::Previous => "canald.meta.1",
        })
    }
}

/// The record that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// It.
    pub record: MetaRecord,
    /// Where it comes from.
    pub origin: Origin,
    /// What an operator should know, one line each.
    pub notes: Vec<String>,
}

/// Decides which of `canald.meta` and `canald.meta.1` counts; none stands for a file that is absent.
///
/// The previous file is one write older. Cursors in it are older at most, which gives entries again and
/// loses none; its generation may be one behind, so one is left out.
///
/// # Errors
/// A newer canald wrote the current file, or there are files and none is good.
pub fn choose(current: Option<&[u8]>, previous: Option<&[u8]>) -> Result<Chosen, MetaFault> {
    let absent = || String::from("it is absent");
    let fault = match current.map(MetaRecord::decode) {
        Some(Ok(record)) => {
            return Ok(Chosen {
                record,
                origin: Origin::Current,
                notes: Vec::new(),
            });
        }
        Some(Err(newer @ MetaFault::Newer(_))) => return Err(newer),
        Some(Err(fault)) => fault.to_string(),
        None if previous.is_none() => {
            let record = MetaRecord::default();
            return Ok(Chosen {
                record,
                origin: Origin::Fresh,
                notes: Vec::new(),
            });
        }
        None => absent(),
    };
    let none_good = |previous| MetaFault::NoneGood {
        current: fault.clone(),
        previous,
    };
    let mut record = match previous.map(MetaRecord::decode) {
        Some(Ok(record)) => record,
        Some(Err(newer @ MetaFault::Newer(_))) => return Err(newer),
        Some(Err(fault)) => return Err(none_good(fault.to_string())),
        None => return Err(none_good(absent())),
    };
    record.generation = record.generation.next().unwrap_or(record.generation);
    let note = format!(
        "canald.meta does not count ({fault}): the state before the last write is used, from \
         canald.meta.1; entries acknowledged since may come again, a client subscribed since must \
         subscribe again"
    );
    Ok(Chosen {
        record,
        origin: Origin::Previous,
        notes: Vec::from([note]),
    })
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RecordJson<'a> {
    generation: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<LogPositionJson<'a>>,
    client_datas: Vec<ClientJson<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    quarantined: Vec<QuarantinedJson<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gaps: Vec<GapJson<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ClientJson<'a> {
    client_identity: ClientIdentityJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<LogPositionJson<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ClientIdentityJson<'a> {
    client_id: i16,
    filter: &'a str,
}

#[derive(Debug, Serialize)]
struct QuarantinedJson<'a> {
    schema: &'a str,
    table: &'a str,
    ranges: Vec<RangeJson<'a>>,
}

#[derive(Debug, Serialize)]
struct GapJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<GapEndJson<'a>>,
    to: GapEndJson<'a>,
    reason: &'a str,
}

#[derive(Debug, Serialize)]
struct GapEndJson<'a> {
    identity: &'a str,
    position: BinlogPositionJson<'a>,
    gtid: &'a str,
}

#[derive(Debug, Serialize)]
struct RangeJson<'a> {
    identity: &'a str,
    from: BinlogPositionJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<BinlogPositionJson<'a>>,
}

impl<'a> RecordJson<'a> {
    fn new(record: &'a MetaRecord) -> Self {
        let position = |cursor| LogPositionJson::new(cursor, LogPositionForm::Parse);
        let clients = record.clients.iter().map(|(client, kept)| ClientJson {
            client_identity: ClientIdentityJson {
                client_id: client.0,
                filter: &kept.filter,
            },
            cursor: kept.cursor.as_ref().map(position),
        });
        let quarantined = record
            .quarantined
            .iter()
            .map(|(table, ranges)| QuarantinedJson {
                schema: &table.schema,
                table: &table.table,
                ranges: ranges.iter().map(RangeJson::new).collect(),
            });
        Self {
            generation: record.generation.get(),
            start: record.start.as_ref().map(position),
            client_datas: clients.collect(),
            quarantined: quarantined.collect(),
            gaps: record.gaps.iter().map(GapJson::new).collect(),
        }
    }
}

impl<'a> GapJson<'a> {
    fn new(gap: &'a Gap) -> Self {
        Self {
            from: gap.from.as_ref().map(GapEndJson::new),
            to: GapEndJson::new(&gap.to),
            reason: &gap.reason,
        }
    }
}

impl<'a> GapEndJson<'a> {
    fn new(end: &'a GapEnd) -> Self {
        Self {
            identity: &end.identity,
            position: BinlogPositionJson::new(&end.position),
            gtid: &end.gtid,
        }
    }
}

impl<'a> RangeJson<'a> {
    fn new(range: &'a QuarantinedRange) -> Self {
        Self {
            identity: &range.identity,
            from: BinlogPositionJson::new(&range.from),
            to: range.to.as_ref().map(BinlogPositionJson::new),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::cursor::{Extension, SourceAddress};
    use crate::meta::testing::cursor;
    use crate::position::BinlogFile;
    use crate::store::segment::{EntryPosition, Resume};
    use crate::time::WallMillis;
    use proptest::prelude::*;

    fn gap(offset: u64) -> Gap {
        let end = |offset| GapEnd {
            identity: "source".into(),
            position: BinlogPosition::new(BinlogFile::new("bin.000009"), offset),
            gtid: String::new(),
        };
        Gap {
            from: Some(end(offset)),
            to: end(offset + 1),
            reason: "PositionPurged".into(),
        }
    }

    #[test]
    fn gaps_are_kept_up_to_a_bound_and_no_loss_is_forgotten() {
        let mut record = MetaRecord::default();
        for offset in 0..=GAPS_MAX as u64 {
            record.note_gap(gap(offset));
        }
        assert_eq!(record.gaps.len(), GAPS_MAX);
        assert_eq!(
            record.gaps[0].to_string(),
            "everything from bin.000009:0 to bin.000009:2"
        );
        assert_eq!(record.gaps[1], gap(2));
    }

    fn record(generation: u32) -> MetaRecord {
        let range = QuarantinedRange {
            identity: "source".into(),
            from: BinlogPosition::new(BinlogFile::new("bin.000001"), 4),
            to: None,
        };
        let client = ClientRecord {
            filter: r"shop\..*".into(),
            cursor: Some(cursor("bin.000002", 1234)),
        };
        MetaRecord {
            generation: Generation::new(generation).unwrap(),
            start: Some(cursor("bin.000001", 4)),
            clients: [
                (ClientId(1001), client),
                (ClientId(7), ClientRecord::default()),
            ]
            .into(),
            quarantined: [(TableName::new("shop", "Bestellung"), Vec::from([range]))].into(),
            gaps: Vec::from([gap(7)]),
        }
    }

    #[test]
    fn an_operator_can_read_the_file() {
        let bytes = record(3).encode();
        let text = core::str::from_utf8(&bytes).unwrap();
        let (header, body) = text.split_once('\n').unwrap();
        assert!(header.starts_with(&format!("canald-meta 1 {} ", body.len())));
        assert!(body.contains("\n  \"generation\": 3,\n"));
        assert!(body.contains(r#""filter": "shop\\..*""#));
        assert!(body.contains("\"journalName\": \"bin.000002\",\n"));
        assert!(body.ends_with("}\n"));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let bytes = record(3).encode();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            for flip in 1..=255 {
                damaged[at] = bytes[at] ^ flip;
                let read = MetaRecord::decode(&damaged);
                assert!(read.is_err(), "byte {at} ^ {flip:#x}");
                assert!(
                    !matches!(read, Err(MetaFault::Newer(_))),
                    "byte {at} ^ {flip:#x}"
                );
            }
        }
    }

    #[test]
    fn every_cut_and_every_addition_is_noticed() {
        let mut bytes = record(3).encode();
        for length in 0..bytes.len() {
            assert!(MetaRecord::decode(&bytes[..length]).is_err());
        }
        bytes.push(b'\n');
        assert!(matches!(
            MetaRecord::decode(&bytes),
            Err(MetaFault::Length { .. })
        ));
    }

    #[test]
    fn a_number_written_another_way_is_not_ours() {
        let text = String::from_utf8(MetaRecord::default().encode()).unwrap();
        let odd = text.replacen(" 1 ", " +1 ", 1);
        assert_eq!(MetaRecord::decode(odd.as_bytes()), Err(MetaFault::NoHeader));
    }

    #[test]
    fn a_newer_format_is_said_to_be_newer_and_nothing_older_takes_its_place() {
        let body = b"{}";
        let mut newer = header(FORMAT_VERSION + 1, body).into_bytes();
        newer.extend(body);
        assert_eq!(MetaRecord::decode(&newer), Err(MetaFault::Newer(2)));
        let older = record(3).encode();
        assert_eq!(choose(Some(&newer), Some(&older)), Err(MetaFault::Newer(2)));
    }

    #[test]
    fn whole_files_of_no_sense_say_what_is_wrong() {
        let body = br#"{"generation":4294967295}"#;
        let mut bytes = header(FORMAT_VERSION, body).into_bytes();
        bytes.extend(body);
        assert_eq!(
            MetaRecord::decode(&bytes).unwrap_err().to_string(),
            "its content cannot be used: record.generation is 4294967295: a generation of 31 bits was expected"
        );
    }

    #[test]
    fn the_current_file_counts_and_else_the_previous_is_used_and_said() {
        let (new, old, bad) = (
            record(5).encode(),
            record(4).encode(),
            b"canald-meta 1".as_slice(),
        );
        let fresh = choose(None, None).unwrap();
        assert_eq!(
            (fresh.record, fresh.origin),
            (MetaRecord::default(), Origin::Fresh)
        );
        for previous in [None, Some(bad), Some(old.as_slice())] {
            let chosen = choose(Some(&new), previous).unwrap();
            assert_eq!((chosen.record, chosen.origin), (record(5), Origin::Current));
            assert!(chosen.notes.is_empty());
        }
        for current in [None, Some(bad)] {
            let chosen = choose(current, Some(&old)).unwrap();
            // The lost write may have taken generation 5, so 5 counts as used.
            assert_eq!(
                (chosen.record, chosen.origin),
                (record(5), Origin::Previous)
            );
            assert_eq!(chosen.notes.len(), 1);
            assert!(matches!(
                choose(current, Some(bad)),
                Err(MetaFault::NoneGood { .. })
            ));
        }
        let fault = choose(Some(bad), None).unwrap_err().to_string();
        assert!(
            fault.starts_with("canald.meta: it does not begin with"),
            "{fault}"
        );
        assert!(fault.contains("canald.meta.1: it is absent"), "{fault}");
    }

    prop_compose! {
        fn any_place()(file in ".{1,12}", offset in any::<u64>()) -> BinlogPosition {
            BinlogPosition::new(BinlogFile::new(&file), offset)
        }
    }

    prop_compose! {
        fn any_entry()(
            position in any_place(),
            (ordinal, time, server_id) in any::<(u32, i64, u32)>(),
            gtid in ".{0,12}",
        ) -> EntryPosition {
            EntryPosition { position, ordinal, timestamp: WallMillis(time), server_id, gtid }
        }
    }

    prop_compose! {
        fn any_extension()(
            identity in ".{0,12}",
            last_acked in prop::option::of(any_entry()),
            boundary in any_place(),
            gtid_before in prop::option::of(".{0,12}"),
            gtid_with in prop::option::of(".{0,12}"),
        ) -> Extension {
            let (gtid_before, gtid_with) = (gtid_before.map(Into::into), gtid_with.map(Into::into));
            Extension { identity, last_acked, resume: Resume { boundary, gtid_before, gtid_with } }
        }
    }

    prop_compose! {
        fn any_cursor()(
            position in any_entry(),
            (host, port) in (".{0,12}", any::<u16>()),
            extension in prop::option::of(any_extension()),
        ) -> Cursor {
            Cursor { position, source: SourceAddress { host, port }, extension }
        }
    }

    prop_compose! {
        fn any_range()(
            identity in ".{0,12}",
            from in any_place(),
            to in prop::option::of(any_place()),
        ) -> QuarantinedRange {
            QuarantinedRange { identity, from, to }
        }
    }

    prop_compose! {
        fn any_gap_end()(
            identity in ".{0,12}",
            position in any_place(),
            gtid in ".{0,12}",
        ) -> GapEnd {
            GapEnd { identity, position, gtid }
        }
    }

    prop_compose! {
        fn any_gap()(
            from in prop::option::of(any_gap_end()),
            to in any_gap_end(),
            reason in ".{0,12}",
        ) -> Gap {
            Gap { from, to, reason }
        }
    }

    prop_compose! {
        fn any_record()(
            generation in 0..=Generation::MAX,
            start in prop::option::of(any_cursor()),
            clients in prop::collection::btree_map(
                any::<i16>().prop_map(ClientId),
                (".{0,12}", prop::option::of(any_cursor()))
                    .prop_map(|(filter, cursor)| ClientRecord { filter, cursor }),
                0..4,
            ),
            quarantined in prop::collection::btree_map(
                (".{1,8}", ".{1,8}").prop_map(|(schema, table)| TableName { schema, table }),
                prop::collection::vec(any_range(), 0..3),
                0..3,
            ),
            gaps in prop::collection::vec(any_gap(), 0..3),
        ) -> MetaRecord {
            let generation = Generation::new(generation).unwrap();
            MetaRecord { generation, start, clients, quarantined, gaps }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(record in any_record()) {
            prop_assert_eq!(MetaRecord::decode(&record.encode()), Ok(record));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = MetaRecord::decode(&bytes);
            let mut whole = header(FORMAT_VERSION, &bytes).into_bytes();
            whole.extend(&bytes);
            prop_assert!(MetaRecord::decode(&whole).is_err());
        }
    }
}
