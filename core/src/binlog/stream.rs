//! Following the events of one dump or one file: each is verified and placed
//! (binlog-parser reference §1.13, §1.15, §1.16).
//!
//! The stream is in one of two states: *before the first FORMAT_DESCRIPTION*, when only artificial
//! ROTATE and HEARTBEAT events may come, and after it. It holds the file, our running offset and the
//! format in force, and nothing of any event. It allocates when the file or the format changes.
//! It never looks into rows and never skips an event: what it cannot vouch for is an [`EventFault`].

use crate::binlog::event::{Event, EventFault, EventFlags, EventHeader, EventProblem, EventType};
use crate::binlog::format::{CHECKSUM_BYTES, ChecksumAlgorithm, Format};
use crate::binlog::heartbeat::Heartbeat;
use crate::binlog::payload::Payload;
use crate::binlog::rotate::Rotate;
use crate::position::{BinlogFile, BinlogPosition};

/// Where the events come from, which decides what tells their offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// A server: `log_pos` and artificial events tell.
    Dump,
    /// A file: its events lie end to end, whatever they say of themselves (those of a relay log state
    /// offsets in the source's file).
    File,
}

/// Follows the events of one dump or one file.
#[derive(Clone, Debug)]
pub struct EventStream {
    origin: Origin,
    file: Option<BinlogFile>,
    next: u64,
    format: Format,
    has_format: bool,
}

impl EventStream {
    /// For a dump: the server's first event names the file.
    #[must_use]
    pub fn for_dump() -> Self {
        Self::new(Origin::Dump, None)
    }

    /// For the whole of `file`, from its first event on.
    #[must_use]
    pub fn for_file(file: BinlogFile) -> Self {
        Self::new(Origin::File, Some(file))
    }

    fn new(origin: Origin, file: Option<BinlogFile>) -> Self {
        Self {
            origin,
            file,
            next: BinlogPosition::FIRST_EVENT,
            format: Format::initial(),
            has_format: false,
        }
    }

