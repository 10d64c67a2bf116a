//! An instance against a scripted source: what is said, asked and stored, and in which order.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;

use prost::Message;

use super::*;
use crate::config::{BatchMode, Start};
use crate::entry::proto::{Content, Entry};
use crate::meta::testing::cursor;
use crate::mysql::handshake::tests::greeting;
use crate::mysql::packet::PacketReader;
use crate::mysql::query::ResultSet;
use crate::mysql::query::tests::{packets, result};
use crate::pipeline::testing::{Log, Metadata, opening};
use crate::position::{BinlogFile, BinlogPosition};
use crate::request::{Ask, Batch, BatchId, Wait};
use crate::source::start::tests::config as any_config;
use crate::store::testing::config as store_config;
use crate::time::Duration;

mod gap;
mod runs;
mod serving;
mod source;
mod survey;

const FILE: &str = "binlog.000007";
const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const OK_PACKET: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
const CLIENT: ClientId = ClientId(1001);

/// What a run did, in order.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Dialed(LinkId),
    /// The record was handed over to be stored.
    Saving(Box<MetaRecord>),
    /// It was stored, or not.
    Saved(bool),
    /// A dump was asked for from here.
    Dump(BinlogPosition),
    Reply(RequestId, Answer),
    Closed(SessionId, CloseCause),
    Report(Weight, String),
}

/// A reply, as far as tests look at it.
#[derive(Clone, Debug, PartialEq)]
enum Answer {
    Done,
    NoData,
    Batch(BatchId, Vec<u32>),
    Refused(String),
}

/// What becomes of writes of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disk {
    Works,
    Fails,
    Hangs,
}

/// One connection, seen from the server.
struct ServerLink {
    packets: PacketReader,
    buf: BytesMut,
    is_dump: bool,
}

/// An instance and its world.
struct Rig {
    instance: Instance,
    now: Instant,
    log: Log,
    links: BTreeMap<LinkId, ServerLink>,
    disk: Disk,
    unsaved: bool,
    /// The error with which dumps are refused.
    refusal: Option<&'static str>,
    /// The offset from which on they are not refused.
    purged: u64,
    /// Which server answers.
    uuid: &'static str,
    gtid_mode: &'static str,
    steps: Vec<Step>,
    requests: u64,
    /// How often links may still be served.
    rounds: usize,
}

fn config() -> InstanceConfig {
    InstanceConfig {
        lookahead_bytes: 1 << 20,
        store: store_config(64, BatchMode::Entries),
        transaction_entries: 32,
        ..any_config(Start::Earliest)
    }
}

fn at(offset: u64) -> BinlogPosition {
    BinlogPosition::new(BinlogFile::new(FILE), offset)
}

impl Rig {
    fn new(config: InstanceConfig) -> Self {
        Self::resumed(config, MetaRecord::default(), Log::new(FILE))
    }

    fn resumed(config: InstanceConfig, record: MetaRecord, log: Log) -> Self {
        let now = Instant::ZERO;
        let instance = Instance::new(config, record, Seed(1), now).unwrap();
        Self {
            instance,
            now,
            log,
            links: BTreeMap::new(),
            disk: Disk::Works,
            unsaved: false,
            refusal: None,
            purged: u64::MAX,
            uuid: UUID,
            gtid_mode: "OFF",
            steps: Vec::new(),
            requests: 0,
            rounds: usize::MAX,
        }
    }

    /// An instance that streams, with one subscribed client.
    fn streaming() -> Self {
        let mut rig = Self::new(config());
        rig.run();
        rig.subscribe(1, CLIENT);
        assert_eq!(rig.stage(), Stage::Streaming);
        rig
    }

    fn stage(&self) -> Stage {
        self.instance.status().stage
    }

    fn input(&mut self, input: Input) {
        self.instance.handle_input(self.now, input);
        self.run();
    }

    fn wait(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.instance.handle_timeout(self.now);
        self.run();
    }

