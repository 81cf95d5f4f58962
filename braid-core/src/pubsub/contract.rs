//! The trait that every pub-sub backend implements.

use super::{Delivery, Message, NewMessage, Start, SubscribeOptions, TopicView};
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
    /// then will be handed it at least once: at once, or when its [delay](NewMessage::with_delay) is over.
    ///
    /// A message whose [dedup key](NewMessage::with_dedup_key) the topic has seen within the backend's dedup window stores
    /// nothing, and gives the id of the first one. That holds over publishers and their restarts, for publishes that
    /// cross each other too, and at the cap.
    ///
    /// A message with the header [`ONLY_CHANNEL`](super::dead_letter::ONLY_CHANNEL) counts as acked on all other channels.
    ///
    /// # Errors
    /// `Config`: what [`NewMessage::validate`] says. `Rejected`: the topic is at its cap, nothing was stored. `Unavailable`: nothing was stored. `Timeout`,
    /// `Indeterminate`: it may have been stored; braid doesn't repeat it, since that could make a silent duplicate; with a dedup key the caller can.
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
    /// A backend may be configured to forget a shared channel that had no consumer for long: it no longer holds back the topic's
    /// retention. The next consumer of that channel is told by an `Err` item (`NotFound`) before anything else, and the channel goes
    /// on with what it had not read and the topic still holds; what it had pending may be lost.
    ///
    /// # Errors
    /// `Config`: an option is out of range. `Conflict`: the channel exists with another [`ChannelKind`](super::ChannelKind), or it is ephemeral
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

    /// The topic's messages from `start` on, for one reader who takes no part: nothing to ack, no channel.
    ///
    /// # Behavior
    /// Every message comes once, in the order of publishing, with attempt 1, whatever channels do with it; a delayed one when it is due.
    /// What is for [one channel only](super::dead_letter::ONLY_CHANNEL) is left out. When it returns `Ok` the place is taken:
    /// everything published from then on comes. The topic is created when it doesn't exist.
    ///
    /// A reader holds nothing back and leaves no trace: retention removes messages whether or not it has seen them. One that
    /// is slower misses them, which an `Err` item (`NotFound`) tells where the backend can tell; other `Err` items are
    /// faults that the stream survives. It ends when the backend closes.
    ///
    /// # Errors
    /// `Config`: [`Start::After`] a message that can't be one of the topic's. `Unavailable`, `Timeout`, `Closed`.
    ///
    /// # Cancel safety
    /// Cancel safe. So is the stream's `next()`.
    fn read<'a>(
        &'a self,
        topic: &'a Topic,
        start: Start,
    ) -> BoxFuture<'a, Result<BoxStream<'static, Result<Message>>>>;

    /// All topics that the backend knows, dead-letter topics included, by name.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, `Closed`.
    ///
    /// # Cancel safety
    /// Cancel safe.
    fn topics(&self) -> BoxFuture<'_, Result<Vec<Topic>>>;

    /// What a topic holds and how far its channels are, for people and dashboards.
    ///
    /// # Errors
    /// `NotFound`: no such topic. `Unavailable`, `Timeout`, `Closed`.
    ///
    /// # Cancel safety
    /// Cancel safe.
    fn inspect<'a>(&'a self, topic: &'a Topic) -> BoxFuture<'a, Result<TopicView>>;
}

/// One consumer's deliveries: a stream.
///
/// An `Err` item is a fault that the subscription survives (the server is away, a group was lost and made again, the channel had
/// been forgotten); it goes on
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
