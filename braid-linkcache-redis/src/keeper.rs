//! What one process of the fleet does for all: it removes what nodes that are gone have left, forgets links that have ended by themselves, and
//! publishes the nodes' counts. Which one that is, a lease on the server says; all of it may be done by two as well.

use crate::{error::NAME, inner::Inner, store::Mark, worker::is_final};
use braid_core::{
    Error, NodeId, NodeRef, Result, ServiceName,
    reserved::{Body, LinkNumber},
};
use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    time::Duration,
};
use tokio::time::sleep;

/// How long the lease is. Who took it has died at most so long ago.
const LEASE: Duration = Duration::from_secs(3);

/// The longest pause between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// The shortest.
const SHORTEST: Duration = Duration::from_millis(50);

/// How long what is gone is remembered.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// Looks after the fleet's links, whenever no other process does.
pub(crate) async fn keep(cache: &Inner) -> Result<Infallible> {
    let pause = cache.config.count_interval.clamp(SHORTEST, LOOK);
    let mut told = None;
    let mut reported = None;
    let mut away = false;
    loop {
        let looked = async {
            if let Some(local) = cache.local() {
                local.report(&mut reported).await?;
            }
            look(cache, &mut told).await
        };
        match looked.await {
            Ok(()) => away = false,
            Err(error) if is_final(error.kind()) => return Err(error),
            Err(error) => {
                // Once: it says the same each second.
                if !std::mem::replace(&mut away, true) {
                    tracing::warn!(component = NAME, %error, "links are not looked after for now");
                }
                told = None;
            }
        }
        sleep(pause).await;
    }
}

/// Lets another process look after the links at once.
pub(crate) async fn leave(cache: &Inner) {
    // Otherwise the leases run out.
    if cache.own.is_some() {
        let _ = cache.store.report(&cache.process, LEASE, &[]).await;
    }
    let _ = cache.store.resign(&cache.process).await;
}

/// The counts that were published last; unknown to who has just begun.
type Told = BTreeMap<String, u64>;

async fn look(cache: &Inner, told: &mut Option<Told>) -> Result<()> {
    let (ours, listed) = cache.store.watch(&cache.process, LEASE).await?;
    if !listed {
        // The server was emptied, or may have been.
        cache.store.relist().await?;
    }
    cache.nodes.tidy(cache.clock.now(), REMEMBERED);
    if !ours {
        *told = None;
        return Ok(());
    }
    for node in cache.store.absent().await? {
        if cache.nodes.is_present(&node) {
            cache.store.reopen(&node, Mark::Absent).await?;
        }
    }
    let mut counts = BTreeMap::<NodeId, u64>::new();
    match &cache.own {
        None => {
            for service in cache.store.services().await? {
                for (node, count) in tend(cache, &service).await? {
                    *counts.entry(node.id).or_default() += count;
                }
            }
        }
        Some(own) => {
            let others = cache.store.others(&cache.process).await?;
            for (node, count) in others.into_iter().chain(own.counts(cache.clock.now())) {
                *counts.entry(node.id).or_default() += count;
            }
        }
    }
    if told.is_none() {
        *told = Some(cache.store.told().await?.into_iter().collect());
    }
    if let Some(told) = told {
        publish(cache, counts, told).await?;
    }
    Ok(())
}

/// Tidies up a service. Returns how many links each node has that isn't gone.
async fn tend(cache: &Inner, service: &ServiceName) -> Result<HashMap<NodeRef, u64>> {
    cache.nodes.follow(service);
    let mut counts = HashMap::<NodeRef, u64>::new();
    for (node, count) in cache.store.tend(service).await? {
        *counts.entry(node).or_default() += count;
    }
    let is_gone = |node: &NodeRef| cache.nodes.owner(service, node).is_gone();
    let gone: Vec<NodeRef> = counts
        .keys()
        .filter(|node| is_gone(node))
        .cloned()
        .collect();
    for node in gone {
        // First, so that who still takes it for present doesn't link to it.
        cache.store.close(&node, Mark::Absent).await?;
        let ended = cache.remove(&node).await?;
        tracing::info!(component = NAME, %node, %service, ended, "a node is gone, and its links");
        counts.remove(&node);
    }
    Ok(counts)
}

/// Publishes the counts that differ from those published last.
async fn publish(cache: &Inner, mut counts: BTreeMap<NodeId, u64>, told: &mut Told) -> Result<()> {
    for id in told.keys() {
        if let Ok(id) = NodeId::new(id.as_str()) {
            counts.entry(id).or_default();
        }
    }
    for (id, number) in counts {
        if told.get(id.as_str()).copied().unwrap_or(0) == number {
            continue;
        }
        let body = LinkNumber {
            id: id.clone(),
            number,
        };
        let published = cache
            .pubsub
            .publish(&LinkNumber::topic(), body.message())
            .await;
        if let Err(error) = published {
            // The next look publishes what is then.
            untold(&id, &error);
            continue;
        }
        if number == 0 {
            told.remove(id.as_str());
        } else {
            told.insert(id.as_str().to_owned(), number);
        }
        cache.store.tell(id.as_str(), number).await?;
    }
    Ok(())
}

fn untold(node: &NodeId, error: &Error) {
    tracing::warn!(component = NAME, %error, %node, "a node's link count was not published");
}
