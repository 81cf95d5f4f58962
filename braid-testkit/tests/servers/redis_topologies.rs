//! Servers with TLS, clusters and sentinels.

use braid_testkit::{
    SETTLED, eventually,
    redis::{
        Connection, RedisCluster, RedisSentinel, RedisServer, shared_cluster, shared_sentinel,
    },
};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

/// Connects as a client that trusts only this authority.
async fn connect(
    server: &RedisServer,
    authority: &RedisServer,
    name: &str,
) -> std::io::Result<Connection> {
    let mut roots = RootCertStore::empty();
    let file = authority.tls_ca_pem_file();
    roots
        .add(CertificateDer::from_pem_file(file).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(server.addr()).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    Ok(Connection::over(stream))
}

#[tokio::test]
async fn server_with_tls_and_rules_is_reached_by_its_authority_only() {
    let braid = "braid on >secret ~braid:* +get +set";
    let server = RedisServer::builder().tls(true).acl(&[braid]).start().await;
    for name in ["127.0.0.1", "localhost"] {
        let mut connection = connect(&server, &server, name).await.unwrap();
        let mut as_braid =
            async |command: &[&str]| connection.command(command).await.unwrap().text();
        assert_eq!(as_braid(&["AUTH", "braid", "secret"]).await, "OK");
        assert_eq!(as_braid(&["SET", "braid:key", "value"]).await, "OK");
    }
    let other = RedisServer::builder().tls(true).start().await;
    assert!(connect(&server, &other, "localhost").await.is_err());
    let mut plain = Connection::connect(server.addr()).await.unwrap();
    assert!(plain.command(&["PING"]).await.is_err());
    // The testkit itself needs none, and it lasts over a restart.
    assert_eq!(server.command(&["GET", "braid:key"]).await.text(), "value");
    server.restart().await;
    connect(&server, &server, "localhost").await.unwrap();
    let url = format!("rediss://braid:secret@{}", server.addr());
    assert_eq!(server.url_as("braid", "secret"), url);
    assert_eq!(other.url(), format!("rediss://{}", other.addr()));
}

#[tokio::test]
async fn cluster_shares_the_slots_and_outlives_a_restart() {
    let cluster = RedisCluster::start(3).await;
    let [a, b, c] = cluster.nodes() else {
        panic!("three nodes")
    };
    let expected = format!(
        "redis-cluster://{}?node={}&node={}",
        a.addr(),
        b.addr(),
        c.addr()
    );
    assert_eq!(cluster.url(), expected);
    // Slots 5061, 7365 and 12182.
    for (key, owner) in [("bar", a), ("c", b), ("foo", c)] {
        for node in cluster.nodes() {
            let reply = node
                .try_command(&["SET", key, "value"])
                .await
                .unwrap()
                .text();
            let expected = match node.port() == owner.port() {
                true => "OK".to_owned(),
                false => format!(
                    "MOVED {} {}",
                    reply.split(' ').nth(1).unwrap(),
                    owner.addr()
                ),
            };
            assert_eq!(reply, expected, "{key} on {node:?}");
        }
    }
    a.kill();
    a.restart().await;
    cluster.ready().await;
    assert_eq!(a.command(&["SET", "bar", "value"]).await.text(), "OK");
}

#[tokio::test]
async fn cluster_of_one_works() {
    let cluster = RedisCluster::start(1).await;
    cluster.nodes()[0].command(&["SET", "foo", "value"]).await;
}

async fn fails_over(sentinel: &RedisSentinel) {
    let (first, second) = (sentinel.primary().port(), sentinel.replica().port());
    // WAIT is for the writes of its own connection.
    let mut connection = sentinel.primary().connect().await.unwrap();
    connection.command(&["SET", "key", "value"]).await.unwrap();
    let replicas = connection.command(&["WAIT", "1", "0"]).await.unwrap();
    assert_eq!(replicas.integer(), Some(1));
    let next = sentinel.failover().await;
    assert_eq!((next.port(), sentinel.replica().port()), (second, first));
    assert_eq!(next.command(&["GET", "key"]).await.text(), "value");
    next.command(&["SET", "key", "other"]).await;
    // The former one comes back as a replica.
    sentinel.replica().restart().await;
    eventually("a replica in step", SETTLED, async || {
        sentinel.replica().command(&["GET", "key"]).await.text() == "other"
    })
    .await;
}

#[tokio::test]
async fn sentinels_make_the_replica_the_primary() {
    let sentinel = RedisSentinel::start().await;
    let [a, b, c] = sentinel.sentinels() else {
        panic!("three sentinels")
    };
    let expected = format!(
        "redis-sentinel://{}?node={}&node={}&sentinelServiceName=main",
        a.addr(),
        b.addr(),
        c.addr()
    );
    assert_eq!(sentinel.url(), expected);
    fails_over(&sentinel).await;
}

#[tokio::test]
async fn sentinel_with_a_password_fails_over_too() {
    let servers = RedisServer::builder().password("secret");
    let sentinel = RedisSentinel::builder()
        .sentinels(1)
        .servers(servers)
        .start()
        .await;
    let mut connection = Connection::connect(sentinel.sentinels()[0].addr())
        .await
        .unwrap();
    assert!(connection.command(&["PING"]).await.unwrap().is_error());
    let expected = format!(
        "redis-sentinel://default:secret@{}?sentinelServiceName=main&sentinelUsername=default&sentinelPassword=secret",
        sentinel.sentinels()[0].addr(),
    );
    assert_eq!(sentinel.url(), expected);
    fails_over(&sentinel).await;
}

#[tokio::test]
async fn shared_topologies_are_started_once() {
    let (one, other) = tokio::join!(shared_cluster(), shared_cluster());
    assert!(std::ptr::eq(one, other));
    let (one, other) = tokio::join!(shared_sentinel(), shared_sentinel());
    assert!(std::ptr::eq(one, other));
}
