//! One server, cluster and so on for all tests of a program. Each ends with the process. Whoever stops or floods servers needs some of
//! their own; everyone else needs names that no other test uses.

use super::{cluster::RedisCluster, sentinel::RedisSentinel, server::RedisServer};
use std::time::Duration;
use tokio::sync::OnceCell;

/// One server for all tests of this program, as [`RedisServer::builder`] makes it, started when it is first asked for. It ends with the
/// process. Whoever stops or floods it spoils it for the others; everyone else needs names that no other test uses.
///
/// # Panics
/// When it doesn't start.
pub async fn shared() -> &'static RedisServer {
    static SERVER: OnceCell<RedisServer> = OnceCell::const_new();
    SERVER.get_or_init(|| RedisServer::builder().start()).await
}

/// One cluster of three primaries for all tests of this program, as [`shared`] is one server. They take each other for dead only after a
/// minute.
///
/// # Panics
/// When it doesn't start.
pub async fn shared_cluster() -> &'static RedisCluster {
    static CLUSTER: OnceCell<RedisCluster> = OnceCell::const_new();
    let start = async || {
        let cluster = RedisCluster::start(3).await;
        for node in cluster.nodes() {
            node.command(&["CONFIG", "SET", "cluster-node-timeout", "60000"])
                .await;
        }
        cluster
    };
    CLUSTER.get_or_init(start).await
}

/// One primary with replica and sentinels for all tests of this program, as [`shared`] is one server. They don't fail over within a minute.
///
/// # Panics
/// When it doesn't start.
pub async fn shared_sentinel() -> &'static RedisSentinel {
    static SENTINEL: OnceCell<RedisSentinel> = OnceCell::const_new();
    let start = || {
        RedisSentinel::builder()
            .down_after(Duration::from_secs(60))
            .start()
    };
    SENTINEL.get_or_init(start).await
}
