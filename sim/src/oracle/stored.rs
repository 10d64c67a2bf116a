//! canald's record of a destination, read without canald: a header line and JSON.
//!
//! ```text
//! canald-meta VERSION LENGTH CRC
//! {"generation": …, "start": …, "clientDatas": […]}
//! ```
//!
//! Whoever changes the format breaks the simulator, on purpose: operators and Java servers read it too.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

/// The name of the file, in a destination's folder.
pub const FILE: &str = "canald.meta";

/// A place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPlace {
    /// The file; empty for the beginning of all.
    pub file: String,
    /// The offset.
    pub offset: u64,
}

/// Where a client stands, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCursor {
    /// canal's position: the last boundary that was acknowledged.
    pub position: LogPlace,
    /// The GTIDs beside it; empty if there are none.
    pub gtid: String,
    /// The last entry acknowledged; none if nothing was since the start.
    pub last_acked: Option<LogPlace>,
    /// From where the log is read again.
    pub boundary: Option<LogPlace>,
}

/// What the record says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The last generation of batch ids.
    pub generation: u64,
    /// Where the destination started.
    pub start: Option<StoredCursor>,
    /// Each client, and where it stands if it does anywhere.
    pub clients: BTreeMap<i16, Option<StoredCursor>>,
}

impl Stored {
    /// The record in what a disk holds; none if there is no such file.
    ///
    /// # Errors
    /// There is one, and it is not whole or makes no sense.
    pub fn of(holds: &[(String, Arc<[u8]>)]) -> Result<Option<Self>, String> {
        let is_record = |path: &str| path.rsplit('/').next() == Some(FILE);
        let file = holds.iter().find(|(path, _)| is_record(path));
        file.map(|(path, bytes)| Self::read(bytes).map_err(|why| format!("{path}: {why}")))
            .transpose()
    }

    /// Reads the file.
    ///
    /// # Errors
    /// It is not whole, or makes no sense.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let json: Value =
            serde_json::from_slice(body(bytes)?).map_err(|error| error.to_string())?;
        let mut clients = BTreeMap::new();
        for data in json["clientDatas"].as_array().into_iter().flatten() {
            let id = data["clientIdentity"]["clientId"].as_i64();
            let id = id.and_then(|id| i16::try_from(id).ok());
            let id = id.ok_or_else(|| format!("a client without an id: {data}"))?;
            clients.insert(id, optional(&data["cursor"])?);
        }
        let generation = json["generation"].as_u64();
        Ok(Self {
            generation: generation.ok_or("no generation")?,
            start: optional(&json["start"])?,
            clients,
        })
    }
}

/// What follows a header that is true.
fn body(bytes: &[u8]) -> Result<&[u8], String> {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let end = end.ok_or("no header line")?;
    let (line, body) = (&bytes[..end], &bytes[end + 1..]);
    let line = String::from_utf8_lossy(line);
    let words: Vec<&str> = line.split(' ').collect();
    let ["canald-meta", version @ "1", length, crc] = words[..] else {
        return Err(format!("the header is {line:?}"));
    };
    if length != body.len().to_string() {
        return Err(format!("{} bytes where {length} are said", body.len()));
    }
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(format!("{version} {length}").as_bytes());
    hasher.update(body);
    let found = format!("{:08x}", hasher.finalize());
    if found != crc {
        return Err(format!("its checksum is {found} where {crc} is said"));
    }
    Ok(body)
}

fn optional(json: &Value) -> Result<Option<StoredCursor>, String> {
    if json.is_null() {
        return Ok(None);
    }
    let extension = &json["canald"];
    Ok(Some(StoredCursor {
        position: place(&json["postion"])?,
        gtid: json["postion"]["gtid"].as_str().unwrap_or_default().into(),
        last_acked: optional_place(&extension["lastAcked"])?,
        boundary: optional_place(&extension["resume"])?,
    }))
}

fn optional_place(json: &Value) -> Result<Option<LogPlace>, String> {
    if json.is_null() {
        return Ok(None);
    }
    place(json).map(Some)
}

fn place(json: &Value) -> Result<LogPlace, String> {
    let wrong = || format!("a place without journalName and position: {json}");
    Ok(LogPlace {
        file: json["journalName"].as_str().ok_or_else(wrong)?.into(),
        offset: json["position"].as_u64().ok_or_else(wrong)?,
    })
}

#[cfg(test)]
mod tests {
    use canald_core::meta::record::MetaRecord;

    use super::*;
    use crate::oracle::testing::record_file;

    #[test]
    fn what_canald_writes_is_read() {
        let written = MetaRecord::default().encode();
        assert_eq!(Stored::read(&written), Ok(Stored::default()));
        let file = record_file(3, Some(("bin.000001", 4)), &[(7, Some(900)), (8, None)]);
        let canalds = MetaRecord::decode(&file).unwrap();
        let stored = Stored::read(&file).unwrap();
        assert_eq!(Stored::read(&canalds.encode()), Ok(stored.clone()));
        assert_eq!(stored.generation, 3);
        assert_eq!(stored.clients[&8], None);
        let cursor = stored.clients[&7].clone().unwrap();
        assert_eq!(cursor.last_acked.map(|place| place.offset), Some(900));
    }

    #[test]
    fn a_file_that_was_cut_or_changed_is_refused() {
        let file = record_file(1, None, &[]);
        let cut = &file[..file.len() - 1];
        assert!(Stored::read(cut).unwrap_err().contains("bytes where"));
        let mut changed = file.clone();
        let digit = changed.iter().position(|byte| *byte == b':').unwrap();
        changed[digit + 2] ^= 1;
        assert!(Stored::read(&changed).unwrap_err().contains("checksum"));
        assert!(Stored::read(b"").unwrap_err().contains("no header"));
    }

    #[test]
    fn the_record_is_found_among_what_a_disk_holds() {
        let file: Arc<[u8]> = record_file(1, None, &[]).into();
        let other = ("data/example/canald.meta.1".to_owned(), file.clone());
        assert_eq!(Stored::of(std::slice::from_ref(&other)), Ok(None));
        let ours = ("data/example/canald.meta".to_owned(), file);
        assert!(Stored::of(&[other, ours]).unwrap().is_some());
    }
}
