//! A node's topics on Redis.

use crate::{
    config::{Durability, PubSubConfig},
    consumer::Consumer,
    durable::Committer,
    error::{self, NAME, closed},
    limit::Limit,
    link::{Limits, Link},
    read::Reading,
    reply,
    topic::TopicHandle,
    view, worker,
};
use braid_core::{
    BoxFuture, BoxStream, Channel, Component, Error, ErrorKind, Message, MessageId, NewMessage,
    PubSub, Result, Shutdown, Start, SubscribeOptions, Subscription, Topic, pubsub::TopicView,
};
use braid_redis::{Redis, Value, during};
use bytes::Bytes;
use foldhash::HashMap;
use futures_util::{future::join_all, stream};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError, RwLock, Weak,
        atomic::{AtomicU8, Ordering},
    },
    task::Poll,
    time::Duration,
};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A hash with the names of all topics that were ever used, and their numbers of partitions.
const TOPICS: &[u8] = b"braid:topics";
/// How many topics a node remembers the keys of.
const MOST_REMEMBERED: usize = 4096;

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

struct Node {
    redis: Redis,
    limits: Limits,
    dedup_window: Duration,
    partitions: BTreeMap<Topic, u16>,
    topics: RwLock<HashMap<Topic, Arc<TopicHandle>>>,
    phase: AtomicU8,
    /// Ends with the node.
    closed: CancellationToken,
    consumers: Mutex<Vec<Weak<Consumer>>>,
    /// Workers to run, and where `run` finds them.
    workers: mpsc::UnboundedSender<Arc<Consumer>>,
    to_run: Mutex<Option<mpsc::UnboundedReceiver<Arc<Consumer>>>>,
    waitaof: std::result::Result<(), String>,
}

/// How long a forced end may take to send what was acked.
const FORCED: Duration = Duration::from_millis(250);

/// How long a close waits for the worker: longer than it takes with a server that is away.
const CLOSE: Duration = Duration::from_secs(15);

