//! The less loaded of a few.

use super::{Candidates, Picker, Policy, Weighted, alias::Alias};

/// The node with the fewest calls in flight for its weight, of a few.
///
/// # Behavior
/// A few nodes (2, as in Envoy, unless told otherwise) are drawn by weight, one after the other. The first one gets the call, unless
/// another is no more loaded even with this call on top: (its calls in flight + 1) / its weight <= calls in flight of the former / weight of the
/// former.
/// Envoy's rule, (calls in flight + 1) / weight on both sides, would send every call to the heaviest of the nodes drawn while these are idle;
/// here the shares of idle nodes are exactly the weights'. In between, light nodes get somewhat less, since calls can't be divided.
///
/// Two choices do nearly as well as looking at all nodes (Mitzenmacher 2001), and don't let all clients run to the same idle one.
#[derive(Clone, Copy, Debug)]
pub struct LeastRequest {
    choices: usize,
}

impl LeastRequest {
    /// A policy for one balancer, of two choices.
    #[must_use]
    pub fn new() -> Self {
        Self { choices: 2 }
    }

    /// Of so many choices. More even out load better, and cost more; one is [`WeightedRandom`](crate::WeightedRandom).
    #[must_use]
    pub fn with_choices(mut self, choices: usize) -> Self {
        self.choices = choices;
        self
    }
}

impl Default for LeastRequest {
    fn default() -> Self {
        Self::new()
    }
}

impl Policy for LeastRequest {
    fn picker(&self, nodes: &[Weighted<'_>]) -> Box<dyn Picker> {
        Box::new(LessLoaded {
            alias: Alias::new(nodes),
            choices: if nodes.len() < 2 { 1 } else { self.choices },
        })
    }
}

#[derive(Debug)]
struct LessLoaded {
    alias: Alias,
    choices: usize,
}

impl Picker for LessLoaded {
    #[inline]
    fn pick(&self, candidates: &Candidates<'_>) -> Option<usize> {
        let load = |index: usize, more: usize| {
            let calls = candidates.in_flight(index) + more;
            calls as f64 / f64::from(candidates.weight(index))
        };
        let mut best = self.alias.draw()?;
        for _ in 1..self.choices {
            let other = self.alias.draw_other(best)?;
            if load(other, 1) <= load(best, 0) {
                best = other;
            }
        }
        Some(best)
    }
}
