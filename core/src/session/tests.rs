//! Sessions against the bytes of the reference, under any fragmentation, and against garbage.

use super::*;
use alloc::string::String;
use core::slice;
use proptest::prelude::*;

use super::golden::*;
use crate::meta::identity::{ClientId, Destination};
use crate::request::{Ask, BatchId, Wait};
use packet::{ClientAck, ClientRollback, Get, Sub, client_frame};

const SEEDS: Scramble = Scramble::new([1, 2, 3, 4, 5, 6, 7, 8]);

fn seconds(n: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(n)
}

fn config(credentials: Credentials) -> SessionConfig {
    SessionConfig {
        id: SessionId(3),
        credentials,
        auth_timeout: AUTH_TIMEOUT_DEFAULT,
    }
}

fn request(ask: Ask) -> Request {
    Request {
        destination: Destination::new("example"),
        client: ClientId(1001),
        ask,
    }
}

fn batch(id: i64) -> Reply {
    let entries = Bytes::from(unhex(MESSAGES)).slice(ENTRIES_AT..);
    let chunks = vec![entries.slice(..57), entries.slice(57..)];
    Reply::Batch(Batch {
        id: BatchId(id),
        chunks,
        entries: 3,
        rows: 1,
    })
}

fn not_running() -> Refusal {
    Refusal::NotRunning {
        destination: Destination::new("example"),
        why: "unknown".into(),
    }
}

/// One step of a session, in a form that can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Did {
    Asked(RequestId, Request),
    Withdrew(RequestId),
    Wrote(Vec<u8>),
    Closed(CloseReason),
}

/// A session, and whoever is on both sides of it.
struct Rig {
    session: Session,
    now: Instant,
}

impl Rig {
    fn new(credentials: Credentials) -> Self {
        let session = Session::with_scramble(config(credentials), SEEDS, Instant::ZERO);
        Self {
            session,
            now: Instant::ZERO,
        }
    }

    /// One that has authenticated on an open server.
    fn ready() -> Self {
        let mut rig = Self::new(Credentials::default());
        assert_eq!(rig.drain(), [Did::Wrote(unhex(HANDSHAKE))]);
        assert_eq!(rig.sends(PYTHON_AUTH), [Did::Wrote(unhex(ACK))]);
        rig
    }

    fn drain(&mut self) -> Vec<Did> {
        let mut did = Vec::new();
        while let Some(output) = self.session.poll_output() {
            did.push(match output {
                SessionOutput::Forward(id, request) => Did::Asked(id, request),
                SessionOutput::Withdraw(id) => Did::Withdrew(id),
                SessionOutput::Transmit(chunks) => Did::Wrote(chunks.concat()),
                SessionOutput::Close(reason) => Did::Closed(reason),
            });
        }
        did
    }

    fn sends(&mut self, hex: &str) -> Vec<Did> {
        self.sends_bytes(&unhex(hex))
    }

    fn sends_bytes(&mut self, bytes: &[u8]) -> Vec<Did> {
        self.session
            .handle_bytes(self.now, &mut BytesMut::from(bytes));
        self.drain()
    }

    fn answers(&mut self, number: u64, reply: Reply) -> Vec<Did> {
        self.session.handle_reply(self.now, id(number), reply);
        self.drain()
    }

    fn at(&mut self, now: Instant) -> Vec<Did> {
        self.now = now;
        self.session.handle_timeout(now);
        self.drain()
    }
}

const fn id(number: u64) -> RequestId {
    RequestId {
        session: SessionId(3),
        number,
    }
}

fn asked(number: u64, ask: Ask) -> Did {
    Did::Asked(id(number), request(ask))
}

fn error(code: i32, text: &str) -> Did {
    let ack = Ack {
        error_code: Some(code),
        error_message: text.into(),
    };
    Did::Wrote(packet::server_frame(PacketType::Ack, &ack).to_vec())
}

fn ack_in(frame: &[u8]) -> Ack {
    let packet = Packet::decode(&frame[frame::HEADER_BYTES..]).unwrap();
    Ack::decode(packet.body).unwrap()
}