    /// Verifies and places one whole raw event: header, body, checksum, without a packet's first byte.
    ///
    /// After a ROTATE the stream is in the next file; the event itself lies in the former.
    ///
    /// # Errors
    /// The event is damaged, misplaced or of a type that may not be skipped. The stream is unchanged;
    /// it makes no sense to go on.
    pub fn accept<'a>(&mut self, raw: &'a [u8]) -> Result<Event<'a>, EventFault> {
        let header = EventHeader::parse(raw).map_err(|error| {
            let event_type = EventType(raw.get(4).copied().unwrap_or(0));
            self.fault_at(event_type, EventProblem::Field(error))
        })?;
        self.try_accept(header, raw)
            .map_err(|problem| self.fault_at(header.event_type, problem))
    }

    /// Reads the body of an event that this stream has just accepted.
    ///
    /// # Errors
    /// The body is not what its type says; the fault names the file.
    #[inline]
    pub fn parse<'a>(&self, event: &Event<'a>) -> Result<Payload<'a>, EventFault> {
        event
            .parse(&self.format)
            .map_err(|fault| fault.of_file(self.file.as_ref()))
    }

    /// The file, once known.
    #[must_use]
    pub const fn file(&self) -> Option<&BinlogFile> {
        self.file.as_ref()
    }

    /// Offset of the next event in the file.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.next
    }

    /// The file and the offset of the next event, once known.
    #[must_use]
    pub fn position(&self) -> Option<BinlogPosition> {
        self.file
            .as_ref()
            .map(|file| BinlogPosition::new(file.clone(), self.next))
    }

    /// The format in force: [`Format::initial`] before the first FORMAT_DESCRIPTION.
    #[must_use]
    pub const fn format(&self) -> &Format {
        &self.format
    }

    fn try_accept<'a>(
        &mut self,
        header: EventHeader,
        raw: &'a [u8],
    ) -> Result<Event<'a>, EventProblem> {
        if header.size as usize != raw.len() {
            return Err(EventProblem::Size {
                stated: header.size,
                given: raw.len(),
            });
        }
        let event_type = header.event_type;
        if !event_type.is_known() && !header.flags.contains(EventFlags::IGNORABLE) {
            return Err(EventProblem::UnknownType);
        }
        if event_type == EventType::START_ENCRYPTION && self.origin == Origin::File {
            return Err(EventProblem::Encrypted);
        }
        if event_type == EventType::FORMAT_DESCRIPTION {
            return self.accept_format(header, raw);
        }
        let is_artificial = self.is_artificial(&header);
        let needs_format =
            !is_artificial || !(event_type == EventType::ROTATE || event_type.is_heartbeat());
        if needs_format && !self.has_format {
            return Err(EventProblem::BeforeFormat);
        }
        if !is_artificial {
            let body = verified_body(raw, self.format.checksum)?;
            let event = self.place(header, body)?;
            if event_type == EventType::ROTATE && self.origin == Origin::Dump {
                self.rotate(Rotate::parse(body)?);
            }
            return Ok(event);
        }
        let body = artificial_body(raw);
        let event = Event {
            header,
            start: self.next,
            end: self.next,
            is_artificial,
            body,
        };
        match event_type {
            EventType::ROTATE => self.rotate(Rotate::parse(body)?),
            EventType::HEARTBEAT => self.beat(Heartbeat::parse(body)?, header.log_pos),
            EventType::HEARTBEAT_V2 => self.beat(Heartbeat::parse_v2(body)?, header.log_pos),
            _ => {}
        }
        Ok(event)
    }

    /// Servers mark what they make up for a dump, but not always by the flag.
    const fn is_artificial(&self, header: &EventHeader) -> bool {
        if matches!(self.origin, Origin::File) {
            return false;
        }
        match header.event_type {
            EventType::HEARTBEAT | EventType::HEARTBEAT_V2 => true,
            // MariaDB sends it without a place, so that replicas do not count it (MDEV-26118)
            EventType::ROTATE | EventType::START_ENCRYPTION if header.log_pos == 0 => true,
            _ => header.flags.contains(EventFlags::ARTIFICIAL),
        }
    }

    fn accept_format<'a>(
        &mut self,
        header: EventHeader,
        raw: &'a [u8],
    ) -> Result<Event<'a>, EventProblem> {
        let mut body = &raw[EventHeader::BYTES..];
        let format = Format::parse(body)?;
        if format.has_checksum() {
            body = without_checksum(body);
            verify(raw, format_checksum(raw))?;
        }
        let is_copy = self.origin == Origin::Dump && header.log_pos == 0;
        let event = if is_copy {
            Event {
                header,
                start: self.next,
                end: self.next,
                is_artificial: true,
                body,
            }
        } else {
            self.place(header, body)?
        };
        self.format = format;
        self.has_format = true;
        Ok(event)
    }

    /// Gives an event of the file its place, and moves past it.
    fn place<'a>(
        &mut self,
        header: EventHeader,
        body: &'a [u8],
    ) -> Result<Event<'a>, EventProblem> {
        if self.file.is_none() {
            return Err(EventProblem::BeforeFile);
        }
        let size = u64::from(header.size);
        let beyond = EventProblem::Place {
            log_pos: header.log_pos,
            size: header.size,
        };
        let contiguous = self.next.checked_add(size).ok_or(beyond)?;
        let end = match (self.origin, header.log_pos) {
            (Origin::File, _) | (Origin::Dump, 0) => contiguous,
            (Origin::Dump, log_pos) => widen(log_pos, contiguous).ok_or(beyond)?,
        };
        self.next = end;
        Ok(Event {
            header,
            start: end - size,
            end,
            is_artificial: false,
            body,
        })
    }

    fn rotate(&mut self, to: Rotate<'_>) {
        if self
            .file
            .as_ref()
            .is_none_or(|file| file.as_str() != to.file)
        {
            self.file = Some(BinlogFile::new(to.file));
        }
        self.next = to.offset;
    }

    /// A heartbeat tells how far the source has read, which is farther than what it sent where it
    /// skipped transactions that we have. It never leads back.
    fn beat(&mut self, heartbeat: Heartbeat<'_>, log_pos: u32) {
        if self
            .file
            .as_ref()
            .is_none_or(|file| file.as_str() != heartbeat.file)
        {
            return;
        }
        let reached = heartbeat.offset.or_else(|| {
            widen(log_pos, self.next).filter(|offset| offset - self.next <= HEARTBEAT_GAP_BYTES_MAX)
        });
        self.next = self.next.max(reached.unwrap_or(0));
    }

    fn fault_at(&self, event_type: EventType, problem: EventProblem) -> EventFault {
        EventFault {
            file: self.file.clone(),
            offset: self.next,
            event_type,
            problem,
        }
    }
}

