//! A server that was emptied, and one that another has taken over from; and what is there has a time to live (L3, L4).

use crate::support::{Cache, LinkFleet, SECOND, last_answer, link, quick, remembered, token};
use braid_core::{
    Claim, LinkCache, Node, NodeState, PubSub, Token,
    reserved::{Body, Unlink},
};
use braid_linkcache_redis::{LinkCacheConfig, Mode};
use braid_testkit::{
    SETTLED, eventually_eq, real_time,
    redis::{RedisSentinel, RedisServer},
    within,
};
use std::time::{Duration, Instant};

/// What a busy machine may add.
const SLACK: Duration = SECOND;

async fn counted(cache: &Cache, node: &Node, count: usize) {
    eventually_eq("the count", SETTLED, Some(count), async || {
        cache.count(&node.node).await.ok()
    })
    .await;
}

#[test]
fn links_go_on_after_the_server_was_emptied() {
    real_time().block_on(async {
        let server = RedisServer::builder().start().await;
        let fleet = LinkFleet::new(LinkCacheConfig {
            ttl: 600 * SECOND,
            ..quick(server.url())
        });
        let (one, two) = (fleet.cache().await, fleet.cache().await);
        let (a, b) = (fleet.node("a").await, fleet.node("b").await);
        // Each has linked to one service only, so that each has to be listed again by another process.
        let c = fleet.node_of("mail", "c").await;
        link(&one, &token(), &c).await;
        let old = token();
        link(&two, &old, &a).await;
        remembered(&one, &old, &a).await;
        remembered(&two, &old, &a).await;
        server.command(&["FLUSHALL"]).await;
        let emptied = Instant::now();
        // Nobody has told the others that the old link is gone, and the token is free.
        link(&two, &old, &b).await;
        let last = last_answer(&one, &old, &a).await;
        if let Some(last) = last {
            let stale = last.saturating_duration_since(emptied);
            println!("stale for {stale:?}");
            // It is noticed when the links are looked after next.
            assert!(stale < fleet.config.count_interval + SLACK, "{stale:?}");
        }
        remembered(&one, &old, &b).await;

        let users: Vec<Token> = (0..5).map(|_| token()).collect();
        for token in &users {
            link(&two, token, &a).await;
        }
        let space = format!(
            "braid:{{links}}:link-buckets:{}:",
            fleet.config.namespace.len()
        );
        let key = format!("{}{}", space, fleet.config.namespace);
        let buckets = Some(i64::from(fleet.config.buckets));
        eventually_eq(
            "the buckets are written down",
            SETTLED,
            buckets,
            async || server.command(&["GET", &key]).await.integer(),
        )
        .await;
        counted(&two, &a, 5).await;
        counted(&two, &b, 1).await;
        link(&one, &users[0], &c).await;
        eventually_eq("both services are listed", SETTLED, Some(2), async || {
            let key = key.replace("link-buckets", "link-services");
            server.command(&["SCARD", &key]).await.integer()
        })
        .await;
        let left = two.leave(&users[0]).await;
        assert_eq!(left.expect("the server is there"), 2);
        counted(&one, &a, 4).await;
        // Whoever looks first lists its own: neither may be content with that.
        for _ in 0..3 {
            server.command(&["FLUSHALL"]).await;
            eventually_eq("both services are listed", SETTLED, Some(2), async || {
                let key = key.replace("link-buckets", "link-services");
                server.command(&["SCARD", &key]).await.integer()
            })
            .await;
        }
        for token in &users[1..] {
            link(&two, token, &a).await;
        }
        let ended = two.down(&a.node).await;
        assert_eq!(ended.expect("the server is there"), 4);
        assert_eq!(one.target(&users[1], &a.service).await.unwrap(), None);
        one.stop().await;
        two.stop().await;
    });
}

