//! Links of users to nodes, kept on Redis.
//!
#![doc = include_str!("../README.md")]

mod acl;
mod cache;
mod config;
mod error;
mod flights;
mod inner;
mod keeper;
mod keys;
mod local;
mod near;
mod nodes;
mod original;
mod own;
mod push;
mod scripts;
mod store;
mod worker;

pub use self::{
    acl::ACL,
    cache::RedisLinkCache,
    config::{LinkCacheConfig, Mode},
};
pub use braid_redis::RedisConfig;
