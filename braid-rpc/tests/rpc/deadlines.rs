//! Deadlines: told to the other side, enforced on both.

use crate::support::{Dropped, Fleet, Running, names, node_at, raw, service, soon, until, who};
use braid_core::{
    Announcement, BoxFuture, BoxStream, CallOptions, Component, Discover, ErrorKind, Node, Result,
    ServiceName, Shutdown, Update, discover::announce_unsupported,
};
use braid_rpc::{Client, ClientConfig, RawRequest, ServerBuilder, error_of};
use bytes::Bytes;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

fn within(timeout: Duration) -> CallOptions {
    CallOptions::new().with_timeout(timeout)
}

/// `hang` never answers; the receiver tells when its handler was dropped.
fn hanging() -> (
    impl FnOnce(ServerBuilder) -> ServerBuilder,
    watch::Receiver<bool>,
) {
    let (sender, dropped) = watch::channel(false);
    let build = move |builder: ServerBuilder| {
        builder.handle("hang", move |_| {
            let guard = Dropped(sender.clone());
            async move {
                let _guard = guard;
                std::future::pending().await
            }
        })
    };
    (build, dropped)
}

const ROUTING: &str = "/proto.listen/routing";

/// Calls a raw handler with a `grpc-timeout`, by a client that doesn't watch the clock itself.
async fn routed(node: &Running, handler: &str, timeout: &str) -> raw::Answer {
    let headers = [
        ("content-type", "application/grpc"),
        ("grpc-timeout", timeout),
    ];
    let message = prost::Message::encode_to_vec(&braid_rpc::proto::RouteReq {
        service: handler.to_owned(),
        ..Default::default()
    });
    soon(raw::post_message(
        node.node.address,
        ROUTING,
        &headers,
        &message,
    ))
    .await
}

#[tokio::test]
async fn a_call_that_takes_too_long_times_out_and_its_handler_ends() {
    let fleet = Fleet::default();
    let (build, mut dropped) = hanging();
    let _node = fleet.start_with("login", "login-1", build).await;
    let client = fleet.client();
    let timeout = Duration::from_millis(100);
    let begun = Instant::now();
    let error = client
        .send_bytes("login", "hang", within(timeout), "")
        .await;
    let error = error.unwrap_err();
    assert!(begun.elapsed() >= timeout);
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(!error.is_retryable());
    names(&error, &["`login`", "hang"]);
    soon(dropped.wait_for(|dropped| *dropped)).await.unwrap();
}

#[tokio::test]
async fn the_server_ends_a_call_by_itself_when_its_deadline_passes() {
    let fleet = Fleet::default();
    let (build, mut dropped) = hanging();
    let node = fleet.start_with("login", "login-1", build).await;
    let answer = routed(&node, "hang", "50m").await;
    assert_eq!(answer.grpc_status(), "4", "DEADLINE_EXCEEDED");
    assert!(answer.grpc_message().contains(ROUTING));
    soon(dropped.wait_for(|dropped| *dropped)).await.unwrap();
}

#[tokio::test]
async fn a_deadline_that_has_passed_starts_no_handler() {
    let fleet = Fleet::default();
    let node = fleet.start("login", "login-1").await;
    let answer = routed(&node, "who", "0n").await;
    assert_eq!(answer.grpc_status(), "4");
    assert_eq!(node.calls(), 0);
}

#[tokio::test]
async fn malformed_headers_are_refused_and_named() {
    let fleet = Fleet::default();
    let node = fleet.start("login", "login-1").await;
    for (key, value) in [
        ("grpc-timeout", "soon"),
        ("braid-token-bin", "%%"),
        ("braid-token-bin", ""),
        ("braid-caller-id-bin", "%"),
    ] {
        let headers = [("content-type", "application/grpc"), (key, value)];
        let answer = soon(raw::post(
            node.node.address,
            "/proto.listen/routing",
            &headers,
        ))
        .await;
        assert_eq!(answer.grpc_status(), "3", "INVALID_ARGUMENT");
        assert!(answer.grpc_message().contains(key));
    }
}

