//! GTID, ANONYMOUS_GTID, GTID_TAGGED and PREVIOUS_GTIDS: where MySQL's transactions begin
//! (binlog-parser reference §2.4).

use crate::gtid::{GTID_NUMBER_MAX, Gtid, GtidTag, ServerUuid};
use crate::read::{ReadError, Reader};

/// The begin of a transaction, MySQL. Every version of the server adds fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GtidEvent {
    /// Its GTID; none if it is anonymous.
    pub gtid: Option<Gtid>,
    /// Whether it may hold statements: without, it holds rows alone.
    pub may_have_statements: bool,
    /// Logical clock of the transaction that this one waits for, in the numbering of the file (5.7).
    pub last_committed: Option<i64>,
    /// Its logical clock in the numbering of the file (5.7).
    pub sequence_number: Option<i64>,
    /// Microseconds since 1970 of its commit on the source (8.0).
    pub immediate_commit_us: Option<u64>,
    /// Microseconds since 1970 of its commit where it was first run (8.0).
    pub original_commit_us: Option<u64>,
    /// Bytes of the whole transaction, this event included (8.0).
    pub transaction_bytes: Option<u64>,
    /// Version of the source, as in 80046 (8.0).
    pub immediate_version: Option<u32>,
    /// Version of the server where it was first run (8.0).
    pub original_version: Option<u32>,
}

impl GtidEvent {
    /// Reads the body of a GTID or ANONYMOUS_GTID event, checksum removed.
    ///
    /// # Errors
    /// It is cut off within what every version has, or its number is none of a GTID.
    pub fn parse(body: &[u8]) -> Result<Self, ReadError> {
        let mut r = Reader::new(body);
        let flags = r.u8("GTID flags")?;
        let uuid = ServerUuid(r.array("server UUID")?);
        let number = r.u64("GTID number")?;
        let mut event = Self {
            gtid: gtid(&r, uuid, GtidTag::NONE, number)?,
            may_have_statements: flags & MAY_HAVE_STATEMENTS != 0,
            ..Self::default()
        };
        if r.left() < LOGICAL_CLOCK_BYTES || r.u8("logical clock type")? != LOGICAL_CLOCK {
            return Ok(event);
        }
        event.last_committed = Some(r.u64("last committed")?.cast_signed());
        event.sequence_number = Some(r.u64("sequence number")?.cast_signed());
        if r.is_empty() {
            return Ok(event);
        }
        let immediate = r.uint(TIMESTAMP_BYTES, "immediate commit timestamp")?;
        event.immediate_commit_us = Some(immediate & !TIMESTAMP_FOLLOWS);
        event.original_commit_us = event.immediate_commit_us;
        if immediate & TIMESTAMP_FOLLOWS != 0 {
            event.original_commit_us = Some(r.uint(TIMESTAMP_BYTES, "original commit timestamp")?);
        }
        if r.is_empty() {
            return Ok(event);
        }
        event.transaction_bytes = Some(r.lenenc("transaction length")?);
        if r.is_empty() {
            return Ok(event);
        }
        let immediate = r.u32("immediate server version")?;
        event.immediate_version = Some(immediate & !VERSION_FOLLOWS);
        event.original_version = event.immediate_version;
        if immediate & VERSION_FOLLOWS != 0 {
            event.original_version = Some(r.u32("original server version")?);
        }
        Ok(event)
    }

    /// Reads the body of a GTID_TAGGED event, checksum removed: numbered fields in ascending order.
    ///
    /// # Errors
    /// It is cut off, or has a field that canald does not know and may not ignore.
    pub fn parse_tagged(body: &[u8]) -> Result<Self, ReadError> {
        let mut r = Reader::new(body);
        if varint(&mut r, "serialization version")? != SERIALIZATION_VERSION {
            return Err(r.invalid("serialization version", "is not 1"));
        }
        let size = varint(&mut r, "serialized size")?;
        if usize::try_from(size) != Ok(body.len()) {
            return Err(r.invalid("serialized size", "is not that of the event"));
        }
        let last_needed = varint(&mut r, "last field that may not be ignored")?;
        let mut event = Self::default();
        let (mut uuid, mut tag, mut number) = (ServerUuid::NIL, GtidTag::NONE, 0);
        while !r.is_empty() {
            match varint(&mut r, "field number")? {
                0 => {
                    let flags = varint(&mut r, "GTID flags")?;
                    event.may_have_statements = flags & u64::from(MAY_HAVE_STATEMENTS) != 0;
                }
                1 => uuid = varint_uuid(&mut r)?,
                2 => number = signed_varint(&mut r, "GTID number")?.cast_unsigned(),
                3 => tag = varint_tag(&mut r)?,
                4 => event.last_committed = Some(signed_varint(&mut r, "last committed")?),
                5 => event.sequence_number = Some(signed_varint(&mut r, "sequence number")?),
                6 => {
                    event.immediate_commit_us = Some(varint(&mut r, "immediate commit timestamp")?);
                }
                7 => event.original_commit_us = Some(varint(&mut r, "original commit timestamp")?),
                8 => event.transaction_bytes = Some(varint(&mut r, "transaction length")?),
                9 => event.immediate_version = Some(version(&mut r)?),
                10 => event.original_version = Some(version(&mut r)?),
                unknown if unknown <= last_needed => {
                    return Err(r.invalid("field number", "is unknown and may not be ignored"));
                }
                _ => break,
            }
        }
        event.gtid = gtid(&r, uuid, tag, number)?;
        if event.gtid.is_none() {
            return Err(r.invalid("GTID number", "is missing"));
        }
        event.original_commit_us = event.original_commit_us.or(event.immediate_commit_us);
        event.original_version = event.original_version.or(event.immediate_version);
        Ok(event)
    }
}

