//! The table: what takes part, what is reachable by name, what stays over changes.

use braid_balancer::{Balancer, Candidates, Endpoint, Picker, Policy, SmoothWeighted, Weighted};
use braid_core::{Node, NodeId, NodeRef, NodeState, ServiceName, Uid, Update};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

fn who(id: &str, uid: &str) -> NodeRef {
    NodeRef::new(NodeId::new(id).unwrap(), Uid::new(uid).unwrap())
}

fn node(id: &str, uid: &str, port: u16) -> Node {
    let service = ServiceName::new("s").unwrap();
    Node::new(service, who(id, uid), ([127, 0, 0, 1], port).into())
}

struct Number(usize);

impl Endpoint for Number {}

/// A balancer whose entries own the number of their making.
struct Numbered {
    balancer: Balancer<Number>,
    made: AtomicUsize,
}

impl Numbered {
    fn new(nodes: &[Node]) -> Self {
        let numbered = Self {
            balancer: Balancer::new(SmoothWeighted::new()),
            made: AtomicUsize::new(0),
        };
        numbered.reset(nodes);
        numbered
    }

    fn apply(&self, update: Update) {
        self.balancer
            .apply([update], |_| Number(self.made.fetch_add(1, Relaxed)));
    }

    fn reset(&self, nodes: &[Node]) {
        self.apply(Update::Reset(nodes.iter().cloned().map(Arc::new).collect()));
    }

    fn upsert(&self, node: Node) {
        self.apply(Update::Upsert(Arc::new(node)));
    }

    fn number(&self, id: &str) -> Option<usize> {
        let id = NodeId::new(id).unwrap();
        self.balancer.by_id(&id).map(|picked| picked.owned().0)
    }

    fn picks(&self, count: usize) -> Vec<String> {
        (0..count)
            .filter_map(|_| self.balancer.pick())
            .map(|picked| picked.node().node.id.to_string())
            .collect()
    }
}

#[test]
fn only_ready_nodes_with_a_weight_are_picked_and_all_are_reachable_by_name() {
    let nodes = [
        node("a", "1", 1),
        node("b", "1", 2).with_state(NodeState::NotReady),
        node("c", "1", 3).with_state(NodeState::Draining),
        node("d", "1", 4).with_weight(0),
    ];
    let table = Numbered::new(&nodes);
    assert_eq!(table.picks(3), ["a", "a", "a"]);
    for node in &nodes {
        let found = table.balancer.by_node(&node.node).unwrap();
        assert_eq!(**found.node(), *node);
        assert!(table.balancer.by_id(&node.node.id).is_some());
    }
    assert!(table.balancer.by_node(&who("a", "2")).is_none());
    assert!(table.balancer.by_id(&NodeId::new("e").unwrap()).is_none());
}

#[test]
fn what_an_entry_owns_stays_while_uid_and_address_do() {
    let table = Numbered::new(&[node("a", "1", 1), node("b", "1", 2)]);
    let of = |id| table.number(id);
    assert_eq!((of("a"), of("b")), (Some(0), Some(1)));

    table.upsert(node("a", "1", 1).with_weight(7));
    table.reset(&[
        node("a", "1", 1).with_state(NodeState::Draining),
        node("b", "1", 2),
    ]);
    assert_eq!((of("a"), of("b")), (Some(0), Some(1)));

    table.upsert(node("b", "1", 3));
    assert_eq!(of("b"), Some(2), "another address");
    table.apply(Update::Remove(who("a", "1")));
    assert_eq!(of("a"), None);
    table.upsert(node("a", "2", 1));
    assert_eq!(of("a"), Some(3), "another life");
}

#[test]
fn load_counts_picks_that_are_alive_over_changes_of_the_table() {
    let table = Numbered::new(&[node("a", "1", 1)]);
    let first = table.balancer.pick().unwrap();
    table.upsert(node("a", "1", 1).with_weight(9));
    let second = table.balancer.pick().unwrap();
    assert_eq!((first.in_flight(), second.in_flight()), (2, 2));
    drop(first);
    assert_eq!(table.balancer.table().entries()[0].in_flight(), 1);
    drop(second);
    assert_eq!(table.balancer.table().entries()[0].in_flight(), 0);
}

#[test]
fn a_pick_learns_that_its_node_has_left() {
    let table = Numbered::new(&[node("a", "1", 1), node("b", "1", 2), node("c", "1", 3)]);
    let pick = |id: &str| table.balancer.by_node(&who(id, "1")).unwrap();
    let (a, b, c) = (pick("a"), pick("b"), pick("c"));
    table.reset(&[node("b", "1", 20), node("c", "1", 3).with_weight(2)]);
    assert!(!a.is_present(), "gone");
    assert!(!b.is_present(), "moved");
    assert!(c.is_present(), "only its weight has changed");
}

#[test]
fn of_two_lives_the_one_that_takes_calls_is_found_by_id() {
    let table = Numbered::new(&[
        node("a", "1", 1).with_state(NodeState::Draining),
        node("a", "2", 1),
        node("a", "3", 1).with_state(NodeState::NotReady),
    ]);
    let found = table.balancer.by_id(&NodeId::new("a").unwrap()).unwrap();
    assert_eq!(found.node().node.uid.as_str(), "2");
}

#[test]
fn several_updates_make_one_table() {
    let table = Numbered::new(&[]);
    let updates = [
        Update::Upsert(Arc::new(node("a", "1", 1))),
        Update::Upsert(Arc::new(node("b", "1", 2))),
        Update::Remove(who("a", "1")),
    ];
    table.balancer.apply(updates, |_| Number(0));
    assert_eq!(table.picks(2), ["b", "b"]);
}

/// What a user may bring: the node with the fewest calls in flight.
#[derive(Debug)]
struct LeastLoaded;

impl Policy for LeastLoaded {
    fn picker(&self, _: &[Weighted<'_>]) -> Box<dyn Picker> {
        Box::new(Self)
    }
}

impl Picker for LeastLoaded {
    fn pick(&self, candidates: &Candidates<'_>) -> Option<usize> {
        (0..candidates.len()).min_by_key(|index| candidates.in_flight(*index))
    }
}

#[test]
fn a_policy_is_swapped_while_calls_are_in_flight() {
    let table = Numbered::new(&[node("a", "1", 1), node("b", "1", 2)]);
    let busy = table.balancer.pick().unwrap();
    assert_eq!(busy.node().node.id.as_str(), "a");
    table.balancer.set_policy(LeastLoaded);
    assert_eq!(table.picks(3), ["b", "b", "b"]);
    drop(busy);
    assert_eq!(table.picks(1), ["a"]);
    table.balancer.set_policy(SmoothWeighted::new());
    assert_eq!(table.picks(3), ["a", "b", "a"]);
}
