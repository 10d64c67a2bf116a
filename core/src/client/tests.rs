//! Clients against the bytes of the reference, and against sessions.

use super::*;
use alloc::vec;
use proptest::prelude::*;

use crate::config::Credentials;
use crate::request::{Ask, Batch, Refusal, Reply, SessionId};
use crate::rng::Seed;
use crate::session::golden::*;
use crate::session::packet::server_frame;
use crate::session::{CloseReason, Session, SessionConfig, SessionOutput};

fn seconds(n: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(n)
}

fn config() -> ClientConfig {
    let mut config = ClientConfig::new(Destination::new("example"), ClientId(1001));
    config.username = "canal".into();
    config.password = Some("canal".into());
    config.filter = "test\\..*".into();
    config
}

fn drain(client: &mut Client) -> Vec<ClientOutput> {
    core::iter::from_fn(|| client.poll_output()).collect()
}

fn hears(client: &mut Client, hex: &str) -> Vec<ClientOutput> {
    client.handle_bytes(Instant::ZERO, &mut BytesMut::from(&unhex(hex)[..]));
    drain(client)
}

fn sent(hex: &str) -> ClientOutput {
    ClientOutput::Transmit(unhex(hex).into())
}

fn ready() -> Client {
    let mut client = Client::new(config(), Instant::ZERO);
    hears(&mut client, &[HANDSHAKE, ACK, ACK].concat());
    client
}

#[test]
fn a_client_says_what_stock_clients_say() {
    let mut client = Client::new(config(), Instant::ZERO);
    assert_eq!(hears(&mut client, HANDSHAKE), [sent(AUTH)]);
    assert_eq!(hears(&mut client, ACK), [sent(SUBSCRIPTION)]);
    assert_eq!(
        hears(&mut client, ACK),
        [sent(ROLLBACK), ClientOutput::Ready]
    );

    client.get(Instant::ZERO, 1000, Wait::No);
    assert_eq!(drain(&mut client), [sent(GET_NO_WAIT)]);
    assert_eq!(hears(&mut client, NO_DATA), [ClientOutput::NoData]);

    client.get(
        Instant::ZERO,
        1000,
        Wait::AtMost(Duration::from_micros(299_001)),
    );
    assert_eq!(drain(&mut client), [sent(GET_300_MS)]);
    let entries = vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")];
    let messages = Messages {
        batch_id: 1,
        messages: entries.clone(),
    };
    let frame = server_frame(PacketType::Messages, &messages);
    client.handle_bytes(Instant::ZERO, &mut BytesMut::from(frame));
    let message = ClientOutput::Message {
        batch_id: BatchId(1),
        entries,
    };
    assert_eq!(drain(&mut client), [message]);
    client.ack(BatchId(1));
    assert_eq!(drain(&mut client), [sent(ACK_BATCH)]);
}

#[test]
fn who_leaves_takes_back_what_is_open_and_hears_nothing_more() {
    let mut client = ready();
    client.get(Instant::ZERO, 1, Wait::Unbounded);
    drain(&mut client);
    client.leave(Farewell::KeepPlace);
    assert_eq!(drain(&mut client), [sent(ROLLBACK)]);
    assert_eq!((client.read_budget(), client.poll_timeout()), (0, None));
    assert_eq!(hears(&mut client, NO_DATA), []);
    client.leave(Farewell::Unsubscribe);
    client.handle_disconnect();
    assert_eq!(drain(&mut client), [], "it has left");

    let mut client = ready();
    client.leave(Farewell::Unsubscribe);
    let unsub = Unsub {
        destination: "example".into(),
        client_id: "1001".into(),
        filter: String::new(),
    };
    let unsub = client_frame(PacketType::Unsubscription, &unsub);
    assert_eq!(
        drain(&mut client),
        [sent(ROLLBACK), ClientOutput::Transmit(unsub)]
    );

    let mut early = Client::new(config(), Instant::ZERO);
    early.leave(Farewell::Unsubscribe);
    assert_eq!(drain(&mut early), [], "nothing is open before Ready");
}

#[test]
fn who_answers_in_another_protocol_is_found_out_at_once() {
    for (text, length) in [
        (&b"HTTP/1.1 400"[..], 0x4854_5450),
        (b"\x4a\0\0\0\x0a9.7.4", 0x4a00_0000),
    ] {
        let mut client = Client::new(config(), Instant::ZERO);
        client.handle_bytes(Instant::ZERO, &mut BytesMut::from(text));
        let limit = frame::FRAME_BYTES_MAX_BEFORE_AUTH;
        let fault = FrameError::TooLong { length, limit }.into();
        assert_eq!(drain(&mut client), [ClientOutput::Closed(fault)]);
    }
}

