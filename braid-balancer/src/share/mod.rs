//! What comes before the policy: which nodes take part, which of them may be picked, and with what weights.

mod slow_start;
mod subset;
mod zone;

pub(crate) use self::slow_start::Warmup;

use crate::{BalancerConfig, Health};
use braid_core::{Node, NodeState};

/// What is known of one node when a table is built.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member<'a> {
    pub(crate) node: &'a Node,
    pub(crate) health: Health,
    pub(crate) drained: bool,
    /// How much of its weight counts, in percent: less than 100 while it warms up.
    pub(crate) percent: u32,
}

/// Who is chosen. Indexes go by the members' order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) wanted: Vec<usize>,
    pub(crate) ready: Vec<usize>,
    /// Of those that are ready.
    pub(crate) weights: Vec<u32>,
}

impl Member<'_> {
    pub(crate) fn takes_part(&self) -> bool {
        self.node.state == NodeState::Ready && self.node.weight > 0 && !self.drained
    }

    fn failed(&self) -> bool {
        self.health == Health::Failed
    }

    fn weight(&self) -> u64 {
        u64::from(self.node.weight) * u64::from(self.percent)
    }
}

/// Nodes that share a part of the calls among them.
#[derive(Debug)]
struct Group {
    share: f64,
    members: Vec<usize>,
}

impl Plan {
    pub(crate) fn new(members: &[Member<'_>], config: &BalancerConfig) -> Self {
        let taking_part = (0..members.len())
            .filter(|index| members[*index].takes_part())
            .collect();
        let mut groups = match &config.zone {
            Some(zone) => zone::groups(members, taking_part, zone),
            None => vec![Group {
                share: 1.0,
                members: taking_part,
            }],
        };
        if let Some(subset) = &config.subset {
            for group in &mut groups {
                subset::reduce(members, &mut group.members, subset);
            }
        }
        let mut wanted: Vec<usize> = groups
            .iter()
            .flat_map(|group| &group.members)
            .copied()
            .collect();
        wanted.sort_unstable();
        for group in &mut groups {
            group
                .members
                .retain(|index| members[*index].health == Health::Ready);
        }
        groups.retain(|group| !group.members.is_empty());
        let mut ready: Vec<(usize, u32)> = match &groups[..] {
            [] => Vec::new(),
            [group] => alone(members, group),
            groups => apportioned(members, groups),
        };
        ready.sort_unstable();
        let (ready, weights) = ready.into_iter().unzip();
        Self {
            wanted,
            ready,
            weights,
        }
    }
}

/// Exactly the nodes' own weights, as long as none of them warms up: policies are exact in them.
fn alone(members: &[Member<'_>], group: &Group) -> Vec<(usize, u32)> {
    let indexes = group.members.iter().copied();
    if group.members.iter().all(|i| members[*i].percent == 100) {
        return indexes.map(|i| (i, members[i].node.weight)).collect();
    }
    let largest = indexes.clone().map(|i| members[i].weight()).max();
    let mut shift = 0;
    while largest.unwrap_or_default() >> shift > u64::from(u32::MAX) {
        shift += 1;
    }
    let scaled = |i: usize| u32::try_from(members[i].weight() >> shift).unwrap_or(u32::MAX);
    indexes.map(|i| (i, scaled(i).max(1))).collect()
}

/// Each group gets its share, within it each node by its weight.
fn apportioned(members: &[Member<'_>], groups: &[Group]) -> Vec<(usize, u32)> {
    let parts = groups.iter().flat_map(|group| {
        let sum: u64 = group.members.iter().map(|i| members[*i].weight()).sum();
        let share = move |i: &usize| (*i, group.share * members[*i].weight() as f64 / sum as f64);
        group.members.iter().map(share)
    });
    let largest = parts.clone().map(|(_, part)| part).fold(0.0, f64::max);
    // Fine enough for a thousandth of a thousandth; policies reduce what they can't use.
    let scale = 1e6 / largest;
    parts
        .map(|(index, part)| (index, ((part * scale).round() as u32).max(1)))
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use braid_core::{NodeId, NodeRef, ServiceName, Uid};

    pub(crate) fn nodes(names: impl IntoIterator<Item = String>) -> Vec<Node> {
        let service = ServiceName::new("s").unwrap();
        names
            .into_iter()
            .map(|name| {
                let node = NodeRef::new(NodeId::new(name).unwrap(), Uid::new("u").unwrap());
                Node::new(service.clone(), node, ([127, 0, 0, 1], 1).into())
            })
            .collect()
    }

    pub(crate) fn members(nodes: &[Node]) -> Vec<Member<'_>> {
        nodes
            .iter()
            .map(|node| Member {
                node,
                health: Health::Ready,
                drained: false,
                percent: 100,
            })
            .collect()
    }

    #[test]
    fn weights_are_the_nodes_own_unless_one_warms_up() {
        let mut nodes = nodes((0..3).map(|i| format!("n{i}")));
        nodes[0].weight = 5;
        nodes[2].weight = 3;
        let mut members = members(&nodes);
        let config = BalancerConfig::default();
        assert_eq!(Plan::new(&members, &config).weights, [5, 1, 3]);
        members[2].percent = 10;
        assert_eq!(Plan::new(&members, &config).weights, [500, 100, 30]);
        nodes[0].weight = u32::MAX;
        let mut members = self::members(&nodes);
        members[1].percent = 10;
        let weights = Plan::new(&members, &config).weights;
        assert!(weights[0] > u32::MAX / 2 && weights[1] == 1, "{weights:?}");
    }

    #[test]
    fn without_anyone_ready_there_is_nobody_to_pick_but_all_are_wanted() {
        let nodes = nodes((0..3).map(|i| format!("n{i}")));
        let mut members = members(&nodes);
        members[0].health = Health::Failed;
        members[1].health = Health::Pending;
        members[2].drained = true;
        let plan = Plan::new(&members, &BalancerConfig::default());
        assert_eq!((plan.wanted, plan.ready), (vec![0, 1], vec![]));
    }
}
