//! The faster of two, by latency and load.

use super::{Candidates, Picker, Policy, Weighted, alias::Alias};
use crate::load::Latency;

/// From this ratio on latencies differ, and don't just scatter.
const CLEARLY: f32 = 1.5;

/// How much better a node has to be that answers no faster. Without it, calls in flight at light nodes, which weigh a lot there, would drive
/// others away: at four calls in flight a node of weight 1 beside 5 and 3 would get 3/4 of its share.
const MARGIN: f32 = 2.0;

/// The better of two nodes, by latency and calls in flight.
///
/// # Behavior
/// Two nodes are drawn by weight (Mitzenmacher, "The power of two choices in randomized load balancing", 2001). The first one gets the call,
/// unless the second would be better even with this call on top:
///
/// latency of the second · (1 + (its calls in flight + 1) / its weight) < latency of the first · (1 + its calls in flight / its weight)
///
/// with weights relative to the mean; and where the latencies are much the same, it has to be twice as good. So among idle nodes that answer alike the shares are exactly the weights', and it takes a real
/// difference to depart from them. Latency is Finagle's peak EWMA, as linkerd uses it: a slower answer counts at once, a faster one bit
/// by bit. It is fed by [`Picked::observe`](crate::Picked::observe).
///
/// Unlike in Finagle an estimate doesn't fade to zero but to no difference ([`Latency::times`]): at a low rate of calls everything is
/// old, and shares are the weights'; and a node that nothing is known of counts as fast as the one that it is compared with, so that a new
/// node is neither flooded nor starved. A node that doesn't answer loses by its calls in flight.
#[derive(Clone, Copy, Debug, Default)]
pub struct PeakEwma;

impl PeakEwma {
    /// A policy for one balancer.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl Policy for PeakEwma {
    fn picker(&self, nodes: &[Weighted<'_>]) -> Box<dyn Picker> {
        let sum: f64 = nodes.iter().map(|node| f64::from(node.weight)).sum();
        let mean = sum / nodes.len() as f64;
        Box::new(BetterOfTwo {
            alias: Alias::new(nodes),
            per_call: nodes
                .iter()
                .map(|node| (mean / f64::from(node.weight)) as f32)
                .collect(),
        })
    }
}

#[derive(Debug)]
struct BetterOfTwo {
    alias: Alias,
    // What a call weighs on a node: one over its relative weight.
    per_call: Box<[f32]>,
}

impl Picker for BetterOfTwo {
    #[inline]
    fn pick(&self, candidates: &Candidates<'_>) -> Option<usize> {
        let first = self.alias.draw()?;
        if self.per_call.len() < 2 {
            return Some(first);
        }
        let second = self.alias.draw_other(first)?;
        let load = |index: usize, more: usize| {
            let calls = candidates.in_flight(index) + more;
            1.0 + calls as f32 * self.per_call[index]
        };
        let times = Latency::times(candidates.latency(first), candidates.latency(second));
        let margin = if times > CLEARLY { 1.0 } else { MARGIN };
        let better = margin * load(second, 1) < times * load(first, 0);
        Some(if better { second } else { first })
    }
}
