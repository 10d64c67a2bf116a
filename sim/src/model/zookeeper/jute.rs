//! The bytes of ZooKeeper's protocol, written from its `zookeeper.jute`: numbers are big-endian, buffers,
//! strings and lists begin with their length, and -1 is the length of none.
//!
//! A frame is a length and that many bytes. The first that a client sends is a [`Hello`], every other one a
//! [`Request`].

use std::time::Duration;

use bytes::Bytes;
use canald_core::coordination::{ZkSessionId, Zxid};

use super::tree::{Done, Outcome, PASSWORD_BYTES, Refusal, Session, Stat, Step};
use super::watches::{Event, EventKind, Rearmed, WatchKind};

/// Bytes of a frame's length.
pub(super) const HEAD_BYTES: usize = 4;

/// A longer frame ends its connection: the servers' default `jute.maxbuffer`.
pub(super) const FRAME_BYTES_MAX: usize = 0xf_ffff;

/// The `xid` of what nobody asked for.
const XID_EVENT: i32 = -1;

/// The number in an event's head: servers before 3.9 do not say which transaction it was.
const ZXID_OF_EVENTS: Zxid = Zxid(-1);

/// How an event says that its session is alive.
const STATE_CONNECTED: i32 = 3;

/// Types of requests.
mod code {
    pub(super) const CREATE: i32 = 1;
    pub(super) const DELETE: i32 = 2;
    pub(super) const EXISTS: i32 = 3;
    pub(super) const GET_DATA: i32 = 4;
    pub(super) const SET_DATA: i32 = 5;
    pub(super) const GET_CHILDREN: i32 = 8;
    pub(super) const SYNC: i32 = 9;
    pub(super) const PING: i32 = 11;
    pub(super) const GET_CHILDREN_2: i32 = 12;
    pub(super) const CHECK: i32 = 13;
    pub(super) const MULTI: i32 = 14;
    pub(super) const CREATE_2: i32 = 15;
    pub(super) const REMOVE_WATCHES: i32 = 18;
    pub(super) const SET_WATCHES: i32 = 101;
    pub(super) const CLOSE: i32 = -11;
    /// In the answer to a multi: this step was not done.
    pub(super) const ERROR: i32 = -1;
}

/// The code of success.
pub(super) const OK: i32 = 0;
/// A request that this model does not know.
pub(super) const UNIMPLEMENTED: i32 = -6;
/// Nobody watches there.
pub(super) const NO_WATCHER: i32 = -121;
/// A step behind the one that was refused.
const RUNTIME_INCONSISTENCY: i32 = -2;

const fn code_of(refusal: Refusal) -> i32 {
    match refusal {
        Refusal::BadArguments => -8,
        Refusal::NoNode => -101,
        Refusal::BadVersion => -103,
        Refusal::NoChildrenForEphemerals => -108,
        Refusal::NodeExists => -110,
        Refusal::NotEmpty => -111,
        Refusal::SessionExpired => -112,
    }
}

/// A frame that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The first frame of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    /// The last transaction that it knows of.
    pub(super) seen: Zxid,
    /// The session timeout that it wants.
    pub(super) timeout: Duration,
    /// The session that it goes on with, if any, and what proves that it is its own.
    pub(super) session: Option<(ZkSessionId, Vec<u8>)>,
}

/// How an answer looks, where requests that do the same are answered differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A created node is told by its path alone.
    Short,
    /// What is said of it as well.
    Long,
}

/// What is asked of the nodes that a server knows, without changing them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Query {
    /// Whether a node is there.
    Exists(String),
    /// Its data.
    Data(String),
    /// The names of its children.
    Children(String, Form),
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Ping,
    /// The end of its session.
    Close,
    Sync(String),
    /// A query, and whether it is to be told once when the answer is no longer true.
    Query(Query, bool),
    One(Step, Form),
    All(Vec<(Step, Form)>),
    SetWatches(Rearmed),
    RemoveWatches(String, WatchKind),
    /// Something that this model does not know, by its type.
    Unknown(i32),
}

/// A request, and the number that its answer bears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) xid: i32,
    pub(super) ask: Ask,
}

impl Hello {
    /// Reads a frame without its length.
    ///
    /// # Errors
    /// [`Malformed`]
    pub(super) fn read(frame: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(frame);
        let _protocol_version = reader.int()?;
        let seen = Zxid(reader.long()?);
        let timeout = u64::try_from(reader.int()?).map_err(|_| Malformed)?;
        let id = reader.long()?;
        let password = reader.buffer()?.to_vec();
        // Behind it, new clients say whether a server that cannot write would do; none here could.
        Ok(Self {
            seen,
            timeout: Duration::from_millis(timeout),
            session: (id != 0).then_some((ZkSessionId(id), password)),
        })
    }
}

