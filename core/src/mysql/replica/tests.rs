use super::*;
use crate::mysql::auth::AuthFault;
use crate::mysql::handshake::tests::greeting;
use crate::mysql::packet::PacketFault;
use crate::mysql::query::tests::{packets, refusal, result};
use crate::position::BinlogFile;

const ALL: u32 = 0xffff_ffff;
const WITHOUT_SSL: u32 = ALL & !0x800;
const NONCE: [u8; 20] = *b"abcdefghijklmnopqrst";
const OK_PACKET: &[u8] = &[0, 0, 0, 2, 0, 0, 0];

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn config(ssl: SslMode) -> LinkConfig {
    LinkConfig {
        username: "canal".into(),
        password: "secret".into(),
        database: String::new(),
        ssl,
        handshake_timeout: Duration::from_secs(5),
        query_timeout: Duration::from_secs(30),
        silence: Duration::from_secs(25),
    }
}

/// A link and the server's side of its bytes.
struct Rig {
    replica: Replica,
    server: PacketReader,
    buf: BytesMut,
}

impl Rig {
    fn new(ssl: SslMode) -> Self {
        let replica = Replica::new(config(ssl), Seed(1), at(0));
        Self {
            replica,
            server: PacketReader::new(),
            buf: BytesMut::new(),
        }
    }

    /// The server sends a packet.
    fn send(&mut self, payload: &[u8]) {
        let bytes = self.server.frame(payload);
        self.buf.extend_from_slice(&bytes);
        self.replica.handle_bytes(at(1), &mut self.buf);
    }

    /// What the link sent: one packet.
    fn sent(&mut self) -> Vec<u8> {
        let Some(ReplicaOutput::Transmit(bytes)) = self.replica.poll_output() else {
            panic!("nothing was sent")
        };
        let mut bytes = BytesMut::from(&bytes[..]);
        if bytes[3] == 0 {
            self.server.restart();
        }
        let payload = self.server.next(&mut bytes).unwrap().unwrap();
        assert!(bytes.is_empty());
        payload.to_vec()
    }

    fn fault(&mut self) -> LinkFault {
        let Some(ReplicaOutput::Closed(fault)) = self.replica.poll_output() else {
            panic!("the link is not over")
        };
        assert_eq!(self.replica.poll_output(), None);
        assert_eq!(self.replica.poll_timeout(), None);
        fault
    }

    fn idle() -> Self {
        let mut rig = Self::new(SslMode::Disabled);
        rig.send(&greeting("8.0.46", ALL, &NONCE, "mysql_native_password"));
        rig.sent();
        rig.send(OK_PACKET);
        assert!(matches!(
            rig.replica.poll_output(),
            Some(ReplicaOutput::Ready(_))
        ));
        rig
    }

    fn streaming() -> Self {
        let mut rig = Self::idle();
        let request = DumpRequest {
            server_id: 7,
            from: DumpFrom::Oldest,
        };
        rig.replica.register_and_dump(at(1), &request);
        rig.sent();
        rig.send(OK_PACKET);
        rig.sent();
        rig
    }

    fn event(&mut self) -> Option<Result<Bytes, LinkFault>> {
        self.replica.next_event(at(2), &mut self.buf)
    }
}

#[test]
fn a_cached_password_is_proved_by_its_hash() {
    let mut rig = Rig::new(SslMode::Disabled);
    rig.send(&greeting("8.0.46", ALL, &NONCE, "caching_sha2_password"));
    let response = rig.sent();
    assert_eq!(&response[32..38], b"canal\0");
    assert_eq!(response[38], 32);
    rig.send(&[AUTH_MORE_DATA, 3]);
    assert_eq!(rig.replica.poll_output(), None);
    rig.send(OK_PACKET);
    let Some(ReplicaOutput::Ready(ready)) = rig.replica.poll_output() else {
        panic!()
    };
    assert_eq!(ready.connection, ConnectionId(77));
    assert_eq!(
        (ready.transport, ready.plugin),
        (Transport::Plain, "caching_sha2_password")
    );
    assert!(rig.replica.is_idle());
}

