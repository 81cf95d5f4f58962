//! What the fleet runs on: everything in this process, or its topics on Redis.

use crate::args::Redis;
use braid::{
    DefaultDirector, Error, LinkCache, LinkCacheSection, Result,
    local::{Hub, LinkCacheConfig},
    redis::PubSubConfig,
};
#[cfg(unix)]
use braid_testkit::redis::RedisServer;
use std::{sync::Arc, time::Duration};

/// What the nodes of the fleet share.
pub(crate) struct Backends {
    hub: Hub,
    /// Where topics are; `None`: in the hub.
    redis: Option<PubSubConfig>,
    /// The one that was started for this run. It ends when it is dropped, after the nodes.
    #[cfg(unix)]
    _server: Option<RedisServer>,
}

impl Backends {
    /// Starts what has to be started.
    pub(crate) async fn prepare(redis: Option<&Redis>) -> std::result::Result<Self, String> {
        #[cfg(unix)]
        let mut spawned = None;
        let url = match redis {
            None => None,
            Some(Redis::At(url)) => Some(url.clone()),
            #[cfg(unix)]
            Some(Redis::Spawn) => {
                let server = RedisServer::builder().try_start().await;
                let server = server.map_err(|error| format!("--redis spawn: {error}"))?;
                println!(
                    "Topics are on a Redis server of this run, {}.",
                    server.addr()
                );
                Some(spawned.insert(server).url())
            }
            #[cfg(not(unix))]
            Some(Redis::Spawn) => {
                return Err(
                    "--redis spawn works on Unix only: start a server and name it, \
                            --redis redis://127.0.0.1:6379"
                        .into(),
                );
            }
        };
        let redis = url.map(|url| {
            let mut config = PubSubConfig::new(url);
            // Somebody is looking on.
            config.redis.start_timeout = Duration::from_secs(3);
            config
        });
        let backends = Self {
            hub: Hub::new(),
            redis,
            #[cfg(unix)]
            _server: spawned,
        };
        match backends.redis.as_ref().map(PubSubConfig::validate) {
            Some(Err(error)) => Err(backends.advice(&error)),
            Some(Ok(())) | None => Ok(backends),
        }
    }

    /// The composition of one more node.
    pub(crate) fn director(&self) -> Result<DefaultDirector> {
        let director = DefaultDirector::local_in(&self.hub);
        let Some(redis) = &self.redis else {
            return Ok(director);
        };
        // With topics from elsewhere, each node would keep links of its own, as processes do that share nothing but topics. These
        // nodes share more, so that one that leaves can hand back the links that the gate made.
        let links = self.hub.link_cache(LinkCacheConfig::default())?;
        let links: Arc<dyn LinkCache> = Arc::new(links);
        Ok(director
            .pubsub(redis.clone())
            .linkcache(LinkCacheSection::Ready(links)))
    }

    /// What to do about a fleet that doesn't start.
    pub(crate) fn advice(&self, error: &Error) -> String {
        if self.redis.is_some() && ["pubsub-redis", "redis"].contains(&error.component()) {
            return format!(
                "{error}\n\n--redis takes the URL of a Redis server from 7.0 on that runs: start one by `redis-server`, which is at \
                 redis://127.0.0.1:6379 then, or let the quickstart start one: --redis spawn"
            );
        }
        error.to_string()
    }
}