const OPEN: u8 = 0;
const DRAINING: u8 = 1;
const CLOSED: u8 = 2;

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
        let node = Node {
            limits: Limits {
                capacity: config.capacity,
                block: config.block,
                ephemeral_after: config.ephemeral_after,
                forget_after: config.forget_after,
                retention_interval: config.retention_interval,
            },
            redis,
            dedup_window: config.dedup_window,
            partitions: config.partitions,
            topics: RwLock::default(),
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
            let consumers: Vec<_> = lock(&self.node.consumers)
                .drain(..)
                .filter_map(|consumer| consumer.upgrade())
                .collect();
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

/// However `run` ends, the node is closed then.
struct CloseOnDrop<'a>(&'a Node);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.phase.store(CLOSED, Ordering::Release);
        self.0.closed.cancel();
        for consumer in lock(&self.0.consumers)
            .drain(..)
            .filter_map(|consumer| consumer.upgrade())
        {
            consumer.ended();
        }
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
                self.node.known(topic)
            }
            _ => None,
        };
        let message = match known {
            None => message,
            Some(handle) => {
                let partition = handle.partition_of(&message);
                match handle.partitions[partition].plain(message) {
                    Err(message) => message,
                    Ok(args) => {
                        return Box::pin(async move {
                            let partition = &handle.partitions[partition];
                            let frame = self
                                .node
                                .redis
                                .command("XADD", partition.names.slot, args)
                                .await;
                            partition.stored(frame)
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
            let handle = node.topic(topic).await?;
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
            let handle = self.node.topic(topic).await?;
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
            self.node.all_topics().await
        })
    }

    fn inspect<'a>(&'a self, topic: &'a Topic) -> BoxFuture<'a, Result<TopicView>> {
        Box::pin(async move {
            if self.node.phase() == CLOSED {
                return Err(closed("inspect", topic));
            }
            let partitions = self.node.partitions_of(topic).await?;
            view::inspect(&self.node.redis, topic, partitions).await
        })
    }
}

impl Node {
    fn phase(&self) -> u8 {
        self.phase.load(Ordering::Acquire)
    }

    fn known(&self, topic: &Topic) -> Option<Arc<TopicHandle>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.get(topic).cloned()
    }

    /// A topic's keys. The first use enters it into the list of topics, with its number of partitions.
    async fn topic(&self, topic: &Topic) -> Result<Arc<TopicHandle>> {
        if let Some(known) = self.known(topic) {
            return Ok(known);
        }
        let wanted = self.configured(topic);
        let args = vec![
            Value::Bytes(Bytes::from_static(TOPICS)),
            Value::String(topic.as_str().into()),
            Value::Integer(i64::from(wanted)),
        ];
        let slot = braid_redis::keys::slot(TOPICS);
        let entered = self.redis.command("HSETNX", slot, args).await;
        let entered = entered
            .map_err(|error| during(NAME, "topic", format_args!("topic `{topic}`"), error))?;
        if reply::as_int(&entered) != Some(1) && !topic.is_dead_letters() {
            let present = self.partitions_of(topic).await?;
            if present != wanted {
                let text = format!(
                    "partitions: topic `{topic}` has {present}, and this node is configured with {wanted}"
                );
                return Err(error::config(text));
            }
        }
        let handle = Arc::new(TopicHandle::new(topic, wanted, self.limits));
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        if topics.len() >= MOST_REMEMBERED {
            // They are found again; what counts is that the memory is bounded.
            topics.clear();
        }
        Ok(Arc::clone(topics.entry(topic.clone()).or_insert(handle)))
    }

    /// How many partitions this node was told of.
    fn configured(&self, topic: &Topic) -> u16 {
        let topic = base(topic);
        self.partitions
            .iter()
            .find(|(of, _)| of.as_str() == topic)
            .map_or(1, |(_, number)| *number)
    }

    /// How many partitions a topic has; those it is configured with, where it isn't listed.
    async fn partitions_of(&self, topic: &Topic) -> Result<u16> {
        let args = vec![
            Value::Bytes(Bytes::from_static(TOPICS)),
            Value::String(base(topic).into()),
        ];
        let slot = braid_redis::keys::slot(TOPICS);
        let listed = self.redis.command("HGET", slot, args).await;
        let listed = listed
            .map_err(|error| during(NAME, "topic", format_args!("topic `{topic}`"), error))?;
        let listed = reply::as_int(&listed).and_then(|number| u16::try_from(number).ok());
        Ok(listed
            .filter(|number| *number > 0)
            .unwrap_or_else(|| self.configured(topic)))
    }

    async fn all_topics(&self) -> Result<Vec<Topic>> {
        let args = vec![Value::Bytes(Bytes::from_static(TOPICS))];
        let slot = braid_redis::keys::slot(TOPICS);
        let frame = self.redis.command("HGETALL", slot, args).await?;
        let listed = reply::as_pairs(&frame).unwrap_or_default().into_iter();
        let listed = listed.filter_map(|(topic, partitions)| {
            let partitions =
                reply::as_int(partitions).and_then(|number| u16::try_from(number).ok());
            Some((
                Topic::new(reply::as_text(topic)?).ok()?,
                partitions.unwrap_or(1),
            ))
        });
        view::topics(&self.redis, listed.collect()).await
    }

    async fn subscribe(
        &self,
        topic: &Topic,
        channel: &Channel,
        options: SubscribeOptions,
    ) -> Result<Subscription> {
        let handle = self.topic(topic).await?;
        let limit = Arc::new(Limit::new(options.max_in_flight));
        let name = Bytes::from(Uuid::new_v4().to_string());
        let options = SubscribeOptions {
            max_in_flight: options.max_in_flight.div_ceil(handle.partitions.len()),
            ..options
        };
        // Dropping one leaves the channel; dropped in the middle, the name is collected.
        let mut joined = Vec::new();
        for partition in &handle.partitions {
            let link = Link::new(
                self.redis.clone(),
                Arc::clone(&partition.names),
                channel,
                options.clone(),
                partition.limits,
                name.clone(),
            );
            joined.push(Deliveries(self.join(link, &limit).await?));
        }
        let left: Vec<_> = joined.iter().map(|joined| Arc::clone(&joined.0)).collect();
        let close = async move {
            for consumer in left {
                if tokio::time::timeout(CLOSE, consumer.left.cancelled())
                    .await
                    .is_err()
                {
                    let link = &consumer.link;
                    let text = format!(
                        "channel `{}` of topic `{}` was not left within {CLOSE:?}; is the component's `run` going on?",
                        link.channel(),
                        link.topic()
                    );
                    return Err(Error::new(ErrorKind::Timeout, NAME, "close", text));
                }
                consumer.leave_error().map_or(Ok(()), Err)?;
            }
            Ok(())
        };
        let mut first = 0;
        let deliveries = stream::poll_fn(move |cx| {
            let mut ended = 0;
            // In turn, so that one that always has something doesn't keep the others waiting.
            first = (first + 1) % joined.len();
            for at in 0..joined.len() {
                match joined[(first + at) % joined.len()].0.poll(cx) {
                    Poll::Ready(Some(item)) => return Poll::Ready(Some(item)),
                    Poll::Ready(None) => ended += 1,
                    Poll::Pending => {}
                }
            }
            if ended == joined.len() {
                Poll::Ready(None)
            } else {
                Poll::Pending
            }
        });
        Ok(Subscription::new(deliveries, close))
    }

    /// Joins the channel in one partition, and lets its worker run.
    async fn join(&self, link: Link, limit: &Arc<Limit>) -> Result<Arc<Consumer>> {
        let (topic, channel) = (link.topic().clone(), link.channel().clone());
        let consumer = Arc::new(Consumer::new(link, Arc::clone(limit)));
        let joined = consumer.link.join(false).await?;
        if joined.has_keys {
            consumer.set_has_keys();
        }
        if joined.forgotten {
            let text = format!(
                "channel `{channel}` of topic `{topic}` had no consumer for so long that its topic was no longer held back for it; messages may be lost"
            );
            consumer.tell(Error::new(ErrorKind::NotFound, NAME, "subscribe", text));
        }
        {
            let mut consumers = lock(&self.consumers);
            consumers.retain(|consumer| consumer.strong_count() > 0);
            consumers.push(Arc::downgrade(&consumer));
        }
        // After it was entered above, so that the node's end misses none.
        if self.phase() != OPEN || self.workers.send(Arc::clone(&consumer)).is_err() {
            consumer.ended();
            return Err(closed("subscribe", &topic));
        }
        Ok(consumer)
    }
}

/// Dead letters have as many partitions as their topic.
fn base(topic: &Topic) -> &str {
    let name = topic.as_str();
    name.strip_suffix(".dead-letters").unwrap_or(name)
}

/// The subscription's hold on its consumer: gone, the channel is left.
struct Deliveries(Arc<Consumer>);

impl Drop for Deliveries {
    fn drop(&mut self) {
        self.0.leave();
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

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
