//! A node's start: the backends first, then what uses them, and discovery is told last.

#[cfg(feature = "local")]
use crate::PubSubSection;
use crate::{
    DefaultDirector, DiscoverSection, ElectorSection, Handle,
    handle::Shared,
    section::required,
    stop::Leaving,
    supervisor::{Supervisor, Tier},
};
#[cfg(feature = "rpc")]
use braid_core::Node;
use braid_core::{Discover, Elector, LinkCache, NodeId, NodeRef, PubSub, Result, ServiceName};
#[cfg(feature = "rpc")]
use braid_rpc::{Caller, Client};
use std::{net::SocketAddr, sync::Arc};
use tokio_util::sync::CancellationToken;

/// A started node.
pub(crate) struct Parts {
    pub(crate) handle: Handle,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) leaving: Leaving,
}

/// Starts a node; ends again what was started when a step fails.
pub(crate) async fn start(
    service: ServiceName,
    id: NodeId,
    director: DefaultDirector,
) -> Result<Parts> {
    let mut leaving = Leaving::new(director.shutdown.clone());
    match compose(&mut leaving, service, id, director).await {
        Ok((handle, address)) => Ok(Parts {
            handle,
            address,
            leaving,
        }),
        Err(error) => {
            let forced = CancellationToken::new();
            forced.cancel();
            if let Err(further) = leaving.end(&forced).await {
                tracing::warn!(error = %further, "a further failure while a failed start is undone");
            }
            Err(error)
        }
    }
}

async fn compose(
    leaving: &mut Leaving,
    service: ServiceName,
    id: NodeId,
    mut director: DefaultDirector,
) -> Result<(Handle, Option<SocketAddr>)> {
    let Backends {
        node,
        pubsub,
        events,
        discover,
        links,
        elector,
    } = Backends::start(&mut leaving.supervisor, &service, id, &mut director).await?;
    let supervisor = &mut leaving.supervisor;
    leaving.links.clone_from(&links);
    #[cfg(feature = "rpc")]
    let client = {
        let caller = Caller {
            service: service.clone(),
            id: node.id.clone(),
        };
        let mut builder = Client::builder(discover.clone()).caller(caller);
        if let Some(links) = &links {
            builder = builder.links(links.clone());
        }
        let client = (director.client.0)(builder).build()?;
        supervisor.spawn(Tier::Client, Arc::new(client.clone()));
        client
    };
    for component in director.components {
        supervisor.spawn(Tier::User, component);
    }
    let handle = Handle(Arc::new(Shared {
        service: service.clone(),
        node: node.clone(),
        pubsub,
        events,
        discover: discover.clone(),
        links,
        elector,
        #[cfg(feature = "rpc")]
        client,
    }));

    #[cfg(feature = "rpc")]
    {
        use crate::director::ServerSection;
        let builder = match director.server {
            ServerSection::On(builder) => builder,
            ServerSection::Made(make) => (make.0)(handle.clone()),
            ServerSection::Off => return Ok((handle, None)),
        };
        let server = builder.bind().await?;
        let bound = server.local_addr();
        let readiness = server.readiness();
        leaving.supervisor.spawn(Tier::Server, Arc::new(server));
        readiness.set(true);
        leaving.health = Some(readiness);

        let settings = director.node;
        let mut described = Node::new(
            service,
            node,
            settings.advertise.unwrap_or(reachable(bound)),
        )
        .with_weight(settings.weight);
        described.zone = settings.zone;
        described.metadata.extend(settings.metadata);
        let announcement = discover.announce(&described).await?;
        leaving.announced = Some((announcement, described));
        Ok((handle, Some(bound)))
    }
    #[cfg(not(feature = "rpc"))]
    Ok((handle, None))
}

/// What the node's program reaches others through.
struct Backends {
    node: NodeRef,
    pubsub: Arc<dyn PubSub>,
    events: Arc<dyn PubSub>,
    discover: Arc<dyn Discover>,
    links: Option<Arc<dyn LinkCache>>,
    elector: Option<Arc<dyn Elector>>,
}

