//! Pushes that don't come, and a server that is away or frozen: what is answered from memory is of a bounded age (L4).

use crate::support::{Cache, LinkFleet, SECOND, last_answer, link, quick, remembered, token};
use braid_core::{Error, ErrorKind, LinkCache, Node, Token};
use braid_linkcache_redis::LinkCacheConfig;
use braid_testkit::{
    SETTLED, eventually, eventually_eq,
    proxy::Proxy,
    real_time,
    redis::{Persistence, RedisServer},
    within,
};
use std::time::{Duration, Instant};

/// What a busy machine may add where a figure isn't one of the process' own clock.
const SLACK: Duration = SECOND;

/// Within this a write fails when there is no connection.
const FAST: Duration = Duration::from_millis(500);

/// Another process moves the link; gives when that had happened.
async fn moved(by: &Cache, token: &Token, from: &Node, to: &Node) -> Instant {
    let moved = within("the move", SETTLED, by.relink(token, &from.node, to)).await;
    assert!(moved.expect("it is permitted"));
    Instant::now()
}

/// The process is told so by the server, from now on.
async fn is_told(cache: &Cache, token: &Token, node: &Node) {
    let expected = Some(node.node.clone());
    eventually_eq("it asks for the link", SETTLED, expected, async || {
        cache.target(token, &node.service).await.ok().flatten()
    })
    .await;
}

#[test]
fn a_process_behind_a_half_open_connection_answers_from_memory_for_the_bound_only() {
    real_time().block_on(async {
        let server = RedisServer::builder().start().await;
        let proxy = Proxy::start(server.addr()).await;
        let fleet = LinkFleet::new(LinkCacheConfig {
            ttl: 60 * SECOND,
            ..quick(server.url())
        });
        let mut behind = fleet.config.clone();
        behind.redis.url = format!("redis://{}", proxy.addr());
        behind.redis.command_timeout = FAST;
        let staleness = behind.staleness;
        let (aside, behind) = (fleet.cache().await, fleet.cache_with(behind).await);
        let (a, b) = (fleet.node("a").await, fleet.node("b").await);
        for _ in 0..3 {
            let token = token();
            link(&aside, &token, &a).await;
            remembered(&behind, &token, &a).await;
            proxy.half_open();
            proxy.heal();
            let moved = moved(&aside, &token, &a, &b).await;
            let last = last_answer(&behind, &token, &a).await;
            let last = last.expect("nothing has told it yet");
            let stale = last.saturating_duration_since(moved);
            println!("stale for {stale:?}");
            // Both are moments of this machine's clock, and the process judges each look by it: there is no slack.
            assert!(stale <= staleness, "{stale:?}");
            is_told(&behind, &token, &b).await;
            remembered(&behind, &token, &b).await;
        }
        behind.stop().await;
        aside.stop().await;
    });
}

/// Who has lost the connection of its pushes forgets as soon as it has another one, long before the bound.
#[test]
fn a_process_whose_pushes_are_cut_forgets_when_it_listens_again() {
    real_time().block_on(async {
        let server = RedisServer::builder().start().await;
        let fleet = LinkFleet::new(LinkCacheConfig {
            ttl: 600 * SECOND,
            staleness: 60 * SECOND,
            ..quick(server.url())
        });
        let (one, two) = (fleet.cache().await, fleet.cache().await);
        let (a, b) = (fleet.node("a").await, fleet.node("b").await);
        for _ in 0..10 {
            let token = token();
            link(&one, &token, &a).await;
            remembered(&two, &token, &a).await;
            server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
            let moved = moved(&one, &token, &a, &b).await;
            if let Some(last) = last_answer(&two, &token, &a).await {
                let stale = last.saturating_duration_since(moved);
                println!("stale for {stale:?}");
                assert!(stale < SLACK, "{stale:?}");
            }
            is_told(&two, &token, &b).await;
            remembered(&two, &token, &b).await;
        }
        one.stop().await;
        two.stop().await;
    });
}

