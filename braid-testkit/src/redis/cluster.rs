//! A Redis Cluster.

use super::{builder::Mode, server::RedisServer};
use crate::{SETTLED, eventually};
use futures_util::future::join_all;

/// What keys are spread over.
const SLOTS: usize = 16_384;

/// A Redis Cluster of primaries without replicas, which share the slots evenly. Dropping it kills its servers.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// A cluster of so many primaries, once every node of it says that it works; that takes it two seconds at least.
    ///
    /// # Panics
    /// When it doesn't come about, or is to have no node.
    pub async fn start(primaries: usize) -> Self {
        assert!(primaries > 0, "a cluster has a node");
        let start = |_| {
            let mut builder = RedisServer::builder().config("cluster-node-timeout", "2000");
            builder.mode = Mode::ClusterNode;
            builder.start()
        };
        let nodes = join_all((0..primaries).map(start)).await;
        for (number, node) in nodes.iter().enumerate() {
            let first = number * SLOTS / primaries;
            let last = (number + 1) * SLOTS / primaries - 1;
            let (first, last) = (first.to_string(), last.to_string());
            let epoch = (number + 1).to_string();
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await;
            node.command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last])
                .await;
        }
        for node in &nodes[1..] {
            let bus = node.command(&["CONFIG", "GET", "cluster-port"]).await;
            let bus = bus.items()[1].text();
            let port = node.port().to_string();
            nodes[0]
                .command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus])
                .await;
        }
        let cluster = Self { nodes };
        cluster.ready().await;
        cluster
    }

    /// The primaries.
    #[must_use]
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// `redis-cluster://127.0.0.1:port?node=127.0.0.1:port&...`, with every node.
    #[must_use]
    pub fn url(&self) -> String {
        let nodes: Vec<_> = self.nodes.iter().map(RedisServer::addr).collect();
        let others: Vec<_> = nodes[1..]
            .iter()
            .map(|addr| format!("node={addr}"))
            .collect();
        format!("redis-cluster://{}?{}", nodes[0], others.join("&"))
    }

    /// Waits until every node says that the cluster works, as after a restart of one.
    ///
    /// # Panics
    /// When that doesn't happen.
    pub async fn ready(&self) {
        let nodes = self.nodes.len();
        let looks = self.nodes.iter().map(|node| {
            eventually("a cluster that works", SETTLED, async move || {
                let Ok(reply) = node.try_command(&["CLUSTER", "INFO"]).await else {
                    return false;
                };
                let is = |field, value: usize| reply.field(field) == Some(value.to_string());
                reply.field("cluster_state").as_deref() == Some("ok")
                    && is("cluster_known_nodes", nodes)
                    && is("cluster_size", nodes)
                    && is("cluster_slots_ok", SLOTS)
            })
        });
        join_all(looks).await;
    }
}