impl Backends {
    /// Makes them all. Whatever has a connection runs as soon as it has it, so that a start that fails later ends it as any end does.
    #[cfg(feature = "local")]
    async fn start(
        supervisor: &mut Supervisor,
        service: &ServiceName,
        id: NodeId,
        director: &mut DefaultDirector,
    ) -> Result<Self> {
        let pubsub = required(director.pubsub.take(), "pubsub")?;
        let discover = required(director.discover.take(), "discover")?;
        let links = required(director.linkcache.take(), "linkcache")?;
        let elector = required(director.elector.take(), "elector")?;
        let hub = director.hub.take().unwrap_or_default();

        // Several nodes of one process share its POD_UID, but each has a life of its own.
        let node = match &discover {
            DiscoverSection::Local => NodeRef::random(id),
            DiscoverSection::Ready(_) => NodeRef::of_process(id),
        };
        let of_hub = matches!(
            (&pubsub, &discover),
            (PubSubSection::Local, DiscoverSection::Local)
        );
        let events: Arc<dyn PubSub> = Arc::new(hub.pubsub());
        let pubsub = pubsub.open(&events).await?;
        supervisor.spawn(Tier::PubSub, pubsub.clone());
        if !Arc::ptr_eq(&pubsub, &events) {
            supervisor.spawn(Tier::PubSub, events.clone());
        }
        let discover: Arc<dyn Discover> = match discover {
            DiscoverSection::Local => Arc::new(hub.discover()),
            DiscoverSection::Ready(discover) => discover,
        };
        supervisor.spawn(Tier::Discover, discover.clone());
        let hub_of_links = of_hub.then_some(&hub);
        let links = links.open(hub_of_links, &discover, &pubsub).await?;
        if let Some(links) = &links {
            supervisor.spawn(Tier::Links, links.clone());
        }
        let elector: Option<Arc<dyn Elector>> = match elector {
            ElectorSection::Local(config) => Some(Arc::new(hub.elector(
                service.clone(),
                node.clone(),
                config,
            )?)),
            ElectorSection::Ready(elector) => Some(elector),
            ElectorSection::Off => None,
        };
        if let Some(elector) = &elector {
            supervisor.spawn(Tier::Elector, elector.clone());
        }
        Ok(Self {
            node,
            pubsub,
            events,
            discover,
            links,
            elector,
        })
    }

    #[cfg(not(feature = "local"))]
    async fn start(
        supervisor: &mut Supervisor,
        _service: &ServiceName,
        id: NodeId,
        director: &mut DefaultDirector,
    ) -> Result<Self> {
        let pubsub = required(director.pubsub.take(), "pubsub")?;
        let DiscoverSection::Ready(discover) = required(director.discover.take(), "discover")?;
        let links = required(director.linkcache.take(), "linkcache")?;
        let elector = match required(director.elector.take(), "elector")? {
            ElectorSection::Ready(elector) => Some(elector),
            ElectorSection::Off => None,
        };
        let pubsub = pubsub.open().await?;
        supervisor.spawn(Tier::PubSub, pubsub.clone());
        supervisor.spawn(Tier::Discover, discover.clone());
        let links = links.open(&discover, &pubsub).await?;
        if let Some(links) = &links {
            supervisor.spawn(Tier::Links, links.clone());
        }
        if let Some(elector) = &elector {
            supervisor.spawn(Tier::Elector, elector.clone());
        }
        let (node, events) = (NodeRef::of_process(id), Arc::clone(&pubsub));
        Ok(Self {
            node,
            pubsub,
            events,
            discover,
            links,
            elector,
        })
    }
}

/// Where others reach a server that is bound here: nobody can dial "all interfaces".
#[cfg(feature = "rpc")]
fn reachable(bound: SocketAddr) -> SocketAddr {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    let loopback = match bound.ip() {
        // On Windows a socket on all IPv6 interfaces takes no IPv4; elsewhere it does, and IPv4 is there more often.
        IpAddr::V6(ip) if ip.is_unspecified() && cfg!(windows) => Ipv6Addr::LOCALHOST.into(),
        ip if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(loopback, bound.port())
}
