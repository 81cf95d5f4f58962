//! Throw-away Redis servers (feature `redis`, Unix only): each on ports of its own and in a folder of its own, which are gone when the
//! test process is, even if it is killed.
//!
//! ```
//! use braid_testkit::redis::{Persistence, RedisServer};
//!
//! # braid_testkit::real_time().block_on(async {
//! let server = RedisServer::builder().persistence(Persistence::AofAlways).start().await;
//! server.command(&["SET", "key", "value"]).await;
//! server.kill();
//! server.restart().await;
//! assert_eq!(server.command(&["GET", "key"]).await.text(), "value");
//! # });
//! ```
//!
//! The program is `redis-server`, or what `REDIS_SERVER_BIN` names: Redis from 7.0 on, or Valkey. `cargo xtask setup` installs it.
//!
//! There is no Redis client here: [`Connection`] gives the few commands that a test needs. All of this is of real time: in tokio's
//! paused time a server has no chance to answer. Nothing belongs to a runtime, so that a server may be kept over several of them.

mod builder;
mod cluster;
mod connection;
mod reply;
mod sentinel;
mod server;
mod shared;
mod tls;

pub use self::{
    builder::{Builder, Persistence},
    cluster::RedisCluster,
    connection::Connection,
    reply::Reply,
    sentinel::{RedisSentinel, SentinelBuilder},
    server::RedisServer,
    shared::{shared, shared_cluster, shared_sentinel},
};
