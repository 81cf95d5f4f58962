//! Calls by name: a service, a method, a message.

use super::{
    Client,
    call::Refused,
    channel::Channel,
    target::{Named, Target},
};
use crate::{
    codec::BytesCodec,
    limit::too_large_text,
    metadata::with_metadata,
    method::Method,
    proto::{Header, RouteReq, listen_client::ListenClient},
    status::{kind_of, source_of},
};
use braid_core::{CallOptions, Error, ErrorKind, Result};
use bytes::Bytes;
use http::HeaderMap;
use std::error::Error as StdError;
use tokio::time::Instant;
use tonic::{
    Request, Status,
    client::Grpc,
    codec::CompressionEncoding::Gzip,
    metadata::{AsciiMetadataKey, BinaryMetadataKey, MetadataMap, MetadataValue},
};

/// How often a call is made that the node said it hasn't looked at.
const MAX_ATTEMPTS: usize = 3;

impl Client {
    pub(super) async fn send_encoded(
        &self,
        service: &str,
        method: &str,
        options: CallOptions,
        body: Bytes,
    ) -> Result<Bytes> {
        let view = self.view(service)?;
        let config = &self.inner.config;
        let parsed = Method::parse(method)?;
        let metadata = metadata_of(&options)?;
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
        if body.len() > config.max_request {
            let text = too_large_text(body.len(), config.max_request);
            return Err(target.error(ErrorKind::Rejected, method, &text));
        }
        let call = Encoded {
            client: self,
            channel: self.channel_to(target.clone()),
            method: parsed,
            metadata,
            meta: options.metadata,
            body,
        };
        let mut attempt = 1;
        loop {
            match call.make(&target).await {
                Ok(reply) => return Ok(reply),
                Err(status) if attempt < MAX_ATTEMPTS && is_refusal(&status) => attempt += 1,
                Err(status) => return Err(failure(&target, method, status)),
            }
        }
    }
}

/// A call that can be made more than once.
struct Encoded<'a> {
    client: &'a Client,
    channel: Channel,
    method: Method<'a>,
    metadata: MetadataMap,
    meta: Vec<(String, String)>,
    body: Bytes,
}

impl Encoded<'_> {
    async fn make(&self, target: &Target) -> Result<Bytes, Status> {
        let config = &self.client.inner.config;
        match &self.method {
            Method::Path(path) => {
                let mut grpc = Grpc::new(self.channel.clone())
                    .accept_compressed(Gzip)
                    .max_decoding_message_size(config.max_response);
                if config.gzip {
                    grpc = grpc.send_compressed(Gzip);
                }
                let request = self.request(self.body.clone());
                let reply = grpc.unary(request, path.clone(), BytesCodec).await?;
                Ok(reply.into_inner())
            }
            Method::Short(name) => {
                let mut listen = ListenClient::new(self.channel.clone())
                    .accept_compressed(Gzip)
                    .max_decoding_message_size(config.max_response);
                if config.gzip {
                    listen = listen.send_compressed(Gzip);
                }
                let meta = self.meta.iter().cloned();
                let message = RouteReq {
                    nod: target.service().to_string(),
                    service: (*name).to_owned(),
                    // Handlers of other make look for it here.
                    token: target
                        .token()
                        .map(|t| t.as_str().to_owned())
                        .unwrap_or_default(),
                    req_body: self.body.clone(),
                    meta: meta.map(|(key, val)| Header { key, val }).collect(),
                };
                let reply = listen.routing(self.request(message)).await?;
                Ok(reply.into_inner().res_body)
            }
        }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.metadata.clone();
        request
    }
}

fn metadata_of(options: &CallOptions) -> Result<MetadataMap> {
    let mut headers = HeaderMap::new();
    with_metadata(&mut headers, |metadata| {
        options
            .metadata
            .iter()
            .try_for_each(|(key, value)| append(metadata, key, value))
    })?;
    Ok(MetadataMap::from_headers(headers))
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
fn failure(target: &Target, method: &str, status: Status) -> Error {
    let error = match source_of(&status) {
        Some(local) => Error::new(local.kind(), "rpc", "send", local.message()),
        None => target.error(kind_of(status.code()), method, status.message()),
    };
    error.with_source(status)
}
