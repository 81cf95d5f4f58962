//! The test service on a braid server.

use super::{
    DETAILED_MESSAGE, DETAILS, ECHO, HANG, details,
    testing::{
        Empty, FILE_DESCRIPTOR_SET, Payload, PayloadType, SimpleRequest, SimpleResponse,
        StreamingInputCallRequest, StreamingInputCallResponse, StreamingOutputCallRequest,
        StreamingOutputCallResponse,
        test_service_server::{TestService, TestServiceServer},
    },
};
use crate::support::{Running, soon};
use braid_rpc::{BoxService, ServerBuilder, ServerConfig};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use http::{HeaderName, HeaderValue};
use http_body::Frame;
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{sync::watch, time::sleep};
use tonic::{
    Code, Request, Response, Status, Streaming, body::Body, codec::CompressionEncoding::Gzip,
    codegen::BoxStream,
};
use tonic_types::StatusExt;
use tower::{ServiceExt, layer::layer_fn, service_fn};

/// A node that serves it, and the service.
pub(super) async fn start(config: ServerConfig) -> (Running, Tests) {
    let tests = Tests::default();
    let adding = tests.clone();
    let node = Running::start_config("login", "login-1", config, |builder| adding.add_to(builder));
    (node.await, tests)
}

/// The service. Clones are one.
#[derive(Clone, Default)]
pub(super) struct Tests {
    // How many calls are under way.
    open: watch::Sender<usize>,
}

impl Tests {
    fn add_to(self, builder: ServerBuilder) -> ServerBuilder {
        let server = TestServiceServer::new(self)
            .accept_compressed(Gzip)
            .send_compressed(Gzip);
        builder
            .register(|services| {
                services.add_service(server);
            })
            .layer(layer_fn(|inner: BoxService| {
                service_fn(move |request| echo_metadata(inner.clone(), request))
            }))
            .describe(FILE_DESCRIPTOR_SET)
            // Lets grpcurl show the details of a status.
            .describe(tonic_types::pb::FILE_DESCRIPTOR_SET)
    }

    /// Waits until that many calls are under way.
    pub(super) async fn open(&self, count: usize) {
        let mut open = self.open.subscribe();
        soon(open.wait_for(|open| *open == count)).await.unwrap();
    }

    /// Begins a call, and does what it wishes for.
    async fn begin<T>(&self, request: &Request<T>) -> Result<Open, Status> {
        self.open.send_modify(|open| *open += 1);
        let open = Open(self.open.clone());
        let wishes = |wish| request.metadata().contains_key(wish);
        if wishes(DETAILS) {
            let code = Code::FailedPrecondition;
            return Err(Status::with_error_details(
                code,
                DETAILED_MESSAGE,
                details(),
            ));
        }
        if wishes(HANG) {
            std::future::pending::<()>().await;
        }
        Ok(open)
    }
}

