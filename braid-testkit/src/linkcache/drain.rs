//! L6: drains, and counts after crashes.

use super::support::{Cache, FIVE_SECONDS, present, tokens};
use crate::{LinkCacheHarness, SETTLED, eventually, eventually_eq, fresh, within};
use braid_core::{ErrorKind, Node};
use futures_util::poll;
use std::pin::pin;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

/// Shows that nobody gets a new link to the node.
async fn takes_no_link<H: LinkCacheHarness>(h: &H, caches: &[Cache], node: &Node) {
    for cache in caches {
        eventually("a draining node gets no new link", h.slack(), async || {
            let new = fresh::token("new");
            if cache.refusal(&new, node).await == Some(ErrorKind::Rejected) {
                return true;
            }
            // Early enough to get one.
            cache.unlinks(&new, &node.service, &node.node).await;
            false
        })
        .await;
    }
}

pub async fn l6_drain_ends_when_no_link_is_left<H: LinkCacheHarness>(h: &H) {
    let caches = [Cache::start(h).await, Cache::start(h).await];
    let service = fresh::service("login");
    let (node, other) = (present(h, &service).await, present(h, &service).await);
    let tokens = tokens(5);
    for token in &tokens {
        caches[0].wins(token, &node).await;
    }
    let draining = caches[0].component();
    let mut drained = pin!(draining.drain(&node.node));
    assert!(poll!(drained.as_mut()).is_pending(), "five links are left");
    let looking = async {
        takes_no_link(h, &caches, &node).await;
        for token in &tokens {
            assert_eq!(
                caches[1].linked(token, &service).await,
                Some(node.node.clone()),
                "old links are honoured"
            );
        }
        caches[1].wins(&fresh::token("new"), &other).await;
        for token in &tokens[1..] {
            assert!(caches[1].unlinks(token, &service, &node.node).await);
        }
        sleep(h.slack().min(h.times().ttl / 4)).await;
        assert_eq!(caches[1].links(&node.node).await, 1);
    };
    tokio::select! {
        biased;
        ended = drained.as_mut() => panic!("a link is left, but the drain ended: {ended:?}"),
        () = looking => {}
    }
    assert!(caches[1].unlinks(&tokens[0], &service, &node.node).await);
    within(
        "the end of the drain, no link being left",
        h.slack(),
        drained,
    )
    .await
    .unwrap();
    takes_no_link(h, &caches, &node).await;
    // A node without links is drained at once.
    within(
        "the drain of a node without links",
        h.slack(),
        caches[1].drain(&node.node),
    )
    .await
    .unwrap();
    for cache in caches {
        cache.process.stop().await;
    }
}

pub async fn l6_drain_ends_when_the_last_link_expires<H: LinkCacheHarness>(h: &H) {
    let cache = Cache::start(h).await;
    let node = present(h, &fresh::service("login")).await;
    cache.wins(&fresh::token("user"), &node).await;
    let ttl = h.times().ttl;
    let draining = cache.component();
    let mut drained = pin!(draining.drain(&node.node));
    assert!(
        timeout(ttl.mul_f64(0.7), drained.as_mut()).await.is_err(),
        "the link still lives"
    );
    within(
        "the end of the drain, the last link having expired",
        ttl.mul_f64(0.3) + h.slack(),
        drained,
    )
    .await
    .unwrap();
    cache.process.stop().await;
}

pub async fn l6_abandoned_drain_keeps_the_node_closed<H: LinkCacheHarness>(h: &H) {
    let caches = [Cache::start(h).await, Cache::start(h).await];
    let (service, token) = (fresh::service("login"), fresh::token("user"));
    let node = present(h, &service).await;
    caches[0].wins(&token, &node).await;
    assert!(
        timeout(
            h.slack().min(h.times().ttl / 4),
            caches[0].drain(&node.node)
        )
        .await
        .is_err()
    );
    takes_no_link(h, &caches, &node).await;
    assert_eq!(
        caches[1].linked(&token, &service).await,
        Some(node.node.clone())
    );
    // In this life of it: the next one starts open.
    let next = fresh::node_as(&service, fresh::next_life(&node.node));
    h.remove(&node.node).await;
    h.set(&next).await;
    eventually("the next life takes links", h.slack(), async || {
        caches[1]
            .refusal(&fresh::token("new"), &next)
            .await
            .is_none()
    })
    .await;
    for cache in caches {
        cache.process.stop().await;
    }
}

pub async fn l6_counts_are_right_after_crashes<H: LinkCacheHarness>(h: &H) {
    const TOKENS: usize = 60;
    let steady = Cache::start(h).await;
    let service = fresh::service("login");
    let nodes = [
        present(h, &service).await,
        present(h, &service).await,
        present(h, &service).await,
    ];
    let tokens = tokens(TOKENS);
    // Processes die while they claim and unlink.
    for round in 0..6 {
        let crashing = Cache::start(h).await;
        let mut work = JoinSet::new();
        for (place, token) in tokens.iter().enumerate() {
            let (cache, token, node) = (
                crashing.component(),
                token.clone(),
                nodes[(place + round) % 3].clone(),
            );
            work.spawn(async move {
                for _ in 0..place {
                    tokio::task::yield_now().await;
                }
                // Some of these fail, for the process dies.
                if place % 4 == 0 {
                    let _ = cache.unlink(&token, &node.service, &node.node).await;
                } else {
                    let _ = cache.claim(&token, &node).await;
                }
            });
        }
        for _ in 0..round * 10 {
            tokio::task::yield_now().await;
        }
        work.shutdown().await;
        crashing.process.kill().await;
        counts_equal_links(h, &steady, &nodes, &tokens).await;
    }
    // And when a node dies.
    for token in &tokens {
        let _ = steady.claims(token, &nodes[0]).await;
    }
    h.remove(&nodes[0].node).await;
    let gone = "the dead node has no link";
    eventually_eq(gone, h.times().grace + FIVE_SECONDS, 0, async || {
        steady.links(&nodes[0].node).await
    })
    .await;
    counts_equal_links(h, &steady, &nodes, &tokens).await;
    steady.process.stop().await;
}

async fn counts_equal_links<H: LinkCacheHarness>(
    h: &H,
    cache: &Cache,
    nodes: &[Node],
    tokens: &[braid_core::Token],
) {
    let what = "the counts are those of the links";
    eventually_eq(what, h.slack().min(SETTLED), true, async || {
        let mut linked = Vec::new();
        for token in tokens {
            linked.extend(cache.linked(token, &nodes[0].service).await);
        }
        for node in nodes {
            let expected = linked.iter().filter(|held| **held == node.node).count();
            if cache.links(&node.node).await != expected {
                return false;
            }
        }
        true
    })
    .await;
}
