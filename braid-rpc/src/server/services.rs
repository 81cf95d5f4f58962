//! The gRPC services of a server, and the way from a path to one of them.

use crate::layer::{BoxService, erase};
use bytes::Bytes;
use http::{Request, Response};
use std::{
    collections::HashMap,
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tonic::{Status, body::Body, codegen::StdError, server::NamedService};
use tower::{Service, ServiceExt};

/// Takes the services that a server is to serve.
#[derive(Default)]
pub struct Services {
    by_name: HashMap<&'static str, BoxService>,
    twice: Option<&'static str>,
}

impl Services {
    /// Adds a service: the generated server around a handler, with an interceptor or without.
    pub fn add_service<S, B>(&mut self, service: S) -> &mut Self
    where
        S: Service<Request<Body>, Response = Response<B>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError>,
    {
        if self.by_name.insert(S::NAME, erase(service)).is_some() {
            self.twice.get_or_insert(S::NAME);
        }
        self
    }

    /// A service that was added more than once.
    pub(super) fn twice(&self) -> Option<&'static str> {
        self.twice
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.by_name.keys().copied()
    }

    pub(super) fn router(self) -> Router {
        Router(Arc::new(self.by_name))
    }
}

/// Hands each request to the service that its path names.
#[derive(Clone)]
pub(super) struct Router(Arc<HashMap<&'static str, BoxService>>);

impl Service<Request<Body>> for Router {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let name = path.strip_prefix('/').and_then(|path| path.split_once('/'));
        match name.and_then(|(service, _)| self.0.get(service)) {
            Some(service) => Box::pin(service.clone().oneshot(request)),
            None => {
                let text = format!("no service here has the method {path:?}");
                Box::pin(async { Err(Status::unimplemented(text)) })
            }
        }
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}
