//! Three servers, one ZooKeeper, and everything that can go wrong between them, drawn from a seed.
//!
//! Never do two serve at once, whatever happens; no write of a tenure passes its fence once another has one; and
//! when all is well again, one of them serves soon.

use alloc::vec::Vec;

use super::*;

const SEEDS: u64 = 400;
const STEPS: usize = 500;
const STEP_MOST_MILLIS: u64 = 1500;

/// A server, and what is on its way to and from it.
struct Server {
    rig: Rig,
    connected: bool,
    /// What ZooKeeper has answered and the server has not heard.
    answers: Vec<(Ticket, Outcome)>,
    /// Tenures that it had, for writes that come late.
    tenures: Vec<Tenure>,
}

impl Server {
    /// Without a connection nothing is asked.
    fn refuse(&mut self, now: Instant) {
        while let Some((ticket, _)) = self.rig.asks.poll() {
            let unknown = Outcome::Unknown("not connected".into());
            self.rig.outcome(now, ticket, unknown);
        }
    }
}

struct Crowd {
    model: Model,
    servers: Vec<Server>,
    rng: Rng,
    now: Instant,
    /// RUN was deleted by hand: its owner may not know yet (I2 excepts that).
    by_hand_until: Instant,
}

impl Crowd {
    fn new(seed: u64) -> Self {
        let server = |name| Server {
            rig: Rig::new(name),
            connected: false,
            answers: Vec::new(),
            tenures: Vec::new(),
        };
        Self {
            model: Model::default(),
            servers: ["a", "b", "c"].map(server).into(),
            rng: Rng::new(Seed(seed)),
            now: at(1),
            by_hand_until: Instant::ZERO,
        }
    }

    fn step(&mut self) {
        let millis = self.rng.below(STEP_MOST_MILLIS);
        if self.rng.below(12) == 0 {
            self.now = self.now + Duration::from_millis(millis);
        }
        self.model.expire(self.now);
        let nth = self.rng.below(self.servers.len() as u64) as usize;
        if self.is_over(nth) && self.rng.below(2) == 0 {
            self.disconnect(nth);
        }
        match self.rng.below(40) {
            0 => self.disconnect(nth),
            1 => self.command(nth),
            2 => self.by_hand(),
            3 => self.late_write(nth),
            4..8 => self.connect(nth),
            8..11 => self.settle(nth),
            11..26 => self.deliver(nth),
            _ => self.carry(nth),
        }
        self.judge();
    }

    /// Whether ZooKeeper has ended the session of a server that does not know it yet.
    fn is_over(&self, nth: usize) -> bool {
        let session = self.servers[nth].rig.session;
        session.is_some_and(|session| !self.model.lives(session))
    }

    /// One request reaches ZooKeeper; it may be slow to answer.
    fn carry(&mut self, nth: usize) {
        let server = &mut self.servers[nth];
        if !server.connected {
            return;
        }
        if let Some((ticket, effect)) = server.rig.asks.poll() {
            let session = server.rig.session.unwrap();
            let outcome = self.model.perform(self.now, session, ticket, effect);
            server.answers.push((ticket, outcome));
        }
    }

    /// The server is fast, and so is ZooKeeper.
    fn settle(&mut self, nth: usize) {
        let server = &mut self.servers[nth];
        if server.connected && server.answers.is_empty() {
            server.rig.timeout(self.now);
            server.rig.settle(self.now, &mut self.model);
        }
    }

    /// The server hears of one thing.
    fn deliver(&mut self, nth: usize) {
        let server = &mut self.servers[nth];
        server.rig.timeout(self.now);
        if !server.connected {
            return;
        }
        let session = server.rig.session.unwrap();
        let fired = self.model.fired.iter().position(|(of, _)| *of == session);
        if let Some(fired) = fired {
            let (_, ticket) = self.model.fired.remove(fired);
            server.rig.signal(self.now, &Signal::Fired(ticket));
        } else if !server.answers.is_empty() {
            let (ticket, outcome) = server.answers.remove(0);
            server.rig.outcome(self.now, ticket, outcome);
        }
    }

    /// The connection breaks: what was asked may have been done, or is never done.
    fn disconnect(&mut self, nth: usize) {
        let server = &mut self.servers[nth];
        if !core::mem::take(&mut server.connected) {
            return;
        }
        let mut lost: Vec<Ticket> = server.answers.drain(..).map(|(ticket, _)| ticket).collect();
        while let Some((ticket, effect)) = server.rig.asks.poll() {
            if self.rng.below(2) == 0 {
                let session = server.rig.session.unwrap();
                self.model.perform(self.now, session, ticket, effect);
            }
            lost.push(ticket);
        }
        server.rig.signal(self.now, &Signal::Disconnected);
        for ticket in lost {
            let unknown = Outcome::Unknown("the connection broke".into());
            server.rig.outcome(self.now, ticket, unknown);
        }
        server.refuse(self.now);
    }