/// Farthest that a heartbeat of 32 bits can lead: from there on it may as well be behind us.
const HEARTBEAT_GAP_BYTES_MAX: u64 = 1 << 31;

/// The least offset from `least` on that has the low 32 bits `low`.
fn widen(low: u32, least: u64) -> Option<u64> {
    let behind = low.wrapping_sub(least as u32);
    least.checked_add(u64::from(behind))
}

/// The body of an artificial event. Whether it has a checksum depends on what was negotiated and not on
/// the format, which may be of another file or not known yet: so the bytes themselves are asked.
fn artificial_body(raw: &[u8]) -> &[u8] {
    let body = &raw[EventHeader::BYTES..];
    match verify(raw, crc32fast::hash(without_checksum(raw))) {
        Ok(()) if body.len() >= CHECKSUM_BYTES => without_checksum(body),
        _ => body,
    }
}

/// The body of an event of a file, its checksum verified and removed.
fn verified_body(raw: &[u8], algorithm: ChecksumAlgorithm) -> Result<&[u8], EventProblem> {
    let body = &raw[EventHeader::BYTES..];
    match algorithm {
        ChecksumAlgorithm::None => Ok(body),
        ChecksumAlgorithm::Crc32 => {
            verify(raw, crc32fast::hash(without_checksum(raw)))?;
            Ok(without_checksum(body))
        }
    }
}

fn verify(raw: &[u8], computed: u32) -> Result<(), EventProblem> {
    let stored = raw
        .last_chunk()
        .map_or(0, |bytes| u32::from_le_bytes(*bytes));
    if stored == computed {
        Ok(())
    } else {
        Err(EventProblem::Checksum { stored, computed })
    }
}

/// The checksum of a FORMAT_DESCRIPTION: the server sets and clears its IN_USE flag in place, so that
/// the checksum is that of the event without.
fn format_checksum(raw: &[u8]) -> u32 {
    let (header, body) = raw.split_at(EventHeader::BYTES);
    let (head, flags) = header.split_at(EventHeader::BYTES - 2);
    let mut crc = crc32fast::Hasher::new();
    crc.update(head);
    crc.update(&[flags[0] & !(EventFlags::IN_USE.0 as u8), flags[1]]);
    crc.update(without_checksum(body));
    crc.finalize()
}

