//! Publish and subscribe: topics, channels, deliveries.
//!
//! A **topic** is a stream of messages. A **channel** is a named group of consumers on it: every channel gets every
//! message, the consumers of one channel share them. Delivery is **at least once**: a message is handed out again until a
//! consumer of the channel acks it or its attempts are used up, whereupon it goes to the topic's dead letters.

mod consumer;
mod contract;
mod delivery;
mod message;
mod options;

pub use self::{
    consumer::Consumer,
    contract::{ChannelView, PubSub, Subscription, TopicView},
    delivery::{Acknowledge, Delivery, Ownership},
    message::{Headers, Message, NewMessage},
    options::{Backoff, ChannelKind, Start, SubscribeOptions},
};

/// Headers that a dead letter carries beside those of the message it was.
pub mod dead_letter {
    /// The topic it was published to.
    pub const TOPIC: &str = "braid-dead-topic";
    /// The channel that gave up on it.
    pub const CHANNEL: &str = "braid-dead-channel";
    /// The id it had in its topic.
    pub const ID: &str = "braid-dead-id";
    /// How often it was handed out, as a decimal number.
    pub const ATTEMPTS: &str = "braid-dead-attempts";
    /// Why the last attempt failed.
    pub const REASON: &str = "braid-dead-reason";
}
