//! Listening to the reserved topics.

use crate::{SETTLED, fresh, within};
use braid_core::{PubSub, SubscribeOptions, Subscription, reserved::Body};
use std::{fmt::Debug, marker::PhantomData, time::Duration};

/// Reads and acks what is published to one reserved topic.
pub(crate) struct Listener<B> {
    subscription: Subscription,
    body: PhantomData<B>,
}

impl<B: Body + Debug> Listener<B> {
    pub(crate) async fn new(pubsub: &dyn PubSub) -> Self {
        let (topic, channel) = (B::topic(), fresh::channel("listener"));
        let subscribing = pubsub.subscribe(&topic, &channel, SubscribeOptions::ephemeral());
        let subscription =
            within("the subscription to a reserved topic", SETTLED, subscribing).await;
        Self {
            subscription: subscription.unwrap_or_else(|error| panic!("`{topic}`: {error}")),
            body: PhantomData,
        }
    }

    pub(crate) async fn next(&mut self) -> B {
        let what = format!("an event on `{}`", B::TOPIC);
        within(&what, SETTLED, self.whenever()).await
    }

    /// The next event, however long it takes.
    pub(crate) async fn whenever(&mut self) -> B {
        let delivery = self
            .subscription
            .next()
            .await
            .expect("the process's pub-sub goes on");
        let delivery = delivery.unwrap_or_else(|error| panic!("`{}`: {error}", B::TOPIC));
        let body = B::decode(delivery.body()).unwrap_or_else(|error| panic!("{error}"));
        delivery
            .ack()
            .await
            .unwrap_or_else(|error| panic!("ack: {error}"));
        body
    }

    /// Shows that nothing is published for this long.
    pub(crate) async fn silent(&mut self, duration: Duration) {
        if let Ok(told) = tokio::time::timeout(duration, self.whenever()).await {
            panic!("nothing has changed, but `{}` told {told:?}", B::TOPIC);
        }
    }
}
