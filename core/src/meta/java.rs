//! Canal's own JSON: log positions as ZooKeeper's `cursor` and `parse` nodes hold them, and the
//! `meta.dat` of a Java server (ha-meta-store reference §1.3).
//!
//! Written as fastjson2 writes them (`@type` first, keys in alphabetical order, no spaces, unknown
//! members omitted, `postion` misspelt), with canald's [`Extension`] under a key of its own at the end
//! and the ordinal of an entry beside its offset where it is not 0; Java ignores both. Read tolerantly.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;

use crate::meta::cursor::{Cursor, Extension, SourceAddress};
use crate::meta::identity::ClientId;
use crate::meta::json::{JsonFault, Node, parse};
use crate::meta::record::ClientRecord;
use crate::position::{BinlogFile, BinlogPosition};
use crate::store::segment::{EntryPosition, Resume};
use crate::time::WallMillis;

/// The class that Java must be told first (M4).
const LOG_POSITION: &str = "com.alibaba.otter.canal.protocol.position.LogPosition";

/// The address that Java reads where a cursor has none.
const ADDRESS_ABSENT: &str = "0.0.0.0";

/// Which of the two forms of a log position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogPositionForm {
    /// `…/cursor`: with `@type`.
    Cursor,
    /// `…/parse`, and inside `meta.dat`: without.
    Parse,
}

/// The JSON of a log position. Its source's host must be an IP literal if Java is to read it (M6).
#[must_use]
pub fn encode_log_position(cursor: &Cursor, form: LogPositionForm) -> Vec<u8> {
    let json = LogPositionJson::new(cursor, form);
    serde_json::to_vec(&json).expect("texts and numbers always serialise")
}

/// Reads a log position of either form.
///
/// # Errors
/// It is not JSON, or a member is missing or wrong; the fault says which.
pub fn decode_log_position(text: &[u8]) -> Result<Cursor, JsonFault> {
    read_log_position(&Node::root(&parse(text)?, "cursor"))
}

/// Reads a Java server's `meta.dat`: the clients of its destination.
///
/// # Errors
/// It is not JSON (a crash may have cut it: Java overwrites it in place), or a member is missing or
/// wrong; the fault says which.
pub fn decode_meta_dat(text: &[u8]) -> Result<BTreeMap<ClientId, ClientRecord>, JsonFault> {
    read_clients(&Node::root(&parse(text)?, "meta.dat"))
}

/// Reads the member `clientDatas`; of two with one id, the last counts, as in Java.
pub(super) fn read_clients(root: &Node<'_>) -> Result<BTreeMap<ClientId, ClientRecord>, JsonFault> {
    let mut clients = BTreeMap::new();
    let Some(datas) = root.optional("clientDatas")? else {
        return Ok(clients);
    };
    for data in datas.items()? {
        let identity = data.member("clientIdentity")?;
        let id = identity
            .member("clientId")?
            .number("a client id of 16 bits")?;
        let filter = optional_text(&identity, "filter")?;
        let cursor = data
            .optional("cursor")?
            .map(|node| read_log_position(&node))
            .transpose()?;
        clients.insert(ClientId(id), ClientRecord { filter, cursor });
    }
    Ok(clients)
}

/// Reads a log position.
pub(super) fn read_log_position(root: &Node<'_>) -> Result<Cursor, JsonFault> {
    let address = root.member("identity")?.member("sourceAddress")?;
    let host = address
        .optional("address")?
        .map_or(Ok(ADDRESS_ABSENT), |node| node.text())?;
    let port = address.member("port")?.number("a TCP port")?;
    let place = root.member("postion")?;
    if let Some(included) = place.optional("included")?
        && included.truth()?
    {
        return Err(included.unexpected("false, as canal writes for what is confirmed,"));
    }
    let position = read_entry_position(&place)?;
    let extension = root
        .optional("canald")?
        .map(|node| read_extension(&node))
        .transpose()?;
    let is_nowhere = position.position.file.as_str().is_empty()
        && position.gtid.is_empty()
        && position.timestamp <= WallMillis(0);
    if is_nowhere && extension.is_none() {
        return Err(place.unexpected("a journalName, a gtid or a timestamp"));
    }
    Ok(Cursor {
        position,
        source: SourceAddress {
            host: host.into(),
            port,
        },
        extension,
    })
}

