//! What the tests of several components use.

use crate::{Hub, HubConfig, LocalPubSub};
use braid_core::{
    Channel, Node, NodeRef, PubSub, ServiceName, SubscribeOptions, Subscription, Uid,
    reserved::Body,
};
use braid_testkit::TestClock;
use std::{sync::Arc, time::Duration};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A hub on a clock that goes with tokio's time and can jump.
pub(crate) fn hub() -> (Hub, Arc<TestClock>) {
    let clock = Arc::new(TestClock::new());
    let config = HubConfig {
        clock: clock.clone(),
        ..HubConfig::default()
    };
    (Hub::with_config(config).unwrap(), clock)
}

pub(crate) fn service(name: &str) -> ServiceName {
    ServiceName::new(name).unwrap()
}

/// A node in the life with this uid.
pub(crate) fn life(id: &str, uid: &str) -> NodeRef {
    NodeRef::new(id.try_into().unwrap(), Uid::new(uid).unwrap())
}

pub(crate) fn node(service_name: &str, id: &str) -> Node {
    let address = "127.0.0.1:14222".parse().unwrap();
    Node::new(service(service_name), life(id, "1"), address)
}

/// Listens to a reserved topic.
pub(crate) struct Events {
    subscription: Subscription,
    _node: LocalPubSub,
}

impl Events {
    pub(crate) async fn of<B: Body>(hub: &Hub) -> Self {
        let node = hub.pubsub();
        let channel = Channel::new("test").unwrap();
        let subscription = node
            .subscribe(&B::topic(), &channel, SubscribeOptions::ephemeral())
            .await
            .unwrap();
        Self {
            subscription,
            _node: node,
        }
    }

    /// The next one, which comes within five seconds.
    pub(crate) async fn next<B: Body>(&mut self) -> B {
        let next = braid_testkit::within("an event", 5 * SECOND, self.subscription.next()).await;
        let delivery = next.unwrap().unwrap();
        let body = B::decode(delivery.body()).unwrap();
        delivery.ack().await.unwrap();
        body
    }

    /// Nothing more comes within five seconds.
    pub(crate) async fn none(&mut self) {
        let next = tokio::time::timeout(5 * SECOND, self.subscription.next()).await;
        assert!(next.is_err(), "one more event: {next:?}");
    }
}