#[test]
fn claims_and_pushes_go_on_after_a_failover() {
    real_time().block_on(async {
        let sentinel = RedisSentinel::start().await;
        let fleet = LinkFleet::new(LinkCacheConfig {
            ttl: 600 * SECOND,
            staleness: 2 * SECOND,
            ..quick(sentinel.url())
        });
        let (one, two) = (fleet.cache().await, fleet.cache().await);
        let (a, b) = (fleet.node("a").await, fleet.node("b").await);
        let token = token();
        link(&one, &token, &a).await;
        remembered(&two, &token, &a).await;
        // It is there, too: WAIT speaks for what its own connection has written, and so for all that came before.
        let mut primary = sentinel.primary().connect().await.unwrap();
        primary.command(&["SET", "mark", "1"]).await.unwrap();
        let replicas = primary.command(&["WAIT", "1", "5000"]).await.unwrap();
        assert_eq!(replicas.integer(), Some(1));
        sentinel.failover().await;
        let moved = async {
            loop {
                match one.relink(&token, &a.node, &b).await {
                    Ok(true) => break Instant::now(),
                    Ok(false) => panic!("the link is lost"),
                    Err(error) => println!("not yet: {error}"),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let moved = within("the move", SETTLED, moved).await;
        if let Some(last) = last_answer(&two, &token, &a).await {
            let stale = last.saturating_duration_since(moved);
            println!("stale for {stale:?}");
            assert!(stale <= fleet.config.staleness, "{stale:?}");
        }
        remembered(&two, &token, &b).await;
        // By a push, now.
        remembered(&one, &token, &b).await;
        assert!(two.unlink(&token, &b.service, &b.node).await.unwrap());
        last_answer(&one, &token, &b).await;
        assert_eq!(two.claim(&token, &a).await.unwrap(), Claim::Won);
        remembered(&one, &token, &a).await;
        one.stop().await;
        two.stop().await;
    });
}

/// Keys that the fleet has in common: the services that it has, over how many buckets their links are spread, and which counts were
/// published last. They don't grow with its users.
const WITHOUT_TIME: [&str; 3] = ["link-services", "link-buckets", "link-told"];

#[test]
fn nothing_of_a_user_is_left_without_a_time_to_live() {
    real_time().block_on(async {
        let server = RedisServer::builder().start().await;
        let fleet = LinkFleet::new(LinkCacheConfig {
            namespace: "fleet".to_owned(),
            ..quick(server.url())
        });
        let one = fleet.cache().await;
        let two = fleet.cache_with(LinkCacheConfig {
            mode: Mode::Local,
            namespace: "own".to_owned(),
            ..fleet.config.clone()
        });
        let two = two.await;
        let mut nodes = Vec::new();
        for id in ["a", "b", "c", "d"] {
            nodes.push(fleet.node(id).await);
        }
        let users: Vec<Token> = (0..200).map(|_| token()).collect();
        for (place, token) in users.iter().enumerate() {
            link(&one, token, &nodes[place % 4]).await;
            link(&two, token, &nodes[place % 4]).await;
        }
        let (a, b, c, d) = (&nodes[0], &nodes[1], &nodes[2], &nodes[3]);
        assert!(one.relink(&users[0], &a.node, b).await.unwrap());
        assert!(one.unlink(&users[4], &a.service, &a.node).await.unwrap());
        assert_eq!(one.leave(&users[8]).await.unwrap(), 1);
        let message = Unlink(users[12].clone()).message();
        fleet
            .hub
            .pubsub()
            .publish(&Unlink::topic(), message)
            .await
            .unwrap();
        // One goes by itself, one is said to be gone, one drains.
        fleet.nodes.remove(&d.node).await;
        assert_eq!(one.down(&c.node).await.unwrap(), 50);
        let mut draining = b.clone();
        draining.state = NodeState::Draining;
        fleet.nodes.set(&draining).await;
        let drain = within("a moment", SECOND / 2, async {
            tokio::time::timeout(SECOND / 4, one.drain(&b.node))
                .await
                .is_err()
        });
        assert!(drain.await, "it has links");
        counted(&one, d, 0).await;
        counted(&one, a, 46).await;
        let absent = "braid:{links}:link-absent:5:fleet";
        eventually_eq("who is absent is marked", SETTLED, Some(1), async || {
            server.command(&["EXISTS", absent]).await.integer()
        })
        .await;
        let mut kinds = std::collections::BTreeSet::new();
        let keys = server.command(&["KEYS", "*"]).await;
        for key in keys.items().iter().map(braid_testkit::redis::Reply::text) {
            let kind = key
                .rsplit("}:")
                .next()
                .and_then(|rest| rest.split(':').next());
            let kind = kind.expect("a key of braid").to_owned();
            assert!(key.starts_with("braid:{"), "{key}");
            let left = server
                .command(&["PTTL", &key])
                .await
                .integer()
                .expect("a number");
            match left {
                // Gone since.
                -2 => continue,
                -1 => assert!(
                    WITHOUT_TIME.contains(&kind.as_str()),
                    "{key} has no time to live"
                ),
                _ => assert!(left <= 2 * 24 * 3600 * 1000, "{key}: {left}"),
            }
            kinds.insert(kind);
        }
        println!("{kinds:?}");
        let all = [
            "link",
            "links",
            "link-nodes",
            "link-closed",
            "link-absent",
            "link-keeper",
            "link-counts",
            "link-processes",
            "link-services",
            "link-buckets",
            "link-told",
        ];
        for kind in all {
            assert!(kinds.contains(kind), "no {kind} in {kinds:?}");
        }
        one.stop().await;
        two.stop().await;
    });
}
