//! Channels: heard in order, or told that something was missed.

use crate::{config, connect};
use braid_core::ErrorKind;
use braid_redis::{ACL_CONNECTION, ACL_SUBSCRIBER, Published, Redis, Subscriber, TlsConfig};
use braid_testkit::{
    SETTLED, alive_tasks, eventually_eq,
    redis::{RedisSentinel, RedisServer, shared, shared_cluster},
    within,
};
use bytes::Bytes;
use futures_util::FutureExt;
use std::time::Duration;

/// How soon a loss has to be told.
const SOON: Duration = Duration::from_secs(1);

async fn subscribe(redis: &Redis, channels: &[&'static str]) -> Subscriber {
    let channels = channels
        .iter()
        .map(|name| Bytes::from_static(name.as_bytes()));
    let subscriber = redis.subscriber(channels.collect()).await;
    subscriber.expect("the server lets it subscribe")
}

/// Says whether anyone heard it.
async fn publish(server: &RedisServer, channel: &str, body: impl AsRef<[u8]>) -> bool {
    let command = [b"PUBLISH", channel.as_bytes(), body.as_ref()];
    server.command(&command).await.integer() != Some(0)
}

async fn hear(subscriber: &mut Subscriber) -> Published {
    let heard = within("a message", SETTLED, subscriber.next()).await;
    heard.expect("the connection stands")
}

async fn hears(subscriber: &mut Subscriber, channel: &str, body: impl AsRef<[u8]>) {
    let heard = hear(subscriber).await;
    assert_eq!(heard.channel, channel.as_bytes());
    assert_eq!(heard.body, body.as_ref());
}

/// It is told that it isn't connected any more, for ever.
async fn is_told(subscriber: &mut Subscriber) {
    let error = within("the loss", SOON, subscriber.next()).await;
    let error = error.expect_err("it is lost");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    subscriber.next().await.expect_err("it stays so");
    assert!(subscriber.is_lost());
}

#[tokio::test]
async fn binary_messages_are_heard_in_order() {
    let server = shared().await;
    let redis = connect(server.url()).await;
    let channels = ["order:{ü}\r\n", "order \0"];
    let mut subscriber = subscribe(&redis, &channels).await;
    let bodies: [&[u8]; 6] = [
        b"",
        b"\0\xff\r\n$3\r\n",
        b"42",
        b"OK",
        b"QUEUED",
        b"-ERR no",
    ];
    for body in bodies {
        for channel in channels {
            assert!(publish(server, channel, body).await);
        }
    }
    for body in bodies {
        for channel in channels {
            hears(&mut subscriber, channel, body).await;
        }
    }
    assert!(!subscriber.is_lost());
    let heard = Published {
        channel: Bytes::from_static(b"c"),
        body: Bytes::from_static(b"s3cr3t"),
    };
    let shown = format!("{subscriber:?} {heard:?}");
    assert!(!shown.contains("s3cr3t"), "{shown}");
}

#[tokio::test]
async fn a_dropped_wait_loses_no_message() {
    let server = shared().await;
    let redis = connect(server.url()).await;
    let mut subscriber = subscribe(&redis, &["dropped"]).await;
    for round in 0..200 {
        let body = round.to_string();
        let publish = publish(server, "dropped", &body);
        tokio::pin!(publish);
        // Each look drops a wait.
        let heard = within("the publish", SETTLED, async {
            let mut heard = None;
            while (&mut publish).now_or_never().is_none() {
                if heard.is_none() {
                    heard = subscriber.next().now_or_never();
                }
                tokio::task::yield_now().await;
            }
            heard
        })
        .await;
        let heard = match heard {
            Some(heard) => heard.expect("the connection stands"),
            None => hear(&mut subscriber).await,
        };
        assert_eq!(heard.body, body);
    }
}

#[tokio::test]
async fn a_lost_connection_is_told_after_what_came_before() {
    let server = RedisServer::builder().start().await;
    let redis = connect(server.url()).await;
    let mut subscriber = subscribe(&redis, &["a"]).await;
    let mut other = subscribe(&redis, &["b"]).await;
    for body in ["1", "2"] {
        assert!(publish(&server, "a", body).await);
    }
    server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    is_told(&mut other).await;
    for body in ["1", "2"] {
        hears(&mut subscriber, "a", body).await;
    }
    is_told(&mut subscriber).await;

    let mut again = subscribe(&redis, &["a"]).await;
    server.kill();
    is_told(&mut again).await;
    let error = redis.subscriber(vec!["a".into()]).await;
    let error = error.expect_err("the server is away");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn who_is_too_slow_is_told_and_hears_no_gap() {
    let server = RedisServer::builder().start().await;
    let redis = connect(server.url()).await;
    let mut subscriber = subscribe(&redis, &["fast"]).await;
    let many = "for _ = 1, 1000 do redis.call('PUBLISH', 'fast', redis.call('INCR', 'count')) end";
    let told = async {
        for expected in 1.. {
            server.command(&["EVAL", many, "0"]).await;
            match subscriber.next().await {
                Ok(heard) => assert_eq!(heard.body, expected.to_string()),
                Err(error) => return error,
            }
        }
        unreachable!("it is read too slowly")
    };
    let error = within("the error", SETTLED, told).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.message().contains("too slow"), "{error}");
    is_told(&mut subscriber).await;
}

#[tokio::test]
async fn nothing_is_left_of_one_that_was_dropped_or_closed() {
    let server = RedisServer::builder().start().await;
    let before = alive_tasks();
    let redis = connect(server.url()).await;
    let connected = alive_tasks();
    let connections = async || {
        let list = ["CLIENT", "LIST", "TYPE", "pubsub"];
        server.command(&list).await.text().lines().count()
    };
    drop(subscribe(&redis, &["left"]).await);
    eventually_eq("its end", SETTLED, 0, connections).await;
    assert_eq!(alive_tasks(), connected);

    let mut kept = subscribe(&redis, &["left"]).await;
    assert_eq!(connections().await, 1);
    redis.close().await;
    assert_eq!(alive_tasks(), before);
    is_told(&mut kept).await;
    eventually_eq("its end", SETTLED, 0, connections).await;
    let error = redis.subscriber(vec!["left".into()]).await;
    assert_eq!(error.expect_err("closed").kind(), ErrorKind::Closed);
    let error = redis.dedicated(0).await.expect_err("closed");
    assert_eq!(error.kind(), ErrorKind::Closed);
    eventually_eq("no task is left", SETTLED, before, async || alive_tasks()).await;
}

#[tokio::test]
async fn channels_that_nobody_could_hear_are_refused() {
    let redis = connect(shared().await.url()).await;
    let channels: [&'static [u8]; 3] = [b"\xff", b"__keyspace@0__:x", b"__keyevent@0__:del"];
    let wrong = channels.map(|channel| vec![Bytes::from_static(channel)]);
    for channels in wrong.into_iter().chain([Vec::new()]) {
        let error = redis.subscriber(channels).await.expect_err("wrong");
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    }
}

#[tokio::test]
async fn nodes_of_a_cluster_pass_messages_on() {
    let cluster = shared_cluster().await;
    let redis = Redis::connect(&config(cluster.url()), "test").await;
    let redis = redis.expect("the cluster is there");
    // Some are on different nodes.
    for _ in 0..4 {
        let mut subscriber = subscribe(&redis, &["{passed}:on"]).await;
        for node in cluster.nodes() {
            publish(node, "{passed}:on", node.port().to_string()).await;
            hears(&mut subscriber, "{passed}:on", node.port().to_string()).await;
        }
    }
}

#[tokio::test]
async fn the_new_primary_is_heard_after_a_failover() {
    let fleet = RedisSentinel::builder().sentinels(1).start().await;
    let redis = Redis::connect(&config(fleet.url()), "test").await;
    let redis = redis.expect("the sentinel knows the primary");
    let mut subscriber = subscribe(&redis, &["fleet"]).await;
    assert!(publish(fleet.primary(), "fleet", "1").await);
    hears(&mut subscriber, "fleet", "1").await;
    fleet.failover().await;
    is_told(&mut subscriber).await;
    let mut subscriber = subscribe(&redis, &["fleet"]).await;
    assert!(publish(fleet.primary(), "fleet", "2").await);
    hears(&mut subscriber, "fleet", "2").await;
}

#[tokio::test]
async fn documented_rules_are_enough_and_each_is_needed() {
    let all = [ACL_CONNECTION, ACL_SUBSCRIBER, &["&braid:*"]].concat();
    let user = |name: &str, without: &str| {
        let rules = all.iter().filter(|rule| **rule != without);
        let rules: Vec<_> = rules.copied().collect();
        format!("{name} on >secret {}", rules.join(" "))
    };
    let needed = [
        ("no-subscribe", "+subscribe", "`+subscribe`"),
        ("no-ping", "+ping", "`+ping`"),
        ("no-channel", "&braid:*", "`&pattern`"),
    ];
    let mut users = vec![user("all", "")];
    users.extend(needed.map(|(name, rule, _)| user(name, rule)));
    let users: Vec<_> = users.iter().map(String::as_str).collect();
    let server = RedisServer::builder().tls(true).acl(&users).start().await;
    let connect = async |name: &str| {
        let mut settings = config(server.url_as(name, "secret"));
        settings.tls = TlsConfig {
            ca_file: Some(server.tls_ca_pem_file()),
            ..TlsConfig::default()
        };
        let redis = Redis::connect(&settings, "test").await;
        redis.expect("it may connect")
    };
    let redis = connect("all").await;
    let mut subscriber = subscribe(&redis, &["braid:links"]).await;
    assert!(publish(&server, "braid:links", "\0").await);
    hears(&mut subscriber, "braid:links", "\0").await;
    let error = redis.subscriber(vec!["other".into()]).await;
    let error = error.expect_err("another channel");
    assert!(error.message().contains("`&pattern`"), "{error}");
    for (name, _, named) in needed {
        let redis = connect(name).await;
        let error = redis.subscriber(vec!["braid:links".into()]).await;
        let error = error.expect_err("a rule is missing");
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.message().contains(named), "{error}");
    }
}
