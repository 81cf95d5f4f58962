//! What is left of a publish when the server that took it is gone (P11).

use crate::{
    place,
    support::{Node, length, names, node, publish, quick},
};
use braid_core::{ErrorKind, NewMessage, PubSub, Start, Topic};
use braid_pubsub_redis::{Durability, PubSubConfig, RedisPubSub};
use braid_testkit::{
    SETTLED, eventually,
    proxy::Proxy,
    redis::{Builder, Persistence, RedisServer},
    within,
};
use futures_util::{StreamExt, future::join_all};
use std::{
    collections::BTreeSet,
    env,
    path::PathBuf,
    time::{Duration, Instant},
};

const REPLICATED: Durability = Durability::Replicated {
    n: 1,
    timeout: Duration::from_millis(500),
};

/// A server that has WAITAOF: what `VALKEY_SERVER_BIN` names, else the one of all tests if it is new enough, else the one that the
/// set-up has unpacked.
async fn with_waitaof() -> Builder {
    let named = env::var_os("VALKEY_SERVER_BIN").filter(|name| !name.is_empty());
    if let Some(named) = named {
        return RedisServer::builder().program(named);
    }
    let usual = braid_testkit::redis::shared().await;
    if usual.version().await >= (7, 2, 0) {
        return RedisServer::builder();
    }
    let cache = place::cache().expect("there is a home");
    let program: PathBuf = cache.join("braid/valkey/trixie/valkey-server");
    assert!(
        program.exists(),
        "{} isn't there: `cargo xtask setup` unpacks it; or let VALKEY_SERVER_BIN name the program of a Redis from 7.2 on, or of a Valkey",
        program.display()
    );
    RedisServer::builder().program(program)
}

/// The bodies of all that a topic holds.
async fn stored(node: &RedisPubSub, topic: &Topic) -> BTreeSet<String> {
    let end = publish(node, topic, "the end").await;
    let read = node.read(topic, Start::Beginning).await;
    let mut messages = read.unwrap_or_else(|error| panic!("read: {error}"));
    let mut stored = BTreeSet::new();
    loop {
        let message = within("a message", SETTLED, messages.next()).await;
        let message = message.expect("it goes on").expect("the server is there");
        if message.id == end {
            return stored;
        }
        stored.insert(String::from_utf8_lossy(&message.body).into_owned());
    }
}

/// Publishes all at once; gives the bodies of those that were acked.
async fn publish_all(node: &RedisPubSub, topic: &Topic, bodies: Vec<String>) -> BTreeSet<String> {
    let published = bodies.into_iter().map(|body| async {
        match node.publish(topic, NewMessage::new(body.clone())).await {
            Ok(_) => Some(body),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error}");
                None
            }
        }
    });
    let published = join_all(published);
    let acked = within("the publishes", SETTLED, published).await;
    acked.into_iter().flatten().collect()
}

fn bodies(what: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{what} {number}"))
        .collect()
}

fn with(node: &Node, durability: Durability) -> RedisPubSub {
    node.with_durability(durability)
        .unwrap_or_else(|error| panic!("{durability:?}: {error}"))
}

#[tokio::test]
async fn replicated_publishes_outlive_the_promotion_of_a_replica_and_the_loss_of_fast_ones_is_counted()
 {
    const COUNT: usize = 200;
    let primary = RedisServer::builder().start().await;
    let replica = RedisServer::builder().start().await;
    let between = Proxy::start(primary.addr()).await;
    let port = between.addr().port().to_string();
    replica.command(&["REPLICAOF", "127.0.0.1", &port]).await;
    eventually("the replica is in step", SETTLED, async || {
        let reply = replica.command(&["INFO", "replication"]).await;
        let up = reply.field("master_link_status").as_deref() == Some("up");
        // The primary counts it a little later.
        let seen = primary
            .command(&["INFO", "replication"])
            .await
            .field("slave0");
        up && seen.is_some_and(|seen| seen.contains("state=online"))
    })
    .await;

    let (topic, _) = names();
    let config = PubSubConfig {
        durability: REPLICATED,
        ..quick(primary.url())
    };
    let node_of_primary = node(config).await;
    let fast = with(&node_of_primary, Durability::Fast);
    let replicated = publish_all(&node_of_primary, &topic, bodies("replicated", COUNT)).await;
    assert_eq!(replicated.len(), COUNT, "the replica confirms while it can");
    let before = publish_all(&fast, &topic, bodies("fast before", COUNT)).await;
    assert_eq!(before.len(), COUNT);

    between.half_open();
    let after = publish_all(&fast, &topic, bodies("fast after", COUNT)).await;
    assert_eq!(after.len(), COUNT, "the primary is enough for these");
    let unconfirmed = publish_all(&node_of_primary, &topic, bodies("unconfirmed", COUNT)).await;
    assert!(unconfirmed.is_empty(), "{unconfirmed:?}");
    primary.kill();
    drop(node_of_primary);
    replica.promote().await;

    let node = node(quick(replica.url())).await;
    let stored = stored(&node, &topic).await;
    let lost: Vec<_> = replicated.difference(&stored).collect();
    assert!(lost.is_empty(), "{lost:?}");
    let fast = before.len() + after.len();
    let lost = before
        .union(&after)
        .filter(|body| !stored.contains(*body))
        .count();
    println!(
        "replica promoted: 0 of {COUNT} replicated publishes lost, {lost} of {fast} fast ones; \
         {COUNT} more replicated ones were Indeterminate"
    );
    assert!(lost >= after.len(), "nothing had passed to the replica");
    node.stop().await;
}