impl Request {
    /// Reads a frame without its length.
    ///
    /// # Errors
    /// [`Malformed`]
    pub(super) fn read(frame: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(frame);
        let xid = reader.int()?;
        let code = reader.int()?;
        let ask = reader.ask(code)?;
        Ok(Self { xid, ask })
    }
}

/// Reads from the front of a frame.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn bool(&mut self) -> Result<bool, Malformed> {
        self.take().map(|[byte]| byte != 0)
    }

    fn int(&mut self) -> Result<i32, Malformed> {
        self.take().map(i32::from_be_bytes)
    }

    fn long(&mut self) -> Result<i64, Malformed> {
        self.take().map(i64::from_be_bytes)
    }

    fn buffer(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.int()?.max(0)).map_err(|_| Malformed)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn text(&mut self) -> Result<String, Malformed> {
        let bytes = self.buffer()?.to_vec();
        String::from_utf8(bytes).map_err(|_| Malformed)
    }

    fn texts(&mut self) -> Result<Vec<String>, Malformed> {
        let count = self.int()?.max(0);
        (0..count).map(|_| self.text()).collect()
    }

    fn ask(&mut self, code: i32) -> Result<Ask, Malformed> {
        Ok(match code {
            code::PING => Ask::Ping,
            code::CLOSE => Ask::Close,
            code::SYNC => Ask::Sync(self.text()?),
            code::EXISTS => Ask::Query(Query::Exists(self.text()?), self.bool()?),
            code::GET_DATA => Ask::Query(Query::Data(self.text()?), self.bool()?),
            code::GET_CHILDREN => {
                Ask::Query(Query::Children(self.text()?, Form::Short), self.bool()?)
            }
            code::GET_CHILDREN_2 => {
                Ask::Query(Query::Children(self.text()?, Form::Long), self.bool()?)
            }
            code::MULTI => match self.steps()? {
                Some(steps) => Ask::All(steps),
                None => Ask::Unknown(code),
            },
            code::SET_WATCHES => Ask::SetWatches(Rearmed {
                seen: Zxid(self.long()?),
                data: self.texts()?,
                absent: self.texts()?,
                children: self.texts()?,
            }),
            code::REMOVE_WATCHES => {
                let path = self.text()?;
                match self.int()? {
                    1 => Ask::RemoveWatches(path, WatchKind::Children),
                    2 => Ask::RemoveWatches(path, WatchKind::Data),
                    3 => Ask::RemoveWatches(path, WatchKind::Any),
                    _ => Ask::Unknown(code),
                }
            }
            other => match self.step(other)? {
                Some((step, form)) => Ask::One(step, form),
                None => Ask::Unknown(other),
            },
        })
    }

    /// The steps of a multi; none if one of them is not known here.
    fn steps(&mut self) -> Result<Option<Vec<(Step, Form)>>, Malformed> {
        let mut steps = Vec::new();
        loop {
            let code = self.int()?;
            let is_last = self.bool()?;
            let _unused = self.int()?;
            if is_last {
                return Ok(Some(steps));
            }
            match self.step(code)? {
                Some(step) => steps.push(step),
                None => return Ok(None),
            }
        }
    }

    /// One step of a change; none if it is not known here.
    fn step(&mut self, code: i32) -> Result<Option<(Step, Form)>, Malformed> {
        let form = match code {
            code::CREATE => Form::Short,
            _ => Form::Long,
        };
        let step = match code {
            code::CREATE | code::CREATE_2 => {
                let path = self.text()?;
                let data = Bytes::copy_from_slice(self.buffer()?);
                self.skip_acls()?;
                let ephemeral = match self.int()? {
                    0 => false,
                    1 => true,
                    _ => return Ok(None),
                };
                Step::Create {
                    path,
                    data,
                    ephemeral,
                }
            }
            code::SET_DATA => Step::Write {
                path: self.text()?,
                data: Bytes::copy_from_slice(self.buffer()?),
                version: self.int()?,
            },
            code::DELETE => Step::Delete {
                path: self.text()?,
                version: self.int()?,
            },
            code::CHECK => Step::Check {
                path: self.text()?,
                version: self.int()?,
            },
            _ => return Ok(None),
        };
        Ok(Some((step, form)))
    }

    /// Every node here is open to all.
    fn skip_acls(&mut self) -> Result<(), Malformed> {
        for _ in 0..self.int()?.max(0) {
            let _permissions = self.int()?;
            let _scheme = self.buffer()?;
            let _id = self.buffer()?;
        }
        Ok(())
    }
}

/// A frame that is being written.
struct Writer(Vec<u8>);

impl Writer {
    fn new() -> Self {
        Self(vec![0; HEAD_BYTES])
    }

