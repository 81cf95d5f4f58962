//! Against real servers: ways to connect, refusals, faults, scripts, the end.
#![cfg(unix)]

mod cluster;
mod commands;
mod connect;
mod dedicated;
mod fake;
mod faults;
mod fence;
mod sentinel;
mod subscriber;
mod tls;

use braid_redis::{Frame, Redis, RedisConfig, Value, keys::slot, reply};
use std::time::Duration;

/// Quick ones, so that faults are noticed within a test's time.
fn config(url: impl Into<String>) -> RedisConfig {
    RedisConfig {
        start_timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(2),
        command_timeout: Duration::from_secs(1),
        reconnect_min: Duration::from_millis(10),
        reconnect_max: Duration::from_millis(100),
        ..RedisConfig::new(url)
    }
}

async fn connect(url: impl Into<String>) -> Redis {
    Redis::connect(&config(url), "test")
        .await
        .expect("the server is there")
}

fn values(args: &[&str]) -> Vec<Value> {
    args.iter().map(|arg| Value::from(*arg)).collect()
}

/// Gives a command whose first argument is its key.
async fn command(redis: &Redis, name: &'static str, args: &[&str]) -> braid_core::Result<Frame> {
    redis
        .command(name, slot(args[0].as_bytes()), values(args))
        .await
}

async fn works(redis: &Redis) {
    command(redis, "SET", &["works", "yes"])
        .await
        .expect("it may be set");
    let frame = command(redis, "GET", &["works"])
        .await
        .expect("it may be read");
    assert_eq!(reply::as_text(&frame), Some("yes"));
}
