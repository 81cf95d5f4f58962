//! What runs behind the links: follows discovery, frees what is over, hears who left, tells how many links the nodes have.
//!
//! All of it happens in the one future of [`Keeper::keep`], so nothing outlives the run. Handles that share their links have one
//! keeper, which lies in a lock: the run that holds it keeps the table, and the next one goes on where it stopped. So every
//! unlink message counts once, and every count is published once.

use super::{NAME, Shared, table::Table};
use crate::lifecycle::LONGEST_SLEEP;
use braid_core::{
    Channel, ErrorKind, NodeId, NodeRef, Result, Shutdown, SubscribeOptions, Subscription,
    discover::Watches,
    reserved::{Body, LinkNumber, Unlink},
};
use std::{collections::HashMap, convert::Infallible, sync::Arc, time::Duration};
use tokio::time::sleep;

/// The pause after a fault of pub-sub.
const RETRY: Duration = Duration::from_secs(1);

/// What one keeper leaves to the next.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    /// Open from the first run to the last, so that no message falls between two.
    unlinks: Option<Subscription>,
    /// The counts that were published last; a node without one was published with 0, or never.
    published: HashMap<NodeId, u64>,
}

impl Keeper {
    /// Keeps the table until the shutdown.
    pub(super) async fn keep(&mut self, shared: &Shared, shutdown: &Shutdown) -> Result<()> {
        let Self { unlinks, published } = self;
        let work = async {
            tokio::try_join!(
                follow(shared),
                sweep(shared),
                hear(shared, unlinks),
                tell(shared, published),
            )
        };
        tokio::select! {
            biased;
            () = shutdown.draining() => {}
            never = work => match never? {},
        }
        tokio::select! {
            biased;
            () = shutdown.forced() => {}
            _ = publish(shared, published) => {}
        }
        Ok(())
    }

    /// The last run has ended.
    pub(super) fn rest(&mut self, table: &Table) {
        self.unlinks = None;
        table.forget_presence(None);
    }
}

/// Tells the table which nodes the services have that it has links of.
async fn follow(shared: &Shared) -> Result<Infallible> {
    let mut new_services = shared.table.new_services();
    let mut watches = Watches::new(Arc::clone(&shared.discover));
    loop {
        new_services.mark_unchanged();
        for service in shared.table.services() {
            watches.watch(&service);
        }
        tokio::select! {
            // The table outlives its keeper.
            _ = new_services.changed() => {}
            (service, update) = watches.next() => match update {
                Some(Ok(update)) => shared.table.update(&service, &update),
                Some(Err(error)) => {
                    tracing::warn!(%error, %service, "discovery has a fault; the last view stands");
                }
                None => {
                    tracing::warn!(%service, "discovery has ended; links to nodes that go live on until they expire");
                    shared.table.forget_presence(Some(&service));
                }
            },
        }
    }
}

/// Frees what is over.
async fn sweep(shared: &Shared) -> Result<Infallible> {
    let config = &shared.config;
    let longest = LONGEST_SLEEP.min(config.ttl).min(config.grace);
    let mut due = shared.clock.now() + config.ttl;
    loop {
        let left = due.saturating_since(shared.clock.now());
        sleep(left.min(longest).max(Duration::from_millis(10))).await;
        due = shared.table.sweep(due);
    }
}

/// Ends the links of tokens that are published as unlinked.
async fn hear(shared: &Shared, unlinks: &mut Option<Subscription>) -> Result<Infallible> {
    loop {
        let Some(subscription) = unlinks else {
            match subscribe(shared).await {
                Ok(subscription) => *unlinks = Some(subscription),
                Err(error)
                    if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout) =>
                {
                    tracing::warn!(%error, "unlink messages are not heard yet");
                    sleep(RETRY).await;
                }
                Err(error) => return Err(error),
            }
            continue;
        };
        match subscription.next().await {
            Some(Ok(delivery)) => {
                match Unlink::decode(delivery.body()) {
                    Ok(Unlink(token)) => {
                        shared.table.leave(&token);
                    }
                    // It won't be readable next time either.
                    Err(error) => tracing::warn!(%error, "an unlink message is dropped"),
                }
                if let Err(error) = delivery.ack().await {
                    tracing::warn!(%error, "an unlink message may be heard twice");
                }
            }
            Some(Err(error)) => tracing::warn!(%error, "unlink messages have a fault"),
            None => {
                tracing::warn!("pub-sub has ended; unlink messages are heard no more");
                return std::future::pending().await;
            }
        }
    }
}

async fn subscribe(shared: &Shared) -> Result<Subscription> {
    // Unique in the fleet: pub-sub may be shared with other processes.
    let own = NodeRef::random(NodeId::new(NAME)?);
    let channel = Channel::new(format!("{NAME}.{}", own.uid))?;
    let options = SubscribeOptions::ephemeral();
    shared
        .pubsub
        .subscribe(&Unlink::topic(), &channel, options)
        .await
}

/// Publishes the nodes' counts when they change.
async fn tell(shared: &Shared, published: &mut HashMap<NodeId, u64>) -> Result<Infallible> {
    let mut changes = shared.table.changes();
    loop {
        changes.mark_unchanged();
        let told = publish(shared, published).await;
        if told {
            sleep(shared.config.count_interval).await;
            // The table outlives its keeper.
            let _ = changes.changed().await;
        } else {
            sleep(shared.config.count_interval.max(RETRY)).await;
        }
    }
}

/// Publishes the counts that differ from those published last; false when one could not be.
async fn publish(shared: &Shared, published: &mut HashMap<NodeId, u64>) -> bool {
    let counts = shared.table.counts();
    let gone = published.keys().filter(|id| !counts.contains_key(*id));
    let gone: Vec<_> = gone.map(|id| (id.clone(), 0)).collect();
    let mut told = true;
    for (id, number) in counts.into_iter().chain(gone) {
        if published.get(&id).copied().unwrap_or(0) == number {
            continue;
        }
        let body = LinkNumber {
            id: id.clone(),
            number,
        };
        match shared
            .pubsub
            .publish(&LinkNumber::topic(), body.message())
            .await
        {
            Ok(_) if number == 0 => {
                published.remove(&id);
            }
            Ok(_) => {
                published.insert(id, number);
            }
            Err(error) => {
                tracing::warn!(%error, node = %id, "a node's link count was not published");
                told = false;
            }
        }
    }
    told
}
