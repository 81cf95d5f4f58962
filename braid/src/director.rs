//! The composition of a node: one section for each component.

use crate::section::{
    DiscoverSection, ElectorSection, LinkCacheSection, PubSubSection, ShutdownSection,
};
use braid_core::Component;
#[cfg(feature = "local")]
use braid_local::Hub;
#[cfg(feature = "rpc")]
use braid_rpc::{ClientBuilder, Server, ServerBuilder};
use std::{net::SocketAddr, sync::Arc};

/// How a node is composed: a section for each component, each with a default.
///
/// [`local`](Self::local) has a backend for everything and needs nothing installed. [`empty`](Self::empty) has none: each has to be
/// named, or switched off where that is possible, or the start fails with a `Config` error that says which is missing. Nothing
/// falls back to an in-process backend by itself.
///
/// ```
/// use braid::{DefaultDirector, local, rpc};
/// use std::time::Duration;
///
/// let director = DefaultDirector::local()
///     .server(rpc::Server::listen("127.0.0.1:0"))
///     .elector(local::ElectorConfig { refresh: Duration::from_secs(5), ..Default::default() })
///     .weight(3);
/// ```
#[derive(Debug)]
#[must_use]
pub struct DefaultDirector {
    #[cfg(feature = "local")]
    pub(crate) hub: Option<Hub>,
    #[cfg(feature = "rpc")]
    pub(crate) client: ClientSection,
    #[cfg(feature = "rpc")]
    pub(crate) server: ServerSection,
    pub(crate) pubsub: Option<PubSubSection>,
    pub(crate) discover: Option<DiscoverSection>,
    pub(crate) linkcache: Option<LinkCacheSection>,
    pub(crate) elector: Option<ElectorSection>,
    pub(crate) components: Vec<Arc<dyn Component>>,
    pub(crate) node: NodeSection,
    pub(crate) shutdown: ShutdownSection,
}

/// How a node calls others.
#[cfg(feature = "rpc")]
pub(crate) struct ClientSection(pub(crate) Box<dyn FnOnce(ClientBuilder) -> ClientBuilder + Send>);

#[cfg(feature = "rpc")]
impl std::fmt::Debug for ClientSection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientSection")
    }
}

/// What a node serves.
#[cfg(feature = "rpc")]
#[derive(Debug)]
pub(crate) enum ServerSection {
    On(ServerBuilder),
    Made(MakeServer),
    Off,
}

#[cfg(feature = "rpc")]
pub(crate) struct MakeServer(pub(crate) Box<dyn FnOnce(crate::Handle) -> ServerBuilder + Send>);

#[cfg(feature = "rpc")]
impl std::fmt::Debug for MakeServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MakeServer")
    }
}

/// What discovery is told of the node.
#[derive(Debug)]
pub(crate) struct NodeSection {
    pub(crate) weight: u32,
    pub(crate) zone: Option<String>,
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) advertise: Option<SocketAddr>,
}

impl DefaultDirector {
    /// No backend at all: each has to be named.
    pub fn empty() -> Self {
        Self {
            #[cfg(feature = "local")]
            hub: None,
            #[cfg(feature = "rpc")]
            client: ClientSection(Box::new(|client| client)),
            #[cfg(feature = "rpc")]
            server: ServerSection::On(Server::listen("127.0.0.1:0")),
            pubsub: None,
            discover: None,
            linkcache: None,
            elector: None,
            components: Vec::new(),
            node: NodeSection {
                weight: 1,
                zone: None,
                metadata: Vec::new(),
                advertise: None,
            },
            shutdown: ShutdownSection::default(),
        }
    }

    /// Everything in this process, in a fleet of its own. The server listens on a free loopback port.
    #[cfg(feature = "local")]
    pub fn local() -> Self {
        Self::local_in(&Hub::new())
    }

    /// Everything in this process, in the fleet of `hub`: several nodes of one process find each other through it.
    #[cfg(feature = "local")]
    pub fn local_in(hub: &Hub) -> Self {
        Self {
            hub: Some(hub.clone()),
            pubsub: Some(PubSubSection::Local),
            discover: Some(DiscoverSection::Local),
            linkcache: Some(LinkCacheSection::Local(Default::default())),
            elector: Some(ElectorSection::Local(Default::default())),
            ..Self::empty()
        }
    }

    /// The client: timeouts, size limits, appended layers. The closure gets a builder that knows the node already.
    #[cfg(feature = "rpc")]
    pub fn client(
        mut self,
        configure: impl FnOnce(ClientBuilder) -> ClientBuilder + Send + 'static,
    ) -> Self {
        self.client = ClientSection(Box::new(configure));
        self
    }

    /// The server: where it listens, services, raw handlers, appended layers.
    #[cfg(feature = "rpc")]
    pub fn server(mut self, server: ServerBuilder) -> Self {
        self.server = ServerSection::On(server);
        self
    }

    /// The server, made when everything else stands: its handlers can use the node that they run on.
    #[cfg(feature = "rpc")]
    pub fn server_with(
        mut self,
        make: impl FnOnce(crate::Handle) -> ServerBuilder + Send + 'static,
    ) -> Self {
        self.server = ServerSection::Made(MakeServer(Box::new(make)));
        self
    }

    /// No server: this node only calls others, and discovery isn't told of it.
    #[cfg(feature = "rpc")]
    pub fn without_server(mut self) -> Self {
        self.server = ServerSection::Off;
        self
    }

    /// The pub-sub.
    pub fn pubsub(mut self, section: impl Into<PubSubSection>) -> Self {
        self.pubsub = Some(section.into());
        self
    }

    /// The discovery.
    pub fn discover(mut self, section: impl Into<DiscoverSection>) -> Self {
        self.discover = Some(section.into());
        self
    }

    /// The link cache.
    pub fn linkcache(mut self, section: impl Into<LinkCacheSection>) -> Self {
        self.linkcache = Some(section.into());
        self
    }

    /// The elector.
    pub fn elector(mut self, section: impl Into<ElectorSection>) -> Self {
        self.elector = Some(section.into());
        self
    }

    /// One more component to run with the node: it starts after the backends, and ends after the server and before them.
    /// Its failure is the node's.
    pub fn component(mut self, component: Arc<dyn Component>) -> Self {
        self.components.push(component);
        self
    }

    /// The node's share of balanced calls, relative to the other nodes of its service. Default 1.
    pub fn weight(mut self, weight: u32) -> Self {
        self.node.weight = weight;
        self
    }

    /// The node's failure domain.
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.node.zone = Some(zone.into());
        self
    }

    /// One more metadata entry for discovery.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.node.metadata.push((key.into(), value.into()));
        self
    }

    /// The address that others reach the server at. Default: where it is bound; loopback when that is all interfaces.
    pub fn advertise(mut self, address: SocketAddr) -> Self {
        self.node.advertise = Some(address);
        self
    }

    /// How long the steps of a shutdown may take.
    pub fn shutdown(mut self, section: ShutdownSection) -> Self {
        self.shutdown = section;
        self
    }
}
