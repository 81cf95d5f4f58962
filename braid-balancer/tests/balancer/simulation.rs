//! A service in virtual time: callers that call again as soon as they are answered, nodes that answer as fast as the test says.

use crate::support::{StandingClock, weighted};
use braid_balancer::{Balancer, BalancerConfig, Picked, Policy};
use braid_core::{Clock, Update};
use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc, time::Duration};

pub(crate) struct Simulation {
    pub(crate) balancer: Balancer<()>,
    clock: Arc<StandingClock>,
    /// What each node takes to answer, before noise; `None`: it never does.
    pub(crate) latencies: Vec<Option<Duration>>,
    /// When a caller gives up.
    pub(crate) timeout: Duration,
    now: Duration,
    waiting: BinaryHeap<Reverse<(Duration, u64)>>,
    calls: Vec<Option<Call>>,
}

struct Call {
    picked: Picked<()>,
    took: Duration,
}

impl Simulation {
    /// Nodes that all answer within about `fast`. Seeded: it goes the same each time.
    pub(crate) fn new(policy: impl Policy, weights: &[u32], fast: Duration) -> Self {
        fastrand::seed(42);
        let clock = Arc::new(StandingClock::default());
        let time = Arc::clone(&clock) as Arc<dyn Clock>;
        let simulation = Self {
            balancer: Balancer::with_clock(policy, BalancerConfig::default(), time),
            clock,
            latencies: vec![Some(fast); weights.len()],
            timeout: Duration::from_secs(1),
            now: Duration::ZERO,
            waiting: BinaryHeap::new(),
            calls: Vec::new(),
        };
        simulation.apply(weighted(weights));
        simulation
    }

    pub(crate) fn apply(&self, update: Update) {
        self.balancer.apply([update], |_| ());
    }

    /// Lets so many callers call for so long; each node's share of the calls that began.
    pub(crate) fn run(&mut self, callers: usize, time: Duration) -> Vec<f64> {
        let mut counts = vec![0_u32; self.latencies.len()];
        let end = self.now + time;
        for _ in self.waiting.len()..callers {
            self.call(&mut counts);
        }
        while let Some(Reverse((at, number))) = self.waiting.peek().copied() {
            if at > end {
                break;
            }
            self.waiting.pop();
            self.clock.advance(at - self.now);
            self.now = at;
            if let Some(call) = self.calls[number as usize].take() {
                call.picked.observe(call.took);
            }
            if self.waiting.len() < callers {
                self.call(&mut counts);
            }
        }
        self.clock.advance(end - self.now);
        self.now = end;
        let all: u32 = counts.iter().sum();
        counts
            .iter()
            .map(|count| f64::from(*count) / f64::from(all))
            .collect()
    }

    fn call(&mut self, counts: &mut [u32]) {
        let picked = self.balancer.pick().unwrap();
        let index: usize = picked.node().node.id.as_str()[1..].parse().unwrap();
        counts[index] += 1;
        let took = match self.latencies[index] {
            // 10 % of noise either way.
            Some(latency) => latency.mul_f64(0.9 + 0.2 * fastrand::f64()),
            None => self.timeout,
        };
        self.waiting
            .push(Reverse((self.now + took, self.calls.len() as u64)));
        self.calls.push(Some(Call { picked, took }));
    }
}
