//! The way between sessions and instances: a bounded queue to each instance, and a queue back to each
//! session, which its one outstanding request bounds.

use std::collections::BTreeMap;
use std::sync::Arc;

use canald_core::instance::CloseCause;
use canald_core::meta::identity::Destination;
use canald_core::request::{Reply, Request, RequestId, SessionId};
use canald_core::session::CloseReason;
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
    /// The answer to a request.
    Reply(RequestId, Reply),
    /// End the connection.
    Close(CloseReason),
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
