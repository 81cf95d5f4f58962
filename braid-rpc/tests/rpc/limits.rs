//! Message sizes: capped on both sides, both ways, and the connection lives.

use crate::support::{Fleet, Running, names};
use braid_core::ErrorKind;
use braid_rpc::{Client, ClientConfig, ServerConfig};
use bytes::Bytes;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};
use tonic::{Request, service::InterceptorLayer};

struct Limits {
    fleet: Fleet,
    _node: Running,
    peers: Arc<Mutex<BTreeSet<u16>>>,
}

impl Limits {
    /// A server with caps. `inflate` answers with as many bytes as the request says.
    async fn new(max_request: usize, max_response: usize) -> Self {
        let peers = Arc::new(Mutex::new(BTreeSet::new()));
        let seen = Arc::clone(&peers);
        let interceptor = InterceptorLayer::new(move |request: Request<()>| {
            seen.lock()
                .unwrap()
                .insert(request.remote_addr().unwrap().port());
            Ok(request)
        });
        let config = ServerConfig {
            max_request,
            max_response,
            ..ServerConfig::listen("127.0.0.1:0")
        };
        let fleet = Fleet::default();
        let node = Running::start_config("login", "login-1", config, |builder| {
            builder
                .layer(interceptor)
                .handle("inflate", |request| async move {
                    let size = std::str::from_utf8(&request.body).unwrap().parse().unwrap();
                    Ok(Bytes::from(vec![7; size]))
                })
        })
        .await;
        fleet.put(&node.node);
        Self {
            fleet,
            _node: node,
            peers,
        }
    }

    fn client(&self, max_request: usize, max_response: usize) -> Client {
        self.fleet.client_with(|builder| {
            builder.config(ClientConfig {
                max_request,
                max_response,
                ..ClientConfig::default()
            })
        })
    }

    /// Everything went over one connection, and that still works.
    async fn lives(&self, client: &Client) {
        let reply = client.send_bytes("login", "echo", (), "still here").await;
        assert_eq!(reply.unwrap(), "still here");
        assert_eq!(self.peers.lock().unwrap().len(), 1);
    }
}

const MB: usize = 1 << 20;

#[tokio::test]
async fn a_request_above_the_servers_limit_is_rejected_and_the_limit_named() {
    let limits = Limits::new(MB, 4 * MB).await;
    let client = limits.client(64 * MB, 4 * MB);
    for size in [MB + 1, 2 * MB, 32 * MB] {
        let call = client.send_bytes("login", "echo", (), vec![0; size]);
        let error = call.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
        names(&error, &["`login`", "limit of 1048576"]);
    }
    limits.lives(&client).await;
}

#[tokio::test]
async fn a_request_above_the_clients_limit_is_not_sent() {
    let limits = Limits::new(4 * MB, 4 * MB).await;
    let client = limits.client(MB, 4 * MB);
    let error = client
        .send_bytes("login", "echo", (), vec![0; MB + 1])
        .await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    names(&error, &["`login`", "1048577 bytes", "limit of 1048576"]);
    assert!(limits.peers.lock().unwrap().is_empty());
    limits.lives(&client).await;
}

#[tokio::test]
async fn a_response_above_either_limit_is_rejected_and_the_limit_named() {
    for (server, client) in [(MB, 4 * MB), (4 * MB, MB)] {
        let limits = Limits::new(4 * MB, server).await;
        let client = limits.client(4 * MB, client);
        let reply = client.send_bytes("login", "inflate", (), "1000000").await;
        assert_eq!(reply.unwrap().len(), 1_000_000);
        let error = client.send_bytes("login", "inflate", (), "2000000").await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
        names(&error, &["`login`", "1048576"]);
        limits.lives(&client).await;
    }
}

#[tokio::test]
async fn the_default_limit_is_four_mebibytes() {
    let limits = Limits::new(ServerConfig::default().max_request, MB).await;
    let client = limits.client(64 * MB, 4 * MB);
    let error = client
        .send_bytes("login", "echo", (), vec![0; 4 * MB + 1])
        .await;
    names(&error.unwrap_err(), &["limit of 4194304"]);
}
