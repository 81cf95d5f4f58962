//! What the tests of the handles share: nodes on a broker, and short ways to use them.

use crate::pubsub::{Broker, LocalPubSub, PubSubConfig};
use braid_core::{
    Channel, Clock, Delivery, PubSub, SubscribeOptions, Subscription, Topic, pubsub::TopicView,
};
use braid_testkit::TestClock;
use std::{sync::Arc, time::Duration};

/// Beyond this a test waits for something that doesn't come. Real time in the tests on several threads, else paused.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

pub(super) struct Fleet {
    pub(super) broker: Arc<Broker>,
    pub(super) clock: Arc<TestClock>,
}

impl Fleet {
    pub(super) fn new() -> Self {
        Self::with(PubSubConfig::default())
    }

    pub(super) fn with(config: PubSubConfig) -> Self {
        let clock = Arc::new(TestClock::new());
        let broker = Broker::new(config, Arc::clone(&clock) as Arc<dyn Clock>);
        Self { broker, clock }
    }

    pub(super) fn node(&self) -> LocalPubSub {
        LocalPubSub::new(Arc::clone(&self.broker))
    }

    pub(super) fn publish(&self, body: &str) {
        let message = body.to_owned();
        self.broker.append(&topic(), message.into()).unwrap();
    }

    pub(super) fn view(&self) -> TopicView {
        self.broker.inspect(&topic()).unwrap()
    }
}

pub(super) fn topic() -> Topic {
    Topic::new("chat.world").unwrap()
}

pub(super) fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap()
}

pub(super) fn shared() -> SubscribeOptions {
    SubscribeOptions::shared()
}

/// One at a time, claimed after 10 s.
pub(super) fn claimable() -> SubscribeOptions {
    SubscribeOptions {
        max_in_flight: 1,
        heartbeat: false,
        claim_after: Duration::from_secs(10),
        ..SubscribeOptions::shared()
    }
}

pub(super) async fn join(
    node: &LocalPubSub,
    name: &str,
    options: SubscribeOptions,
) -> Subscription {
    let joined = node.subscribe(&topic(), &channel(name), options).await;
    joined.unwrap()
}

/// The next delivery, which has to come.
pub(super) async fn next(subscription: &mut Subscription) -> Delivery {
    let next = tokio::time::timeout(DEADLINE, subscription.next()).await;
    next.expect("nothing arrives").expect("ended").unwrap()
}

/// Whether the stream has nothing for `wait`.
pub(super) async fn is_quiet(subscription: &mut Subscription, wait: Duration) -> bool {
    tokio::time::timeout(wait, subscription.next())
        .await
        .is_err()
}

pub(super) fn text(delivery: &Delivery) -> String {
    String::from_utf8(delivery.body().to_vec()).unwrap()
}