#[test]
fn a_switch_restarts_the_authentication_with_the_nonce_it_brings() {
    let mut rig = Rig::new(SslMode::Disabled);
    rig.send(&greeting(
        "11.8.9-MariaDB",
        ALL,
        &NONCE,
        "mysql_native_password",
    ));
    rig.sent();
    rig.send(&[&[AUTH_SWITCH], &b"client_ed25519\0"[..], &[7; 32]].concat());
    assert_eq!(rig.sent().len(), 64);
    rig.send(
        &[
            &[AUTH_SWITCH],
            &b"caching_sha2_password\0"[..],
            &NONCE,
            &[0],
        ]
        .concat(),
    );
    assert_eq!(rig.sent().len(), 32);
    rig.send(&[AUTH_MORE_DATA, 4]);
    assert_eq!(rig.sent(), [2]);
    rig.send(
        &[
            &[AUTH_MORE_DATA],
            &include_bytes!("../rsa_test_key.pem")[..],
        ]
        .concat(),
    );
    assert_eq!(rig.sent().len(), 256);
    rig.send(OK_PACKET);
    assert!(matches!(
        rig.replica.poll_output(),
        Some(ReplicaOutput::Ready(_))
    ));
}

#[test]
fn tls_comes_before_the_name_of_the_user() {
    for ssl in [
        SslMode::Preferred,
        SslMode::Required,
        SslMode::VerifyCa,
        SslMode::VerifyIdentity,
    ] {
        let mut rig = Rig::new(ssl);
        rig.send(&greeting("8.4.13", ALL, &NONCE, "caching_sha2_password"));
        let request = rig.sent();
        assert_eq!(request.len(), 32);
        assert_eq!(rig.replica.poll_output(), Some(ReplicaOutput::Secure));
        assert_eq!(rig.replica.poll_output(), None);
        rig.replica.handle_secured(at(2));
        let response = rig.sent();
        assert_eq!(response[..32], request[..]);
        rig.send(&[AUTH_MORE_DATA, 4]);
        assert_eq!(rig.sent(), b"secret\0");
        rig.send(OK_PACKET);
        assert!(matches!(
            rig.replica.poll_output(),
            Some(ReplicaOutput::Ready(_))
        ));
    }
}

#[test]
fn without_tls_on_the_server_preferred_goes_plain_and_required_ends() {
    let greeting = greeting("8.0.46", WITHOUT_SSL, &NONCE, "mysql_native_password");
    let mut rig = Rig::new(SslMode::Preferred);
    rig.send(&greeting);
    assert!(rig.sent().len() > 32);
    let mut rig = Rig::new(SslMode::Required);
    rig.send(&greeting);
    let fault = rig.fault();
    assert_eq!(fault, LinkFault::TlsUnavailable);
    assert!(fault.is_permanent_at_start());
}

#[test]
fn clear_bytes_behind_the_greeting_are_not_taken_for_tls() {
    let mut rig = Rig::new(SslMode::Required);
    let greeting = rig.server.frame(&greeting("8.0.46", ALL, &NONCE, "x"));
    rig.buf.extend_from_slice(&greeting);
    rig.buf.extend_from_slice(b"injected");
    rig.replica.handle_bytes(at(1), &mut rig.buf);
    rig.sent();
    assert_eq!(rig.replica.poll_output(), Some(ReplicaOutput::Secure));
    assert_eq!(rig.fault(), LinkFault::ClearBytesBeforeTls);
}

#[test]
fn a_refusal_instead_of_a_greeting_or_of_the_login_is_told() {
    let mut rig = Rig::new(SslMode::Disabled);
    rig.send(b"\xff\x10\x04Too many connections");
    assert_eq!(
        rig.fault(),
        LinkFault::ServerRefused(refusal(1040, "Too many connections"))
    );

    let mut rig = Rig::new(SslMode::Disabled);
    rig.send(&greeting("8.0.46", ALL, &NONCE, "mysql_native_password"));
    rig.sent();
    rig.send(b"\xff\x15\x04#28000Access denied for user");
    assert!(matches!(rig.fault(), LinkFault::AuthRefused { user, .. } if user == "canal"));

    let mut rig = Rig::new(SslMode::Disabled);
    rig.send(&greeting("8.0.46", ALL, &NONCE, "mysql_native_password"));
    rig.sent();
    rig.send(b"\xfeauth_gssapi_client\0x");
    assert!(matches!(
        rig.fault(),
        LinkFault::Auth(AuthFault::UnknownPlugin { .. })
    ));
}

