//! Makes seeds: small real inputs from which the fuzzer sets out.
//!
//! ```text
//! seeds cut FILE...         events, file, ddl: pieces of binlog files
//! seeds record HOST:PORT    packets: a conversation with a running server, as canal/canal
//! seeds talk                frames, replies: conversations of our own client and server
//! ```
//!
//! They are written below the working folder, `corpus/TARGET/`; `README.md` says how to keep the few that
//! add something.

use std::error::Error;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use canald_core::binlog::event::{EventHeader, EventType};
use canald_core::binlog::payload::Payload;
use canald_core::binlog::stream::EventStream;
use canald_core::client::{Client, ClientConfig, ClientOutput};
use canald_core::config::Credentials;
use canald_core::meta::identity::{ClientId, Destination};
use canald_core::position::BinlogFile;
use canald_core::request::{Ask, Batch, BatchId, Reply, Request, SessionId, Wait};
use canald_core::rng::Seed;
use canald_core::session::packet::{PacketType, Sub, Unsub, client_frame};
use canald_core::session::{AUTH_TIMEOUT_DEFAULT, Session, SessionConfig, SessionOutput, auth};
use canald_core::time::Instant;
use canald_fuzz::{Peer, Said, Script, converse};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// Bytes of a seed, at most: the fuzzer learns little from more, and slowly.
const SEED_BYTES_MAX: usize = 4096;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.collect::<Vec<_>>()) {
        (Some("cut"), files) => files.iter().try_for_each(|file| cut(Path::new(file))),
        (Some("record"), peers) => peers.iter().try_for_each(|peer| record(peer)),
        (Some("talk"), _) => talk(),
        _ => Err("usage: seeds cut FILE... | record HOST:PORT... | talk".into()),
    }
}

fn write(target: &str, name: &str, input: &[u8]) -> Result<()> {
    let folder = Path::new("corpus").join(target);
    fs::create_dir_all(&folder)?;
    Ok(fs::write(folder.join(name), input)?)
}

/// Cuts a file into its groups, each behind the file's format.
fn cut(path: &Path) -> Result<()> {
    const MAGIC: &[u8] = b"\xfebin";
    let name = seed_name(path);
    let bytes = fs::read(path)?;
    let mut rest = bytes.strip_prefix(MAGIC).ok_or("not a binlog file")?;
    let mut stream = EventStream::for_file(BinlogFile::new("binlog.000001"));
    let (mut format, mut group, mut groups) = (&rest[..0], Vec::new(), Vec::new());
    while let Ok(header) = EventHeader::parse(rest) {
        let Some((raw, after)) = rest.split_at_checked(header.size as usize) else {
            break;
        };
        rest = after;
        let event = stream.accept(raw)?;
        if event.header.event_type == EventType::FORMAT_DESCRIPTION {
            format = raw;
            continue;
        }
        let payload = stream.parse(&event)?;
        let mut begins = matches!(payload, Payload::Gtid(_) | Payload::MariadbGtid(_));
        if let Payload::Query(query) = payload {
            let input = Script::join(&[0], query.sql);
            write("ddl", &format!("{name}-{}", event.start), &input)?;
            begins = query.sql == b"BEGIN" && !has_gtid(&group);
        }
        if begins && !group.is_empty() {
            groups.push(std::mem::take(&mut group));
        }
        group.extend_from_slice(raw);
    }
    groups.push(group);
    for (index, group) in groups.iter().enumerate() {
        let events = [format, group].concat();
        if events.len() > SEED_BYTES_MAX {
            continue;
        }
        let turn = |modulus: usize| (index % modulus) as u8;
        let script = [
            index as u8,
            turn(3),
            turn(5),
            turn(2) + turn(3) / 2,
            turn(7) * 9,
            turn(6),
        ];
        write(
            "events",
            &format!("{name}-{index}"),
            &Script::join(&script, &events),
        )?;
        if index % 10 == 0 {
            let file = [MAGIC, &events].concat();
            write(
                "file",
                &format!("{name}-{index}"),
                &Script::join(&[turn(255)], &file),
            )?;
        }
    }
    Ok(())
}

