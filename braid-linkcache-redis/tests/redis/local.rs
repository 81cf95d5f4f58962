//! Links in each process' own memory, and what the fleet shares of them.

use crate::support::{Cache, LinkFleet, SECOND, quick, token};
use braid_core::{
    Claim, ErrorKind, LinkCache, Node, NodeState, PubSub, SubscribeOptions, Token,
    reserved::{Body, LinkNumber, Unlink},
};
use braid_linkcache_redis::{LinkCacheConfig, Mode};
use braid_testkit::{SETTLED, eventually, eventually_eq, real_time, redis::shared, within};

async fn fleet() -> LinkFleet {
    LinkFleet::new(LinkCacheConfig {
        mode: Mode::Local,
        ttl: 60 * SECOND,
        ..quick(shared().await.url())
    })
}

async fn link(cache: &Cache, node: &Node, count: usize) -> Vec<Token> {
    let tokens: Vec<_> = (0..count).map(|_| token()).collect();
    for token in &tokens {
        let claim = cache.claim(token, node).await;
        assert_eq!(claim.expect("the node is open"), Claim::Won);
    }
    tokens
}

async fn counted(cache: &Cache, node: &Node, count: usize) {
    eventually_eq("the count", SETTLED, count, async || {
        cache.count(&node.node).await.expect("the server answers")
    })
    .await;
}

#[test]
fn counts_are_those_of_all_processes_and_a_crash_takes_its_own() {
    real_time().block_on(async {
        let fleet = fleet().await;
        let topic = LinkNumber::topic();
        let channel = "test".try_into().unwrap();
        let pubsub = fleet.hub.pubsub();
        let options = SubscribeOptions::ephemeral();
        let mut numbers = pubsub.subscribe(&topic, &channel, options).await.unwrap();
        let (one, two) = (fleet.cache().await, fleet.cache().await);
        let a = fleet.node("a").await;
        let user = link(&one, &a, 3).await.remove(0);
        link(&two, &a, 2).await;
        // Each has links of its own.
        assert_eq!(one.cached_target(&user, &a.service), Some(a.node.clone()));
        assert_eq!(two.target(&user, &a.service).await.unwrap(), None);
        for cache in [&one, &two] {
            counted(cache, &a, 5).await;
        }
        within("the sum is published", SETTLED, async {
            while LinkNumber::decode(numbers.next().await.unwrap().unwrap().body())
                .unwrap()
                .number
                != 5
            {}
        })
        .await;
        one.kill().await;
        counted(&two, &a, 2).await;
        two.stop().await;
    });
}

#[test]
fn a_user_who_leaves_leaves_everywhere() {
    real_time().block_on(async {
        let fleet = fleet().await;
        let (one, two) = (fleet.cache().await, fleet.cache().await);
        let a = fleet.node("a").await;
        let user = link(&one, &a, 1).await.remove(0);
        let told = |publish: bool| {
            let (one, two, a, token, fleet) = (&one, &two, &a, &user, &fleet);
            async move {
                // A cache listens some time after it was started.
                eventually("the link is gone everywhere", SETTLED, async || {
                    let _ = one.claim(token, a).await.unwrap();
                    let _ = two.claim(token, a).await.unwrap();
                    if publish {
                        let body = Unlink(token.clone()).message();
                        fleet
                            .hub
                            .pubsub()
                            .publish(&Unlink::topic(), body)
                            .await
                            .unwrap();
                    } else {
                        assert_eq!(one.leave(token).await.unwrap(), 1);
                    }
                    tokio::time::sleep(SECOND / 10).await;
                    let here = one.cached_target(token, &a.service);
                    here.is_none() && two.cached_target(token, &a.service).is_none()
                })
                .await;
            }
        };
        told(false).await;
        told(true).await;
        one.stop().await;
        two.stop().await;
    });
}

#[test]
fn a_drain_closes_the_node_everywhere_and_ends_with_the_last_link_of_all() {
    real_time().block_on(async {
        let fleet = fleet().await;
        let (one, two) = (fleet.cache().await, fleet.cache().await);
        let a = fleet.node("a").await;
        let here = link(&one, &a, 1).await;
        let there = link(&two, &a, 1).await;
        counted(&one, &a, 2).await;
        let draining = one.component();
        let node = a.node.clone();
        let drain = tokio::spawn(async move { draining.drain(&node).await });
        for cache in [&one, &two] {
            eventually("the node is closed", SETTLED, async || {
                let new = token();
                match cache.claim(&new, &a).await {
                    Err(error) => error.kind() == ErrorKind::Rejected,
                    Ok(_) => {
                        cache.unlink(&new, &a.service, &a.node).await.unwrap();
                        false
                    }
                }
            })
            .await;
        }
        // Who comes later knows too.
        let late = fleet.cache().await;
        eventually("a late process knows it", SETTLED, async || {
            let new = token();
            let refused = late.claim(&new, &a).await.is_err();
            late.unlink(&new, &a.service, &a.node).await.unwrap();
            refused
        })
        .await;
        assert!(one.unlink(&here[0], &a.service, &a.node).await.unwrap());
        assert!(!drain.is_finished());
        assert!(two.unlink(&there[0], &a.service, &a.node).await.unwrap());
        within("the end of the drain", SETTLED, drain)
            .await
            .unwrap()
            .unwrap();
        for cache in [one, two, late] {
            cache.stop().await;
        }
    });
}

#[test]
fn a_node_that_is_down_loses_its_links_everywhere() {
    real_time().block_on(async {
        let fleet = fleet().await;
        let (one, two) = (fleet.cache().await, fleet.cache().await);
        let a = fleet.node("a").await;
        link(&one, &a, 2).await;
        let there = link(&two, &a, 1).await;
        counted(&one, &a, 3).await;
        assert_eq!(one.down(&a.node).await.unwrap(), 3);
        eventually_eq("the link there", SETTLED, None, async || {
            two.cached_target(&there[0], &a.service)
        })
        .await;
        for cache in [&one, &two] {
            let refused = cache.claim(&there[0], &a).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Rejected);
        }
        counted(&one, &a, 0).await;
        // Until discovery has it back, which counts only for whoever has seen it absent.
        fleet.nodes.remove(&a.node).await;
        let b = fleet.node("b").await.with_state(NodeState::Draining);
        fleet.nodes.set(&b).await;
        let b = b.with_state(NodeState::Ready);
        for cache in [&one, &two] {
            eventually(
                "what came behind the removal is seen",
                SETTLED,
                async || cache.claim(&token(), &b).await.is_err(),
            )
            .await;
        }
        fleet.nodes.set(&a).await;
        for cache in [&one, &two] {
            eventually("the node is back", SETTLED, async || {
                cache.claim(&there[0], &a).await.is_ok()
            })
            .await;
        }
        one.stop().await;
        two.stop().await;
    });
}
