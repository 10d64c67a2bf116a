//! `canald tail` and the connection below it, against a server that answers as it is told: the core's own
//! sessions over real sockets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};

use bytes::{Bytes, BytesMut};
use canald::cli::TailFormat;
use canald::driver::client::{Connection, OpenFault};
use canald::env::{OsWorld, World};
use canald::exit::Exit;
use canald::net::{Net, OsNet, OsStream};
use canald::tail::{Plan, Reader, follow};
use canald_core::client::{Awaited, ClientConfig, ClientFault, Farewell};
use canald_core::config::Credentials;
use canald_core::entry::proto::{Column, Entry, EntryType, EventType, Header, RowChange, RowData};
use canald_core::meta::identity::{ClientId, Destination};
use canald_core::request::{Ask, Batch, BatchId, Refusal, Reply, Request, SessionId, Wait};
use canald_core::rng::Seed;
use canald_core::session::auth;
use canald_core::session::{Session, SessionConfig, SessionOutput};
use canald_core::time::{Duration, Instant};
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;

/// A test that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);
const CLIENT: ClientId = ClientId(1001);

/// What happened, in the order in which it did.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    Asked { connection: u64, ask: Ask },
    Wrote(String),
    Flushed,
    HungUp { connection: u64 },
}

#[derive(Clone)]
struct Log(Arc<watch::Sender<Vec<Event>>>);

impl Log {
    fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Vec::new())))
    }

    fn push(&self, event: Event) {
        self.0.send_modify(|events| events.push(event));
    }

    fn events(&self) -> Vec<Event> {
        self.0.borrow().clone()
    }

    async fn until(&self, wanted: impl Fn(&[Event]) -> bool) {
        let mut events = self.0.subscribe();
        let waiting = events.wait_for(|events| wanted(events));
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("only this happened: {:#?}", self.events());
        }
    }

    async fn until_asked(&self, number: u64, wanted: Ask) {
        let wanted = Event::Asked {
            connection: number,
            ask: wanted,
        };
        self.until(|events| events.contains(&wanted)).await;
    }

    /// What the server was asked but for gets, and what was printed.
    fn story(&self) -> Vec<String> {
        let told = self.events().into_iter().filter_map(|event| match event {
            Event::Asked {
                ask: Ask::Get { .. },
                ..
            }
            | Event::HungUp { .. } => None,
            Event::Asked { connection, ask } => Some(match ask {
                Ask::Subscribe { filter } => format!("{connection} subscribe {filter:?}"),
                Ask::Unsubscribe => format!("{connection} unsubscribe"),
                Ask::Ack { batch } => format!("{connection} ack {batch}"),
                Ask::Rollback { batch: None } => format!("{connection} rollback"),
                Ask::Rollback { batch: Some(batch) } => format!("{connection} rollback {batch}"),
                Ask::Get { .. } => unreachable!("filtered out"),
            }),
            Event::Wrote(line) => Some(format!("> {line}")),
            Event::Flushed => Some("flush".into()),
        });
        told.collect()
    }
}

/// What the server does about a request.
enum Act {
    Reply(Reply),
    /// Leaves it unanswered.
    Hold,
    HangUp,
}

type Script = Box<dyn FnMut(u64, &Request) -> Act + Send>;

/// Done to everything; gets are answered from the batches of each connection, then held.
fn giving(connections: Vec<Vec<Batch>>) -> Script {
    let mut left: Vec<VecDeque<Batch>> = connections.into_iter().map(Into::into).collect();
    Box::new(move |connection, request| match &request.ask {
        Ask::Get { .. } => {
            let batches = left.get_mut(usize::try_from(connection).unwrap());
            batches
                .and_then(VecDeque::pop_front)
                .map_or(Act::Hold, |batch| Act::Reply(Reply::Batch(batch)))
        }
        Ask::Subscribe { .. } | Ask::Unsubscribe | Ask::Ack { .. } | Ask::Rollback { .. } => {
            Act::Reply(Reply::Done)
        }
    })
}

struct Server {
    address: SocketAddr,
    log: Log,
}

