//! The channel that typed clients are put on.

use super::{Inner, call::call, target::Target};
use crate::layer::BoxService;
use braid_core::{NodeId, ServiceName, Token};
use http::{Request, Response};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tonic::{Status, body::Body};
use tower::{Service, ServiceExt};

/// A service's nodes as one channel: put any generated tonic client on it. Cheap to clone.
///
/// Each call goes its own way: to the node that it names, to the one that its token is linked to, or to the one that the policy picks.
/// Streams stay on the node where they began, and count as its load until they end.
///
/// A timeout, by [`with_timeout`](Self::with_timeout) or of the single request, bounds the whole call, a stream to its last message, and
/// travels as its deadline. Without one a call has no deadline; only the way to a node is bounded, by
/// [`ClientConfig::timeout`](crate::ClientConfig::timeout).
#[derive(Clone)]
pub struct Channel {
    target: Arc<Target>,
    stack: Stack,
}

/// The layers around the wire, if there are any.
#[derive(Clone)]
pub(super) enum Stack {
    Plain(Wire),
    Layered(BoxService),
}

/// Calls the node that the request's target leads to.
#[derive(Clone)]
pub(super) struct Wire(pub(super) Arc<Inner>);

type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

impl Channel {
    pub(super) fn new(target: Target, stack: Stack) -> Self {
        Self {
            target: Arc::new(target),
            stack,
        }
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &ServiceName {
        self.target.service()
    }

    /// The same channel for a user: calls go to the node that the token is linked to, and handlers are told the token.
    #[must_use]
    pub fn with_token(self, token: Token) -> Self {
        self.change(|target| target.token = Some(token))
    }

    /// The same channel to one node.
    #[must_use]
    pub fn with_node(self, node: NodeId) -> Self {
        self.change(|target| target.node = Some(node))
    }

    /// The same channel, whose calls take at most this long.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        self.change(|target| target.timeout = Some(timeout))
    }

    fn change(mut self, change: impl FnOnce(&mut Target)) -> Self {
        change(Arc::make_mut(&mut self.target));
        self
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        // Whether a node is there is known only once the call is: it may have a token, or name a node.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> ResponseFuture {
        match &self.stack {
            Stack::Plain(wire) => {
                let (inner, target) = (Arc::clone(&wire.0), Arc::clone(&self.target));
                Box::pin(call(inner, target, request))
            }
            Stack::Layered(layered) => {
                request.extensions_mut().insert(Arc::clone(&self.target));
                Box::pin(layered.clone().oneshot(request))
            }
        }
    }
}

impl Service<Request<Body>> for Wire {
    type Response = Response<Body>;
    type Error = Status;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> ResponseFuture {
        match request.extensions_mut().remove::<Arc<Target>>() {
            Some(target) => Box::pin(call(Arc::clone(&self.0), target, request)),
            None => Box::pin(async {
                let text = "a layer has removed the call's target from the request's extensions";
                Err(Status::internal(text))
            }),
        }
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("service", self.target.service())
            .field("token", &self.target.token)
            .field("node", &self.target.node)
            .field("timeout", &self.target.timeout)
            .finish_non_exhaustive()
    }
}
