//! L3: links and the lives of their nodes.

use super::support::{Cache, FIVE_SECONDS, present, tokens};
use crate::{LinkCacheHarness, eventually, eventually_eq, fresh};
use braid_core::{Claim, ErrorKind, Node, NodeState, Token};
use tokio::time::{Instant, sleep};

pub async fn l3_killed_nodes_links_go_after_the_grace<H: LinkCacheHarness>(h: &H) {
    let caches = [Cache::start(h).await, Cache::start(h).await];
    let service = fresh::service("login");
    let (killed, stays) = (present(h, &service).await, present(h, &service).await);
    let (of_the_killed, other) = (tokens(50), fresh::token("other"));
    for (place, token) in of_the_killed.iter().enumerate() {
        caches[place % 2].wins(token, &killed).await;
    }
    caches[0].wins(&other, &stays).await;

    h.remove(&killed.node).await;
    let removed = Instant::now();
    let grace = h.times().grace;
    sleep(grace / 2).await;
    assert_eq!(
        caches[0].links(&killed.node).await,
        50,
        "within the grace period the links stay"
    );
    assert_eq!(
        caches[1].linked(&of_the_killed[0], &service).await,
        Some(killed.node.clone())
    );
    for cache in &caches {
        for token in &of_the_killed {
            let left = (grace + FIVE_SECONDS).saturating_sub(removed.elapsed());
            cache.forgets(token, &service, left).await;
        }
        assert_eq!(cache.links(&killed.node).await, 0);
        assert_eq!(
            cache.linked(&other, &service).await,
            Some(stays.node.clone())
        );
        assert_eq!(
            cache.refusal(&of_the_killed[0], &killed).await,
            Some(ErrorKind::Rejected)
        );
    }
    caches[1].wins(&of_the_killed[0], &stays).await;
    for cache in caches {
        cache.process.stop().await;
    }
}

pub async fn l3_flicker_of_discovery_keeps_links<H: LinkCacheHarness>(h: &H) {
    let cache = Cache::start(h).await;
    let (service, token) = (fresh::service("login"), fresh::token("user"));
    let node = present(h, &service).await;
    cache.wins(&token, &node).await;
    let begun = Instant::now();
    while begun.elapsed() < h.times().grace * 2 + h.slack() {
        h.remove(&node.node).await;
        sleep(h.times().grace / 3).await;
        h.set(&node).await;
        sleep(h.times().grace / 3).await;
        assert_eq!(
            cache.linked(&token, &service).await,
            Some(node.node.clone())
        );
    }
    cache.process.stop().await;
}

pub async fn l3_former_life_is_never_followed<H: LinkCacheHarness>(h: &H) {
    let (one, two) = (Cache::start(h).await, Cache::start(h).await);
    let service = fresh::service("login");
    let former = present(h, &service).await;
    let other = present(h, &service).await;
    let [to_other, to_present, unlinked] = ["to-other", "to-present", "unlinked"].map(fresh::token);
    for token in [&to_other, &to_present, &unlinked] {
        one.wins(token, &former).await;
    }
    let present = fresh::node_as(&service, fresh::next_life(&former.node));
    h.remove(&former.node).await;
    h.set(&present).await;

    // A link to the former life is replaced by whoever claims it, once the restart is known: without waiting for the grace period.
    let claimed = async |cache: &Cache, token: &Token, node: &Node| {
        eventually_eq(
            "a link to a former life is replaced",
            h.slack(),
            Claim::Won,
            async || {
                assert_ne!(
                    cache.linked(token, &service).await.as_ref(),
                    Some(&present.node),
                    "nobody has linked it there"
                );
                cache.claims(token, node).await
            },
        )
        .await;
        assert_eq!(
            cache.linked(token, &service).await.as_ref(),
            Some(&node.node)
        );
    };
    claimed(&two, &to_other, &other).await;
    claimed(&one, &to_present, &present).await;
    // What the former life says late changes nothing, and it gets no link.
    assert!(!one.unlinks(&to_present, &service, &former.node).await);
    assert_eq!(
        two.linked(&to_present, &service).await.as_ref(),
        Some(&present.node)
    );
    assert_eq!(
        one.refusal(&fresh::token("late"), &former).await,
        Some(ErrorKind::Rejected)
    );
    // Nor does a link that nobody claimed come to mean the present life.
    for cache in [&one, &two] {
        cache
            .forgets(&unlinked, &service, h.times().grace + FIVE_SECONDS)
            .await;
        assert_eq!(cache.links(&former.node).await, 0);
        assert_eq!(cache.links(&present.node).await, 1);
    }
    one.process.stop().await;
    two.process.stop().await;
}

pub async fn l3_node_that_is_not_ready_keeps_its_links<H: LinkCacheHarness>(h: &H) {
    let cache = Cache::start(h).await;
    let (service, token) = (fresh::service("login"), fresh::token("user"));
    let node = present(h, &service).await;
    cache.wins(&token, &node).await;
    h.set(&node.clone().with_state(NodeState::NotReady)).await;
    let begun = Instant::now();
    while begun.elapsed() < h.times().grace + FIVE_SECONDS {
        assert_eq!(
            cache.linked(&token, &service).await,
            Some(node.node.clone())
        );
        sleep(h.times().grace / 2).await;
    }
    assert_eq!(cache.links(&node.node).await, 1);
    cache.process.stop().await;
}

pub async fn l3_draining_node_gets_no_new_link<H: LinkCacheHarness>(h: &H) {
    let (one, two) = (Cache::start(h).await, Cache::start(h).await);
    let (service, linked) = (fresh::service("login"), fresh::token("linked"));
    let node = present(h, &service).await;
    one.wins(&linked, &node).await;
    h.set(&node.clone().with_state(NodeState::Draining)).await;
    for cache in [&one, &two] {
        // Whoever claims may still hold the node for ready.
        eventually("a draining node gets no new link", h.slack(), async || {
            cache.refusal(&fresh::token("new"), &node).await == Some(ErrorKind::Rejected)
        })
        .await;
        assert_eq!(
            cache.linked(&linked, &service).await,
            Some(node.node.clone()),
            "the old link is honoured"
        );
    }
    one.process.stop().await;
    two.process.stop().await;
}