fn read_extension(node: &Node<'_>) -> Result<Extension, JsonFault> {
    let last = node.optional("lastAcked")?;
    let resume = node.member("resume")?;
    let gtid = |name| {
        Ok(resume
            .optional(name)?
            .map(|node| node.text())
            .transpose()?
            .map(Into::into))
    };
    Ok(Extension {
        identity: node.member("identity")?.text()?.into(),
        last_acked: last.map(|node| read_entry_position(&node)).transpose()?,
        resume: Resume {
            boundary: read_binlog_position(&resume)?,
            gtid_before: gtid("gtidBefore")?,
            gtid_with: gtid("gtidWith")?,
        },
    })
}

fn read_entry_position(node: &Node<'_>) -> Result<EntryPosition, JsonFault> {
    let ordinal = node.optional("ordinal")?;
    let timestamp = node.optional("timestamp")?;
    let server_id = node.optional("serverId")?;
    Ok(EntryPosition {
        position: read_binlog_position(node)?,
        ordinal: ordinal.map_or(Ok(0), |node| node.number("the number of an entry"))?,
        timestamp: WallMillis(timestamp.map_or(Ok(0), |node| node.number("milliseconds"))?),
        server_id: server_id.map_or(Ok(0), |node| node.number("a server id of 32 bits"))?,
        gtid: optional_text(node, "gtid")?,
    })
}

/// Reads `journalName` and `position`. Operators also write cursors of a time alone: then they are absent.
pub(super) fn read_binlog_position(node: &Node<'_>) -> Result<BinlogPosition, JsonFault> {
    let offset = node.optional("position")?;
    let offset = offset.map_or(Ok(0), |node| node.number("an offset in a binlog file"))?;
    Ok(BinlogPosition::new(
        BinlogFile::new(&optional_text(node, "journalName")?),
        offset,
    ))
}

fn optional_text(node: &Node<'_>, name: &str) -> Result<String, JsonFault> {
    Ok(node
        .optional(name)?
        .map_or(Ok(""), |node| node.text())?
        .into())
}

/// A log position as it is written.
#[derive(Debug, Serialize)]
pub(super) struct LogPositionJson<'a> {
    #[serde(rename = "@type", skip_serializing_if = "Option::is_none")]
    class: Option<&'static str>,
    identity: IdentityJson<'a>,
    postion: EntryPositionJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    canald: Option<ExtensionJson<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct IdentityJson<'a> {
    slave_id: i64,
    source_address: AddressJson<'a>,
}

#[derive(Debug, Serialize)]
struct AddressJson<'a> {
    address: &'a str,
    port: u16,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EntryPositionJson<'a> {
    gtid: &'a str,
    included: bool,
    journal_name: &'a str,
    #[serde(skip_serializing_if = "is_first")]
    ordinal: u32,
    position: u64,
    server_id: u32,
    timestamp: i64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde asks for"
)]
const fn is_first(ordinal: &u32) -> bool {
    *ordinal == 0
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ExtensionJson<'a> {
    identity: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_acked: Option<EntryPositionJson<'a>>,
    resume: ResumeJson<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResumeJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    gtid_before: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gtid_with: Option<&'a str>,
    #[serde(flatten)]
    boundary: BinlogPositionJson<'a>,
}

/// A file and offset as they are written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BinlogPositionJson<'a> {
    journal_name: &'a str,
    position: u64,
}

impl<'a> BinlogPositionJson<'a> {
    pub(super) fn new(position: &'a BinlogPosition) -> Self {
        Self {
            journal_name: position.file.as_str(),
            position: position.offset,
        }
    }
}