#[test]
fn the_worked_session_is_byte_identical() {
    let stored = Some(auth::stored(b"canal"));
    let mut rig = Rig::new(Credentials {
        user: "canal".into(),
        stored,
    });
    assert_eq!(rig.drain(), [Did::Wrote(unhex(HANDSHAKE))]);
    assert_eq!(rig.sends(AUTH), [Did::Wrote(unhex(ACK))]);

    assert_eq!(
        rig.sends(ROLLBACK),
        [asked(1, Ask::Rollback { batch: None })]
    );
    assert_eq!(rig.answers(1, Reply::Done), []);
    let filter = String::from("test\\..*");
    assert_eq!(
        rig.sends(SUBSCRIPTION),
        [asked(2, Ask::Subscribe { filter })]
    );
    assert_eq!(rig.answers(2, Reply::Done), [Did::Wrote(unhex(ACK))]);

    assert_eq!(
        rig.sends(GET_NO_WAIT),
        [asked(
            3,
            Ask::Get {
                size: 1000,
                wait: Wait::No
            }
        )]
    );
    assert_eq!(rig.answers(3, Reply::NoData), [Did::Wrote(unhex(NO_DATA))]);
    assert_eq!(rig.sends(ACK_NO_DATA), []);

    let wait = Wait::AtMost(Duration::from_millis(300));
    assert_eq!(
        rig.sends(GET_300_MS),
        [asked(4, Ask::Get { size: 1000, wait })]
    );
    assert_eq!(rig.answers(4, batch(1)), [Did::Wrote(unhex(MESSAGES))]);
    assert_eq!(
        rig.sends(ACK_BATCH),
        [asked(5, Ask::Ack { batch: BatchId(1) })]
    );
    assert_eq!(rig.answers(5, Reply::Done), []);

    assert_eq!(rig.sends(UNSUBSCRIPTION), [asked(6, Ask::Unsubscribe)]);
    assert_eq!(rig.answers(6, Reply::Done), [Did::Wrote(unhex(ACK))]);
}

#[test]
fn a_batch_leaves_as_its_head_and_the_very_slices_of_the_store() {
    let mut rig = Rig::ready();
    rig.sends(GET_NO_WAIT);
    let Reply::Batch(b) = batch(1) else {
        panic!("a batch")
    };
    let stored: Vec<*const u8> = b.chunks.iter().map(|c| c.as_ptr()).collect();
    rig.session.handle_reply(rig.now, id(1), Reply::Batch(b));
    let Some(SessionOutput::Transmit(chunks)) = rig.session.poll_output() else {
        panic!("the batch is written")
    };
    let sent: Vec<*const u8> = chunks[1..].iter().map(|c| c.as_ptr()).collect();
    assert_eq!((chunks[0].len(), sent), (ENTRIES_AT, stored));
}

#[test]
fn the_python_dialect_is_understood() {
    let mut rig = Rig::ready();
    assert_eq!(
        rig.sends(PYTHON_GET),
        [asked(
            1,
            Ask::Get {
                size: 100,
                wait: Wait::No
            }
        )]
    );
}

#[test]
fn a_wrong_password_may_be_tried_again_a_few_times() {
    let stored = Some(auth::stored(b"canal"));
    let mut rig = Rig::new(Credentials {
        user: "canal".into(),
        stored,
    });
    rig.drain();
    let wrong = ClientAuth {
        username: "canal".into(),
        password: Bytes::from_static(b"not a token"),
        ..ClientAuth::default()
    };
    let wrong = client_frame(PacketType::ClientAuthentication, &wrong);
    let refused = Did::Wrote(unhex(AUTH_REFUSED));
    for _ in 1..AUTH_FAILURES_MAX {
        assert_eq!(rig.sends_bytes(&wrong), slice::from_ref(&refused));
    }
    let closed = Did::Closed(CloseReason::AuthFailures(AUTH_FAILURES_MAX));
    assert_eq!(rig.sends_bytes(&wrong), [refused, closed]);
    assert_eq!(rig.sends(AUTH), [], "a closed session hears nothing");

    let mut rig = Rig::new(Credentials {
        user: "canal".into(),
        stored,
    });
    rig.drain();
    rig.sends_bytes(&wrong);
    assert_eq!(
        rig.sends(AUTH),
        [Did::Wrote(unhex(ACK))],
        "the seed of the next attempt is the same"
    );
}

