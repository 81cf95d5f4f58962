//! Probes against a grpc-go server, which counts how often a client pings.
//!
//! By default grpc-go lets a client ping every five minutes while it has calls, and ends the connection with GOAWAY
//! (ENHANCE_YOUR_CALM, "too_many_pings") after two pings too many in a row. Here it is every second.

use super::{HANG, programs::Peer, testing::test_service_client::TestServiceClient};
use crate::support::{Fleet, names, node_at, soon};
use braid_core::ErrorKind;
use braid_rpc::{Client, ClientConfig, error_of};
use futures_util::{FutureExt, stream};
use std::{net::SocketAddr, time::Duration};
use tokio::time::timeout;
use tonic::{Request, Status};

async fn start(keep_alive: Duration) -> (Peer, SocketAddr, Client) {
    let (server, address) = Peer::serve(&["--min-ping", "1s"]).await;
    let fleet = Fleet::default();
    fleet.put(&node_at("login", "login-1", address));
    let config = ClientConfig {
        keep_alive: Some(keep_alive),
        ..ClientConfig::default()
    };
    (
        server,
        address,
        fleet.client_with(|builder| builder.config(config)),
    )
}

/// A stream that neither side says a word on; returns its error.
async fn silent(client: &Client) -> Status {
    let mut test = TestServiceClient::new(client.channel("login").unwrap());
    let mut request = Request::new(stream::pending());
    request.metadata_mut().insert(HANG, "1".parse().unwrap());
    test.full_duplex_call(request).await.unwrap_err()
}

#[tokio::test]
async fn a_silent_stream_is_not_cut_when_probes_are_rarer_than_the_server_wants() {
    let keep_alive = Duration::from_millis(1_200);
    let (mut server, _, client) = start(keep_alive).await;
    let mut silence = std::pin::pin!(silent(&client));
    tokio::select! {
        status = &mut silence => panic!("{status}"),
        _ = server.says("hanging") => {}
    }
    // More probes than the server would forgive, if they were too many; it closes a second after it has said so.
    let long = keep_alive * 5 + Duration::from_secs(2);
    if let Ok(status) = timeout(long, &mut silence).await {
        panic!("{status}");
    }
    assert!(silence.now_or_never().is_none());
}

#[tokio::test]
async fn a_silent_stream_is_cut_when_probes_are_too_frequent_and_the_error_names_the_node() {
    let (mut server, address, client) = start(Duration::from_millis(100)).await;
    for _ in 0..2 {
        let status = soon(silent(&client)).await;
        // A new connection each time.
        server.says("connected").await;
        server.says("hanging").await;
        let error = error_of(status);
        assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error}");
        names(&error, &["`login-1`", &address.to_string()]);
        names(&error, &["was lost while the call was under way: "]);
    }
}
