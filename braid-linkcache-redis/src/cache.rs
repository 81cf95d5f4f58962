//! The handle.

use crate::{
    config::{LinkCacheConfig, Mode},
    error::{NAME, closed},
    flights::Flights,
    local::Local,
    near::{Look, Near, Ticket},
    nodes::Nodes,
    original::Original,
    own::Own,
    store::{Claimed, Held, Mark, Moved, Place, Store},
    worker,
};
use braid_core::{
    BootTime, BoxFuture, Claim, Clock, Component, Discover, Error, ErrorKind, LinkCache, Node,
    NodeRef, PubSub, Result, ServiceName, Shutdown, Token,
};
use braid_redis::Redis;
use futures_util::FutureExt;
use std::{
    fmt,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Semaphore, mpsc},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// How many questions for tokens are under way at a time; the others wait. When the server comes back after it was away, it isn't
/// asked for all that was missed at once.
const QUESTIONS: usize = 256;

/// Between two looks whether a node has links left.
const DRAIN_LOOK: Duration = Duration::from_millis(200);

/// Links on Redis, as one process uses them. Clones are the same process.
///
/// Its [`run`](Component::run) has to go on: it hears what ends links elsewhere, without which nothing is answered from memory; it renews what is
/// used, follows discovery, listens to `braid.topic.linkcache.unlink`, and, in one process of the fleet at a time, removes what nodes that are
/// gone have left, and publishes the nodes' counts. When it has returned the cache is closed, and no connection is left. The links stay.
#[derive(Clone)]
pub struct RedisLinkCache(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: LinkCacheConfig,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) discover: Arc<dyn Discover>,
    pub(crate) pubsub: Arc<dyn PubSub>,
    pub(crate) store: Store,
    pub(crate) near: Near,
    pub(crate) nodes: Nodes,
    /// The links, where this process keeps them by itself.
    pub(crate) own: Option<Own>,
    /// Tells this process from all others, its former lives too.
    pub(crate) process: String,
    flights: Flights,
    questions: Semaphore,
    original: Original,
    /// Links whose time is to be renewed.
    due: mpsc::UnboundedSender<(Token, ServiceName)>,
    /// Taken by the run.
    renewals: Mutex<Option<mpsc::UnboundedReceiver<(Token, ServiceName)>>>,
    ended: AtomicBool,
    pub(crate) closed: CancellationToken,
}

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
        let (due, renewals) = mpsc::unbounded_channel();
        Ok(Self(Arc::new(Inner {
            near: Near::new(config.near_capacity, config.ttl),
            nodes: Nodes::new(config.grace),
            own: match config.mode {
                Mode::Redis => None,
                Mode::Local => Some(Own::new(config.ttl)),
            },
            process: uuid::Uuid::new_v4().to_string(),
            flights: Flights::default(),
            questions: Semaphore::new(QUESTIONS),
            original: Original::new(&config.original_parents),
            due,
            renewals: Mutex::new(Some(renewals)),
            ended: AtomicBool::new(false),
            closed: CancellationToken::new(),
            config,
            clock,
            discover,
            pubsub,
            store,
        })))
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

impl Inner {
    fn open(&self, operation: &'static str) -> Result<()> {
        if self.ended.load(Ordering::Acquire) {
            return Err(closed(operation));
        }
        Ok(())
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.near.set_fresh_until(BootTime::default());
        self.closed.cancel();
    }

