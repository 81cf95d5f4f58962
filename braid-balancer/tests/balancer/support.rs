//! Nodes, endpoints and a clock for the tests.

use braid_balancer::{Balancer, Endpoint, Health};
use braid_core::{BootTime, Clock, Node, NodeId, NodeRef, ServiceName, Uid, Update};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

pub(crate) fn who(id: &str, uid: &str) -> NodeRef {
    NodeRef::new(NodeId::new(id).unwrap(), Uid::new(uid).unwrap())
}

/// A node in its life "1", at an address that goes by its id.
pub(crate) fn node(id: &str) -> Node {
    let port = id
        .bytes()
        .fold(1, |port, byte| port * 7 + u16::from(byte) % 7);
    let service = ServiceName::new("s").unwrap();
    Node::new(service, who(id, "1"), ([127, 0, 0, 1], port).into())
}

/// n0, n1 and so on, with these weights. Their order is the order of their numbers.
pub(crate) fn weighted(weights: &[u32]) -> Update {
    let nodes = weights.iter().enumerate();
    reset(nodes.map(|(index, weight)| node(&format!("n{index:04}")).with_weight(*weight)))
}

pub(crate) fn reset(nodes: impl IntoIterator<Item = Node>) -> Update {
    Update::Reset(nodes.into_iter().map(Arc::new).collect())
}

pub(crate) fn id<C>(picked: &braid_balancer::Picked<C>) -> String {
    picked.node().node.id.to_string()
}

/// How often each node is picked, of `count` times.
pub(crate) fn counts<C: Endpoint>(balancer: &Balancer<C>, count: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for picked in (0..count).filter_map(|_| balancer.pick()) {
        *counts.entry(id(&picked)).or_default() += 1;
    }
    counts
}

pub(crate) fn ids<C>(entries: &[Arc<braid_balancer::Entry<C>>]) -> Vec<&str> {
    entries.iter().map(|e| e.node().node.id.as_str()).collect()
}

/// An endpoint whose health is what the test says.
#[derive(Debug, Default)]
pub(crate) struct Switch(Mutex<Health>);

impl Switch {
    pub(crate) fn new(health: Health) -> Self {
        Self(Mutex::new(health))
    }
}

impl Endpoint for Switch {
    fn health(&self) -> Health {
        *self.0.lock().unwrap()
    }
}

/// Says it, and has the balancer ask.
pub(crate) fn set_health(balancer: &Balancer<Switch>, id: &str, health: Health) {
    let picked = balancer.by_id(&NodeId::new(id).unwrap()).unwrap();
    *picked.owned().0.lock().unwrap() = health;
    balancer.refresh();
}

/// A clock that stands still unless it is moved.
#[derive(Debug, Default)]
pub(crate) struct StandingClock(Mutex<Duration>);

impl StandingClock {
    pub(crate) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for StandingClock {
    fn now(&self) -> BootTime {
        BootTime::from_origin(*self.0.lock().unwrap())
    }
}
