//! Lost connections: what happens once, what didn't happen, and what nobody can know.

use crate::{
    command, config, connect,
    fake::{Answer, Fake, greet},
    works,
};
use braid_core::ErrorKind;
use braid_redis::{Redis, code, reply};
use braid_testkit::{SETTLED, eventually, proxy::Proxy, redis::RedisServer, within};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

#[tokio::test]
async fn a_cut_around_a_command_is_indeterminate_and_never_repeated() {
    let seen = Arc::new(AtomicUsize::new(0));
    let server = Fake::start({
        let seen = Arc::clone(&seen);
        move |words| match greet(words, "7.2.0") {
            Some(answer) => answer,
            None if words[0] == "XADD" => {
                seen.fetch_add(1, Ordering::Relaxed);
                Answer::Cut
            }
            None => Answer::Reply("+OK\r\n".to_owned()),
        }
    })
    .await;
    let redis = connect(server.url()).await;
    for round in 1..=5 {
        let error = command(&redis, "XADD", &["s", "*", "a", "b"])
            .await
            .expect_err("cut");
        assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error}");
        // Over the next connection this would come after what was repeated.
        eventually("it is connected again", SETTLED, async || {
            command(&redis, "PING", &[""]).await.is_ok()
        })
        .await;
        assert_eq!(seen.load(Ordering::Relaxed), round);
    }
}

#[tokio::test]
async fn many_commands_in_flight_are_answered_or_lost_but_never_done_twice() {
    let server = RedisServer::builder().start().await;
    let proxy = Proxy::start(server.addr()).await;
    let redis = connect(format!("redis://{}", proxy.addr())).await;
    let mut done = 0;
    let mut open = 0;
    for _ in 0..5 {
        proxy.delay(Duration::from_millis(200));
        let calls = (0..200).map(|_| command(&redis, "INCR", &["count"]));
        // Some have reached the server then, and few of the replies have come back: they are on their way for 200 ms.
        let counted = async || server.command(&["GET", "count"]).await.text();
        let before = counted().await;
        let cut = async {
            eventually("some are done", Duration::from_secs(5), async || {
                counted().await != before
            })
            .await;
            proxy.cut();
            proxy.delay(Duration::ZERO);
        };
        let (results, ()) = tokio::join!(futures_util::future::join_all(calls), cut);
        for result in results {
            match result {
                Ok(_) => done += 1,
                Err(error) if error.kind() == ErrorKind::Unavailable => {}
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error}");
                    open += 1;
                }
            }
        }
        eventually("it is connected again", SETTLED, async || {
            command(&redis, "GET", &["count"]).await.is_ok()
        })
        .await;
    }
    let frame = command(&redis, "GET", &["count"]).await.expect("connected");
    let count = reply::as_int(&frame).unwrap_or(0);
    assert!(
        open > 0 && count >= done && count <= done + open,
        "{count} counted, {done} answered, {open} open"
    );
}

#[tokio::test]
async fn nothing_is_sent_while_the_server_is_away() {
    let server = RedisServer::builder().start().await;
    let redis = connect(server.url()).await;
    server.kill();
    eventually("the loss is noticed", SETTLED, async || {
        !redis.is_connected()
    })
    .await;
    let started = Instant::now();
    let error = redis.ready("publish").await.expect_err("it is away");
    assert_eq!(
        (error.kind(), error.operation()),
        (ErrorKind::Unavailable, "publish")
    );
    assert!(started.elapsed() < Duration::from_secs(3));
    let error = command(&redis, "SET", &["a", "b"])
        .await
        .expect_err("it is away");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");

    server.restart().await;
    within("the reconnect", Duration::from_secs(2), async {
        while redis.ready("publish").await.is_err() {}
    })
    .await;
    works(&redis).await;
}

#[tokio::test]
async fn a_frozen_server_is_left_under_steady_traffic() {
    let server = RedisServer::builder().start().await;
    let redis = connect(server.url()).await;
    works(&redis).await;
    server.pause();
    let mut made = 0;
    // One more every 50 ms, so that the connection is never without a recent write.
    let calls: Vec<_> = (0..60)
        .map(|number| {
            let redis = redis.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(50 * number)).await;
                command(&redis, "GET", &["x"]).await
            }
        })
        .collect();
    let results = within(
        "every call",
        Duration::from_secs(10),
        futures_util::future::join_all(calls),
    )
    .await;
    for result in results {
        let error = result.expect_err("it is frozen");
        made += usize::from(error.kind() == ErrorKind::Indeterminate);
        assert!(
            matches!(
                error.kind(),
                ErrorKind::Timeout | ErrorKind::Indeterminate | ErrorKind::Unavailable
            ),
            "{error}"
        );
    }
    assert!(
        made > 0 || !redis.is_connected(),
        "the connection was never given up"
    );
    server.resume();
    within("the reconnect", Duration::from_secs(3), async {
        while command(&redis, "GET", &["x"]).await.is_err() {}
    })
    .await;
}

#[tokio::test]
async fn a_demoted_primary_is_left() {
    let primary = RedisServer::builder().start().await;
    let server = RedisServer::builder().start().await;
    let redis = connect(server.url()).await;
    works(&redis).await;
    let id = async || {
        let frame = redis
            .command("CLIENT", 0, crate::values(&["ID"]))
            .await
            .ok()?;
        reply::as_int(&frame)
    };
    let before = id().await;
    let port = primary.port().to_string();
    server.command(&["REPLICAOF", "127.0.0.1", &port]).await;
    let error = command(&redis, "SET", &["a", "b"])
        .await
        .expect_err("a replica");
    assert_eq!(
        (error.kind(), code(&error)),
        (ErrorKind::Unavailable, Some("READONLY"))
    );
    eventually("it connects anew", SETTLED, async || {
        let now = id().await;
        now.is_some() && now != before
    })
    .await;
}

#[tokio::test]
async fn a_silent_command_is_a_timeout() {
    let server = RedisServer::builder().start().await;
    let redis = Redis::connect(&config(server.url()), "test")
        .await
        .expect("the server is there");
    server.pause();
    let error = command(&redis, "SET", &["a", "b"])
        .await
        .expect_err("it is frozen");
    assert!(
        matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Indeterminate),
        "{error}"
    );
    server.resume();
}

#[tokio::test]
async fn a_reply_that_got_lost_is_indeterminate_and_the_command_done_once() {
    let server = RedisServer::builder().start().await;
    let proxy = Proxy::start(server.addr()).await;
    let redis = connect(format!("redis://{}", proxy.addr())).await;
    works(&redis).await;
    for round in 1..=5_i64 {
        proxy.swallow_next_reply_and_cut("INCR");
        let error = command(&redis, "INCR", &["count"])
            .await
            .expect_err("the reply is lost");
        assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error}");
        eventually("it is connected again", SETTLED, async || {
            command(&redis, "PING", &[""]).await.is_ok()
        })
        .await;
        let count = server.command(&["GET", "count"]).await.text();
        assert_eq!(count, round.to_string());
    }
}

#[tokio::test]
async fn a_half_open_connection_is_left_within_two_command_timeouts() {
    let server = RedisServer::builder().start().await;
    let proxy = Proxy::start(server.addr()).await;
    let redis = connect(format!("redis://{}", proxy.addr())).await;
    works(&redis).await;
    proxy.half_open();
    command(&redis, "GET", &["x"])
        .await
        .expect_err("nothing passes");
    proxy.heal();
    within("a new connection", Duration::from_secs(2), async {
        while command(&redis, "GET", &["x"]).await.is_err() {}
    })
    .await;
}
