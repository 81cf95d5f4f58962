//! What is published and what arrives.

use super::dead_letter;
use crate::{Channel, Error, ErrorKind, MessageId, Result};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, SystemTime},
};

/// Headers of a message: texts by name.
pub type Headers = BTreeMap<String, String>;

/// A message to publish.
///
/// ```
/// use braid_core::NewMessage;
/// use std::time::Duration;
///
/// let message = NewMessage::new("hello").with_header("lang", "en").with_key("room-7");
/// assert_eq!(message.body(), b"hello".as_slice());
/// // A reminder in an hour; published twice by mistake, it comes once.
/// let reminder = NewMessage::new("it is time")
///     .with_delay(Duration::from_secs(3600))
///     .with_dedup_key("reminder-7");
/// assert!(reminder.validate().is_ok());
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct NewMessage {
    parts: NewMessageParts,
}

/// What a [`NewMessage`] consists of, for a backend to store.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewMessageParts {
    /// What is carried.
    pub body: Bytes,
    /// Its headers.
    pub headers: Headers,
    /// Its key, where it has one.
    pub key: Option<String>,
    /// By what the backend knows it from one that was published already, where it is to.
    pub dedup_key: Option<String>,
    /// How long after its publishing it is handed out at the earliest; `None`: at once. Never zero.
    pub delay: Option<Duration>,
}

impl NewMessage {
    /// The longest legal dedup key, in bytes of UTF-8.
    pub const MAX_DEDUP_KEY_LEN: usize = 1024;
    /// The longest legal delay: 365 days.
    pub const MAX_DELAY: Duration = Duration::from_secs(365 * 24 * 60 * 60);

    /// A message without headers and key, due at once.
    #[must_use]
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self {
            parts: NewMessageParts {
                body: body.into(),
                ..NewMessageParts::default()
            },
        }
    }

    /// The same message with one more header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parts.headers.insert(name.into(), value.into());
        self
    }

    /// The same message with a key: within a channel, messages of one key are handed out one at a time, in the order of
    /// their publishing; one that fails holds back those behind it until it is acked or dead-lettered.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.parts.key = Some(key.into());
        self
    }

    /// The same message, held back: no channel hands it out before `delay` has passed since its publishing. Zero is no delay.
    ///
    /// Until then it waits like one between two attempts: it holds its place in the topic, is counted by the cap, and its first
    /// hand-out is attempt 1. Messages of a key keep the order of their publishing, so a delayed one holds back those behind it.
    /// It may come late by as much as the backend looks for what is due.
    #[must_use]
    pub fn with_delay(mut self, delay: Duration) -> Self {
        self.parts.delay = (!delay.is_zero()).then_some(delay);
        self
    }

    /// The same message with a dedup key: while the backend remembers a message of this topic that had the same one (its dedup
    /// window, a matter of configuration), publishing this one stores nothing and gives that one's id.
    ///
    /// What is compared is the key alone, never the body. So a publish that failed with `Timeout` or `Indeterminate` can be made
    /// again with the same key: within the window it makes no duplicate. Keys count within their topic.
    #[must_use]
    pub fn with_dedup_key(mut self, key: impl Into<String>) -> Self {
        self.parts.dedup_key = Some(key.into());
        self
    }

    /// What is carried.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.parts.body
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.parts.headers
    }

    /// The key, where there is one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.parts.key.as_deref()
    }

    /// The dedup key, where there is one.
    #[must_use]
    pub fn dedup_key(&self) -> Option<&str> {
        self.parts.dedup_key.as_deref()
    }

    /// How long it is held back, where it is. Never zero.
    #[must_use]
    pub fn delay(&self) -> Option<Duration> {
        self.parts.delay
    }

    /// Checks dedup key and delay. Every backend calls it before it stores anything.
    ///
    /// # Errors
    /// `Config`: the dedup key is empty or longer than [`MAX_DEDUP_KEY_LEN`](Self::MAX_DEDUP_KEY_LEN), or the delay is above
    /// [`MAX_DELAY`](Self::MAX_DELAY).
    pub fn validate(&self) -> Result<()> {
        let fault = match (&self.parts.dedup_key, self.parts.delay) {
            (Some(key), _) if key.is_empty() => "dedup key: empty".to_owned(),
            (Some(key), _) if key.len() > Self::MAX_DEDUP_KEY_LEN => {
                let limit = Self::MAX_DEDUP_KEY_LEN;
                format!("dedup key: {} bytes, the limit is {limit}", key.len())
            }
            (_, Some(delay)) if delay > Self::MAX_DELAY => {
                format!("delay: {delay:?}, the limit is {:?}", Self::MAX_DELAY)
            }
            _ => return Ok(()),
        };
        Err(Error::new(ErrorKind::Config, "core", "message", fault))
    }

    /// What it consists of, for a backend to store.
    #[must_use]
    pub fn into_parts(self) -> NewMessageParts {
        self.parts
    }
}

