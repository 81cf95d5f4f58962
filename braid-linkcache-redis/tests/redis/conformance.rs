//! The suite of links on every kind of server.

use crate::{
    rights,
    support::{LinkFleet, quick},
};
use braid_redis::TlsConfig;
use braid_testkit::redis::{RedisServer, shared, shared_cluster, shared_sentinel};
use tokio::sync::OnceCell;

async fn plain() -> LinkFleet {
    LinkFleet::new(quick(shared().await.url()))
}

/// Three primaries.
async fn cluster() -> LinkFleet {
    LinkFleet::new(quick(shared_cluster().await.url()))
}

/// The primary is found by way of three sentinels.
async fn sentinel() -> LinkFleet {
    LinkFleet::new(quick(shared_sentinel().await.url()))
}

/// TLS only, and a user with the rules of the README.
async fn tls() -> LinkFleet {
    static SERVER: OnceCell<RedisServer> = OnceCell::const_new();
    let start = || {
        let user = rights::user();
        RedisServer::builder().tls(true).acl(&[&user]).start()
    };
    let server = SERVER.get_or_init(start).await;
    let mut config = quick(server.url_as("braid", "secret"));
    config.redis.tls = TlsConfig {
        ca_file: Some(server.tls_ca_pem_file()),
        ..TlsConfig::default()
    };
    LinkFleet::new(config)
}

braid_testkit::conformance! {
    backend = redis;
    linkcache = plain().await;
}

/// A module each: the macro's has the same name every time.
mod on_a_cluster {
    use super::cluster;
    braid_testkit::conformance! {
        backend = redis_cluster;
        linkcache = cluster().await;
    }
}

mod behind_sentinel {
    use super::sentinel;
    braid_testkit::conformance! {
        backend = redis_sentinel;
        linkcache = sentinel().await;
    }
}

mod over_tls {
    use super::tls;
    braid_testkit::conformance! {
        backend = redis_tls;
        linkcache = tls().await;
    }
}
