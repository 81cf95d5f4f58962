//! A snapshot of a service's nodes.

use crate::{
    entry::{Entry, Picked},
    policy::{Candidates, Loads, Picker, Policy},
};
use braid_core::{Node, NodeId, NodeRef, NodeState};
use std::{collections::HashMap, sync::Arc};

/// A service's nodes at one moment. It never changes; [`Balancer::apply`](crate::Balancer::apply) publishes a new one.
#[derive(Debug)]
pub struct Table<C> {
    // Sorted by NodeRef, so that the lives of one id are neighbours.
    entries: Box<[Arc<Entry<C>>]>,
    // Where the lives of an id begin.
    ids: HashMap<NodeId, usize>,
    ready: Box<[Arc<Entry<C>>]>,
    picker: Box<dyn Picker>,
}

impl<C> Table<C> {
    /// `entries` are sorted by [`NodeRef`].
    pub(crate) fn new(entries: Vec<Arc<Entry<C>>>, policy: &dyn Policy) -> Self {
        let mut ids = HashMap::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            ids.entry(entry.node().node.id.clone()).or_insert(index);
        }
        let ready: Box<[_]> = entries
            .iter()
            .filter(|entry| entry.takes_part())
            .map(Arc::clone)
            .collect();
        let nodes: Vec<&Node> = ready.iter().map(|entry| &**entry.node()).collect();
        let picker = policy.picker(&nodes);
        Self {
            entries: entries.into(),
            ids,
            ready,
            picker,
        }
    }

    /// All nodes, sorted by [`NodeRef`].
    #[must_use]
    pub fn entries(&self) -> &[Arc<Entry<C>>] {
        &self.entries
    }

    /// The nodes that take part in balancing, sorted by [`NodeRef`].
    #[must_use]
    pub fn ready(&self) -> &[Arc<Entry<C>>] {
        &self.ready
    }

    pub(crate) fn pick(&self) -> Option<Picked<C>> {
        let index = self.picker.pick(&Candidates::new(self))?;
        self.ready.get(index).map(Picked::new)
    }

    pub(crate) fn by_node(&self, node: &NodeRef) -> Option<&Arc<Entry<C>>> {
        self.lives(&node.id)
            .iter()
            .find(|entry| entry.node().node.uid == node.uid)
    }

    pub(crate) fn by_id(&self, id: &NodeId) -> Option<&Arc<Entry<C>>> {
        // Two lives of a node overlap only while it is replaced; the one that takes calls is the present one.
        self.lives(id)
            .iter()
            .min_by_key(|entry| match entry.node().state {
                NodeState::Ready => 0,
                NodeState::NotReady => 1,
                NodeState::Draining => 2,
            })
    }

    fn lives(&self, id: &NodeId) -> &[Arc<Entry<C>>] {
        let Some(first) = self.ids.get(id) else {
            return &[];
        };
        let rest = &self.entries[*first..];
        let count = rest.iter().take_while(|e| e.node().node.id == *id).count();
        &rest[..count]
    }
}

impl<C> Loads for Table<C> {
    fn count(&self) -> usize {
        self.ready.len()
    }

    fn in_flight(&self, index: usize) -> usize {
        self.ready[index].in_flight()
    }

    fn node(&self, index: usize) -> &Node {
        self.ready[index].node()
    }
}
