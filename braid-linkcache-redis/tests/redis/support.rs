//! A fleet on one server: discovery and topics in the process, links on Redis, under a name of its own.

use braid_core::{BoxFuture, Claim, Clock, LinkCache, Node, NodeRef, PubSub, SystemClock, Token};
use braid_linkcache_redis::{LinkCacheConfig, RedisLinkCache};
use braid_local::Hub;
use braid_testkit::{
    Announcements, Fleet, Harness, LinkCacheHarness, LinkTimes, Running, SETTLED, TestClock,
    eventually_eq, real_time, within,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{runtime::Runtime, time::sleep};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) type Cache = Running<RedisLinkCache>;

/// Times as short as a busy machine bears.
pub(crate) fn quick(url: impl Into<String>) -> LinkCacheConfig {
    let mut config = LinkCacheConfig {
        namespace: uuid(),
        ttl: 3 * SECOND,
        grace: SECOND,
        staleness: SECOND,
        count_interval: Duration::from_millis(200),
        ..LinkCacheConfig::new(url)
    };
    config.redis.reconnect_min = Duration::from_millis(10);
    config.redis.reconnect_max = Duration::from_millis(100);
    config
}

/// Links a token that isn't linked yet.
pub(crate) async fn link(cache: &Cache, token: &Token, node: &Node) {
    let claim = within("the claim", SETTLED, cache.claim(token, node)).await;
    assert_eq!(claim.expect("it is permitted"), Claim::Won);
}

/// Waits until the process answers for this link from memory.
pub(crate) async fn remembered(cache: &Cache, token: &Token, node: &Node) {
    let expected = Some(node.node.clone());
    eventually_eq("the link is remembered", SETTLED, expected, async || {
        let _ = cache.target(token, &node.service).await;
        cache.cached_target(token, &node.service)
    })
    .await;
}

/// Looks until the process doesn't answer for this link from memory any more. Gives the moment before the last look at which it did.
pub(crate) async fn last_answer(cache: &Cache, token: &Token, node: &Node) -> Option<Instant> {
    let mut last = None;
    let looks = async {
        loop {
            let moment = Instant::now();
            if cache.cached_target(token, &node.service).as_ref() != Some(&node.node) {
                return;
            }
            last = Some(moment);
            sleep(Duration::from_millis(1)).await;
        }
    };
    within("the end of the old answer", SETTLED, looks).await;
    last
}

/// A name that no other fleet has.
fn uuid() -> String {
    NodeRef::random("x".try_into().expect("it is legal"))
        .uid
        .to_string()
}

/// A user whom no other test has.
pub(crate) fn token() -> Token {
    Token::new(uuid()).expect("it is legal")
}

/// Processes that see the same nodes and topics.
pub(crate) struct LinkFleet {
    pub(crate) hub: Hub,
    pub(crate) nodes: Announcements,
    pub(crate) config: LinkCacheConfig,
    clocks: Mutex<HashMap<NodeRef, Arc<TestClock>>>,
}

impl LinkFleet {
    pub(crate) fn new(config: LinkCacheConfig) -> Self {
        let hub = Hub::new();
        Self {
            nodes: Announcements::new(Arc::new(hub.discover())),
            hub,
            config,
            clocks: Mutex::default(),
        }
    }

    /// One more process, on a clock.
    pub(crate) async fn connect(
        &self,
        config: LinkCacheConfig,
        clock: Arc<dyn Clock>,
    ) -> RedisLinkCache {
        let (discover, pubsub) = (Arc::new(self.hub.discover()), Arc::new(self.hub.pubsub()));
        let cache = RedisLinkCache::connect(config, clock, discover, pubsub).await;
        cache.unwrap_or_else(|error| panic!("connect: {error}"))
    }

    /// A node of `login` that everybody sees.
    pub(crate) async fn node(&self, id: &str) -> Node {
        self.node_of("login", id).await
    }

    /// A node that everybody sees.
    pub(crate) async fn node_of(&self, service: &str, id: &str) -> Node {
        let service = service.try_into().expect("it is legal");
        let node = NodeRef::random(id.try_into().expect("it is legal"));
        let node = Node::new(service, node, ([127, 0, 0, 1], 1).into());
        self.nodes.set(&node).await;
        node
    }

    /// One more process, which runs.
    pub(crate) async fn cache(&self) -> Cache {
        self.cache_with(self.config.clone()).await
    }

    /// One more process with values of its own, which runs.
    pub(crate) async fn cache_with(&self, config: LinkCacheConfig) -> Cache {
        let cache = self.connect(config, Arc::new(SystemClock)).await;
        Running::start(Arc::new(cache)).await
    }
}

impl Harness for LinkFleet {
    fn runtime() -> Runtime {
        real_time()
    }

    // Several cases run at a time, on few cores.
    fn slack(&self) -> Duration {
        2 * SECOND
    }
}

impl Fleet for LinkFleet {
    fn set<'a>(&'a self, node: &'a Node) -> BoxFuture<'a, ()> {
        Box::pin(self.nodes.set(node))
    }

    fn remove<'a>(&'a self, node: &'a NodeRef) -> BoxFuture<'a, ()> {
        Box::pin(self.nodes.remove(node))
    }
}

impl LinkCacheHarness for LinkFleet {
    fn start(&self, owner: NodeRef) -> BoxFuture<'_, Arc<dyn LinkCache>> {
        Box::pin(async {
            let clock = Arc::new(TestClock::new());
            {
                let mut clocks = self.clocks.lock().unwrap_or_else(PoisonError::into_inner);
                clocks.insert(owner, Arc::clone(&clock));
            }
            Arc::new(self.connect(self.config.clone(), clock).await) as _
        })
    }

    fn times(&self) -> LinkTimes {
        LinkTimes {
            ttl: self.config.ttl,
            grace: self.config.grace,
        }
    }

    fn clock(&self, owner: &NodeRef) -> Arc<TestClock> {
        let clocks = self.clocks.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&clocks[owner])
    }

    fn events(&self) -> Arc<dyn PubSub> {
        Arc::new(self.hub.pubsub())
    }
}