/// What comes of everything that needs the server, one after the other; each has to fail.
async fn failures(cache: &Cache, known: (&Token, &Node)) -> Vec<(Error, Duration)> {
    let (token, node) = known;
    let unknown = crate::support::token();
    let mut failures = Vec::new();
    for operation in 0..5 {
        let began = Instant::now();
        let result = async {
            match operation {
                0 => cache.claim(&unknown, node).await.map(drop),
                1 => cache
                    .unlink(token, &node.service, &node.node)
                    .await
                    .map(drop),
                2 => cache.leave(token).await.map(drop),
                3 => cache.target(&unknown, &node.service).await.map(drop),
                _ => cache.count(&node.node).await.map(drop),
            }
        };
        let result = within("an error", SETTLED, result).await;
        let error = result.expect_err("the server doesn't answer");
        println!("{error} after {:?}", began.elapsed());
        failures.push((error, began.elapsed()));
    }
    failures
}

#[test]
fn known_links_serve_within_the_bound_while_redis_is_away_and_the_rest_fails_fast() {
    real_time().block_on(async {
        let server = RedisServer::builder()
            .persistence(Persistence::AofAlways)
            .start()
            .await;
        let fleet = LinkFleet::new(LinkCacheConfig {
            ttl: 60 * SECOND,
            staleness: 4 * SECOND,
            ..quick(server.url())
        });
        let staleness = fleet.config.staleness;
        let (one, two) = (fleet.cache().await, fleet.cache().await);
        let (a, b) = (fleet.node("a").await, fleet.node("b").await);
        let token = token();
        link(&one, &token, &a).await;
        remembered(&two, &token, &a).await;
        server.kill();
        let killed = Instant::now();
        // Until the loss is noticed nobody can know.
        eventually("the loss is noticed", SETTLED, async || {
            format!("{:?}", two.component()).contains("connected: false")
        })
        .await;
        for (error, after) in failures(&two, (&token, &a)).await {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert!(after < FAST, "{error} after {after:?}");
        }
        let last = last_answer(&two, &token, &a).await;
        let last = last
            .expect("the link is answered for")
            .duration_since(killed);
        println!("answered from memory for {last:?}");
        assert!(last <= staleness, "{last:?}");
        // What it has last heard was sent a quarter of the bound before, at most.
        assert!(last + SLACK >= staleness / 4 * 3, "{last:?}");

        server.restart().await;
        is_told(&two, &token, &a).await;
        remembered(&two, &token, &a).await;
        moved(&one, &token, &a, &b).await;
        eventually("pushes are heard again", SETTLED, async || {
            two.cached_target(&token, &a.service) != Some(a.node.clone())
        })
        .await;
        remembered(&two, &token, &b).await;
        link(&two, &crate::support::token(), &a).await;
        one.stop().await;
        two.stop().await;
    });
}

#[test]
fn a_frozen_server_is_waited_for_no_longer_than_configured_and_answers_end_at_the_bound() {
    real_time().block_on(async {
        let server = RedisServer::builder().start().await;
        let mut config = LinkCacheConfig {
            ttl: 60 * SECOND,
            staleness: 2 * SECOND,
            ..quick(server.url())
        };
        config.redis.command_timeout = FAST;
        let fleet = LinkFleet::new(config);
        let staleness = fleet.config.staleness;
        let (cache, a) = (fleet.cache().await, fleet.node("a").await);
        let token = token();
        link(&cache, &token, &a).await;
        remembered(&cache, &token, &a).await;
        server.pause();
        let paused = Instant::now();
        let last = last_answer(&cache, &token, &a).await;
        let last = last
            .expect("the link is answered for")
            .duration_since(paused);
        println!("answered from memory for {last:?}");
        // The signal takes its time.
        assert!(last <= staleness + SLACK, "{last:?}");
        assert!(last + SLACK >= staleness / 4 * 3, "{last:?}");
        for (error, after) in failures(&cache, (&token, &a)).await {
            let kind = error.kind();
            let kinds = [
                ErrorKind::Timeout,
                ErrorKind::Unavailable,
                ErrorKind::Indeterminate,
            ];
            assert!(kinds.contains(&kind), "{error}");
            assert!(after < FAST + SLACK, "{error} after {after:?}");
        }
        server.resume();
        // The unlink or the leave may have waited at the server.
        eventually("the server answers", SETTLED, async || {
            cache.target(&token, &a.service).await.is_ok()
        })
        .await;
        let token = crate::support::token();
        eventually("claims go on", SETTLED, async || {
            cache.claim(&token, &a).await.is_ok()
        })
        .await;
        remembered(&cache, &token, &a).await;
        cache.stop().await;
    });
}
