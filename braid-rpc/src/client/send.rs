//! Calls by name: a service, a method, a message.

use super::{
    Client,
    call::{About, Refused, Times, dispatch},
    channel::Stack,
    http2::Outgoing,
    target::{Named, Target},
    wire,
};
use crate::{
    limit::too_large_text,
    metadata::with_metadata,
    method::Method,
    proto::{Header, RouteReq, RouteRes},
    status::{kind_of, source_of},
};
use braid_core::{CallOptions, Error, ErrorKind, Result};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Uri, uri::PathAndQuery};
use http_body_util::Full;
use prost::Message as _;
use std::{error::Error as StdError, sync::Arc};
use tokio::time::{Instant, timeout_at};
use tonic::{
    Status,
    body::Body,
    metadata::{AsciiMetadataKey, BinaryMetadataKey, MetadataMap, MetadataValue},
};
use tower::ServiceExt;

/// How often a call is made that the node said it hasn't looked at.
const MAX_ATTEMPTS: usize = 3;

/// The generic service that raw handlers stand behind.
const ROUTING: &str = "/proto.listen/routing";

/// A message that can be written more than once.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    size: usize,
    write: &'a (dyn Fn(&mut BytesMut) + Sync),
}

impl<'a> Message<'a> {
    /// `write` writes `size` bytes.
    pub(super) fn new(size: usize, write: &'a (dyn Fn(&mut BytesMut) + Sync)) -> Self {
        Self { size, write }
    }

    fn to_bytes(self) -> Bytes {
        let mut buffer = BytesMut::with_capacity(self.size);
        (self.write)(&mut buffer);
        buffer.freeze()
    }
}

/// Writes a protobuf message into a buffer that grows.
pub(super) fn encode(message: &impl prost::Message, buffer: &mut BytesMut) {
    let encoded = message.encode(buffer);
    encoded.expect("the buffer has no end that could be reached");
}

impl Client {
    /// Calls by name; what is above the limit of requests isn't sent.
    pub(super) async fn send_message(
        &self,
        service: &str,
        method: &str,
        options: CallOptions,
        message: Message<'_>,
    ) -> Result<Bytes> {
        let view = self.view(service)?;
        let config = &self.inner.config;
        let parsed = Method::parse(method)?;
        let headers = headers_of(&options)?;
        let timeout = options.timeout.unwrap_or(config.timeout);
        let target = Target {
            view,
            token: options.token,
            node: options.node,
            timeout: None,
            named: Some(Named {
                method: method.into(),
                timeout,
                deadline: Instant::now().checked_add(timeout),
            }),
        };
        if message.size > config.max_request {
            let text = too_large_text(message.size, config.max_request);
            return Err(target.error(ErrorKind::Rejected, method, &text));
        }
        match parsed {
            Method::Path(path) => self.send_to(target, path, headers, message).await,
            Method::Short(name) => {
                let meta = options.metadata.into_iter();
                let route = RouteReq {
                    nod: target.service().to_string(),
                    service: name.to_owned(),
                    // Handlers of other make look for it here.
                    token: target
                        .token()
                        .map(|t| t.as_str().to_owned())
                        .unwrap_or_default(),
                    req_body: message.to_bytes(),
                    meta: meta.map(|(key, val)| Header { key, val }).collect(),
                };
                let write = |buffer: &mut BytesMut| encode(&route, buffer);
                let message = Message::new(route.encoded_len(), &write);
                let path = PathAndQuery::from_static(ROUTING);
                let reply = self.send_to(target, path, headers, message).await?;
                let route = RouteRes::decode(reply).map_err(|error| {
                    let text = format!(
                        "service `{service}`, method `{method}`: the reply can't be decoded"
                    );
                    Error::new(ErrorKind::Internal, "rpc", "send", text).with_source(error)
                })?;
                Ok(route.res_body)
            }
        }
    }

    async fn send_to(
        &self,
        target: Target,
        path: PathAndQuery,
        headers: HeaderMap,
        message: Message<'_>,
    ) -> Result<Bytes> {
        let call = Unary {
            client: self,
            target: Arc::new(target),
            path,
            headers,
            message,
        };
        let mut attempt = 1;
        loop {
            match call.make().await {
                Ok(reply) => return Ok(reply),
                Err(status) if attempt < MAX_ATTEMPTS && is_refusal(&status) => attempt += 1,
                Err(status) => return Err(failure(&call.target, status)),
            }
        }
    }
}

