//! Tower layers around both ends, with the types that they are erased to.

use bytes::Bytes;
use http::{Request, Response};
use std::fmt;
use tonic::{Status, body::Body, codegen::StdError};
use tower::{Layer, Service, ServiceExt, util::BoxCloneSyncService};

/// What a layer wraps, on the client and on the server: a service from an HTTP request to an HTTP response with gRPC bodies.
pub type BoxService = BoxCloneSyncService<Request<Body>, Response<Body>, Status>;

/// A layer that has yet to be applied.
pub(crate) type Apply = Box<dyn FnOnce(BoxService) -> BoxService + Send + Sync>;

pub(crate) fn apply<L, B>(layer: L) -> Apply
where
    L: Layer<BoxService> + Send + Sync + 'static,
    L::Service: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
    <L::Service as Service<Request<Body>>>::Error: Into<StdError>,
    <L::Service as Service<Request<Body>>>::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    Box::new(move |inner| erase(layer.layer(inner)))
}

/// Applies layers, of which the first is to be the outermost.
pub(crate) fn apply_all(layers: Vec<Apply>, inner: BoxService) -> BoxService {
    layers
        .into_iter()
        .rev()
        .fold(inner, |inner, apply| apply(inner))
}

/// Any service that speaks gRPC over HTTP, as a [`BoxService`].
pub(crate) fn erase<S, B>(service: S) -> BoxService
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<StdError>,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    let service = service
        .map_response(|response: Response<B>| response.map(Body::new))
        .map_err(|error: S::Error| Status::from_error(error.into()));
    BoxCloneSyncService::new(service)
}

/// How many layers wait to be applied; what they are can't be shown.
pub(crate) struct Count<'a>(pub(crate) &'a [Apply]);

impl fmt::Debug for Count<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.len())
    }
}
