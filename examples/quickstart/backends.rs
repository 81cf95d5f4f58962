//! What the fleet runs on: everything in this process, or its topics and links on Redis.

use crate::args::Redis;
use braid::{
    DefaultDirector, Error,
    local::Hub,
    redis::{LinkCacheConfig, PubSubConfig},
};
#[cfg(unix)]
use braid_testkit::redis::RedisServer;
use std::time::Duration;

/// What the nodes of the fleet share.
pub(crate) struct Backends {
    hub: Hub,
    /// Where topics and links are; `None`: in the hub.
    redis: Option<(PubSubConfig, LinkCacheConfig)>,
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
                    "Topics and links are on a Redis server of this run, {}.",
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
            let mut topics = PubSubConfig::new(url.clone());
            let mut links = LinkCacheConfig {
                // Other fleets on the server have nodes that this one doesn't see.
                namespace: "quickstart".to_owned(),
                ..LinkCacheConfig::new(url)
            };
            // Somebody is looking on.
            for redis in [&mut topics.redis, &mut links.redis] {
                redis.start_timeout = Duration::from_secs(3);
            }
            (topics, links)
        });
        let backends = Self {
            hub: Hub::new(),
            redis,
            #[cfg(unix)]
            _server: spawned,
        };
        if let Some((topics, links)) = &backends.redis {
            let valid = topics.validate().and_then(|()| links.validate());
            valid.map_err(|error| backends.advice(&error))?;
        }
        Ok(backends)
    }

    /// The composition of one more node.
    pub(crate) fn director(&self) -> DefaultDirector {
        let director = DefaultDirector::local_in(&self.hub);
        match &self.redis {
            Some((topics, links)) => director.pubsub(topics.clone()).linkcache(links.clone()),
            None => director,
        }
    }

    /// What to do about a fleet that doesn't start.
    pub(crate) fn advice(&self, error: &Error) -> String {
        let of_redis = ["linkcache-redis", "pubsub-redis", "redis"];
        if self.redis.is_some() && of_redis.contains(&error.component()) {
            return format!(
                "{error}\n\n--redis takes the URL of a Redis server from 7.0 on that runs: start one by `redis-server`, which is at \
                 redis://127.0.0.1:6379 then, or let the quickstart start one: --redis spawn"
            );
        }
        error.to_string()
    }
}
