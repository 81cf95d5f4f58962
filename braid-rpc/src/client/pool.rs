//! The connections to one node.

use super::{
    backoff::Waits,
    config::ClientConfig,
    http2::{Connection, connect},
};
use crate::tasks::Tasks;
use arc_swap::ArcSwap;
use braid_balancer::{Endpoint, Health};
use http::uri::Authority;
use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Once, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A connection that has lived for less is as good as one that could not be made.
const SHORT_LIFE: Duration = Duration::from_secs(1);

/// A node's connections. Owned by the node's entry in the balancer's table; when it is dropped, calls under way finish on connections that
/// nobody else uses.
///
/// From the moment that somebody wants it ([`begin`](Self::begin)), a task keeps at least one connection open, and tries again by
/// itself, waiting longer each time, for as long as the node is in the table. Whether there is one is known before a pick.
pub(super) struct Pool {
    shared: Arc<Shared>,
    _keeping: DropGuard,
}

struct Shared {
    address: SocketAddr,
    authority: Authority,
    config: Arc<ClientConfig>,
    tasks: Tasks,
    stop: CancellationToken,
    keep: Once,
    connections: ArcSwap<Vec<Arc<Connection>>>,
    // Which connection is next.
    turn: AtomicUsize,
    // One more connection is asked for.
    grow: AtomicBool,
    // Wakes the task that keeps the connections.
    wanted: Notify,
    state: watch::Sender<State>,
    // Tells the owner of all pools that the health of one has changed.
    changed: Arc<Notify>,
}

#[derive(Clone, Debug)]
enum State {
    Idle,
    Connecting,
    Open,
    Failed(Arc<str>),
}

impl Pool {
    pub(super) fn new(
        address: SocketAddr,
        config: Arc<ClientConfig>,
        tasks: Tasks,
        changed: Arc<Notify>,
    ) -> Self {
        let authority = Authority::try_from(address.to_string())
            .expect("an address and a port are an authority");
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            address,
            authority,
            config,
            tasks,
            stop: stop.clone(),
            keep: Once::new(),
            connections: ArcSwap::default(),
            turn: AtomicUsize::new(0),
            grow: AtomicBool::new(false),
            wanted: Notify::new(),
            state: watch::Sender::new(State::Idle),
            changed,
        });
        Self {
            shared,
            _keeping: stop.drop_guard(),
        }
    }

    /// The node's address, as requests name it.
    pub(super) fn authority(&self) -> &Authority {
        &self.shared.authority
    }

    /// How many connections are open.
    pub(super) fn connections(&self) -> usize {
        self.shared.connections.load().len()
    }

    /// Why there is no connection.
    pub(super) fn trouble(&self) -> Option<Arc<str>> {
        match &*self.shared.state.borrow() {
            State::Failed(why) => Some(Arc::clone(why)),
            _ => None,
        }
    }

    /// Keeps connections from now on, if that was not begun before.
    pub(super) fn begin(&self) {
        let shared = &self.shared;
        shared.keep.call_once(|| {
            shared.settle();
            let (kept, stop) = (Arc::clone(shared), shared.stop.clone());
            shared.tasks.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = keep(&kept) => {}
                }
            });
        });
    }

    /// An open connection, if there is one. With many calls in flight it asks for one more connection, which later calls get.
    pub(super) fn open(&self, in_flight: usize) -> Option<Arc<Connection>> {
        let shared = &self.shared;
        let open = shared.connections.load();
        let connection = match &***open {
            [] => return None,
            [one] => one,
            several => {
                let turn = shared.turn.fetch_add(1, Relaxed);
                &several[turn % several.len()]
            }
        };
        let config = &shared.config;
        if in_flight > open.len() * config.calls_per_connection
            && open.len() < config.max_connections
            && !shared.grow.swap(true, Relaxed)
        {
            shared.wanted.notify_one();
        }
        Some(Arc::clone(connection))
    }

    /// Waits for a connection: for one that is being made, not for the end of a wait after one that failed.
    ///
    /// # Errors
    /// Why there is none.
    ///
    /// # Cancel safety
    /// The attempt goes on.
    pub(super) async fn ready(&self, in_flight: usize) -> Result<Arc<Connection>, Arc<str>> {
        self.begin();
        let mut state = self.shared.state.subscribe();
        loop {
            if let Some(connection) = self.open(in_flight) {
                return Ok(connection);
            }
            let settled = |state: &State| matches!(state, State::Open | State::Failed(_));
            let now = state.wait_for(settled).await.map_err(|_| "closed")?.clone();
            if let State::Failed(why) = now {
                return Err(why);
            }
            if let Some(connection) = self.open(in_flight) {
                return Ok(connection);
            }
            // It was open and is gone again: what comes next is another state.
            if state.changed().await.is_err() {
                return Err("closed".into());
            }
        }
    }

    /// Uses a connection no more; its calls under way go on.
    pub(super) fn give_up(&self, connection: &Arc<Connection>) {
        self.shared.remove(connection);
    }
}

