//! Zone preference with spill-over.

use super::{Group, Member};
use crate::ZonePreference;

/// Those in the zone, and the others, as far as they have a share.
pub(super) fn groups(
    members: &[Member<'_>],
    taking_part: Vec<usize>,
    preference: &ZonePreference,
) -> Vec<Group> {
    let is_local = |i: &usize| members[*i].node.zone.as_deref() == Some(&preference.zone);
    let (local, others): (Vec<usize>, Vec<usize>) = taking_part.into_iter().partition(is_local);
    let weight = |indexes: &mut dyn Iterator<Item = &usize>| -> u64 {
        indexes.map(|i| u64::from(members[*i].node.weight)).sum()
    };
    let all = weight(&mut local.iter());
    let able = weight(&mut local.iter().filter(|i| !members[**i].failed()));
    let kept = match (all, able) {
        // Not a number of times infinity.
        (0, _) | (_, 0) => 0.0,
        _ if others.is_empty() => 1.0,
        _ => (preference.overprovisioning.max(1.0) * able as f64 / all as f64).min(1.0),
    };
    let (local, others) = (
        Group {
            share: kept,
            members: local,
        },
        Group {
            share: 1.0 - kept,
            members: others,
        },
    );
    match kept {
        1.0 => vec![local],
        // Nothing is kept, but the failed ones stay wanted: they may come back.
        _ => vec![local, others],
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Plan, tests};
    use crate::{BalancerConfig, Health, ZonePreference};
    use braid_core::Node;

    /// Ten nodes in zone a, five in b.
    fn nodes() -> Vec<Node> {
        let mut nodes = tests::nodes((0..15).map(|i| format!("n{i:02}")));
        for (index, node) in nodes.iter_mut().enumerate() {
            node.zone = Some(if index < 10 { "a" } else { "b" }.into());
        }
        nodes
    }

    fn plan(nodes: &[Node], healths: &[(usize, Health)]) -> Plan {
        let mut members = tests::members(nodes);
        for (index, health) in healths {
            members[*index].health = *health;
        }
        let config = BalancerConfig {
            zone: Some(ZonePreference::new("a")),
            ..BalancerConfig::default()
        };
        Plan::new(&members, &config)
    }

    fn local_share(plan: &Plan) -> f64 {
        let sum = |all: bool| -> f64 {
            let pairs = plan.ready.iter().zip(&plan.weights);
            let pairs = pairs.filter(|(index, _)| all || **index < 10);
            pairs.map(|(_, weight)| f64::from(*weight)).sum()
        };
        sum(false) / sum(true)
    }

    fn failed(count: usize) -> Vec<(usize, Health)> {
        (0..count).map(|index| (index, Health::Failed)).collect()
    }

    #[test]
    fn calls_stay_in_the_zone_while_it_can_carry_them() {
        let nodes = nodes();
        let all: Vec<_> = (0..10).collect();
        let plan_all = plan(&nodes, &[]);
        assert_eq!(plan_all.wanted, all);
        assert_eq!(plan_all.weights, [1; 10]);
        // 1.4 · 8 / 10 is more than 1.
        let plan = plan(&nodes, &failed(2));
        assert_eq!((plan.ready.len(), plan.wanted), (8, all));
    }

    #[test]
    fn what_the_zone_cannot_carry_spills_over() {
        let nodes = nodes();
        for count in 3..10 {
            let plan = plan(&nodes, &failed(count));
            let kept = 1.4 * (10 - count) as f64 / 10.0;
            assert!((local_share(&plan) - kept).abs() < 1e-4, "{count} failed");
            assert_eq!(plan.wanted.len(), 15);
        }
        assert_eq!(plan(&nodes, &failed(10)).weights, [1; 5]);
    }

    #[test]
    fn a_node_that_is_not_known_yet_has_not_failed() {
        let nodes = nodes();
        let pending: Vec<_> = (0..9).map(|index| (index, Health::Pending)).collect();
        let plan = plan(&nodes, &pending);
        assert_eq!((plan.ready, plan.wanted.len()), (vec![9], 10));
    }

    #[test]
    fn a_zone_without_nodes_takes_no_calls() {
        let mut nodes = nodes();
        for node in &mut nodes {
            node.zone = None;
        }
        assert_eq!(plan(&nodes, &[]).weights, [1; 15]);
    }
}
