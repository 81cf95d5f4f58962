//! What a client knows of one service.

use super::{config::ClientConfig, pool::Pool};
use crate::tasks::Tasks;
use braid_balancer::{Balancer, Endpoint, Health, Policy, Table};
use braid_core::{Discover, Error, ErrorKind, NodeId, Result, ServiceName, Update};
use futures_util::StreamExt;
use std::{
    future::pending,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
    time::{Instant, sleep_until},
};

/// How many updates are taken at once when discovery is ahead.
const BATCH: usize = 256;

/// Once the first node of a service can be called, the others have this time to become so too before calls begin: or else the first one
/// got them all.
const START: Duration = Duration::from_millis(50);

/// A service's nodes, followed from the first call on.
#[derive(Debug)]
pub(super) struct View {
    pub(super) name: ServiceName,
    pub(super) balancer: Balancer<Pool>,
    seen: watch::Sender<Seen>,
    // Set once somebody has said something of the service that must not be forgotten.
    pinned: AtomicBool,
    follower: OnceLock<AbortHandle>,
}

/// What discovery has said so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// The first reset has come.
    pub(super) known: bool,
    /// There was a node at some time.
    pub(super) ever: bool,
    /// No more will come.
    ended: bool,
    trouble: Option<String>,
}

impl View {
    pub(super) fn new(name: ServiceName, policy: impl Policy, config: &ClientConfig) -> Self {
        Self {
            name,
            balancer: Balancer::with_config(policy, config.balancing.clone()),
            seen: watch::Sender::default(),
            pinned: AtomicBool::new(false),
            follower: OnceLock::new(),
        }
    }

    /// Follows discovery from now on, unless that was begun before.
    pub(super) fn follow(
        self: &Arc<Self>,
        discover: &Arc<dyn Discover>,
        config: &Arc<ClientConfig>,
        tasks: &Tasks,
    ) {
        self.follower.get_or_init(|| {
            let follower = Follower {
                view: Arc::clone(self),
                config: Arc::clone(config),
                tasks: tasks.clone(),
                changed: Arc::default(),
                start: Start::Waiting(None),
            };
            tasks.spawn(follower.run(Arc::clone(discover)))
        });
    }

    /// Keeps the view for good.
    pub(super) fn pin(&self) {
        self.pinned.store(true, Relaxed);
    }

    /// Nobody would miss it: no node of the service was ever seen, and no call is under way.
    pub(super) fn is_forgettable(self: &Arc<Self>) -> bool {
        // One reference is the client's, one the follower's.
        Arc::strong_count(self) <= 2 && !self.pinned.load(Relaxed) && !self.seen.borrow().ever
    }

    /// Follows discovery no more. Who has come by the view in this very moment learns of it.
    pub(super) fn forget(&self) {
        if let Some(follower) = self.follower.get() {
            follower.abort();
        }
        self.seen.send_modify(|seen| seen.ended = true);
    }

    /// A receiver that changes with the table, and with the health of its nodes.
    pub(super) fn changes(&self) -> watch::Receiver<Seen> {
        self.seen.subscribe()
    }

    pub(super) fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Waits until it is known which nodes there are.
    ///
    /// # Errors
    /// `Unavailable`: discovery ended before it said anything.
    pub(super) async fn known(&self) -> Result<()> {
        if self.seen.borrow().known {
            return Ok(());
        }
        let mut changes = self.changes();
        let seen = changes.wait_for(|seen| seen.known || seen.ended).await;
        if seen.is_ok_and(|seen| seen.known) {
            return Ok(());
        }
        let why = self.trouble().unwrap_or_else(|| "it is closed".to_owned());
        let text = format!("discovery of service `{}` has ended: {why}", self.name);
        Err(Error::new(ErrorKind::Unavailable, "rpc", "call", text))
    }

    /// What discovery complained of last.
    pub(super) fn trouble(&self) -> Option<String> {
        self.seen.borrow().trouble.clone()
    }

    /// Takes a node out of balancing; false when it was so already.
    pub(super) fn drain(&self, node: &NodeId) -> bool {
        self.pin();
        let changed = self.balancer.drain(node);
        // Another one may be wanted in its stead.
        self.connect();
        changed
    }

