//! Clusters: commands and connections find the node that holds a slot.

use crate::{command, config, values};
use braid_redis::{
    Key, Redis, Value,
    keys::{KeySpace, slot},
    reply,
};
use braid_testkit::redis::{RedisCluster, RedisServer, shared, shared_cluster};
use std::{collections::BTreeSet, time::Duration};

async fn connect(cluster: &RedisCluster) -> Redis {
    Redis::connect(&config(cluster.url()), "test")
        .await
        .expect("the cluster is there")
}

async fn id(node: &RedisServer) -> String {
    node.command(&["CLUSTER", "MYID"]).await.text()
}

fn key_of_the_first_node() -> String {
    (0_u32..)
        .map(|number| number.to_string())
        .find(|key| slot(key.as_bytes()) < 8192)
        .expect("half of all keys are")
}

#[tokio::test]
async fn commands_and_connections_go_to_the_slots_node() {
    let cluster = RedisCluster::start(2).await;
    let redis = connect(&cluster).await;
    assert!(redis.server().clustered);
    for key in ["a", "b", "c", "d", "e}f", "{x}{y}"] {
        command(&redis, "SET", &[key, "1"])
            .await
            .expect("its node takes it");
        let beside = KeySpace::new(key.as_bytes()).key("meta", &[]);
        let at = slot(key.as_bytes());
        let sum = braid_redis::Script::new("both", "return redis.call('EXISTS', KEYS[1], KEYS[2])");
        let keys = vec![key.into(), beside.into()];
        let frame = redis
            .run(&sum, at, keys, Vec::new())
            .await
            .expect("both are in one slot");
        assert_eq!(reply::as_int(&frame), Some(1));
        let dedicated = redis.dedicated(at).await.expect("its node accepts");
        let frame = dedicated
            .command("GET", values(&[key]), Duration::from_secs(5))
            .await
            .expect("it is the right node");
        assert_eq!(reply::as_text(&frame), Some("1"));
    }
}

#[tokio::test]
async fn shards_are_one_slot_of_each_primary() {
    let alone = crate::connect(shared().await.url()).await;
    assert_eq!(alone.shards(), [0]);
    let cluster = shared_cluster().await;
    let redis = connect(cluster).await;
    let shards = redis.shards();
    assert!(shards.is_sorted());
    let mut primaries = BTreeSet::new();
    for slot in &shards {
        let args = values(&["MYID"]);
        let frame = redis.command("CLUSTER", *slot, args).await;
        let frame = frame.expect("its node answers");
        primaries.insert(reply::as_text(&frame).expect("an id").to_owned());
    }
    let mut nodes = BTreeSet::new();
    for node in cluster.nodes() {
        nodes.insert(id(node).await);
    }
    assert_eq!((primaries, shards.len()), (nodes, 3));
}

#[tokio::test]
async fn a_slot_that_moved_is_followed() {
    let cluster = RedisCluster::start(2).await;
    let redis = connect(&cluster).await;
    let key = key_of_the_first_node();
    let at = slot(key.as_bytes());
    let dedicated = redis.dedicated(at).await.expect("its node accepts");
    let (slot, new) = (at.to_string(), id(&cluster.nodes()[1]).await);
    for node in [1, 0] {
        cluster.nodes()[node]
            .command(&["CLUSTER", "SETSLOT", &slot, "NODE", &new])
            .await;
    }
    command(&redis, "SET", &[&key, "1"])
        .await
        .expect("it is followed");
    let error = dedicated
        .command("GET", values(&[&key]), Duration::from_secs(5))
        .await
        .expect_err("it is elsewhere");
    assert_eq!(braid_redis::code(&error), Some("MOVED"));
    let dedicated = redis.dedicated(at).await.expect("its node accepts");
    dedicated
        .command("GET", values(&[&key]), Duration::from_secs(5))
        .await
        .expect("the table is fresh");
}

#[tokio::test]
async fn a_slot_that_is_moving_is_followed() {
    let cluster = RedisCluster::start(2).await;
    let redis = connect(&cluster).await;
    let key = key_of_the_first_node();
    let at = slot(key.as_bytes()).to_string();
    let [old, new] = cluster.nodes() else {
        panic!("two were started")
    };
    let (from, to) = (id(old).await, id(new).await);
    new.command(&["CLUSTER", "SETSLOT", &at, "IMPORTING", &from])
        .await;
    old.command(&["CLUSTER", "SETSLOT", &at, "MIGRATING", &to])
        .await;
    // The key isn't there, so that the old node says ASK.
    command(&redis, "SET", &[&key, "1"])
        .await
        .expect("it is followed");
    let stream = Key::from(format!("{{{key}}}.stream"));
    let fields = vec![(Key::from("msg"), Value::from("hello"))];
    let added = redis.append(slot(key.as_bytes()), stream, fields).await;
    let added = added.expect("it is followed");
    assert!(reply::as_text(&added).is_some_and(|id| id.contains('-')));
    let count = new.command(&["CLUSTER", "COUNTKEYSINSLOT", &at]).await;
    assert_eq!(count.integer(), Some(2));
}
