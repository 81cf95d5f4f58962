//! A node's topics on Redis.

use crate::{
    config::{Durability, PubSubConfig},
    durable::Committer,
    error::{self, NAME, closed},
    link::Limits,
    node::{CLOSED, CloseOnDrop, DRAINING, Node, OPEN, lock},
    read::Reading,
    topics::Topics,
    view, worker,
};
use braid_core::{
    BoxFuture, BoxStream, Channel, Component, Error, ErrorKind, Message, MessageId, NewMessage,
    PubSub, Result, Shutdown, Start, SubscribeOptions, Subscription, Topic, pubsub::TopicView,
};
use braid_redis::Redis;
use futures_util::{future::join_all, stream};
use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// How long a forced end may take to send what was acked.
const FORCED: Duration = Duration::from_millis(250);

/// Topics on Redis Streams, as one node uses them. Clones are the same node.
///
/// Its [`run`](Component::run) has to go on: it reads, acks and keeps what this node holds. On `drain` the streams of its subscriptions
/// end, and it waits until what was handed out is settled; publishing goes on meanwhile, since handlers do that. On `force` what isn't
/// settled stays pending, and is claimed by other nodes after the claim time. When it has returned the node is closed, and no
/// connection or task is left.
#[derive(Clone)]
pub struct RedisPubSub {
    node: Arc<Node>,
    /// `None`: the primary's memory is enough.
    committer: Option<Arc<Committer>>,
}

impl RedisPubSub {
    /// Connects.
    ///
    /// # Errors
    /// At once: `Config`, for values out of range and refused credentials or commands; `Unsupported`, for a server before Redis 7.0, and
    /// for [`Durability::Durable`] on a server that can't say what is on its disk. `Unavailable`, when the server is away for
    /// `start_timeout`.
    ///
    /// # Cancel safety
    /// A dropped call leaves no connection.
    pub async fn connect(config: PubSubConfig) -> Result<Self> {
        config.validate()?;
        let redis = Redis::connect(&config.redis, NAME).await?;
        let (workers, to_run) = mpsc::unbounded_channel();
        let waitaof = can_wait_for_the_disk(&redis);
        let limits = Limits {
            capacity: config.capacity,
            block: config.block,
            ephemeral_after: config.ephemeral_after,
            forget_after: config.forget_after,
            retention_interval: config.retention_interval,
        };
        let node = Node {
            topics: Topics::new(redis.clone(), limits, config.partitions),
            redis,
            limits,
            dedup_window: config.dedup_window,
            phase: AtomicU8::new(OPEN),
            closed: CancellationToken::new(),
            consumers: Mutex::default(),
            workers,
            to_run: Mutex::new(Some(to_run)),
            waitaof,
        };
        let plain = Self {
            node: Arc::new(node),
            committer: None,
        };
        match plain.with_durability(config.durability) {
            Ok(pubsub) => Ok(pubsub),
            Err(error) => {
                plain.node.redis.close().await;
                Err(error)
            }
        }
    }

    /// The same node, publishing with another durability.
    ///
    /// # Errors
    /// `Unsupported`: [`Durability::Durable`] on a server that can't say what is on its disk (before Redis 7.2, or without `appendonly yes`).
    pub fn with_durability(&self, durability: Durability) -> Result<Self> {
        if durability == Durability::Durable
            && let Err(why) = &self.node.waitaof
        {
            let text = format!("durable publishes: {why}");
            return Err(Error::new(ErrorKind::Unsupported, NAME, "connect", text));
        }
        let committer = match durability {
            Durability::Fast => None,
            other => Some(Arc::new(Committer::new(self.node.redis.clone(), other))),
        };
        Ok(Self {
            node: Arc::clone(&self.node),
            committer,
        })
    }
}

fn can_wait_for_the_disk(redis: &Redis) -> std::result::Result<(), String> {
    let server = redis.server();
    if !server.waitaof {
        let (major, minor, patch) = server.version;
        return Err(format!(
            "server {major}.{minor}.{patch} has no WAITAOF; Redis 7.2 is the first that has"
        ));
    }
    match server.appendonly {
        Some(false) => {
            Err("the server runs without an append-only file (`appendonly yes`)".to_owned())
        }
        Some(true) | None => Ok(()),
    }
}

