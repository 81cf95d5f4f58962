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
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

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

/// Speaks as much HTTP/2 as it takes to answer the first request with a GOAWAY that says how far it will look, and then nothing.
async fn goes_away(mut stream: TcpStream, last_looked_at: u32, goodbyes: &AtomicUsize) {
    const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();
    const HEADERS: u8 = 1;
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    stream.write_all(&settings).await.unwrap();
    stream.read_exact(&mut [0; PREFACE]).await.unwrap();
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            return;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await.unwrap();
        if head[3] == HEADERS {
            goodbyes.fetch_add(1, SeqCst);
            let mut goodbye = vec![0, 0, 8, 7, 0, 0, 0, 0, 0];
            goodbye.extend(last_looked_at.to_be_bytes());
            goodbye.extend([0; 4]);
            stream.write_all(&goodbye).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_call_beyond_what_a_goaway_will_look_at_is_made_again_elsewhere() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let goodbyes = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&goodbyes);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let counted = Arc::clone(&counted);
            tokio::spawn(async move { goes_away(stream, 0, &counted).await });
        }
    });
    let fleet = Fleet::default();
    fleet.put(&node_at("login", "login-1", address));
    let node = fleet.start("login", "login-2").await;
    let client = fleet.client();
    for _ in 0..10 {
        assert_eq!(soon(who(&client, "login")).await.unwrap(), "login-2");
    }
    assert_eq!(node.calls(), 10);
    assert!(goodbyes.load(SeqCst) > 0);
}

#[tokio::test]
async fn a_connection_that_is_going_away_is_left_before_a_typed_call_is_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let behind = Fleet::default().start("login", "login-1").await;
    let goodbyes = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&goodbyes);
    tokio::spawn(async move {
        // The first connection looks at its first call for ever, and takes no other one.
        let (first, _) = listener.accept().await.unwrap();
        tokio::spawn(async move { goes_away(first, 1, &counted).await });
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(behind.node.address).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut near, &mut far).await });
        }
    });
    let fleet = Fleet::default();
    fleet.put(&node_at("login", "login-1", address));
    let client = fleet.client();
    let _hangs = tokio::spawn({
        let client = client.clone();
        async move { who(&client, "login").await }
    });
    until(|| goodbyes.load(SeqCst) == 1).await;
    let mut health = HealthClient::new(client.channel("login").unwrap());
    for _ in 0..3 {
        soon(health.check(HealthCheckRequest::default()))
            .await
            .unwrap();
    }
    assert_eq!(client.nodes("login")[0].in_flight, 1, "the first goes on");
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
