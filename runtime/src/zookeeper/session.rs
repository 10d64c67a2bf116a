//! The task that owns the session: it takes orders, tells signals, and begins a new session when one is over.

use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll};

use canald_core::coordination::{Effect, Outcome, Signal, Ticket, ZkSessionId};
use canald_core::time::Duration;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};
use zookeeper_client::{Client, Connector, EventType, OneshotWatcher, SessionState, StateWatcher};

use super::ConnectionNo;
use super::config::ZooKeeperConfig;
use super::effects::{Performed, perform};

/// The pause before the session after one that is over, and before the second attempt to have one.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The pause doubles with each attempt, up to this.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long a session that nobody needs any more may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Where the signals for one machine go, with the connection that stands from then on.
pub(super) type Listener = mpsc::UnboundedSender<(Signal, Option<ConnectionNo>)>;

/// What the task is told.
#[derive(Debug)]
pub(super) enum Order {
    Perform(Ask),
    Listen(Listener),
}

/// An effect, and who wants to know. Dropped, it is answered with [`Outcome::Unknown`].
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) connection: Option<ConnectionNo>,
    pub(super) ticket: Ticket,
    pub(super) effect: Effect,
    pub(super) answer: oneshot::Sender<Outcome>,
    pub(super) listener: Listener,
}

impl Ask {
    fn refuse(self, why: &str) {
        // Whoever does not wait for the outcome does not need it.
        let _ = self.answer.send(Outcome::Unknown(why.to_owned()));
    }
}

/// Runs sessions until nobody gives orders any more.
pub(super) async fn run(config: ZooKeeperConfig, orders: mpsc::UnboundedReceiver<Order>) {
    let mut desk = Desk {
        orders,
        listeners: Vec::new(),
        connections: 0,
    };
    while let Some(client) = establish(&config, &mut desk).await {
        match Session::new(&client).run(&mut desk).await {
            End::Over => {
                // If nobody gives orders any more, that is seen again while a session is sought.
                let _ = desk.refuse_during(tokio::time::sleep(PAUSE_MIN)).await;
            }
            End::Unneeded => return close(client).await,
        }
    }
}

/// A session, as soon as ZooKeeper gives one; none if nobody needs one any more.
async fn establish(config: &ZooKeeperConfig, desk: &mut Desk) -> Option<Client> {
    let servers = config.connect_string();
    let mut pause = PAUSE_MIN;
    loop {
        let attempt = connector(config).connect(&servers);
        match desk.refuse_during(attempt).await? {
            Ok(client) => return Some(client),
            Err(error) => warn!("no session with ZooKeeper at {servers}: {error}"),
        }
        desk.refuse_during(tokio::time::sleep(pause)).await?;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn connector(config: &ZooKeeperConfig) -> Connector {
    let mut connector = Client::connector().with_session_timeout(config.session_timeout);
    if let Some(timeout) = config.connection_timeout {
        connector = connector.with_connection_timeout(timeout);
    }
    if let Some(auth) = &config.auth {
        let proof = format!("{}:{}", auth.user, auth.password);
        connector = connector.with_auth("digest", proof.as_bytes());
    }
    connector
}

/// Waits until the session is closed, so that its ephemeral nodes are gone when we are.
async fn close(client: Client) {
    let mut states = client.state_watcher();
    drop(client);
    let closed = async {
        let mut state = states.state();
        while !state.is_terminated() {
            state = states.changed().await;
        }
    };
    if tokio::time::timeout(CLOSE_TIMEOUT, closed).await.is_err() {
        warn!("ZooKeeper does not close our session in time; it will end by itself");
    }
}

/// Where orders come in and signals go out.
struct Desk {
    orders: mpsc::UnboundedReceiver<Order>,
    listeners: Vec<Listener>,
    /// Counts them.
    connections: u64,
}

impl Desk {
    fn next_connection(&mut self) -> ConnectionNo {
        self.connections += 1;
        ConnectionNo(self.connections)
    }

    /// Takes in a machine; those that hear no more are forgotten.
    fn admit(&mut self, listener: Listener) {
        self.listeners.retain(|listener| !listener.is_closed());
        self.listeners.push(listener);
    }

    /// Tells all machines; those that hear no more are forgotten.
    fn tell(&mut self, signal: &Signal, connection: Option<ConnectionNo>) {
        self.listeners
            .retain(|listener| listener.send((signal.clone(), connection)).is_ok());
    }

    /// Waits, while no connection stands. None if nobody gives orders any more.
    async fn refuse_during<T>(&mut self, wait: impl Future<Output = T>) -> Option<T> {
        let mut wait = pin!(wait);
        loop {
            tokio::select! {
                biased;
                value = &mut wait => return Some(value),
                order = self.orders.recv() => match order? {
                    Order::Perform(ask) => ask.refuse("there is no session"),
                    Order::Listen(listener) => self.admit(listener),
                },
            }
        }
    }
}

/// How a session ends for us.
enum End {
    /// ZooKeeper, or the library's own clock, says so.
    Over,
    /// Nobody gives orders any more.
    Unneeded,
}

/// What a state of the library means to those that hear of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Up,
    Down,
    Over,
}

/// The library keeps the latest state only, so a connection can be another one although it stands, as it did.
fn turns(was_up: bool, state: SessionState) -> &'static [Turn] {
    match (state, was_up) {
        (SessionState::SyncConnected, false) => &[Turn::Up],
        (SessionState::SyncConnected, true) => &[Turn::Down, Turn::Up],
        // A server without a quorum takes no writes and knows no expiry. (We ask for none.)
        (SessionState::Disconnected | SessionState::ConnectedReadOnly, true) => &[Turn::Down],
        (SessionState::Disconnected | SessionState::ConnectedReadOnly, false) => &[],
        (SessionState::Expired | SessionState::AuthFailed | SessionState::Closed, _) => {
            &[Turn::Over]
        }
    }
}

