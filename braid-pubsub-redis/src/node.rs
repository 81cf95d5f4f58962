//! What the clones of a handle, its subscriptions and its `run` share.

use crate::{
    consumer::Consumer,
    error::{NAME, closed},
    limit::Limit,
    link::{Limits, Link},
    topics::Topics,
};
use braid_core::{Channel, Error, ErrorKind, Result, SubscribeOptions, Subscription, Topic};
use braid_redis::Redis;
use bytes::Bytes;
use futures_util::stream;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU8, Ordering},
    },
    task::Poll,
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long a close waits for the worker: longer than it takes with a server that is away.
const CLOSE: Duration = Duration::from_secs(15);

pub(crate) const OPEN: u8 = 0;
pub(crate) const DRAINING: u8 = 1;
pub(crate) const CLOSED: u8 = 2;

/// One node.
pub(crate) struct Node {
    pub(crate) redis: Redis,
    pub(crate) limits: Limits,
    pub(crate) dedup_window: Duration,
    pub(crate) topics: Topics,
    pub(crate) phase: AtomicU8,
    /// Ends with the node.
    pub(crate) closed: CancellationToken,
    pub(crate) consumers: Mutex<Vec<Weak<Consumer>>>,
    /// Workers to run, and where `run` finds them.
    pub(crate) workers: mpsc::UnboundedSender<Arc<Consumer>>,
    pub(crate) to_run: Mutex<Option<mpsc::UnboundedReceiver<Arc<Consumer>>>>,
    pub(crate) waitaof: std::result::Result<(), String>,
}

impl Node {
    pub(crate) fn phase(&self) -> u8 {
        self.phase.load(Ordering::Acquire)
    }

    /// The consumers that there are, of which nothing more is kept.
    pub(crate) fn take_consumers(&self) -> Vec<Arc<Consumer>> {
        let mut consumers = lock(&self.consumers);
        consumers
            .drain(..)
            .filter_map(|consumer| consumer.upgrade())
            .collect()
    }

    pub(crate) async fn subscribe(
        &self,
        topic: &Topic,
        channel: &Channel,
        options: SubscribeOptions,
    ) -> Result<Subscription> {
        let handle = self.topics.get(topic).await?;
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
                handle.count(),
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

/// However `run` ends, the node is closed then.
pub(crate) struct CloseOnDrop<'a>(pub(crate) &'a Node);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.phase.store(CLOSED, Ordering::Release);
        self.0.closed.cancel();
        for consumer in self.0.take_consumers() {
            consumer.ended();
        }
    }
}

/// The subscription's hold on its consumer: gone, the channel is left.
struct Deliveries(Arc<Consumer>);

impl Drop for Deliveries {
    fn drop(&mut self) {
        self.0.leave();
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