#[test]
fn nothing_but_authentication_is_heard_before_it() {
    let mut rig = Rig::new(Credentials::default());
    rig.drain();
    let early = "auth failed: SUBSCRIPTION came before CLIENTAUTHENTICATION, which must be the first packet";
    assert_eq!(rig.sends(SUBSCRIPTION), [error(400, early)]);
    let [Did::Wrote(frame)] = &rig.sends("00000005 18022a01ff")[..] else {
        panic!("an error")
    };
    assert_eq!(
        ack_in(frame).error_code,
        Some(400),
        "a body that is no ClientAuth may be repeated"
    );
    assert_eq!(rig.sends(PYTHON_AUTH), [Did::Wrote(unhex(ACK))]);
}

#[test]
fn an_authentication_may_subscribe_at_once() {
    let subscribe = |destination: &str, client_id: &str| {
        let auth = ClientAuth {
            destination: destination.into(),
            client_id: client_id.into(),
            filter: "a\\.b".into(),
            ..ClientAuth::default()
        };
        client_frame(PacketType::ClientAuthentication, &auth)
    };
    let mut rig = Rig::new(Credentials::default());
    rig.drain();
    let ask = Ask::Subscribe {
        filter: "a\\.b".into(),
    };
    assert_eq!(
        rig.sends_bytes(&subscribe("example", "1001")),
        [asked(1, ask.clone())]
    );
    assert_eq!(
        rig.session.poll_timeout(),
        None,
        "the instance may take its time"
    );
    let refused = rig.answers(1, Reply::Refused(not_running()));
    assert_eq!(
        refused,
        [error(
            400,
            "destination:example should start first (unknown)"
        )]
    );

    let bad_id = "clientId must be a number from -32768 to 32767. For input string: \"me\"";
    assert_eq!(
        rig.sends_bytes(&subscribe("example", "me")),
        [error(400, bad_id)]
    );
    assert_eq!(
        rig.sends_bytes(&subscribe("example", "1001")),
        [asked(2, ask)]
    );
    assert_eq!(rig.answers(2, Reply::Done), [Did::Wrote(unhex(ACK))]);
    assert_eq!(
        rig.sends(UNSUBSCRIPTION),
        [asked(3, Ask::Unsubscribe)],
        "it is in"
    );

    let mut half = Rig::new(Credentials::default());
    half.drain();
    assert_eq!(
        half.sends_bytes(&subscribe("example", "")),
        [Did::Wrote(unhex(ACK))]
    );
}

#[test]
fn packets_that_a_server_does_not_take_are_named() {
    let mut rig = Rig::ready();
    assert_eq!(
        rig.sends("00000002 180b"),
        [Did::Wrote(unhex(HEARTBEAT_UNSUPPORTED))]
    );
    for (frame, name) in [
        ("00000000", "PACKAGETYPECOMPATIBLEPROTO2"),
        ("00000002 1801", "HANDSHAKE"),
        ("00000002 1802", "CLIENTAUTHENTICATION"),
        ("00000002 1803", "ACK"),
        ("00000002 1807", "MESSAGES"),
        ("00000002 1809", "SHUTDOWN"),
        ("00000002 180a", "DUMP"),
        ("00000002 180d", "UNRECOGNIZED"),
    ] {
        let text = alloc::format!("packet type: {name} is NOT supported!");
        assert_eq!(rig.sends(frame), [error(400, &text)]);
    }
}

#[test]
fn missing_identity_and_missing_batch_have_their_codes() {
    let mut rig = Rig::ready();
    for (kind, message) in [
        (PacketType::Subscription, "Sub"),
        (PacketType::Unsubscription, "Unsub"),
        (PacketType::Get, "Get"),
        (PacketType::ClientAck, "Ack"),
        (PacketType::ClientRollback, "Rollback"),
    ] {
        let frame = client_frame(kind, &Sub::default());
        let text = alloc::format!(
            "destination or clientId is null. {message}: destination: \"\" client_id: \"\""
        );
        assert_eq!(rig.sends_bytes(&frame), [error(401, &text)]);
    }
    let ack = ClientAck {
        destination: "d".into(),
        client_id: "7".into(),
        batch_id: 0,
    };
    let text = "batchId should assign value. Ack: destination: \"d\" client_id: \"7\"";
    let sent = client_frame(PacketType::ClientAck, &ack);
    assert_eq!(rig.sends_bytes(&sent), [error(402, text)]);
}

