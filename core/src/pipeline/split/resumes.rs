//! Links that break and servers that die inside of a transaction: what is delivered, and where reading
//! goes on.

use super::*;
use crate::binlog::event::EventType;
use crate::binlog::format::tests::body as format_body;
use crate::config::{FilterConfig, SubscribeFilter};
use crate::filter::{ColumnFilter, ListKind, TableFilter, TableJudge};
use crate::pipeline::job::ItemBody;
use alloc::vec;

const FILE: &str = "b.000001";
const TABLE_ID: [u8; 6] = [7, 0, 0, 0, 0, 0];

/// A log of MySQL 8.0 without checksums, as a dump from its beginning.
struct Log {
    splitter: Splitter,
    at: u32,
}

impl Log {
    fn new(transaction_entries: u32) -> Self {
        let mut log = Self {
            splitter: splitter(transaction_entries),
            at: 4,
        };
        log.rotate(FILE);
        log
    }

    /// The server goes on in `file`, and begins a new life there.
    fn rotate(&mut self, file: &str) {
        const ARTIFICIAL: u8 = 0x20;
        let body = [&4_u64.to_le_bytes()[..], file.as_bytes()].concat();
        let mut raw = event(EventType::ROTATE, 0, &body);
        raw[17] |= ARTIFICIAL;
        self.splitter.handle_event(raw.into()).unwrap();
        self.at = 4;
        let mut raw = format_body("8.0.46", &[], Some(0));
        raw.truncate(raw.len() - 4);
        let at = self.at + 19 + raw.len() as u32 + 4;
        let mut raw = event(
            EventType::FORMAT_DESCRIPTION,
            at,
            &[&raw[..], &[0; 4]].concat(),
        );
        let end = raw.len() - 4;
        let checksum = crc32fast::hash(&raw[..end]);
        raw[end..].copy_from_slice(&checksum.to_le_bytes());
        self.at = at;
        self.splitter.handle_event(raw.into()).unwrap();
    }

    /// Where the event begins.
    fn add(&mut self, event_type: EventType, body: &[u8]) -> u64 {
        let start = self.at;
        self.at += 19 + body.len() as u32;
        self.splitter
            .handle_event(event(event_type, self.at, body).into())
            .unwrap();
        start.into()
    }

    fn begin(&mut self) -> u64 {
        let head = [&[0; 8][..], &[1, 0, 0, 0, 0], b"d\0BEGIN"].concat();
        self.add(EventType::QUERY, &head)
    }

    /// A map of `d.t`, a table of one INT, and the row 1: where either begins.
    fn row(&mut self) -> (u64, u64) {
        let map = [&TABLE_ID[..], &[1, 0], b"\x01d\0\x01t\0", &[1, 3, 0, 0]].concat();
        let rows = [
            &TABLE_ID[..],
            &[1, 0],
            &[2, 0],
            &[1, 0xff],
            &[0, 1, 0, 0, 0],
        ]
        .concat();
        (
            self.add(EventType::TABLE_MAP, &map),
            self.add(EventType::WRITE_ROWS, &rows),
        )
    }

    fn commit(&mut self) -> u64 {
        self.add(EventType::XID, &[9, 0, 0, 0, 0, 0, 0, 0])
    }

    /// Kind and place of everything that came out since.
    fn items(&mut self) -> Vec<(&'static str, u64)> {
        self.splitter.close_job();
        core::iter::from_fn(|| self.splitter.next_job())
            .flat_map(|job| job.items)
            .map(|item| {
                let kind = match item.body {
                    ItemBody::Begin { .. } => "begin",
                    ItemBody::End { .. } => "end",
                    ItemBody::Rows { .. } => "rows",
                    ItemBody::Statement(_) => "statement",
                };
                (kind, item.place.start)
            })
            .collect()
    }
}

fn event(event_type: EventType, end: u32, body: &[u8]) -> Vec<u8> {
    let mut raw = vec![1, 0, 0, 0, event_type.0, 7, 0, 0, 0];
    raw.extend((19 + body.len() as u32).to_le_bytes());
    raw.extend(end.to_le_bytes());
    raw.extend([0, 0]);
    raw.extend(body);
    raw
}

fn splitter(transaction_entries: u32) -> Splitter {
    let config = SplitConfig {
        encode: Arc::new(EncodeSettings::default()),
        transaction_entries,
        drop_transaction_entries: false,
        doubt: DoubtPolicy::Anonymous,
        lookahead_bytes: 1 << 20,
        fold_names: false,
    };
    let filter = FilterConfig {
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
    };
    let black = TableFilter::compile("", ListKind::Black).unwrap();
    let everything = Verdicts::new(TableJudge::new(Vec::new(), Arc::new(black)));
    let columns = ColumnFilter::parse("", "").unwrap();
    let selection = Selection::new(filter, columns, vec![everything]);
    Splitter::new(
        config,
        EventStream::for_dump(),
        selection,
        GtidTracker::off(),
    )
}

/// A server that died while it wrote a transaction leaves its beginning in the log and goes on in
/// the next file; nobody committed it.
#[test]
fn what_a_dead_server_left_unfinished_is_not_delivered() {
    let mut log = Log::new(100);
    log.begin();
    log.row();
    log.rotate("b.000002");
    assert_eq!(log.items(), []);
    let begin = log.begin();
    let (_, row) = log.row();
    let end = log.commit();
    assert_eq!(log.items(), [("begin", begin), ("rows", row), ("end", end)]);
    let boundary = &log.splitter.resume().unwrap().boundary;
    assert_eq!(
        *boundary,
        BinlogPosition::new(BinlogFile::new("b.000002"), begin)
    );
}

/// Rows without a BEGIN: reading them again must begin at their map, without which they mean nothing.
#[test]
fn a_resume_is_never_between_a_map_and_its_rows() {
    let mut log = Log::new(1);
    let (map, row) = log.row();
    assert_eq!(log.items(), [("rows", row)]);
    assert_eq!(log.splitter.resume().unwrap().boundary.offset, map);
}

/// All of a transaction but its end was delivered when the link broke.
#[test]
fn a_transaction_read_again_for_its_end_alone_has_its_end() {
    let mut log = Log::new(2);
    log.begin();
    log.commit();
    let begin = log.begin();
    let (_, row) = log.row();
    assert_eq!(log.items()[2..], [("begin", begin), ("rows", row)]);

    let boundary = log.splitter.resume().unwrap().boundary.clone();
    assert_eq!(boundary.offset, begin);
    log.splitter.restart(Restart {
        stream: EventStream::for_dump(),
        gtids: GtidTracker::off(),
        skip: None,
        fold_names: false,
    });
    log.rotate(FILE);
    log.at = begin as u32;
    log.begin();
    log.row();
    let end = log.commit();
    assert_eq!(log.items(), [("end", end)]);
}