/// A call that can be made more than once.
struct Unary<'a> {
    client: &'a Client,
    target: Arc<Target>,
    path: PathAndQuery,
    headers: HeaderMap,
    message: Message<'a>,
}

impl Unary<'_> {
    async fn make(&self) -> Result<Bytes, Status> {
        let inner = &*self.client.inner;
        let limit = inner.config.max_response;
        let request = self.request(inner.config.gzip)?;
        match &self.client.stack {
            Stack::Plain(_) => {
                let times = Times::of(inner, &self.target, request.headers())?;
                let about = About::new(&self.target, Uri::default(), &times);
                let request = request.map(Outgoing::Whole);
                let exchanged = async {
                    let (response, held) = dispatch(inner, &about, &times, request).await?;
                    wire::read(response, limit, |error| about.lost(held.node(), error)).await
                };
                match times.deadline {
                    Some(deadline) => timeout_at(deadline.0, exchanged)
                        .await
                        .map_err(|_| about.too_late())?,
                    None => exchanged.await,
                }
            }
            Stack::Layered(layered) => {
                let mut request = request.map(|message| Body::new(Full::new(message)));
                request.extensions_mut().insert(Arc::clone(&self.target));
                let response = layered.clone().oneshot(request).await?;
                wire::read(response, limit, |status| status).await
            }
        }
    }

    fn request(&self, gzip: bool) -> Result<Request<Bytes>, Status> {
        let Message { size, write } = self.message;
        let mut request = Request::new(wire::request(size, write, gzip)?);
        *request.method_mut() = http::Method::POST;
        *request.version_mut() = http::Version::HTTP_2;
        *request.uri_mut() = Uri::from(self.path.clone());
        let headers = request.headers_mut();
        *headers = wire::headers(gzip);
        headers.extend(self.headers.clone());
        Ok(request)
    }
}

/// The headers that the caller asks for.
fn headers_of(options: &CallOptions) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    if !options.metadata.is_empty() {
        with_metadata(&mut headers, |metadata| {
            let mut entries = options.metadata.iter();
            entries.try_for_each(|(key, value)| append(metadata, key, value))
        })?;
    }
    Ok(headers)
}

fn append(metadata: &mut MetadataMap, key: &str, value: &str) -> Result<()> {
    let fault = |what: &str| {
        let text = format!("the metadata {key:?}: {what}");
        Error::new(ErrorKind::Config, "rpc", "send", text)
    };
    let lower = key.to_ascii_lowercase();
    let reserved = ["te", "content-type", "user-agent"].contains(&&*lower)
        || ["grpc-", "braid-", ":"]
            .iter()
            .any(|p| lower.starts_with(p));
    if reserved {
        return Err(fault("the name is reserved"));
    }
    if lower.ends_with("-bin") {
        let key = BinaryMetadataKey::from_bytes(lower.as_bytes());
        let key = key.map_err(|_| fault("the name is no header's"))?;
        metadata.append_bin(key, MetadataValue::from_bytes(value.as_bytes()));
    } else {
        let key = AsciiMetadataKey::from_bytes(lower.as_bytes());
        let key = key.map_err(|_| fault("the name is no header's"))?;
        let value = MetadataValue::try_from(value);
        let value = value.map_err(|_| fault("the value isn't printable ASCII"))?;
        metadata.append(key, value);
    }
    Ok(())
}

fn is_refusal(status: &Status) -> bool {
    source_of(status)
        .and_then(StdError::source)
        .is_some_and(<dyn StdError>::is::<Refused>)
}

/// The error of a call by name. What came over the wire is told with the service and the method in front.
fn failure(target: &Target, status: Status) -> Error {
    let method = target.named.as_ref().map_or("", |named| &named.method);
    let error = match source_of(&status) {
        Some(local) => Error::new(local.kind(), "rpc", "send", local.message()),
        None => target.error(kind_of(status.code()), method, status.message()),
    };
    error.with_source(status)
}
