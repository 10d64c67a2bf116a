//! What a source says, from its greeting to the dump.

use bytes::{Bytes, BytesMut};
use canald_core::binlog::stream::EventStream;
use canald_core::config::SslMode;
use canald_core::flavor::Flavor;
use canald_core::mysql::fault::LinkFault;
use canald_core::mysql::handshake::ServerVersion;
use canald_core::mysql::packet::PacketReader;
use canald_core::mysql::query::{ResultSet, ServerError};
use canald_core::mysql::replica::{DumpFrom, DumpRequest, LinkConfig, Replica, ReplicaOutput};
use canald_core::rng::Seed;
use canald_core::schema::live;
use canald_core::schema::table::TableName;
use canald_core::source::facts::{Discovery, binary_logs};
use canald_core::source::start::GtidProof;
use canald_core::source::statements::mysql_gtid_proof;
use canald_core::time::{Duration, Instant};

use crate::{Flags, Script};

/// Goes through a conversation with a server whose payloads are the input: each a length of two
/// bytes, high byte first, and its bytes. They are framed as they should be, unless the script wants them
/// sent as they stand.
///
/// Each packet of ours is well framed and in sequence; once over, the link says nothing more.
///
/// # Panics
/// On a finding.
pub fn packets(data: &[u8]) {
    let Some((mut script, bytes)) = Script::split(data) else {
        return;
    };
    let mut flags = script.flags();
    if flags.next() {
        converse(flags, script, &mut Unframed(bytes));
    } else {
        converse(flags, script, &mut Payloads(bytes));
    }
}

/// A server: what comes from it, and what it is sent.
pub trait Peer {
    /// Takes one packet of ours, with its header.
    fn send(&mut self, packet: &[u8]);

    /// The next thing it says; none if it says no more.
    fn receive(&mut self) -> Option<Said>;
}

/// What a server says.
#[derive(Clone, Debug)]
pub enum Said {
    /// A payload, to be framed.
    Payload(Bytes),
    /// Bytes, packets or not.
    Bytes(Bytes),
}

struct Payloads<'a>(&'a [u8]);

impl Peer for Payloads<'_> {
    fn send(&mut self, _: &[u8]) {}

    fn receive(&mut self) -> Option<Said> {
        let (&[high, low], rest) = self.0.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([high, low])).min(rest.len());
        let (payload, rest) = rest.split_at(length);
        self.0 = rest;
        Some(Said::Payload(Bytes::copy_from_slice(payload)))
    }
}

struct Unframed<'a>(&'a [u8]);

impl Peer for Unframed<'_> {
    fn send(&mut self, _: &[u8]) {}

    fn receive(&mut self) -> Option<Said> {
        const PIECE_BYTES: usize = 100;
        let (piece, rest) = self.0.split_at(self.0.len().min(PIECE_BYTES));
        self.0 = rest;
        (!piece.is_empty()).then(|| Said::Bytes(Bytes::copy_from_slice(piece)))
    }
}

/// Talks with `peer` until the link is over or it says no more; the script says what is asked.
///
/// # Panics
/// On a finding.
pub fn converse(flags: Flags, script: Script<'_>, peer: &mut dyn Peer) {
    let mut talk = Talk {
        replica: Replica::new(config(flags), Seed(1), Instant::ZERO),
        server: PacketReader::new(),
        question: Question::Nothing,
        version: None,
        script,
    };
    let (mut buf, mut stream) = (BytesMut::new(), EventStream::for_dump());
    while talk.carry_out(peer) {
        let Some(said) = peer.receive() else { return };
        match said {
            Said::Payload(payload) => buf.extend_from_slice(&talk.server.frame(&payload)),
            Said::Bytes(bytes) => buf.extend_from_slice(&bytes),
        }
        talk.replica.handle_bytes(Instant::ZERO, &mut buf);
        while let Some(next) = talk.replica.next_event(Instant::ZERO, &mut buf) {
            let Ok(raw) = next else { return };
            if let Ok(event) = stream.accept(&raw) {
                let _ = stream.parse(&event);
            }
        }
    }
}

fn config(mut flags: Flags) -> LinkConfig {
    let ssl = match (flags.next(), flags.next()) {
        (false, false) => SslMode::Disabled,
        (false, true) => SslMode::Preferred,
        (true, false) => SslMode::Required,
        (true, true) => SslMode::VerifyIdentity,
    };
    let password = if flags.next() { "" } else { "canal" };
    let database = if flags.next() { "shop" } else { "" };
    LinkConfig {
        username: "canal".into(),
        password: password.into(),
        database: database.into(),
        ssl,
        handshake_timeout: Duration::from_secs(1),
        query_timeout: Duration::from_secs(1),
        silence: Duration::from_secs(1),
    }
}

