//! One call on the client: from a request to its response's last byte.

use super::{
    Inner,
    connection::{Connection, SendError},
    route::{Route, Router},
    target::Target,
};
use crate::{
    limit::MessageCap,
    metadata::{self, Deadline},
    status::status_of,
};
use braid_balancer::Picked;
use braid_core::{Error, ErrorKind, Node};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header::USER_AGENT, uri::Scheme};
use http_body::{Body as _, Frame};
use hyper::body::Incoming;
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

/// How often a request that was never sent is tried again: its connection closed, or its node left, in between.
const MAX_ATTEMPTS: usize = 4;

const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("braid-rpc/", env!("CARGO_PKG_VERSION")));

/// The source of the error of a call that the node said it hasn't looked at.
#[derive(Debug)]
pub(super) struct Refused(hyper::Error);

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
struct Held {
    _picked: Picked<Connection>,
    _call: TaskTrackerToken,
}

/// The innermost service of every channel.
pub(super) async fn call(
    inner: Arc<Inner>,
    target: Arc<Target>,
    mut request: Request<Body>,
) -> Result<Response<Body>, Status> {
    let token = inner.calls.token();
    if inner.calls.is_closed() {
        return Err(status_of(closed(&target)));
    }
    target
        .view
        .follow(&inner.discover, &inner.config, &inner.tasks);

    let now = Instant::now();
    let headers = request.headers_mut();
    let asked = headers.get(metadata::TIMEOUT).map(metadata::decode_timeout);
    let asked = match asked {
        Some(None) => {
            return Err(Status::invalid_argument(
                "the header `grpc-timeout` is malformed",
            ));
        }
        Some(asked) => asked,
        None => None,
    };
    let timeouts = [asked, target.timeout].into_iter().flatten();
    let timeouts = timeouts.filter_map(|timeout| now.checked_add(timeout));
    let named = target.named.as_ref();
    let fixed = named.and_then(|named| named.deadline);
    let deadline = timeouts.chain(fixed).min().map(Deadline);
    let routed_by = deadline.map_or(now + inner.config.timeout, |deadline| deadline.0);
    let about = About {
        target: Arc::clone(&target),
        method: request.uri().clone(),
        timeout: named.map_or(routed_by - now, |named| named.timeout),
    };

    headers_of(&inner, &target, &mut request);
    for _ in 0..MAX_ATTEMPTS {
        let router = Router {
            view: &target.view,
            links: inner.links.as_ref(),
            node_wait: inner.config.node_wait,
        };
        let route = tokio::select! {
            biased;
            route = timeout_at(routed_by, router.route(&target)) => route,
            () = inner.tasks.cancelled() => return Err(status_of(closed(&target))),
        };
        let Route { picked, sender } = route.map_err(|_| about.status())?.map_err(status_of)?;
        if !picked.is_present() {
            // It left while the connection was made.
            continue;
        }
        address(&mut request, &sender.authority);
        if let Some(deadline) = deadline {
            let value = metadata::encode_timeout(deadline.remaining());
            request.headers_mut().insert(metadata::TIMEOUT, value);
        }
        let sent = sender.send(request);
        let sent = match deadline {
            Some(deadline) => timeout_at(deadline.0, sent)
                .await
                .map_err(|_| about.status())?,
            None => sent.await,
        };
        match sent {
            Ok(response) => {
                let held = Held {
                    _picked: picked,
                    _call: token,
                };
                return Ok(response.map(|incoming| {
                    Body::new(Reply {
                        ended: incoming.is_end_stream(),
                        incoming,
                        cap: MessageCap::new(inner.config.max_response),
                        deadline: deadline.map(|deadline| Box::pin(sleep_until(deadline.0))),
                        about,
                        held: Some(held),
                    })
                }));
            }
            Err(SendError::Unsent(unsent)) => request = *unsent,
            Err(SendError::Refused(error)) => {
                let text = at(picked.node(), "refused the call unread");
                let error = about
                    .error(ErrorKind::Unavailable, &text)
                    .with_source(Refused(error));
                return Err(status_of(error));
            }
            Err(SendError::Lost(error)) => return Err(about.lost(picked.node(), error)),
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

fn headers_of(inner: &Inner, target: &Target, request: &mut Request<Body>) {
    let headers = request.headers_mut();
    for (key, value) in &inner.caller {
        headers.insert(key, value.clone());
    }
    headers.entry(USER_AGENT).or_insert(AGENT);
    if let Some(token) = &target.token {
        metadata::insert_token(headers, token);
    }
}

fn address(request: &mut Request<Body>, authority: &http::uri::Authority) {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority.clone());
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
}

/// What a call's errors tell of it.
struct About {
    target: Arc<Target>,
    method: Uri,
    timeout: Duration,
}

impl About {
    fn error(&self, kind: ErrorKind, fault: &str) -> Error {
        let named = self.target.named.as_ref();
        let method = named.map_or(self.method.path(), |named| &named.method);
        self.target.error(kind, method, fault)
    }

    fn status(&self) -> Status {
        let mut text = format!("no reply within {:?}", self.timeout);
        if let Some(trouble) = self.target.view.trouble() {
            text = format!("{text}; {trouble}");
        }
        status_of(self.error(ErrorKind::Timeout, &text))
    }

    fn lost(&self, node: &Node, error: hyper::Error) -> Status {
        let text = at(node, "was lost while the call was under way");
        let error = self
            .error(ErrorKind::Indeterminate, &text)
            .with_source(error);
        status_of(error)
    }
}

/// A response's body.
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
            return Poll::Ready(Some(Err(self.about.status())));
        }
        let frame = task::ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        Poll::Ready(frame.map(|frame| match frame {
            Ok(frame) => {
                if let Some(data) = frame.data_ref() {
                    self.cap.check(data)?;
                }
                Ok(frame)
            }
            Err(error) => Err(match &self.held {
                Some(held) => self.about.lost(held._picked.node(), error),
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
