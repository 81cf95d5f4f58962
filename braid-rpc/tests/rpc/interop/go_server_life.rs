//! A grpc-go server stops, dies, and comes back.

use super::{
    programs::Peer,
    testing::{Empty, SimpleRequest, SimpleResponse},
};
use crate::support::{Fleet, hold, names, node_at, soon};
use braid_core::{CallOptions, Error, ErrorKind};
use braid_rpc::Client;
use futures_util::future::join_all;

const EMPTY: &str = "/grpc.testing.TestService/EmptyCall";
const UNARY: &str = "/grpc.testing.TestService/UnaryCall";

async fn empty(client: &Client) -> Result<Empty, Error> {
    client.send("login", EMPTY, (), &Empty {}).await
}

#[tokio::test]
async fn no_call_fails_while_one_of_two_servers_stops_gracefully() {
    let fleet = Fleet::default();
    let (mut stops, first) = Peer::serve(&[]).await;
    let (_stays, second) = Peer::serve(&[]).await;
    fleet.put(&node_at("login", "login-1", first));
    fleet.put(&node_at("login", "login-2", second));
    let client = fleet.client();
    for _ in 0..4 {
        empty(&client).await.unwrap();
    }
    let (stopped, has_stopped) = tokio::sync::watch::channel(false);
    let callers = join_all((0..64).map(|_| async {
        // Goes on a little when it has: discovery still shows the server.
        let mut left = 50;
        let mut calls = 0;
        while left > 0 {
            left -= usize::from(*has_stopped.borrow());
            empty(&client).await.unwrap();
            calls += 1;
        }
        calls
    }));
    let (calls, ()) = soon(async {
        tokio::join!(callers, async {
            stops.tell("stop").await;
            stops.says("stopped").await;
            stops.ended().await;
            hold(first).unwrap();
            stopped.send_replace(true);
        })
    })
    .await;
    assert!(calls.iter().all(|&calls| calls >= 50), "{calls:?}");
}

#[tokio::test]
async fn calls_resume_when_a_killed_server_is_back_at_its_address() {
    let fleet = Fleet::default();
    let (mut server, address) = Peer::serve(&[]).await;
    fleet.put(&node_at("login", "login-1", address));
    let client = fleet.client();
    let request = SimpleRequest::default();
    let options = CallOptions::new().with_metadata(super::HANG, "1");
    let under_way = client.send::<_, SimpleResponse>("login", UNARY, options, &request);
    let (lost, ()) = tokio::join!(under_way, async {
        server.says("hanging").await;
        server.kill().await;
        hold(address).unwrap();
    });
    // It may have been handled.
    let lost = lost.unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::Indeterminate, "{lost}");
    names(&lost, &["`login-1`", &address.to_string()]);

    let refused = soon(empty(&client)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    names(&refused, &["`login`", &address.to_string()]);

    let (_server, same) = Peer::serve(&["--listen", &address.to_string()]).await;
    assert_eq!(same, address);
    // It is tried again by itself, when a short wait is over.
    soon(async {
        while let Err(error) = empty(&client).await {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            tokio::task::yield_now().await;
        }
    })
    .await;
}