/// A call under way.
struct Open(watch::Sender<usize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

type Answers = BoxStream<StreamingOutputCallResponse>;

#[tonic::async_trait]
impl TestService for Tests {
    async fn empty_call(&self, request: Request<Empty>) -> Result<Response<Empty>, Status> {
        self.begin(&request).await?;
        Ok(Response::new(Empty {}))
    }

    async fn unary_call(
        &self,
        request: Request<SimpleRequest>,
    ) -> Result<Response<SimpleResponse>, Status> {
        let _open = self.begin(&request).await?;
        let (metadata, _, message) = request.into_parts();
        refuse(message.response_status)?;
        let came = metadata
            .get("grpc-encoding")
            .is_some_and(|name| name == "gzip");
        if message
            .expect_compressed
            .is_some_and(|expected| expected.value != came)
        {
            let text = format!("the request's compression: {came}");
            return Err(Status::invalid_argument(text));
        }
        let payload = if metadata.contains_key(ECHO) {
            message.payload
        } else {
            Some(payload(message.response_size)?)
        };
        let mut response = Response::new(SimpleResponse { payload });
        if !message
            .response_compressed
            .is_some_and(|wished| wished.value)
        {
            response.disable_compression();
        }
        Ok(response)
    }

    type StreamingOutputCallStream = Answers;

    async fn streaming_output_call(
        &self,
        request: Request<StreamingOutputCallRequest>,
    ) -> Result<Response<Answers>, Status> {
        let open = self.begin(&request).await?;
        Ok(answer(answers(request.into_inner()), open))
    }

    async fn streaming_input_call(
        &self,
        request: Request<Streaming<StreamingInputCallRequest>>,
    ) -> Result<Response<StreamingInputCallResponse>, Status> {
        let _open = self.begin(&request).await?;
        let sizes = request.into_inner().map_ok(|message| {
            let body = message.payload.unwrap_or_default().body;
            i32::try_from(body.len()).unwrap()
        });
        let aggregated_payload_size = sizes.try_fold(0, async |sum, size| Ok(sum + size)).await?;
        Ok(Response::new(StreamingInputCallResponse {
            aggregated_payload_size,
        }))
    }

    type FullDuplexCallStream = Answers;

    async fn full_duplex_call(
        &self,
        request: Request<Streaming<StreamingOutputCallRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let open = self.begin(&request).await?;
        let requests = request.into_inner();
        Ok(answer(requests.map_ok(answers).try_flatten(), open))
    }

    type HalfDuplexCallStream = Answers;

    async fn half_duplex_call(
        &self,
        request: Request<Streaming<StreamingOutputCallRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let open = self.begin(&request).await?;
        let requests: Vec<_> = request.into_inner().try_collect().await?;
        Ok(answer(stream::iter(requests).flat_map(answers), open))
    }
}

/// A response that streams, and is under way until it ends.
fn answer(
    answers: impl Stream<Item = Result<StreamingOutputCallResponse, Status>> + Send + 'static,
    open: Open,
) -> Response<Answers> {
    let answers = answers.inspect(move |_| {
        let _held = &open;
    });
    Response::new(Box::pin(answers))
}

/// What one request of a stream asks for.
fn answers(
    request: StreamingOutputCallRequest,
) -> impl Stream<Item = Result<StreamingOutputCallResponse, Status>> {
    if let Err(status) = refuse(request.response_status) {
        return stream::iter([Err(status)]).left_stream();
    }
    let answers = stream::iter(request.response_parameters).then(async |wanted| {
        let interval = u64::try_from(wanted.interval_us).unwrap_or_default();
        sleep(Duration::from_micros(interval)).await;
        let payload = Some(payload(wanted.size)?);
        Ok(StreamingOutputCallResponse { payload })
    });
    answers.right_stream()
}

fn refuse(status: Option<super::testing::EchoStatus>) -> Result<(), Status> {
    match status {
        Some(status) if status.code != 0 => Err(Status::new(status.code.into(), status.message)),
        _ => Ok(()),
    }
}

fn payload(size: i32) -> Result<Payload, Status> {
    let size = usize::try_from(size).map_err(|_| Status::invalid_argument("a size below 0"))?;
    Ok(Payload {
        r#type: PayloadType::Compressable.into(),
        body: vec![0; size].into(),
    })
}

static INITIAL: HeaderName = HeaderName::from_static("x-grpc-test-echo-initial");
static TRAILING: HeaderName = HeaderName::from_static("x-grpc-test-echo-trailing-bin");

/// Sends some metadata back: one key before the messages, one after them, which a tonic handler that succeeds has no way to do.
async fn echo_metadata(
    inner: BoxService,
    request: http::Request<Body>,
) -> Result<http::Response<Body>, Status> {
    let (initial, trailing) = (values(&request, &INITIAL), values(&request, &TRAILING));
    let mut response = inner.oneshot(request).await?;
    response.headers_mut().extend(initial);
    Ok(response.map(|inner| Body::new(Trailing { inner, trailing })))
}

fn values(request: &http::Request<Body>, name: &HeaderName) -> Headers {
    let values = request.headers().get_all(name).iter().cloned();
    values.map(|value| (name.clone(), value)).collect()
}

type Headers = Vec<(HeaderName, HeaderValue)>;

/// A body with more in its trailers.
struct Trailing {
    inner: Body,
    trailing: Headers,
}

impl http_body::Body for Trailing {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            trailers.extend(std::mem::take(&mut self.trailing));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}