/// An effect on its way.
struct Flight<'c> {
    performing: Pin<Box<dyn Future<Output = Performed> + Send + 'c>>,
    /// There until it has landed. Dropped before, it is an answer too.
    waiting: Option<Waiting>,
}

/// Who waits for the outcome.
struct Waiting {
    ticket: Ticket,
    answer: oneshot::Sender<Outcome>,
    listener: Listener,
}

impl Future for Flight<'_> {
    type Output = (Waiting, Performed);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let performed = core::task::ready!(self.performing.as_mut().poll(cx));
        let waiting = self.waiting.take();
        Poll::Ready((
            waiting.expect("a future is not polled after its end"),
            performed,
        ))
    }
}

type Watching = Pin<Box<dyn Future<Output = Option<(Ticket, Listener)>> + Send>>;

/// One session.
struct Session<'c> {
    client: &'c Client,
    states: StateWatcher,
    /// The connection that stands.
    connection: Option<ConnectionNo>,
    flights: FuturesUnordered<Flight<'c>>,
    watches: FuturesUnordered<Watching>,
}

impl<'c> Session<'c> {
    fn new(client: &'c Client) -> Self {
        Self {
            states: client.state_watcher(),
            client,
            connection: None,
            flights: FuturesUnordered::new(),
            watches: FuturesUnordered::new(),
        }
    }

    /// Answers come first, so that what was answered in a connection is not unknown because it ended.
    async fn run(mut self, desk: &mut Desk) -> End {
        let state = self.states.state();
        if self.turn(state, desk) {
            return End::Over;
        }
        loop {
            tokio::select! {
                biased;
                Some((waiting, performed)) = self.flights.next() => self.land(waiting, performed),
                state = self.states.changed() => if self.turn(state, desk) {
                    return End::Over;
                },
                Some(fired) = self.watches.next() => if let Some((ticket, listener)) = fired {
                    let _ = listener.send((Signal::Fired(ticket), self.connection));
                },
                order = desk.orders.recv() => match order {
                    Some(Order::Perform(ask)) => self.begin(ask).await,
                    Some(Order::Listen(listener)) => self.welcome(listener, desk),
                    None => return End::Unneeded,
                },
            }
        }
    }

