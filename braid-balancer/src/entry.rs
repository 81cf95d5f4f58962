//! One node of a table, and the guard of a call to it.

use crate::load::{Latency, Load, Time};
use braid_core::Node;
use std::{
    ops::Deref,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

/// A node as discovery described it once, what the table's user keeps for it, and what is measured of it. An [`Entry`] of a table and a
/// [`Picked`] are both one.
#[derive(Debug)]
pub struct Peer<C>(Arc<Described<C>>);

/// What peers share, whose count of references is the load: each [`Picked`] has one, and nothing else but the [`Entry`].
///
/// So a pick writes to nothing else of the node. The count is on cache lines of its own (processors fetch two at a time), lest calls to one
/// node slow down those to another.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Described<C> {
    node: Arc<Node>,
    life: Arc<Life<C>>,
}

/// What stays when discovery says something else of the same node.
#[derive(Debug)]
struct Life<C> {
    present: AtomicBool,
    drained: AtomicBool,
    // All descriptions that something refers to: picks of former ones are load too.
    descriptions: Mutex<Vec<Weak<Described<C>>>>,
    // There may be more than one. Changed with the above.
    several: AtomicBool,
    load: Arc<Load>,
    owned: C,
}

impl<C> Peer<C> {
    #[inline]
    pub(crate) fn picked(of: &Weak<Described<C>>) -> Option<Picked<C>> {
        of.upgrade().map(|described| Picked(Self(described)))
    }

    /// The node, as discovery described it when the table was built that this is from.
    #[must_use]
    pub fn node(&self) -> &Arc<Node> {
        &self.0.node
    }

    /// How many [`Picked`]s of the node are alive, whatever it was described as when they were picked.
    ///
    /// It is read off the references to the node: exact, but while a table is replaced it may be off by one for an instant.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        let life = &self.0.life;
        let references = if life.several.load(Relaxed) {
            life.references()
        } else {
            Arc::strong_count(&self.0)
        };
        life.load.of(references)
    }

    /// What is known of the node's latency, by [`Picked::observe`].
    #[must_use]
    pub fn latency(&self) -> Option<Latency> {
        self.0.life.load.latency()
    }

    /// What the table's user keeps for the node.
    #[must_use]
    pub fn owned(&self) -> &C {
        &self.0.life.owned
    }

    /// False once the node has left the table, or has come back at another address.
    #[must_use]
    pub fn is_present(&self) -> bool {
        self.0.life.present.load(Relaxed)
    }

    /// True while the node is drained by hand ([`Balancer::drain`](crate::Balancer::drain)).
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.0.life.drained.load(Relaxed)
    }
}

impl<C> Life<C> {
    /// Changes the descriptions, without those that nothing refers to: nothing will ever again.
    fn descriptions<T>(&self, change: impl FnOnce(&mut Vec<Weak<Described<C>>>) -> T) -> T {
        let lock = self.descriptions.lock();
        let mut descriptions = lock.unwrap_or_else(PoisonError::into_inner);
        descriptions.retain(|description| description.strong_count() > 0);
        let changed = change(&mut descriptions);
        self.several.store(descriptions.len() > 1, Relaxed);
        changed
    }

    fn references(&self) -> usize {
        self.descriptions(|all| all.iter().map(Weak::strong_count).sum())
    }

    fn describe(self: &Arc<Self>, node: Arc<Node>) -> Arc<Described<C>> {
        let described = Arc::new(Described {
            node,
            life: Arc::clone(self),
        });
        self.descriptions(|all| all.push(Arc::downgrade(&described)));
        self.load.add_entry();
        described
    }
}

/// A row of a table: one node.
#[derive(Debug)]
pub struct Entry<C>(Peer<C>);

impl<C> Entry<C> {
    pub(crate) fn new(node: Arc<Node>, owned: C, time: &Arc<Time>) -> Self {
        let life = Arc::new(Life {
            present: AtomicBool::new(true),
            drained: AtomicBool::new(false),
            descriptions: Mutex::default(),
            several: AtomicBool::new(false),
            load: Arc::new(Load::new(Arc::clone(time))),
            owned,
        });
        Self(Peer(life.describe(node)))
    }

    /// The same life of the same node, of which something else is said now.
    pub(crate) fn renewed(&self, node: Arc<Node>) -> Self {
        Self(Peer(self.described().life.describe(node)))
    }

    /// What belongs to the entry belongs to this node too: it is the same life of it, at the same address.
    pub(crate) fn keeps_for(&self, node: &Node) -> bool {
        self.node().node == node.node && self.node().address == node.address
    }

    pub(crate) fn retire(&self) {
        self.described().life.present.store(false, Relaxed);
    }

    pub(crate) fn set_drained(&self, drained: bool) {
        self.described().life.drained.store(drained, Relaxed);
    }

    pub(crate) fn load(&self) -> &Arc<Load> {
        &self.described().life.load
    }

    pub(crate) fn described(&self) -> &Arc<Described<C>> {
        let Peer(described) = &self.0;
        described
    }

    /// The node's other descriptions, which picks may still refer to.
    pub(crate) fn former(&self) -> Box<[Weak<Described<C>>]> {
        let present = Arc::as_ptr(self.described());
        let life = &self.described().life;
        life.descriptions(|all| {
            let former = all.iter().filter(|other| other.as_ptr() != present);
            former.cloned().collect()
        })
    }

    /// Sends a call to this very node, whatever the policy says.
    pub fn take(&self) -> Picked<C> {
        Picked(Peer(Arc::clone(self.described())))
    }
}

impl<C> Drop for Entry<C> {
    fn drop(&mut self) {
        self.load().remove_entry();
    }
}

impl<C> Deref for Entry<C> {
    type Target = Peer<C>;

    fn deref(&self) -> &Peer<C> {
        &self.0
    }
}

/// A node that a call goes to. It counts as load of the node until it is dropped.
#[derive(Debug)]
#[must_use = "it counts as load only while it lives"]
pub struct Picked<C>(Peer<C>);

impl<C> Picked<C> {
    /// Feeds the node's latency estimate.
    ///
    /// A call that was given up counts with the time it was waited for: a node that never answers would stay unknown otherwise. A
    /// failure that came fast is no sign of a fast node; leave it out.
    #[inline]
    pub fn observe(&self, latency: Duration) {
        let Peer(described) = &self.0;
        described.life.load.observe(latency);
    }
}

impl<C> Deref for Picked<C> {
    type Target = Peer<C>;

    fn deref(&self) -> &Peer<C> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CoarseClock;
    use braid_core::{NodeId, NodeRef, Result, ServiceName};

    #[test]
    fn only_descriptions_that_picks_refer_to_are_remembered() -> Result<()> {
        let who = NodeRef::random(NodeId::new("a")?);
        let node = Node::new(ServiceName::new("s")?, who, ([127, 0, 0, 1], 1).into());
        let node = Arc::new(node);
        let time = Arc::new(Time::new(Arc::new(CoarseClock), Duration::MAX));
        let mut entry = Entry::new(Arc::clone(&node), (), &time);
        let picked = entry.take();
        for _ in 0..1_000 {
            entry = entry.renewed(Arc::clone(&node));
            drop(entry.take());
        }
        assert_eq!(picked.in_flight(), 1);
        let [former] = &*entry.former() else {
            panic!("only one is picked");
        };
        let Peer(described) = &*picked;
        assert_eq!(former.as_ptr(), Arc::as_ptr(described));
        drop(picked);
        assert_eq!(entry.in_flight(), 0);
        assert!(entry.former().is_empty());
        Ok(())
    }
}
