//! Publish and subscribe: topics, channels, deliveries.
//!
//! A **topic** is a stream of messages. A **channel** is a named group of consumers on it: every channel gets every
//! message, the consumers of one channel share them. Delivery is **at least once**: a message is handed out again until a
//! consumer of the channel acks it or its attempts are used up, whereupon it goes to the topic's dead letters, from where
//! [`redrive`](PubSubExt::redrive) brings it back. A [`read`](PubSub::read) shows a topic's messages without taking part.

mod consumer;
mod contract;
pub mod dead_letter;
mod delivery;
mod ext;
mod message;
mod options;
mod view;

pub use self::{
    consumer::Consumer,
    contract::{PubSub, Subscription},
    delivery::{Acknowledge, Delivery, Ownership},
    ext::PubSubExt,
    message::{Headers, Message, NewMessage, NewMessageParts},
    options::{Backoff, ChannelKind, Start, SubscribeOptions},
    view::{ChannelView, ConsumerView, TopicView},
};
