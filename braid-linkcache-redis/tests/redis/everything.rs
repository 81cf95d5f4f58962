//! All that there is to do with links, for tests of what it needs.

use crate::support::{LinkFleet, SECOND, token};
use braid_core::{
    Error, LinkCache as _, PubSub as _, Result, SubscribeOptions, Subscription, SystemClock,
    reserved::{Body as _, LinkNumber},
};
use braid_linkcache_redis::{LinkCacheConfig, Mode, RedisLinkCache};
use braid_testkit::{Running, SETTLED};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::timeout,
};

/// Longer than anything takes that isn't refused, shorter than tests wait for the right error.
const PATIENCE: Duration = Duration::from_secs(10);

/// Does everything that there is to do with links, in the background. Gives each error that somebody was told.
pub(crate) fn use_everything(config: LinkCacheConfig) -> UnboundedReceiver<Error> {
    let (told, errors) = unbounded_channel();
    tokio::spawn(async move {
        let told = Told(told);
        let own = LinkCacheConfig {
            mode: Mode::Local,
            namespace: format!("{} apart", config.namespace),
            ..config.clone()
        };
        tokio::join!(everything(config, &told), everything(own, &told));
    });
    errors
}

/// Where errors go, whoever gets them.
struct Told(UnboundedSender<Error>);

impl Told {
    fn of<T>(&self, result: Result<T>) -> Option<T> {
        // Nobody listens any more once the right error was told.
        result.map_err(|error| drop(self.0.send(error))).ok()
    }
}

async fn everything(config: LinkCacheConfig, told: &Told) {
    let config = LinkCacheConfig {
        ttl: 60 * SECOND,
        count_interval: Duration::from_millis(50),
        ..config
    };
    let fleet = LinkFleet::new(config.clone());
    let topic = LinkNumber::topic();
    let channel = "all".try_into().expect("it is legal");
    let numbers = fleet.hub.pubsub();
    let numbers = numbers
        .subscribe(&topic, &channel, SubscribeOptions::ephemeral())
        .await;
    let mut numbers = numbers.expect("the hub has room");
    let (discover, pubsub) = (Arc::new(fleet.hub.discover()), Arc::new(fleet.hub.pubsub()));
    let cache = RedisLinkCache::connect(config, Arc::new(SystemClock), discover, pubsub).await;
    let Some(cache) = told.of(cache) else {
        return;
    };
    let cache = Running::start(Arc::new(cache)).await;
    users(&cache, &fleet, told).await;
    nodes(&cache, &fleet, told).await;
    // A count is published, ends, and is published again: then what was written down of it was removed in between.
    let node = fleet.node("counted").await;
    for _ in 0..2 {
        let user = token();
        told.of(cache.claim(&user, &node).await);
        let one = number(&mut numbers, 1, told).await;
        told.of(cache.unlink(&user, &node.service, &node.node).await);
        // The run's own error says why.
        if one.is_none() || number(&mut numbers, 0, told).await.is_none() {
            break;
        }
    }
    told.of(cache.stop_within(SETTLED).await);
}

async fn users(cache: &RedisLinkCache, fleet: &LinkFleet, told: &Told) {
    let (a, b) = (fleet.node("a").await, fleet.node("b").await);
    let (one, other) = (token(), token());
    for user in [&one, &other] {
        told.of(cache.claim(user, &a).await);
        told.of(cache.target(user, &a.service).await);
    }
    told.of(cache.links(&a.node, 10).await);
    told.of(cache.count(&a.node).await);
    told.of(cache.relink(&one, &a.node, &b).await);
    told.of(cache.unlink(&one, &b.service, &b.node).await);
    told.of(cache.leave(&other).await);
}

async fn nodes(cache: &RedisLinkCache, fleet: &LinkFleet, told: &Told) {
    let (c, d) = (fleet.node("c").await, fleet.node("d").await);
    told.of(cache.claim(&token(), &c).await);
    told.of(cache.down(&c.node).await);
    let drained = timeout(PATIENCE, cache.drain(&d.node)).await;
    told.of(drained.unwrap_or_else(|_| Err(late("a drain"))));
}

/// Waits until this count is published. That it isn't is an error too.
async fn number(numbers: &mut Subscription, number: u64, told: &Told) -> Option<()> {
    let heard = async {
        while let Some(Ok(delivery)) = numbers.next().await {
            let body = LinkNumber::decode(delivery.body()).expect("braid has written it");
            let _ = delivery.ack().await;
            if body.id.as_str() == "counted" && body.number == number {
                return;
            }
        }
    };
    told.of(timeout(PATIENCE, heard).await.map_err(|_| late("a count")))
}

fn late(what: &str) -> Error {
    Error::new(
        braid_core::ErrorKind::Timeout,
        "test",
        "wait",
        what.to_owned(),
    )
}