impl<'a> LogPositionJson<'a> {
    pub(super) fn new(cursor: &'a Cursor, form: LogPositionForm) -> Self {
        let class = match form {
            LogPositionForm::Cursor => Some(LOG_POSITION),
            LogPositionForm::Parse => None,
        };
        let source_address = AddressJson {
            address: &cursor.source.host,
            port: cursor.source.port,
        };
        Self {
            class,
            identity: IdentityJson {
                slave_id: -1,
                source_address,
            },
            postion: EntryPositionJson::new(&cursor.position),
            canald: cursor.extension.as_ref().map(ExtensionJson::new),
        }
    }
}

impl<'a> EntryPositionJson<'a> {
    fn new(entry: &'a EntryPosition) -> Self {
        Self {
            gtid: &entry.gtid,
            included: false,
            journal_name: entry.position.file.as_str(),
            ordinal: entry.ordinal,
            position: entry.position.offset,
            server_id: entry.server_id,
            timestamp: entry.timestamp.0,
        }
    }
}

impl<'a> ExtensionJson<'a> {
    fn new(extension: &'a Extension) -> Self {
        let resume = &extension.resume;
        Self {
            identity: &extension.identity,
            last_acked: extension.last_acked.as_ref().map(EntryPositionJson::new),
            resume: ResumeJson {
                gtid_before: resume.gtid_before.as_deref(),
                gtid_with: resume.gtid_with.as_deref(),
                boundary: BinlogPositionJson::new(&resume.boundary),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::testing::position;
    use alloc::string::ToString;

    /// The vectors of the ha-meta-store reference §1.3.
    const CURSOR: &str = r#"{"@type":"com.alibaba.otter.canal.protocol.position.LogPosition","identity":{"slaveId":-1,"sourceAddress":{"address":"localhost","port":3306}},"postion":{"gtid":"","included":false,"journalName":"mysql-bin.000003","position":1234,"serverId":1,"timestamp":1700000000000}}"#;
    const META_DAT: &str = r#"{"clientDatas":[{"clientIdentity":{"clientId":1001,"destination":"example","filter":""},"cursor":{"identity":{"slaveId":-1,"sourceAddress":{"address":"localhost","port":3306}},"postion":{"gtid":"","included":false,"journalName":"mysql-bin.000003","position":1234,"serverId":1,"timestamp":1700000000000}}},{"clientIdentity":{"clientId":1002,"destination":"example"}}],"destination":"example"}"#;

    fn cursor() -> Cursor {
        Cursor {
            position: position("mysql-bin.000003", 1234),
            source: SourceAddress {
                host: "localhost".into(),
                port: 3306,
            },
            extension: None,
        }
    }

    #[test]
    fn a_cursor_is_written_as_java_writes_it() {
        let text = encode_log_position(&cursor(), LogPositionForm::Cursor);
        assert_eq!(core::str::from_utf8(&text).unwrap(), CURSOR);
        let (head, tail) = CURSOR.split_once(r#""identity""#).unwrap();
        assert!(head.ends_with(r#"LogPosition","#));
        let text = encode_log_position(&cursor(), LogPositionForm::Parse);
        assert_eq!(
            core::str::from_utf8(&text).unwrap(),
            alloc::format!(r#"{{"identity"{tail}"#)
        );
        assert_eq!(decode_log_position(CURSOR.as_bytes()), Ok(cursor()));
        assert_eq!(decode_log_position(&text), Ok(cursor()));
    }

    #[test]
    fn the_extension_follows_what_java_reads_and_comes_back() {
        let mut cursor = cursor();
        cursor.position.ordinal = 2;
        cursor.extension = Some(Extension {
            identity: "uuid".into(),
            last_acked: Some(position("mysql-bin.000004", 7)),
            resume: Resume {
                boundary: BinlogPosition::new(BinlogFile::new("mysql-bin.000004"), 4),
                gtid_before: Some("u:1-4".into()),
                gtid_with: Some("u:1-5".into()),
            },
        });
        let text = encode_log_position(&cursor, LogPositionForm::Cursor);
        assert_eq!(decode_log_position(&text), Ok(cursor));
        let text = core::str::from_utf8(&text).unwrap();
        assert!(text.starts_with(&CURSOR[..CURSOR.find(r#","position""#).unwrap()]));
        assert!(text.ends_with(
            r#""canald":{"identity":"uuid","lastAcked":{"gtid":"","included":false,"journalName":"mysql-bin.000004","position":7,"serverId":1,"timestamp":1700000000000},"resume":{"gtidBefore":"u:1-4","gtidWith":"u:1-5","journalName":"mysql-bin.000004","position":4}}}"#
        ));
    }

    #[test]
    fn the_clients_of_a_meta_dat_are_read() {
        let clients = decode_meta_dat(META_DAT.as_bytes()).unwrap();
        let with = ClientRecord {
            filter: "".into(),
            cursor: Some(cursor()),
        };
        let without = ClientRecord {
            filter: "".into(),
            cursor: None,
        };
        assert!(
            clients
                .into_iter()
                .eq([(ClientId(1001), with), (ClientId(1002), without)])
        );
    }

    #[test]
    fn order_spaces_unknown_keys_nulls_and_numbers_as_text_are_tolerated() {
        let text = r#" {"postion": {"timestamp":"1700000000000", "journalName":"mysql-bin.000003",
            "position":"1234", "serverId":1, "gtid":null, "new":[1]}, "other":{},
            "identity":{"sourceAddress":{"port":3306,"address":"localhost"}}}"#;
        assert_eq!(decode_log_position(text.as_bytes()), Ok(cursor()));
    }

    #[test]
    fn a_cursor_of_a_time_alone_is_a_place() {
        let text = r#"{"identity":{"sourceAddress":{"address":null,"port":3306}},"postion":{"timestamp":1700000000000}}"#;
        let cursor = decode_log_position(text.as_bytes()).unwrap();
        assert_eq!(cursor.source.to_string(), "0.0.0.0:3306");
        assert_eq!(
            cursor.position.position,
            BinlogPosition::new(BinlogFile::new(""), 0)
        );
        assert_eq!(cursor.position.timestamp, WallMillis(1_700_000_000_000));
    }

    #[test]
    fn faults_say_where() {
        let faults = [
            (
                CURSOR.replace("1234", r#""x""#),
                r#"cursor.postion.position is "x": an offset in a binlog file was expected"#,
            ),
            (
                CURSOR.replace("1234", "-1"),
                "cursor.postion.position is -1: an offset in a binlog file was expected",
            ),
            (
                CURSOR.replace("3306", "70000"),
                "cursor.identity.sourceAddress.port is 70000: a TCP port was expected",
            ),
            (
                CURSOR.replace("postion", "position"),
                "cursor.postion is missing",
            ),
            (
                CURSOR.replace("false", "true"),
                "cursor.postion.included is true: false, as canal writes for what is confirmed, was expected",
            ),
            (
                r#"{"identity":{"sourceAddress":"h:1"},"postion":{}}"#.into(),
                r#"cursor.identity.sourceAddress is "h:1": an object was expected"#,
            ),
            ("[1]".into(), "cursor is [1]: an object was expected"),
            ("{}".into(), "cursor.identity is missing"),
        ];
        for (text, fault) in faults {
            assert_eq!(
                decode_log_position(text.as_bytes())
                    .unwrap_err()
                    .to_string(),
                fault
            );
        }
        let text = META_DAT.replace("1002", "40000");
        assert_eq!(
            decode_meta_dat(text.as_bytes()).unwrap_err().to_string(),
            "meta.dat.clientDatas[1].clientIdentity.clientId is 40000: a client id of 16 bits was expected"
        );
        let cut = &META_DAT.as_bytes()[..100];
        let fault = decode_meta_dat(cut).unwrap_err().to_string();
        assert!(
            fault.starts_with("not JSON: EOF") && fault.contains("line 1 column 100"),
            "{fault}"
        );
        let nowhere = CURSOR
            .replace("mysql-bin.000003", "")
            .replace("1700000000000", "0");
        assert!(decode_log_position(nowhere.as_bytes()).is_err());
    }
}
