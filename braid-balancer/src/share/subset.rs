//! Deterministic subsets.

use super::Member;
use crate::{Subset, hash};
use std::cmp::Reverse;

/// Leaves the first of the nodes, in the order that this client has for them, up to where enough haven't failed.
pub(super) fn reduce(members: &[Member<'_>], indexes: &mut Vec<usize>, subset: &Subset) {
    let client = hash::stable(subset.client.as_bytes());
    indexes.sort_by_cached_key(|index| {
        let id = &members[*index].node.node.id;
        let rank = hash::pair(client, hash::stable(id.as_str().as_bytes()));
        // Two lives of a node have the same rank.
        (Reverse(rank), *index)
    });
    let mut lacking = subset.size.max(1);
    let enough = indexes.iter().position(|index| {
        lacking -= usize::from(!members[*index].failed());
        lacking == 0
    });
    if let Some(last) = enough {
        indexes.truncate(last + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Plan, tests};
    use crate::{BalancerConfig, Health, Subset};
    use braid_core::{Node, NodeId};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn chosen(nodes: &[Node], failed: &BTreeSet<NodeId>, client: &str) -> BTreeSet<NodeId> {
        let mut members = tests::members(nodes);
        for member in &mut members {
            if failed.contains(&member.node.node.id) {
                member.health = Health::Failed;
            }
        }
        let subset = Subset {
            client: client.into(),
            size: 5,
        };
        let config = BalancerConfig {
            subset: Some(subset),
            ..BalancerConfig::default()
        };
        let plan = Plan::new(&members, &config);
        let id = |index: usize| nodes[index].node.id.clone();
        plan.wanted.into_iter().map(id).collect()
    }

    fn numbered(count: usize) -> Vec<Node> {
        tests::nodes((0..count).map(|i| format!("n{i}")))
    }

    #[test]
    fn nodes_get_about_the_same_number_of_clients() {
        let nodes = numbered(50);
        let mut clients = BTreeMap::<NodeId, u32>::new();
        for client in 0..2_000 {
            for node in chosen(&nodes, &BTreeSet::new(), &format!("client-{client}")) {
                *clients.entry(node).or_default() += 1;
            }
        }
        assert_eq!(clients.values().sum::<u32>(), 10_000);
        // 200 each; the standard deviation is 13.
        assert!(clients.values().all(|count| (150..250).contains(count)));
    }

    #[test]
    fn a_failed_node_is_stood_in_for_and_stays_wanted() {
        let nodes = numbered(50);
        let before = chosen(&nodes, &BTreeSet::new(), "c");
        let failed: BTreeSet<_> = before.iter().take(2).cloned().collect();
        let after = chosen(&nodes, &failed, "c");
        assert_eq!(after.len(), 7);
        assert!(after.is_superset(&before));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_node_that_comes_or_goes_changes_one_place_at_most(
            count in 2..60_usize, gone in any::<prop::sample::Index>(), client in "[a-z]{1,8}",
        ) {
            let mut nodes = numbered(count);
            let with = chosen(&nodes, &BTreeSet::new(), &client);
            prop_assert_eq!(with.len(), count.min(5));
            let gone = nodes.remove(gone.index(count)).node.id;
            let without = chosen(&nodes, &BTreeSet::new(), &client);
            let left: Vec<_> = with.difference(&without).collect();
            if with.contains(&gone) {
                prop_assert_eq!(left, [&gone]);
            } else {
                prop_assert_eq!(with, without);
            }
        }
    }
}