#[test]
fn a_malformed_body_is_answered_and_a_malformed_packet_closes() {
    let mut rig = Rig::ready();
    let [Did::Wrote(frame)] = &rig.sends("00000005 18062a01 ff")[..] else {
        panic!("an error")
    };
    let ack = ack_in(frame);
    assert_eq!(ack.error_code, Some(400));
    assert!(
        ack.error_message
            .starts_with("the body of GET is not a valid message: ")
    );
    assert_eq!(rig.sends(UNSUBSCRIPTION).len(), 1, "the connection goes on");
    rig.answers(1, Reply::Done);

    let closed = rig.sends("00000002 2aff");
    assert!(matches!(
        &closed[..],
        [Did::Closed(CloseReason::MalformedPacket { .. })]
    ));
}

#[test]
fn impossible_frame_lengths_close() {
    let negative = CloseReason::Frame(frame::FrameError::Negative(-1));
    assert_eq!(Rig::ready().sends("ffffffff"), [Did::Closed(negative)]);

    let length = frame::FRAME_BYTES_MAX + 1;
    let long = frame::FrameError::TooLong {
        length,
        limit: frame::FRAME_BYTES_MAX,
    };
    let sent = Rig::ready().sends_bytes(&frame::header(length));
    assert_eq!(sent, [Did::Closed(CloseReason::Frame(long))]);

    let mut stranger = Rig::new(Credentials::default());
    stranger.drain();
    let length = frame::FRAME_BYTES_MAX_BEFORE_AUTH + 1;
    let limit = frame::FRAME_BYTES_MAX_BEFORE_AUTH;
    let long = frame::FrameError::TooLong { length, limit };
    let sent = stranger.sends_bytes(&frame::header(length));
    assert_eq!(sent, [Did::Closed(CloseReason::Frame(long))]);
}

#[test]
fn refusals_surface_except_where_clients_roll_back_blindly() {
    let not_subscribed = || Refusal::NotSubscribed {
        destination: Destination::new("example"),
        client: ClientId(1001),
    };
    let mut rig = Rig::ready();
    rig.sends(ROLLBACK);
    assert_eq!(rig.answers(1, Reply::Refused(not_running())), []);
    rig.sends(ROLLBACK);
    assert_eq!(rig.answers(2, Reply::Refused(not_subscribed())), []);

    let one = ClientRollback {
        destination: "example".into(),
        client_id: "1001".into(),
        batch_id: 9,
    };
    let one = client_frame(PacketType::ClientRollback, &one);
    rig.sends_bytes(&one);
    assert_eq!(rig.answers(3, Reply::Refused(not_subscribed())), []);
    rig.sends_bytes(&one);
    let text = "destination:example should start first (unknown)";
    assert_eq!(
        rig.answers(4, Reply::Refused(not_running())),
        [error(400, text)]
    );

    rig.sends(ACK_BATCH);
    let (batch, oldest) = (BatchId(1), BatchId(7));
    let refusal = Refusal::NotOldest { batch, oldest };
    let surfaced = rig.answers(5, Reply::Refused(refusal));
    assert_eq!(surfaced, [error(400, "batchId:1 is not the firstly:7")]);

    rig.sends(GET_NO_WAIT);
    let text = "ClientIdentity:ClientIdentity[destination=example,clientId=1001,filter=<null>] should subscribe first";
    assert_eq!(
        rig.answers(6, Reply::Refused(not_subscribed())),
        [error(400, text)]
    );
}

#[test]
fn pipelined_requests_wait_for_their_turn_and_keep_their_order() {
    let mut rig = Rig::ready();
    let all = [ROLLBACK, SUBSCRIPTION, GET_NO_WAIT, UNSUBSCRIPTION].concat();
    assert_eq!(rig.sends(&all), [asked(1, Ask::Rollback { batch: None })]);
    let subscribe = asked(
        2,
        Ask::Subscribe {
            filter: "test\\..*".into(),
        },
    );
    assert_eq!(rig.answers(1, Reply::Done), [subscribe]);
    let get = asked(
        3,
        Ask::Get {
            size: 1000,
            wait: Wait::No,
        },
    );
    assert_eq!(rig.answers(2, Reply::Done), [Did::Wrote(unhex(ACK)), get]);
    let last = asked(4, Ask::Unsubscribe);
    assert_eq!(
        rig.answers(3, Reply::NoData),
        [Did::Wrote(unhex(NO_DATA)), last]
    );
    assert_eq!(rig.answers(3, Reply::NoData), [], "a second answer is late");
    assert_eq!(rig.answers(4, Reply::Done), [Did::Wrote(unhex(ACK))]);
}

