//! The contract's basics: claim, look, unlink, leave, down, count. S2.

use super::support::{Cache, present, tokens};
use crate::{LinkCacheHarness, SETTLED, alive_tasks, eventually, eventually_eq, fresh, within};
use braid_core::{Claim, ErrorKind};

pub async fn l0_claim_target_and_unlink<H: LinkCacheHarness>(h: &H) {
    let (one, two) = (Cache::start(h).await, Cache::start(h).await);
    let (service, token) = (fresh::service("login"), fresh::token("user"));
    let (a, b) = (present(h, &service).await, present(h, &service).await);
    assert_eq!(one.cached_target(&token, &service), None);
    assert_eq!(one.linked(&token, &service).await, None);

    one.wins(&token, &a).await;
    for cache in [&one, &two] {
        assert_eq!(cache.linked(&token, &service).await, Some(a.node.clone()));
        let what = "who has asked knows the link without waiting";
        eventually_eq(what, h.slack(), Some(a.node.clone()), async || {
            let known = cache.cached_target(&token, &service);
            if known.is_none() {
                // What is remembered may be forgotten at any time, as when the connection is made anew.
                cache.linked(&token, &service).await;
            }
            known
        })
        .await;
        assert_eq!(cache.claims(&token, &b).await, Claim::Held(a.node.clone()));
        cache.wins(&token, &a).await;
    }
    // Other users and services have links of their own.
    let (other_service, other_token) = (fresh::service("mail"), fresh::token("user"));
    let m = present(h, &other_service).await;
    two.wins(&token, &m).await;
    two.wins(&other_token, &b).await;

    assert!(
        !one.unlinks(&token, &service, &b.node).await,
        "b doesn't hold it"
    );
    assert!(two.unlinks(&token, &service, &a.node).await);
    assert!(
        !one.unlinks(&token, &service, &a.node).await,
        "it is ended already"
    );
    for cache in [&one, &two] {
        cache.forgets(&token, &service, h.slack()).await;
        assert_eq!(
            cache.linked(&token, &other_service).await,
            Some(m.node.clone())
        );
        assert_eq!(
            cache.linked(&other_token, &service).await,
            Some(b.node.clone())
        );
    }
    one.wins(&token, &b).await;
    one.process.stop().await;
    two.process.stop().await;
}

pub async fn l0_leave_ends_every_link_of_a_user<H: LinkCacheHarness>(h: &H) {
    let (one, two) = (Cache::start(h).await, Cache::start(h).await);
    let (leaving, staying) = (fresh::token("leaving"), fresh::token("staying"));
    let mut nodes = Vec::new();
    for name in ["login", "mail", "chat"] {
        let node = present(h, &fresh::service(name)).await;
        one.wins(&leaving, &node).await;
        two.wins(&staying, &node).await;
        nodes.push(node);
    }
    assert_eq!(two.leave(&leaving).await.unwrap(), 3);
    for node in &nodes {
        for cache in [&one, &two] {
            cache.forgets(&leaving, &node.service, h.slack()).await;
            assert_eq!(
                cache.linked(&staying, &node.service).await,
                Some(node.node.clone())
            );
            assert_eq!(cache.links(&node.node).await, 1);
        }
    }
    assert_eq!(one.leave(&leaving).await.unwrap(), 0);
    one.process.stop().await;
    two.process.stop().await;
}

pub async fn l0_down_ends_every_link_of_a_node<H: LinkCacheHarness>(h: &H) {
    const LINKS: usize = 200;
    let (one, two) = (Cache::start(h).await, Cache::start(h).await);
    let service = fresh::service("login");
    let (gone, stays) = (present(h, &service).await, present(h, &service).await);
    let (of_the_gone, of_the_other) = (tokens(LINKS), tokens(10));
    for token in &of_the_gone {
        one.wins(token, &gone).await;
    }
    for token in &of_the_other {
        two.wins(token, &stays).await;
    }
    assert_eq!(two.links(&gone.node).await, LINKS);
    assert_eq!(two.down(&gone.node).await.unwrap(), LINKS);
    assert_eq!(one.links(&gone.node).await, 0);
    for token in &of_the_gone {
        one.forgets(token, &service, h.slack()).await;
        two.forgets(token, &service, h.slack()).await;
    }
    for token in &of_the_other {
        assert_eq!(one.linked(token, &service).await, Some(stays.node.clone()));
    }
    assert_eq!(one.links(&stays.node).await, 10);
    assert_eq!(one.down(&gone.node).await.unwrap(), 0);
    one.wins(&of_the_gone[0], &stays).await;
    one.process.stop().await;
    two.process.stop().await;
}

pub async fn l0_closed_cache_says_so<H: LinkCacheHarness>(h: &H) {
    let cache = Cache::start(h).await;
    let (service, token) = (fresh::service("login"), fresh::token("user"));
    let node = present(h, &service).await;
    cache.wins(&token, &node).await;
    let closed = cache.component();
    cache.process.stop().await;
    let mut kinds = Vec::new();
    kinds.push(closed.target(&token, &service).await.unwrap_err().kind());
    kinds.push(closed.claim(&token, &node).await.unwrap_err().kind());
    kinds.push(
        closed
            .unlink(&token, &service, &node.node)
            .await
            .unwrap_err()
            .kind(),
    );
    kinds.push(closed.leave(&token).await.unwrap_err().kind());
    kinds.push(closed.down(&node.node).await.unwrap_err().kind());
    kinds.push(closed.count(&node.node).await.unwrap_err().kind());
    kinds.push(closed.links(&node.node, 1).await.unwrap_err().kind());
    let moved = closed.relink(&token, &node.node, &node).await;
    kinds.push(moved.unwrap_err().kind());
    kinds.push(
        within("the refusal", SETTLED, closed.drain(&node.node))
            .await
            .unwrap_err()
            .kind(),
    );
    assert_eq!(kinds, [ErrorKind::Closed; 9]);
    // The link outlives the process that made it.
    let other = Cache::start(h).await;
    assert_eq!(other.linked(&token, &service).await, Some(node.node));
    other.process.stop().await;
}

pub async fn s2_linkcache_leaves_no_task<H: LinkCacheHarness>(h: &H) {
    let service = fresh::service("login");
    let node = present(h, &service).await;
    let first = Cache::start(h).await;
    first.wins(&fresh::token("user"), &node).await;
    first.process.stop().await;
    let before = alive_tasks();
    let mut caches = Vec::new();
    for _ in 0..5 {
        let cache = Cache::start(h).await;
        cache.wins(&fresh::token("user"), &node).await;
        caches.push(cache);
    }
    for cache in caches {
        cache.process.stop().await;
    }
    let what = "no task is left after the shutdown";
    // What is left of the first one may have ended meanwhile.
    eventually(what, h.slack(), async || alive_tasks() <= before).await;
}
