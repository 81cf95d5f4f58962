//! The handle.

use crate::{
    config::LinkCacheConfig,
    error::{NAME, closed},
    inner::Inner,
    near::Look,
    store::{Mark, Store},
    worker,
};
use braid_core::{
    BoxFuture, Claim, Clock, Component, Discover, Error, LinkCache, Node, NodeRef, PubSub, Result,
    ServiceName, Shutdown, Token,
};
use braid_redis::Redis;
use futures_util::FutureExt;
use std::{
    fmt,
    panic::AssertUnwindSafe,
    sync::{Arc, PoisonError},
};

/// Links on Redis, as one process uses them. Clones are the same process.
///
/// Its [`run`](Component::run) has to go on: it hears what ends links elsewhere, without which nothing is answered from memory; it renews what is
/// used, follows discovery, listens to `braid.topic.linkcache.unlink`, and, in one process of the fleet at a time, removes what nodes that are
/// gone have left, and publishes the nodes' counts. When it has returned the cache is closed, and no connection is left. The links stay.
#[derive(Clone)]
pub struct RedisLinkCache(Arc<Inner>);

impl RedisLinkCache {
    /// Connects. Nodes are watched through `discover`, and the reserved topics used through `pubsub`; neither is run by this.
    ///
    /// # Errors
    /// At once: `Config`, for values out of range, refused credentials or commands, and for a number of buckets that isn't the fleet's;
    /// `Unsupported`, for a server before Redis 7.0. `Unavailable`, when the server is away for `start_timeout`.
    ///
    /// # Cancel safety
    /// A dropped call leaves no connection.
    pub async fn connect(
        config: LinkCacheConfig,
        clock: Arc<dyn Clock>,
        discover: Arc<dyn Discover>,
        pubsub: Arc<dyn PubSub>,
    ) -> Result<Self> {
        config.validate()?;
        let redis = Redis::connect(&config.redis, NAME).await?;
        let store = Store::new(redis, &config);
        if let Err(error) = store.enter(&[]).await {
            store.redis.close().await;
            return Err(error);
        }
        Ok(Self(Arc::new(Inner::new(
            config, clock, discover, pubsub, store,
        ))))
    }

    /// How many links this process remembers.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.0.near.len()
    }
}

impl Component for RedisLinkCache {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&self, shutdown: Shutdown) -> BoxFuture<'_, Result<()>> {
        let end = End(&self.0);
        Box::pin(async move {
            let _end = end;
            let renewals = {
                let mut renewals = self
                    .0
                    .renewals
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                renewals.take()
            };
            let Some(renewals) = renewals else {
                return Err(closed("run"));
            };
            let work = AssertUnwindSafe(worker::run(&self.0, renewals, &shutdown)).catch_unwind();
            let result = match work.await {
                Ok(result) => result,
                Err(panic) => Err(Error::panicked(NAME, "run", &*panic)),
            };
            self.0.end();
            self.0.store.redis.close().await;
            result
        })
    }
}

/// Closes the cache with its run, also when that is dropped.
struct End<'a>(&'a Inner);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl LinkCache for RedisLinkCache {
    fn with_cached_target(
        &self,
        token: &Token,
        service: &ServiceName,
        see: &mut dyn FnMut(&NodeRef),
    ) {
        let inner = &*self.0;
        if let Some(own) = &inner.own {
            if inner.open("cached_target").is_ok() {
                own.with(inner.clock.now(), token, service, see);
            }
            return;
        }
        if inner.near.with(inner.clock.now(), token, service, see) == Look::Due {
            // The run has ended if nobody takes it.
            let _ = inner.due.send((token.clone(), service.clone()));
        }
    }

    fn target<'a>(
        &'a self,
        token: &'a Token,
        service: &'a ServiceName,
    ) -> BoxFuture<'a, Result<Option<NodeRef>>> {
        Box::pin(async move {
            self.0.open("target")?;
            match &self.0.own {
                Some(_) => Ok(self.cached_target(token, service)),
                None => self.0.target(token, service).await,
            }
        })
    }

    fn claim<'a>(&'a self, token: &'a Token, node: &'a Node) -> BoxFuture<'a, Result<Claim>> {
        Box::pin(async move {
            self.0.open("claim")?;
            match self.0.local() {
                Some(local) => local.claim(token, node),
                None => self.0.claim(token, node).await,
            }
        })
    }

    fn unlink<'a>(
        &'a self,
        token: &'a Token,
        service: &'a ServiceName,
        owner: &'a NodeRef,
    ) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            self.0.open("unlink")?;
            match &self.0.own {
                Some(own) => Ok(own.unlink(self.0.clock.now(), token, service, owner)),
                None => self.0.unlink(token, service, Some(owner), None).await,
            }
        })
    }

    fn relink<'a>(
        &'a self,
        token: &'a Token,
        from: &'a NodeRef,
        to: &'a Node,
    ) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            self.0.open("relink")?;
            match self.0.local() {
                Some(local) => local.relink(token, from, to),
                None => self.0.relink(token, from, to).await,
            }
        })
    }

    fn leave<'a>(&'a self, token: &'a Token) -> BoxFuture<'a, Result<usize>> {
        Box::pin(async move {
            self.0.open("leave")?;
            match self.0.local() {
                Some(local) => local.leave(token).await,
                None => self.0.leave(token, None).await,
            }
        })
    }

    fn down<'a>(&'a self, node: &'a NodeRef) -> BoxFuture<'a, Result<usize>> {
        Box::pin(async move {
            self.0.open("down")?;
            if let Some(local) = self.0.local() {
                return local.down(node).await;
            }
            self.0.store.close(node, Mark::Gone).await?;
            self.0.remove(node).await
        })
    }

    fn drain<'a>(&'a self, node: &'a NodeRef) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.0.open("drain")?;
            let drain = async {
                match self.0.local() {
                    Some(local) => local.drain(node).await,
                    None => self.0.drain(node).await,
                }
            };
            tokio::select! {
                biased;
                () = self.0.closed.cancelled() => Err(closed("drain")),
                drained = drain => drained,
            }
        })
    }

    fn count<'a>(&'a self, node: &'a NodeRef) -> BoxFuture<'a, Result<usize>> {
        Box::pin(async move {
            self.0.open("count")?;
            match self.0.local() {
                Some(local) => local.count(node).await,
                None => self.0.count(node).await,
            }
        })
    }

    fn links<'a>(
        &'a self,
        node: &'a NodeRef,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(ServiceName, Token)>>> {
        Box::pin(async move {
            self.0.open("links")?;
            if let Some(own) = &self.0.own {
                return Ok(own.links(self.0.clock.now(), node, limit));
            }
            let mut links = self.0.store.links(node, limit).await?;
            links.retain(|(service, _)| self.0.is_there(service, node));
            Ok(links)
        })
    }
}

impl fmt::Debug for RedisLinkCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}
