//! A bare HTTP/2 client, for what no gRPC client would send.

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body as _, Frame};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::{Pin, pin},
    task::{Context, Poll},
};
use tonic::body::Body;

/// A response, with its trailers among the headers.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
}

impl Answer {
    pub(crate) fn grpc_status(&self) -> &str {
        self.headers["grpc-status"].to_str().unwrap()
    }

    pub(crate) fn grpc_message(&self) -> &str {
        self.headers["grpc-message"].to_str().unwrap()
    }
}

struct Once(Option<Bytes>);

impl http_body::Body for Once {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|data| Ok(Frame::data(data))))
    }
}

pub(crate) async fn post(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    post_message(address, path, headers, b"").await
}

/// Posts one gRPC message.
pub(crate) async fn post_message(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    message: &[u8],
) -> Answer {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut request = Request::post(format!("http://{address}{path}"));
    for (key, value) in headers {
        request = request.header(*key, *value);
    }
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend(message);
    let body = Once(Some(Bytes::from(body)));
    let request = request.body(Body::new(body)).unwrap();
    let response: Response<Incoming> = sender.send_request(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let mut headers = parts.headers;
    let mut body = pin!(body);
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        if let Ok(trailers) = frame.unwrap().into_trailers() {
            headers.extend(trailers);
        }
    }
    Answer {
        status: parts.status,
        headers,
    }
}
