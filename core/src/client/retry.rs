//! Whether and when a client that follows a destination connects again.
//!
//! Until a first get was answered, whatever goes wrong is for a person: a wrong address, password or
//! destination is said at once. From then on the client outlives its connections and its server, and gives
//! up only what trying again cannot mend.

use super::{Awaited, ClientFault};
use crate::meta::identity::ClientId;
use crate::rng::Rng;
use crate::source::fault::Backoff;
use crate::time::Duration;

/// What follows the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Connect again after this long.
    ConnectIn(Duration),
    /// Say what is wrong and end.
    GiveUp,
}

/// How a client has fared so far.
#[derive(Clone, Debug, Default)]
pub struct Retries {
    was_served: bool,
    backoff: Backoff,
}

impl Retries {
    /// A get was answered: the next failure is the first again.
    pub const fn note_served(&mut self) {
        self.was_served = true;
        self.backoff.reset();
    }

    /// What follows a dial that failed.
    pub fn after_dial(&mut self, rng: &mut Rng) -> Next {
        if self.was_served {
            Next::ConnectIn(self.backoff.next(rng))
        } else {
            Next::GiveUp
        }
    }

    /// What follows the end of a connection of `client`.
    pub fn after(&mut self, fault: &ClientFault, client: ClientId, rng: &mut Rng) -> Next {
        if is_permanent(fault, client) {
            return Next::GiveUp;
        }
        self.after_dial(rng)
    }
}

fn is_permanent(fault: &ClientFault, client: ClientId) -> bool {
    match fault {
        // Two that take a place from each other would do so for ever; temporary readers change theirs.
        ClientFault::Refused { .. } if fault.is_superseded() => !client.is_temporary(),
        ClientFault::Refused {
            awaited: Awaited::Handshake | Awaited::Admission,
            ..
        }
        | ClientFault::Version(_)
        | ClientFault::Unexpected { .. }
        | ClientFault::Compressed(_)
        | ClientFault::Malformed { .. }
        | ClientFault::Frame(_) => true,
        // A server that has just been started does not serve every destination yet.
        ClientFault::Refused {
            awaited: Awaited::Subscription | Awaited::Nothing | Awaited::Messages,
            ..
        }
        | ClientFault::Disconnected { .. }
        | ClientFault::TimedOut { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::identity::Destination;
    use crate::request::Refusal;
    use crate::rng::Seed;
    use alloc::string::ToString;

    const CLIENT: ClientId = ClientId(1001);
    const TEMPORARY: ClientId = ClientId(ClientId::TEMPORARY_FIRST);

    fn refused(awaited: Awaited, message: &str) -> ClientFault {
        ClientFault::Refused {
            awaited,
            code: 400,
            message: message.into(),
        }
    }

    fn gone() -> ClientFault {
        ClientFault::Disconnected {
            awaited: Awaited::Messages,
        }
    }

    #[test]
    fn a_first_failure_is_said_and_a_later_one_is_sat_out() {
        let (mut retries, mut rng) = (Retries::default(), Rng::new(Seed(1)));
        let not_yet = refused(Awaited::Subscription, "destination:d should start first");
        assert_eq!(retries.after_dial(&mut rng), Next::GiveUp);
        assert_eq!(retries.after(&not_yet, CLIENT, &mut rng), Next::GiveUp);
        assert_eq!(retries.after(&gone(), CLIENT, &mut rng), Next::GiveUp);
        retries.note_served();
        for _ in 0..3 {
            assert!(matches!(
                retries.after(&gone(), CLIENT, &mut rng),
                Next::ConnectIn(_)
            ));
            assert!(matches!(retries.after_dial(&mut rng), Next::ConnectIn(_)));
            assert!(matches!(
                retries.after(&not_yet, CLIENT, &mut rng),
                Next::ConnectIn(_)
            ));
        }
    }

    #[test]
    fn pauses_grow_until_a_get_is_answered() {
        let (mut retries, mut rng) = (Retries::default(), Rng::new(Seed(1)));
        let mut pause = |retries: &mut Retries| match retries.after_dial(&mut rng) {
            Next::ConnectIn(pause) => pause,
            Next::GiveUp => panic!("it was served"),
        };
        retries.note_served();
        let first = pause(&mut retries);
        pause(&mut retries);
        assert!(pause(&mut retries) > first);
        retries.note_served();
        assert!(pause(&mut retries) < Duration::from_secs(1));
    }

    #[test]
    fn what_a_person_must_change_is_never_tried_again() {
        let superseded = |client| {
            let refusal = Refusal::Superseded {
                destination: Destination::new("d"),
                client,
            };
            refused(Awaited::Messages, &refusal.to_string())
        };
        let (mut retries, mut rng) = (Retries::default(), Rng::new(Seed(1)));
        retries.note_served();
        for fault in [
            refused(Awaited::Admission, "auth failed for user:x"),
            ClientFault::Version(7),
            superseded(CLIENT),
        ] {
            assert_eq!(
                retries.after(&fault, CLIENT, &mut rng),
                Next::GiveUp,
                "{fault}"
            );
        }
        let next = retries.after(&superseded(TEMPORARY), TEMPORARY, &mut rng);
        assert!(matches!(next, Next::ConnectIn(_)), "it takes another id");
    }
}
