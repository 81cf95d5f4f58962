//! Links through their handles. Time is paused and costs nothing.

mod rebalance;

use super::*;
use crate::{
    Hub,
    testing::{Events, SECOND, hub, life, node, service},
};
use braid_core::{
    Announcement, BoxStream, NodeState, PubSub, ShutdownTrigger, Update,
    reserved::{Body, LinkNumber, Unlink},
};
use braid_testkit::{Running, SETTLED, eventually_eq, within};
use std::time::Duration;
use tokio::time::{Instant, sleep};

async fn cache(hub: &Hub) -> Running<LocalLinkCache> {
    let config = LinkCacheConfig::default();
    Running::start(Arc::new(hub.link_cache(config).unwrap())).await
}

fn token(text: &str) -> Token {
    Token::new(text).unwrap()
}

/// A node that discovery tells of, and what keeps it there.
async fn announced(hub: &Hub, id: &str) -> (Node, Announcement) {
    let node = node("login", id);
    let announcement = hub.discover().announce(&node).await.unwrap();
    (node, announcement)
}

async fn link(cache: &LocalLinkCache, users: std::ops::Range<usize>, node: &Node) {
    for user in users {
        let claim = cache.claim(&token(&format!("user-{user}")), node).await;
        assert_eq!(claim.unwrap(), Claim::Won);
    }
}

#[tokio::test(start_paused = true)]
async fn all_handles_of_a_hub_see_the_same_links() {
    let (hub, _) = hub();
    let (here, there) = (cache(&hub).await, cache(&hub).await);
    let (a, _a) = announced(&hub, "a").await;
    let (b, _b) = announced(&hub, "b").await;
    let user = token("u");
    assert_eq!(here.claim(&user, &a).await.unwrap(), Claim::Won);
    assert_eq!(
        there.claim(&user, &b).await.unwrap(),
        Claim::Held(a.node.clone())
    );
    assert_eq!(there.cached_target(&user, &a.service), Some(a.node.clone()));
    assert_eq!(
        there.target(&user, &a.service).await.unwrap(),
        Some(a.node.clone())
    );
    assert!(there.unlink(&user, &a.service, &a.node).await.unwrap());
    assert_eq!(here.cached_target(&user, &a.service), None);
}

