//! Which backend a node uses for each component, and how it is opened.

#[cfg(any(feature = "linkcache-redis", feature = "local"))]
use braid_core::SystemClock;
use braid_core::{Discover, Elector, Error, ErrorKind, LinkCache, PubSub, Result};
#[cfg(feature = "linkcache-redis")]
use braid_linkcache_redis::RedisLinkCache;
#[cfg(feature = "local")]
use braid_local::{Hub, LocalLinkCache};
use std::{sync::Arc, time::Duration};

/// Which pub-sub a node uses.
#[derive(Debug)]
#[non_exhaustive]
#[cfg_attr(
    feature = "pubsub-redis",
    allow(clippy::large_enum_variant, reason = "there is one a node")
)]
pub enum PubSubSection {
    /// The hub's topics, in this process.
    #[cfg(feature = "local")]
    Local,
    /// Topics on Redis. The start connects, and waits for a server that is away as long as the configuration says.
    #[cfg(feature = "pubsub-redis")]
    Redis(braid_pubsub_redis::PubSubConfig),
    /// One that is made already. The director runs it.
    Ready(Arc<dyn PubSub>),
}

/// Which discovery a node uses.
#[derive(Debug)]
#[non_exhaustive]
pub enum DiscoverSection {
    /// The hub's registry, in this process.
    #[cfg(feature = "local")]
    Local,
    /// One that is made already. The director runs it.
    Ready(Arc<dyn Discover>),
}

/// Which link cache a node uses.
#[derive(Debug)]
#[non_exhaustive]
#[cfg_attr(
    feature = "linkcache-redis",
    allow(clippy::large_enum_variant, reason = "there is one a node")
)]
pub enum LinkCacheSection {
    /// Links are kept in this process (the original's mode "local").
    #[cfg(feature = "local")]
    Local(braid_local::LinkCacheConfig),
    /// Links are kept on Redis, for all processes together. The start connects, and waits for a server that is away as long as the
    /// configuration says. The link cache gets the node's own discovery and pub-sub.
    ///
    /// Processes with one namespace have to see the same nodes: what one of them doesn't find in its discovery is gone, and loses its links.
    /// So processes that each have a hub of their own need a namespace each.
    #[cfg(feature = "linkcache-redis")]
    Redis(braid_linkcache_redis::LinkCacheConfig),
    /// One that is made already. The director runs it.
    Ready(Arc<dyn LinkCache>),
    /// None: a call with a token is balanced like any other.
    Off,
}

/// Which elector a node uses.
#[derive(Debug)]
#[non_exhaustive]
pub enum ElectorSection {
    /// The hub's leases, in this process.
    #[cfg(feature = "local")]
    Local(braid_local::ElectorConfig),
    /// One that is made already, for this node as the candidate. The director runs it.
    Ready(Arc<dyn Elector>),
    /// None: this node is no candidate.
    Off,
}

/// How long the steps of a shutdown may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShutdownSection {
    /// How long the node goes on serving after it has said that it is leaving, so that the fleet can notice. Default 100 ms,
    /// which is plenty within a process; a fleet on Kubernetes wants some seconds. Too short: calls arrive at a closed door.
    pub notice: Duration,
    /// How long each component may take to finish what it has in flight. Default 10 s. What isn't done by then is cut off: calls fail,
    /// messages are delivered again elsewhere.
    pub drain: Duration,
}

impl PubSubSection {
    /// The pub-sub, ready to run; `local` is the hub's.
    pub(crate) async fn open(
        self,
        #[cfg(feature = "local")] local: &Arc<dyn PubSub>,
    ) -> Result<Arc<dyn PubSub>> {
        match self {
            #[cfg(feature = "local")]
            Self::Local => Ok(Arc::clone(local)),
            #[cfg(feature = "pubsub-redis")]
            Self::Redis(config) => {
                // Boxed: it is large, and who starts a node without it would carry it along.
                let connect = Box::pin(braid_pubsub_redis::RedisPubSub::connect(config));
                Ok(Arc::new(connect.await?))
            }
            Self::Ready(pubsub) => Ok(pubsub),
        }
    }
}

impl LinkCacheSection {
    /// The link cache, ready to run; `hub` is the node's where its discovery and pub-sub are that hub's.
    #[cfg_attr(
        not(any(feature = "linkcache-redis", feature = "local")),
        allow(unused_variables, reason = "what is ready-made has its own")
    )]
    pub(crate) async fn open(
        self,
        #[cfg(feature = "local")] hub: Option<&Hub>,
        discover: &Arc<dyn Discover>,
        pubsub: &Arc<dyn PubSub>,
    ) -> Result<Option<Arc<dyn LinkCache>>> {
        Ok(Some(match self {
            #[cfg(feature = "local")]
            Self::Local(config) => Arc::new(match hub {
                Some(hub) => hub.link_cache(config)?,
                None => LocalLinkCache::new(
                    config,
                    Arc::new(SystemClock),
                    Arc::clone(discover),
                    Arc::clone(pubsub),
                )?,
            }),
            #[cfg(feature = "linkcache-redis")]
            Self::Redis(config) => {
                let (discover, pubsub) = (Arc::clone(discover), Arc::clone(pubsub));
                let clock = Arc::new(SystemClock);
                // Boxed for the same reason as the pub-sub's.
                let connect = Box::pin(RedisLinkCache::connect(config, clock, discover, pubsub));
                Arc::new(connect.await?)
            }
            Self::Ready(links) => links,
            Self::Off => return Ok(None),
        }))
    }
}

impl Default for ShutdownSection {
    fn default() -> Self {
        Self {
            notice: Duration::from_millis(100),
            drain: Duration::from_secs(10),
        }
    }
}

/// The section, or the error that says what to do about its absence.
pub(crate) fn required<T>(section: Option<T>, name: &'static str) -> Result<T> {
    section.ok_or_else(|| {
        let text = format!("no {name} is configured: name one with `DefaultDirector::{name}(...)`");
        Error::new(ErrorKind::Config, "braid", "start", text)
    })
}

macro_rules! section {
    ($section:ident: $backend:ident) => {
        impl From<Arc<dyn $backend>> for $section {
            fn from(backend: Arc<dyn $backend>) -> Self {
                Self::Ready(backend)
            }
        }
    };
    ($section:ident: $backend:ident, $config:ident) => {
        section!($section: $backend);

        #[cfg(feature = "local")]
        impl From<braid_local::$config> for $section {
            fn from(config: braid_local::$config) -> Self {
                Self::Local(config)
            }
        }
    };
}

section!(PubSubSection: PubSub);
#[cfg(feature = "pubsub-redis")]
impl From<braid_pubsub_redis::PubSubConfig> for PubSubSection {
    fn from(config: braid_pubsub_redis::PubSubConfig) -> Self {
        Self::Redis(config)
    }
}

section!(DiscoverSection: Discover);
section!(LinkCacheSection: LinkCache, LinkCacheConfig);
#[cfg(feature = "linkcache-redis")]
impl From<braid_linkcache_redis::LinkCacheConfig> for LinkCacheSection {
    fn from(config: braid_linkcache_redis::LinkCacheConfig) -> Self {
        Self::Redis(config)
    }
}

section!(ElectorSection: Elector, ElectorConfig);