#[test]
fn a_statement_is_answered_by_rows_or_by_a_refusal_and_the_link_stays() {
    let mut rig = Rig::idle();
    let set = result(&["a"], &[&["1"], &["\\N"]]);
    rig.replica.query(at(1), "SELECT a");
    assert_eq!(rig.sent(), b"\x03SELECT a");
    for packet in packets(&set) {
        rig.send(&packet);
    }
    assert_eq!(rig.replica.poll_output(), Some(ReplicaOutput::Rows(set)));

    rig.replica.query(at(1), "nonsense");
    rig.sent();
    rig.send(b"\xff\xa9\x04#HY000Unknown system variable");
    let error = refusal(1193, "Unknown system variable");
    assert_eq!(
        rig.replica.poll_output(),
        Some(ReplicaOutput::Failed(error))
    );

    rig.replica.query(at(1), "SET @a=1");
    rig.sent();
    rig.send(OK_PACKET);
    assert_eq!(
        rig.replica.poll_output(),
        Some(ReplicaOutput::Rows(ResultSet::default()))
    );
    assert!(rig.replica.is_idle());
}

#[test]
fn what_an_idle_server_says_unasked_ends_the_link_with_its_words() {
    let mut rig = Rig::idle();
    rig.server.restart();
    rig.send(b"\xff\xbf\x0f#HY000The client was disconnected by the server");
    assert!(matches!(rig.fault(), LinkFault::ServerRefused(error) if error.code == 4031));
    rig.replica.query(at(1), "SELECT 1");
    assert_eq!(
        rig.replica.poll_output(),
        None,
        "a statement on a dead link is nothing"
    );
}

#[test]
fn the_dump_commands_have_the_layout_of_the_reference() {
    let dump = |from| {
        dump_command(&DumpRequest {
            server_id: 0x0102_0304,
            from,
        })
    };
    let file = BinlogFile::new("mysql-bin.000007");
    let at = |offset| DumpFrom::Position(BinlogPosition::new(file.clone(), offset));
    let by_position = b"\x12\xf4\x01\x00\x00\x02\x00\x04\x03\x02\x01mysql-bin.000007";
    assert_eq!(dump(at(500)).unwrap(), by_position);
    assert_eq!(
        dump(at(0)).unwrap()[1..5],
        [4, 0, 0, 0],
        "the first event is at 4"
    );
    assert_eq!(
        dump(at(1 << 32)),
        Err(LinkFault::OffsetTooLarge { offset: 1 << 32 })
    );
    assert_eq!(
        dump(DumpFrom::MariadbGtid).unwrap(),
        b"\x12\x04\x00\x00\x00\x02\x00\x04\x03\x02\x01"
    );
    let encoded = Bytes::from_static(&[0; 8]);
    assert_eq!(
        dump(DumpFrom::MysqlGtid { encoded }).unwrap(),
        b"\x1e\x02\x00\x04\x03\x02\x01\0\0\0\0\x04\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0\0\0\0\0"
    );
    assert_eq!(
        register_command(0x0102_0304),
        b"\x15\x04\x03\x02\x01\0\0\0\0\0\0\0\0\0\0\0\0\0"
    );
}

#[test]
fn events_follow_the_registration_even_in_the_same_bytes() {
    let mut rig = Rig::idle();
    let request = DumpRequest {
        server_id: 7,
        from: DumpFrom::Oldest,
    };
    rig.replica.register_and_dump(at(1), &request);
    assert_eq!(rig.sent()[0], 0x15);
    rig.send(OK_PACKET);
    assert_eq!(rig.sent()[0], 0x12);
    assert!(rig.replica.is_streaming());
    assert_eq!(rig.event(), None);
    rig.send(b"\0event one");
    rig.send(b"\0event two");
    assert_eq!(rig.event(), Some(Ok(Bytes::from_static(b"event one"))));
    assert_eq!(rig.event(), Some(Ok(Bytes::from_static(b"event two"))));
    assert_eq!(rig.event(), None);
}