#[tokio::test(start_paused = true)]
async fn links_of_a_dead_node_end_after_the_grace_period_and_their_number_is_told() {
    let (hub, _) = hub();
    let cache = cache(&hub).await;
    let mut numbers = Events::of::<LinkNumber>(&hub).await;
    let (a, announcement) = announced(&hub, "a").await;
    link(&cache, 0..3, &a).await;
    let number = |number| LinkNumber {
        id: a.node.id.clone(),
        number,
    };
    assert_eq!(numbers.next::<LinkNumber>().await, number(3));
    drop(announcement);
    sleep(4 * SECOND).await;
    assert_eq!(cache.count(&a.node).await.unwrap(), 3);
    sleep(2 * SECOND).await;
    assert_eq!(cache.count(&a.node).await.unwrap(), 0);
    assert_eq!(numbers.next::<LinkNumber>().await, number(0));
    let error = cache.claim(&token("late"), &a).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(
        error.to_string(),
        "linkcache-local: claim: node a/1 of `login` is gone"
    );
    numbers.none().await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_ends_links_within_a_second() {
    let (hub, clock) = hub();
    let cache = cache(&hub).await;
    let mut numbers = Events::of::<LinkNumber>(&hub).await;
    let (a, _a) = announced(&hub, "a").await;
    link(&cache, 0..1, &a).await;
    assert_eq!(numbers.next::<LinkNumber>().await.number, 1);
    clock.jump(Duration::from_secs(600));
    assert_eq!(cache.cached_target(&token("user-0"), &a.service), None);
    let started = Instant::now();
    assert_eq!(numbers.next::<LinkNumber>().await.number, 0);
    assert!(started.elapsed() <= 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_restarted_node_does_not_inherit_links() {
    let (hub, _) = hub();
    let cache = cache(&hub).await;
    let (former, announcement) = announced(&hub, "a").await;
    link(&cache, 0..1, &former).await;
    sleep(SECOND).await;
    announcement.withdraw().await.unwrap();
    let mut present = former.clone();
    present.node = life("a", "2");
    let _a = hub.discover().announce(&present).await.unwrap();
    eventually_eq("the link to the former life", SECOND, None, async || {
        cache.cached_target(&token("user-0"), &former.service)
    })
    .await;
    link(&cache, 0..1, &present).await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_with_the_last_link() {
    let (hub, _) = hub();
    let cache = cache(&hub).await;
    let (a, announcement) = announced(&hub, "a").await;
    link(&cache, 0..3, &a).await;
    let handle = cache.component();
    let drained = tokio::spawn({
        let node = a.node.clone();
        async move { handle.drain(&node).await }
    });
    sleep(SECOND).await;
    let error = cache.claim(&token("late"), &a).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(
        error.to_string(),
        "linkcache-local: claim: node a/1 of `login` is draining"
    );
    link(&cache, 0..1, &a).await;

    assert_eq!(cache.leave(&token("user-0")).await.unwrap(), 1);
    assert!(
        cache
            .unlink(&token("user-1"), &a.service, &a.node)
            .await
            .unwrap()
    );
    sleep(SECOND).await;
    assert!(!drained.is_finished());
    // The last one is used once more, and then expires.
    sleep(300 * SECOND).await;
    assert!(cache.cached_target(&token("user-2"), &a.service).is_some());
    let used = Instant::now();
    within("the drain", 601 * SECOND, drained)
        .await
        .unwrap()
        .unwrap();
    assert!(used.elapsed() >= 600 * SECOND);
    drop(announcement);
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_with_expiry_even_while_nothing_runs() {
    let (hub, _) = hub();
    let cache = hub.link_cache(LinkCacheConfig::default()).unwrap();
    let a = node("login", "a");
    link(&cache, 0..3, &a).await;
    let started = Instant::now();
    let drained = within("the drain", 602 * SECOND, cache.drain(&a.node)).await;
    assert!(drained.is_ok() && started.elapsed() >= 600 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_a_handle_that_ends_is_closed() {
    let (hub, _) = hub();
    let cache = cache(&hub).await;
    let (a, _a) = announced(&hub, "a").await;
    link(&cache, 0..1, &a).await;
    let handle = cache.component();
    let (drained, ()) = tokio::join!(handle.drain(&a.node), cache.stop());
    assert_eq!(drained.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(
        handle.count(&a.node).await.unwrap_err().kind(),
        ErrorKind::Closed
    );
    assert_eq!(handle.cached_target(&token("user-0"), &a.service), None);
}

#[tokio::test(start_paused = true)]
async fn discovery_says_who_drains_and_who_is_only_not_ready() {
    let (hub, _) = hub();
    let cache = cache(&hub).await;
    let (a, announcement) = announced(&hub, "a").await;
    link(&cache, 0..1, &a).await;
    announcement
        .update(a.clone().with_state(NodeState::NotReady))
        .await
        .unwrap();
    sleep(60 * SECOND).await;
    assert!(cache.cached_target(&token("user-0"), &a.service).is_some());
    announcement
        .update(a.clone().with_state(NodeState::Draining))
        .await
        .unwrap();
    sleep(SECOND).await;
    let refused = cache.claim(&token("late"), &a).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Rejected);
    assert!(cache.cached_target(&token("user-0"), &a.service).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_token_on_the_unlink_topic_ends_its_links_once() {
    let (hub, _) = hub();
    let fleet = [cache(&hub).await, cache(&hub).await, cache(&hub).await];
    sleep(SECOND).await;
    let (a, _a) = announced(&hub, "a").await;
    link(&fleet[0], 0..2, &a).await;
    let pubsub = hub.pubsub();
    for body in [b"\xff\xfe".to_vec(), b"".to_vec(), b"user-0".to_vec()] {
        pubsub.publish(&Unlink::topic(), body.into()).await.unwrap();
    }
    eventually_eq("the count", SECOND, 1, async || {
        fleet[2].count(&a.node).await.unwrap()
    })
    .await;
    // Who comes back is linked, and no other handle hears the message late.
    link(&fleet[1], 0..1, &a).await;
    sleep(5 * SECOND).await;
    assert_eq!(fleet[2].count(&a.node).await.unwrap(), 2);
    let view = pubsub.inspect(&Unlink::topic()).await.unwrap();
    assert_eq!(view.channels.len(), 1);
    assert_eq!((view.channels[0].lag, view.channels[0].pending), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn another_handle_takes_over_and_misses_nothing() {
    let (hub, _) = hub();
    let mut numbers = Events::of::<LinkNumber>(&hub).await;
    let (first, second) = (cache(&hub).await, cache(&hub).await);
    let (a, announcement) = announced(&hub, "a").await;
    link(&first, 0..3, &a).await;
    assert_eq!(numbers.next::<LinkNumber>().await.number, 3);
    let pubsub = hub.pubsub();
    let unlinks = Unlink::topic();
    let (published, ()) = tokio::join!(pubsub.publish(&unlinks, "user-0".into()), first.stop());
    published.unwrap();
    eventually_eq("the count", SECOND, 2, async || {
        second.count(&a.node).await.unwrap()
    })
    .await;
    assert_eq!(numbers.next::<LinkNumber>().await.number, 2);
    drop(announcement);
    sleep(5 * SECOND).await;
    assert_eq!(numbers.next::<LinkNumber>().await.number, 0);

    second.kill().await;
    let view = pubsub.inspect(&Unlink::topic()).await.unwrap();
    assert_eq!(view.channels.len(), 0, "nobody listens any more");
}

#[tokio::test(start_paused = true)]
async fn counts_are_told_when_they_change_and_coalesced() {
    let (hub, _) = hub();
    let _fleet = [cache(&hub).await, cache(&hub).await, cache(&hub).await];
    let cache = cache(&hub).await;
    sleep(10 * SECOND).await;
    let mut numbers = Events::of::<LinkNumber>(&hub).await;
    let (a, _a) = announced(&hub, "a").await;
    let (b, _b) = announced(&hub, "b").await;
    link(&cache, 0..100, &a).await;
    link(&cache, 100..101, &b).await;
    let mut told = [numbers.next::<LinkNumber>().await, numbers.next().await];
    told.sort_by_key(|told| told.number);
    assert_eq!(told.map(|told| told.number), [1, 100]);
    // Five changes within a second: the first is told at once, the last one behind the interval.
    sleep(5 * SECOND).await;
    for user in 200..205 {
        link(&cache, user..user + 1, &b).await;
        sleep(SECOND / 10).await;
    }
    for number in [2, 6] {
        assert_eq!(numbers.next::<LinkNumber>().await.number, number);
    }
    link(&cache, 0..100, &a).await;
    numbers.none().await;
    assert_eq!(cache.down(&a.node).await.unwrap(), 100);
    let told: LinkNumber = numbers.next().await;
    assert_eq!((told.id, told.number), (a.node.id.clone(), 0));
    numbers.none().await;
}

#[tokio::test(start_paused = true)]
async fn handles_of_one_hub_have_one_configuration() {
    let (hub, _) = hub();
    let _first = hub.link_cache(LinkCacheConfig::default()).unwrap();
    let other = LinkCacheConfig {
        ttl: SECOND,
        ..LinkCacheConfig::default()
    };
    let error = hub.link_cache(other).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("ttl: 600s"), "{error}");
}

/// Discovery that breaks.
#[derive(Debug)]
struct Broken;

impl Component for Broken {
    fn name(&self) -> &'static str {
        "discover-broken"
    }

    fn run(&self, shutdown: Shutdown) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            shutdown.draining().await;
            Ok(())
        })
    }
}

impl Discover for Broken {
    fn announce<'a>(&'a self, _: &'a Node) -> BoxFuture<'a, Result<Announcement>> {
        Box::pin(async { Err(braid_core::discover::announce_unsupported("broken", "x")) })
    }

    fn watch(&self, _: &ServiceName) -> BoxStream<'static, Result<Update>> {
        Box::pin(futures_util::stream::poll_fn(|_| {
            panic!("a defect of discovery")
        }))
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_background_is_the_runs_error() {
    let (hub, clock) = hub();
    let config = LinkCacheConfig::default();
    let (discover, pubsub) = (Arc::new(Broken), Arc::new(hub.pubsub()));
    let cache = LocalLinkCache::new(config, clock, discover, pubsub).unwrap();
    link(&cache, 0..1, &node("login", "a")).await;
    let trigger = ShutdownTrigger::new();
    let error = within("the end", SECOND, cache.run(trigger.shutdown()))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(
        error.to_string().contains("a defect of discovery"),
        "{error}"
    );
    let closed = cache
        .claim(&token("u"), &node("login", "a"))
        .await
        .unwrap_err();
    assert_eq!(closed.kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn links_go_on_when_discovery_and_pub_sub_have_ended() {
    let (hub, clock) = hub();
    let discover = Running::start(Arc::new(hub.discover())).await;
    let pubsub = Running::start(Arc::new(hub.pubsub())).await;
    let cache = LocalLinkCache::new(
        LinkCacheConfig::default(),
        clock,
        discover.component(),
        pubsub.component(),
    );
    let cache = Running::start(Arc::new(cache.unwrap())).await;
    let (a, _a) = announced(&hub, "a").await;
    link(&cache, 0..2, &a).await;
    sleep(SECOND).await;
    discover.stop().await;
    pubsub.stop().await;
    sleep(60 * SECOND).await;
    assert_eq!(cache.count(&a.node).await.unwrap(), 2);
    within("the end", SETTLED, cache.stop()).await;
}

#[tokio::test(start_paused = true)]
async fn services_and_tokens_may_have_any_text() {
    let (hub, _) = hub();
    let cache = cache(&hub).await;
    let long = "日".repeat(85);
    for (i, text) in ["a-b-c", "{x}", "日本語", "a b\0*", &long]
        .into_iter()
        .enumerate()
    {
        let mut node = node(text, &format!("n-{i}"));
        node.service = service(text);
        let _announced = hub.discover().announce(&node).await.unwrap();
        let user = token(&text.repeat(10));
        assert_eq!(cache.claim(&user, &node).await.unwrap(), Claim::Won);
        assert_eq!(
            cache.cached_target(&user, &node.service),
            Some(node.node.clone())
        );
        assert_eq!(cache.leave(&user).await.unwrap(), 1);
    }
}

#[test]
fn threads_that_claim_at_once_agree_and_the_counts_are_right() {
    const USERS: usize = 2000;
    let hub = Hub::new();
    let cache = hub.link_cache(LinkCacheConfig::default()).unwrap();
    let nodes: Vec<Node> = (0..4).map(|i| node("login", &format!("n-{i}"))).collect();
    let start = std::sync::Barrier::new(nodes.len());
    let claim = |node: &Node| {
        start.wait();
        let mut won = 0;
        for user in 0..USERS {
            let user = token(&format!("user-{user}"));
            let claim = futures_util::FutureExt::now_or_never(cache.claim(&user, node));
            let holder = match claim.expect("a claim doesn't wait").unwrap() {
                Claim::Won => {
                    won += 1;
                    node.node.clone()
                }
                Claim::Held(holder) => holder,
            };
            assert_eq!(cache.cached_target(&user, &node.service), Some(holder));
        }
        won
    };
    let won: Vec<usize> = std::thread::scope(|scope| {
        let threads: Vec<_> = nodes
            .iter()
            .map(|node| scope.spawn(|| claim(node)))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let table = &cache.shared.table;
    let counts: Vec<usize> = nodes.iter().map(|node| table.count(&node.node)).collect();
    assert_eq!(counts, won);
    assert_eq!(won.iter().sum::<usize>(), USERS);
}
