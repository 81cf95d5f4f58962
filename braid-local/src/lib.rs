//! In-process backends of every braid trait: a whole fleet in one process, with nothing installed.
//!
//! They are what braid runs on by default, what applications are tested with, and the reference for the distributed backends: the
//! same promises, kept by the same conformance suite. Not mocks: deliveries are repeated, leases expire, links are claimed atomically.
//!
//! A [`Hub`] is the fleet; every node takes handles of its own from it.
//!
//! | handle | implements | shared by the hub |
//! |---|---|---|
//! | [`LocalPubSub`] | [`PubSub`](braid_core::PubSub) | topics, channels, what is pending |
//! | [`LocalDiscover`] | [`Discover`](braid_core::Discover) | the registry: which nodes there are |
//! | [`LocalElector`] | [`Elector`](braid_core::Elector) | the leases and their terms |
//! | [`LocalLinkCache`] | [`LinkCache`](braid_core::LinkCache) | the links |
//! | [`LocalFence`] | [`Fence`](braid_core::Fence) | nothing: it is a sink's own |
//!
//! Each handle is a [`Component`](braid_core::Component): its `run` does the background work and closes the handle when it ends. A
//! run that is dropped is a crash: a lease isn't released and expires, nodes are withdrawn, ephemeral channels go.
//!
//! ```
//! use braid_core::{Channel, Claim, Discover, LinkCache, Node, NodeRef, PubSub, SubscribeOptions, Token, Topic};
//! use braid_local::{Hub, LinkCacheConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> braid_core::Result<()> {
//! let hub = Hub::new();
//!
//! // One node says that it is there, another one sees it.
//! let node = NodeRef::random("login-1".try_into()?);
//! let login = Node::new("login".try_into()?, node, "127.0.0.1:14222".parse().unwrap());
//! let announcement = hub.discover().announce(&login).await?;
//!
//! // A topic: every channel gets every message.
//! let (topic, channel) = (Topic::new("chat.world")?, Channel::new("gate-1")?);
//! let gate = hub.pubsub();
//! let mut inbox = gate.subscribe(&topic, &channel, SubscribeOptions::shared()).await?;
//! hub.pubsub().publish(&topic, "hello".into()).await?;
//! let delivery = inbox.next().await.expect("the hub is open")?;
//! assert_eq!(delivery.body(), "hello");
//! delivery.ack().await?;
//!
//! // A link keeps a user on a node.
//! let links = hub.link_cache(LinkCacheConfig::default())?;
//! let user = Token::new("user-7")?;
//! assert_eq!(links.claim(&user, &login).await?, Claim::Won);
//! assert_eq!(links.cached_target(&user, &login.service), Some(login.node.clone()));
//!
//! announcement.withdraw().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Reserved topics
//! Nodes that come, change and go are published to `braid.topic.discover.service_update`, changes of role to
//! `braid.topic.election.change_state`, the nodes' link counts to `braid.topic.linkcache.service_link_number`, each once per hub; a
//! raw token published to `braid.topic.linkcache.unlink` ends that user's links. What a full topic refuses is logged and left out: a
//! reserved topic that nobody reads to its end keeps no node from coming and no service from having a master.
//!
//! # Limits
//! One process only, and nothing survives it. Two processes that each have a hub are two fleets, with a master each:
//! whoever runs several processes needs the distributed backends. Leases, links and topics live in memory, and only topics have a cap
//! ([`PubSubConfig`]).

mod discover;
mod elector;
mod hub;
mod lifecycle;
mod linkcache;
mod pubsub;
#[cfg(test)]
mod testing;

pub use self::{
    discover::LocalDiscover,
    elector::{ElectorConfig, LocalElector, LocalFence},
    hub::{Hub, HubConfig},
    linkcache::{LinkCacheConfig, LocalLinkCache},
    pubsub::{LocalPubSub, PubSubConfig},
};

/// The README's code, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