    /// Does what the instance wants until it wants nothing more.
    fn run(&mut self) {
        loop {
            while let Some(output) = self.instance.poll_output() {
                self.take(output);
            }
            if self.rounds == 0 || !self.deliver() {
                return;
            }
            self.rounds -= 1;
        }
    }

    fn take(&mut self, output: Output) {
        match output {
            Output::Dial(link) => {
                self.steps.push(Step::Dialed(link));
                let mut server = ServerLink {
                    packets: PacketReader::new(),
                    buf: BytesMut::new(),
                    is_dump: false,
                };
                server.send(&greeting(
                    "8.4.13",
                    !0x800,
                    b"abcdefghijklmnopqrst",
                    "mysql_native_password",
                ));
                self.links.insert(link, server);
                self.instance.handle_input(self.now, Input::LinkUp(link));
            }
            Output::Hangup(link) => {
                self.links.remove(&link);
            }
            Output::Transmit(link, bytes) => self.answer(link, &bytes),
            Output::Reply(id, reply) => self.steps.push(Step::Reply(id, answer(reply))),
            Output::CloseSession(session, cause) => self.steps.push(Step::Closed(session, cause)),
            Output::Decode(job) => {
                let id = job.id;
                let decoded = crate::pipeline::decode::decode(job);
                self.instance
                    .handle_input(self.now, Input::Decoded(id, decoded));
            }
            Output::Save(record) => {
                let record = MetaRecord::decode(&record.encode()).unwrap();
                self.steps.push(Step::Saving(Box::new(record)));
                self.unsaved = true;
                self.sync();
            }
            Output::Report(report) => self.steps.push(Step::Report(report.weight, report.text)),
            Output::Secure(_) => panic!("TLS is not configured"),
        }
    }

    /// The disk answers, if it does.
    fn sync(&mut self) {
        if !self.unsaved || self.disk == Disk::Hangs {
            return;
        }
        self.unsaved = false;
        let works = self.disk == Disk::Works;
        self.steps.push(Step::Saved(works));
        let result = if works {
            Ok(())
        } else {
            Err("disk full".into())
        };
        self.instance.handle_input(self.now, Input::Saved(result));
    }

    fn disk(&mut self, disk: Disk) {
        self.disk = disk;
        self.sync();
        self.run();
    }

    /// Hands one packet of each link over, where it is read; whether there was any.
    fn deliver(&mut self) -> bool {
        let mut any = false;
        for id in self.links.keys().copied().collect::<Vec<_>>() {
            let Some(server) = self.links.get_mut(&id) else {
                continue;
            };
            if server.buf.is_empty() || self.instance.read_budget(id) == 0 {
                continue;
            }
            let length = u32::from_le_bytes([server.buf[0], server.buf[1], server.buf[2], 0]);
            let mut packet = server.buf.split_to(length as usize + 4);
            self.instance.handle_bytes(self.now, id, &mut packet);
            assert!(packet.is_empty(), "a whole packet is taken");
            any = true;
        }
        any
    }

    /// The server answers what it was sent.
    fn answer(&mut self, link: LinkId, bytes: &[u8]) {
        let Some(server) = self.links.get_mut(&link) else {
            return;
        };
        let mut bytes = BytesMut::from(bytes);
        if bytes[3] == 0 {
            server.packets.restart();
        }
        let payload = server.packets.next(&mut bytes).unwrap().unwrap();
        match payload.split_first() {
            Some((0x03, sql)) => {
                let sql = String::from_utf8(sql.to_vec()).unwrap();
                let set = self.result(&sql);
                self.links.get_mut(&link).unwrap().send_set(&set);
            }
            Some((0x12, rest)) => {
                let offset = u32::from_le_bytes(rest[..4].try_into().unwrap());
                let file = String::from_utf8(rest[10..].to_vec()).unwrap();
                let from = BinlogPosition::new(BinlogFile::new(&file), u64::from(offset));
                self.dump(link, &from);
            }
            // by GTID: all transactions of the log are behind every set
            Some((0x1e, _)) => self.dump(link, &at(BinlogPosition::FIRST_EVENT)),
            _ => server.send(OK_PACKET),
        }
    }