    fn connect(&mut self, nth: usize) {
        let server = &mut self.servers[nth];
        if server.connected {
            return;
        }
        if let Some(session) = server.rig.session
            && !self.model.lives(session)
        {
            server.rig.signal(self.now, &Signal::Expired);
        }
        server.connected = true;
        server.rig.timeout(self.now);
        server.refuse(self.now);
        server.rig.connect(self.now, &mut self.model);
    }

    fn command(&mut self, nth: usize) {
        let (now, rig) = (self.now, &mut self.servers[nth].rig);
        match self.rng.below(4) {
            0 => rig.election.give_away(now, &mut rig.asks),
            1 => rig.election.failed(now, "it does not start", &mut rig.asks),
            2 => rig.election.started(),
            _ => rig.election.drained(now, &mut rig.asks),
        }
    }

    fn by_hand(&mut self) {
        match self.rng.below(3) {
            0 => {
                self.model.remove(paths().running().as_str());
                self.by_hand_until = self.now + TIMEOUT;
            }
            1 => self
                .model
                .rewrite(&paths().running(), b"{\"address\":\"?\"}"),
            _ => {
                let inactive = br#"{"active":false,"address":"?"}"#;
                self.model.rewrite(&paths().running(), inactive);
            }
        }
    }

    /// A write that a tenure asked for arrives late: it passes only while that tenure's RUN stands.
    fn late_write(&mut self, nth: usize) {
        let server = &self.servers[nth];
        let newest = self.servers.iter().flat_map(|server| &server.tenures);
        let newest = newest.map(|tenure| tenure.generation).max();
        for tenure in &server.tenures {
            let steps = Effect::All(tenure.fence(&paths()).to_vec());
            let session = tenure.session;
            let outcome = self.model.perform(self.now, session, Ticket(0), steps);
            if outcome == Outcome::Done(Value::Done) {
                let run = self.model.node(&paths().running()).unwrap();
                assert_eq!(run.stat.owner, Some(tenure.session), "I4");
                assert_eq!(Some(tenure.generation), newest, "I4");
            }
        }
    }

    fn judge(&mut self) {
        let mut serving = Vec::new();
        for server in &mut self.servers {
            let Some(tenure) = server.rig.serves(self.now) else {
                continue;
            };
            serving.push(tenure);
            if server.tenures.last() != Some(&tenure) {
                server.tenures.push(tenure);
            }
        }
        if self.now >= self.by_hand_until {
            assert!(serving.len() <= 1, "I2: {serving:?}");
            for tenure in serving {
                let run = self.model.node(&paths().running());
                let is_owner = run.is_some_and(|run| run.stat.owner == Some(tenure.session));
                assert!(is_owner, "I1: {tenure:?} serves, {run:?}");
            }
        }
    }

    /// All is well from here on: time passes evenly, and what is asked is answered.
    fn heal(&mut self) {
        let end = self.now + BACKOFF_MAX * 2;
        while self.now < end {
            self.now = self.now + Duration::from_millis(250);
            self.model.expire(self.now);
            for nth in 0..self.servers.len() {
                if self.is_over(nth) {
                    self.disconnect(nth);
                }
                self.connect(nth);
                let server = &mut self.servers[nth];
                for (ticket, outcome) in core::mem::take(&mut server.answers) {
                    server.rig.outcome(self.now, ticket, outcome);
                }
                server.rig.timeout(self.now);
                server.rig.settle(self.now, &mut self.model);
                if matches!(server.rig.election.stance(), Stance::Draining(_)) {
                    let rig = &mut server.rig;
                    rig.election.drained(self.now, &mut rig.asks);
                }
                let model = &mut self.model;
                let mut fired = core::mem::take(&mut model.fired);
                fired.retain(|(session, _)| model.lives(*session));
                model.fired = fired;
            }
            self.judge();
        }
        let serving = self
            .servers
            .iter()
            .filter(|s| s.rig.serves(self.now).is_some());
        let states = || self.servers.iter().map(|s| s.rig.election.state());
        assert_eq!(
            serving.count(),
            1,
            "I13: {:?}",
            states().collect::<Vec<_>>()
        );
    }
}

/// Whether what was drawn is worth anything: a server serves now and then, and not always the same.
const TENURES_MIN: usize = 3 * SEEDS as usize;

#[test]
fn never_do_two_serve_and_when_all_is_well_one_does() {
    let mut tenures = 0;
    for seed in 0..SEEDS {
        std::eprintln!("seed {seed}");
        let mut crowd = Crowd::new(seed);
        for _ in 0..STEPS {
            crowd.step();
        }
        tenures += crowd.servers.iter().map(|s| s.tenures.len()).sum::<usize>();
        crowd.heal();
    }
    assert!(tenures >= TENURES_MIN, "{tenures} tenures");
}
