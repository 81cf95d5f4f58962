//! Calls by name to a grpc-go server.

use super::{
    DETAILED_MESSAGE, DETAILS, ECHO, HANG, has_details,
    programs::Peer,
    testing::{BoolValue, EchoStatus, Empty, Payload, SimpleRequest, SimpleResponse},
};
use crate::support::{Fleet, names, node_at};
use braid_core::{CallOptions, Error, ErrorKind};
use braid_rpc::{Client, ClientConfig};
use std::{error::Error as _, time::Duration};

const UNARY: &str = "/grpc.testing.TestService/UnaryCall";

/// A grpc-go server as the node `login-1`, and a client of its fleet.
pub(super) async fn start(config: ClientConfig) -> (Peer, Client) {
    let (server, address) = Peer::serve(&[]).await;
    let fleet = Fleet::default();
    fleet.put(&node_at("login", "login-1", address));
    (server, fleet.client_with(|builder| builder.config(config)))
}

fn wishing(wish: &str) -> CallOptions {
    CallOptions::new().with_metadata(wish, "1")
}

async fn send(
    client: &Client,
    options: CallOptions,
    request: &SimpleRequest,
) -> Result<SimpleResponse, Error> {
    client.send("login", UNARY, options, request).await
}

fn payload(size: usize) -> Option<Payload> {
    let body: Vec<_> = (0..size).map(|index| (index / 64) as u8).collect();
    Some(Payload {
        body: body.into(),
        ..Payload::default()
    })
}

#[tokio::test]
async fn a_message_is_answered() {
    let (_server, client) = start(ClientConfig::default()).await;
    for size in [0, 1, 16 << 10, 2 << 20] {
        let request = SimpleRequest {
            payload: payload(size),
            ..SimpleRequest::default()
        };
        let reply = send(&client, wishing(ECHO), &request).await.unwrap();
        assert!(
            reply.payload == request.payload,
            "{size} bytes came back as others"
        );
    }
}

#[tokio::test]
async fn requests_are_compressed_if_configured_and_answers_in_any_case_read() {
    for gzip in [false, true] {
        let config = ClientConfig {
            gzip,
            ..ClientConfig::default()
        };
        let (_server, client) = start(config).await;
        for answer in [false, true] {
            let request = SimpleRequest {
                payload: payload(100 << 10),
                expect_compressed: Some(BoolValue { value: gzip }),
                response_compressed: Some(BoolValue { value: answer }),
                ..SimpleRequest::default()
            };
            let reply = send(&client, wishing(ECHO), &request).await.unwrap();
            assert!(
                reply.payload == request.payload,
                "another payload: {gzip}, {answer}"
            );
        }
    }
}

#[tokio::test]
async fn the_details_of_a_status_are_the_errors_source() {
    let (_server, client) = start(ClientConfig::default()).await;
    let error = send(&client, wishing(DETAILS), &SimpleRequest::default()).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    names(&error, &["`login`", UNARY, DETAILED_MESSAGE]);
    has_details(error.source().unwrap().downcast_ref().unwrap());
}

#[tokio::test]
async fn every_status_becomes_the_kind_that_it_stands_for() {
    let (_server, client) = start(ClientConfig::default()).await;
    let kinds = [
        (1, ErrorKind::Indeterminate),
        (2, ErrorKind::Indeterminate),
        (3, ErrorKind::Rejected),
        (4, ErrorKind::Timeout),
        (5, ErrorKind::NotFound),
        (6, ErrorKind::Conflict),
        (7, ErrorKind::Rejected),
        (8, ErrorKind::Rejected),
        (9, ErrorKind::Rejected),
        (10, ErrorKind::Conflict),
        (11, ErrorKind::Rejected),
        (12, ErrorKind::NotFound),
        (13, ErrorKind::Internal),
        (14, ErrorKind::Unavailable),
        (15, ErrorKind::Internal),
        (16, ErrorKind::Rejected),
    ];
    let message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";
    for (code, kind) in kinds {
        let status = EchoStatus {
            code,
            message: message.to_owned(),
        };
        let request = SimpleRequest {
            response_status: Some(status),
            ..SimpleRequest::default()
        };
        let error = send(&client, CallOptions::new(), &request)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{code}: {error}");
        names(&error, &["`login`", message]);
    }
}

#[tokio::test]
async fn a_method_that_the_server_does_not_have_is_not_found() {
    let (_server, client) = start(ClientConfig::default()).await;
    for method in [
        "/grpc.testing.TestService/Unknown",
        "/grpc.testing.Unknown/Unknown",
        "unknown",
    ] {
        let error = client
            .send::<_, Empty>("login", method, (), &Empty {})
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        names(&error, &["`login`", method]);
    }
}

#[tokio::test]
async fn a_deadline_travels_and_ends_the_call_on_both_sides() {
    let (mut server, client) = start(ClientConfig::default()).await;
    let options = wishing(HANG).with_timeout(Duration::from_millis(500));
    let call = async { send(&client, options, &SimpleRequest::default()).await };
    let (error, ()) = tokio::join!(call, async {
        let left = server.says("hanging, deadline in ").await;
        let left: u64 = left.strip_suffix(" ms").unwrap().parse().unwrap();
        assert!(left <= 500, "{left} ms");
        server.says("cancelled").await;
    });
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    names(&error, &["`login`", UNARY]);
}

/// grpc-go resets a call at its deadline; that may come before the client's own timer tells.
#[tokio::test]
async fn a_call_that_the_server_resets_at_its_deadline_has_timed_out() {
    let (_server, client) = start(ClientConfig::default()).await;
    let request = SimpleRequest::default();
    for micros in 0..50 {
        let timeout = Duration::from_micros(20_000 + 20 * micros);
        let reply = send(&client, wishing(HANG).with_timeout(timeout), &request).await;
        let error = reply.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{timeout:?}: {error}");
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_is_cancelled_at_the_server() {
    let (mut server, client) = start(ClientConfig::default()).await;
    let request = SimpleRequest::default();
    tokio::select! {
        reply = send(&client, wishing(HANG), &request) => panic!("{reply:?}"),
        _ = server.says("hanging") => {}
    }
    server.says("cancelled").await;
    client
        .send::<_, Empty>(
            "login",
            "/grpc.testing.TestService/EmptyCall",
            (),
            &Empty {},
        )
        .await
        .unwrap();
}

#[tokio::test]
async fn too_large_a_message_fails_its_call_and_leaves_the_connection() {
    // Of the answer; grpc-go takes requests of 4 MiB at most.
    let config = ClientConfig {
        max_request: 8 << 20,
        max_response: 64 << 10,
        ..ClientConfig::default()
    };
    let (mut server, client) = start(config).await;
    for (size, response_size) in [(5 << 20, 0), (0, 128 << 10)] {
        let request = SimpleRequest {
            payload: payload(size),
            response_size,
            ..SimpleRequest::default()
        };
        let error = send(&client, CallOptions::new(), &request)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
        names(&error, &["`login`"]);
        let small = SimpleRequest {
            payload: payload(1 << 10),
            response_size: 32 << 10,
            ..SimpleRequest::default()
        };
        send(&client, CallOptions::new(), &small).await.unwrap();
    }
    server.says("connected").await;
    server.tell("stop").await;
    assert_eq!(server.line().await, "stopped", "one connection served all");
}