impl Server {
    async fn start(credentials: Credentials, script: Script) -> Self {
        let mut listener = OsNet.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = OsNet.local_addr(&listener).unwrap();
        let log = Log::new();
        let script = Arc::new(Mutex::new(script));
        let log_of_all = log.clone();
        tokio::spawn(async move {
            for number in 0.. {
                let (stream, _) = OsNet.accept(&mut listener).await.unwrap();
                let config = SessionConfig {
                    id: SessionId(number),
                    credentials: credentials.clone(),
                    auth_timeout: PATIENCE,
                };
                let session = Session::new(config, Seed(number), Instant::ZERO);
                let (script, log) = (script.clone(), log_of_all.clone());
                tokio::spawn(async move {
                    serve(number, stream, session, &script, &log).await;
                    log.push(Event::HungUp { connection: number });
                });
            }
        });
        Self { address, log }
    }

    async fn of(script: Script) -> Self {
        Self::start(Credentials::default(), script).await
    }

    fn plan(&self, reader: Reader) -> Plan {
        Plan {
            host: self.address.ip().to_string(),
            port: self.address.port(),
            destination: Destination::new("example"),
            reader,
            filter: String::new(),
            size: 7,
            format: TailFormat::Text,
            user: String::new(),
            password: None,
        }
    }

    fn out(&self) -> Out {
        Out(self.log.clone())
    }

    /// Follows until the log holds what is wanted.
    async fn follow_until(&self, plan: &Plan, wanted: impl Fn(&[Event]) -> bool) {
        let world = OsWorld::new(1).unwrap();
        let stop = self.log.until(wanted);
        follow(&world, plan, self.out(), stop).await.unwrap();
    }

    /// Follows until it ends by itself.
    async fn fails(&self, plan: &Plan) -> (Exit, String) {
        let world = OsWorld::new(1).unwrap();
        let hangs = tokio::time::sleep(PATIENCE);
        let error = follow(&world, plan, self.out(), hangs).await.unwrap_err();
        (Exit::of(&error), format!("{error:#}"))
    }

    async fn open(&self) -> Connection<OsNet, canald::clock::OsClock> {
        let config = ClientConfig::new(Destination::new("example"), CLIENT);
        self.open_as(config).await.unwrap()
    }

    async fn open_as(
        &self,
        config: ClientConfig,
    ) -> Result<Connection<OsNet, canald::clock::OsClock>, OpenFault> {
        let world = OsWorld::new(1).unwrap();
        let place = ("127.0.0.1", self.address.port());
        Connection::open(world.net(), world.clock(), place, config).await
    }
}

async fn serve(
    number: u64,
    mut stream: OsStream,
    mut session: Session,
    script: &Mutex<Script>,
    log: &Log,
) {
    let mut inbound = BytesMut::new();
    loop {
        while let Some(output) = session.poll_output() {
            match output {
                SessionOutput::Transmit(chunks) => {
                    if stream.write_all(&chunks.concat()).await.is_err() {
                        return;
                    }
                }
                SessionOutput::Forward(id, request) => {
                    let act = script.lock().unwrap()(number, &request);
                    log.push(Event::Asked {
                        connection: number,
                        ask: request.ask,
                    });
                    match act {
                        Act::Reply(reply) => session.handle_reply(Instant::ZERO, id, reply),
                        Act::Hold => {}
                        Act::HangUp => return,
                    }
                }
                SessionOutput::Withdraw(_) => {}
                SessionOutput::Close(_) => return,
            }
        }
        match stream.read_buf(&mut inbound).await {
            Ok(0) | Err(_) => session.handle_disconnect(),
            Ok(_) => session.handle_bytes(Instant::ZERO, &mut inbound),
        }
    }
}

/// Standard output, noting each line and each flush.
struct Out(Log);

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for line in String::from_utf8_lossy(bytes).lines() {
            self.0.push(Event::Wrote(line.into()));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.push(Event::Flushed);
        Ok(())
    }
}

/// An insert into `shop.t` of one row with this id.
fn insert(id: &str) -> Entry {
    let column = Column {
        index: Some(0),
        sql_type: Some(4),
        name: Some("id".into()),
        value: Some(id.into()),
        updated: Some(true),
        ..Column::default()
    };
    let row = RowData {
        after_columns: vec![column],
        ..RowData::default()
    };
    let change = RowChange {
        event_type: Some(EventType::Insert as i32),
        row_datas: vec![row],
        ..RowChange::default()
    };
    let header = Header {
        logfile_name: Some("b.1".into()),
        logfile_offset: Some(4),
        schema_name: Some("shop".into()),
        table_name: Some("t".into()),
        ..Header::default()
    };
    Entry {
        header: Some(header),
        entry_type: Some(EntryType::RowData as i32),
        store_value: Some(change.encode_to_vec().into()),
    }
}

