//! Policies that draw: weighted random, and least request.

use crate::{
    simulation::Simulation,
    support::{counts, id, node, weighted},
};
use braid_balancer::{Balancer, LeastRequest, Policy, WeightedRandom};
use proptest::prelude::*;
use std::time::Duration;

const FAST: Duration = Duration::from_millis(20);

fn balancer(policy: impl Policy, weights: &[u32]) -> Balancer<()> {
    fastrand::seed(9);
    let balancer = Balancer::new(policy);
    balancer.apply([weighted(weights)], |_| ());
    balancer
}

/// What each node got, relative to its weight's share.
fn relative(weights: &[u32], got: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let sum: f64 = weights.iter().map(|w| f64::from(*w)).sum();
    let due = weights.iter().map(|w| f64::from(*w) / sum);
    got.into_iter()
        .zip(due)
        .map(|(got, due)| got / due)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_picks_are_by_weight(weights in prop::collection::vec(1..100_u32, 1..20)) {
        const PICKS: u32 = 100_000;
        let balancer = balancer(WeightedRandom::new(), &weights);
        let counts = counts(&balancer, PICKS as usize);
        let sum: f64 = weights.iter().map(|w| f64::from(*w)).sum();
        for (index, weight) in weights.iter().enumerate() {
            let share = f64::from(*weight) / sum;
            let due = share * f64::from(PICKS);
            let got = counts.get(&format!("n{index:04}")).copied().unwrap_or_default();
            // Six standard deviations: at five one run in thousands would fail by chance.
            let bound = 6.0 * (due * (1.0 - share)).sqrt() + 1.0;
            prop_assert!((got as f64 - due).abs() <= bound, "node {index}: {got} of {due}");
        }
    }
}

#[test]
fn random_picks_repeat_with_their_seed() {
    let picks = || -> Vec<_> {
        let balancer = balancer(WeightedRandom::new(), &[5, 3, 1]);
        (0..50)
            .filter_map(|_| balancer.pick())
            .map(|p| id(&p))
            .collect()
    };
    assert_eq!(picks(), picks());
}

#[test]
fn one_node_gets_every_draw_and_none_gets_none() {
    for policy in [
        Box::new(WeightedRandom::new()) as Box<dyn Policy>,
        Box::new(LeastRequest::new()),
    ] {
        let balancer = balancer(policy, &[]);
        assert!(balancer.pick().is_none());
        balancer.apply([weighted(&[3])], |_| ());
        assert_eq!(
            counts(&balancer, 10).into_iter().collect::<Vec<_>>(),
            [("n0000".to_owned(), 10)]
        );
    }
}

#[test]
fn the_less_loaded_of_two_gets_the_call() {
    let balancer = balancer(LeastRequest::new(), &[1, 1]);
    let held = balancer.by_id(&node("n0000").node.id);
    for _ in 0..50 {
        assert_eq!(id(&balancer.pick().unwrap()), "n0001");
    }
    drop(held);
}

#[test]
fn load_counts_by_weight() {
    let balancer = balancer(LeastRequest::new(), &[4, 1]);
    let heavy = balancer.by_id(&node("n0000").node.id).unwrap();
    let light = balancer.by_id(&node("n0001").node.id).unwrap();
    // Two on weight 4 are less than one on weight 1.
    let held = (heavy, light, balancer.by_id(&node("n0000").node.id));
    for _ in 0..50 {
        assert_eq!(id(&balancer.pick().unwrap()), "n0000");
    }
    drop(held);
}

#[test]
fn least_request_gives_idle_and_busy_nodes_their_weights_shares() {
    for weights in [&[5, 3, 1][..], &[5, 1], &[1, 1, 1]] {
        for callers in [1, 4, 64] {
            let mut simulation = Simulation::new(LeastRequest::new(), weights, FAST);
            let shares = simulation.run(callers, Duration::from_secs(90));
            let off = relative(weights, shares);
            assert!(
                off.iter().all(|off| (off - 1.0).abs() < 0.4),
                "{weights:?}, {callers}: {off:?}"
            );
        }
    }
}

#[test]
fn least_request_leaves_a_slow_node_alone_while_it_is_busy() {
    let mut simulation = Simulation::new(LeastRequest::new().with_choices(3), &[1, 1, 1], FAST);
    simulation.latencies[0] = Some(Duration::from_millis(200));
    let shares = simulation.run(16, Duration::from_secs(60));
    assert!(shares[0] < 0.1, "{shares:?}");
}
