//! A snapshot of a service's nodes.

use crate::{
    entry::{Entry, Picked},
    load::Latency,
    policy::{Candidates, Loads, Picker},
    share::Plan,
};
use braid_core::{Node, NodeId, NodeRef, NodeState};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// A service's nodes at one moment. It never changes; the [`Balancer`](crate::Balancer) publishes a new one.
#[derive(Debug)]
pub struct Table<C> {
    // Sorted by NodeRef, so that the lives of one id are neighbours.
    entries: Vec<Arc<Entry<C>>>,
    // Where the lives of an id begin.
    ids: HashMap<NodeId, usize>,
    plan: Plan,
    wanted: Box<[Arc<Entry<C>>]>,
    ready: Box<[Arc<Entry<C>>]>,
    drained: Arc<BTreeSet<NodeId>>,
    picker: Box<dyn Picker>,
}

impl<C> Table<C> {
    /// `entries` are sorted by [`NodeRef`]; `plan` and `picker` are made of them.
    pub(crate) fn new(
        entries: Vec<Arc<Entry<C>>>,
        plan: Plan,
        picker: Box<dyn Picker>,
        drained: &Arc<BTreeSet<NodeId>>,
    ) -> Self {
        let mut ids = HashMap::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            ids.entry(entry.node().node.id.clone()).or_insert(index);
        }
        let chosen = |indexes: &[usize]| {
            let entries = indexes.iter().map(|index| Arc::clone(&entries[*index]));
            entries.collect()
        };
        Self {
            wanted: chosen(&plan.wanted),
            ready: chosen(&plan.ready),
            drained: Arc::clone(drained),
            plan,
            entries,
            ids,
            picker,
        }
    }

    /// All nodes, sorted by [`NodeRef`].
    #[must_use]
    pub fn entries(&self) -> &[Arc<Entry<C>>] {
        &self.entries
    }

    /// The nodes that calls may be balanced to now, sorted by [`NodeRef`]: those of [`wanted`](Self::wanted) whose health is
    /// [`Ready`](crate::Health::Ready).
    #[must_use]
    pub fn ready(&self) -> &[Arc<Entry<C>>] {
        &self.ready
    }

    /// The weights that the policy goes by, in the order of [`ready`](Self::ready): slow start and zones are in them. They are the nodes' own
    /// when neither changes anything.
    #[must_use]
    pub fn weights(&self) -> &[u32] {
        &self.plan.weights
    }

    /// The nodes that there should be connections to, sorted by [`NodeRef`]: those that take part in balancing and that zone and subset leave,
    /// whatever their health.
    #[must_use]
    pub fn wanted(&self) -> &[Arc<Entry<C>>] {
        &self.wanted
    }

    /// True while a node is drained by hand, whether it is there or not.
    #[must_use]
    pub fn is_drained(&self, id: &NodeId) -> bool {
        self.drained.contains(id)
    }

    pub(crate) fn is_by(&self, plan: &Plan) -> bool {
        self.plan == *plan
    }

    #[inline]
    pub(crate) fn pick(&self, key: Option<&str>) -> Option<Picked<C>> {
        let index = self.picker.pick(&Candidates::new(self, key))?;
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

    fn weight(&self, index: usize) -> u32 {
        self.plan.weights[index]
    }

    fn latency(&self, index: usize) -> Option<Latency> {
        self.ready[index].latency()
    }
}