fn batch_of(id: i64, entries: &[Bytes]) -> Batch {
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.push(0x12);
        prost::encoding::encode_varint(entry.len() as u64, &mut bytes);
        bytes.extend_from_slice(entry);
    }
    Batch {
        id: BatchId(id),
        chunks: vec![bytes.into()],
        entries: u32::try_from(entries.len()).unwrap(),
        rows: 0,
    }
}

/// A batch of inserts, its transaction around them.
fn batch(id: i64, ids: &[&str]) -> Batch {
    let bound = |kind| Entry {
        entry_type: Some(kind as i32),
        ..Entry::default()
    };
    let mut entries = vec![bound(EntryType::TransactionBegin)];
    entries.extend(ids.iter().map(|id| insert(id)));
    entries.push(bound(EntryType::TransactionEnd));
    let entries: Vec<Bytes> = entries.iter().map(|e| e.encode_to_vec().into()).collect();
    batch_of(id, &entries)
}

fn flushes(events: &[Event]) -> usize {
    events
        .iter()
        .filter(|event| **event == Event::Flushed)
        .count()
}

fn acked(events: &[Event], connection: u64, batch: i64) -> bool {
    let batch = BatchId(batch);
    events.contains(&Event::Asked {
        connection,
        ask: Ask::Ack { batch },
    })
}

#[tokio::test]
async fn a_batch_is_acknowledged_when_its_lines_are_out_and_not_before() {
    let batches = vec![batch(11, &["1", "2"]), batch(12, &["3"])];
    let server = Server::of(giving(vec![batches])).await;
    let mut plan = server.plan(Reader::Client(CLIENT));
    plan.filter = "shop\\..*".into();
    server
        .follow_until(&plan, |events| acked(events, 0, 12))
        .await;
    assert_eq!(
        server.log.story(),
        [
            "0 subscribe \"shop\\\\..*\"",
            "0 rollback",
            "> b.1:4 shop.t INSERT id=1",
            "> b.1:4 shop.t INSERT id=2",
            "flush",
            "0 ack 11",
            "> b.1:4 shop.t INSERT id=3",
            "flush",
            "0 ack 12",
            "0 rollback",
        ]
    );
    let get = Ask::Get {
        size: 7,
        wait: Wait::AtMost(canald::tail::GET_WAIT),
    };
    server.log.until_asked(0, get).await;
}

#[tokio::test]
async fn flat_messages_are_one_json_object_a_line() {
    let server = Server::of(giving(vec![vec![batch(11, &["1"])]])).await;
    let mut plan = server.plan(Reader::Client(CLIENT));
    plan.format = TailFormat::Flat;
    server
        .follow_until(&plan, |events| acked(events, 0, 11))
        .await;
    let story = server.log.story();
    let line = story.iter().find_map(|line| line.strip_prefix("> "));
    let message: serde_json::Value = serde_json::from_str(line.unwrap()).unwrap();
    assert_eq!(message["id"], 11);
    assert_eq!(message["data"][0]["id"], "1");
    assert_eq!(message["table"], "t");
}

#[tokio::test]
async fn a_visitor_acknowledges_nothing_and_takes_all_back() {
    let batches = vec![batch(11, &["1"]), batch(12, &["2"])];
    let server = Server::of(giving(vec![batches])).await;
    let plan = server.plan(Reader::Visitor(CLIENT));
    server
        .follow_until(&plan, |events| flushes(events) == 2)
        .await;
    assert_eq!(
        server.log.story(),
        [
            "0 subscribe \"\"",
            "0 rollback",
            "> b.1:4 shop.t INSERT id=1",
            "flush",
            "> b.1:4 shop.t INSERT id=2",
            "flush",
            "0 rollback",
        ]
    );
}

