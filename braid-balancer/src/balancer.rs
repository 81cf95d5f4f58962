//! The balancer of one service: updates in, nodes out.

use crate::{
    entry::{Entry, Picked},
    policy::Policy,
    table::Table,
};
use arc_swap::ArcSwap;
use braid_core::{Node, NodeId, NodeRef, Update};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The nodes of one service, and the policy that picks among them. `C` is what the user keeps for each node.
#[derive(Debug)]
pub struct Balancer<C> {
    table: ArcSwap<Table<C>>,
    // Held while a table is built. Picks never take it.
    policy: Mutex<Box<dyn Policy>>,
}

impl<C> Balancer<C> {
    /// A balancer without nodes.
    #[must_use]
    pub fn new(policy: impl Policy) -> Self {
        Self {
            table: ArcSwap::from_pointee(Table::new(Vec::new(), &policy)),
            policy: Mutex::new(Box::new(policy)),
        }
    }

    /// Takes what discovery says. Several updates at once make one new table.
    ///
    /// `make` makes what an entry owns. What an entry owns already stays with it as long as the node's uid and address do, whatever else
    /// is said of the node, and over a [`Reset`](Update::Reset) too.
    pub fn apply(
        &self,
        updates: impl IntoIterator<Item = Update>,
        mut make: impl FnMut(&Node) -> C,
    ) {
        let policy = self.policy.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.table.load_full();
        let mut nodes: BTreeMap<NodeRef, Arc<Node>> = before
            .entries()
            .iter()
            .map(|entry| (entry.node().node.clone(), Arc::clone(entry.node())))
            .collect();
        for update in updates {
            match update {
                Update::Reset(view) => {
                    nodes = view.into_iter().map(|n| (n.node.clone(), n)).collect();
                }
                Update::Upsert(node) => {
                    nodes.insert(node.node.clone(), node);
                }
                Update::Remove(node) => {
                    nodes.remove(&node);
                }
            }
        }
        let entries = nodes
            .into_values()
            .map(|node| match before.by_node(&node.node) {
                Some(entry) if *entry.node() == node => Arc::clone(entry),
                Some(entry) if entry.keeps_for(&node) => Arc::new(entry.renewed(node)),
                _ => {
                    let owned = make(&node);
                    Arc::new(Entry::new(node, owned))
                }
            })
            .collect();
        let table = Arc::new(Table::new(entries, &**policy));
        self.table.store(Arc::clone(&table));
        for entry in before.entries() {
            let node = entry.node();
            let kept = table.by_node(&node.node).is_some_and(|e| e.keeps_for(node));
            if !kept {
                entry.retire();
            }
        }
    }

    /// Picks by another policy from now on.
    pub fn set_policy(&self, policy: impl Policy) {
        let mut current = self.policy.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = self.table.load().entries().to_vec();
        self.table.store(Arc::new(Table::new(entries, &policy)));
        *current = Box::new(policy);
    }

    /// The node that gets the next call; `None` when none takes calls. Lock-free, allocates nothing.
    #[inline]
    pub fn pick(&self) -> Option<Picked<C>> {
        self.table.load().pick()
    }

    /// This life of a node, in whatever state it is.
    pub fn by_node(&self, node: &NodeRef) -> Option<Picked<C>> {
        self.table.load().by_node(node).map(Picked::new)
    }

    /// The node with this id, in whatever state it is. Of two lives of it the one that takes calls.
    pub fn by_id(&self, id: &NodeId) -> Option<Picked<C>> {
        self.table.load().by_id(id).map(Picked::new)
    }

    /// The nodes as they are now.
    #[must_use]
    pub fn table(&self) -> Arc<Table<C>> {
        self.table.load_full()
    }
}
