//! The server: what it refuses to be, health, reflection.

use crate::support::{Fleet, Running, names, raw, soon};
use braid_core::{Component, ErrorKind, Result, ShutdownTrigger};
use braid_rpc::{
    Server, ServerBuilder, ServerConfig,
    proto::listen_server::{Listen, ListenServer},
};
use bytes::Bytes;
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

async fn refused(builder: ServerBuilder) -> braid_core::Error {
    builder.bind().await.unwrap_err()
}

fn loopback() -> ServerBuilder {
    Server::builder(ServerConfig::listen("127.0.0.1:0"))
}

#[tokio::test]
async fn a_port_in_use_is_a_conflict_that_names_the_address() {
    let first = loopback().bind().await.unwrap();
    let address = first.local_addr().to_string();
    let error = refused(Server::builder(ServerConfig::listen(&*address))).await;
    assert_eq!(error.kind(), ErrorKind::Conflict);
    names(&error, &[&address, "in use"]);

    let every = Server::builder(ServerConfig::listen(":0"))
        .bind()
        .await
        .unwrap();
    let port = every.local_addr().port();
    let error = refused(Server::builder(ServerConfig::listen(format!(":{port}")))).await;
    assert_eq!(error.kind(), ErrorKind::Conflict);
    names(&error, &[&port.to_string(), "in use"]);
}

#[tokio::test]
async fn a_malformed_address_is_a_config_error_that_names_it() {
    let error = refused(Server::builder(ServerConfig::listen("nonsense"))).await;
    assert_eq!(error.kind(), ErrorKind::Config);
    names(&error, &["nonsense"]);
}

struct Nothing;

#[tonic::async_trait]
impl Listen for Nothing {
    async fn routing(
        &self,
        _: Request<braid_rpc::proto::RouteReq>,
    ) -> Result<Response<braid_rpc::proto::RouteRes>, Status> {
        Err(Status::unimplemented(""))
    }
}

#[tokio::test]
async fn what_is_registered_twice_or_malformed_is_a_config_error_that_names_it() {
    let handle =
        |builder: ServerBuilder, name: &str| builder.handle(name, |_| async { Ok(Bytes::new()) });
    let twice = handle(handle(loopback(), "user.password"), "/user.password");
    let error = refused(twice).await;
    assert_eq!(error.kind(), ErrorKind::Config);
    names(&error, &["`user.password`"]);
    for name in ["", "/", "a/b", "a b"] {
        let error = refused(handle(loopback(), name)).await;
        assert_eq!(error.kind(), ErrorKind::Config, "{name:?}");
    }
    let error = refused(loopback().register(|services| {
        services.add_service(ListenServer::new(Nothing));
    }))
    .await;
    assert_eq!(error.kind(), ErrorKind::Config);
    names(&error, &["`proto.listen`"]);
    let error = refused(loopback().describe("no descriptors")).await;
    assert_eq!(error.kind(), ErrorKind::Config);
    names(&error, &["descriptor"]);
    let config = ServerConfig {
        max_request: 0,
        ..ServerConfig::listen("127.0.0.1:0")
    };
    assert_eq!(
        refused(Server::builder(config)).await.kind(),
        ErrorKind::Config
    );
}

#[tokio::test]
async fn a_server_runs_once() {
    let server = loopback().bind().await.unwrap();
    let trigger = ShutdownTrigger::new();
    trigger.drain();
    soon(server.run(trigger.shutdown())).await.unwrap();
    let error = soon(server.run(trigger.shutdown())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    names(&error, &[&server.local_addr().to_string()]);
}

#[tokio::test]
async fn health_follows_readiness_for_the_server_and_each_service() {
    let fleet = Fleet::default();
    let node = fleet.start("login", "login-1").await;
    let mut health = HealthClient::new(fleet.client().channel("login").unwrap());
    let ask = |name: &str| HealthCheckRequest {
        service: name.to_owned(),
    };
    let stream = health.watch(ask("proto.listen")).await.unwrap();
    let mut stream = stream.into_inner();
    let mut told = async || soon(stream.message()).await.unwrap().unwrap().status;
    let readiness = node.server.readiness();
    for (ready, expected) in [(true, 1), (false, 2), (true, 1)] {
        readiness.set(ready);
        assert_eq!(told().await, expected);
        for name in ["", "proto.listen"] {
            let reply = health.check(ask(name)).await.unwrap();
            assert_eq!(reply.into_inner().status, expected);
        }
    }
    let status = health.check(ask("no.such")).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().contains("no.such"));
    let unknown = health.watch(ask("no.such")).await.unwrap();
    let unknown = soon(unknown.into_inner().message()).await.unwrap().unwrap();
    assert_eq!(unknown.status, 3, "SERVICE_UNKNOWN");
}

#[tokio::test]
async fn health_and_reflection_can_be_switched_off() {
    let config = ServerConfig {
        health: false,
        reflection: false,
        ..ServerConfig::listen("127.0.0.1:0")
    };
    let node = Running::start_config("login", "login-1", config, |b| b).await;
    let headers = [("content-type", "application/grpc")];
    for path in [
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    ] {
        let answer = soon(raw::post(node.node.address, path, &headers)).await;
        assert_eq!(answer.grpc_status(), "12", "UNIMPLEMENTED");
        assert!(answer.grpc_message().contains(path));
    }
}

#[tokio::test]
async fn a_service_with_an_interceptor_of_its_own_is_served() {
    use tonic_health::{pb::health_server::HealthServer, server::HealthReporter};
    let config = ServerConfig {
        health: false,
        ..ServerConfig::listen("127.0.0.1:0")
    };
    let node = Running::start_config("login", "login-1", config, |builder| {
        builder.register(|services| {
            let reporter = HealthReporter::new();
            let health = tonic_health::server::HealthService::from_health_reporter(reporter);
            services.add_service(HealthServer::with_interceptor(
                health,
                |request: Request<()>| {
                    Err(Status::unauthenticated(format!(
                        "{:?}",
                        request.metadata().get("key")
                    )))
                },
            ));
        })
    })
    .await;
    let headers = [("content-type", "application/grpc"), ("key", "1")];
    let path = "/grpc.health.v1.Health/Check";
    let answer = soon(raw::post(node.node.address, path, &headers)).await;
    assert_eq!(answer.grpc_status(), "16", "UNAUTHENTICATED");
    assert!(answer.grpc_message().contains('1'));
}

#[tokio::test]
async fn what_is_not_grpc_is_an_unsupported_media_type() {
    let fleet = Fleet::default();
    let node = fleet.start("login", "login-1").await;
    for headers in [&[][..], &[("content-type", "application/json")]] {
        let answer = soon(raw::post(
            node.node.address,
            "/proto.listen/routing",
            headers,
        ))
        .await;
        assert_eq!(answer.status, 415);
    }
}
