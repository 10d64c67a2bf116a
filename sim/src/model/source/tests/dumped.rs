//! The conversation, held by canald's own replica.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use canald_core::binlog::event::{EventHeader, EventType};
use canald_core::binlog::stream::EventStream;
use canald_core::config::SslMode;
use canald_core::mysql::fault::LinkFault;
use canald_core::mysql::query::{ResultSet, ServerError};
use canald_core::mysql::replica::{DumpFrom, DumpRequest, LinkConfig, Replica, ReplicaOutput};
use canald_core::position::{BinlogFile, BinlogPosition};
use canald_core::rng::Seed;
use canald_core::schema::live;
use canald_core::schema::table::TableName;
use canald_core::source::facts::{Discovery, SourceFacts};
use canald_core::source::fault::DumpFault;
use canald_core::source::statements;
use canald_core::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;

use super::decoded::{Decoder, assert_same, told};
use super::{BASE_SECONDS, all_options, change, define, options, simulate, source, work};
use crate::journal::{Journal, Record, SourceRecord};
use crate::model::source::Source;
use crate::plan::{Act, Flavor};

const NOW: Instant = Instant::ZERO;
const HEARTBEAT: Duration = Duration::from_secs(15);
const UUID: &str = "11111111-2222-3333-4444-555555555555";

/// A replica on a connection of its own.
struct Client {
    replica: Replica,
    stream: DuplexStream,
    buf: BytesMut,
}

impl Client {
    /// Logged in.
    async fn connect(source: &Source, number: u64) -> Self {
        let (stream, far) = duplex(64 << 10);
        tokio::spawn(source.clone().serve_connection(far, number));
        let patience = Duration::from_secs(30);
        let config = LinkConfig {
            username: "canal".into(),
            password: "canal".into(),
            database: String::new(),
            ssl: SslMode::Preferred,
            handshake_timeout: patience,
            query_timeout: patience,
            silence: patience,
        };
        let replica = Replica::new(config, Seed(number), NOW);
        let mut client = Self {
            replica,
            stream,
            buf: BytesMut::new(),
        };
        let ready = client.output().await;
        assert!(matches!(ready, ReplicaOutput::Ready(_)), "{ready:?}");
        client
    }

    async fn transmit(&mut self) -> Option<ReplicaOutput> {
        while let Some(output) = self.replica.poll_output() {
            let ReplicaOutput::Transmit(bytes) = output else {
                return Some(output);
            };
            self.stream.write_all(&bytes).await.unwrap();
        }
        None
    }

    async fn read(&mut self) -> bool {
        self.stream.read_buf(&mut self.buf).await.unwrap() > 0
    }

    async fn output(&mut self) -> ReplicaOutput {
        loop {
            if let Some(output) = self.transmit().await {
                return output;
            }
            assert!(self.read().await, "the source hung up");
            self.replica.handle_bytes(NOW, &mut self.buf);
        }
    }

    async fn ask(&mut self, sql: &str) -> Result<ResultSet, ServerError> {
        self.replica.query(NOW, sql);
        let output = self.output().await;
        if let ReplicaOutput::Failed(error) = output {
            return Err(error);
        }
        let ReplicaOutput::Rows(set) = output else {
            panic!("{sql}: {output:?}");
        };
        Ok(set)
    }

    async fn facts(&mut self, flavor: Flavor) -> SourceFacts {
        let version = match flavor {
            Flavor::Mysql => "8.4.3",
            Flavor::Mariadb => "5.5.5-10.11.9-MariaDB-log",
        };
        let greeted = canald_core::mysql::handshake::ServerVersion::parse(version);
        assert_eq!(self.replica.greeted(), Some(&greeted));
        let mut discovery = Discovery::new(greeted, "canal");
        while let Some(sql) = discovery.next_query() {
            let answer = self.ask(&sql).await;
            discovery.handle_result(answer);
        }
        discovery.finish().unwrap()
    }

    /// Begins a dump.
    async fn dump(&mut self, flavor: Flavor, from: DumpFrom) {
        let facts = self.facts(flavor).await;
        for statement in statements::dump_session(&facts.version, UUID, HEARTBEAT) {
            self.ask(&statement.sql).await.unwrap();
        }
        let request = DumpRequest {
            server_id: 4711,
            from,
        };
        self.replica.register_and_dump(NOW, &request);
        while !self.replica.is_streaming() {
            assert_eq!(self.transmit().await, None);
            assert!(self.read().await, "the source hung up");
            self.replica.handle_bytes(NOW, &mut self.buf);
        }
        assert_eq!(self.transmit().await, None);
    }

