//! What braid's Redis backends share: connections, scripts, keys and errors, on [`fred`].
//!
//! This is the one place that builds fred clients. [`Redis`] is what a component keeps: pipelined commands over one connection (per
//! node of a cluster), each written once. [`Dedicated`] is a connection of one's own, for commands that block; [`Subscriber`] one that hears
//! channels. [`KeySpace`](keys::KeySpace) names what stands beside a key in the key's slot, [`Script`] runs Lua by its digest, [`reply`] reads
//! replies, and [`error()`] says what a failure means for the command. [`RedisFence`] keeps the terms that a sink has seen.
//!
//! ```no_run
//! use braid_redis::{Redis, RedisConfig, keys::KeySpace, reply};
//!
//! # async fn example() -> braid_core::Result<()> {
//! let redis = Redis::connect(&RedisConfig::new("redis://127.0.0.1:6379"), "example").await?;
//! let topic = KeySpace::new(b"chat.world");
//! let count = topic.key("count", &[]);
//! let frame = redis.command("INCR", topic.slot(), vec![count.into()]).await?;
//! println!("counted {:?}", reply::as_int(&frame));
//! redis.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What is sure about a command
//! A command is written at most once. Of one that failed, the kind tells what happened:
//!
//! | kind | the command |
//! |---|---|
//! | [`Unavailable`](braid_core::ErrorKind::Unavailable) | surely wasn't executed: there was no connection, or the server refused for now |
//! | [`Indeterminate`](braid_core::ErrorKind::Indeterminate) | may have been executed: the connection was lost while it was on its way |
//! | [`Timeout`](braid_core::ErrorKind::Timeout) | may have been executed, or may be yet |
//! | any other | was refused |
//!
//! While it is known that there is no connection, commands wait for one, for the command timeout at most, and nothing is sent;
//! [`Redis::ready`] does just that. Redirections of a cluster are followed, ASK too, since whoever redirects hasn't executed.
//!
//! # Faults
//! A lost connection is made again, for ever, after 50 ms to 2 s with jitter. A peer that is gone is found by the kernel (TCP keep-alive,
//! and on Linux the user timeout); one that is frozen, when a command times out and no other was answered since it was sent. A primary
//! that answers READONLY or MASTERDOWN is left: behind Sentinel, the sentinels are asked for the new one. On a cluster, timeouts make the
//! table of slots be read again. While fred connects anew to one node of a cluster, commands to the others wait.
//!
//! A server that answers with an error of its own while connecting (a wrong password, no right to `INFO`) makes [`Redis::connect`] fail
//! at once. A wrong password at the sentinels looks to fred like sentinels that are away, so that the start timeout passes first.
//!
//! # Servers and rights
//! Redis from 7.0 on, and Valkey; RESP2. [`ACL_CONNECTION`] lists what the connection itself needs of an ACL user, [`ACL_SUBSCRIBER`] what a
//! [`Subscriber`] needs and [`ACL_FENCE`] a [`RedisFence`]; what is sent through it comes on top, with the keys: `~braid:*` covers all of
//! [`keys`]. A refusal names the command and the rule that would allow it.
//!
//! # Secrets
//! Passwords are in no `Debug`, error or event of this crate. fred's own logs hold none either, unless its feature `network-logs` is on.
//! Never print fred's `Config`: its `Debug` has the password.

mod cluster;
mod config;
mod connect;
mod dedicated;
mod denial;
mod error;
mod fence;
pub mod keys;
mod redis;
pub mod reply;
mod request;
mod script;
mod secret;
mod server;
mod settings;
mod subscriber;
mod task;
mod tls;
mod under_way;
mod url;

pub use self::{
    config::{RedisConfig, TlsConfig},
    connect::ACL_CONNECTION,
    dedicated::Dedicated,
    error::{code, during, error},
    fence::{ACL_FENCE, RedisFence},
    redis::Redis,
    script::Script,
    secret::Secret,
    server::ServerVersion,
    subscriber::{ACL_SUBSCRIBER, Published, Subscriber},
};
pub use fred::{
    self,
    types::{Key, Value},
};

/// A reply as the server gave it, in fred's type for all protocols.
pub type Frame = fred::types::Resp3Frame;

/// The README's code, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
