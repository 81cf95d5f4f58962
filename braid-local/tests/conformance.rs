//! braid's conformance suites over the in-process backends.

use braid_core::{
    BoxFuture, Clock, Discover, Elector, Fence, LinkCache, Node, NodeRef, PubSub, ServiceName,
};
use braid_local::{ElectorConfig, Hub, HubConfig, LinkCacheConfig, LocalFence, PubSubConfig};
use braid_testkit::{
    Announcements, DiscoverHarness, ElectorHarness, Fleet, Harness, LinkCacheHarness, LinkTimes,
    PubSubHarness, PubSubLimits, TestClock,
};
use std::{sync::Arc, time::Duration};

braid_testkit::conformance! {
    backend = local;
    pubsub = LocalFleet::new();
    discover = LocalFleet::new();
    announce = LocalFleet::new();
    elector = LocalFleet::new();
    linkcache = LocalFleet::new();
}

/// One hub, in paused time.
struct LocalFleet {
    hub: Hub,
    clock: Arc<TestClock>,
    fence: Arc<LocalFence>,
    nodes: Announcements,
    elector: ElectorConfig,
    links: LinkCacheConfig,
}

impl LocalFleet {
    const TOPIC: PubSubConfig = PubSubConfig {
        capacity: 6_000,
        history: 100,
        dedup_window: Duration::from_secs(5),
        forget_after: Some(Duration::from_secs(120)),
    };

    fn new() -> Self {
        let clock = Arc::new(TestClock::new());
        let config = HubConfig {
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            pubsub: Self::TOPIC,
        };
        let hub = Hub::with_config(config).expect("the configuration is in range");
        Self {
            nodes: Announcements::new(Arc::new(hub.discover())),
            hub,
            clock,
            fence: Arc::default(),
            elector: ElectorConfig::default(),
            links: LinkCacheConfig {
                ttl: Duration::from_secs(60),
                ..LinkCacheConfig::default()
            },
        }
    }
}

impl Harness for LocalFleet {}

impl PubSubHarness for LocalFleet {
    fn start(&self, _: NodeRef) -> BoxFuture<'_, Arc<dyn PubSub>> {
        Box::pin(async { Arc::new(self.hub.pubsub()) as _ })
    }

    fn limits(&self) -> PubSubLimits {
        PubSubLimits {
            claim_after: Duration::from_secs(1),
            ephemeral_gone: Duration::ZERO,
            topic_cap: Self::TOPIC.capacity,
            retained: Self::TOPIC.history,
            dedup_window: Self::TOPIC.dedup_window,
            forgotten_after: Duration::from_secs(120),
        }
    }
}

impl Fleet for LocalFleet {
    fn set<'a>(&'a self, node: &'a Node) -> BoxFuture<'a, ()> {
        Box::pin(self.nodes.set(node))
    }

    fn remove<'a>(&'a self, node: &'a NodeRef) -> BoxFuture<'a, ()> {
        Box::pin(self.nodes.remove(node))
    }
}

impl DiscoverHarness for LocalFleet {
    fn start(&self, _: NodeRef) -> BoxFuture<'_, Arc<dyn Discover>> {
        Box::pin(async { Arc::new(self.hub.discover()) as _ })
    }

    fn events(&self, _: &NodeRef) -> Arc<dyn PubSub> {
        Arc::new(self.hub.pubsub())
    }
}

impl ElectorHarness for LocalFleet {
    fn start<'a>(
        &'a self,
        service: &'a ServiceName,
        candidate: NodeRef,
    ) -> BoxFuture<'a, Arc<dyn Elector>> {
        Box::pin(async {
            let config = self.elector.clone();
            let elector = self.hub.elector(service.clone(), candidate, config);
            Arc::new(elector.expect("the defaults are in range")) as _
        })
    }

    fn lease(&self) -> Duration {
        self.elector.lease_duration
    }

    fn clock(&self, _: &NodeRef) -> Arc<TestClock> {
        Arc::clone(&self.clock)
    }

    fn set_reachable(&self, reachable: bool) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.hub.set_leases_reachable(reachable) })
    }

    fn fence(&self) -> Arc<dyn Fence> {
        self.fence.clone()
    }

    fn events(&self, _: &NodeRef) -> Arc<dyn PubSub> {
        Arc::new(self.hub.pubsub())
    }
}

impl LinkCacheHarness for LocalFleet {
    fn start(&self, _: NodeRef) -> BoxFuture<'_, Arc<dyn LinkCache>> {
        Box::pin(async {
            let links = self.hub.link_cache(self.links.clone());
            Arc::new(links.expect("the configuration is in range")) as _
        })
    }

    fn times(&self) -> LinkTimes {
        LinkTimes {
            ttl: self.links.ttl,
            grace: self.links.grace,
        }
    }

    fn clock(&self, _: &NodeRef) -> Arc<TestClock> {
        Arc::clone(&self.clock)
    }

    fn events(&self) -> Arc<dyn PubSub> {
        Arc::new(self.hub.pubsub())
    }
}
