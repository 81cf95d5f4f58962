//! Sentinel: the primary is found, and its successor.

use crate::{command, config, works};
use braid_redis::Redis;
use braid_testkit::{
    SETTLED, eventually,
    redis::{RedisSentinel, RedisServer},
};
use std::time::Duration;

#[tokio::test]
async fn the_primary_is_found_and_its_successor_too() {
    let fleet = RedisSentinel::builder()
        .sentinels(1)
        .servers(RedisServer::builder().password("hunter2"))
        .start()
        .await;
    // It has the passwords of both, servers and sentinels.
    let mut settings = config(fleet.url());
    if !settings.url.contains("sentinelPassword") {
        settings.sentinel_password = Some("hunter2".into());
    }
    let redis = Redis::connect(&settings, "test")
        .await
        .expect("the sentinel knows the primary");
    works(&redis).await;
    redis.dedicated(0).await.expect("it finds the primary too");
    fleet.failover().await;
    eventually("the new primary is found", SETTLED, async || {
        command(&redis, "SET", &["a", "b"]).await.is_ok()
    })
    .await;
    assert_eq!(fleet.primary().command(&["GET", "a"]).await.text(), "b");
    let again = redis.dedicated(0).await.expect("it finds the new primary");
    again
        .command("PING", Vec::new(), Duration::from_secs(5))
        .await
        .expect("it answers");
}
