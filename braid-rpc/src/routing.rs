//! Raw handlers under short names, behind the original's generic service.

use crate::{
    metadata::{Caller, Deadline},
    method::short_name,
    proto::{RouteReq, RouteRes, listen_server::Listen},
    status::status_of,
};
use braid_core::{BoxFuture, Error, ErrorKind, Result, Token};
use bytes::Bytes;
use std::{collections::HashMap, fmt, future::Future, sync::Arc};
use tonic::{Request, Response, Status};

/// A call to a raw handler.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct RawRequest {
    /// The short name that was called, without a slash in front.
    pub method: String,
    /// The request, as the caller encoded it.
    pub body: Bytes,
    /// Whom the call is about.
    pub token: Option<Token>,
    /// Who calls, when it is a braid node.
    pub caller: Option<Caller>,
    /// When the caller stops waiting.
    pub deadline: Option<Deadline>,
    /// The service that the caller means, as it wrote it.
    pub service: String,
    /// The metadata of the message.
    pub meta: Vec<(String, String)>,
}

pub(crate) type Handler =
    Arc<dyn Fn(RawRequest) -> BoxFuture<'static, Result<Bytes>> + Send + Sync>;

/// The raw handlers of a server.
#[derive(Default)]
pub(crate) struct Handlers(HashMap<Box<str>, Handler>);

impl Handlers {
    /// # Errors
    /// `Config`: the name is malformed, or taken.
    pub(crate) fn add(&mut self, name: &str, handler: Handler) -> Result<()> {
        let name = short_name(name.strip_prefix('/').unwrap_or(name))?;
        if self.0.insert(name.into(), handler).is_some() {
            let text = format!("the method `{name}` has two handlers");
            return Err(Error::new(ErrorKind::Config, "rpc", "handle", text));
        }
        Ok(())
    }
}

pub(crate) fn handler<F, Fut>(handle: F) -> Handler
where
    F: Fn(RawRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Bytes>> + Send + 'static,
{
    Arc::new(move |request| Box::pin(handle(request)))
}

#[tonic::async_trait]
impl Listen for Handlers {
    async fn routing(&self, request: Request<RouteReq>) -> Result<Response<RouteRes>, Status> {
        let (_, extensions, message) = request.into_parts();
        let name = message
            .service
            .strip_prefix('/')
            .unwrap_or(&message.service);
        let Some(handler) = self.0.get(name) else {
            let text = format!("no handler is registered for the method {name:?}");
            return Err(Status::unimplemented(text));
        };
        // Callers of other make say it in the message only.
        let token = if message.token.is_empty() {
            extensions.get::<Token>().cloned()
        } else {
            let token = Token::new(message.token);
            Some(token.map_err(|e| Status::invalid_argument(e.message()))?)
        };
        let request = RawRequest {
            method: name.to_owned(),
            body: message.req_body,
            token,
            caller: extensions.get().cloned(),
            deadline: extensions.get().copied(),
            service: message.nod,
            meta: message.meta.into_iter().map(|h| (h.key, h.val)).collect(),
        };
        let res_body = handler(request).await.map_err(status_of)?;
        Ok(Response::new(RouteRes { res_body }))
    }
}

impl fmt::Debug for RawRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the body nor the values of the metadata: they may be secrets.
        f.debug_struct("RawRequest")
            .field("method", &self.method)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .field("token", &self.token)
            .field("caller", &self.caller)
            .field("deadline", &self.deadline)
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