#[test]
fn a_get_without_limit_has_no_deadline_and_other_requests_have() {
    let minute = Some(seconds(60));
    let mut client = Client::new(config(), Instant::ZERO);
    assert_eq!(client.poll_timeout(), Some((seconds(60), "handshake")));
    hears(&mut client, &[HANDSHAKE, ACK, ACK].concat());
    assert_eq!(client.poll_timeout(), None);

    let waits = [
        (Wait::No, minute),
        (Wait::AtMost(Duration::ZERO), minute),
        (Wait::AtMost(Duration::from_secs(5)), Some(seconds(65))),
        (Wait::Unbounded, None),
    ];
    for (wait, deadline) in waits {
        client.get(Instant::ZERO, 1, wait);
        assert_eq!(
            client.poll_timeout().map(|(at, _)| at),
            deadline,
            "{wait:?}"
        );
        drain(&mut client);
        assert_eq!(hears(&mut client, NO_DATA), [ClientOutput::NoData]);
    }
    client.get(Instant::ZERO, 1, Wait::No);
    drain(&mut client);
    client.handle_timeout(seconds(59));
    assert_eq!(drain(&mut client), []);
    client.handle_timeout(seconds(60));
    client.handle_timeout(seconds(60));
    let awaited = Awaited::Messages;
    assert_eq!(
        drain(&mut client),
        [ClientOutput::Closed(ClientFault::TimedOut { awaited })]
    );
}

#[test]
fn a_server_of_another_version_is_refused() {
    for (handshake, version) in [("00000002 1801", 0), ("00000004 10021801", 2)] {
        let mut client = Client::new(config(), Instant::ZERO);
        let closed = ClientOutput::Closed(ClientFault::Version(version));
        assert_eq!(hears(&mut client, handshake), [closed]);
    }
}

#[test]
fn a_refused_authentication_ends_the_connection() {
    let mut client = Client::new(config(), Instant::ZERO);
    hears(&mut client, HANDSHAKE);
    let fault = ClientFault::Refused {
        awaited: Awaited::Admission,
        code: 400,
        message: "auth failed for user:canal".into(),
    };
    assert_eq!(
        hears(&mut client, AUTH_REFUSED),
        [ClientOutput::Closed(fault)]
    );
    assert_eq!(hears(&mut client, ACK), []);
    client.get(Instant::ZERO, 1, Wait::No);
    client.ack(BatchId(1));
    client.handle_disconnect();
    assert_eq!(drain(&mut client), [], "a closed client says nothing");
    assert_eq!(client.read_budget(), 0);
}

#[test]
fn bad_news_about_an_acknowledgement_ends_the_connection() {
    let ack = Ack {
        error_code: Some(400),
        error_message: "batchId:1 is not the firstly:7".into(),
    };
    let news = server_frame(PacketType::Ack, &ack);
    let mut client = ready();
    client.ack(BatchId(1));
    drain(&mut client);
    client.handle_bytes(Instant::ZERO, &mut BytesMut::from(news));
    let fault = ClientFault::Refused {
        awaited: Awaited::Nothing,
        code: 400,
        message: ack.error_message,
    };
    assert_eq!(drain(&mut client), [ClientOutput::Closed(fault)]);
}

#[test]
fn packets_out_of_turn_end_the_connection() {
    let unexpected = |awaited, got| ClientOutput::Closed(ClientFault::Unexpected { awaited, got });
    let mut client = Client::new(config(), Instant::ZERO);
    let closed = unexpected(Awaited::Handshake, "ACK");
    assert_eq!(hears(&mut client, ACK), [closed]);
    assert_eq!(
        hears(&mut ready(), ACK),
        [unexpected(Awaited::Nothing, "ACK")]
    );
    assert_eq!(
        hears(&mut ready(), NO_DATA),
        [unexpected(Awaited::Nothing, "MESSAGES")]
    );
    let mut client = ready();
    client.get(Instant::ZERO, 1, Wait::No);
    drain(&mut client);
    assert_eq!(
        hears(&mut client, ACK),
        [unexpected(Awaited::Messages, "ACK")]
    );
}

#[test]
fn compressed_batches_are_not_taken_for_entries() {
    let mut client = ready();
    client.get(Instant::ZERO, 1, Wait::No);
    drain(&mut client);
    let closed = ClientOutput::Closed(ClientFault::Compressed(3));
    assert_eq!(hears(&mut client, "00000006 1807 2003 2a00"), [closed]);
}

/// A client and a session, joined by a network that delivers `piece` bytes at a time.
struct Pair {
    client: Client,
    session: Session,
    piece: usize,
    asked: Vec<Ask>,
    told: Vec<ClientOutput>,
    closed: Option<CloseReason>,
}

impl Pair {
    fn new(config: ClientConfig, piece: usize) -> Self {
        let stored = Some(auth::stored(b"canal"));
        let credentials = Credentials {
            user: "canal".into(),
            stored,
        };
        let id = SessionId(1);
        let auth_timeout = Duration::from_secs(60);
        let session_config = SessionConfig {
            id,
            credentials,
            auth_timeout,
        };
        Self {
            client: Client::new(config, Instant::ZERO),
            session: Session::new(session_config, Seed(42), Instant::ZERO),
            piece,
            asked: Vec::new(),
            told: Vec::new(),
            closed: None,
        }
    }

