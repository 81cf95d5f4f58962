//! The hub: what the nodes of an in-process fleet share.

use crate::{
    ElectorConfig, LinkCacheConfig, LocalDiscover, LocalElector, LocalLinkCache, LocalPubSub,
    PubSubConfig,
    discover::Registry,
    elector::Leases,
    lifecycle::lock,
    linkcache::{self, Shared},
    pubsub::Broker,
};
use braid_core::{Clock, Error, ErrorKind, NodeRef, Result, ServiceName, SystemClock};
use std::sync::{Arc, Mutex};

/// An in-process fleet: its topics, its registry, its leases, its links. Cloning is cheap, and clones are the same fleet.
///
/// Every node takes handles of its own, so that each runs and ends by itself. What the handles share lives as long as the hub or
/// any of them, and no longer: nothing survives the process.
///
/// ```
/// use braid_core::{Component, NodeRef};
/// use braid_local::{ElectorConfig, Hub};
///
/// let hub = Hub::new();
/// let (here, there) = (hub.pubsub(), hub.pubsub());
/// let node = NodeRef::random("login-1".try_into()?);
/// let elector = hub.elector("login".try_into()?, node, ElectorConfig::default())?;
/// assert_eq!(elector.name(), "elector-local");
/// # let _ = (here, there);
/// # Ok::<(), braid_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Hub(Arc<Inner>);

/// What a hub is made with.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// Judges what is over: leases, links, claims of deliveries. Default [`SystemClock`]. Tests inject one that they move; whoever waits
    /// looks at it at least once a second.
    pub clock: Arc<dyn Clock>,
    /// How much topics hold.
    pub pubsub: PubSubConfig,
}

#[derive(Debug)]
struct Inner {
    clock: Arc<dyn Clock>,
    broker: Arc<Broker>,
    registry: Arc<Registry>,
    leases: Arc<Leases>,
    /// Made by the first handle.
    links: Mutex<Option<Arc<Shared>>>,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            pubsub: PubSubConfig::default(),
        }
    }
}

impl HubConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// `Config`, naming the field.
    pub fn validate(&self) -> Result<()> {
        self.pubsub.validate()
    }
}

impl Hub {
    /// A fleet with the default configuration.
    #[must_use]
    pub fn new() -> Self {
        Self::checked(HubConfig::default())
    }

    /// A fleet with this configuration.
    ///
    /// # Errors
    /// `Config`: a value is out of range.
    pub fn with_config(config: HubConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self::checked(config))
    }

    fn checked(HubConfig { clock, pubsub }: HubConfig) -> Self {
        let broker = Broker::new(pubsub, Arc::clone(&clock));
        Self(Arc::new(Inner {
            registry: Arc::new(Registry::new(Arc::clone(&broker))),
            leases: Arc::default(),
            links: Mutex::default(),
            clock,
            broker,
        }))
    }

    /// One more node's pub-sub.
    #[must_use]
    pub fn pubsub(&self) -> LocalPubSub {
        LocalPubSub::new(Arc::clone(&self.0.broker))
    }

    /// One more node's discovery.
    #[must_use]
    pub fn discover(&self) -> LocalDiscover {
        LocalDiscover::new(Arc::clone(&self.0.registry))
    }

    /// One more candidate for being the master of `service`.
    ///
    /// # Errors
    /// `Config`: a value is out of range.
    pub fn elector(
        &self,
        service: ServiceName,
        candidate: NodeRef,
        config: ElectorConfig,
    ) -> Result<LocalElector> {
        let clock = Arc::clone(&self.0.clock);
        let broker = Arc::clone(&self.0.broker);
        LocalElector::new(service, candidate, config, clock, &self.0.leases, broker)
    }

    /// One more node's view of the hub's links, which follow the hub's own discovery and pub-sub.
    ///
    /// # Errors
    /// `Config`: a value is out of range, or it isn't the one that the hub's links were made with.
    pub fn link_cache(&self, config: LinkCacheConfig) -> Result<LocalLinkCache> {
        config.validate()?;
        let mut links = lock(&self.0.links);
        let shared = links.get_or_insert_with(|| {
            // Handles that only the links use: no node's end closes them.
            let discover = Arc::new(self.discover());
            let pubsub = Arc::new(self.pubsub());
            let clock = Arc::clone(&self.0.clock);
            Arc::new(Shared::new(config.clone(), clock, discover, pubsub))
        });
        if *shared.config() != config {
            let text = format!(
                "the hub's links were made with {:?}, not with {config:?}",
                shared.config()
            );
            return Err(Error::new(
                ErrorKind::Config,
                linkcache::NAME,
                "config",
                text,
            ));
        }
        Ok(LocalLinkCache::on(shared))
    }

    /// For tests of what a master does then: with `false` its leases can't be reached, as if the server that keeps them were
    /// away. A leader that can't renew steps down after [`renew_deadline`](ElectorConfig::renew_deadline). Links, topics and nodes
    /// aren't affected.
    pub fn set_leases_reachable(&self, reachable: bool) {
        self.0.leases.set_reachable(reachable);
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}
