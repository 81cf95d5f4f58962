//! Calls that a node said it hasn't looked at.

use crate::support::{Fleet, names, node_at, soon, until, who};
use braid_core::ErrorKind;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};
use tokio::net::TcpListener;

/// A peer that ends every stream with a reason, and counts them.
async fn resets_with(reason: h2::Reason) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    counted.fetch_add(1, SeqCst);
                    respond.send_reset(reason);
                }
            });
        }
    });
    (address, count)
}

#[tokio::test]
async fn a_call_that_was_refused_unread_is_made_again_elsewhere() {
    let fleet = Fleet::default();
    let (address, refusals) = resets_with(h2::Reason::REFUSED_STREAM).await;
    fleet.put(&node_at("login", "login-1", address));
    let node = fleet.start("login", "login-2").await;
    let client = fleet.client();
    for _ in 0..10 {
        assert_eq!(soon(who(&client, "login")).await.unwrap(), "login-2");
    }
    assert_eq!(node.calls(), 10);
    assert!(refusals.load(SeqCst) > 0);
}

#[tokio::test]
async fn a_call_that_everybody_refuses_is_unavailable_after_a_few_attempts() {
    let fleet = Fleet::default();
    let (address, refusals) = resets_with(h2::Reason::REFUSED_STREAM).await;
    fleet.put(&node_at("login", "login-1", address));
    let error = soon(who(&fleet.client(), "login")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    names(
        &error,
        &["`login`", "`who`", "login-1", &address.to_string()],
    );
    assert_eq!(refusals.load(SeqCst), 3);
}

#[tokio::test]
async fn a_call_that_may_have_been_handled_is_never_made_again() {
    for reason in [
        h2::Reason::INTERNAL_ERROR,
        h2::Reason::CANCEL,
        h2::Reason::NO_ERROR,
    ] {
        let fleet = Fleet::default();
        let (address, resets) = resets_with(reason).await;
        fleet.put(&node_at("login", "login-1", address));
        let error = soon(who(&fleet.client(), "login")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error}");
        assert!(!error.is_retryable());
        names(&error, &["`login`", "`who`", &address.to_string()]);
        assert_eq!(resets.load(SeqCst), 1);
    }
}

#[tokio::test]
async fn a_connection_that_closes_before_the_greeting_loses_no_call() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(stream);
        }
    });
    let fleet = Fleet::default();
    fleet.put(&node_at("login", "login-1", address).with_weight(100));
    let client = fleet.client();
    let error = soon(who(&client, "login")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    names(&error, &["`login`", "login-1", &address.to_string()]);

    let _node = fleet.start("login", "login-2").await;
    until(|| client.nodes("login").len() == 2).await;
    for _ in 0..10 {
        assert_eq!(soon(who(&client, "login")).await.unwrap(), "login-2");
    }
}