#[tokio::test]
async fn a_temporary_reader_takes_an_id_of_its_own_and_leaves_no_trace() {
    let (told, ids) = mpsc::channel();
    let mut gives = giving(vec![vec![batch(11, &["1"])]]);
    let script: Script = Box::new(move |connection, request| {
        told.send(request.client).unwrap();
        gives(connection, request)
    });
    let server = Server::of(script).await;
    let plan = server.plan(Reader::Temporary);
    server
        .follow_until(&plan, |events| acked(events, 0, 11))
        .await;
    let ids: Vec<ClientId> = ids.try_iter().collect();
    assert!(ids[0].is_temporary(), "{ids:?}");
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let story = server.log.story();
    assert_eq!(story[story.len() - 2..], ["0 rollback", "0 unsubscribe"]);
}

#[tokio::test]
async fn a_lost_connection_is_made_again_once_it_was_served() {
    let mut gives = giving(vec![
        vec![batch(11, &["1"])],
        vec![],
        vec![batch(12, &["2"])],
    ]);
    let script: Script = Box::new(move |connection, request| match &request.ask {
        Ask::Ack { .. } if connection == 0 => Act::HangUp,
        // A server that has just come back does not serve the destination yet.
        Ask::Subscribe { .. } if connection == 1 => {
            Act::Reply(Reply::Refused(Refusal::NotRunning {
                destination: request.destination.clone(),
                why: "it starts".into(),
            }))
        }
        Ask::Subscribe { .. }
        | Ask::Unsubscribe
        | Ask::Get { .. }
        | Ask::Ack { .. }
        | Ask::Rollback { .. } => gives(connection, request),
    });
    let server = Server::of(script).await;
    let plan = server.plan(Reader::Client(CLIENT));
    server
        .follow_until(&plan, |events| acked(events, 2, 12))
        .await;
    assert_eq!(
        server.log.story(),
        [
            "0 subscribe \"\"",
            "0 rollback",
            "> b.1:4 shop.t INSERT id=1",
            "flush",
            "0 ack 11",
            "1 subscribe \"\"",
            "2 subscribe \"\"",
            "2 rollback",
            "> b.1:4 shop.t INSERT id=2",
            "flush",
            "2 ack 12",
            "2 rollback",
        ]
    );
}

#[tokio::test]
async fn an_unknown_destination_and_a_wrong_password_are_said_in_one_line() {
    let unknown: Script = Box::new(|_, request| {
        Act::Reply(Reply::Refused(Refusal::NotRunning {
            destination: request.destination.clone(),
            why: "no destination of this name is configured here".into(),
        }))
    });
    let server = Server::of(unknown).await;
    let (exit, text) = server.fails(&server.plan(Reader::Temporary)).await;
    assert_eq!(exit, Exit::Source);
    assert!(
        text.contains("destination:example should start first") && text.contains("--destination"),
        "{text}"
    );
    assert!(!text.contains('\n'), "{text}");

    let credentials = Credentials {
        user: "canal".into(),
        stored: Some(auth::stored(b"secret")),
    };
    let server = Server::start(credentials, giving(vec![vec![], vec![batch(11, &["1"])]])).await;
    let mut plan = server.plan(Reader::Client(CLIENT));
    let (exit, text) = server.fails(&plan).await;
    assert_eq!(exit, Exit::Source);
    assert!(
        text.contains("auth failed for user:") && text.contains("--password"),
        "{text}"
    );
    plan.user = "canal".into();
    plan.password = Some("secret".into());
    server
        .follow_until(&plan, |events| acked(events, 1, 11))
        .await;
}

#[tokio::test]
async fn who_is_replaced_by_another_connection_does_not_fight() {
    let mut gives = giving(vec![vec![batch(11, &["1"])]]);
    let script: Script = Box::new(
        move |connection, request| match gives(connection, request) {
            Act::Hold => Act::Reply(Reply::Refused(Refusal::Superseded {
                destination: request.destination.clone(),
                client: request.client,
            })),
            act @ (Act::Reply(_) | Act::HangUp) => act,
        },
    );
    let server = Server::of(script).await;
    let (exit, text) = server.fails(&server.plan(Reader::Client(CLIENT))).await;
    assert_eq!(exit, Exit::Source);
    assert!(text.contains("took the place of client 1001"), "{text}");
}

