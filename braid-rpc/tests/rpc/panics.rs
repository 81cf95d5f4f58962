//! A panic fails its call and nothing else.

use crate::support::{Fleet, names, soon, who};
use braid_core::ErrorKind;
use braid_rpc::{ServerConfig, error_of};
use futures_util::{StreamExt, stream};
use tonic::{Code, Request, Response, Status, codegen::BoxStream};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_client::HealthClient,
    health_server::{Health, HealthServer},
};

#[tokio::test]
async fn a_panicking_handler_fails_its_call_only() {
    let fleet = Fleet::default();
    let _node = fleet
        .start_with("login", "login-1", |builder| {
            builder.handle("panic", |_| async { panic!("on purpose: sentinel") })
        })
        .await;
    let client = fleet.client();
    for _ in 0..3 {
        let error = client
            .send_bytes("login", "panic", (), "")
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        names(
            &error,
            &["`login`", "`panic`", "panic in /proto.listen/routing"],
        );
        assert!(!error.to_string().contains("sentinel"));
        assert_eq!(who(&client, "login").await.unwrap(), "login-1");
    }
}

/// Panics when it is called, or in the second message of a stream.
struct Panicking;

#[tonic::async_trait]
impl Health for Panicking {
    async fn check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        panic!("on purpose")
    }

    type WatchStream = BoxStream<HealthCheckResponse>;

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let messages = stream::iter(0..2).then(|number| async move {
            // So that the first message is out before the panic.
            tokio::task::yield_now().await;
            assert_eq!(number, 0, "on purpose");
            Ok(HealthCheckResponse::default())
        });
        Ok(Response::new(Box::pin(messages)))
    }
}

#[tokio::test]
async fn typed_handlers_and_streams_that_panic_end_in_internal() {
    let fleet = Fleet::default();
    let config = ServerConfig {
        health: false,
        ..ServerConfig::listen("127.0.0.1:0")
    };
    let node = crate::support::Running::start_config("login", "login-1", config, |builder| {
        builder.register(|services| {
            services.add_service(HealthServer::new(Panicking));
        })
    })
    .await;
    fleet.put(&node.node);
    let client = fleet.client();
    let mut health = HealthClient::new(client.channel("login").unwrap());

    let status = health
        .check(HealthCheckRequest::default())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(status.message().contains("/grpc.health.v1.Health/Check"));

    let stream = health.watch(HealthCheckRequest::default()).await.unwrap();
    let mut stream = stream.into_inner();
    assert!(soon(stream.message()).await.unwrap().is_some());
    let status = soon(stream.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(status.message().contains("/grpc.health.v1.Health/Watch"));
    assert_eq!(error_of(status).kind(), ErrorKind::Internal);
    assert_eq!(who(&client, "login").await.unwrap(), "login-1");
    node.stop().await.unwrap();
}
