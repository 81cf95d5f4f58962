//! One node of a table, and the guard of a call to it.

use braid_core::{Node, NodeState};
use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

/// One node, with what the table's user keeps for it.
#[derive(Debug)]
pub struct Entry<C> {
    node: Arc<Node>,
    // What stays when discovery says something else of the same node; entries before and after the change share it.
    kept: Arc<Kept<C>>,
}

#[derive(Debug)]
struct Kept<C> {
    in_flight: AtomicUsize,
    present: AtomicBool,
    owned: C,
}

impl<C> Entry<C> {
    pub(crate) fn new(node: Arc<Node>, owned: C) -> Self {
        let kept = Kept {
            in_flight: AtomicUsize::new(0),
            present: AtomicBool::new(true),
            owned,
        };
        Self {
            node,
            kept: Arc::new(kept),
        }
    }

    /// The same life of the same node, of which something else is said now.
    pub(crate) fn renewed(&self, node: Arc<Node>) -> Self {
        Self {
            node,
            kept: Arc::clone(&self.kept),
        }
    }

    /// What belongs to the entry belongs to this node too: it is the same life of it, at the same address.
    pub(crate) fn keeps_for(&self, node: &Node) -> bool {
        self.node.node == node.node && self.node.address == node.address
    }

    pub(crate) fn retire(&self) {
        self.kept.present.store(false, Relaxed);
    }

    pub(crate) fn takes_part(&self) -> bool {
        self.node.state == NodeState::Ready && self.node.weight > 0
    }

    /// Sends a call to this very node, whatever the policy says.
    pub fn take(self: &Arc<Self>) -> Picked<C> {
        Picked::new(self)
    }

    /// The node, as discovery described it when this table was built.
    #[must_use]
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// How many [`Picked`]s of the node are alive.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.kept.in_flight.load(Relaxed)
    }

    /// What the table's user keeps for the node.
    #[must_use]
    pub fn owned(&self) -> &C {
        &self.kept.owned
    }

    /// False once the node has left the table, or has come back at another address.
    #[must_use]
    pub fn is_present(&self) -> bool {
        self.kept.present.load(Relaxed)
    }
}

/// A node that a call goes to. It counts as load of the node until it is dropped.
#[derive(Debug)]
#[must_use = "it counts as load only while it lives"]
pub struct Picked<C>(Arc<Entry<C>>);

impl<C> Picked<C> {
    pub(crate) fn new(entry: &Arc<Entry<C>>) -> Self {
        entry.kept.in_flight.fetch_add(1, Relaxed);
        Self(Arc::clone(entry))
    }
}

impl<C> Drop for Picked<C> {
    fn drop(&mut self) {
        self.0.kept.in_flight.fetch_sub(1, Relaxed);
    }
}

impl<C> Deref for Picked<C> {
    type Target = Entry<C>;

    fn deref(&self) -> &Entry<C> {
        &self.0
    }
}
