//! The trait that every pub-sub backend implements.

use super::{ChannelKind, Delivery, NewMessage, SubscribeOptions};
use crate::{Channel, Component, MessageId, Result, Topic};
use futures_core::{Stream, future::BoxFuture, stream::BoxStream};
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

/// Topics and channels.
///
/// Topics are created by their first publish or subscribe.
pub trait PubSub: Component {
    /// Appends a message to a topic.
    ///
    /// # Behavior
    /// When it returns `Ok` the message is stored as durably as the backend was configured to, and every channel that exists
    /// then will be handed it at least once.
    ///
    /// # Errors
    /// `Rejected`: the topic is at its cap, nothing was stored. `Unavailable`: nothing was stored. `Timeout`,
    /// `Indeterminate`: it may have been stored; braid doesn't repeat it, since that could make a silent duplicate.
    /// `Closed`: the backend was closed.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether the message was stored.
    fn publish<'a>(
        &'a self,
        topic: &'a Topic,
        message: NewMessage,
    ) -> BoxFuture<'a, Result<MessageId>>;

    /// Joins a channel of a topic as one more consumer; creates topic and channel when they don't exist.
    ///
    /// # Behavior
    /// When it returns `Ok` the channel exists: everything published from then on reaches it.
    ///
    /// # Errors
    /// `Config`: an option is out of range. `Conflict`: the channel exists with another [`ChannelKind`], or it is ephemeral
    /// and belongs to another consumer. `Unavailable`, `Timeout`, `Closed`.
    ///
    /// # Cancel safety
    /// A dropped future may leave the channel behind, and strands no message beyond the claim time.
    fn subscribe<'a>(
        &'a self,
        topic: &'a Topic,
        channel: &'a Channel,
        options: SubscribeOptions,
    ) -> BoxFuture<'a, Result<Subscription>>;

    /// What a topic holds and how far its channels are, for people and dashboards.
    ///
    /// # Errors
    /// `NotFound`: no such topic. `Unavailable`, `Timeout`, `Closed`.
    ///
    /// # Cancel safety
    /// Cancel safe.
    fn inspect<'a>(&'a self, topic: &'a Topic) -> BoxFuture<'a, Result<TopicView>>;
}

/// The state of a topic at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicView {
    /// How many messages it holds, the acked ones that retention has not removed yet included.
    pub messages: usize,
    /// Its channels, by name.
    pub channels: Vec<ChannelView>,
}

/// The state of a channel at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelView {
    /// Its name.
    pub name: Channel,
    /// Whether it outlives its consumers.
    pub kind: ChannelKind,
    /// How many messages have never been handed out.
    pub lag: usize,
    /// How many were handed out (or wait for their next attempt) and aren't acked.
    pub pending: usize,
    /// How many consumers take part.
    pub consumers: usize,
}

impl ChannelView {
    /// A channel that has nothing to do.
    #[must_use]
    pub fn new(name: Channel, kind: ChannelKind) -> Self {
        Self {
            name,
            kind,
            lag: 0,
            pending: 0,
            consumers: 0,
        }
    }
}

/// One consumer's deliveries: a stream.
///
/// An `Err` item is a fault that the subscription survives (the server is away, a group was lost and made again); it goes on
/// with the next item. The stream ends when the backend closes. Dropping it returns what it has buffered to the channel, uncounted.
///
/// # Cancel safety
/// `next()` is cancel safe: a delivery is taken from the buffer only when it is returned.
#[must_use = "a subscription that is dropped leaves the channel"]
pub struct Subscription {
    stream: BoxStream<'static, Result<Delivery>>,
    close: Option<BoxFuture<'static, Result<()>>>,
}

impl Subscription {
    /// For backends: a stream, and what [`close`](Self::close) waits for after the stream was dropped. Dropping the stream
    /// alone must leave the channel too.
    pub fn new(
        stream: impl Stream<Item = Result<Delivery>> + Send + 'static,
        close: impl Future<Output = Result<()>> + Send + 'static,
    ) -> Self {
        Self {
            stream: Box::pin(stream),
            close: Some(Box::pin(close)),
        }
    }

    /// Leaves the channel, returns what is buffered to it, and waits until that is done. Deliveries already handed out can
    /// still be settled.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`: the server could not be told; it will find out by the claim time.
    ///
    /// # Cancel safety
    /// A dropped future leaves the channel all the same; nobody waits for it then.
    pub async fn close(mut self) -> Result<()> {
        let close = self.close.take();
        drop(self);
        match close {
            Some(close) => close.await,
            None => Ok(()),
        }
    }

    /// The next delivery; `None` when the backend has closed.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<Result<Delivery>> {
        std::future::poll_fn(|cx| self.stream.as_mut().poll_next(cx)).await
    }
}

impl Stream for Subscription {
    type Item = Result<Delivery>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.stream.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}