    /// The frame, with its length.
    fn finish(mut self) -> Vec<u8> {
        let length = length(self.0.len() - HEAD_BYTES);
        self.0[..HEAD_BYTES].copy_from_slice(&length.to_be_bytes());
        self.0
    }

    fn bool(mut self, value: bool) -> Self {
        self.0.push(value.into());
        self
    }

    fn int(mut self, value: i32) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn long(mut self, value: i64) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn buffer(self, bytes: &[u8]) -> Self {
        let mut out = self.int(length(bytes.len()));
        out.0.extend_from_slice(bytes);
        out
    }

    fn texts(self, texts: &[String]) -> Self {
        let out = self.int(length(texts.len()));
        texts
            .iter()
            .fold(out, |out, text| out.buffer(text.as_bytes()))
    }

    fn stat(self, stat: &Stat) -> Self {
        const ACL_VERSION: i32 = 0;
        self.long(stat.czxid.0)
            .long(stat.mzxid.0)
            .long(stat.ctime)
            .long(stat.mtime)
            .int(stat.version)
            .int(stat.cversion)
            .int(ACL_VERSION)
            .long(stat.owner.map_or(0, |owner| owner.0))
            .int(length(stat.data_length))
            .int(length(stat.children))
            .long(stat.pzxid.0)
    }

    fn done(self, done: &Done, form: Form) -> Self {
        match done {
            Done::Checked | Done::Deleted => self,
            Done::Written(stat) => self.stat(stat),
            Done::Created(path, stat) => {
                let out = self.buffer(path.as_bytes());
                match form {
                    Form::Short => out,
                    Form::Long => out.stat(stat),
                }
            }
        }
    }

    /// The head of a step's result in the answer to a multi.
    fn step_head(self, code: i32, error: i32) -> Self {
        self.int(code).bool(false).int(error)
    }
}

fn length(of: usize) -> i32 {
    i32::try_from(of).expect("nothing here is longer than a frame")
}

/// The head of an answer.
fn answer(xid: i32, zxid: Zxid, error: i32) -> Writer {
    Writer::new().int(xid).long(zxid.0).int(error)
}

/// The answer to a [`Hello`]: the session that was given or goes on; none if it is over.
pub(super) fn welcome(session: Option<(ZkSessionId, &Session)>) -> Vec<u8> {
    const PROTOCOL_VERSION: i32 = 0;
    const READ_ONLY: bool = false;
    let out = Writer::new().int(PROTOCOL_VERSION);
    let out = match session {
        Some((id, session)) => {
            let timeout = i32::try_from(session.timeout.as_millis());
            out.int(timeout.expect("the longest session timeout fits"))
                .long(id.0)
                .buffer(&session.password)
        }
        None => out.int(0).long(0).buffer(&[0; PASSWORD_BYTES]),
    };
    out.bool(READ_ONLY).finish()
}

/// An answer that says how it went, and nothing else.
pub(super) fn plain(xid: i32, zxid: Zxid, error: i32) -> Vec<u8> {
    answer(xid, zxid, error).finish()
}

/// The answer to a sync: its path.
pub(super) fn synced(xid: i32, zxid: Zxid, path: &str) -> Vec<u8> {
    answer(xid, zxid, OK).buffer(path.as_bytes()).finish()
}

/// The answer to a query of a node that is there.
pub(super) fn found(xid: i32, zxid: Zxid, found: &Found) -> Vec<u8> {
    let out = answer(xid, zxid, OK);
    match found {
        Found::Stat(stat) => out.stat(stat),
        Found::Data(data, stat) => out.buffer(data).stat(stat),
        Found::Children(names, None) => out.texts(names),
        Found::Children(names, Some(stat)) => out.texts(names).stat(stat),
    }
    .finish()
}

/// What a query found.
#[derive(Clone, Debug)]
pub(super) enum Found {
    Stat(Stat),
    Data(Bytes, Stat),
    Children(Vec<String>, Option<Stat>),
}

/// The answer to a query of a node that is absent.
pub(super) fn absent(xid: i32, zxid: Zxid) -> Vec<u8> {
    plain(xid, zxid, code_of(Refusal::NoNode))
}

