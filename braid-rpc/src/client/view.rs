//! What a client knows of one service.

use super::{config::ClientConfig, connection::Connection};
use crate::tasks::Tasks;
use braid_balancer::{Balancer, SmoothWeighted};
use braid_core::{Discover, Error, ErrorKind, Result, ServiceName};
use futures_util::StreamExt;
use std::sync::{Arc, Once};
use tokio::sync::watch;

/// How many updates are taken at once when discovery is ahead.
const BATCH: usize = 256;

/// A service's nodes, followed from the first call on.
#[derive(Debug)]
pub(super) struct View {
    pub(super) name: ServiceName,
    pub(super) balancer: Balancer<Connection>,
    seen: watch::Sender<Seen>,
    follow: Once,
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
    pub(super) fn new(name: ServiceName) -> Self {
        Self {
            name,
            balancer: Balancer::new(SmoothWeighted::new()),
            seen: watch::Sender::default(),
            follow: Once::new(),
        }
    }

    /// Follows discovery from now on, unless that was begun before.
    pub(super) fn follow(
        self: &Arc<Self>,
        discover: &Arc<dyn Discover>,
        config: &Arc<ClientConfig>,
        tasks: &Tasks,
    ) {
        self.follow.call_once(|| {
            let task = follow(
                Arc::clone(self),
                Arc::clone(discover),
                Arc::clone(config),
                tasks.clone(),
            );
            tasks.spawn(task);
        });
    }

    /// A receiver that changes with the table.
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
}

async fn follow(
    view: Arc<View>,
    discover: Arc<dyn Discover>,
    config: Arc<ClientConfig>,
    tasks: Tasks,
) {
    let mut updates = discover.watch(&view.name).ready_chunks(BATCH);
    while let Some(chunk) = updates.next().await {
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
            Connection::new(node.address, Arc::clone(&config), tasks.clone())
        });
        let any = !view.balancer.table().entries().is_empty();
        view.seen.send_modify(|seen| {
            seen.known |= known;
            seen.ever |= any;
            seen.trouble = trouble.map(|error| error.to_string());
        });
    }
    view.seen.send_modify(|seen| seen.ended = true);
}
