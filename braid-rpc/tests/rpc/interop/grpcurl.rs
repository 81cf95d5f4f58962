//! grpcurl calls a braid server.

use super::{
    DETAILS, HANG,
    programs::{Ran, run},
    service,
};
use braid_rpc::ServerConfig;
use std::net::SocketAddr;
use tonic::Code;

/// How grpcurl exits that got a status.
fn exit_code(code: Code) -> Option<i32> {
    Some(64 + code as i32)
}

async fn grpcurl(options: &[&str], address: SocketAddr, rest: &[&str]) -> Ran {
    let address = address.to_string();
    run(
        "grpcurl",
        &[&["-plaintext"], options, &[&address], rest].concat(),
    )
    .await
}

/// Calls a method with messages in JSON; returns what it printed without the blanks.
async fn answers(address: SocketAddr, method: &str, messages: &str) -> String {
    let ran = grpcurl(&["-d", messages], address, &[method]).await;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    ran.stdout.split_whitespace().collect()
}

#[tokio::test]
async fn grpcurl_lists_and_describes_what_is_served() {
    let (node, _tests) = service::start(ServerConfig::listen("127.0.0.1:0")).await;
    let address = node.node.address;
    let listed = grpcurl(&[], address, &["list"]).await;
    let expected = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "grpc.testing.TestService",
        "proto.listen",
    ];
    assert!(listed.stdout.lines().eq(expected), "{listed:#?}");
    let described = grpcurl(&[], address, &["describe", "proto.listen"]).await;
    let method = "rpc routing ( .proto.routeReq ) returns ( .proto.routeRes );";
    assert!(described.stdout.contains(method), "{described:#?}");
    let described = grpcurl(&[], address, &["describe", "grpc.testing.SimpleRequest"]).await;
    assert!(
        described.stdout.contains("int32 response_size = 2;"),
        "{described:#?}"
    );
}

#[tokio::test]
async fn grpcurl_checks_the_health() {
    let (node, _tests) = service::start(ServerConfig::listen("127.0.0.1:0")).await;
    let reply = answers(node.node.address, "grpc.health.v1.Health/Check", "{}").await;
    assert_eq!(reply, r#"{"status":"SERVING"}"#);
}

#[tokio::test]
async fn grpcurl_calls_a_raw_handler_by_its_short_name() {
    let (node, _tests) = service::start(ServerConfig::listen("127.0.0.1:0")).await;
    let request = r#"{"service": "echo", "reqBody": "aGVsbG8="}"#;
    let reply = answers(node.node.address, "proto.listen/routing", request).await;
    assert_eq!(reply, r#"{"resBody":"aGVsbG8="}"#);
}

#[tokio::test]
async fn grpcurl_streams_either_way_and_both() {
    let (node, _tests) = service::start(ServerConfig::listen("127.0.0.1:0")).await;
    let address = node.node.address;
    let sizes = r#"{"responseParameters": [{"size": 1}, {"size": 2}]}"#;
    let reply = answers(
        address,
        "grpc.testing.TestService/StreamingOutputCall",
        sizes,
    )
    .await;
    assert_eq!(
        reply,
        r#"{"payload":{"body":"AA=="}}{"payload":{"body":"AAA="}}"#
    );

    let bodies = r#"{"payload": {"body": "AAA="}} {"payload": {"body": "AA=="}}"#;
    let reply = answers(
        address,
        "grpc.testing.TestService/StreamingInputCall",
        bodies,
    )
    .await;
    assert_eq!(reply, r#"{"aggregatedPayloadSize":3}"#);

    let sizes = r#"{"responseParameters": [{"size": 2}]} {"responseParameters": [{"size": 1}]}"#;
    let reply = answers(address, "grpc.testing.TestService/FullDuplexCall", sizes).await;
    assert_eq!(
        reply,
        r#"{"payload":{"body":"AAA="}}{"payload":{"body":"AA=="}}"#
    );
}

#[tokio::test]
async fn grpcurl_shows_a_status_with_its_details() {
    let (node, _tests) = service::start(ServerConfig::listen("127.0.0.1:0")).await;
    let wish = format!("{DETAILS}: 1");
    let method = "grpc.testing.TestService/UnaryCall";
    let ran = grpcurl(&["-H", &wish], node.node.address, &[method]).await;
    assert_eq!(ran.code, exit_code(Code::FailedPrecondition), "{ran:#?}");
    for shown in [
        "Code: FailedPrecondition",
        super::DETAILED_MESSAGE,
        "google.rpc.ErrorInfo",
        "PURSE_EMPTY",
        "bank.example",
        "google.rpc.BadRequest",
        "more than there is",
    ] {
        assert!(ran.stderr.contains(shown), "{shown} in {ran:#?}");
    }
}

#[tokio::test]
async fn grpcurl_times_out_and_the_handler_ends() {
    let (node, tests) = service::start(ServerConfig::listen("127.0.0.1:0")).await;
    let wish = format!("{HANG}: 1");
    let options = ["-max-time", "0.3", "-H", &wish];
    let method = "grpc.testing.TestService/UnaryCall";
    let ran = grpcurl(&options, node.node.address, &[method]).await;
    assert_eq!(ran.code, exit_code(Code::DeadlineExceeded), "{ran:#?}");
    tests.open(0).await;
}

#[tokio::test]
async fn grpcurl_learns_that_a_method_is_unknown() {
    let (node, _tests) = service::start(ServerConfig::listen("127.0.0.1:0")).await;
    // Described to grpcurl by a file of its own: it wouldn't call what reflection doesn't know.
    let proto = [
        "-import-path",
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rpc/interop"),
        "-proto",
        "unknown.proto",
    ];
    for method in [
        "grpc.testing.TestService/Unknown",
        "grpc.testing.UnknownService/Unknown",
    ] {
        let ran = grpcurl(&proto, node.node.address, &[method]).await;
        assert_eq!(ran.code, exit_code(Code::Unimplemented), "{ran:#?}");
    }
}