/// `mysql97-base-01-numbers` of `…/mysql97/base-01-numbers.binlog`.
fn seed_name(path: &Path) -> String {
    let part = |part: Option<&std::ffi::OsStr>| {
        part.map(|part| part.to_string_lossy().into_owned())
            .unwrap_or_default()
    };
    let folder = path.parent().and_then(Path::file_name);
    format!("{}-{}", part(folder), part(path.file_stem()))
}

/// Whether a group has its own beginning, so that its BEGIN is none.
fn has_gtid(group: &[u8]) -> bool {
    let Ok(header) = EventHeader::parse(group) else {
        return false;
    };
    let kinds = [
        EventType::GTID,
        EventType::ANONYMOUS_GTID,
        EventType::GTID_TAGGED,
        EventType::MARIADB_GTID,
    ];
    kinds.contains(&header.event_type)
}

/// Asks a server everything, then for its dump, and keeps what it said.
fn record(address: &str) -> Result<()> {
    const ASK_ALL_THEN_DUMP: [u8; 7] = [0, 1, 2, 3, 4, 0, 0];
    const ASK_TWICE: [u8; 7] = [2, 0, 3, 1, 0, 5, 0];
    for (index, asks) in [ASK_ALL_THEN_DUMP, ASK_TWICE].iter().enumerate() {
        let script = [&[0], &asks[..]].concat();
        let input = Script::join(&script, &[]);
        let (mut script_left, _) = Script::split(&input).ok_or("a script is one")?;
        let flags = script_left.flags();
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        let mut server = Recorder {
            stream,
            said: Vec::new(),
        };
        converse(flags, script_left, &mut server);
        let name = format!("{}-{index}", address.replace([':', '.'], "-"));
        write("packets", &name, &[input, server.said].concat())?;
    }
    Ok(())
}

/// A server on the network, and what it said so far.
struct Recorder {
    stream: TcpStream,
    said: Vec<u8>,
}

impl Recorder {
    fn read(&mut self) -> Result<Vec<u8>> {
        let mut header = [0; 4];
        self.stream.read_exact(&mut header)?;
        let [low, middle, high, _] = header;
        let mut payload = vec![0; u32::from_le_bytes([low, middle, high, 0]) as usize];
        self.stream.read_exact(&mut payload)?;
        Ok(payload)
    }
}

impl Peer for Recorder {
    fn send(&mut self, packet: &[u8]) {
        // If the server is gone, reading tells.
        let _ = self.stream.write_all(packet);
    }

    fn receive(&mut self) -> Option<Said> {
        let payload = self.read().ok()?;
        if self.said.len() + payload.len() > SEED_BYTES_MAX {
            return None;
        }
        self.said
            .extend_from_slice(&(payload.len() as u16).to_be_bytes());
        self.said.extend_from_slice(&payload);
        Some(Said::Payload(payload.into()))
    }
}

