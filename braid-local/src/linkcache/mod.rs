//! Links within one process: one table that the nodes of a hub share.

mod config;
mod keeper;
mod links;
mod service;
mod table;

pub use self::config::LinkCacheConfig;

use self::{keeper::Keeper, links::Refusal, table::Table};
use crate::lifecycle::{Lifecycle, sleep_until, supervise};
use braid_core::{
    BoxFuture, Claim, Clock, Component, Discover, Error, ErrorKind, LinkCache, Node, NodeRef,
    PubSub, Result, ServiceName, Shutdown, Token,
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

pub(crate) const NAME: &str = "linkcache-local";

/// Links in the memory of this process.
///
/// The handles of one hub share its links; one that is made with [`new`](Self::new) has links of its own, and takes discovery and
/// pub-sub from wherever they come. Looks judge what is over by themselves; its [`run`](Component::run) follows discovery, frees
/// what is over, listens to `braid.topic.linkcache.unlink`, and publishes the nodes' counts. Of handles that share their links one
/// does this at a time, and another takes over when its run ends.
#[derive(Debug)]
pub struct LocalLinkCache {
    shared: Arc<Shared>,
    lifecycle: Lifecycle,
}

/// What handles that share their links have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    config: LinkCacheConfig,
    table: Table,
    clock: Arc<dyn Clock>,
    discover: Arc<dyn Discover>,
    pubsub: Arc<dyn PubSub>,
    /// Held by the run that keeps the table.
    keeper: tokio::sync::Mutex<Keeper>,
    /// How many runs there are.
    runs: AtomicUsize,
}

impl LocalLinkCache {
    /// Links of this handle's own. Nodes are watched through `discover`, and the reserved topics used through `pubsub`; neither is
    /// run by this.
    ///
    /// # Errors
    /// `Config`: a value is out of range.
    pub fn new(
        config: LinkCacheConfig,
        clock: Arc<dyn Clock>,
        discover: Arc<dyn Discover>,
        pubsub: Arc<dyn PubSub>,
    ) -> Result<Self> {
        config.validate()?;
        Ok(Self::on(&Arc::new(Shared::new(
            config, clock, discover, pubsub,
        ))))
    }

    /// One more handle on these links.
    pub(crate) fn on(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            lifecycle: Lifecycle::default(),
        }
    }

    fn table(&self, operation: &'static str) -> Result<&Table> {
        self.lifecycle.check(NAME, operation)?;
        Ok(&self.shared.table)
    }
}

impl Shared {
    pub(crate) fn new(
        config: LinkCacheConfig,
        clock: Arc<dyn Clock>,
        discover: Arc<dyn Discover>,
        pubsub: Arc<dyn PubSub>,
    ) -> Self {
        Self {
            table: Table::new(config.ttl, config.grace, Arc::clone(&clock)),
            config,
            clock,
            discover,
            pubsub,
            keeper: tokio::sync::Mutex::default(),
            runs: AtomicUsize::new(0),
        }
    }

    pub(crate) fn config(&self) -> &LinkCacheConfig {
        &self.config
    }
}

impl Component for LocalLinkCache {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&self, shutdown: Shutdown) -> BoxFuture<'_, Result<()>> {
        Box::pin(supervise(NAME, async move {
            let _closes = self.lifecycle.start(NAME)?;
            let _counted = Counted::run(&self.shared);
            let mut keeper = tokio::select! {
                biased;
                () = shutdown.draining() => return Ok(()),
                keeper = self.shared.keeper.lock() => keeper,
            };
            keeper.keep(&self.shared, &shutdown).await
        }))
    }
}

/// A run among those that share the links. The last one takes with it what only running caches need.
struct Counted<'a>(&'a Shared);

impl<'a> Counted<'a> {
    fn run(shared: &'a Shared) -> Self {
        shared.runs.fetch_add(1, Ordering::AcqRel);
        Self(shared)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if self.0.runs.fetch_sub(1, Ordering::AcqRel) == 1
            // Held already: by a run that has just begun and takes over.
            && let Ok(mut keeper) = self.0.keeper.try_lock()
        {
            keeper.rest(&self.0.table);
        }
    }
}

impl LinkCache for LocalLinkCache {
    fn with_cached_target(
        &self,
        token: &Token,
        service: &ServiceName,
        see: &mut dyn FnMut(&NodeRef),
    ) {
        if let Ok(table) = self.table("cached_target") {
            table.with_target(token, service, see);
        }
    }

    fn target<'a>(
        &'a self,
        token: &'a Token,
        service: &'a ServiceName,
    ) -> BoxFuture<'a, Result<Option<NodeRef>>> {
        Box::pin(async move { Ok(self.table("target")?.target(token, service)) })
    }

    fn claim<'a>(&'a self, token: &'a Token, node: &'a Node) -> BoxFuture<'a, Result<Claim>> {
        Box::pin(async move {
            let claim = self.table("claim")?.claim(token, node);
            claim.map_err(|refusal| rejected("claim", refusal, node))
        })
    }

    fn unlink<'a>(
        &'a self,
        token: &'a Token,
        service: &'a ServiceName,
        owner: &'a NodeRef,
    ) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { Ok(self.table("unlink")?.unlink(token, service, owner)) })
    }

    fn leave<'a>(&'a self, token: &'a Token) -> BoxFuture<'a, Result<usize>> {
        Box::pin(async move { Ok(self.table("leave")?.leave(token)) })
    }

    fn down<'a>(&'a self, node: &'a NodeRef) -> BoxFuture<'a, Result<usize>> {
        Box::pin(async move { Ok(self.table("down")?.down(node)) })
    }

    fn drain<'a>(&'a self, node: &'a NodeRef) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let table = self.table("drain")?;
            let mut changes = table.changes();
            table.close(node);
            while let Some(busy) = table.busy_until(node) {
                self.lifecycle.check(NAME, "drain")?;
                tokio::select! {
                    () = self.lifecycle.closed().cancelled() => {}
                    // The table outlives the handle.
                    _ = changes.changed() => {}
                    () = sleep_until(&*self.shared.clock, busy) => {}
                }
                changes.mark_unchanged();
            }
            Ok(())
        })
    }

    fn relink<'a>(
        &'a self,
        token: &'a Token,
        from: &'a NodeRef,
        to: &'a Node,
    ) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let moved = self.table("relink")?.relink(token, from, to);
            moved.map_err(|refusal| rejected("relink", refusal, to))
        })
    }

    fn links<'a>(
        &'a self,
        node: &'a NodeRef,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(ServiceName, Token)>>> {
        Box::pin(async move { Ok(self.table("links")?.some(node, limit)) })
    }

    fn count<'a>(&'a self, node: &'a NodeRef) -> BoxFuture<'a, Result<usize>> {
        Box::pin(async move { Ok(self.table("count")?.count(node)) })
    }
}

fn rejected(operation: &'static str, refusal: Refusal, node: &Node) -> Error {
    let why = match refusal {
        Refusal::Draining => "is draining",
        Refusal::Gone => "is gone",
    };
    let text = format!("node {} of `{}` {why}", node.node, node.service);
    Error::new(ErrorKind::Rejected, NAME, operation, text)
}

#[cfg(test)]
mod tests;
