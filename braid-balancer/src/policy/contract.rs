//! What a balancing policy is.

use crate::load::Latency;
use braid_core::Node;
use std::{fmt, fmt::Debug};

/// Decides who gets the next call.
///
/// A policy serves one [`Balancer`](crate::Balancer): whatever it has to remember over changes of the table lives in it, and whatever it
/// can work out beforehand lives in the [`Picker`]s that it makes.
pub trait Policy: Debug + Send + Sync + 'static {
    /// Makes what picks among these nodes from now on. Called once for each new table, never by two threads at once.
    ///
    /// `nodes` are ready, have a weight, and are sorted by [`NodeRef`](braid_core::NodeRef); there may be none.
    fn picker(&self, nodes: &[Weighted<'_>]) -> Box<dyn Picker>;
}

/// What is chosen at run time is a policy too.
impl Policy for Box<dyn Policy> {
    fn picker(&self, nodes: &[Weighted<'_>]) -> Box<dyn Picker> {
        (**self).picker(nodes)
    }
}

/// A node that a [`Picker`] is made for.
#[derive(Clone, Copy, Debug)]
pub struct Weighted<'a> {
    /// The node.
    pub node: &'a Node,
    /// Its share of calls relative to the others of the table, at least 1. The node's own weight, unless slow start or a zone preference is at
    /// work: then all weights are on another scale.
    pub weight: u32,
}

/// Picks among the nodes of one table.
pub trait Picker: Debug + Send + Sync + 'static {
    /// The place, within the nodes that the picker was made for, of the one that gets the next call; `None` when there is none.
    ///
    /// Called for each call, by many threads at once: it should neither lock nor allocate.
    fn pick(&self, candidates: &Candidates<'_>) -> Option<usize>;
}

/// The nodes that a [`Picker`] picks among, as they are at this moment, and the call that they are picked for.
pub struct Candidates<'a> {
    loads: &'a dyn Loads,
    key: Option<&'a str>,
}

/// Keeps the type of what entries own out of the policies.
pub(crate) trait Loads {
    fn count(&self) -> usize;
    fn in_flight(&self, index: usize) -> usize;
    fn node(&self, index: usize) -> &Node;
    fn weight(&self, index: usize) -> u32;
    fn latency(&self, index: usize) -> Option<Latency>;
}

impl<'a> Candidates<'a> {
    pub(crate) fn new(loads: &'a dyn Loads, key: Option<&'a str>) -> Self {
        Self { loads, key }
    }

    /// What the call is about ([`Balancer::pick_for`](crate::Balancer::pick_for)). It may be a secret.
    #[must_use]
    pub fn key(&self) -> Option<&'a str> {
        self.key
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.loads.count()
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many calls a node has in flight.
    ///
    /// # Panics
    /// When `index` isn't less than [`len`](Self::len).
    #[must_use]
    pub fn in_flight(&self, index: usize) -> usize {
        self.loads.in_flight(index)
    }

    /// A node.
    ///
    /// # Panics
    /// When `index` isn't less than [`len`](Self::len).
    #[must_use]
    pub fn node(&self, index: usize) -> &Node {
        self.loads.node(index)
    }

    /// The weight of a node, as the picker was made for.
    ///
    /// # Panics
    /// When `index` isn't less than [`len`](Self::len).
    #[must_use]
    pub fn weight(&self, index: usize) -> u32 {
        self.loads.weight(index)
    }

    /// What is known of a node's latency, aged to now. `None` when nothing is.
    ///
    /// # Panics
    /// When `index` isn't less than [`len`](Self::len).
    #[must_use]
    pub fn latency(&self, index: usize) -> Option<Latency> {
        self.loads.latency(index)
    }
}

impl Debug for Candidates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries((0..self.len()).map(|index| &self.node(index).node))
            .finish()
    }
}