#[test]
fn bytes_behind_a_request_use_up_the_budget() {
    let mut rig = Rig::ready();
    assert_eq!(
        rig.session.read_budget(),
        frame::HEADER_BYTES + frame::FRAME_BYTES_MAX
    );
    rig.sends("0000");
    assert_eq!(
        rig.session.read_budget(),
        frame::HEADER_BYTES + frame::FRAME_BYTES_MAX - 2
    );

    let mut rig = Rig::ready();
    rig.sends(GET_NO_WAIT);
    assert_eq!(rig.session.read_budget(), PARKED_BYTES_MAX);
    rig.sends_bytes(&vec![0; PARKED_BYTES_MAX - 1]);
    assert_eq!(rig.session.read_budget(), 1);
    rig.sends_bytes(&[0, 0]);
    assert_eq!(rig.session.read_budget(), 0);
    rig.session.handle_disconnect();
    assert_eq!(rig.session.read_budget(), 0);
}

#[test]
fn a_flood_of_bad_packets_is_answered_one_by_one() {
    let mut rig = Rig::ready();
    rig.session
        .handle_bytes(rig.now, &mut BytesMut::from(&vec![0; 40_000][..]));
    assert_eq!(rig.session.outputs.len(), 0);
    assert_eq!(rig.drain().len(), 10_000);
}

#[test]
fn a_get_dies_with_its_connection_and_an_acknowledgement_does_not() {
    let mut rig = Rig::ready();
    rig.sends(&[GET_300_MS, ACK_BATCH, GET_300_MS, ROLLBACK].concat());
    rig.session.handle_disconnect();
    let ack = asked(2, Ask::Ack { batch: BatchId(1) });
    assert_eq!(rig.drain(), [Did::Withdrew(id(1)), ack]);
    assert_eq!(rig.answers(1, batch(1)), [], "late");
    let refusal = Refusal::NotOldest {
        batch: BatchId(1),
        oldest: BatchId(2),
    };
    let rollback = asked(3, Ask::Rollback { batch: None });
    let next = rig.answers(2, Reply::Refused(refusal));
    assert_eq!(next, [rollback], "nobody is there to be told");
    assert_eq!(rig.session.poll_timeout(), None);
    assert_eq!(
        rig.answers(3, Reply::Done),
        [Did::Closed(CloseReason::Disconnected)]
    );
    assert_eq!(rig.sends(ACK_BATCH), []);
}

#[test]
fn a_client_that_waits_is_told_why_the_connection_ends() {
    let superseded = CloseReason::Superseded {
        destination: Destination::new("example"),
        client: ClientId(1001),
    };
    let text = "clientId:1001 of destination:example is now served on a newer connection";
    let mut rig = Rig::ready();
    rig.sends(GET_300_MS);
    rig.session.handle_close(superseded.clone());
    let told = [
        Did::Withdrew(id(1)),
        error(400, text),
        Did::Closed(superseded.clone()),
    ];
    assert_eq!(rig.drain(), told);

    let mut rig = Rig::ready();
    rig.sends(GET_300_MS);
    let refusal = Refusal::Superseded {
        destination: Destination::new("example"),
        client: ClientId(1001),
    };
    let told = [error(400, text), Did::Closed(superseded)];
    assert_eq!(rig.answers(1, Reply::Refused(refusal)), told);

    let mut rig = Rig::ready();
    rig.sends(ACK_BATCH);
    rig.session.handle_close(CloseReason::Stopping);
    assert_eq!(
        rig.drain(),
        [Did::Withdrew(id(1)), Did::Closed(CloseReason::Stopping)]
    );

    let mut rig = Rig::ready();
    rig.session.handle_close(CloseReason::Stopping);
    rig.session.handle_close(CloseReason::Stopping);
    assert_eq!(
        rig.drain(),
        [Did::Closed(CloseReason::Stopping)],
        "no packet that nobody asked for"
    );
}

