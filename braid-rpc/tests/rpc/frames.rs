//! What goes over the wire, seen by a peer that looks at frames.

use crate::support::{Fleet, names, node_at, soon};
use braid_core::ErrorKind;
use braid_rpc::proto::{RouteReq, RouteRes, listen_client::ListenClient};
use bytes::Bytes;
use futures_util::StreamExt;
use h2::{RecvStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Request, Response};
use std::{future::Future, net::SocketAddr, sync::Arc};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};
use tonic::{Code, Status, body::Body, client::Grpc};
use tonic_prost::ProstCodec;

type Asked = (Request<RecvStream>, SendResponse<Bytes>);

/// A peer with a small window that hands its requests to `handle`.
async fn peer<F, Fut>(handle: F) -> SocketAddr
where
    F: Fn(Asked) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let handle = Arc::new(handle);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let handle = Arc::clone(&handle);
            tokio::spawn(async move {
                let mut connection = h2::server::Builder::new()
                    .initial_window_size(1 << 14)
                    .handshake::<_, Bytes>(stream)
                    .await
                    .unwrap();
                while let Some(Ok(asked)) = connection.accept().await {
                    tokio::spawn(handle(asked));
                }
            });
        }
    });
    address
}

fn head() -> Response<()> {
    let mut response = Response::new(());
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", grpc);
    response
}

fn trailers(entries: &[(&'static str, &'static str)]) -> HeaderMap {
    let entry = |(key, value): &(&'static str, &'static str)| {
        (key.parse().unwrap(), HeaderValue::from_static(value))
    };
    entries.iter().map(entry).collect()
}

/// An empty message, and the end that is wanted.
fn answer(mut respond: SendResponse<Bytes>, end: HeaderMap) {
    let mut stream = respond.send_response(head(), false).unwrap();
    stream
        .send_data(Bytes::from_static(&[0; 5]), false)
        .unwrap();
    stream.send_trailers(end).unwrap();
}

/// The sizes of a request's frames, and whether the last of them said that it is the last.
async fn frames(body: &mut RecvStream) -> (Vec<usize>, bool) {
    let mut sizes = Vec::new();
    let mut ended = false;
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        sizes.push(data.len());
        ended = body.is_end_stream();
    }
    (sizes, ended)
}

#[tokio::test]
async fn a_unary_request_is_one_frame_by_name_and_of_a_typed_client() {
    let (log, mut seen) = mpsc::unbounded_channel();
    let address = peer(move |(request, respond)| {
        let log = log.clone();
        async move {
            log.send(frames(&mut request.into_body()).await).unwrap();
            answer(respond, trailers(&[("grpc-status", "0")]));
        }
    })
    .await;
    let fleet = Fleet::default();
    fleet.put(&node_at("login", "login-1", address));
    let client = fleet.client();
    let one = (vec![5 + 128], true);
    soon(client.send_bytes("login", "/a.A/B", (), vec![7; 128]))
        .await
        .unwrap();
    assert_eq!(seen.recv().await.unwrap(), one);
    let mut typed = ListenClient::new(client.channel("login").unwrap());
    let message = RouteReq {
        req_body: Bytes::from(vec![7; 126]),
        ..RouteReq::default()
    };
    soon(typed.routing(message)).await.unwrap();
    assert_eq!(seen.recv().await.unwrap(), one);
}

#[tokio::test]
async fn a_stream_of_requests_is_sent_as_fast_as_the_peer_takes_it_and_whole() {
    let (log, mut seen) = mpsc::unbounded_channel();
    let address = peer(move |(request, respond)| {
        let log = log.clone();
        async move {
            let (sizes, _) = frames(&mut request.into_body()).await;
            log.send(sizes.iter().sum::<usize>()).unwrap();
            answer(respond, trailers(&[("grpc-status", "0")]));
        }
    })
    .await;
    let fleet = Fleet::default();
    fleet.put(&node_at("login", "login-1", address));
    let mut grpc = Grpc::new(fleet.client().channel("login").unwrap());
    let messages = (0..40).map(|index| RouteReq {
        req_body: vec![7; index * 1000].into(),
        ..RouteReq::default()
    });
    let size: usize = messages
        .clone()
        .map(|m| 5 + prost::Message::encoded_len(&m))
        .sum();
    // Some come at once, some after a while.
    let messages = futures_util::stream::iter(messages).then(|message| async move {
        if message.req_body.len() % 3 == 0 {
            tokio::task::yield_now().await;
        }
        message
    });
    let codec = ProstCodec::<RouteReq, RouteRes>::default();
    let path = http::uri::PathAndQuery::from_static("/a.A/B");
    let request = tonic::Request::new(messages);
    soon(grpc.client_streaming(request, path, codec))
        .await
        .unwrap();
    assert_eq!(seen.recv().await.unwrap(), size);
}