#[test]
fn the_end_of_a_stream_says_why() {
    let mut rig = Rig::streaming();
    rig.send(b"\xff\xd4\x04#HY000Could not find first log file name");
    let error = refusal(1236, "Could not find first log file name");
    assert_eq!(rig.event(), Some(Err(LinkFault::DumpRefused(error))));
    assert_eq!(rig.event(), None);
    assert_eq!(rig.replica.poll_output(), None, "the fault is told once");

    let mut rig = Rig::streaming();
    rig.send(&[0xfe, 0, 0, 2, 0]);
    assert_eq!(rig.event(), Some(Err(LinkFault::End)));

    let mut rig = Rig::streaming();
    rig.send(&[0x55]);
    assert_eq!(
        rig.event(),
        Some(Err(LinkFault::Unexpected {
            due: "an event",
            first: 0x55
        }))
    );

    let mut rig = Rig::streaming();
    rig.buf.extend_from_slice(&[1, 0, 0, 99, 0]);
    let fault = PacketFault::OutOfSequence {
        expected: 1,
        found: 99,
    };
    assert_eq!(rig.event(), Some(Err(fault.into())));
}

#[test]
fn each_wait_has_a_deadline_and_an_early_call_does_nothing() {
    let mut rig = Rig::new(SslMode::Disabled);
    assert_eq!(rig.replica.poll_timeout(), Some((at(5), "greeting")));
    rig.replica.handle_timeout(at(4));
    assert_eq!(rig.replica.poll_output(), None);
    rig.replica.handle_timeout(at(5));
    let after = Duration::from_secs(5);
    assert_eq!(
        rig.fault(),
        LinkFault::TimedOut {
            what: "greeting",
            after
        }
    );

    let mut rig = Rig::idle();
    assert_eq!(rig.replica.poll_timeout(), None);
    rig.replica.query(at(10), "SELECT 1");
    assert_eq!(
        rig.replica.poll_timeout(),
        Some((at(40), "answer to a statement"))
    );
}

#[test]
fn silence_ends_a_stream_unless_it_is_ours() {
    let mut rig = Rig::streaming();
    assert_eq!(
        rig.replica.poll_timeout(),
        Some((at(26), "event or heartbeat"))
    );
    rig.replica.note_bytes(at(20));
    rig.replica.handle_timeout(at(26));
    assert!(rig.replica.is_streaming());

    rig.replica.pause();
    assert_eq!(rig.replica.poll_timeout(), None);
    rig.replica.handle_timeout(at(500));
    rig.replica.resume(at(500));
    assert_eq!(
        rig.replica.poll_timeout(),
        Some((at(525), "event or heartbeat"))
    );
    rig.replica.handle_timeout(at(525));
    assert_eq!(rig.fault(), LinkFault::Silent(Duration::from_secs(25)));
}

/// Whoever asks the instance something makes it look at the flow again: that is no sign of life of the source.
#[test]
fn a_stream_that_is_read_already_is_not_heard_by_being_resumed() {
    let mut rig = Rig::streaming();
    let deadline = rig.replica.poll_timeout();
    rig.replica.resume(at(20));
    assert_eq!(rig.replica.poll_timeout(), deadline);
}

#[test]
fn the_password_is_not_in_the_debug_text() {
    let text = alloc::format!(
        "{:?}",
        Replica::new(config(SslMode::Disabled), Seed(1), at(0))
    );
    assert!(!text.contains("secret"));
}

proptest::proptest! {
    #[test]
    fn no_bytes_of_a_server_make_a_link_panic(
        packets in proptest::collection::vec(proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60), 0..6),
        greet in proptest::prelude::any::<bool>(),
    ) {
        let mut rig = Rig::new(SslMode::Disabled);
        if greet {
            rig.send(&greeting("8.0.46", ALL, &NONCE, "caching_sha2_password"));
            rig.sent();
        }
        for mut packet in packets {
            if let (Some(first), true) = (packet.first_mut(), greet) {
                *first = [0, 1, 0xfe, 0xff, 7][usize::from(*first) % 5];
            }
            rig.send(&packet);
            while let Some(output) = rig.replica.poll_output() {
                if let ReplicaOutput::Transmit(bytes) = output {
                    rig.server.next(&mut BytesMut::from(&bytes[..])).unwrap();
                }
            }
        }
    }
}

#[test]
fn a_link_over_before_its_owner_asks_for_more_takes_no_command() {
    let mut rig = Rig::idle();
    rig.replica.close(LinkFault::Disconnected {
        why: "reset".into(),
    });
    rig.replica.close(LinkFault::End);
    let request = DumpRequest {
        server_id: 7,
        from: DumpFrom::Oldest,
    };
    rig.replica.register_and_dump(at(1), &request);
    assert_eq!(
        rig.fault(),
        LinkFault::Disconnected {
            why: "reset".into()
        }
    );
    assert_eq!(rig.event(), None);
}
