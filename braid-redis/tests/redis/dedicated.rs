//! Connections of one's own, and the end of all of them.

use crate::{command, connect, values, works};
use braid_core::ErrorKind;
use braid_redis::reply;
use braid_testkit::{
    SETTLED, alive_tasks, eventually_eq,
    redis::{RedisServer, shared},
    within,
};
use futures_util::FutureExt;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_blocked_connection_delays_no_other() {
    let redis = connect(shared().await.url()).await;
    let dedicated = redis.dedicated(0).await.expect("it accepts another one");
    let mut blocked = Box::pin(dedicated.command("BLPOP", values(&["blocked", "10"]), LONG));
    assert!((&mut blocked).now_or_never().is_none());
    let started = Instant::now();
    works(&redis).await;
    assert!(started.elapsed() < Duration::from_secs(2));
    command(&redis, "RPUSH", &["blocked", "x"])
        .await
        .expect("it may be pushed");
    let frame = within("the pop", Duration::from_secs(5), blocked)
        .await
        .expect("it was pushed");
    assert_eq!(reply::as_array(&frame).map(<[_]>::len), Some(2));
}

#[tokio::test]
async fn commands_on_one_connection_are_pipelined_in_order() {
    let redis = connect(shared().await.url()).await;
    let dedicated = redis.dedicated(0).await.expect("it accepts another one");
    let calls = (0..100).map(|_| dedicated.command("INCR", values(&["order"]), LONG));
    let replies = futures_util::future::join_all(calls).await;
    for (expected, frame) in (1..).zip(replies) {
        assert_eq!(reply::as_int(&frame.expect("it counts")), Some(expected));
    }
}

#[tokio::test]
async fn dropping_a_blocked_connection_ends_it_on_the_server() {
    let server = RedisServer::builder().start().await;
    let redis = connect(server.url()).await;
    let before = alive_tasks();
    let dedicated = redis.dedicated(0).await.expect("it accepts another one");
    let mut blocked = Box::pin(dedicated.command("BLPOP", values(&["never", "0"]), LONG));
    assert!((&mut blocked).now_or_never().is_none());
    let blocked_clients = async || {
        let reply = server.command(&["INFO", "clients"]).await;
        reply.field("blocked_clients").unwrap_or_default()
    };
    let wait = Duration::from_secs(5);
    // The command goes out as soon as the connection's task runs.
    eventually_eq("one is blocked", wait, "1".to_owned(), blocked_clients).await;
    drop(blocked);
    drop(dedicated);
    eventually_eq("none is blocked", wait, "0".to_owned(), blocked_clients).await;
    assert_eq!(alive_tasks(), before);
}

#[tokio::test]
async fn a_lost_connection_fails_what_is_under_way_and_what_comes() {
    let server = RedisServer::builder().start().await;
    let redis = connect(server.url()).await;
    let dedicated = redis.dedicated(0).await.expect("it accepts another one");
    let mut blocked = Box::pin(dedicated.command("BLPOP", values(&["never", "0"]), LONG));
    assert!((&mut blocked).now_or_never().is_none());
    dedicated
        .command("PING", Vec::new(), Duration::from_millis(100))
        .await
        .expect_err("the one before blocks");
    server.kill();
    let error = within("the error", Duration::from_secs(3), blocked)
        .await
        .expect_err("lost");
    assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error}");
    eventually_eq("it is lost", SETTLED, true, async || dedicated.is_lost()).await;
    let error = dedicated
        .command("PING", Vec::new(), LONG)
        .await
        .expect_err("lost");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");

    server.restart().await;
    let again = redis.dedicated(0).await.expect("the server is back");
    again
        .command("PING", Vec::new(), LONG)
        .await
        .expect("it answers");
}

#[tokio::test]
async fn closing_leaves_no_task_and_no_connection() {
    let server = RedisServer::builder().start().await;
    let before = alive_tasks();
    let redis = connect(server.url()).await;
    let kept = redis.dedicated(0).await.expect("it accepts another one");
    drop(redis.dedicated(0).await.expect("it accepts another one"));
    works(&redis).await;
    redis.close().await;
    assert_eq!(alive_tasks(), before);
    assert!(kept.is_lost() && !redis.is_connected());
    let error = command(&redis, "GET", &["x"]).await.expect_err("closed");
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    let clients = async || {
        let reply = server.command(&["INFO", "clients"]).await;
        reply.field("connected_clients").unwrap_or_default()
    };
    // The one that asks.
    eventually_eq("no client is left", SETTLED, "1".to_owned(), clients).await;
    redis.close().await;
}

#[tokio::test]
async fn closing_waits_for_no_server_that_is_away() {
    let server = RedisServer::builder().start().await;
    let before = alive_tasks();
    let redis = connect(server.url()).await;
    server.pause();
    within("the end", Duration::from_secs(4), redis.close()).await;
    assert_eq!(alive_tasks(), before);
}

#[tokio::test]
async fn the_last_handle_takes_its_task_along() {
    let before = alive_tasks();
    let redis = connect(shared().await.url()).await;
    let clone = redis.clone();
    drop(redis);
    works(&clone).await;
    drop(clone);
    eventually_eq("the task ends", SETTLED, before, async || alive_tasks()).await;
}