#[tokio::test]
async fn a_server_that_is_not_there_or_no_canal_server_is_said_at_once() {
    let server = Server::of(giving(vec![])).await;
    let mut plan = server.plan(Reader::Temporary);
    let mut listener = OsNet.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    plan.port = OsNet.local_addr(&listener).unwrap().port();
    let stranger = tokio::spawn(async move {
        let (mut stream, _) = OsNet.accept(&mut listener).await.unwrap();
        stream.write_all(b"HTTP/1.1 400\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        // It leaves with bytes unread, or not.
        let _ = stream.read_to_end(&mut rest).await;
    });
    let (exit, text) = server.fails(&plan).await;
    assert_eq!(exit, Exit::Source);
    assert!(text.contains("is above the limit"), "{text}");
    assert!(text.contains("data port of a canal server"), "{text}");
    stranger.await.unwrap();
    let (exit, text) = server.fails(&plan).await;
    assert_eq!(exit, Exit::Source);
    assert!(text.contains("cannot be reached"), "{text}");
}

/// Nobody reads it.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_nobody_read_is_not_acknowledged() {
    let server = Server::of(giving(vec![vec![batch(11, &["1"])]])).await;
    let plan = server.plan(Reader::Client(CLIENT));
    let world = OsWorld::new(1).unwrap();
    let error = follow(&world, &plan, Closed, tokio::time::sleep(PATIENCE))
        .await
        .unwrap_err();
    assert_eq!(Exit::of(&error), Exit::Ok, "it is no failure: {error:#}");
    assert_eq!(
        server.log.story(),
        ["0 subscribe \"\"", "0 rollback", "0 rollback"]
    );
}

/// Its reader does not read.
struct Stuck {
    began: mpsc::Sender<()>,
    read: mpsc::Receiver<()>,
}

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.began.send(()).unwrap();
        // It ends when the test does.
        let _ = self.read.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_signal_ends_it_although_nobody_reads() {
    let server = Server::of(giving(vec![vec![batch(11, &["1"])]])).await;
    let plan = server.plan(Reader::Client(CLIENT));
    let world = OsWorld::new(1).unwrap();
    let (began, begun) = mpsc::channel();
    let (reader, read) = mpsc::channel();
    let stop = async {
        let waiting = tokio::task::spawn_blocking(move || begun.recv());
        waiting.await.unwrap().unwrap();
    };
    follow(&world, &plan, Stuck { began, read }, stop)
        .await
        .unwrap();
    assert_eq!(
        server.log.story(),
        ["0 subscribe \"\"", "0 rollback", "0 rollback"]
    );
    drop(reader);
}

/// The command itself, as client 1001.
fn command(server: &Server) -> Child {
    Command::new(env!("CARGO_BIN_EXE_canald"))
        .args(["tail", &server.address.to_string(), "--client-id", "1001"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for its end, and returns its exit code and what it said on standard error.
async fn ends(child: Child) -> (Option<i32>, String) {
    let waiting = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    let output = tokio::time::timeout(PATIENCE, waiting).await;
    let output = output.expect("the command does not end").unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), said)
}

#[tokio::test]
async fn the_command_ends_well_on_a_signal() {
    let server = Server::of(giving(vec![vec![batch(11, &["1"])]])).await;
    for signal in ["-INT", "-TERM"] {
        let seen = server.log.events().len();
        let child = command(&server);
        let gets = |events: &[Event]| {
            let asked = events.iter().skip(seen);
            asked
                .filter(|event| {
                    matches!(
                        event,
                        Event::Asked {
                            ask: Ask::Get { .. },
                            ..
                        }
                    )
                })
                .count()
        };
        server.log.until(|events| gets(events) > 0).await;
        let pid = child.id().to_string();
        let status = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(status.success());
        let (code, said) = ends(child).await;
        assert_eq!(code, Some(0), "{signal}: {said}");
        let story = server.log.story();
        assert!(story.last().unwrap().ends_with(" rollback"), "{story:?}");
    }
}

#[tokio::test]
async fn the_command_ends_well_with_its_reader_also_while_nothing_comes() {
    let server = Server::of(giving(vec![vec![batch(11, &["1"])]])).await;
    let mut child = command(&server);
    let stdout = child.stdout.take().unwrap();
    let reading = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        line
    });
    let line = reading.await.unwrap();
    assert!(line.starts_with('{') && line.ends_with("}\n"), "{line}");
    let (code, said) = ends(child).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("canald: "), "{said}");
    let story = server.log.story();
    assert_eq!(story.last().unwrap(), "0 rollback", "{story:?}");
}

