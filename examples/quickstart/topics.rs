//! Messages: a broadcast that every node gets, and a topic whose work is shared.

use braid::{Consumer, Handle, MessageId, NewMessage, Result, SubscribeOptions};
use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What the consumers of one channel got: ids, and how often each consumer was called.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inbox(Arc<Mutex<Got>>);

#[derive(Debug, Default)]
struct Got {
    ids: HashSet<MessageId>,
    by_consumer: BTreeMap<String, u64>,
}

impl Inbox {
    /// Subscribes a node and counts what it gets. `work` is how long it takes over each message.
    pub(crate) async fn join(
        &self,
        node: &Handle,
        topic: &str,
        channel: &str,
        options: SubscribeOptions,
        work: Duration,
    ) -> Result<Consumer> {
        let inbox = self.clone();
        let consumer = node.node().id.to_string();
        let subscription = node.topic(topic).subscribe_with(channel, options).await?;
        Ok(subscription.arrived(move |message| {
            let mut got = inbox.0.lock().unwrap_or_else(PoisonError::into_inner);
            got.ids.insert(message.id);
            *got.by_consumer.entry(consumer.clone()).or_default() += 1;
            async move {
                tokio::time::sleep(work).await;
                Ok::<(), String>(())
            }
        }))
    }

    /// Of these messages, how many never came.
    pub(crate) fn missing(&self, published: &[MessageId]) -> u64 {
        let got = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        published.iter().filter(|id| !got.ids.contains(*id)).count() as u64
    }

    /// Deliveries by consumer.
    pub(crate) fn by_consumer(&self) -> BTreeMap<String, u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .by_consumer
            .clone()
    }

    /// All deliveries.
    pub(crate) fn deliveries(&self) -> u64 {
        self.by_consumer().values().sum()
    }

    /// Waits until all of these have come, but not for ever.
    pub(crate) async fn wait_for(&self, published: &[MessageId], within: Duration) {
        let deadline = Instant::now() + within;
        while self.missing(published) > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Publishes `count` numbered messages and returns their ids.
pub(crate) async fn publish(node: &Handle, topic: &str, count: u64) -> Result<Vec<MessageId>> {
    let topic = node.topic(topic);
    let mut ids = Vec::new();
    for number in 1..=count {
        ids.push(
            topic
                .publish(NewMessage::new(format!("message {number}")))
                .await?,
        );
    }
    Ok(ids)
}