#[test]
fn a_stranger_has_a_minute() {
    let mut rig = Rig::new(Credentials::default());
    rig.drain();
    assert_eq!(
        rig.session.poll_timeout(),
        Some((seconds(60), "authentication"))
    );
    rig.now = seconds(59);
    rig.sends("0000");
    assert_eq!(rig.at(seconds(59)), []);
    let closed = Did::Closed(CloseReason::AuthTimeout(AUTH_TIMEOUT_DEFAULT));
    assert_eq!(rig.at(seconds(60)), [closed]);
    assert_eq!(rig.at(seconds(61)), []);
}

#[test]
fn idleness_is_the_shorter_timeout_without_any_traffic_and_without_a_request() {
    let mut rig = Rig::new(Credentials::default());
    rig.drain();
    let auth = ClientAuth {
        net_read_timeout: Some(30_000),
        net_write_timeout: Some(-1),
        ..ClientAuth::default()
    };
    rig.sends_bytes(&client_frame(PacketType::ClientAuthentication, &auth));
    assert_eq!(
        rig.session.poll_timeout(),
        Some((seconds(30), "idle client"))
    );

    rig.now = seconds(20);
    rig.sends(GET_300_MS);
    assert_eq!(rig.session.poll_timeout(), None);
    assert_eq!(
        rig.at(seconds(1_000)),
        [],
        "a get may wait as long as it asked for"
    );
    rig.answers(1, Reply::NoData);
    assert_eq!(
        rig.session.poll_timeout(),
        Some((seconds(1_030), "idle client"))
    );
    let closed = Did::Closed(CloseReason::Idle(Duration::from_secs(30)));
    assert_eq!(rig.at(seconds(1_030)), [closed]);

    assert_eq!(
        Rig::ready().session.poll_timeout(),
        Some((seconds(3_600), "idle client"))
    );
}

#[test]
fn a_batch_that_no_frame_can_carry_is_refused_with_the_cure() {
    let mut rig = Rig::ready();
    rig.sends(GET_NO_WAIT);
    let mebibytes = Bytes::from(vec![0; 64 << 20]);
    let chunks = vec![mebibytes; 32];
    let reply = Reply::Batch(Batch {
        id: BatchId(5),
        chunks,
        entries: 32,
        rows: 32,
    });
    let text = "batchId:5 holds 2147483648 bytes, and a frame carries 2147483647: roll it back and get with a smaller fetch size";
    assert_eq!(rig.answers(1, reply), [error(400, text)]);
}

#[test]
#[should_panic(expected = "does not fit")]
fn an_answer_to_another_question_is_a_bug() {
    let mut rig = Rig::ready();
    rig.sends(GET_NO_WAIT);
    rig.answers(1, Reply::Done);
}

#[test]
fn seeds_differ_from_session_to_session_and_not_from_run_to_run() {
    let first = |seed| {
        let mut session = Session::new(config(Credentials::default()), Seed(seed), Instant::ZERO);
        let Some(SessionOutput::Transmit(chunks)) = session.poll_output() else {
            panic!("a handshake")
        };
        chunks.concat()
    };
    assert_eq!(first(1), first(1));
    assert_ne!(first(1), first(2));
}

/// Everything that a client sends in the worked session, and some mistakes.
fn everything() -> Vec<u8> {
    let get = Get {
        destination: "example".into(),
        ..Get::default()
    };
    let mut bytes = unhex(
        &[
            AUTH,
            ROLLBACK,
            SUBSCRIPTION,
            GET_NO_WAIT,
            ACK_NO_DATA,
            GET_300_MS,
            ACK_BATCH,
        ]
        .concat(),
    );
    bytes.extend_from_slice(&client_frame(PacketType::Get, &get));
    bytes.extend(unhex(
        &["00000002 180b", "00000000", UNSUBSCRIPTION, "ffffffff"].concat(),
    ));
    bytes
}

