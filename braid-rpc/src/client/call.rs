//! One call on the client: from a request to its response's last byte.

use super::{
    Inner,
    http2::{Exchange, Incoming, Outgoing, SendError},
    pool::Pool,
    route::{Route, Router},
    target::Target,
};
use crate::{
    limit::MessageCap,
    metadata::{self, Deadline},
    status::{drop_malformed_details, status_of},
};
use braid_balancer::Picked;
use braid_core::{Error, ErrorKind, Node};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Uri, header::USER_AGENT, uri::Scheme};
use http_body::{Body as _, Frame};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::{Status, body::Body};

/// How often a request that was never sent is tried again: its connection closed, or its node left, in between. Each time is a connection
/// less, so that few are enough, unless all connections of several nodes close at once.
const MAX_ATTEMPTS: usize = 64;

const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("braid-rpc/", env!("CARGO_PKG_VERSION")));

/// The source of the error of a call that the node surely hasn't looked at.
#[derive(Debug)]
pub(super) struct Refused(h2::Error);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused unread: {}", self.0)
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// What a call counts as, until its response has ended.
pub(super) struct Held {
    picked: Picked<Pool>,
    _call: TaskTrackerToken,
}

impl Held {
    pub(super) fn node(&self) -> &Node {
        self.picked.node()
    }
}

/// Tells the balancer how long a node took to answer.
struct Waiting<'a> {
    picked: Option<&'a Picked<Pool>>,
    since: Instant,
}

impl<'a> Waiting<'a> {
    fn new(picked: &'a Picked<Pool>) -> Self {
        Self {
            picked: Some(picked),
            since: Instant::now(),
        }
    }

    /// How soon a call failed says nothing of how fast the node is.
    fn end(mut self, answered: bool) {
        if let Some(picked) = self.picked.take()
            && answered
        {
            picked.observe(self.since.elapsed());
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // Given up, at the deadline or before: it would have taken longer than this.
        let waited = self.since.elapsed();
        if let Some(picked) = self.picked
            && picked
                .latency()
                .is_none_or(|known| known.average() < waited)
        {
            picked.observe(waited);
        }
    }
}

/// How long a call may take.
pub(super) struct Times {
    /// When it is over; `None` for a stream that nobody limits.
    pub(super) deadline: Option<Deadline>,
    /// By when it has to be on its way.
    routed_by: Instant,
    /// What the errors say.
    timeout: Duration,
}

/// As good as never.
const AGE: Duration = Duration::from_secs(1 << 30);

impl Times {
    /// Of what the request asks for, what its target says, and what is configured.
    pub(super) fn of(inner: &Inner, target: &Target, headers: &HeaderMap) -> Result<Self, Status> {
        let now = Instant::now();
        let asked = match headers.get(metadata::TIMEOUT).map(metadata::decode_timeout) {
            Some(None) => {
                let text = "the header `grpc-timeout` is malformed";
                return Err(Status::invalid_argument(text));
            }
            Some(asked) => asked,
            None => None,
        };
        let named = target.named.as_ref();
        let timeouts = [asked, target.timeout].into_iter().flatten();
        let timeouts = timeouts.filter_map(|timeout| now.checked_add(timeout));
        let deadline = timeouts.chain(named.and_then(|named| named.deadline)).min();
        let routed_by = deadline.or_else(|| now.checked_add(inner.config.timeout));
        let routed_by = routed_by.unwrap_or(now + AGE);
        Ok(Self {
            deadline: deadline.map(Deadline),
            routed_by,
            timeout: named.map_or(routed_by - now, |named| named.timeout),
        })
    }
}

/// The innermost service of every channel.
pub(super) async fn call(
    inner: Arc<Inner>,
    target: Arc<Target>,
    request: Request<Body>,
) -> Result<Response<Body>, Status> {
    let times = Times::of(&inner, &target, request.headers())?;
    let about = About::new(&target, request.uri().clone(), &times);
    let deadline = times.deadline;
    let sent = dispatch(&inner, &about, &times, request.map(Outgoing::Streamed));
    let sent = match deadline {
        Some(deadline) => timeout_at(deadline.0, sent).await,
        None => Ok(sent.await),
    };
    let (mut response, held) = sent.map_err(|_| about.too_late())??;
    drop_malformed_details(response.headers_mut());
    Ok(response.map(|incoming| {
        Body::new(Reply {
            ended: incoming.is_end_stream(),
            incoming,
            cap: MessageCap::new(inner.config.max_response),
            deadline: deadline.map(|deadline| Box::pin(sleep_until(deadline.0))),
            about,
            held: Some(held),
        })
    }))
}

/// Sends a request to the node that its target leads to, and waits for the response to begin. Enforces the time on the way to the node
/// only; the deadline is the caller's business.
pub(super) async fn dispatch(
    inner: &Inner,
    about: &About,
    times: &Times,
    mut request: Request<Outgoing>,
) -> Result<(Response<Incoming>, Held), Status> {
    let target = &*about.target;
    let call = inner.calls.token();
    if inner.calls.is_closed() {
        return Err(status_of(closed(target)));
    }
    if times.deadline.is_some() {
        inner.ticks.call(&inner.tasks);
    }
    let view = &target.view;
    view.follow(&inner.discover, &inner.config, &inner.tasks);
    let router = Router::new(inner, view);
    add_headers(inner, target, request.headers_mut());
    for _ in 0..MAX_ATTEMPTS {
        let route = match router.at_once(target.node(), target.token()) {
            Some(route) => route,
            None => tokio::select! {
                biased;
                route = timeout_at(times.routed_by, router.route(target)) => {
                    route.map_err(|_| about.too_late())?.map_err(status_of)?
                }
                () = inner.tasks.cancelled() => return Err(status_of(closed(target))),
            },
        };
        let Route { picked, connection } = route;
        if !picked.is_present() {
            // It left while the connection was made.
            continue;
        }
        address(&mut request, picked.owned().authority());
        if let Some(deadline) = times.deadline {
            let value = metadata::encode_timeout(deadline.remaining());
            request.headers_mut().insert(metadata::TIMEOUT, value);
        }
        let waiting = Waiting::new(&picked);
        let result = match Exchange::start(&connection, request, &inner.tasks) {
            Ok(exchange) => exchange.await,
            Err(error) => Err(error),
        };
        waiting.end(result.is_ok());
        let error = match result {
            Ok(response) => {
                let held = Held {
                    picked,
                    _call: call,
                };
                return Ok((response, held));
            }
            Err(error) => error,
        };
        let node = picked.node();
        match error {
            SendError::Unsent(unsent) => {
                picked.owned().give_up(&connection);
                request = *unsent;
            }
            SendError::Refused(error) => {
                let error = about
                    .error(ErrorKind::Unavailable, &at(node, "refused the call unread"))
                    .with_source(Refused(error));
                return Err(status_of(error));
            }
            SendError::Lost(error) => return Err(about.lost(node, error)),
            SendError::Body(status) => return Err(status),
        }
    }
    let text = "connections close before the call is on its way";
    Err(status_of(about.error(ErrorKind::Unavailable, text)))
}

fn closed(target: &Target) -> Error {
    let text = format!("service `{}`: the client is closed", target.view.name);
    Error::new(ErrorKind::Closed, "rpc", "call", text)
}

fn at(node: &Node, fault: &str) -> String {
    format!("node `{}` at {} {fault}", node.node.id, node.address)
}

fn add_headers(inner: &Inner, target: &Target, headers: &mut HeaderMap) {
    for (key, value) in &inner.caller {
        headers.insert(key, value.clone());
    }
    headers.entry(USER_AGENT).or_insert(AGENT);
    if let Some(token) = &target.token {
        metadata::insert_token(headers, token);
    }
}

fn address(request: &mut Request<Outgoing>, authority: &http::uri::Authority) {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority.clone());
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
}

