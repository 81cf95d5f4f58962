//! The testkit's own servers and proxies.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod proxy;
mod redis;
mod redis_topologies;