impl Endpoint for Pool {
    fn health(&self) -> Health {
        match &*self.shared.state.borrow() {
            State::Idle | State::Connecting => Health::Pending,
            State::Open => Health::Ready,
            State::Failed(_) => Health::Failed,
        }
    }
}

impl Shared {
    fn fail(&self, why: String) {
        self.state.send_replace(State::Failed(why.into()));
        self.changed.notify_one();
    }

    fn add(&self, connection: Arc<Connection>) {
        self.connections.rcu(|open| {
            let mut open = Vec::clone(open);
            open.push(Arc::clone(&connection));
            open
        });
        self.settle();
        if connection.is_closed() {
            // Its end came before it was here.
            self.remove(&connection);
        }
    }

    fn remove(&self, gone: &Arc<Connection>) {
        gone.close();
        self.connections.rcu(|open| {
            let others = open.iter().filter(|one| !Arc::ptr_eq(one, gone));
            others.map(Arc::clone).collect::<Vec<_>>()
        });
        self.settle();
        self.wanted.notify_one();
    }

    /// Says what follows from the connections that there are.
    fn settle(&self) {
        // Looked at under the lock: of two that settle at once, the last to do so has seen what both did.
        let changed = self.state.send_if_modified(|state| {
            let now = match (self.connections.load().is_empty(), &*state) {
                (false, State::Open) | (true, State::Connecting | State::Failed(_)) => {
                    return false;
                }
                (false, _) => State::Open,
                (true, _) => State::Connecting,
            };
            *state = now;
            true
        });
        if changed {
            self.changed.notify_one();
        }
    }
}

/// Keeps connections to a node open, without end.
async fn keep(shared: &Arc<Shared>) {
    let backoff = shared.config.backoff;
    // After attempts that failed, and after connections that were of no use.
    let (mut failures, mut losses) = (Waits::new(backoff), Waits::new(backoff));
    loop {
        let count = shared.connections.load().len();
        let more = shared.grow.load(Relaxed) && count < shared.config.max_connections;
        if count > 0 && !more {
            shared.grow.store(false, Relaxed);
            shared.wanted.notified().await;
            continue;
        }
        let attempt = attempt(shared).await;
        shared.grow.store(false, Relaxed);
        let opened = match attempt {
            Ok(connection) => {
                failures.reset();
                let opened = connection.opened();
                shared.add(connection);
                opened
            }
            Err(why) => {
                // What is open goes on.
                if shared.connections.load().is_empty() {
                    shared.fail(why);
                }
                sleep(failures.next()).await;
                continue;
            }
        };
        shared.wanted.notified().await;
        if opened.elapsed() >= SHORT_LIFE || !shared.connections.load().is_empty() {
            losses.reset();
            continue;
        }
        // A node that closes its connections at once is not to be kept busy by that.
        let wait = losses.next();
        if losses.count() > 1 {
            shared.fail("it closes its connections at once".to_owned());
        }
        sleep(wait).await;
    }
}

async fn attempt(shared: &Arc<Shared>) -> Result<Arc<Connection>, String> {
    let limit = shared.config.connect_timeout;
    let pool = Arc::downgrade(shared);
    let on_end = move |connection: &Arc<Connection>| {
        if let Some(shared) = Weak::upgrade(&pool) {
            shared.remove(connection);
        }
    };
    let made = connect(shared.address, &shared.config, &shared.tasks, on_end);
    match timeout(limit, made).await {
        Ok(made) => made,
        Err(_) => Err(format!("no connection within {limit:?}")),
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("address", &self.shared.address)
            .field("connections", &self.connections())
            .field("state", &*self.shared.state.borrow())
            .finish_non_exhaustive()
    }
}
