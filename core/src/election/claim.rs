//! The transaction that makes a destination ours.
//!
//! Where RUN is absent it makes it; where RUN is ours already (a lease ended, an answer was lost, an operator wrote
//! it) it makes a new tenure of it. Either way it leaves RUN rewritten and the generation raised, both or none.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::coordination::ask::Asks;
use crate::coordination::{Effect, NodeLife, NodeRead, NodeStat, NodeVersion, Step, ZkSessionId};
use crate::election::{Asked, Election, State, Tenure, format};
use crate::meta::ledger::Generation;
use crate::time::Instant;

/// What a claim leaves behind if it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    run: NodeVersion,
    generation: Generation,
    generation_at: NodeVersion,
}

impl Claim {
    /// The tenure, if RUN, which is ours, and the generation are what the claim leaves behind.
    pub(super) fn made(
        self,
        session: Option<ZkSessionId>,
        run: NodeStat,
        generation: Option<&NodeRead>,
    ) -> Option<Tenure> {
        let generation = generation?;
        let is_done = run.version == self.run
            && generation.stat.version == self.generation_at
            && read(generation) == Some(self.generation);
        is_done.then_some(Tenure {
            session: session?,
            created: run.created,
            run: self.run,
            generation: self.generation,
            generation_at: self.generation_at,
        })
    }
}

impl Election {
    /// Claims RUN, which is ours as `run` says, or absent.
    pub(super) fn claim(&mut self, now: Instant, run: Option<NodeStat>, asks: &mut Asks) {
        let Some(generation) = self
            .generation
            .as_ref()
            .map_or(Some(Generation::NONE), read)
        else {
            return self.unreadable(now, run, asks);
        };
        let Some(next) = generation.next() else {
            return self.unreadable(now, run, asks);
        };
        let (path, mut steps) = (self.paths.running(), Vec::new());
        if run.is_none() {
            steps.push(Step::Create(
                path.clone(),
                self.running(),
                NodeLife::Ephemeral,
            ));
        }
        let version = run.map_or(NodeVersion(0), |run| run.version);
        steps.push(Step::Write(path, self.running(), version));
        let path = self.paths.generation();
        let at = self.generation.as_ref().map(|read| read.stat.version);
        steps.push(match at {
            Some(at) => Step::Write(path, text(next), at),
            None => Step::Create(path, text(next), NodeLife::Persistent),
        });
        self.claim = Some(Claim {
            run: version.next(),
            generation: next,
            generation_at: at.map_or(NodeVersion(0), NodeVersion::next),
        });
        self.enter(now, State::Claiming);
        self.ask(Asked::Claim, Effect::All(steps), asks);
    }

    pub(super) fn owned(&mut self, now: Instant, tenure: Tenure) {
        self.was_ours = true;
        self.enter(now, State::Unproved(tenure));
        self.handle_lease(now, self.session_until);
    }

    /// The generation says nothing, or has no next one: batch ids could be given twice.
    fn unreadable(&mut self, now: Instant, run: Option<NodeStat>, asks: &mut Asks) {
        let data = self
            .generation
            .as_ref()
            .map(|read| read.data.clone())
            .unwrap_or_default();
        let why = format(format_args!(
            "{} holds {:?}, which is no generation of batch ids that has a next one: write the largest one \
             that was ever used, or remove the node and all cursors to start anew",
            self.paths.generation(),
            String::from_utf8_lossy(&data)
        ));
        self.note(why.clone());
        match run {
            Some(run) => self.unclaimable(now, self.seen_with(run), asks),
            None => {
                let wait = self.backoff();
                self.enter(now, State::Retrying(why, now + wait));
            }
        }
    }
}

fn text(generation: Generation) -> Bytes {
    format(format_args!("{}", generation.get())).into()
}

fn read(node: &NodeRead) -> Option<Generation> {
    let text = core::str::from_utf8(&node.data).ok()?;
    text.trim().parse().ok().and_then(Generation::new)
}
