//! The pub-sub suite on every kind of server.

use crate::rights;
use braid_core::{BoxFuture, NodeRef, PubSub};
use braid_pubsub_redis::{PubSubConfig, RedisConfig, RedisPubSub};
use braid_redis::TlsConfig;
use braid_testkit::{
    Harness, PubSubHarness, PubSubLimits, real_time,
    redis::{RedisServer, shared, shared_cluster, shared_sentinel},
};
use std::{sync::Arc, time::Duration};
use tokio::{runtime::Runtime, sync::OnceCell};

/// Servers that are set up for the suite. Cases share one, and have topics of their own.
struct OnRedis {
    redis: RedisConfig,
    topic_prefix: &'static str,
}

impl OnRedis {
    const CAPACITY: usize = 6_000;

    fn at(url: String) -> Self {
        Self {
            redis: RedisConfig::new(url),
            topic_prefix: "",
        }
    }

    async fn plain() -> Self {
        Self::at(shared().await.url())
    }

    /// Three primaries.
    async fn cluster() -> Self {
        Self::at(shared_cluster().await.url())
    }

    /// The primary is found by way of three sentinels.
    async fn sentinel() -> Self {
        Self::at(shared_sentinel().await.url())
    }

    /// TLS only, and a user with the rules of the README, which permit only topics of one pattern.
    async fn tls() -> Self {
        static SERVER: OnceCell<RedisServer> = OnceCell::const_new();
        let start = || {
            let user = rights::user("braid", "suite.*");
            RedisServer::builder().tls(true).acl(&[&user]).start()
        };
        let server = SERVER.get_or_init(start).await;
        let redis = RedisConfig {
            tls: TlsConfig {
                ca_file: Some(server.tls_ca_pem_file()),
                ..TlsConfig::default()
            },
            ..RedisConfig::new(server.url_as("braid", "secret"))
        };
        Self {
            redis,
            topic_prefix: "suite.",
        }
    }
}

impl Harness for OnRedis {
    fn runtime() -> Runtime {
        real_time()
    }

    // Several cases run at a time, on few cores.
    fn slack(&self) -> Duration {
        Duration::from_secs(2)
    }
}

impl PubSubHarness for OnRedis {
    fn start(&self, _: NodeRef) -> BoxFuture<'_, Arc<dyn PubSub>> {
        Box::pin(async {
            let config = PubSubConfig {
                redis: self.redis.clone(),
                capacity: Self::CAPACITY,
                block: Duration::from_secs(3),
                dedup_window: Duration::from_secs(4),
                ephemeral_after: Duration::from_secs(3),
                forget_after: Some(Duration::from_secs(9)),
                retention_interval: Duration::from_millis(300),
                ..PubSubConfig::default()
            };
            let pubsub = RedisPubSub::connect(config).await;
            Arc::new(pubsub.unwrap_or_else(|error| panic!("connect: {error}"))) as _
        })
    }

    fn limits(&self) -> PubSubLimits {
        PubSubLimits {
            claim_after: Duration::from_secs(2),
            ephemeral_gone: Duration::from_secs(4),
            topic_cap: Self::CAPACITY,
            retained: 0,
            dedup_window: Duration::from_secs(4),
            forgotten_after: Duration::from_secs(10),
        }
    }

    fn topic_prefix(&self) -> &str {
        self.topic_prefix
    }
}

braid_testkit::conformance! {
    backend = redis;
    pubsub = OnRedis::plain().await;
}

/// A module each: the macro's has the same name every time.
mod cluster {
    use super::OnRedis;
    braid_testkit::conformance! {
        backend = redis_cluster;
        pubsub = OnRedis::cluster().await;
    }
}

mod sentinel {
    use super::OnRedis;
    braid_testkit::conformance! {
        backend = redis_sentinel;
        pubsub = OnRedis::sentinel().await;
    }
}

mod tls {
    use super::OnRedis;
    braid_testkit::conformance! {
        backend = redis_tls;
        pubsub = OnRedis::tls().await;
    }
}
