//! Topics on Redis Streams that lose nothing.
//!
#![doc = include_str!("../README.md")]

mod acl;
mod config;
mod consumer;
mod delivery;
mod durable;
mod entry;
mod error;
mod id;
mod key_lane;
mod keys;
mod limit;
mod link;
mod names;
mod node;
mod pubsub;
mod read;
mod reply;
mod scripts;
mod topic;
mod topics;
mod view;
mod window;
mod worker;

pub use self::{
    acl::ACL,
    config::{Durability, PubSubConfig},
    pubsub::RedisPubSub,
};
pub use braid_redis::RedisConfig;