    /// The next event; none if the source hung up.
    async fn event(&mut self) -> Result<Option<Bytes>, LinkFault> {
        loop {
            if let Some(event) = self.replica.next_event(NOW, &mut self.buf) {
                return event.map(Some);
            }
            if !self.read().await {
                return Ok(None);
            }
        }
    }

    /// The next events, until none comes for a while.
    async fn events(&mut self) -> Vec<Bytes> {
        let mut events = Vec::new();
        while let Ok(event) = timeout(Duration::from_secs(1), self.event()).await {
            events.push(event.unwrap().expect("the source hung up"));
        }
        events
    }

    /// How the dump ends.
    async fn end(&mut self) -> Option<LinkFault> {
        loop {
            match self.event().await {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(fault) => return Some(fault),
            }
        }
    }
}

/// A fifth transaction, in the third file.
fn append(source: &Source) {
    source.apply(&Act::Commit {
        changes: vec![change(1, 2, 1, 0, 9)],
    });
}

fn at(file: &str, offset: u64) -> DumpFrom {
    DumpFrom::Position(BinlogPosition::new(BinlogFile::new(file), offset))
}

fn kind(event: &Bytes) -> EventType {
    EventHeader::parse(event).unwrap().event_type
}

#[test]
fn a_dump_from_the_beginning_is_the_history_and_goes_on_with_it() {
    for options in all_options() {
        simulate(async {
            let source = source(&options);
            work(&source);
            let mut client = Client::connect(&source, 1).await;
            client.dump(options.flavor, DumpFrom::Oldest).await;
            let mut decoder = Decoder::new(&source, EventStream::for_dump());
            for event in client.events().await {
                decoder.take(event);
            }
            assert_same(&decoder.seen, &told(&source.history()));
            source.apply(&Act::Commit {
                changes: vec![change(1, 7, 2, 2, 50)],
            });
            source.apply(&Act::Rotate);
            source.apply(&Act::Empty);
            for event in client.events().await {
                decoder.take(event);
            }
            assert_same(&decoder.seen, &told(&source.history()));
        });
    }
}

#[test]
fn a_dump_from_a_boundary_begins_there() {
    for options in all_options() {
        simulate(async {
            let source = source(&options);
            work(&source);
            for skipped in [1, 2, 3] {
                let history = source.history();
                let from = &history[skipped];
                let mut client = Client::connect(&source, skipped as u64).await;
                client
                    .dump(options.flavor, at(&from.file, from.start))
                    .await;
                let mut decoder = Decoder::new(&source, EventStream::for_dump());
                for event in client.events().await {
                    decoder.take(event);
                }
                assert_same(&decoder.seen, &told(&history[skipped..]));
            }
        });
    }
}

#[test]
fn a_mysql_dump_after_a_set_leaves_the_set_out() {
    simulate(async {
        let source = source(&options(Flavor::Mysql, true, true, true));
        work(&source);
        append(&source);
        let mut client = Client::connect(&source, 1).await;
        let uuid = super::super::log::uuid_text(super::super::log::Server::UUID);
        let history = source.history();
        assert_eq!(history[1].gtid.as_deref(), Some(&*format!("{uuid}:2")));
        // The last file begins behind the third: the fourth is left out, and a heartbeat says so.
        let set: canald_core::gtid::MysqlGtidSet = format!("{uuid}:1-4").parse().unwrap();
        let encoded = set.encode().into();
        client
            .dump(Flavor::Mysql, DumpFrom::MysqlGtid { encoded })
            .await;
        let events = client.events().await;
        let heartbeats = events.iter().filter(|event| kind(event).is_heartbeat());
        assert_eq!(heartbeats.count(), 1);
        let mut decoder = Decoder::new(&source, EventStream::for_dump());
        for event in events {
            decoder.take(event);
        }
        assert_same(&decoder.seen, &told(&history[4..]));

        let proof = client_of(
            &source,
            2,
            &statements::mysql_gtid_proof(&format!("{uuid}:1-9")),
        )
        .await;
        assert_eq!(proof.text(0, "ahead"), Some(&*format!("{uuid}:6-9")));
        let set: canald_core::gtid::MysqlGtidSet = format!("{uuid}:1-9").parse().unwrap();
        let encoded = set.encode().into();
        let mut client = Client::connect(&source, 3).await;
        client
            .dump(Flavor::Mysql, DumpFrom::MysqlGtid { encoded })
            .await;
        assert_eq!(refused(client.end().await), DumpFault::GtidUnknown);
    });
}

