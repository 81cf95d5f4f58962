//! Typed clients on a braid channel call a grpc-go server.

use super::{
    DETAILS, ECHO, HANG,
    go_server::start,
    has_details,
    programs::Peer,
    testing::{
        BoolValue, Payload, ResponseParameters, SimpleRequest, StreamingInputCallRequest,
        StreamingOutputCallRequest, test_service_client::TestServiceClient,
    },
};
use crate::support::{SOON, soon};
use braid_rpc::{Channel, Client, ClientConfig};
use futures_util::{TryStreamExt, stream};
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::{
    Code, Request, Status,
    codec::CompressionEncoding::Gzip,
    metadata::{BinaryMetadataValue, MetadataMap},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

async fn typed() -> (Peer, Client, TestServiceClient<Channel>) {
    let (server, client) = start(ClientConfig::default()).await;
    // Nothing here is to hang.
    let channel = client.channel("login").unwrap().with_timeout(SOON);
    let test = TestServiceClient::new(channel);
    (server, client, test)
}

fn wishing<T>(wish: &'static str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(wish, "1".parse().unwrap());
    request
}

fn asking(sizes: &[i32]) -> StreamingOutputCallRequest {
    let parameters = sizes.iter().map(|&size| ResponseParameters {
        size,
        interval_us: 0,
    });
    StreamingOutputCallRequest {
        response_parameters: parameters.collect(),
        ..StreamingOutputCallRequest::default()
    }
}

/// The sizes of a stream's messages.
async fn sizes(
    stream: &mut tonic::Streaming<super::testing::StreamingOutputCallResponse>,
) -> Result<Vec<usize>, Status> {
    let sizes = stream.map_ok(|message| message.payload.unwrap_or_default().body.len());
    soon(sizes.try_collect()).await
}

const SIZES: [i32; 4] = [31_415, 9, 2_653, 58_979];

#[tokio::test]
async fn a_stream_of_answers_arrives() {
    let (_server, _client, mut test) = typed().await;
    let mut stream = test
        .streaming_output_call(asking(&SIZES))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        sizes(&mut stream).await.unwrap(),
        SIZES.map(|size| size as usize)
    );
}

#[tokio::test]
async fn a_stream_of_requests_is_answered_once() {
    let (_server, _client, mut test) = typed().await;
    let requests = SIZES.map(|size| StreamingInputCallRequest {
        payload: Some(Payload {
            body: vec![7; size as usize].into(),
            ..Payload::default()
        }),
    });
    let reply = test
        .streaming_input_call(stream::iter(requests))
        .await
        .unwrap();
    assert_eq!(
        reply.into_inner().aggregated_payload_size,
        SIZES.iter().sum::<i32>()
    );
}

