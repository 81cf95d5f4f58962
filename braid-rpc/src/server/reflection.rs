//! The reflection services.

use super::services::Services;
use crate::tasks::Tasks;
use braid_core::{BoxFuture, Error, ErrorKind, Result, Shutdown};
use bytes::Bytes;
use futures_util::FutureExt;
use http::Request;
use http_body::Frame;
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::{Status, body::Body, server::NamedService};
use tonic_reflection::server::{Builder, v1, v1alpha};
use tower::Service;

/// Adds reflection of the services and itself, `v1` and `v1alpha`.
pub(super) fn add(services: &mut Services, descriptors: &[Bytes], tasks: &Tasks) -> Result<()> {
    let reflected = v1::ServerReflectionServer::<v1::ReflectionService>::NAME;
    let alpha = v1alpha::ServerReflectionServer::<v1alpha::ReflectionService>::NAME;
    let builder = || {
        let builder = Builder::configure()
            .register_encoded_file_descriptor_set(crate::proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(
                tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
            );
        // What is served is what is listed, whether or not somebody has described it.
        let names = services.names().chain([reflected, alpha]);
        let builder = names.fold(builder, Builder::with_service_name);
        descriptors.iter().fold(builder, |builder, set| {
            builder.register_encoded_file_descriptor_set(set)
        })
    };
    let fault = |error: tonic_reflection::server::Error| {
        let text = "a file descriptor set can't be read";
        Error::new(ErrorKind::Config, "rpc", "bind", text).with_source(error)
    };
    let v1 = builder().build_v1().map_err(fault)?;
    let v1alpha = builder().build_v1alpha().map_err(fault)?;
    services.add_service(UntilDrain::new(v1, tasks));
    services.add_service(UntilDrain::new(v1alpha, tasks));
    Ok(())
}

/// Ends a service's requests when the server drains.
///
/// tonic-reflection answers from a task of its own for as long as the request's stream lasts, and a client may keep that open for ever.
#[derive(Clone)]
struct UntilDrain<S> {
    inner: S,
    tasks: Tasks,
}

impl<S> UntilDrain<S> {
    fn new(inner: S, tasks: &Tasks) -> Self {
        Self {
            inner,
            tasks: tasks.clone(),
        }
    }
}

impl<S: NamedService> NamedService for UntilDrain<S> {
    const NAME: &'static str = S::NAME;
}

impl<S: Service<Request<Body>>> Service<Request<Body>> for UntilDrain<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> S::Future {
        let shutdown = request.extensions().get::<Shutdown>().cloned();
        let token = self.tasks.token();
        let request = request.map(|inner| match shutdown {
            Some(shutdown) => Body::new(EndingBody {
                inner,
                end: async move { shutdown.draining().await }.boxed(),
                _token: token,
            }),
            None => inner,
        });
        self.inner.call(request)
    }
}

struct EndingBody {
    inner: Body,
    end: BoxFuture<'static, ()>,
    // The task that reads this body counts as one of the server's.
    _token: TaskTrackerToken,
}

impl http_body::Body for EndingBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.end.poll_unpin(cx) {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => Pin::new(&mut self.inner).poll_frame(cx),
        }
    }
}

impl fmt::Debug for EndingBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndingBody").finish_non_exhaustive()
    }
}
