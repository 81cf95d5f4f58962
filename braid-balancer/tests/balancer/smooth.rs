//! Smooth weighted round-robin: nginx's sequence, and fair over changes of the table.

use braid_balancer::{Balancer, SmoothWeighted};
use braid_core::{Node, NodeId, NodeRef, ServiceName, Uid, Update};
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    sync::{Arc, Barrier},
};

fn node(index: usize, weight: u32) -> Arc<Node> {
    // Names whose order is the order of their numbers.
    let id = NodeId::new(format!("n{index:05}")).unwrap();
    let who = NodeRef::new(id, Uid::new("u").unwrap());
    let service = ServiceName::new("s").unwrap();
    Arc::new(Node::new(service, who, ([127, 0, 0, 1], 1).into()).with_weight(weight))
}

fn reset(weights: &[u32]) -> Update {
    let nodes = (0..)
        .zip(weights)
        .map(|(index, weight)| node(index, *weight));
    Update::Reset(nodes.collect())
}

fn pick(balancer: &Balancer<()>) -> Option<usize> {
    let picked = balancer.pick()?;
    picked.node().node.id.as_str()[1..].parse().ok()
}

/// nginx's algorithm as it is written down, for all that it costs.
struct Nginx {
    weights: Vec<i64>,
    current: Vec<i64>,
}

impl Nginx {
    fn new(weights: &[u32]) -> Self {
        Self {
            weights: weights.iter().map(|w| i64::from(*w)).collect(),
            current: vec![0; weights.len()],
        }
    }

    fn pick(&mut self) -> Option<usize> {
        let mut best = None;
        for i in 0..self.weights.len() {
            self.current[i] += self.weights[i];
            if self.weights[i] > 0 && best.is_none_or(|b| self.current[i] > self.current[b]) {
                best = Some(i);
            }
        }
        self.current[best?] -= self.weights.iter().sum::<i64>();
        best
    }
}

#[test]
fn the_documented_example_of_nginx_comes_out() {
    let balancer = Balancer::new(SmoothWeighted::new());
    balancer.apply([reset(&[5, 1, 1])], |_| ());
    let picks: Vec<_> = (0..14).map_while(|_| pick(&balancer)).collect();
    assert_eq!(picks, [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
}

#[test]
fn nobody_is_picked_when_nobody_has_a_weight() {
    let balancer = Balancer::new(SmoothWeighted::new());
    assert_eq!(pick(&balancer), None);
    balancer.apply([reset(&[0, 0])], |_| ());
    assert_eq!(pick(&balancer), None);
}

#[test]
fn the_same_weights_go_on_in_phase() {
    let balancer = Balancer::new(SmoothWeighted::new());
    let mut nginx = Nginx::new(&[5, 3, 1]);
    for _ in 0..100 {
        // The same view, then one that is the same to the policy: all weights doubled.
        balancer.apply([reset(&[5, 3, 1])], |_| ());
        assert_eq!(pick(&balancer), nginx.pick());
        balancer.apply([reset(&[10, 6, 2])], |_| ());
        assert_eq!(pick(&balancer), nginx.pick());
    }
}

#[test]
fn concurrent_picks_share_one_sequence() {
    let balancer = Balancer::new(SmoothWeighted::new());
    balancer.apply([reset(&[5, 3, 1])], |_| ());
    let start = Barrier::new(4);
    let counts = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut counts = [0; 3];
                    start.wait();
                    for _ in 0..90_000 {
                        counts[pick(&balancer).unwrap()] += 1;
                    }
                    counts
                })
            })
            .collect();
        threads.into_iter().fold([0; 3], |mut sum, thread| {
            for (sum, count) in sum.iter_mut().zip(thread.join().unwrap()) {
                *sum += count;
            }
            sum
        })
    });
    assert_eq!(counts, [200_000, 120_000, 40_000]);
}

#[test]
fn whole_periods_leave_nothing_to_hand_over() {
    let next = |picks: usize| -> Vec<_> {
        let balancer = Balancer::new(SmoothWeighted::new());
        balancer.apply([reset(&[5, 3, 1])], |_| ());
        for _ in 0..picks {
            pick(&balancer);
        }
        balancer.apply([reset(&[1, 3, 7])], |_| ());
        (0..22).map(|_| pick(&balancer)).collect()
    };
    for place in 0..9 {
        for periods in [1, 57, 113, 114, 400] {
            assert_eq!(next(place), next(place + 9 * periods), "{place}, {periods}");
        }
    }
}

