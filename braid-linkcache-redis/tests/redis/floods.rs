//! Many at once: misses that are one question, questions that wait for each other, and pushes that nobody takes (L4).

use crate::support::{LinkFleet, SECOND, last_answer, link, quick, remembered, token};
use braid_core::{LinkCache, SystemClock, Token};
use braid_linkcache_redis::LinkCacheConfig;
use braid_testkit::{SETTLED, eventually, proxy::Proxy, real_time, redis::RedisServer, within};
use futures_util::future::join_all;
use std::{sync::Arc, time::Instant};

/// How many questions may be under way.
const QUESTIONS: u64 = 256;

/// How often scripts were run by their digests.
async fn scripts_run(server: &RedisServer) -> i64 {
    let stats = server.command(&["INFO", "commandstats"]).await;
    let Some(line) = stats.field("cmdstat_evalsha") else {
        return 0;
    };
    let calls = line.split(',').find_map(|part| part.strip_prefix("calls="));
    calls.expect("it is counted").parse().expect("a number")
}

#[test]
fn a_thousand_misses_on_one_token_are_two_questions() {
    real_time().block_on(async {
        let server = RedisServer::builder().start().await;
        let fleet = LinkFleet::new(quick(server.url()));
        let a = fleet.node("a").await;
        // It doesn't run, so that nothing else is asked, and nothing answered from memory.
        let cache = fleet
            .connect(fleet.config.clone(), Arc::new(SystemClock))
            .await;
        let token = token();
        let _ = cache.claim(&token, &a).await.expect("it is permitted");
        cache
            .target(&token, &a.service)
            .await
            .expect("now the server knows the script");
        for _ in 0..3 {
            let before = scripts_run(&server).await;
            // Frozen until all of them have begun: the first one asks for itself, the second for everybody else.
            server.pause();
            let misses = (0..1000).map(|_| cache.target(&token, &a.service));
            let (answers, ()) = tokio::join!(join_all(misses), async { server.resume() });
            for answer in answers {
                assert_eq!(answer.expect("the server is there"), Some(a.node.clone()));
            }
            assert_eq!(scripts_run(&server).await - before, 2);
        }
    });
}

#[test]
fn of_thousands_of_misses_few_are_under_way_and_all_are_answered() {
    const MISSES: usize = 5000;
    real_time().block_on(async {
        let server = RedisServer::builder().start().await;
        let proxy = Proxy::start(server.addr()).await;
        let mut config = quick(format!("redis://{}", proxy.addr()));
        config.redis.command_timeout = SETTLED;
        let fleet = LinkFleet::new(config);
        let a = fleet.node("a").await;
        let cache = fleet
            .connect(fleet.config.clone(), Arc::new(SystemClock))
            .await;
        // Each question has as many bytes: the tokens are as long, and so are the numbers of their buckets.
        let tokens: Vec<Token> = (0..MISSES).map(|_| token()).collect();
        let first = token();
        let ask = |token| cache.target(token, &a.service);
        ask(&first).await.expect("now the server knows the script");
        let before = proxy.bytes_from_clients();
        ask(&tokens[0]).await.expect("the server is there");
        let least = proxy.bytes_from_clients() - before;
        let before = proxy.bytes_from_clients();
        server.pause();
        let sent = || proxy.bytes_from_clients() - before;
        let full = async {
            // Numbers of two digits make a question longer, by less than a twentieth.
            let (few, many) = (QUESTIONS * least * 19 / 20, QUESTIONS * least * 21 / 20);
            eventually("all that may be asked is", SETTLED, async || sent() >= few).await;
            // Everybody has asked or waits by now: they were polled before this was.
            for _ in 0..50 {
                tokio::time::sleep(SECOND / 100).await;
                assert!(sent() <= many, "{} of {least}", sent());
            }
            println!("{} bytes under way, {least} each", sent());
            server.resume();
        };
        let misses = join_all(tokens.iter().map(ask));
        let (answers, ()) =
            within("all answers", SETTLED, async { tokio::join!(misses, full) }).await;
        for answer in answers {
            assert_eq!(answer.expect("the server is back"), None);
        }
    });
}

/// What was pushed while a process was frozen is more than its connection keeps.
#[test]
fn a_process_that_has_missed_pushes_forgets_what_it_knew() {
    // Of a kilobyte each: far more than the buffers of a socket hold.
    const PUSHES: usize = 10_000;
    const ROUNDS: usize = 3;
    real_time().block_on(async {
        // It bears with slow subscribers.
        let limit = ("client-output-buffer-limit", "pubsub 0 0 0");
        let server = RedisServer::builder().config(limit.0, limit.1).start().await;
        let fleet = LinkFleet::new(LinkCacheConfig {
            ttl: 600 * SECOND,
            staleness: 60 * SECOND,
            ..quick(server.url())
        });
        let (one, slow) = (fleet.cache().await, fleet.cache().await);
        let (a, b) = (fleet.node("a").await, fleet.node("b").await);
        let token = token();
        link(&one, &token, &a).await;
        remembered(&slow, &token, &a).await;
        slow.freeze();
        let moved = one.relink(&token, &a.node, &b).await;
        assert!(moved.expect("it is permitted"));
        let channel = format!("braid:links:{}", fleet.config.namespace);
        let mut connection = server.connect().await.expect("it is there");
        let flood = format!(
            "for i = 1, {PUSHES} do redis.call('PUBLISH', KEYS[1], 't1:x' .. string.rep('u', 1000)) end"
        );
        for _ in 0..ROUNDS {
            let flooded = connection.command(&["EVAL", &flood, "1", &channel]).await;
            assert!(!flooded.expect("it answers").is_error());
            // What it has sent was received, but for what those buffers hold.
            eventually("nothing waits at the server", SETTLED, async || {
                let list = server.command(&["CLIENT", "LIST", "TYPE", "pubsub"]).await;
                let list = list.text();
                let fields = list.split_whitespace();
                let mut waiting = fields.filter_map(|field| field.strip_prefix("omem="));
                waiting.all(|bytes| bytes == "0")
            })
            .await;
        }
        // Who is frozen answers from what it knew.
        let old = slow.cached_target(&token, &a.service);
        assert_eq!(old, Some(a.node.clone()));
        slow.thaw();
        let thawed = Instant::now();
        last_answer(&slow, &token, &a).await;
        println!("forgotten after {:?}", thawed.elapsed());
        // Long before the bound.
        assert!(thawed.elapsed() < 10 * SECOND, "{:?}", thawed.elapsed());
        remembered(&slow, &token, &b).await;
        one.stop().await;
        slow.stop().await;
    });
}