/// gate calls login, login calls mail, mail hangs; each passes on what remains.
#[tokio::test]
async fn a_chain_ends_with_the_deadline_of_its_first_caller() {
    let fleet = Fleet::default();
    let pass_on = |next: &'static str, method: &'static str| {
        let client = fleet.client();
        let (sender, ended) = watch::channel(None);
        let build = move |builder: ServerBuilder| {
            builder.handle("call", move |request: RawRequest| {
                let (client, sender) = (client.clone(), sender.clone());
                async move {
                    let remaining = request.deadline.unwrap().remaining();
                    let reply = client.send_bytes(next, method, within(remaining), "").await;
                    let kind = reply.as_ref().err().map(braid_core::Error::kind);
                    sender.send_replace(Some((kind, Instant::now())));
                    reply
                }
            })
        };
        (build, ended)
    };
    let (hang, mut mail_dropped) = hanging();
    let _mail = fleet.start_with("mail", "mail-1", hang).await;
    let (build, login_ended) = pass_on("mail", "hang");
    let _login = fleet.start_with("login", "login-1", build).await;
    let (build, gate_ended) = pass_on("login", "call");
    let _gate = fleet.start_with("gate", "gate-1", build).await;

    // Connected beforehand, so that the time goes into waiting.
    let client = fleet.client();
    let _ = client
        .send_bytes("gate", "call", within(Duration::from_secs(1)), "")
        .await;
    let timeout = Duration::from_millis(100);
    let begun = Instant::now();
    let error = client.send_bytes("gate", "call", within(timeout), "").await;
    let (error, took) = (error.unwrap_err(), begun.elapsed());
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    // One hop, on a machine that does other things too.
    let hop = Duration::from_millis(100);
    assert!(took < timeout + hop, "{took:?}");
    soon(mail_dropped.wait_for(|dropped| *dropped))
        .await
        .unwrap();
    for ended in [login_ended, gate_ended] {
        // Either its own call ended first, or it was dropped with its caller's.
        if let Some((kind, at)) = *ended.borrow()
            && at > begun
        {
            assert_eq!(kind, Some(ErrorKind::Timeout));
            assert!(at < begun + timeout + hop);
        }
    }
}

#[tokio::test]
async fn a_stream_with_a_timeout_ends_with_it() {
    let fleet = Fleet::default();
    let _node = fleet.start("login", "login-1").await;
    let channel = fleet.client().channel("login").unwrap();
    let mut health = HealthClient::new(channel.with_timeout(Duration::from_millis(200)));
    let stream = health.watch(HealthCheckRequest::default()).await.unwrap();
    let mut stream = stream.into_inner();
    stream.message().await.unwrap().unwrap();
    let status = soon(stream.message()).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
    assert_eq!(error_of(status).kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn a_timeout_of_the_single_request_counts_too() {
    let fleet = Fleet::default();
    let _node = fleet.start("login", "login-1").await;
    let channel = fleet.client().channel("login").unwrap();
    let mut health = HealthClient::new(channel.with_timeout(Duration::from_secs(60)));
    let mut request = tonic::Request::new(HealthCheckRequest::default());
    request.set_timeout(Duration::from_millis(100));
    let mut stream = health.watch(request).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    let status = soon(stream.message()).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
}

/// Discovery that never says anything.
#[derive(Debug)]
struct Silent;

impl Component for Silent {
    fn name(&self) -> &'static str {
        "discover-silent"
    }

    fn run(&self, _: Shutdown) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}

impl Discover for Silent {
    fn announce<'a>(&'a self, _: &'a Node) -> BoxFuture<'a, Result<Announcement>> {
        Box::pin(async { Err(announce_unsupported("discover-silent", "it is silent")) })
    }

    fn watch(&self, _: &ServiceName) -> BoxStream<'static, Result<Update>> {
        Box::pin(futures_util::stream::pending())
    }
}

#[tokio::test]
async fn a_call_does_not_wait_for_discovery_beyond_its_deadline() {
    let client = Client::builder(Arc::new(Silent)).build().unwrap();
    let timeout = Duration::from_millis(50);
    let call = client.send_bytes("login", "who", within(timeout), Bytes::new());
    let error = soon(call).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    names(&error, &["`login`", "within"]);

    let channel = client.channel(service("login")).unwrap();
    let mut health = HealthClient::new(channel.with_timeout(timeout));
    let status = soon(health.check(HealthCheckRequest::default())).await;
    assert_eq!(status.unwrap_err().code(), tonic::Code::DeadlineExceeded);
}

/// The system connects, and nobody is there who would accept: a frozen process, say.
#[tokio::test]
async fn a_node_that_never_says_a_word_costs_the_connect_timeout_only() {
    let fleet = Fleet::default();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    fleet.put(&node_at("login", "login-1", address));
    let config = ClientConfig {
        connect_timeout: Duration::from_millis(50),
        ..ClientConfig::default()
    };
    let client = fleet.client_with(|builder| builder.config(config));
    let error = soon(who(&client, "login")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    names(&error, &["`login`", &address.to_string(), "50ms"]);

    let _other = fleet.start("login", "login-2").await;
    until(|| client.nodes("login").len() == 2).await;
    for _ in 0..2 {
        assert_eq!(who(&client, "login").await.unwrap(), "login-2");
    }
}