fn without_checksum(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().saturating_sub(CHECKSUM_BYTES)]
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use std::string::ToString;

    use proptest::prelude::*;

    use super::*;
    use crate::binlog::format::tests::body as format_body;

    /// A raw event under construction.
    #[derive(Clone)]
    struct Raw {
        event_type: EventType,
        timestamp: u32,
        log_pos: u32,
        flags: u16,
        body: Vec<u8>,
        has_checksum: bool,
    }

    impl Raw {
        fn new(event_type: EventType, log_pos: u32, body: &[u8]) -> Self {
            let body = body.into();
            Self {
                event_type,
                timestamp: 1,
                log_pos,
                flags: 0,
                body,
                has_checksum: true,
            }
        }

        fn artificial(event_type: EventType, body: &[u8]) -> Self {
            let flags = EventFlags::ARTIFICIAL.0;
            Self {
                timestamp: 0,
                flags,
                ..Self::new(event_type, 0, body)
            }
        }

        fn bytes(&self) -> Vec<u8> {
            let checksum = if self.has_checksum { CHECKSUM_BYTES } else { 0 };
            let size = EventHeader::BYTES + self.body.len() + checksum;
            let mut raw = Vec::from(self.timestamp.to_le_bytes());
            raw.push(self.event_type.0);
            raw.extend(7u32.to_le_bytes());
            raw.extend((size as u32).to_le_bytes());
            raw.extend(self.log_pos.to_le_bytes());
            raw.extend(self.flags.to_le_bytes());
            raw.extend(&self.body);
            if self.has_checksum {
                raw.extend(crc32fast::hash(&raw).to_le_bytes());
            }
            raw
        }
    }

    fn format_event(log_pos: u32, algorithm: u8) -> Vec<u8> {
        let mut body = format_body("8.0.46", &[0; 42], Some(algorithm));
        body.truncate(body.len() - CHECKSUM_BYTES);
        Raw::new(EventType::FORMAT_DESCRIPTION, log_pos, &body).bytes()
    }

    const FORMAT_BYTES: u64 = 19 + 57 + 42 + 5;

    fn rotate_body(file: &str, offset: u64) -> Vec<u8> {
        offset
            .to_le_bytes()
            .into_iter()
            .chain(file.bytes())
            .collect()
    }

    fn rotate(file: &str, offset: u64) -> Raw {
        Raw::artificial(EventType::ROTATE, &rotate_body(file, offset))
    }

    fn xid(log_pos: u32) -> Raw {
        Raw::new(EventType::XID, log_pos, &[7; 8])
    }

    /// A dump that has got past `file` and a copy of its format.
    fn dump_at(file: &str, offset: u64) -> EventStream {
        let mut stream = EventStream::for_dump();
        stream.accept(&rotate(file, offset).bytes()).unwrap();
        stream.accept(&format_event(0, 1)).unwrap();
        stream
    }

    fn position(stream: &EventStream) -> std::string::String {
        stream.position().unwrap().to_string()
    }

    #[test]
    fn the_first_rotate_names_the_file_with_a_checksum_or_without() {
        for has_checksum in [true, false] {
            let mut stream = EventStream::for_dump();
            assert_eq!(stream.position(), None);
            let raw = Raw {
                has_checksum,
                ..rotate("binlog.000002", 4)
            }
            .bytes();
            let event = stream.accept(&raw).unwrap();
            assert!(event.is_artificial);
            assert_eq!(position(&stream), "binlog.000002:4");
            let Payload::Rotate(rotate) = stream.parse(&event).unwrap() else {
                unreachable!()
            };
            assert_eq!(rotate.file, "binlog.000002");
        }
    }

    #[test]
    fn a_dump_from_the_middle_begins_with_a_copy_of_the_format() {
        let mut stream = dump_at("binlog.000002", 1000);
        assert_eq!(position(&stream), "binlog.000002:1000");
        let raw = xid(1031).bytes();
        let event = stream.accept(&raw).unwrap();
        assert_eq!(
            (event.start, event.end, event.body),
            (1000, 1031, &[7; 8][..])
        );
        assert_eq!(position(&stream), "binlog.000002:1031");
    }

    #[test]
    fn a_dump_from_the_start_counts_the_format() {
        let mut stream = EventStream::for_dump();
        stream.accept(&rotate("binlog.000001", 4).bytes()).unwrap();
        let raw = format_event(4 + FORMAT_BYTES as u32, 1);
        let event = stream.accept(&raw).unwrap();
        assert_eq!((event.start, event.end), (4, 4 + FORMAT_BYTES));
        assert!(!event.is_artificial);
        assert_eq!(stream.format().server_version, "8.0.46");
    }

    #[test]
    fn events_without_a_place_lie_end_to_end() {
        // MariaDB 11.8 inside a transaction
        let mut stream = dump_at("binlog.000002", 1000);
        for start in [1000, 1031] {
            let raw = xid(0).bytes();
            let event = stream.accept(&raw).unwrap();
            assert_eq!((event.start, event.end), (start, start + 31));
        }
        let raw = xid(1093).bytes();
        assert_eq!(stream.accept(&raw).unwrap().start, 1062);
    }

    #[test]
    fn offsets_are_wider_than_the_header_can_say() {
        let far = u64::from(u32::MAX) - 10;
        let mut stream = dump_at("binlog.000002", far);
        let raw = xid((far + 31) as u32).bytes();
        let event = stream.accept(&raw).unwrap();
        assert_eq!((event.start, event.end), (far, far + 31));
    }

    #[test]
    fn a_skipped_group_leaves_a_gap() {
        let mut stream = dump_at("binlog.000002", 1000);
        let raw = xid(5031).bytes();
        let event = stream.accept(&raw).unwrap();
        assert_eq!((event.start, event.end), (5000, 5031));
    }

    #[test]
    fn heartbeats_lead_forward_only_and_in_their_file_only() {
        let mut stream = dump_at("binlog.000002", 1000);
        let beat = |file: &[u8], log_pos| {
            Raw {
                timestamp: 0,
                ..Raw::new(EventType::HEARTBEAT, log_pos, file)
            }
            .bytes()
        };
        let raw = beat(b"binlog.000002", 2000);
        let event = stream.accept(&raw).unwrap();
        assert!(event.is_artificial);
        assert_eq!(event.body, b"binlog.000002");
        assert_eq!(stream.offset(), 2000);
        stream.accept(&beat(b"binlog.000002", 1500)).unwrap();
        stream.accept(&beat(b"binlog.000009", 9000)).unwrap();
        assert_eq!(stream.offset(), 2000);
        let body = b"\x01\x0dbinlog.000002\x02\x09\xfe\x00\x00\x00\x00\x01\x00\x00\x00\x00";
        stream
            .accept(&Raw::new(EventType::HEARTBEAT_V2, 0, body).bytes())
            .unwrap();
        assert_eq!(stream.offset(), 1 << 32);
    }

    #[test]
    fn a_rotation_is_two_events_and_the_next_file_may_have_other_checksums() {
        let mut stream = dump_at("binlog.000002", 1000);
        let raw = Raw::new(EventType::ROTATE, 1044, &rotate_body("binlog.000003", 4)).bytes();
        let event = stream.accept(&raw).unwrap();
        assert_eq!(
            (event.start, event.end, event.is_artificial),
            (1000, 1044, false)
        );
        assert_eq!(position(&stream), "binlog.000003:4");
        let artificial = Raw {
            has_checksum: false,
            ..rotate("binlog.000003", 4)
        };
        stream.accept(&artificial.bytes()).unwrap();
        stream
            .accept(&format_event(4 + FORMAT_BYTES as u32, 0))
            .unwrap();
        let end = 4 + FORMAT_BYTES as u32 + 27;
        let raw = Raw {
            has_checksum: false,
            ..xid(end)
        }
        .bytes();
        assert_eq!(stream.accept(&raw).unwrap().body.len(), 8);
        assert_eq!(position(&stream), std::format!("binlog.000003:{end}"));
    }

    #[test]
    fn a_file_is_followed_by_its_framing() {
        let mut stream = EventStream::for_file(BinlogFile::new("relay.000001"));
        let mut raw = format_event(9000, 1);
        raw[17] |= EventFlags::IN_USE.0 as u8;
        let event = stream.accept(&raw).unwrap();
        assert_eq!((event.start, event.end), (4, 4 + FORMAT_BYTES));
        let raw = rotate("source.000005", 700).bytes();
        let event = stream.accept(&raw).unwrap();
        assert!(!event.is_artificial);
        assert_eq!(
            position(&stream),
            std::format!("relay.000001:{}", event.end)
        );
    }

    #[test]
    fn faults_leave_the_stream_as_it_was() {
        let mut stream = dump_at("binlog.000002", 1000);
        let mut damaged = xid(1031).bytes();
        damaged[20] ^= 1;
        let fault = stream.accept(&damaged).unwrap_err();
        assert!(matches!(fault.problem, EventProblem::Checksum { .. }));
        assert!(
            fault
                .to_string()
                .starts_with("binlog.000002 at offset 1000, event Xid (16): ")
        );

        let short = xid(1031).bytes();
        let fault = stream.accept(&short[..30]).unwrap_err();
        assert_eq!(
            fault.problem,
            EventProblem::Size {
                stated: 31,
                given: 30
            }
        );
        let fault = stream.accept(&short[..10]).unwrap_err();
        assert_eq!(fault.event_type, EventType::XID);
        assert!(matches!(fault.problem, EventProblem::Field(_)));

        let fault = stream
            .accept(&Raw::new(EventType(99), 1031, &[]).bytes())
            .unwrap_err();
        assert_eq!(fault.problem, EventProblem::UnknownType);
        assert_eq!(position(&stream), "binlog.000002:1000");

        let ignorable = Raw {
            flags: 0x80,
            ..Raw::new(EventType(99), 1023, &[])
        }
        .bytes();
        let event = stream.accept(&ignorable).unwrap();
        assert_eq!(stream.parse(&event), Ok(Payload::Ignored));
        let fault = stream
            .parse(&Event {
                header: EventHeader {
                    event_type: EventType::XID,
                    ..event.header
                },
                ..event
            })
            .unwrap_err();
        assert_eq!(fault.file.unwrap().as_str(), "binlog.000002");
    }

    #[test]
    fn nothing_but_rotate_and_heartbeat_precedes_the_format() {
        let mut stream = EventStream::for_dump();
        stream.accept(&rotate("binlog.000002", 4).bytes()).unwrap();
        let fault = stream.accept(&xid(35).bytes()).unwrap_err();
        assert_eq!(fault.problem, EventProblem::BeforeFormat);
        let list = Raw::artificial(EventType::GTID_LIST, &[0; 4]).bytes();
        assert_eq!(
            stream.accept(&list).unwrap_err().problem,
            EventProblem::BeforeFormat
        );
        let fault = EventStream::for_dump()
            .accept(&format_event(126, 1))
            .unwrap_err();
        assert_eq!(fault.problem, EventProblem::BeforeFile);
    }

    #[test]
    fn an_artificial_event_of_mariadb_takes_no_place() {
        let mut stream = dump_at("binlog.000002", 1000);
        let raw = Raw::artificial(EventType::GTID_LIST, &[0; 4]).bytes();
        let event = stream.accept(&raw).unwrap();
        assert_eq!(
            (event.start, event.end, event.is_artificial),
            (1000, 1000, true)
        );
        let raw = Raw::new(EventType::START_ENCRYPTION, 0, &[0; 17]).bytes();
        assert!(stream.accept(&raw).unwrap().is_artificial);
        assert_eq!(stream.offset(), 1000);
    }

    #[test]
    fn a_place_beyond_64_bits_is_a_fault() {
        let mut stream = dump_at("binlog.000002", u64::MAX - 5);
        for log_pos in [0, 31] {
            let fault = stream.accept(&xid(log_pos).bytes()).unwrap_err();
            assert_eq!(fault.problem, EventProblem::Place { log_pos, size: 31 });
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            event_type in any::<u8>(),
            log_pos in any::<u32>(),
            flags in any::<u16>(),
            body in proptest::collection::vec(any::<u8>(), 0..60),
            has_checksum in any::<bool>(),
        ) {
            let event_type = EventType(event_type);
            let raw = Raw { event_type, timestamp: 0, log_pos, flags, body, has_checksum }.bytes();
            for mut stream in [EventStream::for_dump(), dump_at("b.1", 4)] {
                if let Ok(event) = stream.accept(&raw) {
                    prop_assert!(event.start <= event.end);
                    let _ = stream.parse(&event);
                }
                let _ = stream.accept(&raw[..raw.len() / 2]);
            }
        }
    }
}