/// Shows sizes and names, never a body: it may hold what isn't for logs.
impl fmt::Debug for NewMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.show("NewMessage", f)
    }
}

/// As that of [`NewMessage`].
impl fmt::Debug for NewMessageParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show("NewMessageParts", f)
    }
}

impl NewMessageParts {
    fn show(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("body_len", &self.body.len())
            .field("headers", &self.headers.keys())
            .field("key", &self.key)
            .field("dedup_key", &self.dedup_key)
            .field("delay", &self.delay)
            .finish()
    }
}

impl<B: Into<Bytes>> From<B> for NewMessage {
    fn from(body: B) -> Self {
        Self::new(body)
    }
}

impl NewMessageParts {
    /// Body, headers and key of a message that there was, to be published anew.
    pub(super) fn again(message: &Message) -> Self {
        Self {
            body: message.body.clone(),
            headers: message.headers.clone(),
            key: message.key.clone(),
            ..Self::default()
        }
    }

    pub(super) fn into_message(self) -> NewMessage {
        NewMessage { parts: self }
    }
}

/// A message as it arrives.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Its id within the topic.
    pub id: MessageId,
    /// When it was published, by the clock of whoever stored it.
    pub timestamp: SystemTime,
    /// What it carries.
    pub body: Bytes,
    /// Its headers.
    pub headers: Headers,
    /// Its key, where it has one.
    pub key: Option<String>,
    /// How often it has been handed out on this channel, this time included: 1 the first time. Counted over restarts.
    pub attempt: u32,
}

impl Message {
    /// A message in its first attempt.
    #[must_use]
    pub fn new(id: MessageId, timestamp: SystemTime, message: NewMessage) -> Self {
        let NewMessageParts {
            body, headers, key, ..
        } = message.into_parts();
        Self {
            id,
            timestamp,
            body,
            headers,
            key,
            attempt: 1,
        }
    }

    /// Whether `channel` is to handle it: false when it is for another channel only
    /// ([`ONLY_CHANNEL`](dead_letter::ONLY_CHANNEL)).
    #[must_use]
    pub fn is_for(&self, channel: &Channel) -> bool {
        let only = self.headers.get(dead_letter::ONLY_CHANNEL);
        only.is_none_or(|only| only == channel.as_str())
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("timestamp", &self.timestamp)
            .field("body_len", &self.body.len())
            .field("headers", &self.headers.keys())
            .field("key", &self.key)
            .field("attempt", &self.attempt)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_messages_are_refused_by_name() {
        let message = || NewMessage::new("x");
        let longest = "k".repeat(NewMessage::MAX_DEDUP_KEY_LEN);
        let good = message()
            .with_dedup_key(longest.clone())
            .with_delay(NewMessage::MAX_DELAY);
        assert!(good.validate().is_ok());
        let above = NewMessage::MAX_DELAY + Duration::from_nanos(1);
        for (message, fault) in [
            (message().with_dedup_key(""), "dedup key: empty"),
            (message().with_dedup_key(longest + "k"), "dedup key: 1025"),
            (message().with_delay(above), "delay"),
        ] {
            let error = message.validate().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(fault), "{error}");
        }
    }

    #[test]
    fn no_delay_and_a_delay_of_zero_are_the_same() {
        assert_eq!(
            NewMessage::new("x").with_delay(Duration::ZERO).delay(),
            None
        );
    }
}