/// What a call's errors tell of it.
pub(super) struct About {
    target: Arc<Target>,
    method: Uri,
    deadline: Option<Deadline>,
    timeout: Duration,
}

impl About {
    /// `method` is for calls that are not by name: those say it in their target.
    pub(super) fn new(target: &Arc<Target>, method: Uri, times: &Times) -> Self {
        Self {
            target: Arc::clone(target),
            method,
            deadline: times.deadline,
            timeout: times.timeout,
        }
    }

    fn error(&self, kind: ErrorKind, fault: &str) -> Error {
        let named = self.target.named.as_ref();
        let method = named.map_or(self.method.path(), |named| &named.method);
        self.target.error(kind, method, fault)
    }

    /// The deadline has passed.
    pub(super) fn too_late(&self) -> Status {
        let mut text = format!("no reply within {:?}", self.timeout);
        if let Some(trouble) = self.target.view.trouble() {
            text = format!("{text}; {trouble}");
        }
        status_of(self.error(ErrorKind::Timeout, &text))
    }

    /// The response broke off. At a call's deadline its node may reset it, and be faster than the timer here.
    pub(super) fn lost(&self, node: &Node, error: h2::Error) -> Status {
        let is_over = |deadline: &Deadline| deadline.remaining().is_zero();
        if self.deadline.as_ref().is_some_and(is_over) {
            return self.too_late();
        }
        let text = format!("was lost while the call was under way: {error}");
        let text = at(node, &text);
        let error = self
            .error(ErrorKind::Indeterminate, &text)
            .with_source(error);
        status_of(error)
    }
}

/// The body of a typed client's response.
struct Reply {
    incoming: Incoming,
    ended: bool,
    cap: MessageCap,
    deadline: Option<Pin<Box<Sleep>>>,
    about: About,
    held: Option<Held>,
}

impl Reply {
    fn poll_incoming(
        &mut self,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Some(Err(self.about.too_late())));
        }
        let frame = task::ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        Poll::Ready(frame.map(|frame| match frame {
            Ok(mut frame) => {
                if let Some(trailers) = frame.trailers_mut() {
                    drop_malformed_details(trailers);
                }
                if let Some(data) = frame.data_ref() {
                    self.cap.check(data)?;
                }
                Ok(frame)
            }
            Err(error) => Err(match &self.held {
                Some(held) => self.about.lost(held.node(), error),
                None => Status::from_error(error.into()),
            }),
        }))
    }
}

impl http_body::Body for Reply {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let frame = task::ready!(self.poll_incoming(cx));
        let more = matches!(&frame, Some(Ok(frame)) if frame.is_data());
        if !more {
            // Trailers, an error, or nothing: the call is over.
            self.ended = true;
            self.held = None;
            self.deadline = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}