#[tokio::test]
async fn a_bidirectional_stream_is_a_dialogue() {
    let (_server, _client, mut test) = typed().await;
    let (ask, asked) = mpsc::channel(1);
    let asked = stream::unfold(asked, |mut asked| async {
        Some((asked.recv().await?, asked))
    });
    // The server says nothing before its first answer.
    ask.send(asking(&SIZES[..1])).await.unwrap();
    let mut stream = test.full_duplex_call(asked).await.unwrap().into_inner();
    for (index, size) in SIZES.into_iter().enumerate() {
        if index > 0 {
            ask.send(asking(&[size])).await.unwrap();
        }
        let reply = soon(stream.message()).await.unwrap().unwrap();
        assert_eq!(reply.payload.unwrap().body.len(), size as usize);
    }
    drop(ask);
    assert!(soon(stream.message()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_half_duplex_stream_is_answered_once_it_is_complete() {
    let (_server, _client, mut test) = typed().await;
    let requests = stream::iter(SIZES.map(|size| asking(&[size])));
    let mut stream = test.half_duplex_call(requests).await.unwrap().into_inner();
    assert_eq!(
        sizes(&mut stream).await.unwrap(),
        SIZES.map(|size| size as usize)
    );
}

#[tokio::test]
async fn requests_and_answers_are_compressed_each_by_itself() {
    let (_server, client, plain) = typed().await;
    let gzipped = TestServiceClient::new(client.channel("login").unwrap())
        .send_compressed(Gzip)
        .accept_compressed(Gzip);
    for (mut test, request) in [(plain.accept_compressed(Gzip), false), (gzipped, true)] {
        for answer in [false, true] {
            let message = SimpleRequest {
                payload: Some(Payload {
                    body: vec![7; 100 << 10].into(),
                    ..Payload::default()
                }),
                expect_compressed: Some(BoolValue { value: request }),
                response_compressed: Some(BoolValue { value: answer }),
                ..SimpleRequest::default()
            };
            let reply = test
                .unary_call(wishing(ECHO, message.clone()))
                .await
                .unwrap();
            let encoding = reply.metadata().get("grpc-encoding").cloned();
            assert_eq!(
                encoding.is_some_and(|name| name == "gzip"),
                answer,
                "request {request}"
            );
            assert!(
                reply.into_inner().payload == message.payload,
                "another payload"
            );
        }
    }
}

#[tokio::test]
async fn the_details_of_a_status_arrive() {
    let (_server, _client, mut test) = typed().await;
    let unary = test
        .unary_call(wishing(DETAILS, SimpleRequest::default()))
        .await
        .unwrap_err();
    let streamed = test
        .full_duplex_call(wishing(DETAILS, stream::iter([asking(&[1])])))
        .await;
    has_details(&unary);
    has_details(&streamed.unwrap_err());
}

const INITIAL: &str = "x-grpc-test-echo-initial";
const TRAILING: &str = "x-grpc-test-echo-trailing-bin";
const BYTES: &[u8] = b"\x00\xff\xab,";

fn with_metadata<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let metadata = request.metadata_mut();
    metadata.insert(INITIAL, "initial".parse().unwrap());
    metadata.insert_bin(TRAILING, BinaryMetadataValue::from_bytes(BYTES));
    request
}

fn check_trailing(trailers: &MetadataMap) {
    let got = trailers.get_bin(TRAILING).unwrap().to_bytes().unwrap();
    assert_eq!(got, BYTES);
}

#[tokio::test]
async fn metadata_comes_before_the_messages_and_after_them() {
    let (_server, _client, mut test) = typed().await;
    let reply = test
        .unary_call(with_metadata(SimpleRequest::default()))
        .await
        .unwrap();
    // tonic has the trailers of a unary call among its metadata.
    assert_eq!(reply.metadata().get(INITIAL).unwrap(), "initial");
    check_trailing(reply.metadata());

    let request = with_metadata(stream::iter([asking(&[1])]));
    let reply = test.full_duplex_call(request).await.unwrap();
    assert_eq!(reply.metadata().get(INITIAL).unwrap(), "initial");
    let mut stream = reply.into_inner();
    assert_eq!(sizes(&mut stream).await.unwrap(), [1]);
    check_trailing(&stream.trailers().await.unwrap().unwrap());
}

#[tokio::test]
async fn a_deadline_ends_a_stream_on_both_sides() {
    let (mut server, client, _test) = typed().await;
    let channel = client
        .channel("login")
        .unwrap()
        .with_timeout(Duration::from_millis(500));
    let mut test = TestServiceClient::new(channel);
    let request = wishing(HANG, stream::pending());
    let call = async { soon(test.full_duplex_call(request)).await };
    let (reply, ()) = tokio::join!(call, async {
        server.says("hanging, deadline in ").await;
        server.says("cancelled").await;
    });
    assert_eq!(reply.unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_stream_that_is_dropped_is_cancelled_at_the_server() {
    let (mut server, client, mut test) = typed().await;
    let request = wishing(HANG, stream::pending());
    tokio::select! {
        reply = test.full_duplex_call(request) => panic!("{reply:?}"),
        _ = server.says("hanging") => {}
    }
    server.says("cancelled").await;
    assert_eq!(client.nodes("login")[0].in_flight, 0);
}

#[tokio::test]
async fn health_is_checked_and_watched() {
    let (mut server, client, _test) = typed().await;
    let mut health = HealthClient::new(client.channel("login").unwrap());
    let reply = health.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(reply.into_inner().status, 1, "SERVING");
    let unknown = HealthCheckRequest {
        service: "no.Such".to_owned(),
    };
    assert_eq!(
        health.check(unknown).await.unwrap_err().code(),
        Code::NotFound
    );

    let stream = health.watch(HealthCheckRequest::default()).await.unwrap();
    let mut stream = stream.into_inner();
    assert_eq!(
        soon(stream.message()).await.unwrap().unwrap().status,
        1,
        "SERVING"
    );
    server.tell("not-serving").await;
    assert_eq!(
        soon(stream.message()).await.unwrap().unwrap().status,
        2,
        "NOT_SERVING"
    );
}

#[tokio::test]
async fn the_services_are_found_by_reflection() {
    let (_server, client, _test) = typed().await;
    let mut reflection = ServerReflectionClient::new(client.channel("login").unwrap());
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let replies = reflection
        .server_reflection_info(stream::iter([list]))
        .await
        .unwrap();
    let reply = soon(replies.into_inner().message()).await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = reply.message_response else {
        panic!("{reply:?}");
    };
    let names: Vec<_> = list
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    assert!(
        names.iter().any(|name| name == "grpc.testing.TestService"),
        "{names:?}"
    );
}
