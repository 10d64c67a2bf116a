//! One look at a source: what it is, and whether it will do (`canald check`).
//!
//! It drives a metadata link alone: it logs in, asks, and hangs up. It registers no replica, begins no dump
//! and takes no folder, so it disturbs no canald that serves the same destination. What is found wrong is
//! the core's judgement ([`canald_core::source::preflight`]).

use core::future::poll_fn;

use canald_core::mysql::fault::LinkFault;
use canald_core::mysql::handshake::ServerVersion;
use canald_core::mysql::query::{ResultSet, ServerError};
use canald_core::mysql::replica::{LinkConfig, Ready, Replica, ReplicaOutput};
use canald_core::source::facts::Discovery;
use canald_core::source::preflight::{self, Answer, Finding, Level};
use canald_core::source::start::StoredPlace;
use canald_core::time::Duration;

use crate::clock::Clock;
use crate::config::DestinationConfig;
use crate::driver::link::{Link, LinkEvent};
use crate::driver::record;
use crate::env::World;
use crate::net::Net;
use crate::tls::TlsPlan;

/// How long one look may take, from dialing to the last answer.
pub const LOOK_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes that are read at a time: answers are short.
const READ_BYTES: usize = 64 << 10;

/// What one look showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// How we got in; none if we did not.
    pub entry: Option<Ready>,
    /// What was found, in the order in which an operator would put it right.
    pub findings: Vec<Finding>,
}

/// Looks at the source of a destination, and at where the destination stands.
pub async fn look<W: World>(world: &W, destination: &DestinationConfig) -> Look {
    let source = &destination.instance.source;
    let clock = world.clock();
    let mut findings = Vec::new();
    let stored = match record::load(world.files(), &destination.folder).await {
        Ok(loaded) => StoredPlace::of_record(&loaded.record),
        Err(fault) => {
            findings.push(Finding {
                level: Level::Problem,
                what: "cursors",
                found: fault.to_string(),
                do_this: String::new(),
            });
            None
        }
    };
    let mut probe = Probe {
        net: world.net().clone(),
        clock: clock.clone(),
        tls: destination.tls.clone(),
        link: Link::dial(world.net(), &source.host, source.port),
        replica: Replica::new(LinkConfig::to(source), world.seed(), clock.now()),
        entry: None,
    };
    let limit = clock.now() + LOOK_TIMEOUT;
    let found = tokio::select! {
        biased;
        found = probe.ask_all(destination, stored.as_ref()) => found,
        () = clock.sleep_until(limit) => Err(LinkFault::TimedOut {
            what: "answer to all questions",
            after: LOOK_TIMEOUT,
        }),
    };
    findings.extend(found.unwrap_or_else(|fault| {
        let greeted = probe.replica.greeted();
        vec![preflight::disconnected(&fault, greeted, source)]
    }));
    Look {
        entry: probe.entry,
        findings,
    }
}

struct Probe<N: Net, C> {
    net: N,
    clock: C,
    tls: TlsPlan,
    link: Link<N>,
    replica: Replica,
    entry: Option<Ready>,
}

/// What a link says to us.
enum Said {
    Ready(Ready),
    Answer(Result<ResultSet, ServerError>),
}

impl<N: Net, C: Clock> Probe<N, C> {
    async fn ask_all(
        &mut self,
        destination: &DestinationConfig,
        stored: Option<&StoredPlace>,
    ) -> Result<Vec<Finding>, LinkFault> {
        let config = &destination.instance;
        let version = self.log_in().await?;
        let mut discovery = Discovery::new(version, &config.source.username);
        while let Some(sql) = discovery.next_query() {
            discovery.handle_result(self.ask(&sql).await?);
        }
        let facts = match discovery.finish() {
            Ok(facts) => facts,
            Err(fault) => return Ok(vec![preflight::refused(&fault)]),
        };
        let mut answers = Vec::new();
        for question in preflight::questions(&facts, config, stored) {
            let result = self.ask(&question.sql).await?;
            answers.push(Answer {
                topic: question.topic,
                result,
            });
        }
        Ok(preflight::judge(&facts, &answers, config, stored))
    }

    async fn log_in(&mut self) -> Result<ServerVersion, LinkFault> {
        let Said::Ready(ready) = self.next().await? else {
            unreachable!("an answer precedes the first statement");
        };
        let version = ready.version.clone();
        self.entry = Some(ready);
        Ok(version)
    }

    async fn ask(&mut self, sql: &str) -> Result<Result<ResultSet, ServerError>, LinkFault> {
        self.replica.query(self.clock.now(), sql);
        let Said::Answer(answer) = self.next().await? else {
            unreachable!("a link is ready once, before it is asked");
        };
        Ok(answer)
    }

    /// The next thing that the link has to say.
    async fn next(&mut self) -> Result<Said, LinkFault> {
        loop {
            match self.replica.poll_output() {
                Some(ReplicaOutput::Transmit(bytes)) => self.link.send(&bytes),
                Some(ReplicaOutput::Secure) => self.link.secure(&self.net, &self.tls),
                Some(ReplicaOutput::Ready(ready)) => return Ok(Said::Ready(ready)),
                Some(ReplicaOutput::Rows(set)) => return Ok(Said::Answer(Ok(set))),
                Some(ReplicaOutput::Failed(error)) => return Ok(Said::Answer(Err(error))),
                Some(ReplicaOutput::Closed(fault)) => return Err(fault),
                None => self.turn().await,
            }
        }
    }

    async fn turn(&mut self) {
        let Self {
            clock,
            link,
            replica,
            ..
        } = self;
        let deadline = replica.poll_timeout();
        let timer = async {
            match deadline {
                Some((at, _)) => clock.sleep_until(at).await,
                None => core::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            event = poll_fn(|cx| link.poll_event(cx, READ_BYTES)) => match event {
                LinkEvent::Up => replica.note_bytes(clock.now()),
                LinkEvent::Secured => replica.handle_secured(clock.now()),
                LinkEvent::Bytes => replica.handle_bytes(clock.now(), &mut link.inbound),
                LinkEvent::Down(fault) => replica.close(fault),
            },
            () = timer => replica.handle_timeout(clock.now()),
        }
    }
}
