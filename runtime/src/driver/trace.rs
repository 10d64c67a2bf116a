//! How the inputs and outputs of machines are shown in a trace (log level TRACE): one line each, with what
//! tells one from another and none of what they carry.

use core::fmt;

use canald_core::instance::{Input, Output};
use canald_core::request::Reply;
use canald_core::session::SessionOutput;

/// Shows an input or an output of a machine.
pub(super) struct Shown<'a, T>(pub(super) &'a T);

impl fmt::Display for Shown<'_, Input> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Input::LinkUp(link) => write!(f, "link {} is up", link.0),
            Input::LinkSecured(link) => write!(f, "link {} is secured", link.0),
            Input::LinkDown(link, fault) => write!(f, "link {} is down: {fault}", link.0),
            Input::Request(id, request) => {
                write!(
                    f,
                    "request {}.{}: {:?}",
                    id.session.0, id.number, request.ask
                )
            }
            Input::RequestGone(id) => write!(f, "request {}.{} is gone", id.session.0, id.number),
            Input::SessionGone(session) => write!(f, "session {} is gone", session.0),
            Input::Decoded(job, decoded) => {
                let entries = decoded.segment.slots.len();
                write!(f, "job {} is decoded: {entries} entries", job.0)
            }
            Input::Saved(Ok(())) => f.write_str("the record is saved"),
            Input::Saved(Err(why)) => write!(f, "the record is not saved: {why}"),
            Input::Stop => f.write_str("stop"),
        }
    }
}

impl fmt::Display for Shown<'_, Output> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Output::Dial(link) => write!(f, "dial link {}", link.0),
            Output::Secure(link) => write!(f, "secure link {}", link.0),
            Output::Transmit(link, bytes) => {
                write!(f, "send {} bytes on link {}", bytes.len(), link.0)
            }
            Output::Hangup(link) => write!(f, "hang up link {}", link.0),
            Output::Reply(id, reply) => {
                let (session, number) = (id.session.0, id.number);
                write!(f, "reply to {session}.{number}: {}", Shown(reply))
            }
            Output::CloseSession(session, cause) => {
                write!(f, "close session {}: {cause}", session.0)
            }
            Output::Decode(job) => write!(f, "decode job {}: {} items", job.id.0, job.items.len()),
            Output::Save(record) => write!(
                f,
                "save the record of {} clients, generation {}",
                record.clients.len(),
                record.generation.get()
            ),
            Output::Report(report) => write!(f, "report: {}", report.text),
        }
    }
}

impl fmt::Display for Shown<'_, Reply> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Reply::Done => f.write_str("done"),
            Reply::Batch(batch) => {
                write!(
                    f,
                    "batch {}, {} entries, {} rows",
                    batch.id, batch.entries, batch.rows
                )
            }
            Reply::NoData => f.write_str("nothing"),
            Reply::Refused(refusal) => write!(f, "refused: {refusal}"),
        }
    }
}

impl fmt::Display for Shown<'_, SessionOutput> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            SessionOutput::Forward(id, request) => {
                write!(
                    f,
                    "forward {}.{}: {:?}",
                    id.session.0, id.number, request.ask
                )
            }
            SessionOutput::Withdraw(id) => write!(f, "withdraw {}.{}", id.session.0, id.number),
            SessionOutput::Transmit(chunks) => {
                let bytes: usize = chunks.iter().map(bytes::Bytes::len).sum();
                write!(f, "send {bytes} bytes")
            }
            SessionOutput::Close(reason) => write!(f, "close: {reason}"),
        }
    }
}
