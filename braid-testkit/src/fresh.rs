//! Names that no other case uses.

use crate::PubSubHarness;
use braid_core::{Channel, Node, NodeId, NodeRef, ServiceName, Token, Topic};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU64, Ordering},
};

static COUNTER: AtomicU64 = AtomicU64::new(1);

fn numbered(name: &str) -> String {
    format!("{name}-{}", COUNTER.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn topic<H: PubSubHarness>(h: &H, name: &str) -> Topic {
    let name = format!("{}{}", h.topic_prefix(), numbered(name));
    Topic::new(name).expect("the suite's names are short")
}

pub(crate) fn channel(name: &str) -> Channel {
    Channel::new(numbered(name)).expect("the suite's names are short")
}

pub(crate) fn service(name: &str) -> ServiceName {
    ServiceName::new(numbered(name)).expect("the suite's names are short")
}

pub(crate) fn token(name: &str) -> Token {
    Token::new(numbered(name)).expect("the suite's names are short")
}

/// A node with an id of its own, in its first life.
pub(crate) fn life(name: &str) -> NodeRef {
    NodeRef::random(NodeId::new(numbered(name)).expect("the suite's names are short"))
}

/// The same node in its next life.
pub(crate) fn next_life(node: &NodeRef) -> NodeRef {
    NodeRef::random(node.id.clone())
}

/// A node of a service, in its first life. Nothing listens there.
pub(crate) fn node(service: &ServiceName) -> Node {
    node_as(service, life(service.as_str()))
}

/// This very node of a service.
pub(crate) fn node_as(service: &ServiceName, node: NodeRef) -> Node {
    let port = 1024 + COUNTER.fetch_add(1, Ordering::Relaxed) % 60_000;
    let port = u16::try_from(port).expect("below 61,024");
    Node::new(
        service.clone(),
        node,
        SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
    )
}