    /// Lets a node take part again; false when it was not drained.
    pub(super) fn undrain(&self, node: &NodeId) -> bool {
        let changed = self.balancer.undrain(node);
        self.connect();
        changed
    }

    /// Connects to the nodes that calls are to be balanced over.
    fn connect(&self) {
        for entry in self.balancer.table().wanted() {
            entry.owned().begin();
        }
    }
}

/// Keeps a view: the one place where its table changes by what discovery, connections and time bring.
struct Follower {
    view: Arc<View>,
    config: Arc<ClientConfig>,
    tasks: Tasks,
    // Told by the pools when a node's health has changed.
    changed: Arc<Notify>,
    start: Start,
}

/// Whether calls are balanced yet.
enum Start {
    /// Not yet; from this moment on in any case.
    Waiting(Option<Instant>),
    Over,
}

impl Follower {
    async fn run(mut self, discover: Arc<dyn Discover>) {
        let mut updates = discover.watch(&self.view.name).ready_chunks(BATCH).fuse();
        loop {
            tokio::select! {
                chunk = updates.next(), if !updates.is_done() => match chunk {
                    Some(chunk) => self.take(chunk),
                    None => self.view.seen.send_modify(|seen| seen.ended = true),
                },
                () = self.changed.notified() => {}
                () = self.due() => {}
            }
            self.refresh();
        }
    }

    fn take(&self, chunk: Vec<Result<Update>>) {
        let view = &self.view;
        let mut trouble = None;
        let chunk: Vec<_> = chunk
            .into_iter()
            .filter_map(|update| update.map_err(|error| trouble = Some(error)).ok())
            .collect();
        if let Some(error) = &trouble {
            tracing::warn!(service = %view.name, %error, "discovery is in trouble");
        }
        let known = !chunk.is_empty();
        view.balancer.apply(chunk, |node| {
            let (config, tasks) = (Arc::clone(&self.config), self.tasks.clone());
            Pool::new(node.address, config, tasks, Arc::clone(&self.changed))
        });
        let any = !view.balancer.table().entries().is_empty();
        view.seen.send_modify(|seen| {
            seen.known |= known;
            seen.ever |= any;
            seen.trouble = trouble.map(|error| error.to_string());
        });
    }

    fn refresh(&mut self) {
        let view = &self.view;
        if let Start::Waiting(until) = &mut self.start {
            let table = view.balancer.table();
            match beginning(&table) {
                Beginning::Nobody => {}
                Beginning::Some if until.is_none_or(|until| Instant::now() < until) => {
                    until.get_or_insert_with(|| Instant::now() + START);
                    view.connect();
                    return;
                }
                Beginning::Some | Beginning::All => self.start = Start::Over,
            }
        }
        view.balancer.refresh();
        // Which nodes are wanted may depend on who can be reached.
        view.connect();
        view.seen.send_modify(|_| ());
    }

    /// The next moment at which time alone changes the table.
    async fn due(&self) {
        let until = match self.start {
            Start::Waiting(until) => until,
            Start::Over => {
                let next = self.view.balancer.next_refresh();
                next.map(|wait| Instant::now() + wait)
            }
        };
        match until {
            Some(until) => sleep_until(until).await,
            None => pending().await,
        }
    }
}

/// How far the first connections are.
enum Beginning {
    /// No node can be called yet, but may be soon.
    Nobody,
    /// Some can be called; of others it isn't known yet.
    Some,
    /// Of all it is known.
    All,
}

fn beginning(table: &Table<Pool>) -> Beginning {
    let count = |health| {
        let wanted = table.wanted().iter();
        wanted
            .filter(|entry| entry.owned().health() == health)
            .count()
    };
    match (count(Health::Ready), count(Health::Pending)) {
        (0, 1..) => Beginning::Nobody,
        (_, 0) if table.wanted().is_empty() => Beginning::Nobody,
        (_, 0) => Beginning::All,
        _ => Beginning::Some,
    }
}
