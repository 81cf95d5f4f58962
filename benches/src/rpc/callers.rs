//! The clients that are compared, as their users hold them.

use std::fmt::Debug;

use braid_core::{CallOptions, Token};
use bytes::Bytes;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::StdError;

use crate::Result;
use crate::blocks::Caller;
use crate::echo::{Payload, echo_client::EchoClient};

/// The size of a message, in bytes.
const SIZE: usize = 128;

/// The service's name in discovery.
pub(super) const SERVICE: &str = "echo";

/// A generated client.
#[derive(Clone, Debug)]
pub struct Generated<C> {
    client: EchoClient<C>,
    body: Bytes,
}

/// braid's calls by name.
#[derive(Clone, Debug)]
pub struct ByName {
    client: braid_rpc::Client,
    token: Option<Token>,
    body: Bytes,
}

impl<C> Generated<C>
where
    C: GrpcService<Body>,
    C::Error: Into<StdError>,
    C::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <C::ResponseBody as http_body::Body>::Error: Into<StdError> + Send,
{
    pub(super) fn on(channel: C) -> Self {
        Self {
            client: EchoClient::new(channel),
            body: body(),
        }
    }
}

impl ByName {
    pub(super) fn new(client: braid_rpc::Client, token: Option<Token>) -> Self {
        let body = body();
        Self {
            client,
            token,
            body,
        }
    }
}

fn body() -> Bytes {
    vec![b'x'; SIZE].into()
}

impl<C> Caller for Generated<C>
where
    C: GrpcService<Body> + Clone + Debug + Send + Sync + 'static,
    C::Error: Into<StdError>,
    C::Future: Send,
    C::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <C::ResponseBody as http_body::Body>::Error: Into<StdError> + Send,
{
    async fn call(&mut self) -> Result<()> {
        let body = self.body.clone();
        let reply = self.client.echo(Payload { body }).await?;
        check(&reply.into_inner())
    }
}

impl Caller for ByName {
    async fn call(&mut self) -> Result<()> {
        let body = self.body.clone();
        let options = match &self.token {
            Some(token) => CallOptions::new().with_token(token.clone()),
            None => CallOptions::new(),
        };
        let request = Payload { body };
        let reply: Payload = self
            .client
            .send(SERVICE, "/bench.Echo/Echo", options, &request)
            .await?;
        check(&reply)
    }
}

/// A call that came back empty was no call.
fn check(reply: &Payload) -> Result<()> {
    if reply.body.len() == SIZE {
        Ok(())
    } else {
        Err(format!("an echo of {} bytes", reply.body.len()).into())
    }
}