/// A GTID; none for an anonymous transaction, which has a UUID and number of zeros.
fn gtid(
    r: &Reader<'_>,
    uuid: ServerUuid,
    tag: GtidTag,
    number: u64,
) -> Result<Option<Gtid>, ReadError> {
    match number {
        0 if uuid == ServerUuid::NIL => Ok(None),
        1..=GTID_NUMBER_MAX => Ok(Some(Gtid { uuid, tag, number })),
        _ => Err(r.invalid("GTID number", "is out of range")),
    }
}

/// MySQL's variable-length integer: as many 1-bits at the low end of the first byte as bytes follow it.
fn varint(r: &mut Reader<'_>, field: &'static str) -> Result<u64, ReadError> {
    let first = r.u8(field)?;
    let more = first.trailing_ones() as usize;
    if more == 8 {
        return r.u64(field);
    }
    let low = u64::from(first) >> (more + 1);
    let high = r.uint(more, field)?;
    Ok(low | high << (7 - more))
}

/// A signed integer: the sign is the lowest bit.
fn signed_varint(r: &mut Reader<'_>, field: &'static str) -> Result<i64, ReadError> {
    let value = varint(r, field)?;
    Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

/// A UUID whose bytes are variable-length integers.
fn varint_uuid(r: &mut Reader<'_>) -> Result<ServerUuid, ReadError> {
    let mut uuid = ServerUuid::NIL;
    for byte in &mut uuid.0 {
        let value = varint(r, "server UUID")?;
        *byte = u8::try_from(value).map_err(|_| r.invalid("server UUID", "has no bytes"))?;
    }
    Ok(uuid)
}

fn varint_tag(r: &mut Reader<'_>) -> Result<GtidTag, ReadError> {
    let length = varint(r, "tag length")?;
    let length = usize::try_from(length).map_err(|_| r.invalid("tag length", "is beyond 32"))?;
    match r.bytes(length, "tag")? {
        [] => Ok(GtidTag::NONE),
        text => GtidTag::new(text).ok_or_else(|| r.invalid("tag", "is not a tag")),
    }
}

fn version(r: &mut Reader<'_>) -> Result<u32, ReadError> {
    let version = varint(r, "server version")?;
    u32::try_from(version).map_err(|_| r.invalid("server version", "is out of range"))
}

const MAY_HAVE_STATEMENTS: u8 = 1;
const LOGICAL_CLOCK: u8 = 2;
const LOGICAL_CLOCK_BYTES: usize = 17;
const TIMESTAMP_BYTES: usize = 7;
const TIMESTAMP_FOLLOWS: u64 = 1 << 55;
const VERSION_FOLLOWS: u32 = 1 << 31;
const SERIALIZATION_VERSION: u64 = 1;

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use proptest::prelude::*;

    use super::*;

    /// MySQL 9.7, after the reference's example.
    const GTID: &[u8] = b"\x01\x4b\x66\x56\x3a\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x00\x01\
        \x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x30\x36\xab\x0a\xd3\x60\x06\
        \xfc\x39\x01\x50\x62\x01\x00";

    #[test]
    fn every_version_adds_fields() {
        let event = GtidEvent::parse(GTID).unwrap();
        let gtid = event.gtid.unwrap();
        assert_eq!(
            gtid.to_string(),
            "4b66563a-1112-1314-1516-171819 1a0001:1".replace(' ', "")
        );
        assert!(event.may_have_statements);
        assert_eq!(
            (event.last_committed, event.sequence_number),
            (Some(0), Some(1))
        );
        assert_eq!(event.immediate_commit_us, Some(0x06_60d3_0aab_3630));
        assert_eq!(event.original_commit_us, event.immediate_commit_us);
        assert_eq!(event.transaction_bytes, Some(313));
        assert_eq!(
            (event.immediate_version, event.original_version),
            (Some(90704), Some(90704))
        );

        let of_57 = GtidEvent::parse(&GTID[..42]).unwrap();
        assert_eq!((of_57.gtid, of_57.sequence_number), (Some(gtid), Some(1)));
        assert_eq!(of_57.transaction_bytes, None);
        let of_56 = GtidEvent::parse(&GTID[..25]).unwrap();
        assert_eq!((of_56.gtid, of_56.sequence_number), (Some(gtid), None));
        assert_eq!(
            GtidEvent::parse(&GTID[..24]).unwrap_err().field,
            "GTID number"
        );
        assert_eq!(
            GtidEvent::parse(&GTID[..45]).unwrap_err().field,
            "immediate commit timestamp"
        );
    }

    #[test]
    fn a_replicated_transaction_has_two_times_and_versions() {
        let mut body = GTID[..42].to_vec();
        body.extend(b"\x02\0\0\0\0\0\x80\x01\0\0\0\0\0\0\x05\x50\x62\x01\x80\xae\x38\x01\x00");
        let event = GtidEvent::parse(&body).unwrap();
        assert_eq!(
            (event.immediate_commit_us, event.original_commit_us),
            (Some(2), Some(1))
        );
        assert_eq!(
            (event.immediate_version, event.original_version),
            (Some(90704), Some(80046))
        );
    }

    #[test]
    fn an_anonymous_transaction_has_no_gtid() {
        let mut body = GTID.to_vec();
        body[1..25].fill(0);
        assert_eq!(GtidEvent::parse(&body).unwrap().gtid, None);
        body[1] = 1;
        assert_eq!(GtidEvent::parse(&body).unwrap_err().field, "GTID number");
    }

    /// From a file of MySQL 9.7.
    const TAGGED: &[u8] = b"\x02\x74\0\0\0\x02\x2e\x04\xd2\xb2\x99\x03\x3c\x22\xc5\x03\x4d\x02\
        \xd9\x02\x04\xf1\x03\0\0\0\x02\x04\x04\x06\x0e\x74\x61\x67\x5f\x75\x74\x79\x08\x08\x0a\x10\
        \x0c\x7f\x28\x79\xa6\x68\xd4\x60\x06\x10\xbd\x04\x12\x83\x12\x0b";

    #[test]
    fn a_tagged_transaction_is_serialized() {
        let event = GtidEvent::parse_tagged(TAGGED).unwrap();
        let gtid = event.gtid.unwrap();
        assert_eq!(
            gtid.to_string(),
            "17026959-e61e-11f1-93b6-02fc00000001:tag_uty:1"
        );
        assert!(!event.may_have_statements);
        assert_eq!(
            (event.last_committed, event.sequence_number),
            (Some(2), Some(4))
        );
        assert_eq!(event.immediate_commit_us, Some(0x06_60d4_68a6_7928));
        assert_eq!(event.immediate_version, Some(90704));
        assert_eq!(event.transaction_bytes, Some(303));
        for cut in 0..TAGGED.len() {
            let cut = &TAGGED[..cut];
            assert!(GtidEvent::parse_tagged(cut).is_err(), "{} bytes", cut.len());
        }
    }

    #[test]
    fn an_unknown_field_may_have_to_be_known() {
        let mut body = TAGGED.to_vec();
        body.extend(b"\x18\x07");
        body[1] += 2 << 1;
        assert!(GtidEvent::parse_tagged(&body).unwrap().gtid.is_some());
        body[2] = 12 << 1;
        assert_eq!(
            GtidEvent::parse_tagged(&body).unwrap_err().field,
            "field number"
        );
    }

    #[test]
    fn integers_have_variable_lengths_and_signs() {
        let read = |bytes: &[u8]| varint(&mut Reader::new(bytes), "n");
        assert_eq!(read(&[0xfe]), Ok(127));
        assert_eq!(read(&[0xbd, 0x04]), Ok(303));
        assert_eq!(
            read(&[0x7f, 1, 0, 0, 0, 0, 0, 0x80]),
            Ok(0x0080_0000_0000_0001)
        );
        assert_eq!(
            read(&[0xff, 1, 0, 0, 0, 0, 0, 0, 0x80]),
            Ok(0x8000_0000_0000_0001)
        );
        assert!(read(&[0x01]).is_err());
        let signed = |bytes: &[u8]| signed_varint(&mut Reader::new(bytes), "n");
        assert_eq!(signed(&[0x04]), Ok(1));
        assert_eq!(signed(&[0x02]), Ok(-1));
        assert_eq!(signed(&[0xff; 9]), Ok(i64::MIN));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = GtidEvent::parse(&bytes);
            let _ = GtidEvent::parse_tagged(&bytes);
        }
    }
}