    /// Lets both talk until neither has more to say; `reply` is the instance.
    fn talk(&mut self, mut reply: impl FnMut(&Ask) -> Reply) {
        loop {
            let mut quiet = true;
            while let Some(output) = self.session.poll_output() {
                quiet = false;
                match output {
                    SessionOutput::Forward(id, request) => {
                        let reply = reply(&request.ask);
                        self.asked.push(request.ask);
                        self.session.handle_reply(Instant::ZERO, id, reply);
                    }
                    SessionOutput::Transmit(chunks) => {
                        for piece in chunks.concat().chunks(self.piece) {
                            self.client
                                .handle_bytes(Instant::ZERO, &mut BytesMut::from(piece));
                        }
                    }
                    SessionOutput::Close(reason) => self.closed = Some(reason),
                    SessionOutput::Withdraw(_) => {}
                }
            }
            while let Some(output) = self.client.poll_output() {
                quiet = false;
                if let ClientOutput::Transmit(bytes) = output {
                    for piece in bytes.chunks(self.piece) {
                        self.session
                            .handle_bytes(Instant::ZERO, &mut BytesMut::from(piece));
                    }
                } else {
                    self.told.push(output);
                }
            }
            if quiet {
                return;
            }
        }
    }
}

fn stored_batch(id: i64, entries: &[&'static [u8]]) -> Batch {
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.extend([0x12, u8::try_from(entry.len()).unwrap()]);
        bytes.extend_from_slice(entry);
    }
    let count = u32::try_from(entries.len()).unwrap();
    Batch {
        id: BatchId(id),
        chunks: vec![bytes.into()],
        entries: count,
        rows: 0,
    }
}

proptest! {
    #[test]
    fn client_and_session_understand_each_other(piece in 1..200_usize, generation in 1..1000_i64) {
        let id = (generation << 32) | 1;
        let mut pair = Pair::new(config(), piece);
        let done = |_: &Ask| Reply::Done;
        pair.talk(done);
        prop_assert_eq!(&pair.told, &[ClientOutput::Ready]);
        pair.client.get(Instant::ZERO, 10, Wait::Unbounded);
        pair.talk(|_| Reply::Batch(stored_batch(id, &[b"first", b"second"])));
        pair.client.ack(BatchId(id));
        pair.client.rollback(Some(BatchId(id)));
        pair.client.get(Instant::ZERO, 10, Wait::AtMost(Duration::from_secs(1)));
        pair.talk(|ask| if matches!(ask, Ask::Get { .. }) { Reply::NoData } else { Reply::Done });
        let entries = vec![Bytes::from_static(b"first"), Bytes::from_static(b"second")];
        let batch_id = BatchId(id);
        prop_assert_eq!(&pair.told[1..], &[ClientOutput::Message { batch_id, entries }, ClientOutput::NoData]);
        prop_assert_eq!(&pair.asked, &[
            Ask::Subscribe { filter: "test\\..*".into() },
            Ask::Rollback { batch: None },
            Ask::Get { size: 10, wait: Wait::Unbounded },
            Ask::Ack { batch: batch_id },
            Ask::Rollback { batch: Some(batch_id) },
            Ask::Get { size: 10, wait: Wait::AtMost(Duration::from_secs(1)) },
        ]);
    }

    #[test]
    fn garbage_never_panics(garbage in prop::collection::vec(any::<u8>(), 0..300), begun: bool) {
        let mut client = if begun { ready() } else { Client::new(config(), Instant::ZERO) };
        client.handle_bytes(Instant::ZERO, &mut BytesMut::from(&garbage[..]));
        drain(&mut client);
    }
}

#[test]
fn a_refused_subscription_reaches_the_owner_in_words() {
    let mut pair = Pair::new(config(), 7);
    let destination = Destination::new("example");
    let refusal = Refusal::NotRunning {
        destination,
        why: "no such destination".into(),
    };
    pair.talk(|_| Reply::Refused(refusal.clone()));
    let fault = ClientFault::Refused {
        awaited: Awaited::Subscription,
        code: 400,
        message: refusal.to_string(),
    };
    assert_eq!(pair.told, [ClientOutput::Closed(fault)]);
    assert_eq!(pair.closed, None, "the server leaves it to the client");
}

#[test]
fn a_wrong_password_is_found_out() {
    let mut wrong = config();
    wrong.password = Some("other".into());
    let mut pair = Pair::new(wrong, 1000);
    pair.talk(|_| Reply::Done);
    let told = &pair.told[..];
    let [
        ClientOutput::Closed(ClientFault::Refused {
            awaited: Awaited::Admission,
            ..
        }),
    ] = told
    else {
        panic!("{told:?}")
    };
    assert_eq!(pair.asked, []);
}
