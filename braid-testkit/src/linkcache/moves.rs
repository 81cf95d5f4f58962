//! L6: links that are listed and moved.

use super::support::{Cache, FIVE_SECONDS, pause, present, tokens};
use crate::{LinkCacheHarness, Random, eventually, fresh};
use braid_core::{Claim, ErrorKind, LinkCacheExt, Node, NodeState, Token};
use std::{
    cell::Cell,
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::sleep;

pub async fn l6_links_lists_what_a_node_holds<H: LinkCacheHarness>(h: &H) {
    let (one, two) = (Cache::start(h).await, Cache::start(h).await);
    let service = fresh::service("login");
    let (node, other) = (present(h, &service).await, present(h, &service).await);
    let (users, others) = (tokens(6), tokens(2));
    for token in &users {
        one.wins(token, &node).await;
    }
    for token in &others {
        two.wins(token, &other).await;
    }
    let held = |tokens: &[Token]| -> BTreeSet<_> {
        let tokens = tokens.iter().cloned();
        tokens.map(|token| (service.clone(), token)).collect()
    };
    for cache in [&one, &two] {
        assert_eq!(cache.held(&node.node, 100).await, held(&users));
        assert_eq!(cache.held(&other.node, 100).await, held(&others));
        for limit in 0..8 {
            let some = cache.held(&node.node, limit).await;
            assert_eq!(some.len(), limit.min(6), "a limit of {limit}");
            assert!(some.is_subset(&held(&users)));
        }
        assert_eq!(cache.held(&fresh::life("nobody"), 100).await, held(&[]));
    }
    assert!(two.unlinks(&users[0], &service, &node.node).await);
    assert_eq!(one.leave(&users[1]).await.unwrap(), 1);
    assert_eq!(one.down(&other.node).await.unwrap(), 2);
    for cache in [&one, &two] {
        assert_eq!(cache.held(&node.node, 100).await, held(&users[2..]));
        assert_eq!(cache.held(&other.node, 100).await, held(&[]));
    }

    // That links are listed is no use of them.
    let (node, users) = (present(h, &service).await, tokens(3));
    for token in &users {
        one.wins(token, &node).await;
    }
    let ttl = h.times().ttl;
    sleep(ttl.mul_f64(0.7)).await;
    assert_eq!(two.held(&node.node, 100).await, held(&users));
    let looked_at = two.linked(&users[0], &service).await;
    assert_eq!(looked_at.as_ref(), Some(&node.node));
    sleep(ttl.mul_f64(0.3) + h.slack().min(ttl.mul_f64(0.3))).await;
    for cache in [&one, &two] {
        assert_eq!(cache.held(&node.node, 100).await, held(&users[..1]));
        assert_eq!(cache.held(&node.node, 1).await, held(&users[..1]));
    }
    one.process.stop().await;
    two.process.stop().await;
}

pub async fn l6_relink_is_one_step<H: LinkCacheHarness>(h: &H) {
    const USERS: usize = 20;
    let mut random = Random::from_env();
    let caches = [
        Cache::start(h).await,
        Cache::start(h).await,
        Cache::start(h).await,
    ];
    let service = fresh::service("login");
    let (a, b) = (present(h, &service).await, present(h, &service).await);
    let (c, other) = (present(h, &service).await, present(h, &service).await);
    for token in tokens(USERS) {
        caches[0].wins(&token, &a).await;
        for cache in &caches {
            // From now on they may know it by themselves.
            assert_eq!(cache.linked(&token, &service).await, Some(a.node.clone()));
        }
        let (early, done) = (random.below(6), Cell::new(false));
        let moving = async {
            pause(early).await;
            let moved = tokio::join!(
                caches[0].relinks(&token, &a.node, &b),
                caches[1].relinks(&token, &a.node, &c),
            );
            done.set(true);
            moved
        };
        let looking = async {
            let mut last = false;
            while !last {
                last = done.get();
                let linked = caches[2].linked(&token, &service).await;
                assert!(linked.is_some(), "a moment without the link");
                let claim = caches[2].claims(&token, &other).await;
                assert_ne!(claim, Claim::Won, "a moment without the link");
                pause(1).await;
            }
        };
        let (moved, ()) = tokio::join!(moving, looking);
        let (now, not) = match moved {
            (true, false) => (&b, &c),
            (false, true) => (&c, &b),
            both => panic!("of two moves away from a node one does it, not {both:?}"),
        };
        for cache in &caches {
            eventually("every process gets to know", h.slack(), async || {
                cache.cached_target(&token, &service) != Some(a.node.clone())
            })
            .await;
            assert_eq!(cache.linked(&token, &service).await, Some(now.node.clone()));
        }
        // What the former owner says late changes nothing.
        assert!(!caches[0].unlinks(&token, &service, &a.node).await);
        assert!(!caches[0].relinks(&token, &a.node, not).await);
        // A move whose answer was lost is made again; where the link is already it stays.
        assert!(caches[1].relinks(&token, &a.node, now).await);
        assert!(caches[2].relinks(&token, &now.node, now).await);
        let claim = caches[0].claims(&token, &a).await;
        assert_eq!(claim, Claim::Held(now.node.clone()));
    }
    let [of_a, of_b, of_c] = [&a, &b, &c].map(|node| caches[2].links(&node.node));
    assert_eq!((of_a.await, of_b.await + of_c.await), (0, USERS));
    // Who has no link isn't given one.
    let ended = fresh::token("ended");
    assert!(!caches[0].relinks(&ended, &a.node, &b).await);
    caches[0].wins(&ended, &a).await;
    assert!(caches[1].unlinks(&ended, &service, &a.node).await);
    assert!(!caches[0].relinks(&ended, &a.node, &b).await);
    assert_eq!(caches[2].linked(&ended, &service).await, None);
    for cache in caches {
        cache.process.stop().await;
    }
}

pub async fn l6_relink_begins_the_time_to_live_anew<H: LinkCacheHarness>(h: &H) {
    let (one, two) = (Cache::start(h).await, Cache::start(h).await);
    let (service, token) = (fresh::service("login"), fresh::token("user"));
    let (a, b) = (present(h, &service).await, present(h, &service).await);
    one.wins(&token, &a).await;
    let ttl = h.times().ttl;
    sleep(ttl.mul_f64(0.7)).await;
    assert!(two.relinks(&token, &a.node, &b).await);
    sleep(ttl.mul_f64(0.7)).await;
    assert_eq!(one.links(&b.node).await, 1, "as long as a new one");
    sleep(ttl.mul_f64(0.3) + h.slack().min(ttl.mul_f64(0.3))).await;
    assert_eq!(one.links(&b.node).await, 0, "and no longer");
    for cache in [&one, &two] {
        assert_eq!(cache.cached_target(&token, &service), None);
        assert_eq!(cache.linked(&token, &service).await, None);
    }
    one.process.stop().await;
    two.process.stop().await;
}

pub async fn l6_nobody_moves_to_a_draining_node<H: LinkCacheHarness>(h: &H) {
    let caches = [Cache::start(h).await, Cache::start(h).await];
    let (service, old) = (fresh::service("login"), fresh::token("old"));
    let (from, open) = (present(h, &service).await, present(h, &service).await);
    let (told, closed) = (present(h, &service).await, present(h, &service).await);
    let gone = present(h, &service).await;
    caches[0].wins(&old, &told).await;
    h.set(&told.clone().with_state(NodeState::Draining)).await;
    // Without links it is done at once, and stays closed.
    caches[0].drain(&closed.node).await.unwrap();
    h.remove(&gone.node).await;
    for cache in &caches {
        for node in [&told, &closed] {
            refuses(cache, &from, node, h.slack()).await;
        }
        // Whom it has already it keeps.
        assert!(cache.relinks(&old, &told.node, &told).await);
    }
    assert!(
        caches[1].relinks(&old, &told.node, &open).await,
        "from it one may go"
    );
    for cache in &caches {
        refuses(cache, &from, &gone, h.times().grace + FIVE_SECONDS).await;
    }

    // Nor do those of a share. Whoever refused once isn't asked again.
    let full = present(h, &service).await;
    let users = tokens(6);
    for token in &users {
        caches[0].wins(token, &full).await;
    }
    let asked = Mutex::new(Vec::new());
    let ask = |_: Token, to: Node| {
        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push(to.node);
        std::future::ready(Ok(()))
    };
    let closed_ones = [told.clone(), closed.clone(), gone.clone()];
    let moved = caches[1].rebalance(&full.node, &closed_ones, 1.0, ask);
    assert_eq!(moved.await.unwrap(), 0);
    assert_eq!(caches[0].links(&full.node).await, 6);
    let to = [told.clone(), open.clone(), closed.clone(), gone.clone()];
    let moved = caches[0].rebalance(&full.node, &to, 1.0, ask);
    assert_eq!(moved.await.unwrap(), 6);
    for token in &users {
        let linked = caches[1].linked(token, &service).await;
        assert_eq!(linked, Some(open.node.clone()));
    }
    let asked = asked.into_inner().unwrap_or_else(PoisonError::into_inner);
    for node in &closed_ones {
        let times = asked.iter().filter(|asked| **asked == node.node).count();
        assert!(times <= 2, "{} was asked {times} times", node.node);
    }
    for cache in caches {
        cache.process.stop().await;
    }
}

/// Shows that nobody is moved to the node, once that is known.
async fn refuses(cache: &Cache, from: &Node, to: &Node, deadline: Duration) {
    eventually("nobody is moved there", deadline, async || {
        let token = fresh::token("new");
        cache.wins(&token, from).await;
        match cache.relink(&token, &from.node, to).await {
            Ok(moved) => {
                assert!(moved, "it is held by where it shall go from");
                false
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
                let linked = cache.linked(&token, &from.service).await;
                assert_eq!(linked.as_ref(), Some(&from.node), "the link stays");
                true
            }
        }
    })
    .await;
}