#[tokio::test]
async fn a_call_that_is_dropped_resets_its_stream_whatever_it_was_doing() {
    let (reset, mut resets) = mpsc::unbounded_channel();
    let (taken, mut takes) = watch::channel(0);
    let taken = Arc::new(taken);
    let address = peer(move |(request, mut respond)| {
        let (reset, taken) = (reset.clone(), Arc::clone(&taken));
        async move {
            taken.send_modify(|count| *count += 1);
            let _body = request;
            let reason = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
            reset.send(reason.unwrap()).unwrap();
        }
    })
    .await;
    let fleet = Fleet::default();
    fleet.put(&node_at("login", "login-1", address));
    let client = fleet.client();
    let by_name = client.send_bytes("login", "/a.A/B", (), vec![7; 128]);
    tokio::select! {
        reply = by_name => panic!("{reply:?}"),
        _ = takes.wait_for(|count| *count == 1) => {}
    }
    assert_eq!(soon(resets.recv()).await.unwrap(), h2::Reason::CANCEL);
    // One whose request is still being sent.
    let mut grpc = Grpc::new(client.channel("login").unwrap());
    let endless = futures_util::stream::repeat(RouteReq {
        req_body: vec![7; 1 << 16].into(),
        ..RouteReq::default()
    });
    let codec = ProstCodec::<RouteReq, RouteRes>::default();
    let path = http::uri::PathAndQuery::from_static("/a.A/B");
    let call = grpc.client_streaming(tonic::Request::new(endless), path, codec);
    tokio::select! {
        _ = call => panic!("it has no end"),
        _ = takes.wait_for(|count| *count == 2) => {}
    }
    assert_eq!(soon(resets.recv()).await.unwrap(), h2::Reason::CANCEL);
}

#[tokio::test]
async fn an_error_of_the_requests_own_is_what_its_caller_is_told() {
    let address = peer(|(request, _respond)| async move {
        let mut body = request.into_body();
        while let Some(Ok(_)) = body.data().await {}
    })
    .await;
    let fleet = Fleet::default();
    fleet.put(&node_at("login", "login-1", address));
    let channel = fleet.client().channel("login").unwrap();
    for waits in [false, true] {
        let fails = async move {
            if waits {
                tokio::task::yield_now().await;
            }
            Err::<http_body::Frame<Bytes>, _>(Status::data_loss("the disk is gone"))
        };
        let body = http_body_util::StreamBody::new(futures_util::stream::once(fails));
        let mut request = Request::new(Body::new(Box::pin(body)));
        *request.uri_mut() = "/a.A/B".parse().unwrap();
        let called = soon(tower::Service::call(&mut channel.clone(), request)).await;
        let status = called.unwrap_err();
        assert_eq!(status.code(), Code::DataLoss, "{status}");
        assert_eq!(status.message(), "the disk is gone");
    }
}

#[tokio::test]
async fn details_that_are_no_base64_panic_nobody() {
    let end = [
        ("grpc-status", "5"),
        ("grpc-message", "gone"),
        ("grpc-status-details-bin", "%%"),
    ];
    let address = peer(move |(_, respond)| async move { answer(respond, trailers(&end)) }).await;
    let fleet = Fleet::default();
    fleet.put(&node_at("login", "login-1", address));
    let client = fleet.client();
    let error = soon(client.send_bytes("login", "/a.A/B", (), "")).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    names(&error, &["`login`", "`/a.A/B`", "gone"]);
    let mut typed = ListenClient::new(client.channel("login").unwrap());
    let status = soon(typed.routing(RouteReq::default())).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::NotFound, "gone"));
}

#[tokio::test]
async fn a_compressed_reply_is_read_and_an_unknown_encoding_is_named() {
    let address = peer(|(request, mut respond)| async move {
        let snappy = request.uri().path().ends_with("Snappy");
        let encoding = if snappy { "snappy" } else { "gzip" };
        let mut head = head();
        head.headers_mut()
            .insert("grpc-encoding", HeaderValue::from_static(encoding));
        let mut stream = respond.send_response(head, false).unwrap();
        let mut message =
            flate2::write::GzEncoder::new(vec![1, 0, 0, 0, 0], flate2::Compression::best());
        std::io::Write::write_all(&mut message, &[7; 1000]).unwrap();
        let mut message = message.finish().unwrap();
        message[4] = u8::try_from(message.len() - 5).unwrap();
        stream.send_data(message.into(), false).unwrap();
        stream
            .send_trailers(trailers(&[("grpc-status", "0")]))
            .unwrap();
    })
    .await;
    let fleet = Fleet::default();
    fleet.put(&node_at("login", "login-1", address));
    let client = fleet.client();
    let reply = soon(client.send_bytes("login", "/a.A/Gzip", (), "")).await;
    assert_eq!(reply.unwrap(), vec![7; 1000]);
    let error = soon(client.send_bytes("login", "/a.A/Snappy", (), "")).await;
    names(&error.unwrap_err(), &["snappy", "gzip"]);
}
