//! L3: every link has a time to live.

use super::support::{Cache, present};
use crate::{LinkCacheHarness, fresh};
use braid_core::Claim;
use tokio::time::sleep;

pub async fn l3_unused_link_ends_with_its_time_to_live<H: LinkCacheHarness>(h: &H) {
    let (one, two) = (Cache::start(h).await, Cache::start(h).await);
    let service = fresh::service("login");
    let node = present(h, &service).await;
    let (looked_at, unused) = (fresh::token("looked-at"), fresh::token("unused"));
    one.wins(&looked_at, &node).await;
    one.wins(&unused, &node).await;
    let ttl = h.times().ttl;
    sleep(ttl.mul_f64(0.7)).await;
    assert_eq!(two.links(&node.node).await, 2, "a count is no use");
    assert_eq!(
        two.linked(&looked_at, &service).await,
        Some(node.node.clone())
    );
    sleep(ttl.mul_f64(0.3) + h.slack().min(ttl.mul_f64(0.3))).await;
    assert_eq!(two.linked(&unused, &service).await, None, "nobody used it");
    assert_eq!(one.cached_target(&unused, &service), None);
    assert_eq!(
        one.linked(&looked_at, &service).await,
        Some(node.node.clone()),
        "a look is a use"
    );
    assert_eq!(one.links(&node.node).await, 1);
    one.process.stop().await;
    two.process.stop().await;
}

pub async fn l3_use_renews_a_link<H: LinkCacheHarness>(h: &H) {
    let (one, two) = (Cache::start(h).await, Cache::start(h).await);
    let service = fresh::service("login");
    let (node, other) = (present(h, &service).await, present(h, &service).await);
    let [asked, cached, claimed] = ["asked", "cached", "claimed"].map(fresh::token);
    for token in [&asked, &cached, &claimed] {
        one.wins(token, &node).await;
    }
    for _ in 0..12 {
        sleep(h.times().ttl / 3).await;
        assert_eq!(one.linked(&asked, &service).await, Some(node.node.clone()));
        if one.cached_target(&cached, &service).is_none() {
            assert_eq!(one.linked(&cached, &service).await, Some(node.node.clone()));
        }
        let other_claim = two.claims(&claimed, &other).await;
        assert_eq!(other_claim, Claim::Held(node.node.clone()));
        one.wins(&claimed, &node).await;
    }
    for token in [&asked, &cached, &claimed] {
        assert_eq!(two.linked(token, &service).await, Some(node.node.clone()));
    }
    one.process.stop().await;
    two.process.stop().await;
}

pub async fn l3_frozen_process_knows_no_expired_link<H: LinkCacheHarness>(h: &H) {
    let cache = Cache::start(h).await;
    let (service, token) = (fresh::service("login"), fresh::token("user"));
    let node = present(h, &service).await;
    cache.wins(&token, &node).await;
    assert_eq!(cache.linked(&token, &service).await, Some(node.node));
    cache.clock.jump(2 * h.times().ttl);
    assert_eq!(
        cache.cached_target(&token, &service),
        None,
        "the first look after the freeze"
    );
    cache.process.stop().await;
}
