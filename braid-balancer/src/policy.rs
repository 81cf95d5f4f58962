//! What a balancing policy is.

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
    fn picker(&self, nodes: &[&Node]) -> Box<dyn Picker>;
}

/// Picks among the nodes of one table.
pub trait Picker: Debug + Send + Sync + 'static {
    /// The place, within the nodes that the picker was made for, of the one that gets the next call; `None` when there is none.
    ///
    /// Called for each call, by many threads at once: it should neither lock nor allocate.
    fn pick(&self, candidates: &Candidates<'_>) -> Option<usize>;
}

/// The nodes that a [`Picker`] picks among, as they are at this moment.
pub struct Candidates<'a>(&'a dyn Loads);

/// Keeps the type of what entries own out of the policies.
pub(crate) trait Loads {
    fn count(&self) -> usize;
    fn in_flight(&self, index: usize) -> usize;
    fn node(&self, index: usize) -> &Node;
}

impl<'a> Candidates<'a> {
    pub(crate) fn new(loads: &'a dyn Loads) -> Self {
        Self(loads)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.count()
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
        self.0.in_flight(index)
    }

    /// A node.
    ///
    /// # Panics
    /// When `index` isn't less than [`len`](Self::len).
    #[must_use]
    pub fn node(&self, index: usize) -> &Node {
        self.0.node(index)
    }
}

impl Debug for Candidates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries((0..self.len()).map(|index| &self.node(index).node))
            .finish()
    }
}