async fn client_of(source: &Source, number: u64, sql: &str) -> ResultSet {
    Client::connect(source, number)
        .await
        .ask(sql)
        .await
        .unwrap()
}

fn refused(end: Option<LinkFault>) -> DumpFault {
    match end {
        Some(LinkFault::DumpRefused(error)) => DumpFault::classify(&error),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_mariadb_dump_after_a_gtid_leaves_the_former_out() {
    simulate(async {
        let source = source(&options(Flavor::Mariadb, true, true, true));
        work(&source);
        append(&source);
        let history = source.history();
        let from = statements::mariadb_gtid_start(history[3].gtid.as_deref().unwrap());
        let mut client = Client::connect(&source, 1).await;
        client.ask(&from.sql).await.unwrap();
        client.dump(Flavor::Mariadb, DumpFrom::MariadbGtid).await;
        let mut decoder = Decoder::new(&source, EventStream::for_dump());
        let events = client.events().await;
        let artificial = |event: &&Bytes| EventHeader::parse(event).unwrap().log_pos == 0;
        let made_up: Vec<_> = events.iter().filter(artificial).map(kind).collect();
        // Where what the replica has ends, a list says so.
        assert_eq!(made_up, [EventType::ROTATE, EventType::GTID_LIST]);
        for event in events {
            decoder.take(event);
        }
        assert_same(&decoder.seen, &told(&history[4..]));

        let mut client = Client::connect(&source, 2).await;
        client
            .ask(&statements::mariadb_gtid_start("0-501-77").sql)
            .await
            .unwrap();
        client.dump(Flavor::Mariadb, DumpFrom::MariadbGtid).await;
        assert_eq!(refused(client.end().await), DumpFault::GtidUnknown);
    });
}

#[test]
fn facts_are_those_of_the_options_and_the_log() {
    for options in all_options() {
        simulate(async {
            let source = source(&options);
            work(&source);
            let mut client = Client::connect(&source, 1).await;
            let facts = client.facts(options.flavor).await;
            let (file, offset) = source.end();
            let end = facts.end.unwrap();
            assert_eq!(
                end.position,
                BinlogPosition::new(BinlogFile::new(&file), offset)
            );
            let last = source.history().last().unwrap().gtid.clone();
            assert_eq!(end.gtid.is_empty(), last.is_none());
            assert_eq!(facts.gtid_executed, end.gtid);
            assert!(facts.log_bin && facts.row_image == "FULL");
            let is_full = facts.row_metadata.as_deref() == Some("FULL");
            assert_eq!(is_full, options.full_metadata);
            let logs = client.ask(statements::BINARY_LOGS).await.unwrap();
            assert_eq!(logs.rows.len(), 3);
        });
    }
}

#[test]
fn columns_are_told_as_they_are_now_and_an_unknown_statement_is_refused() {
    simulate(async {
        let refusals = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&refusals);
        let watcher = Box::new(move |_, record: &Record| {
            if let Record::Source(SourceRecord::Refused { why, .. }) = record {
                seen.lock().unwrap().push(why.clone());
            }
        });
        let journal = Journal::new(Vec::new(), vec![watcher]);
        let options = options(Flavor::Mariadb, true, false, true);
        let source = Source::new(&options, 1, journal, BASE_SECONDS);
        define(&source);
        let mut client = Client::connect(&source, 1).await;
        client.ask(live::SESSION_SETUP).await.unwrap();
        let name = TableName::new("shop", "t0");
        let set = client.ask(&live::query(&name)).await.unwrap();
        let rows: Vec<live::Row> = set
            .rows
            .iter()
            .map(|row| {
                row.iter()
                    .map(|cell| cell.as_ref().map(|cell| cell.to_vec()))
                    .collect()
            })
            .collect();
        let schema = live::from_rows(&name, &rows).unwrap().unwrap();
        assert_eq!(
            schema.columns.len(),
            8,
            "one of two that were added was dropped"
        );
        assert!(schema.columns[0].is_key && !schema.columns[1].is_key);
        assert_eq!(schema.columns[7].column_type, "int(11)");
        let nothing = client
            .ask(&live::query(&TableName::new("shop", "t9")))
            .await;
        assert_eq!(nothing.unwrap().rows.len(), 0);
        assert!(refusals.lock().unwrap().is_empty());
        assert_eq!(client.ask("SELECT 1").await.unwrap_err().code, 1064);
        assert_eq!(refusals.lock().unwrap().len(), 1);
    });
}

#[test]
fn an_idle_dump_gets_heartbeats_at_the_end_of_the_log() {
    for flavor in [Flavor::Mysql, Flavor::Mariadb] {
        simulate(async {
            let source = source(&options(flavor, true, true, true));
            work(&source);
            let mut client = Client::connect(&source, 1).await;
            client.dump(flavor, DumpFrom::Oldest).await;
            client.events().await;
            let began = tokio::time::Instant::now();
            for _ in 0..3 {
                let event = client.event().await.unwrap().unwrap();
                assert!(kind(&event).is_heartbeat());
                let is_long = kind(&event) == EventType::HEARTBEAT_V2;
                assert_eq!(is_long, flavor == Flavor::Mysql);
            }
            let passed = began.elapsed();
            assert!((40..=50).contains(&passed.as_secs()), "{passed:?}");
        });
    }
}

#[test]
fn a_place_that_is_none_is_refused_for_its_reason() {
    for flavor in [Flavor::Mysql, Flavor::Mariadb] {
        simulate(async {
            let source = source(&options(flavor, true, true, true));
            work(&source);
            let (file, end) = source.end();
            let first = source.history()[0].start;
            let cases = [
                (at("binlog.999999", 4), DumpFault::Purged),
                (at(&file, end + 1), DumpFault::ImpossiblePosition),
                (
                    at(&source.history()[0].file, first + 1),
                    DumpFault::NotOnEventBoundary,
                ),
            ];
            for (number, (from, fault)) in cases.into_iter().enumerate() {
                let mut client = Client::connect(&source, number as u64).await;
                client.dump(flavor, from).await;
                assert_eq!(refused(client.end().await), fault);
            }
        });
    }
}

#[test]
fn dumps_end_by_a_successor_a_fault_and_a_restart() {
    for flavor in [Flavor::Mysql, Flavor::Mariadb] {
        simulate(async {
            let source = source(&options(flavor, true, true, true));
            work(&source);
            let mut first = Client::connect(&source, 1).await;
            first.dump(flavor, DumpFrom::Oldest).await;
            first.events().await;
            let mut second = Client::connect(&source, 2).await;
            second.dump(flavor, DumpFrom::Oldest).await;
            assert_eq!(refused(first.end().await), DumpFault::DuplicateReplica);
            second.events().await;
            let mut idle = Client::connect(&source, 3).await;
            source.drop_dumps();
            assert_eq!(second.end().await, None);
            idle.ask("SHOW BINARY LOGS").await.unwrap();
            source.stop();
            assert!(!source.is_up());
            assert!(!source.apply(&Act::Empty));
            assert_eq!(idle.stream.read(&mut [0; 9]).await.unwrap(), 0);
            source.start();
            let mut third = Client::connect(&source, 4).await;
            third.dump(flavor, DumpFrom::Oldest).await;
            assert!(!third.events().await.is_empty());
        });
    }
}

#[test]
fn an_event_beyond_sixteen_mebibytes_comes_in_pieces() {
    simulate(async {
        let source = source(&options(Flavor::Mariadb, true, true, true));
        source.apply(&Act::Commit {
            changes: vec![change(0, 4, 2, 0, 8 << 20)],
        });
        let mut client = Client::connect(&source, 1).await;
        client.dump(Flavor::Mariadb, DumpFrom::Oldest).await;
        let mut decoder = Decoder::new(&source, EventStream::for_dump());
        for event in client.events().await {
            decoder.take(event);
        }
        assert_same(&decoder.seen, &told(&source.history()));
    });
}

#[test]
fn a_wrong_password_is_told_so() {
    simulate(async {
        let source = source(&options(Flavor::Mysql, true, true, true));
        let (mut stream, far) = duplex(1024);
        tokio::spawn(source.clone().serve_connection(far, 1));
        let mut greeting = [0; 4];
        stream.read_exact(&mut greeting).await.unwrap();
        let mut rest = vec![0; usize::from(greeting[0])];
        stream.read_exact(&mut rest).await.unwrap();
        stream
            .write_all(&[&[34, 0, 0, 1][..], &[0; 34]].concat())
            .await
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer[4..7], [0xff, 0x15, 0x04], "1045");
    });
}
