//! Weighted random choice.

use super::{Candidates, Picker, Policy, Weighted, alias::Alias};

/// Each call goes to a node at random, by weight.
///
/// # Behavior
/// Picks don't depend on each other, so that many clients don't fall into step, and no state is shared between threads. In the short run
/// shares scatter as chance does. One random number a pick, by an alias table (Vose 1991); `fastrand::seed` repeats a thread's picks.
#[derive(Clone, Copy, Debug, Default)]
pub struct WeightedRandom;

impl WeightedRandom {
    /// A policy for one balancer.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl Policy for WeightedRandom {
    fn picker(&self, nodes: &[Weighted<'_>]) -> Box<dyn Picker> {
        Box::new(Draw(Alias::new(nodes)))
    }
}

#[derive(Debug)]
struct Draw(Alias);

impl Picker for Draw {
    #[inline]
    fn pick(&self, _: &Candidates<'_>) -> Option<usize> {
        self.0.draw()
    }
}
