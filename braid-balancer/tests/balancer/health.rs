//! Who can be reached, and who is drained: what decides besides discovery.

use crate::support::{Switch, counts, id, ids, node, reset, set_health, weighted, who};
use braid_balancer::{Balancer, Endpoint, Health, SmoothWeighted};
use braid_core::{NodeId, NodeState, Update};
use std::sync::Arc;

fn balancer(nodes: &[&str], health: Health) -> Balancer<Switch> {
    let balancer = Balancer::new(SmoothWeighted::new());
    let nodes = nodes.iter().map(|id| node(id));
    balancer.apply([reset(nodes)], |_| Switch::new(health));
    balancer
}

fn picked<C: Endpoint>(balancer: &Balancer<C>) -> Vec<String> {
    counts(balancer, 60).into_keys().collect()
}

#[test]
fn only_reachable_nodes_are_picked_and_all_stay_wanted() {
    let balancer = balancer(&["a", "b", "c"], Health::Ready);
    set_health(&balancer, "a", Health::Failed);
    set_health(&balancer, "b", Health::Pending);
    assert_eq!(picked(&balancer), ["c"]);
    let table = balancer.table();
    assert_eq!(ids(table.wanted()), ["a", "b", "c"]);
    assert_eq!(ids(table.ready()), ["c"]);
    assert!(balancer.by_node(&who("a", "1")).is_some());

    set_health(&balancer, "a", Health::Ready);
    assert_eq!(picked(&balancer), ["a", "c"]);
}

#[test]
fn nobody_is_picked_while_nobody_can_be_reached() {
    let balancer = balancer(&["a", "b"], Health::Pending);
    assert!(balancer.pick().is_none());
    set_health(&balancer, "b", Health::Ready);
    assert_eq!(picked(&balancer), ["b"]);
}

#[test]
fn a_refresh_without_news_leaves_the_table_alone() {
    let balancer = balancer(&["a", "b"], Health::Ready);
    let before = balancer.table();
    balancer.refresh();
    assert!(Arc::ptr_eq(&before, &balancer.table()));
    set_health(&balancer, "a", Health::Failed);
    assert!(!Arc::ptr_eq(&before, &balancer.table()));
}

#[test]
fn a_drained_node_gets_no_balanced_calls_and_is_reached_by_name() {
    let balancer = balancer(&["a", "b"], Health::Ready);
    let a = NodeId::new("a").unwrap();
    assert!(balancer.drain(&a));
    assert!(!balancer.drain(&a), "it was drained already");
    assert_eq!(picked(&balancer), ["b"]);
    assert_eq!(ids(balancer.table().wanted()), ["b"]);
    let by_name = balancer.by_id(&a).unwrap();
    assert_eq!(id(&by_name), "a");
    assert!(by_name.is_drained() && balancer.table().is_drained(&a));

    assert!(balancer.undrain(&a));
    assert!(!balancer.undrain(&a), "it wasn't drained any more");
    assert_eq!(picked(&balancer), ["a", "b"]);
    assert!(!by_name.is_drained() && !balancer.table().is_drained(&a));
}

#[test]
fn a_drained_node_stays_drained_over_all_that_discovery_says() {
    let balancer = balancer(&["a", "b"], Health::Ready);
    let a = NodeId::new("a").unwrap();
    balancer.drain(&a);
    let apply = |update| balancer.apply([update], |_| Switch::default());
    let mut another_life = node("a");
    another_life.node = who("a", "2");
    for update in [
        reset([node("a"), node("b")]),
        Update::Upsert(Arc::new(node("a").with_weight(7))),
        Update::Upsert(Arc::new(another_life)),
        Update::Remove(who("a", "1")),
        reset([node("b")]),
        reset([node("a"), node("b")]),
    ] {
        apply(update);
        assert_eq!(picked(&balancer), ["b"]);
    }
    assert!(balancer.by_id(&a).unwrap().is_drained());
}

#[test]
fn a_node_that_is_not_there_yet_can_be_drained() {
    let balancer = Balancer::<()>::new(SmoothWeighted::new());
    let id = NodeId::new("n0001").unwrap();
    assert!(balancer.drain(&id));
    balancer.apply([weighted(&[1, 1])], |_| ());
    assert_eq!(picked(&balancer), ["n0000"]);
}

#[test]
fn nodes_that_do_not_take_part_are_not_wanted() {
    let balancer = Balancer::<()>::new(SmoothWeighted::new());
    let nodes = [
        node("a").with_state(NodeState::Draining),
        node("b").with_state(NodeState::NotReady),
        node("c").with_weight(0),
        node("d"),
    ];
    balancer.apply([reset(nodes)], |_| ());
    assert_eq!(ids(balancer.table().wanted()), ["d"]);
    assert_eq!(balancer.table().entries().len(), 4);
}