impl Component for RedisPubSub {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&self, shutdown: Shutdown) -> BoxFuture<'_, Result<()>> {
        let end = CloseOnDrop(&self.node);
        Box::pin(async move {
            let _end = end;
            let to_run = {
                let mut to_run = lock(&self.node.to_run);
                to_run.take()
            };
            let mut to_run = to_run
                .ok_or_else(|| error::internal("run", "it is running already, or was closed"))?;
            // Dropping it ends the workers.
            let mut workers = JoinSet::new();
            loop {
                tokio::select! {
                    biased;
                    () = shutdown.draining() => break,
                    Some(consumer) = to_run.recv() => drop(workers.spawn(worker::run(consumer))),
                    Some(ended) = workers.join_next() => whole(ended)?,
                }
            }
            self.node.phase.fetch_max(DRAINING, Ordering::AcqRel);
            self.node.closed.cancel();
            to_run.close();
            while let Some(consumer) = to_run.recv().await {
                workers.spawn(worker::run(consumer));
            }
            let consumers = self.node.take_consumers();
            for consumer in &consumers {
                consumer.leave();
            }
            loop {
                tokio::select! {
                    biased;
                    () = shutdown.forced() => break,
                    ended = workers.join_next() => match ended {
                        Some(ended) => whole(ended)?,
                        None => break,
                    },
                }
            }
            workers.shutdown().await;
            // Forced, acks that were taken may not have been sent.
            let flush = consumers.iter().map(|consumer| worker::send_acks(consumer));
            let _ = tokio::time::timeout(FORCED, join_all(flush)).await;
            self.node.phase.store(CLOSED, Ordering::Release);
            self.node.redis.close().await;
            Ok(())
        })
    }
}

/// A worker ends by itself; if it does so by a panic, that is the node's.
fn whole(ended: std::result::Result<(), tokio::task::JoinError>) -> Result<()> {
    match ended.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(()) | Err(Err(_)) => Ok(()),
        Err(Ok(panic)) => Err(Error::panicked(NAME, "worker", &*panic)),
    }
}

impl PubSub for RedisPubSub {
    fn publish<'a>(
        &'a self,
        topic: &'a Topic,
        message: NewMessage,
    ) -> BoxFuture<'a, Result<MessageId>> {
        // The future of a command is large, and this one is boxed for each publish: the usual way has nothing else in it.
        let known = match &self.committer {
            None if self.node.phase() != CLOSED && message.validate().is_ok() => {
                self.node.topics.known(topic)
            }
            _ => None,
        };
        let message = match known {
            None => message,
            Some(handle) => {
                let partition = handle.partition_of(&message);
                match handle.partitions[partition].plain(message) {
                    Err(message) => message,
                    Ok(fields) => {
                        return Box::pin(async move {
                            let partition = &handle.partitions[partition];
                            partition.append(&self.node.redis, fields).await
                        });
                    }
                }
            }
        };
        Box::pin(async move {
            if self.node.phase() == CLOSED {
                return Err(closed("publish", topic));
            }
            message.validate()?;
            let node = &self.node;
            let handle = node.topics.get(topic).await?;
            let partition = &handle.partitions[handle.partition_of(&message)];
            let committer = self.committer.as_deref();
            partition
                .publish(&node.redis, node.dedup_window, committer, message)
                .await
        })
    }

    fn subscribe<'a>(
        &'a self,
        topic: &'a Topic,
        channel: &'a Channel,
        options: SubscribeOptions,
    ) -> BoxFuture<'a, Result<Subscription>> {
        Box::pin(async move {
            options.validate()?;
            if self.node.phase() != OPEN {
                return Err(closed("subscribe", topic));
            }
            self.node.subscribe(topic, channel, options).await
        })
    }

    fn read<'a>(
        &'a self,
        topic: &'a Topic,
        start: Start,
    ) -> BoxFuture<'a, Result<BoxStream<'static, Result<Message>>>> {
        Box::pin(async move {
            if self.node.phase() != OPEN {
                return Err(closed("read", topic));
            }
            let handle = self.node.topics.get(topic).await?;
            let mut partitions = Vec::new();
            for partition in &handle.partitions {
                let (redis, names) = (self.node.redis.clone(), Arc::clone(&partition.names));
                let (block, closed) = (self.node.limits.block, self.node.closed.clone());
                let reading = Reading::start(redis, names, start.clone(), block, closed).await?;
                partitions.push(Box::pin(reading) as BoxStream<'static, _>);
            }
            Ok(match partitions.len() {
                1 => partitions.remove(0),
                _ => Box::pin(stream::select_all(partitions)) as _,
            })
        })
    }

    fn topics(&self) -> BoxFuture<'_, Result<Vec<Topic>>> {
        Box::pin(async move {
            if self.node.phase() == CLOSED {
                let text = "this node was closed";
                return Err(Error::new(ErrorKind::Closed, NAME, "topics", text));
            }
            self.node.topics.all().await
        })
    }

    fn inspect<'a>(&'a self, topic: &'a Topic) -> BoxFuture<'a, Result<TopicView>> {
        Box::pin(async move {
            if self.node.phase() == CLOSED {
                return Err(closed("inspect", topic));
            }
            let partitions = self.node.topics.partitions_of(topic).await?;
            view::inspect(&self.node.redis, topic, partitions).await
        })
    }
}

impl fmt::Debug for RedisPubSub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisPubSub")
            .field("redis", &self.node.redis)
            .field("limits", &self.node.limits)
            .field("committer", &self.committer)
            .finish_non_exhaustive()
    }
}