/// Runs a session on `pieces`, answering each request at once or only after all bytes are in.
fn run(pieces: &[&[u8]], prompt: bool) -> Vec<Did> {
    let mut rig = Rig::new(Credentials::default());
    let mut log = rig.drain();
    let mut open: VecDeque<(RequestId, Request)> = VecDeque::new();
    let settle = |rig: &mut Rig, open: &mut VecDeque<(RequestId, Request)>, log: &mut Vec<Did>| {
        while let Some((id, request)) = open.pop_front() {
            let reply = match request.ask {
                Ask::Get { wait: Wait::No, .. } => Reply::NoData,
                Ask::Get { .. } => batch(1),
                Ask::Subscribe { .. } | Ask::Unsubscribe => Reply::Done,
                Ask::Ack { .. } | Ask::Rollback { .. } => Reply::Done,
            };
            rig.session.handle_reply(rig.now, id, reply);
            note(rig.drain(), open, log);
        }
    };
    for piece in pieces {
        let did = rig.sends_bytes(piece);
        note(did, &mut open, &mut log);
        if prompt {
            settle(&mut rig, &mut open, &mut log);
        }
    }
    settle(&mut rig, &mut open, &mut log);
    log
}

fn note(did: Vec<Did>, open: &mut VecDeque<(RequestId, Request)>, log: &mut Vec<Did>) {
    for step in &did {
        if let Did::Asked(id, request) = step {
            open.push_back((*id, request.clone()));
        }
    }
    log.extend(did);
}

#[test]
fn the_whole_stream_at_once_gives_all_replies_and_then_closes() {
    let log = run(&[&everything()], true);
    let asked = log.iter().filter(|d| matches!(d, Did::Asked(..))).count();
    let wrote = log.iter().filter(|d| matches!(d, Did::Wrote(_))).count();
    assert_eq!((asked, wrote), (6, 9));
    let negative = CloseReason::Frame(frame::FrameError::Negative(-1));
    assert_eq!(log.last(), Some(&Did::Closed(negative)));
}

proptest! {
    #[test]
    fn any_fragmentation_gives_the_same_outputs(
        mut cuts in prop::collection::vec(0..everything().len(), 0..60),
        prompt: bool,
    ) {
        let bytes = everything();
        cuts.sort_unstable();
        cuts.push(bytes.len());
        let mut from = 0;
        let mut pieces: Vec<&[u8]> = Vec::new();
        for cut in cuts {
            pieces.push(&bytes[from..cut]);
            from = cut;
        }
        prop_assert_eq!(run(&pieces, prompt), run(&[&bytes], true));
    }

    #[test]
    fn garbage_never_panics(
        garbage in prop::collection::vec(any::<u8>(), 0..400),
        authenticated: bool,
    ) {
        let mut rig = Rig::new(Credentials::default());
        rig.drain();
        if authenticated {
            rig.sends(PYTHON_AUTH);
        }
        rig.sends_bytes(&garbage);
    }

    #[test]
    fn garbage_in_well_formed_frames_never_panics_and_is_always_answered(
        bodies in prop::collection::vec(
            (0..20_i32, prop::collection::vec(any::<u8>(), 0..40)), 1..20),
    ) {
        let mut rig = Rig::ready();
        for (kind, body) in bodies {
            let packet = Packet { kind, body: body.into(), ..Packet::default() };
            let bytes = packet.encode_to_vec();
            let mut frame = frame::header(bytes.len()).to_vec();
            frame.extend(bytes);
            let did = rig.sends_bytes(&frame);
            let silent = kind == PacketType::ClientAck as i32;
            prop_assert!(did.len() == 1 || (did.is_empty() && silent), "{:?}", did);
            if let Some(Did::Asked(id, _)) = did.first() {
                rig.session.handle_reply(rig.now, *id, Reply::Refused(not_running()));
                rig.drain();
            }
        }
    }

    #[test]
    fn mutated_sessions_never_panic(at in 0..everything().len(), byte: u8) {
        let mut bytes = everything();
        bytes[at] = byte;
        let mut rig = Rig::new(Credentials::default());
        let mut did = rig.drain();
        did.extend(rig.sends_bytes(&bytes));
        while let Some(Did::Asked(id, _)) = did.iter().rfind(|d| matches!(d, Did::Asked(..))) {
            rig.session.handle_reply(rig.now, *id, Reply::Refused(not_running()));
            did = rig.drain();
        }
    }
}
