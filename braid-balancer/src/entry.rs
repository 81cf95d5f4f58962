//! One node of a table, and the guard of a call to it.

use crate::load::{Latency, Load, Time};
use braid_core::Node;
use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

/// One node, with what the table's user keeps for it.
#[derive(Debug)]
// Its count of references changes with each pick: see `Load`.
#[repr(align(128))]
pub struct Entry<C> {
    node: Arc<Node>,
    // What stays when discovery says something else of the same node; entries before and after the change share it.
    kept: Arc<Kept<C>>,
    load: Arc<Load>,
}

#[derive(Debug)]
struct Kept<C> {
    present: AtomicBool,
    drained: AtomicBool,
    owned: C,
}

impl<C> Entry<C> {
    pub(crate) fn new(node: Arc<Node>, owned: C, time: &Arc<Time>) -> Self {
        let kept = Kept {
            present: AtomicBool::new(true),
            drained: AtomicBool::new(false),
            owned,
        };
        Self {
            node,
            kept: Arc::new(kept),
            load: Arc::new(Load::new(Arc::clone(time))),
        }
    }

    /// The same life of the same node, of which something else is said now.
    pub(crate) fn renewed(&self, node: Arc<Node>) -> Self {
        Self {
            node,
            kept: Arc::clone(&self.kept),
            load: Arc::clone(&self.load),
        }
    }

    /// What belongs to the entry belongs to this node too: it is the same life of it, at the same address.
    pub(crate) fn keeps_for(&self, node: &Node) -> bool {
        self.node.node == node.node && self.node.address == node.address
    }

    pub(crate) fn retire(&self) {
        self.kept.present.store(false, Relaxed);
    }

    pub(crate) fn set_drained(&self, drained: bool) {
        self.kept.drained.store(drained, Relaxed);
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
        self.load.in_flight.load(Relaxed)
    }

    /// What is known of the node's latency, by [`Picked::observe`].
    #[must_use]
    pub fn latency(&self) -> Option<Latency> {
        self.load.latency()
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

    /// True while the node is drained by hand ([`Balancer::drain`](crate::Balancer::drain)).
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.kept.drained.load(Relaxed)
    }
}

/// A node that a call goes to. It counts as load of the node until it is dropped.
#[derive(Debug)]
#[must_use = "it counts as load only while it lives"]
pub struct Picked<C>(Arc<Entry<C>>);

impl<C> Picked<C> {
    #[inline]
    pub(crate) fn new(entry: &Arc<Entry<C>>) -> Self {
        entry.load.in_flight.fetch_add(1, Relaxed);
        Self(Arc::clone(entry))
    }

    /// Feeds the node's latency estimate.
    ///
    /// A call that was given up counts with the time it was waited for: a node that never answers would stay unknown otherwise. A
    /// failure that came fast is no sign of a fast node; leave it out.
    #[inline]
    pub fn observe(&self, latency: Duration) {
        self.0.load.observe(latency);
    }
}

impl<C> Drop for Picked<C> {
    #[inline]
    fn drop(&mut self) {
        self.0.load.in_flight.fetch_sub(1, Relaxed);
    }
}

impl<C> Deref for Picked<C> {
    type Target = Entry<C>;

    fn deref(&self) -> &Entry<C> {
        &self.0
    }
}