#[tokio::test]
async fn an_entry_that_makes_no_sense_stops_it_before_the_acknowledgement() {
    let bad = batch_of(11, &[Bytes::from_static(b"\xff\xff")]);
    let server = Server::of(giving(vec![vec![bad]])).await;
    let (exit, text) = server.fails(&server.plan(Reader::Client(CLIENT))).await;
    assert_eq!(exit, Exit::Data);
    assert!(text.contains("batch 11 holds an entry"), "{text}");
    assert_eq!(
        server.log.story(),
        ["0 subscribe \"\"", "0 rollback", "0 rollback"]
    );
}

#[tokio::test]
async fn a_get_that_was_dropped_is_still_asked_for() {
    let server = Server::of(giving(vec![vec![batch(11, &["1"])]])).await;
    let mut connection = server.open().await;
    {
        let get = connection.get(1, Wait::Unbounded);
        tokio::select! {
            biased;
            _ = get => panic!("it cannot be answered before the socket was polled"),
            () = core::future::ready(()) => {}
        }
    }
    let message = connection.get(1, Wait::No).await.unwrap().unwrap();
    assert_eq!((message.id, message.entries.len()), (BatchId(11), 3));
    let gets = server.log.events().into_iter().filter(|event| {
        matches!(
            event,
            Event::Asked {
                ask: Ask::Get { .. },
                ..
            }
        )
    });
    assert_eq!(gets.count(), 1);
    connection.leave(Farewell::KeepPlace).await;
}

#[tokio::test]
async fn a_refused_acknowledgement_ends_the_connection_with_the_servers_words() {
    let mut gives = giving(vec![vec![batch(11, &["1"])]]);
    let script: Script = Box::new(move |connection, request| match &request.ask {
        Ask::Ack { batch } => Act::Reply(Reply::Refused(Refusal::UnknownBatch {
            verb: "ack",
            client: request.client,
            batch: *batch,
        })),
        Ask::Subscribe { .. } | Ask::Unsubscribe | Ask::Get { .. } | Ask::Rollback { .. } => {
            gives(connection, request)
        }
    });
    let server = Server::of(script).await;
    let mut connection = server.open().await;
    connection.get(1, Wait::No).await.unwrap().unwrap();
    connection.ack(BatchId(99)).await.unwrap();
    let fault = connection.get(1, Wait::Unbounded).await.unwrap_err();
    let ClientFault::Refused { message, .. } = &fault else {
        panic!("{fault}")
    };
    assert!(message.contains("batchId:99 is not exist"), "{message}");
    assert_eq!(connection.ack(BatchId(11)).await, Err(fault.clone()));
    assert_eq!(connection.get(1, Wait::No).await, Err(fault));
}

#[tokio::test]
async fn batches_that_were_taken_back_are_asked_for_by_name() {
    let server = Server::of(giving(vec![vec![batch(11, &["1"]), batch(12, &["2"])]])).await;
    let mut connection = server.open().await;
    for _ in 0..2 {
        connection.get(1, Wait::No).await.unwrap().unwrap();
    }
    connection.rollback(Some(BatchId(12))).await.unwrap();
    connection.ack(BatchId(11)).await.unwrap();
    connection.leave(Farewell::Unsubscribe).await;
    assert_eq!(
        server.log.story(),
        [
            "0 subscribe \"\"",
            "0 rollback",
            "0 rollback 12",
            "0 ack 11",
            "0 rollback",
            "0 unsubscribe",
        ]
    );
}

#[tokio::test]
async fn who_is_refused_at_the_door_gets_no_connection() {
    let script: Script = Box::new(|_, _| Act::HangUp);
    let server = Server::of(script).await;
    let config = ClientConfig::new(Destination::new("example"), CLIENT);
    let fault = server.open_as(config).await.err().unwrap();
    let awaited = Awaited::Subscription;
    assert_eq!(
        fault,
        OpenFault::Client(ClientFault::Disconnected { awaited })
    );
}
