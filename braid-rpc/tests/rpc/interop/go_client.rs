//! Clients on grpc-go call a braid server.

use super::{
    programs::{Peer, call, run},
    service,
};
use braid_rpc::ServerConfig;
use futures_util::future::join_all;

/// The cases of grpc-go's interop client that need neither TLS nor a cloud.
const STANDARD: &[&str] = &[
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
    "rpc_soak",
    "channel_soak",
];

#[tokio::test]
async fn every_standard_case_of_grpc_go_passes() {
    let (node, tests) = service::start(ServerConfig::listen("127.0.0.1:0")).await;
    let port = format!("--server_port={}", node.node.address.port());
    let port = &port;
    let cases = STANDARD.iter().map(|case| async move {
        let case = format!("--test_case={case}");
        let ran = run("client", &["--server_host=127.0.0.1", port, &case]).await;
        (ran.code != Some(0)).then(|| format!("{case}: {ran:#?}"))
    });
    let failures: Vec<_> = join_all(cases).await.into_iter().flatten().collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    // Those that were cancelled or timed out, too.
    tests.open(0).await;
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_payload_comes_back_as_it_was_sent() {
    let (node, _tests) = service::start(ServerConfig::listen("127.0.0.1:0")).await;
    call(node.node.address, "echo").await;
}

#[tokio::test]
async fn a_half_duplex_stream_is_answered_once_it_is_complete() {
    let (node, _tests) = service::start(ServerConfig::listen("127.0.0.1:0")).await;
    call(node.node.address, "half_duplex").await;
}

#[tokio::test]
async fn requests_and_answers_are_compressed_each_by_itself() {
    let (node, _tests) = service::start(ServerConfig::listen("127.0.0.1:0")).await;
    call(node.node.address, "gzip").await;
}

#[tokio::test]
async fn the_details_of_a_status_arrive() {
    let (node, _tests) = service::start(ServerConfig::listen("127.0.0.1:0")).await;
    call(node.node.address, "details").await;
}

#[tokio::test]
async fn a_deadline_ends_the_call_and_its_handler() {
    let (node, tests) = service::start(ServerConfig::listen("127.0.0.1:0")).await;
    call(node.node.address, "deadline").await;
    tests.open(0).await;
}

#[tokio::test]
async fn repeated_and_binary_metadata_travels_both_ways() {
    let (node, _tests) = service::start(ServerConfig::listen("127.0.0.1:0")).await;
    call(node.node.address, "metadata").await;
}

#[tokio::test]
async fn too_large_a_message_fails_its_call_and_leaves_the_connection() {
    let config = ServerConfig {
        max_request: 64 << 10,
        max_response: 64 << 10,
        ..ServerConfig::listen("127.0.0.1:0")
    };
    let (node, _tests) = service::start(config).await;
    call(node.node.address, "too_large").await;
}

#[tokio::test]
async fn the_services_are_found_by_reflection() {
    let (node, _tests) = service::start(ServerConfig::listen("127.0.0.1:0")).await;
    call(node.node.address, "reflection").await;
}

#[tokio::test]
async fn health_is_checked_by_name() {
    let (node, _tests) = service::start(ServerConfig::listen("127.0.0.1:0")).await;
    call(node.node.address, "health").await;
}

#[tokio::test]
async fn health_is_watched_until_the_server_drains() {
    let (node, _tests) = service::start(ServerConfig::listen("127.0.0.1:0")).await;
    let address = node.node.address.to_string();
    let mut peer = Peer::start(&["call", &address, "health_watch"]);
    assert_eq!(peer.line().await, "SERVING");
    node.server.readiness().set(false);
    assert_eq!(peer.line().await, "NOT_SERVING");
    node.server.readiness().set(true);
    assert_eq!(peer.line().await, "SERVING");
    node.stop().await.unwrap();
    assert_eq!(peer.line().await, "NOT_SERVING");
    peer.ended().await;
}

#[tokio::test]
async fn a_channel_that_looks_at_health_passes_over_a_server_that_is_not_ready() {
    let (node, _tests) = service::start(ServerConfig::listen("127.0.0.1:0")).await;
    node.server.readiness().set(false);
    let address = node.node.address.to_string();
    let mut peer = Peer::start(&["call", &address, "unhealthy_passed"]);
    assert_eq!(peer.line().await, "passed over");
    node.server.readiness().set(true);
    peer.ended().await;
}