    fn dump(&mut self, link: LinkId, from: &BinlogPosition) {
        self.steps.push(Step::Dump(from.clone()));
        let server = self.links.get_mut(&link).unwrap();
        if let Some(message) = self.refusal
            && from.offset < self.purged
        {
            return server.send(&[b"\xff\xd4\x04#HY000", message.as_bytes()].concat());
        }
        server.is_dump = true;
        for event in opening(from).into_iter().chain(self.log.from(from.offset)) {
            server.send_event(&event);
        }
    }

    fn result(&self, sql: &str) -> ResultSet {
        let end = self.log.end().offset.to_string();
        match sql {
            _ if sql.starts_with("SHOW GLOBAL VARIABLES") => result(
                &["Variable_name", "Value"],
                &[
                    &["version", "8.4.13"],
                    &["server_id", "901"],
                    &["server_uuid", self.uuid],
                    &["log_bin", "ON"],
                    &["binlog_format", "ROW"],
                    &["gtid_mode", self.gtid_mode],
                ],
            ),
            "SHOW BINARY LOG STATUS" => result(
                &["File", "Position", "a", "b", "Executed_Gtid_Set"],
                &[&[FILE, &end, "", "", ""]],
            ),
            _ if sql.starts_with("SELECT GTID_SUBTRACT") => {
                result(&["ahead", "missing"], &[&["", ""]])
            }
            "SHOW BINARY LOGS" => result(&["Log_name", "File_size"], &[&[FILE, &end]]),
            _ if sql.contains("information_schema.columns") => result(
                &["n", "t", "c", "e", "k"],
                &[&["id", "int", "\\N", "NO", "1"]],
            ),
            _ => ResultSet::default(),
        }
    }

    /// The source commits a transaction that inserts `ids` into `d.name`, and sends it.
    fn commit(&mut self, name: &str, metadata: Metadata, ids: &[u32]) {
        let events = self.log.transaction(name, metadata, ids);
        self.send(&events);
    }

    /// The source sends events that are in its log.
    fn send(&mut self, events: &[Bytes]) {
        for server in self.links.values_mut().filter(|server| server.is_dump) {
            for event in events {
                server.send_event(event);
            }
        }
        self.run();
    }

    /// Every link breaks.
    fn cut(&mut self) {
        for (link, _) in core::mem::take(&mut self.links) {
            let why = "reset".into();
            self.input(Input::LinkDown(link, LinkFault::Disconnected { why }));
        }
    }

    fn request(&mut self, session: u64, client: ClientId, ask: Ask) -> RequestId {
        self.requests += 1;
        let id = RequestId {
            session: SessionId(session),
            number: self.requests,
        };
        let destination = self.instance.config.destination.clone();
        let request = Request {
            destination,
            client,
            ask,
        };
        self.input(Input::Request(id, request));
        id
    }

    fn reply(&self, id: RequestId) -> Option<Answer> {
        self.steps.iter().find_map(|step| {
            if let Step::Reply(of, answer) = step
                && *of == id
            {
                return Some(answer.clone());
            }
            None
        })
    }

    fn subscribe(&mut self, session: u64, client: ClientId) {
        let filter = String::new();
        let id = self.request(session, client, Ask::Subscribe { filter });
        assert_eq!(self.reply(id), Some(Answer::Done));
    }

    fn get(&mut self, size: u64) -> Answer {
        let wait = Wait::No;
        let id = self.request(1, CLIENT, Ask::Get { size, wait });
        self.reply(id).unwrap()
    }

