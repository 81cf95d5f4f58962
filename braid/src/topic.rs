//! A topic by its name: publish, subscribe, read, look, redrive.

use braid_core::{
    BoxStream, Channel, Error, Message, MessageId, NewMessage, PubSub, PubSubExt, Result, Start,
    SubscribeOptions, Subscription, Topic, pubsub::TopicView,
};
use std::sync::Arc;

/// A topic, reached through [`Handle::topic`](crate::Handle::topic). Cheap to make and to clone; making one contacts nobody.
#[derive(Clone, Debug)]
pub struct TopicHandle {
    pubsub: Arc<dyn PubSub>,
    /// A name that is no topic is told of by the first use, so that `braid.topic("...").publish(...)` needs one `?`.
    topic: std::result::Result<Topic, Fault>,
}

/// Why a name is no topic, in a form that can be told more than once.
#[derive(Clone, Debug)]
struct Fault(braid_core::ErrorKind, String);

impl TopicHandle {
    pub(crate) fn new(pubsub: Arc<dyn PubSub>, topic: Result<Topic>) -> Self {
        let topic = topic.map_err(|error| Fault(error.kind(), error.message().to_owned()));
        Self { pubsub, topic }
    }

    /// Publishes a message: bytes, a text, or a [`NewMessage`] with headers, a key, a delay or a dedup key.
    ///
    /// # Errors
    /// As [`PubSub::publish`]; `Config` when the name is no topic.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether the message was stored.
    pub async fn publish(&self, message: impl Into<NewMessage>) -> Result<MessageId> {
        self.pubsub.publish(self.topic()?, message.into()).await
    }

    /// Joins a shared channel: all its consumers, on whatever node, share the messages published from now on.
    ///
    /// # Errors
    /// As [`PubSub::subscribe`]; `Config` when topic or channel is no name.
    ///
    /// # Cancel safety
    /// As [`PubSub::subscribe`].
    pub async fn subscribe<C>(&self, channel: C) -> Result<Subscription>
    where
        C: TryInto<Channel>,
        Error: From<C::Error>,
    {
        self.subscribe_with(channel, SubscribeOptions::shared())
            .await
    }

    /// Joins a channel with options: ephemeral, from the beginning, one message at a time, ...
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    ///
    /// # Cancel safety
    /// As [`subscribe`](Self::subscribe).
    pub async fn subscribe_with<C>(
        &self,
        channel: C,
        options: SubscribeOptions,
    ) -> Result<Subscription>
    where
        C: TryInto<Channel>,
        Error: From<C::Error>,
    {
        let channel = channel.try_into()?;
        self.pubsub
            .subscribe(self.topic()?, &channel, options)
            .await
    }

    /// The topic's messages from `start` on, without taking part: nothing to ack, and nothing of it is left behind.
    ///
    /// # Errors
    /// As [`PubSub::read`]; `Config` when the name is no topic.
    ///
    /// # Cancel safety
    /// As [`PubSub::read`].
    pub async fn read(&self, start: Start) -> Result<BoxStream<'static, Result<Message>>> {
        self.pubsub.read(self.topic()?, start).await
    }

    /// What the topic holds and how far its channels are.
    ///
    /// # Errors
    /// As [`PubSub::inspect`]; `Config` when the name is no topic.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn inspect(&self) -> Result<TopicView> {
        self.pubsub.inspect(self.topic()?).await
    }

    /// Publishes the topic's dead letters again, each for the channel alone that gave up on it; returns how many.
    ///
    /// # Errors
    /// As [`PubSubExt::redrive`]; `Config` when the name is no topic.
    ///
    /// # Cancel safety
    /// As [`PubSubExt::redrive`].
    pub async fn redrive(&self, limit: Option<usize>) -> Result<usize> {
        self.pubsub.redrive(self.topic()?, limit).await
    }

    fn topic(&self) -> Result<&Topic> {
        self.topic
            .as_ref()
            .map_err(|Fault(kind, text)| Error::new(*kind, "core", "topic", text))
    }
}
