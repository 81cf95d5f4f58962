//! L6: a share of a node's links goes to others.

use super::support::{Cache, present, tokens};
use crate::{LinkCacheHarness, eventually, fresh};
use braid_core::{Error, ErrorKind, LinkCacheExt, Node, Token};
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

pub async fn l6_rebalance_moves_a_share_and_asks_the_owner<H: LinkCacheHarness>(h: &H) {
    let caches = [
        Cache::start(h).await,
        Cache::start(h).await,
        Cache::start(h).await,
    ];
    let service = fresh::service("login");
    let (full, b) = (present(h, &service).await, present(h, &service).await);
    let c = present(h, &service).await;
    let elsewhere = present(h, &fresh::service("mail")).await;
    let users = tokens(21);
    for token in &users {
        caches[0].wins(token, &full).await;
        // From now on they may know it by themselves.
        for cache in &caches {
            let linked = cache.linked(token, &service).await;
            assert_eq!(linked.as_ref(), Some(&full.node));
        }
    }

    // Half of 21, in turn; each owner is asked while the link is still there.
    let to = [b.clone(), elsewhere.clone(), full.clone(), c.clone()];
    let asked = Mutex::new(Vec::new());
    let ask = |token: Token, to: Node| {
        let (looker, full, asked) = (&caches[2], &full, &asked);
        async move {
            let linked = looker.linked(&token, &full.service).await;
            assert_eq!(linked.as_ref(), Some(&full.node), "asked first");
            let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
            asked.push((token, to.node));
            Ok(())
        }
    };
    let moved = caches[1].rebalance(&full.node, &to, 0.5, ask).await;
    assert_eq!(moved.unwrap(), 11);
    let asked = asked.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(asked.len(), 11);
    for (node, links) in [(&full, 10), (&b, 6), (&c, 5), (&elsewhere, 0)] {
        assert_eq!(caches[0].links(&node.node).await, links, "{}", node.node);
    }
    for cache in &caches {
        for token in &users {
            let now = asked.iter().find(|(moved, _)| moved == token);
            let expected = now.map_or(&full.node, |(_, node)| node);
            eventually("every process gets to know", h.slack(), async || {
                let cached = cache.cached_target(token, &service);
                cached.is_none_or(|cached| cached == *expected)
            })
            .await;
            let linked = cache.linked(token, &service).await;
            assert_eq!(linked.as_ref(), Some(expected));
        }
    }
    for cache in caches {
        cache.process.stop().await;
    }
}

pub async fn l6_rebalance_leaves_who_is_not_handed_over<H: LinkCacheHarness>(h: &H) {
    let caches = [Cache::start(h).await, Cache::start(h).await];
    let service = fresh::service("login");
    let (full, to) = (present(h, &service).await, present(h, &service).await);
    let third = present(h, &service).await;
    for token in tokens(10) {
        caches[0].wins(&token, &full).await;
    }

    // Three owners say no. Their links stay, and the rest goes on.
    let refused = Mutex::new(Vec::new());
    let refuse = |token: Token, _: Node| {
        let mut refused = refused.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = if refused.len() < 3 {
            refused.push((service.clone(), token));
            let text = "not now";
            Err(Error::new(
                ErrorKind::Unavailable,
                "test",
                "hand_over",
                text,
            ))
        } else {
            Ok(())
        };
        std::future::ready(answer)
    };
    let only = [to.clone()];
    let moved = caches[1].rebalance(&full.node, &only, 1.0, refuse).await;
    assert_eq!(moved.unwrap(), 7);
    let refused = refused.into_inner().unwrap_or_else(PoisonError::into_inner);
    let stay = refused.into_iter().collect();
    assert_eq!(caches[0].held(&full.node, 100).await, stay);
    assert_eq!(caches[0].links(&to.node).await, 7);

    // One user leaves and one is moved to a third node meanwhile: they aren't counted.
    let calls = AtomicUsize::new(0);
    let meanwhile = |token: Token, _: Node| {
        let call = calls.fetch_add(1, SeqCst);
        let (cache, full, third) = (&caches[0], &full, &third);
        async move {
            match call {
                0 => assert!(cache.unlinks(&token, &full.service, &full.node).await),
                1 => assert!(cache.relinks(&token, &full.node, third).await),
                _ => {}
            }
            Ok(())
        }
    };
    let moved = caches[1].rebalance(&full.node, &only, 1.0, meanwhile).await;
    assert_eq!(moved.unwrap(), 1);
    for (node, links) in [(&full, 0), (&to, 8), (&third, 1)] {
        assert_eq!(caches[1].links(&node.node).await, links, "{}", node.node);
    }
    for cache in caches {
        cache.process.stop().await;
    }
}
