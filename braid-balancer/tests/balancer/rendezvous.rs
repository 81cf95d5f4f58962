//! Rendezvous hashing: the same key to the same node, and little movement.

use crate::support::{id, node, reset, who};
use braid_balancer::{Balancer, Rendezvous};
use braid_core::Node;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn balancer(nodes: &[Node]) -> Balancer<()> {
    let balancer = Balancer::new(Rendezvous::new());
    balancer.apply([reset(nodes.iter().cloned())], |_| ());
    balancer
}

/// Where each of so many keys goes.
fn homes(nodes: &[Node], keys: usize) -> Vec<String> {
    let balancer = balancer(nodes);
    (0..keys)
        .map(|key| id(&balancer.pick_for(&format!("user-{key}")).unwrap()))
        .collect()
}

fn fleet(weights: &[u32]) -> Vec<Node> {
    let nodes = weights.iter().enumerate();
    nodes
        .map(|(i, weight)| node(&format!("n{i}")).with_weight(*weight))
        .collect()
}

/// Clients of other versions and languages have to agree with this.
#[test]
fn keys_go_where_they_always_went() {
    let homes = homes(&fleet(&[1, 1, 1, 5]), 16);
    assert_eq!(
        homes.join(" "),
        "n3 n3 n3 n3 n2 n3 n3 n2 n0 n3 n3 n3 n0 n1 n3 n3"
    );
}

#[test]
fn keys_are_spread_by_weight() {
    let weights = [5, 3, 1, 1];
    let mut counts = BTreeMap::<String, u32>::new();
    for home in homes(&fleet(&weights), 20_000) {
        *counts.entry(home).or_default() += 1;
    }
    for (count, weight) in counts.values().zip(weights) {
        let off = f64::from(*count) / (2_000.0 * f64::from(weight)) - 1.0;
        assert!(off.abs() < 0.1, "{counts:?}");
    }
}

#[test]
fn a_restarted_node_keeps_its_keys() {
    let before = fleet(&[1, 1, 1]);
    let mut after = before.clone();
    after[1].node = who("n1", "2");
    assert_eq!(homes(&before, 200), homes(&after, 200));
}

#[test]
fn picks_without_a_key_are_by_weight() {
    fastrand::seed(3);
    let balancer = balancer(&fleet(&[3, 1]));
    let counts = crate::support::counts(&balancer, 10_000);
    let off = counts["n0"] as f64 / 7_500.0 - 1.0;
    assert!(off.abs() < 0.05, "{counts:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn keys_move_only_from_a_node_that_goes_or_to_one_that_comes(
        weights in prop::collection::vec(1..10_u32, 2..12), gone in any::<prop::sample::Index>(),
    ) {
        let with = fleet(&weights);
        let mut without = with.clone();
        let gone = without.remove(gone.index(weights.len())).node.id.to_string();
        // Seen from the one side it goes, from the other it comes.
        for (with, without) in homes(&with, 300).into_iter().zip(homes(&without, 300)) {
            prop_assert!(with == without || with == gone, "{with} -> {without}");
        }
    }

    #[test]
    fn a_change_of_weight_moves_keys_of_that_node_only(
        weights in prop::collection::vec(1..10_u32, 2..12), which in any::<prop::sample::Index>(),
    ) {
        let before = fleet(&weights);
        let mut after = before.clone();
        let changed = &mut after[which.index(weights.len())];
        changed.weight += 3;
        let changed = changed.node.id.to_string();
        for (before, after) in homes(&before, 300).into_iter().zip(homes(&after, 300)) {
            prop_assert!(before == after || after == changed, "{before} -> {after}");
        }
    }
}