/// The answer to a change. `forms` are those of its steps.
pub(super) fn changed(xid: i32, zxid: Zxid, outcome: &Outcome, forms: &[Form]) -> Vec<u8> {
    let form = |index: usize| forms.get(index).copied().unwrap_or(Form::Long);
    match outcome {
        Outcome::Session => plain(xid, zxid, OK),
        Outcome::Refused(refusal) => plain(xid, zxid, code_of(*refusal)),
        Outcome::One(done) => answer(xid, zxid, OK).done(done, form(0)).finish(),
        Outcome::All(all) => {
            let steps = all.iter().enumerate();
            let out = steps.fold(answer(xid, zxid, OK), |out, (index, done)| {
                let code = match (done, form(index)) {
                    (Done::Checked, _) => code::CHECK,
                    (Done::Created(..), Form::Short) => code::CREATE,
                    (Done::Created(..), Form::Long) => code::CREATE_2,
                    (Done::Written(_), _) => code::SET_DATA,
                    (Done::Deleted, _) => code::DELETE,
                };
                out.step_head(code, OK).done(done, form(index))
            });
            end_of_steps(out)
        }
        Outcome::StepRefused(refused, refusal) => {
            let steps = 0..forms.len();
            let out = steps.fold(answer(xid, zxid, OK), |out, index| {
                let error = match index.cmp(refused) {
                    std::cmp::Ordering::Less => OK,
                    std::cmp::Ordering::Equal => code_of(*refusal),
                    std::cmp::Ordering::Greater => RUNTIME_INCONSISTENCY,
                };
                out.step_head(code::ERROR, error).int(error)
            });
            end_of_steps(out)
        }
    }
}

fn end_of_steps(out: Writer) -> Vec<u8> {
    out.int(code::ERROR).bool(true).int(code::ERROR).finish()
}

/// What a watch says.
pub(super) fn event(event: &Event) -> Vec<u8> {
    let kind = match event.kind {
        EventKind::NodeCreated => 1,
        EventKind::NodeDeleted => 2,
        EventKind::DataChanged => 3,
        EventKind::ChildrenChanged => 4,
    };
    answer(XID_EVENT, ZXID_OF_EVENTS, OK)
        .int(kind)
        .int(STATE_CONNECTED)
        .buffer(event.path.as_bytes())
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of a request as they are in the protocol's description.
    fn request(code: i32, write: impl FnOnce(Writer) -> Writer) -> Ask {
        let frame = write(Writer::new().int(7).int(code)).finish();
        let request = Request::read(&frame[HEAD_BYTES..]).unwrap();
        assert_eq!(request.xid, 7);
        for length in 0..frame.len() - HEAD_BYTES {
            assert_eq!(
                Request::read(&frame[HEAD_BYTES..][..length]),
                Err(Malformed)
            );
        }
        request.ask
    }

    fn create(out: Writer, flags: i32) -> Writer {
        let out = out.buffer(b"/a").buffer(b"data").int(1);
        out.int(31).buffer(b"world").buffer(b"anyone").int(flags)
    }

    #[test]
    fn requests_are_read_and_cut_ones_refused() {
        let step = |ephemeral| Step::Create {
            path: "/a".into(),
            data: Bytes::from_static(b"data"),
            ephemeral,
        };
        let ask = request(code::CREATE, |out| create(out, 1));
        assert_eq!(ask, Ask::One(step(true), Form::Short));
        let ask = request(code::CREATE_2, |out| create(out, 0));
        assert_eq!(ask, Ask::One(step(false), Form::Long));
        let sequential = request(code::CREATE_2, |out| create(out, 2));
        assert_eq!(sequential, Ask::Unknown(code::CREATE_2));
        let ask = request(code::EXISTS, |out| out.buffer(b"/a").bool(true));
        assert_eq!(ask, Ask::Query(Query::Exists("/a".into()), true));
        let ask = request(code::MULTI, |out| {
            let out = out.int(code::CHECK).bool(false).int(-1);
            let out = out.buffer(b"/a").int(3);
            let out = create(out.int(code::CREATE_2).bool(false).int(-1), 0);
            out.int(-1).bool(true).int(-1)
        });
        let check = Step::Check {
            path: "/a".into(),
            version: 3,
        };
        assert_eq!(
            ask,
            Ask::All(vec![(check, Form::Long), (step(false), Form::Long)])
        );
    }

    #[test]
    fn a_hello_without_a_session_names_none() {
        let out = Writer::new().int(0).long(9).int(4000).long(0);
        let frame = out.buffer(&[0; PASSWORD_BYTES]).bool(false).finish();
        let hello = Hello {
            seen: Zxid(9),
            timeout: Duration::from_secs(4),
            session: None,
        };
        assert_eq!(Hello::read(&frame[HEAD_BYTES..]), Ok(hello));
        let negative = Writer::new().int(0).long(9).int(-1).long(0).buffer(b"");
        assert_eq!(
            Hello::read(&negative.finish()[HEAD_BYTES..]),
            Err(Malformed)
        );
    }

    #[test]
    fn a_refused_multi_answers_each_step_with_its_part_in_it() {
        let outcome = Outcome::StepRefused(1, Refusal::BadVersion);
        let frame = changed(5, Zxid(9), &outcome, &[Form::Long; 3]);
        let mut expected = Writer::new().int(5).long(9).int(OK);
        for error in [0, -103, -2] {
            expected = expected.int(-1).bool(false).int(error).int(error);
        }
        assert_eq!(frame, expected.int(-1).bool(true).int(-1).finish());
    }
}
