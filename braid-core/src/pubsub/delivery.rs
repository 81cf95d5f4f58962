//! A message in a consumer's hands.

use crate::{Error, ErrorKind, Message, Result};
use bytes::Bytes;
use futures_core::future::BoxFuture;
use std::{fmt, time::Duration};

/// A message that a consumer holds until it settles it.
///
/// Exactly one of [`ack`](Self::ack), [`retry`](Self::retry) and [`dead_letter`](Self::dead_letter) settles it. Dropped
/// unsettled (a cancelled handler, a forgotten ack) it goes back to the channel at once and is handed out again; that counts
/// as a failed attempt.
pub struct Delivery {
    message: Message,
    /// None once settled.
    handle: Option<Box<dyn Acknowledge>>,
}

/// Whether a delivery still belonged to the consumer that settled it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Ownership {
    /// It did, and what was asked for was done.
    Held,
    /// It had been claimed by another consumer (or settled) meanwhile; nothing was changed.
    Lost,
}

/// How a [`Delivery`] reaches its backend. Implemented by backends; applications use [`Delivery`].
///
/// Dropping it unsettled returns the message to its channel.
pub trait Acknowledge: Send + Sync + fmt::Debug {
    /// The message is done with on this channel, whoever holds it now: it says truly that the message was handled.
    fn ack(self: Box<Self>) -> BoxFuture<'static, Result<()>>;

    /// The attempt failed: hand the message out again after `after` (`None`: the subscription's backoff), or dead-letter
    /// it when its attempts are used up. Changes nothing when the delivery is no longer held.
    fn retry(
        self: Box<Self>,
        reason: String,
        after: Option<Duration>,
    ) -> BoxFuture<'static, Result<Ownership>>;

    /// Sends the message to the dead letters now. Changes nothing when the delivery is no longer held.
    fn dead_letter(self: Box<Self>, reason: String) -> BoxFuture<'static, Result<Ownership>>;

    /// Starts the claim time anew. Takes nothing back that was lost.
    fn heartbeat(&self) -> BoxFuture<'_, Result<Ownership>>;
}

impl Delivery {
    /// For backends: a message and the way back.
    #[must_use]
    pub fn new(message: Message, handle: Box<dyn Acknowledge>) -> Self {
        Self {
            message,
            handle: Some(handle),
        }
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The message's body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.message.body
    }

    /// The message is handled: it isn't handed out again on this channel.
    ///
    /// # Behavior
    /// Counts even when the delivery was claimed by another consumer meanwhile. When it returns `Ok` the ack was taken; a
    /// backend that batches acks may send it a little later, and a crash in between means one more delivery.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, `Indeterminate`: the message may be handed out again. `Closed`: the backend was closed.
    ///
    /// # Cancel safety
    /// Dropping the future may lose the ack; the message is then handed out again.
    pub async fn ack(mut self) -> Result<()> {
        self.take()?.ack().await
    }

    /// The attempt failed for `reason`: handed out again after the subscription's backoff, or dead-lettered with that
    /// reason when the attempts are used up.
    ///
    /// # Errors
    /// As [`ack`](Self::ack).
    ///
    /// # Cancel safety
    /// As [`ack`](Self::ack).
    pub async fn retry(mut self, reason: impl Into<String>) -> Result<Ownership> {
        self.take()?.retry(reason.into(), None).await
    }

    /// Like [`retry`](Self::retry), with a wait of its own instead of the backoff.
    ///
    /// # Errors
    /// As [`ack`](Self::ack).
    ///
    /// # Cancel safety
    /// As [`ack`](Self::ack).
    pub async fn retry_after(
        mut self,
        reason: impl Into<String>,
        after: Duration,
    ) -> Result<Ownership> {
        self.take()?.retry(reason.into(), Some(after)).await
    }

    /// Goes to the dead letters now, whatever attempts are left.
    ///
    /// # Errors
    /// As [`ack`](Self::ack).
    ///
    /// # Cancel safety
    /// As [`ack`](Self::ack).
    pub async fn dead_letter(mut self, reason: impl Into<String>) -> Result<Ownership> {
        self.take()?.dead_letter(reason.into()).await
    }

    /// Starts the claim time anew, and tells whether the delivery is still held. Needed only by subscriptions without
    /// [`heartbeat`](crate::SubscribeOptions::heartbeat).
    ///
    /// # Errors
    /// As [`ack`](Self::ack).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn heartbeat(&self) -> Result<Ownership> {
        match &self.handle {
            Some(handle) => handle.heartbeat().await,
            None => Ok(Ownership::Lost),
        }
    }

    fn take(&mut self) -> Result<Box<dyn Acknowledge>> {
        self.handle.take().ok_or_else(|| {
            let text = format!("message {} is settled already", self.message.id);
            Error::new(ErrorKind::Internal, "core", "settle", text)
        })
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}
