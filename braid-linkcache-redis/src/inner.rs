//! What a process has of links, and what it does where they are on Redis.

use crate::{
    config::{LinkCacheConfig, Mode},
    error::{NAME, closed},
    flights::Flights,
    local::Local,
    near::{Near, Ticket},
    nodes::Nodes,
    original::Original,
    own::Own,
    store::{Claimed, Held, Mark, Moved, Place, Store},
};
use braid_core::{
    BootTime, Claim, Clock, Discover, Error, ErrorKind, Node, NodeRef, PubSub, Result, ServiceName,
    Token,
};
use std::{
    fmt,
    sync::{
        Arc, Mutex,
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
    pub(crate) due: mpsc::UnboundedSender<(Token, ServiceName)>,
    /// Taken by the run.
    pub(crate) renewals: Mutex<Option<mpsc::UnboundedReceiver<(Token, ServiceName)>>>,
    ended: AtomicBool,
    pub(crate) closed: CancellationToken,
}

impl Inner {
    pub(crate) fn new(
        config: LinkCacheConfig,
        clock: Arc<dyn Clock>,
        discover: Arc<dyn Discover>,
        pubsub: Arc<dyn PubSub>,
        store: Store,
    ) -> Self {
        let (due, renewals) = mpsc::unbounded_channel();
        Self {
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
        }
    }

    pub(crate) fn open(&self, operation: &'static str) -> Result<()> {
        if self.ended.load(Ordering::Acquire) {
            return Err(closed(operation));
        }
        Ok(())
    }

    pub(crate) fn end(&self) {
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

    pub(crate) async fn claim(&self, token: &Token, node: &Node) -> Result<Claim> {
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

    pub(crate) async fn unlink(
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

    pub(crate) async fn relink(&self, token: &Token, from: &NodeRef, to: &Node) -> Result<bool> {
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

    pub(crate) async fn drain(&self, node: &NodeRef) -> Result<()> {
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

    pub(crate) async fn count(&self, node: &NodeRef) -> Result<usize> {
        let counts = self.counts(self.store.everywhere().await?, node).await?;
        Ok(sum(counts.into_iter().map(|(_, count)| count)))
    }

    /// How many links a node has, where it has any. What is gone holds nothing, whether or not that is tidied up yet.
    async fn counts(&self, all: Vec<Place>, node: &NodeRef) -> Result<Vec<(Place, u64)>> {
        let mut counts = self.store.counts(all, node).await?;
        counts.retain(|((buckets, _), _)| self.is_there(&buckets.service, node));
        Ok(counts)
    }

    pub(crate) fn is_there(&self, service: &ServiceName, node: &NodeRef) -> bool {
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