    pub(crate) fn local(&self) -> Option<Local<'_>> {
        let own = self.own.as_ref()?;
        Some(Local { cache: self, own })
    }

    /// Asks the server who holds a token's link, which renews it.
    pub(crate) async fn target(
        &self,
        token: &Token,
        service: &ServiceName,
    ) -> Result<Option<NodeRef>> {
        self.nodes.follow(service);
        let share = |kind, text| Error::new(kind, NAME, "target", text);
        let ask = Box::pin(self.ask(token, service));
        let target = self.flights.ask(token, service, ask, share).await?;
        match target {
            None if self.original.is_read() => {
                self.original
                    .target(&self.store, &self.nodes, token, service)
                    .await
            }
            target => Ok(target),
        }
    }

    async fn ask(&self, token: &Token, service: &ServiceName) -> Result<Option<NodeRef>> {
        let within = self.config.redis.command_timeout;
        let place = timeout(within, self.questions.acquire()).await;
        let _place = place
            .map_err(|_| {
                let text =
                    format!("links of `{service}`: too many wait for the server; nothing was sent");
                Error::new(ErrorKind::Unavailable, NAME, "target", text)
            })?
            .map_err(|_| closed("target"))?;
        let (ticket, asked) = (self.near.ticket(token, service), self.clock.now());
        let Some(held) = self.store.target(token, service).await? else {
            self.near.forget(token, service);
            return Ok(None);
        };
        let node = held.node.clone();
        if self.remember(ticket, asked, token, service, held) {
            return Ok(Some(node));
        }
        self.near.forget(token, service);
        Ok(None)
    }

    /// False when the link's node is gone, and is only not yet removed from the server.
    fn remember(
        &self,
        ticket: Ticket,
        asked: BootTime,
        token: &Token,
        service: &ServiceName,
        held: Held,
    ) -> bool {
        let owner = self.nodes.owner(service, &held.node);
        let there = !owner.is_gone();
        if there {
            self.near
                .remember(ticket, asked, held.left, token, service, &owner);
        }
        there
    }

    async fn claim(&self, token: &Token, node: &Node) -> Result<Claim> {
        let service = &node.service;
        let mut replaced: Option<NodeRef> = None;
        loop {
            let (ticket, asked) = (self.near.ticket(token, service), self.clock.now());
            let known = self.nodes.refusal(node);
            let claimed = self
                .store
                .claim(token, service, &node.node, known, replaced.as_ref());
            let held = match claimed.await? {
                Claimed::Refused(why) => return Err(why.error("claim", service, &node.node)),
                Claimed::Held(held) => held,
                Claimed::Won => {
                    let held = Held {
                        node: node.node.clone(),
                        left: self.config.ttl,
                    };
                    self.remember(ticket, asked, token, service, held);
                    return Ok(Claim::Won);
                }
            };
            let holder = held.node.clone();
            let there = self.remember(ticket, asked, token, service, held);
            if !there && replaced.as_ref() != Some(&holder) {
                // What is gone holds nothing, whether or not that is tidied up yet.
                replaced = Some(holder);
                continue;
            }
            return Ok(Claim::Held(holder));
        }
    }

    async fn unlink(
        &self,
        token: &Token,
        service: &ServiceName,
        owner: Option<&NodeRef>,
        until: Option<u64>,
    ) -> Result<bool> {
        let unlinked = self.store.unlink(token, service, owner, until).await?;
        if unlinked {
            self.near.forget(token, service);
        }
        Ok(unlinked)
    }

    async fn relink(&self, token: &Token, from: &NodeRef, to: &Node) -> Result<bool> {
        let service = &to.service;
        let known = self.nodes.refusal(to);
        let moved = self
            .store
            .relink(token, service, from, &to.node, known)
            .await?;
        match moved {
            Moved::Done => {
                self.near.forget(token, service);
                Ok(true)
            }
            Moved::NotHeld => Ok(false),
            Moved::Refused(why) => Err(why.error("relink", service, &to.node)),
        }
    }

    /// Ends all links of a token that were made by `until`, in milliseconds since 1970.
    pub(crate) async fn leave(&self, token: &Token, until: Option<u64>) -> Result<usize> {
        let mut ended = 0;
        for service in self.store.services().await? {
            ended += usize::from(self.unlink(token, &service, None, until).await?);
        }
        Ok(ended)
    }

    /// Ends all links of a node that is gone.
    pub(crate) async fn remove(&self, node: &NodeRef) -> Result<usize> {
        let ended = self.store.down(node).await?;
        self.forget_node(node);
        Ok(sum([ended]))
    }

    /// A node's links have ended.
    pub(crate) fn forget_node(&self, node: &NodeRef) {
        if let Some(own) = &self.own {
            own.down(node);
        }
        self.nodes.ended(self.clock.now(), node);
        self.near.sweep();
    }

    async fn drain(&self, node: &NodeRef) -> Result<()> {
        // The first time a failure is the caller's. Later ones pass: whoever drains can't do better than to wait.
        let mut left = self.close(node).await?;
        loop {
            // Where no link is left none comes: look at the others only, and at all of them once more in the end.
            while !left.is_empty() {
                sleep(DRAIN_LOOK).await;
                let all = left.iter().map(|(bucket, _)| bucket.clone()).collect();
                if let Some(counted) = passing(self.counts(all, node).await)? {
                    left = counted;
                }
            }
            match passing(self.close(node).await)? {
                Some(none) if none.is_empty() => return Ok(()),
                Some(some) => left = some,
                None => sleep(DRAIN_LOOK).await,
            }
        }
    }

    /// Closes a node for new links; tells where it has any.
    async fn close(&self, node: &NodeRef) -> Result<Vec<(Place, u64)>> {
        self.store.close(node, Mark::Draining).await?;
        self.counts(self.store.everywhere().await?, node).await
    }

    async fn count(&self, node: &NodeRef) -> Result<usize> {
        let counts = self.counts(self.store.everywhere().await?, node).await?;
        Ok(sum(counts.into_iter().map(|(_, count)| count)))
    }

    /// How many links a node has, where it has any. What is gone holds nothing, whether or not that is tidied up yet.
    async fn counts(&self, all: Vec<Place>, node: &NodeRef) -> Result<Vec<(Place, u64)>> {
        let mut counts = self.store.counts(all, node).await?;
        counts.retain(|((buckets, _), _)| self.is_there(&buckets.service, node));
        Ok(counts)
    }

    fn is_there(&self, service: &ServiceName, node: &NodeRef) -> bool {
        !self.nodes.owner(service, node).is_gone()
    }
}

/// `None` for an error that passes by itself.
pub(crate) fn passing<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) => match error.kind() {
            ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Indeterminate => Ok(None),
            _ => Err(error),
        },
    }
}

fn sum(counts: impl IntoIterator<Item = u64>) -> usize {
    usize::try_from(counts.into_iter().sum::<u64>()).unwrap_or(usize::MAX)
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLinkCache")
            .field("redis", &self.store.redis)
            .field("config", &self.config)
            .field("near", &self.near)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RedisLinkCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}