#[tokio::test]
async fn a_publish_that_too_few_replicas_confirm_is_indeterminate_and_stored_once() {
    let server = RedisServer::builder().start().await;
    let (node, (topic, _)) = (node(quick(server.url())).await, names());
    let replicated = with(&node, REPLICATED);
    let asked = Instant::now();
    let message = NewMessage::new("lonely").with_key("customer");
    let error = replicated
        .publish(&topic, message)
        .await
        .expect_err("no replica");
    assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error}");
    assert!(error.to_string().contains("0 of 1 replicas"), "{error}");
    assert!(asked.elapsed() >= Duration::from_millis(500));
    assert_eq!(length(&server, &topic).await, 1);
    node.stop().await;
}

#[tokio::test]
async fn durable_publishes_need_an_append_only_file() {
    let server = with_waitaof().await.start().await;
    let config = PubSubConfig {
        durability: Durability::Durable,
        ..quick(server.url())
    };
    let refused = RedisPubSub::connect(config).await.expect_err("it has none");
    assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
    assert!(refused.to_string().contains("appendonly yes"), "{refused}");
    // Whoever asks for less gets it.
    let (node, (topic, _)) = (node(quick(server.url())).await, names());
    let refused = node.with_durability(Durability::Durable);
    assert_eq!(
        refused.expect_err("it has none").kind(),
        ErrorKind::Unsupported
    );
    publish(&node, &topic, "fast").await;
    node.stop().await;
}

#[tokio::test]
async fn durable_publishes_outlive_the_servers_death() {
    const COUNT: usize = 100;
    let server = with_waitaof()
        .await
        .persistence(Persistence::AofEverysec)
        .start()
        .await;
    let config = PubSubConfig {
        durability: Durability::Durable,
        ..quick(server.url())
    };
    let (node, (topic, _)) = (node(config).await, names());
    let fast = with(&node, Durability::Fast);
    let (mut durable, mut loose) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..3 {
        let some = bodies(&format!("durable {round}"), COUNT);
        let acked = publish_all(&node, &topic, some).await;
        assert_eq!(acked.len(), COUNT, "the disk confirms");
        durable.extend(acked);
        let some = bodies(&format!("fast {round}"), COUNT);
        loose.extend(publish_all(&fast, &topic, some).await);
        server.kill();
        server.restart().await;
        let stored = stored(&fast, &topic).await;
        let lost: Vec<_> = durable.difference(&stored).collect();
        assert!(lost.is_empty(), "{lost:?}");
        println!(
            "kill {round}: 0 of {} durable publishes lost, {} of {} fast ones",
            durable.len(),
            loose.difference(&stored).count(),
            loose.len()
        );
    }
    node.stop().await;
}

/// A disk that is never told to keep anything confirms nothing.
#[tokio::test]
async fn a_publish_that_the_disk_does_not_confirm_is_indeterminate() {
    let server = with_waitaof()
        .await
        .config("appendonly", "yes")
        .config("appendfsync", "no")
        .start()
        .await;
    let (node, (topic, _)) = (node(quick(server.url())).await, names());
    let durable = with(&node, Durability::Durable);
    let published = durable.publish(&topic, NewMessage::new("perhaps"));
    let error = within("an answer", Duration::from_secs(8), published)
        .await
        .expect_err("nothing is synced");
    assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error}");
    assert!(error.to_string().contains("0 of 1 disks"), "{error}");
    assert_eq!(length(&server, &topic).await, 1);
    node.stop().await;
}
