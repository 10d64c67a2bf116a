//! The way between sessions and instances: a bounded queue to each instance, and a queue back to each
//! session, which its one outstanding request bounds.

use std::collections::BTreeMap;
use std::sync::Arc;

use canald_core::instance::CloseCause;
use canald_core::meta::identity::Destination;
use canald_core::request::{Reply, Request, RequestId, SessionId};
use canald_core::session::CloseReason;
use canald_core::time::Instant;
use tokio::sync::mpsc::{Receiver, Sender, UnboundedSender, channel};

/// Messages that may wait for an instance. A session that finds the queue full waits, and so does its
/// client.
pub const INBOX_MESSAGES: usize = 1024;

/// What sessions tell an instance.
#[derive(Debug)]
pub enum ToInstance {
    /// A request, and where its answer goes.
    Request(RequestId, Request, UnboundedSender<ToSession>),
    /// The answer is not wanted any more.
    Withdraw(RequestId),
    /// The session has ended.
    Gone(SessionId),
}

/// What an instance or the server tells a session.
#[derive(Debug)]
pub enum ToSession {
    /// The answer to a request, and until when it may begin to be sent: none if for ever.
    Reply(RequestId, Reply, Option<Lease>),
    /// End the connection.
    Close(CloseReason),
}

/// Until when a destination may be served here, by the lease on the ZooKeeper session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Which.
    pub destination: Destination,
    /// The end.
    pub until: Instant,
}

/// An instance's end of the queue, and the sessions that it has heard of.
#[derive(Debug)]
pub struct Inbox {
    /// None once nobody is left who could send a message: it would always be ready to say so.
    messages: Option<Receiver<ToInstance>>,
    sessions: BTreeMap<SessionId, UnboundedSender<ToSession>>,
}

impl Inbox {
    /// The end of a queue.
    #[must_use]
    pub const fn new(messages: Receiver<ToInstance>) -> Self {
        Self {
            messages: Some(messages),
            sessions: BTreeMap::new(),
        }
    }

    /// The next message; never, once nobody is left who could send one. Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> ToInstance {
        if let Some(messages) = &mut self.messages {
            if let Some(message) = messages.recv().await {
                return self.heard(message);
            }
            self.messages = None;
        }
        core::future::pending().await
    }

    /// The next message, if there is one already.
    pub fn next_now(&mut self) -> Option<ToInstance> {
        let message = self.messages.as_mut()?.try_recv().ok()?;
        Some(self.heard(message))
    }

    fn heard(&mut self, message: ToInstance) -> ToInstance {
        match &message {
            ToInstance::Request(id, _, answers) => {
                let sessions = &mut self.sessions;
                sessions
                    .entry(id.session)
                    .or_insert_with(|| answers.clone());
            }
            ToInstance::Withdraw(_) => {}
            ToInstance::Gone(session) => {
                self.sessions.remove(session);
            }
        }
        message
    }

    /// Tells a session; one that has ended meanwhile needs no word.
    pub fn tell(&self, session: SessionId, message: ToSession) {
        if let Some(answers) = self.sessions.get(&session) {
            let _ = answers.send(message);
        }
    }

    /// Ends every session that was heard of.
    pub fn close_all(&mut self, reason: &CloseReason) {
        for (_, answers) in core::mem::take(&mut self.sessions) {
            let _ = answers.send(ToSession::Close(reason.clone()));
        }
    }
}

/// The instances of this process, by the name of their destination; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Instances(Arc<BTreeMap<Destination, Sender<ToInstance>>>);

impl Instances {
    /// A queue for each of `destinations`.
    #[must_use]
    pub fn new(
        destinations: impl Iterator<Item = Destination>,
    ) -> (Self, BTreeMap<Destination, Receiver<ToInstance>>) {
        let mut senders = BTreeMap::new();
        let mut receivers = BTreeMap::new();
        for destination in destinations {
            let (sender, receiver) = channel(INBOX_MESSAGES);
            senders.insert(destination.clone(), sender);
            receivers.insert(destination, receiver);
        }
        (Self(Arc::new(senders)), receivers)
    }

    /// The queue of one destination, if it is one of ours.
    #[must_use]
    pub fn get(&self, destination: &Destination) -> Option<&Sender<ToInstance>> {
        self.0.get(destination)
    }
}

/// The session's word for the instance's reason.
pub(super) fn close_reason(cause: CloseCause) -> CloseReason {
    match cause {
        CloseCause::Superseded {
            destination,
            client,
            by: _,
        } => CloseReason::Superseded {
            destination,
            client,
        },
    }
}
