//! Typed tonic clients on a braid channel, and others on a braid server.

use crate::support::{Fleet, id, soon, until};
use braid_core::{ErrorKind, Token};
use braid_rpc::{
    Caller, error_of,
    proto::{RouteReq, listen_client::ListenClient},
};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tonic::{Code, Request, Status, service::InterceptorLayer};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

/// What a server saw of a request.
#[derive(Clone, Debug, Default)]
struct Seen {
    token: Option<Token>,
    caller: Option<Caller>,
    remote: Option<SocketAddr>,
    timeout: bool,
}

type Log = Arc<Mutex<Vec<Seen>>>;

fn log_to(log: &Log) -> impl Fn(Request<()>) -> Result<Request<()>, Status> + Clone + use<> {
    let log = Arc::clone(log);
    move |request: Request<()>| {
        log.lock().unwrap().push(Seen {
            token: request.extensions().get().cloned(),
            caller: request.extensions().get().cloned(),
            remote: request.remote_addr(),
            timeout: request.metadata().contains_key("grpc-timeout"),
        });
        Ok(request)
    }
}

#[tokio::test]
async fn unary_calls_carry_token_and_caller() {
    let fleet = Fleet::default();
    let log = Log::default();
    let layer = InterceptorLayer::new(log_to(&log));
    let _node = fleet
        .start_with("login", "login-1", |b| b.layer(layer))
        .await;
    let channel = fleet.client().channel("login").unwrap();
    let token = Token::new("日本 {x}").unwrap();

    let mut plain = HealthClient::new(channel.clone());
    let mut tokened = HealthClient::new(channel.with_token(token.clone()));
    plain.check(HealthCheckRequest::default()).await.unwrap();
    tokened.check(HealthCheckRequest::default()).await.unwrap();

    let log = log.lock().unwrap();
    assert_eq!(log[0].token, None);
    assert_eq!(log[1].token, Some(token));
    for seen in &*log {
        assert_eq!(seen.caller.as_ref().unwrap().id, id("test-1"));
        assert!(seen.remote.unwrap().ip().is_loopback());
        assert!(
            !seen.timeout,
            "a typed call has a deadline only if it says so"
        );
    }
}

#[tokio::test]
async fn a_server_stream_counts_as_load_until_it_ends() {
    let fleet = Fleet::default();
    let _node = fleet.start("login", "login-1").await;
    let client = fleet.client();
    let mut health = HealthClient::new(client.channel("login").unwrap());
    let stream = health.watch(HealthCheckRequest::default()).await.unwrap();
    let mut stream = stream.into_inner();
    assert_eq!(
        stream.message().await.unwrap().unwrap().status,
        1,
        "SERVING"
    );
    assert_eq!(client.nodes("login")[0].in_flight, 1);
    drop(stream);
    until(|| client.nodes("login")[0].in_flight == 0).await;
}

#[tokio::test]
async fn a_bidirectional_stream_works() {
    let fleet = Fleet::default();
    let _node = fleet.start("login", "login-1").await;
    let client = fleet.client();
    let mut reflection = ServerReflectionClient::new(client.channel("login").unwrap());
    let ask = |message| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(message),
    };
    let requests = [
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("proto.listen".into())),
        ask(MessageRequest::FileContainingSymbol(
            "grpc.health.v1.Health".into(),
        )),
    ];
    let requests = futures_util::stream::iter(requests);
    let replies = reflection.server_reflection_info(requests).await.unwrap();
    let mut replies = replies.into_inner();
    let first = soon(replies.message()).await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = first.message_response else {
        panic!("{first:?}");
    };
    let mut names: Vec<_> = list.service.into_iter().map(|s| s.name).collect();
    names.sort();
    let expected = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "proto.listen",
    ];
    assert_eq!(names, expected);
    for _ in 0..2 {
        let reply = soon(replies.message()).await.unwrap().unwrap();
        let is_file = matches!(
            reply.message_response,
            Some(MessageResponse::FileDescriptorResponse(_))
        );
        assert!(is_file, "{reply:?}");
    }
    assert!(soon(replies.message()).await.unwrap().is_none());
    until(|| client.nodes("login")[0].in_flight == 0).await;
}

#[tokio::test]
async fn a_channel_sticks_to_the_node_that_it_names() {
    let fleet = Fleet::default();
    let first = fleet.start("login", "login-1").await;
    let second = fleet.start("login", "login-2").await;
    let channel = fleet.client().channel("login").unwrap();
    let mut listen = ListenClient::new(channel.with_node(id("login-2")));
    for _ in 0..6 {
        let request = RouteReq {
            service: "who".to_owned(),
            ..RouteReq::default()
        };
        let reply = listen.routing(request).await.unwrap().into_inner();
        assert_eq!(reply.res_body, "login-2");
    }
    assert_eq!((first.calls(), second.calls()), (0, 6));
}

#[tokio::test]
async fn errors_of_the_channel_are_statuses_that_keep_their_kind() {
    let channel = Fleet::default().client().channel("nowhere").unwrap();
    let mut health = HealthClient::new(channel);
    let status = health
        .check(HealthCheckRequest::default())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().contains("`nowhere`"), "{status}");
    assert_eq!(error_of(status).kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_plain_tonic_client_is_served() {
    let fleet = Fleet::default();
    let node = fleet.start("login", "login-1").await;
    let endpoint = format!("http://{}", node.node.address);
    let channel = tonic::transport::Channel::from_shared(endpoint).unwrap();
    let channel = channel.connect().await.unwrap();
    let mut listen = ListenClient::new(channel.clone());
    let request = RouteReq {
        nod: "login".to_owned(),
        service: "/who".to_owned(),
        token: "user-1".to_owned(),
        ..RouteReq::default()
    };
    let reply = listen.routing(request).await.unwrap().into_inner();
    assert_eq!(reply.res_body, "login-1");
    let mut health = HealthClient::new(channel);
    let reply = health.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(reply.into_inner().status, 1);
}

#[tokio::test]
async fn the_token_of_another_makes_message_reaches_the_handler() {
    let fleet = Fleet::default();
    let node = fleet
        .start_with("login", "login-1", |builder| {
            builder.handle("token", |request| async move {
                let token = request.token.map(|t| t.as_str().to_owned());
                Ok(token.unwrap_or_default().into())
            })
        })
        .await;
    let endpoint = format!("http://{}", node.node.address);
    let channel = tonic::transport::Channel::from_shared(endpoint).unwrap();
    let mut listen = ListenClient::new(channel.connect().await.unwrap());
    let mut call = async |token: &str| {
        let request = RouteReq {
            service: "token".to_owned(),
            token: token.to_owned(),
            ..RouteReq::default()
        };
        listen.routing(request).await
    };
    assert_eq!(
        call("user-1").await.unwrap().into_inner().res_body,
        "user-1"
    );
    assert_eq!(call("").await.unwrap().into_inner().res_body, "");
    let status = call(&"x".repeat(64 << 10)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("65536 bytes"), "{status}");
}