    /// Takes a state of the library; true if the session is over.
    fn turn(&mut self, state: SessionState, desk: &mut Desk) -> bool {
        let id = self.id();
        for turn in turns(self.connection.is_some(), state) {
            match turn {
                Turn::Up => {
                    let connection = desk.next_connection();
                    self.connection = Some(connection);
                    info!("session {id} with ZooKeeper is connected");
                    desk.tell(&self.connected(), Some(connection));
                }
                Turn::Down => {
                    self.connection = None;
                    self.flights.clear();
                    warn!("session {id} with ZooKeeper is disconnected");
                    desk.tell(&Signal::Disconnected, None);
                }
                Turn::Over => {
                    self.connection = None;
                    self.flights.clear();
                    warn!("session {id} with ZooKeeper is over: {state}");
                    desk.tell(&Signal::Expired, None);
                    return true;
                }
            }
        }
        false
    }

    fn id(&self) -> ZkSessionId {
        ZkSessionId(self.client.session_id().0)
    }

    /// The library tells the timeout that was granted when the session began; a server that grants another
    /// one to a session that comes back is not heard.
    fn connected(&self) -> Signal {
        Signal::Connected {
            session: self.id(),
            timeout: self.client.session_timeout(),
        }
    }

    fn welcome(&self, listener: Listener, desk: &mut Desk) {
        if self.connection.is_some() {
            // A machine that is gone already hears nothing.
            let _ = listener.send((self.connected(), self.connection));
        }
        desk.admit(listener);
    }

    /// Sends an effect. The library would keep what is asked while it is disconnected, and send it later.
    async fn begin(&mut self, ask: Ask) {
        if self.connection.is_none() || self.client.state() != SessionState::SyncConnected {
            return ask.refuse("there is no connection");
        }
        if ask.connection != self.connection {
            let why = match ask.connection {
                Some(_) => "the connection in which this was asked is over",
                None => "this was asked before its machine heard of a connection",
            };
            return ask.refuse(why);
        }
        let mut performing = Box::pin(perform(self.client, ask.effect));
        let waiting = Waiting {
            ticket: ask.ticket,
            answer: ask.answer,
            listener: ask.listener,
        };
        // The first poll sends it: effects go out in the order in which they were asked.
        match poll_fn(|cx| Poll::Ready(performing.as_mut().poll(cx))).await {
            Poll::Ready(performed) => self.land(waiting, performed),
            Poll::Pending => self.flights.push(Flight {
                performing,
                waiting: Some(waiting),
            }),
        }
    }

    /// The outcome goes out before a watch is looked at, so that nothing fires before it.
    fn land(&mut self, waiting: Waiting, (outcome, watcher): Performed) {
        let Waiting {
            ticket,
            answer,
            listener,
        } = waiting;
        // Whoever does not wait for the outcome does not need it.
        let _ = answer.send(outcome);
        if let Some(watcher) = watcher {
            self.watches
                .push(Box::pin(watch(watcher, ticket, listener)));
        }
    }
}

/// Waits for the change; none if there is nobody to tell: the machine is gone, or the session ended, which all
/// hear.
async fn watch(
    watcher: OneshotWatcher,
    ticket: Ticket,
    listener: Listener,
) -> Option<(Ticket, Listener)> {
    let event = tokio::select! {
        biased;
        event = watcher.changed() => event,
        () = listener.closed() => return None,
    };
    (event.event_type != EventType::Session).then_some((ticket, listener))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_was_exchanged_between_two_looks_is_told_as_lost_and_won() {
        use SessionState::{Disconnected, SyncConnected};

        assert_eq!(turns(false, SyncConnected), [Turn::Up]);
        assert_eq!(turns(true, Disconnected), [Turn::Down]);
        assert_eq!(turns(true, SyncConnected), [Turn::Down, Turn::Up]);
        assert_eq!(turns(false, Disconnected), [], "told once");
    }

    #[test]
    fn a_session_ends_in_whatever_way_the_library_gives_it_up() {
        use SessionState::{AuthFailed, Closed, Expired};

        for state in [Expired, AuthFailed, Closed] {
            for was_up in [true, false] {
                assert_eq!(turns(was_up, state), [Turn::Over], "{state}");
            }
        }
    }
}