/// Lets our client talk to our server, and keeps what either said.
fn talk() -> Result<()> {
    for (index, is_open) in [true, false].into_iter().enumerate() {
        let mut talk = Talk::new(is_open);
        for (wait, entries) in [(Wait::No, 0), (Wait::Unbounded, 3), (Wait::No, 1)] {
            talk.entries = entries;
            talk.client.get(Instant::ZERO, 1000, wait);
            talk.exchange();
            if let Some(batch) = talk.batch.take() {
                talk.client.ack(batch);
                talk.exchange();
            }
        }
        talk.client.rollback(Some(BatchId(7)));
        talk.client.rollback(None);
        talk.exchange();
        let (destination, client_id) = (String::from("example"), String::from("1001"));
        let sub = Sub {
            destination: destination.clone(),
            client_id: client_id.clone(),
            filter: r"test\..*".into(),
        };
        let unsub = Unsub {
            destination,
            client_id,
            filter: String::new(),
        };
        talk.said
            .extend_from_slice(&client_frame(PacketType::Subscription, &sub));
        talk.said
            .extend_from_slice(&client_frame(PacketType::Unsubscription, &unsub));
        let flags = u8::from(!is_open);
        let at_once = [&[flags], &[200, 1, 200, 3, 200, 5, 200, 9, 200, 11][..]].concat();
        write(
            "frames",
            &format!("talk-{index}"),
            &Script::join(&at_once, &talk.said),
        )?;
        write(
            "frames",
            &format!("bytes-{index}"),
            &Script::join(&[flags], &talk.said),
        )?;
        let gets = [&[flags], &[200, 0, 200, 1, 200, 2, 200, 3][..]].concat();
        write(
            "replies",
            &format!("talk-{index}"),
            &Script::join(&gets, &talk.heard),
        )?;
        write(
            "replies",
            &format!("bytes-{index}"),
            &Script::join(&[flags], &talk.heard),
        )?;
    }
    Ok(())
}

struct Talk {
    client: Client,
    session: Session,
    said: Vec<u8>,
    heard: Vec<u8>,
    batch: Option<BatchId>,
    entries: u32,
}

impl Talk {
    fn new(is_open: bool) -> Self {
        let mut config = ClientConfig::new(Destination::new("example"), ClientId(1001));
        let mut credentials = Credentials::default();
        if !is_open {
            config.username = "canal".into();
            config.password = Some("canal".into());
            credentials.user = "canal".into();
            credentials.stored = Some(auth::stored(b"canal"));
        }
        let session = SessionConfig {
            id: SessionId(3),
            credentials,
            auth_timeout: AUTH_TIMEOUT_DEFAULT,
        };
        let mut talk = Self {
            client: Client::new(config, Instant::ZERO),
            session: Session::new(session, Seed(1), Instant::ZERO),
            said: Vec::new(),
            heard: Vec::new(),
            batch: None,
            entries: 0,
        };
        talk.exchange();
        talk
    }

    /// Carries bytes to and fro until both have said everything.
    fn exchange(&mut self) {
        let mut is_quiet = false;
        while !is_quiet {
            is_quiet = true;
            while let Some(output) = self.session.poll_output() {
                is_quiet = false;
                match output {
                    SessionOutput::Transmit(chunks) => {
                        let bytes = chunks.concat();
                        self.heard.extend_from_slice(&bytes);
                        self.client
                            .handle_bytes(Instant::ZERO, &mut BytesMut::from(&bytes[..]));
                    }
                    SessionOutput::Forward(id, request) => {
                        let reply = self.reply(&request);
                        self.session.handle_reply(Instant::ZERO, id, reply);
                    }
                    SessionOutput::Withdraw(_) | SessionOutput::Close(_) => {}
                }
            }
            while let Some(output) = self.client.poll_output() {
                is_quiet = false;
                match output {
                    ClientOutput::Transmit(bytes) => {
                        self.said.extend_from_slice(&bytes);
                        self.session
                            .handle_bytes(Instant::ZERO, &mut BytesMut::from(&bytes[..]));
                    }
                    ClientOutput::Message { batch_id, .. } => self.batch = Some(batch_id),
                    ClientOutput::Ready | ClientOutput::NoData | ClientOutput::Closed(_) => {}
                }
            }
        }
    }

    fn reply(&self, request: &Request) -> Reply {
        match request.ask {
            Ask::Get { .. } if self.entries == 0 => Reply::NoData,
            Ask::Get { .. } => Reply::Batch(Batch {
                id: BatchId(7),
                chunks: vec![Bytes::from_static(b"\x12\x02\x10\x02"); self.entries as usize],
                entries: self.entries,
                rows: 0,
            }),
            Ask::Subscribe { .. } | Ask::Unsubscribe | Ask::Ack { .. } | Ask::Rollback { .. } => {
                Reply::Done
            }
        }
    }
}
