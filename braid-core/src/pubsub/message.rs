//! What is published and what arrives.

use crate::MessageId;
use bytes::Bytes;
use std::{collections::BTreeMap, fmt, time::SystemTime};

/// Headers of a message: texts by name.
pub type Headers = BTreeMap<String, String>;

/// A message to publish.
///
/// ```
/// use braid_core::NewMessage;
///
/// let message = NewMessage::new("hello").with_header("lang", "en").with_key("room-7");
/// assert_eq!(message.body(), b"hello".as_slice());
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct NewMessage {
    body: Bytes,
    headers: Headers,
    key: Option<String>,
}

impl NewMessage {
    /// A message without headers and key.
    #[must_use]
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            ..Self::default()
        }
    }

    /// The same message with one more header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// The same message with a key: within a channel, messages of one key are handed out one at a time, in the order of
    /// their publishing; one that fails holds back those behind it until it is acked or dead-lettered.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// What is carried.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The key, where there is one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Body, headers and key, for a backend to store.
    #[must_use]
    pub fn into_parts(self) -> (Bytes, Headers, Option<String>) {
        (self.body, self.headers, self.key)
    }
}

/// Shows sizes and names, never a body: it may hold what isn't for logs.
impl fmt::Debug for NewMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewMessage")
            .field("body_len", &self.body.len())
            .field("headers", &self.headers.keys())
            .field("key", &self.key)
            .finish()
    }
}

impl<B: Into<Bytes>> From<B> for NewMessage {
    fn from(body: B) -> Self {
        Self::new(body)
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
        let (body, headers, key) = message.into_parts();
        Self {
            id,
            timestamp,
            body,
            headers,
            key,
            attempt: 1,
        }
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