/// What was asked last.
enum Question {
    Nothing,
    Discovery(Box<Discovery>),
    Table(TableName),
    GtidProof,
    BinaryLogs,
}

struct Talk<'a> {
    replica: Replica,
    /// The other end of the framing: it checks our packets and numbers the server's.
    server: PacketReader,
    question: Question,
    version: Option<ServerVersion>,
    script: Script<'a>,
}

impl Talk<'_> {
    /// Does what the link wants done; false once it is over.
    fn carry_out(&mut self, peer: &mut dyn Peer) -> bool {
        while let Some(output) = self.replica.poll_output() {
            match output {
                ReplicaOutput::Transmit(bytes) => self.transmit(&bytes, peer),
                ReplicaOutput::Secure if self.script.choose(4) == 3 => {
                    self.replica.close(LinkFault::ClearBytesBeforeTls);
                }
                ReplicaOutput::Secure => self.replica.handle_secured(Instant::ZERO),
                ReplicaOutput::Ready(ready) => {
                    self.version = Some(ready.version);
                    self.ask();
                }
                ReplicaOutput::Rows(set) => self.answered(Ok(set)),
                ReplicaOutput::Failed(error) => self.answered(Err(error)),
                ReplicaOutput::Closed(fault) => {
                    assert!(!fault.to_string().is_empty());
                    assert!(self.replica.poll_output().is_none(), "a closed link speaks");
                    assert_eq!(self.replica.poll_timeout(), None, "a closed link waits");
                    return false;
                }
            }
        }
        true
    }

    fn transmit(&mut self, bytes: &[u8], peer: &mut dyn Peer) {
        const NUMBER_AT: usize = 3;
        if bytes.get(NUMBER_AT) == Some(&0) {
            self.server.restart();
        }
        peer.send(bytes);
        let mut buf = BytesMut::from(bytes);
        while !buf.is_empty() {
            let packet = self
                .server
                .next(&mut buf)
                .expect("our packets are in sequence");
            assert!(packet.is_some(), "our packets are whole");
        }
    }

    /// Asks the next thing that the script wants.
    fn ask(&mut self) {
        let Some(version) = &self.version else { return };
        self.question = match self.script.choose(6) {
            0 => Question::Discovery(Box::new(Discovery::new(version.clone(), "canal"))),
            1 => Question::Table(TableName::new("shop", "o'r\\ders")),
            2 => Question::GtidProof,
            3 => Question::BinaryLogs,
            4 => return self.dump(),
            _ => Question::Nothing,
        };
        match &self.question {
            Question::Discovery(discovery) => match discovery.next_query() {
                Some(sql) => self.replica.query(Instant::ZERO, &sql),
                None => unreachable!("a discovery begins with a query"),
            },
            Question::Table(name) => self.replica.query(Instant::ZERO, &live::query(name)),
            Question::GtidProof => {
                let sql = mysql_gtid_proof("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5");
                self.replica.query(Instant::ZERO, &sql);
            }
            Question::BinaryLogs => self.replica.query(Instant::ZERO, "SHOW BINARY LOGS"),
            Question::Nothing => {}
        }
    }

    fn dump(&mut self) {
        let from = match self.script.choose(3) {
            0 => DumpFrom::Oldest,
            1 => DumpFrom::MariadbGtid,
            _ => DumpFrom::MysqlGtid {
                encoded: Bytes::from_static(&[0; 8]),
            },
        };
        self.replica
            .register_and_dump(Instant::ZERO, &DumpRequest { server_id: 9, from });
    }

    fn answered(&mut self, answer: Result<ResultSet, ServerError>) {
        match core::mem::replace(&mut self.question, Question::Nothing) {
            Question::Discovery(mut discovery) => {
                discovery.handle_result(answer);
                if let Some(sql) = discovery.next_query() {
                    self.question = Question::Discovery(discovery);
                    return self.replica.query(Instant::ZERO, &sql);
                }
                if let Ok(facts) = discovery.finish() {
                    let _ = facts.identity().to_string();
                    assert!(matches!(facts.flavor(), Flavor::Mysql | Flavor::Mariadb));
                }
            }
            Question::Table(name) => {
                if let Ok(set) = answer {
                    let cells = |row: Vec<Option<Bytes>>| {
                        row.into_iter().map(|cell| cell.map(Vec::from)).collect()
                    };
                    let rows: Vec<live::Row> = set.rows.into_iter().map(cells).collect();
                    let _ = live::from_rows(&name, &rows);
                }
            }
            Question::GtidProof => {
                let _ = answer.ok().as_ref().and_then(GtidProof::parse);
            }
            Question::BinaryLogs => {
                let _ = answer.ok().as_ref().map(binary_logs);
            }
            Question::Nothing => panic!("an answer to nothing"),
        }
        self.ask();
    }
}
