//! The server, and every client that is compared.

use std::net::SocketAddr;
use std::sync::Arc;

use braid_core::{Announcement, Discover as _, Node, NodeId, NodeRef, ServiceName, Token};
use braid_local::{Hub, LinkCacheConfig};
use tonic::transport::{Channel, Endpoint};

use crate::Result;
use crate::blocks::Caller as _;

use super::callers::{ByName, Generated, SERVICE};
use super::server::Server;

/// An echo server in its own process, and clients that are connected to it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Remote(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tonic: Generated<Channel>,
    again: Generated<Channel>,
    typed: Generated<braid_rpc::Channel>,
    by_name: ByName,
    with_token: ByName,
    // Keeps the node visible.
    _announced: Announcement,
    // Ends last.
    _server: Server,
}

impl Remote {
    /// Starts the server and connects all clients.
    ///
    /// # Errors
    /// One of them fails.
    pub async fn start() -> Result<Self> {
        let server = Server::start()?;
        let address = server.address();

        let hub = Hub::new();
        let discover = hub.discover();
        let node = NodeRef::random(NodeId::new("echo-1")?);
        let announced = discover
            .announce(&Node::new(ServiceName::new(SERVICE)?, node, address))
            .await?;
        let client = braid_rpc::Client::builder(Arc::new(discover))
            .links(Arc::new(hub.link_cache(LinkCacheConfig::default())?))
            .build()?;

        let remote = Self(Arc::new(Inner {
            tonic: Generated::on(connect(address).await?),
            again: Generated::on(connect(address).await?),
            typed: Generated::on(client.channel(SERVICE)?),
            by_name: ByName::new(client.clone(), None),
            with_token: ByName::new(client, Some(Token::new("user-1")?)),
            _announced: announced,
            _server: server,
        }));
        // Connects what connects by its first call, and makes the token's link.
        remote.tonic().call().await?;
        remote.tonic_again().call().await?;
        remote.typed().call().await?;
        remote.by_name().call().await?;
        remote.by_name_with_token().call().await?;
        Ok(remote)
    }

    /// The anchor: the generated client on tonic's own channel.
    #[must_use]
    pub fn tonic(&self) -> Generated<Channel> {
        self.0.tonic.clone()
    }

    /// The same once more, on a channel of its own.
    #[must_use]
    pub fn tonic_again(&self) -> Generated<Channel> {
        self.0.again.clone()
    }

    /// The generated client on braid's channel.
    #[must_use]
    pub fn typed(&self) -> Generated<braid_rpc::Channel> {
        self.0.typed.clone()
    }

    /// braid's calls by name.
    #[must_use]
    pub fn by_name(&self) -> ByName {
        self.0.by_name.clone()
    }

    /// The same for a user whose link is cached.
    #[must_use]
    pub fn by_name_with_token(&self) -> ByName {
        self.0.with_token.clone()
    }
}

/// A channel as tonic makes it unless told otherwise.
async fn connect(address: SocketAddr) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    Ok(endpoint.connect().await?)
}
