//! The registry: which nodes there are, service by service.

use super::NAME;
use crate::{lifecycle::lock, pubsub::Broker};
use braid_core::{
    Error, ErrorKind, Node, NodeId, NodeRef, Result, ServiceName, Topic,
    discover::View,
    reserved::{Body, ServiceEvent, ServiceUpdate},
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::watch;

/// The nodes of a hub. Views and events change under one lock, so that the events tell of the changes in their order.
#[derive(Debug)]
pub(crate) struct Registry {
    nodes: Mutex<Nodes>,
    serials: AtomicU64,
    broker: Arc<Broker>,
    topic: Topic,
}

#[derive(Debug, Default)]
struct Nodes {
    /// Every announced node. An id stands for one node, whatever its service.
    announced: HashMap<NodeId, Entry>,
    /// What watchers of a service see.
    views: HashMap<ServiceName, watch::Sender<Arc<View>>>,
}

#[derive(Debug)]
struct Entry {
    node: Arc<Node>,
    /// Which announcement made it: one that is dropped late removes nothing of its successor.
    serial: u64,
    owner: u64,
}

impl Registry {
    pub(crate) fn new(broker: Arc<Broker>) -> Self {
        Self {
            nodes: Mutex::default(),
            serials: AtomicU64::new(0),
            broker,
            topic: ServiceUpdate::topic(),
        }
    }

    /// A number that was not handed out before.
    pub(crate) fn next_serial(&self) -> u64 {
        self.serials.fetch_add(1, Ordering::Relaxed)
    }

    /// Adds a node for `owner`. The number that is returned names the announcement.
    pub(super) fn insert(&self, owner: u64, node: &Node) -> Result<u64> {
        let mut nodes = lock(&self.nodes);
        if let Some(held) = nodes.announced.get(&node.node.id) {
            let text = format!(
                "node id `{}` is taken by node {} of `{}`",
                node.node.id, held.node.node, held.node.service
            );
            return Err(Error::new(ErrorKind::Conflict, NAME, "announce", text));
        }
        let serial = self.next_serial();
        let node = Arc::new(node.clone());
        let entry = Entry {
            node: Arc::clone(&node),
            serial,
            owner,
        };
        nodes.announced.insert(node.node.id.clone(), entry);
        nodes.show(&node);
        self.publish(ServiceEvent::Add, &node);
        Ok(serial)
    }

    /// Replaces what is said of a node. Does nothing when the announcement has ended, or when nothing changes.
    pub(super) fn update(&self, serial: u64, node: Node) {
        let mut nodes = lock(&self.nodes);
        let node = Arc::new(node);
        match nodes.announced.get_mut(&node.node.id) {
            Some(entry) if entry.serial == serial && entry.node != node => {
                entry.node = Arc::clone(&node);
            }
            _ => return,
        }
        nodes.show(&node);
        self.publish(ServiceEvent::Update, &node);
    }

    /// Removes a node if this announcement made it.
    pub(super) fn remove(&self, id: &NodeId, serial: u64) {
        let mut nodes = lock(&self.nodes);
        if nodes.announced.get(id).is_some_and(|e| e.serial == serial) {
            self.take(&mut nodes, id);
        }
    }

    /// Removes every node that `owner` announced.
    pub(super) fn remove_owned(&self, owner: u64) {
        let mut nodes = lock(&self.nodes);
        let owned = nodes.announced.iter().filter(|(_, e)| e.owner == owner);
        let ids: Vec<NodeId> = owned.map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.take(&mut nodes, &id);
        }
    }

    /// The view of a service, which may have no node yet.
    pub(super) fn watch(&self, service: &ServiceName) -> watch::Receiver<Arc<View>> {
        let mut nodes = lock(&self.nodes);
        if let Some(view) = nodes.views.get(service) {
            return view.subscribe();
        }
        // Names that somebody asked for once must not pile up.
        nodes
            .views
            .retain(|_, view| view.receiver_count() > 0 || !view.borrow().is_empty());
        nodes.view(service).subscribe()
    }

    fn take(&self, nodes: &mut Nodes, id: &NodeId) {
        if let Some(entry) = nodes.announced.remove(id) {
            nodes.hide(&entry.node.service, &entry.node.node);
            self.publish(ServiceEvent::Remove, &entry.node);
        }
    }

    fn publish(&self, event: ServiceEvent, node: &Node) {
        let message = ServiceUpdate::of(event, node).message();
        // Who listens badly must not keep nodes from coming and going.
        if let Err(error) = self.broker.append(&self.topic, message) {
            tracing::warn!(%error, node = %node.node, ?event, "an event of discovery was not published");
        }
    }
}

impl Nodes {
    fn view(&mut self, service: &ServiceName) -> &watch::Sender<Arc<View>> {
        self.views
            .entry(service.clone())
            .or_insert_with(|| watch::Sender::new(Arc::default()))
    }

    fn show(&mut self, node: &Arc<Node>) {
        self.view(&node.service).send_modify(|view| {
            Arc::make_mut(view).insert(node.node.clone(), Arc::clone(node));
        });
    }

    fn hide(&mut self, service: &ServiceName, node: &NodeRef) {
        self.view(service).send_modify(|view| {
            Arc::make_mut(view).remove(node);
        });
    }
}

#[cfg(test)]
impl Registry {
    pub(super) fn views(&self) -> usize {
        lock(&self.nodes).views.len()
    }
}