/// What nodes got and what they should have got, over many tables.
#[derive(Default)]
struct Shares(BTreeMap<usize, (f64, f64)>);

impl Shares {
    fn count(&mut self, weights: &[u32], picked: Option<usize>) {
        let sum: f64 = weights.iter().map(|w| f64::from(*w)).sum();
        for (index, weight) in weights.iter().enumerate() {
            let (got, due) = self.0.entry(index).or_default();
            *due += if sum > 0.0 {
                f64::from(*weight) / sum
            } else {
                0.0
            };
            *got += f64::from(u8::from(picked == Some(index)));
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        for (index, (got, due)) in &self.0 {
            // 4: what a few picks can't be divided into.
            prop_assert!(*got <= 2.0 * due + 4.0, "node {index} got {got} of {due}");
        }
        Ok(())
    }
}

/// Whoever changes the tables so as to have one node picked all the time gets no further than twice its share.
#[test]
fn an_adversary_gets_no_node_beyond_twice_its_share() {
    // Node 2 is the first, the second, the third to be picked in these.
    let tables: [&[u32]; 3] = [&[0, 0, 1, 1, 1], &[0, 1, 1, 1, 0], &[1, 1, 1, 0, 0]];
    let balancer = Balancer::new(SmoothWeighted::new());
    let mut shares = Shares::default();
    for weights in tables.iter().cycle().take(3_000) {
        balancer.apply([reset(weights)], |_| ());
        shares.count(weights, pick(&balancer));
    }
    shares.check().unwrap();
}

fn weights() -> impl Strategy<Value = Vec<u32>> {
    prop_oneof![
        prop::collection::vec(0..10_u32, 0..12),
        prop::collection::vec(0..1_000_u32, 0..8),
        prop::collection::vec(prop::sample::select(vec![0, 1, 2, 50, 900]), 0..10),
    ]
}

/// Up to 60 weights that add up to the longest period at most.
fn long_periods() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(1..4_000_u32, 1..60).prop_map(|mut weights| {
        let mut left = SmoothWeighted::MAX_PERIOD;
        for weight in &mut weights {
            *weight = (*weight).min(left);
            left -= *weight;
        }
        weights
    })
}

fn check_a_period(weights: &[u32]) -> Result<(), TestCaseError> {
    let balancer = Balancer::new(SmoothWeighted::new());
    balancer.apply([reset(weights)], |_| ());
    let mut nginx = Nginx::new(weights);
    let sum: u32 = weights.iter().sum();
    // And into the next one.
    for step in 0..sum + 10 {
        let (ours, nginx) = (pick(&balancer), nginx.pick());
        // Comparing what is equal costs more than the picks do.
        if ours != nginx {
            prop_assert_eq!(ours, nginx, "step {} of {:?}", step, weights);
        }
    }
    Ok(())
}

#[test]
fn the_longest_period_is_exact() {
    for weights in [
        &[65_535, 1][..],
        &[1; 300],
        &[30_000, 30_000, 5_536],
        &[20_001, 3, 45_532],
    ] {
        check_a_period(weights).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whole_periods_are_those_of_nginx(weights in long_periods()) {
        check_a_period(&weights)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn steady_weights_give_the_sequence_of_nginx(weights in weights()) {
        let balancer = Balancer::new(SmoothWeighted::new());
        balancer.apply([reset(&weights)], |_| ());
        let mut nginx = Nginx::new(&weights);
        for step in 0..2_000 {
            prop_assert_eq!(pick(&balancer), nginx.pick(), "step {}", step);
        }
    }

    #[test]
    fn over_rebuilds_no_node_gets_more_than_twice_its_share(
        tables in prop::collection::vec((weights(), 1..6_usize), 1..100),
    ) {
        let balancer = Balancer::new(SmoothWeighted::new());
        let mut shares = Shares::default();
        for (weights, picks) in tables {
            balancer.apply([reset(&weights)], |_| ());
            for _ in 0..picks {
                shares.count(&weights, pick(&balancer));
            }
        }
        shares.check()?;
    }
}