    /// The ids of the next batch's rows, and its number.
    fn batch(&mut self, size: u64) -> (BatchId, Vec<u32>) {
        let answer = self.get(size);
        let Answer::Batch(id, rows) = answer else {
            panic!("no batch but {answer:?}: {:#?}", self.instance.status())
        };
        (id, rows)
    }

    fn ack(&mut self, batch: BatchId) {
        let id = self.request(1, CLIENT, Ask::Ack { batch });
        assert_eq!(self.reply(id), Some(Answer::Done));
    }

    /// Gets and acknowledges until there is nothing; the ids of all rows.
    fn drain(&mut self) -> Vec<u32> {
        let mut all = Vec::new();
        while let Answer::Batch(id, rows) = self.get(1000) {
            self.ack(id);
            all.extend(rows);
        }
        all
    }

    /// The record as it was handed over last.
    fn record(&self) -> MetaRecord {
        let saved = self.steps.iter().rev().find_map(|step| {
            let Step::Saving(record) = step else {
                return None;
            };
            Some((**record).clone())
        });
        saved.expect("a record was written")
    }

    /// The places from which dumps were asked for.
    fn dumps(&self) -> Vec<u64> {
        let dumps = self.steps.iter().filter_map(|step| {
            let Step::Dump(from) = step else {
                return None;
            };
            Some(from.offset)
        });
        dumps.collect()
    }

    /// The number of the first step that is so.
    fn first(&self, what: &str, is: impl Fn(&Step) -> bool) -> usize {
        let found = self.steps.iter().position(is);
        found.unwrap_or_else(|| panic!("{what}: not among {:#?}", self.steps))
    }

    fn reported(&self, weight: Weight, text: &str) -> bool {
        let is =
            |step: &Step| matches!(step, Step::Report(w, t) if *w == weight && t.contains(text));
        self.steps.iter().any(is)
    }
}

impl ServerLink {
    fn send(&mut self, payload: &[u8]) {
        let bytes = self.packets.frame(payload);
        self.buf.extend_from_slice(&bytes);
    }

    fn send_set(&mut self, set: &ResultSet) {
        if set.columns.is_empty() {
            return self.send(OK_PACKET);
        }
        for packet in packets(set) {
            self.send(&packet);
        }
    }

    fn send_event(&mut self, event: &[u8]) {
        self.send(&[b"\0", event].concat());
    }
}

fn answer(reply: Reply) -> Answer {
    match reply {
        Reply::Done => Answer::Done,
        Reply::NoData => Answer::NoData,
        Reply::Batch(batch) => Answer::Batch(batch.id, ids(&batch)),
        Reply::Refused(refusal) => Answer::Refused(refusal.to_string()),
    }
}

/// A MESSAGES packet as far as a batch fills it.
#[derive(Clone, PartialEq, Message)]
struct Messages {
    #[prost(bytes = "bytes", repeated, tag = "2")]
    messages: Vec<Bytes>,
}

/// The ids of the rows in a batch.
fn ids(batch: &Batch) -> Vec<u32> {
    let messages = Messages::decode(&*batch.chunks.concat()).unwrap().messages;
    assert_eq!(messages.len(), batch.entries as usize);
    let mut ids = Vec::new();
    for bytes in messages {
        let entry = Entry::read(bytes).unwrap();
        if let Content::Change(change) = entry.content().unwrap() {
            for row in change.row_datas {
                ids.push(row.after_columns[0].text().unwrap().parse().unwrap());
            }
        }
    }
    ids
}

/// The record of a client that has acknowledged the entry at `offset`.
fn acked(offset: u64) -> MetaRecord {
    let mut cursor = cursor(FILE, offset);
    cursor.source.host = "db".into();
    cursor.extension.as_mut().unwrap().identity = UUID.into();
    let mut record = MetaRecord::default();
    let filter = String::new();
    let cursor = Some(cursor);
    record
        .clients
        .insert(CLIENT, crate::meta::record::ClientRecord { filter, cursor });
    record
}
