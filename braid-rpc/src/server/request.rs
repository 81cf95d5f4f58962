//! One request on the server: what surrounds every handler.

use crate::{
    layer::BoxService,
    limit::{CappedBody, MessageCap},
    metadata::{Context, Deadline},
};
use braid_core::Shutdown;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, Request, Response, StatusCode, Uri, header::CONTENT_TYPE};
use http_body::{Body as _, Frame};
use hyper::body::Incoming;
use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{self, Poll},
};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tonic::{Status, body::Body, transport::server::TcpConnectInfo};
use tower::ServiceExt;

/// What all requests of one run share.
pub(super) struct Run {
    pub(super) service: BoxService,
    pub(super) max_request: usize,
    pub(super) max_response: usize,
    pub(super) shutdown: Shutdown,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) info: TcpConnectInfo,
    /// Requests whose response hasn't ended.
    pub(super) active: AtomicUsize,
}

/// A request that counts as active.
struct Active(Arc<Peer>);

impl Active {
    fn new(peer: Arc<Peer>) -> Self {
        peer.active.fetch_add(1, Relaxed);
        Self(peer)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Relaxed);
    }
}

/// Answers a request. Whatever goes wrong becomes a status: nothing that a handler does ends more than its call.
pub(super) async fn handle(
    run: Arc<Run>,
    peer: Arc<Peer>,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Infallible> {
    let uri = request.uri().clone();
    let active = Active::new(Arc::clone(&peer));
    let mut deadline = None;
    let response = if is_grpc(request.headers()) {
        match prepare(&run, &peer, request) {
            Ok((request, until)) => {
                deadline = until;
                answer(&run, &uri, request, until).await
            }
            Err(status) => status.into_http(),
        }
    } else {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        response
    };
    Ok(response.map(|inner| ReplyBody {
        // Trailers have gone out with the headers then.
        done: inner.is_end_stream(),
        deadline: deadline
            .filter(|_| !inner.is_end_stream())
            .map(|deadline| Box::pin(sleep_until(deadline.0))),
        inner,
        cap: MessageCap::new(run.max_response),
        uri,
        _active: active,
    }))
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// Puts into the request's extensions what handlers may ask for.
fn prepare(
    run: &Run,
    peer: &Peer,
    request: Request<Incoming>,
) -> Result<(Request<Body>, Option<Deadline>), Status> {
    let (mut parts, body) = request.into_parts();
    let context = Context::read(&mut parts.headers)?;
    let deadline = context
        .timeout
        // A timeout beyond the end of time is none.
        .and_then(|timeout| Instant::now().checked_add(timeout))
        .map(Deadline);
    let extensions = &mut parts.extensions;
    extensions.insert(peer.info.clone());
    extensions.insert(run.shutdown.clone());
    if let Some(token) = context.token {
        extensions.insert(token);
    }
    if let Some(caller) = context.caller {
        extensions.insert(caller);
    }
    if let Some(deadline) = deadline {
        extensions.insert(deadline);
    }
    let body = Body::new(CappedBody::new(body, run.max_request));
    Ok((Request::from_parts(parts, body), deadline))
}

async fn answer(
    run: &Run,
    uri: &Uri,
    request: Request<Body>,
    deadline: Option<Deadline>,
) -> Response<Body> {
    let call = AssertUnwindSafe(async { run.service.clone().oneshot(request).await });
    let call = call.catch_unwind();
    let result = match deadline {
        None => call.await,
        Some(deadline) if deadline.remaining().is_zero() => return too_late(uri).into_http(),
        Some(deadline) => match timeout_at(deadline.0, call).await {
            Ok(result) => result,
            Err(_) => return too_late(uri).into_http(),
        },
    };
    match result {
        Ok(Ok(response)) => response,
        Ok(Err(status)) => status.into_http(),
        Err(_panic) => panicked(uri).into_http(),
    }
}

fn too_late(uri: &Uri) -> Status {
    Status::deadline_exceeded(format!("{} took longer than its deadline", uri.path()))
}

fn panicked(uri: &Uri) -> Status {
    // The panic hook has told what and where.
    tracing::error!(method = uri.path(), "a handler panicked");
    Status::internal(format!("panic in {}", uri.path()))
}

/// A response's body. Whatever goes wrong in it ends in trailers that say so.
pub(super) struct ReplyBody {
    inner: Body,
    done: bool,
    deadline: Option<Pin<Box<Sleep>>>,
    cap: MessageCap,
    uri: Uri,
    _active: Active,
}

impl ReplyBody {
    fn poll_inner(
        &mut self,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Some(Err(too_late(&self.uri))));
        }
        let inner = Pin::new(&mut self.inner);
        match std::panic::catch_unwind(AssertUnwindSafe(|| inner.poll_frame(cx))) {
            Ok(Poll::Ready(Some(Ok(frame)))) => {
                let checked = match frame.data_ref() {
                    Some(data) => self.cap.check(data),
                    None => Ok(()),
                };
                Poll::Ready(Some(checked.map(|()| frame)))
            }
            Ok(poll) => poll,
            Err(_panic) => Poll::Ready(Some(Err(panicked(&self.uri)))),
        }
    }
}

impl http_body::Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.done {
            return Poll::Ready(None);
        }
        self.poll_inner(cx).map(|frame| match frame {
            Some(Ok(frame)) => Some(Ok(frame)),
            Some(Err(status)) => {
                self.done = true;
                let mut trailers = HeaderMap::new();
                if status.add_header(&mut trailers).is_err() {
                    trailers.insert(Status::GRPC_STATUS, (tonic::Code::Unknown as i32).into());
                }
                Some(Ok(Frame::trailers(trailers)))
            }
            None => {
                self.done = true;
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.done
    }
}
