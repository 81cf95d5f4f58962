//! Calls in flight: picks that are alive count, and nothing else does.

use crate::support::{node, reset};
use braid_balancer::{Balancer, Candidates, Picker, Policy, Weighted};
use braid_core::Update;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Picks the first node, and tells how many calls it saw in flight there.
#[derive(Clone, Debug, Default)]
struct First(Arc<AtomicUsize>);

impl Policy for First {
    fn picker(&self, _: &[Weighted<'_>]) -> Box<dyn Picker> {
        Box::new(self.clone())
    }
}

impl Picker for First {
    fn pick(&self, candidates: &Candidates<'_>) -> Option<usize> {
        self.0.store(candidates.in_flight(0), Relaxed);
        Some(0)
    }
}

fn upsert(balancer: &Balancer<()>, weight: u32) {
    let node = node("a").with_weight(weight);
    balancer.apply([Update::Upsert(Arc::new(node))], |_| ());
}

#[test]
fn picks_of_all_former_descriptions_are_load_for_everybody() {
    let policy = First::default();
    let balancer = Balancer::<()>::new(policy.clone());
    let mut alive = Vec::new();
    for weight in 1..=5 {
        upsert(&balancer, weight);
        for _ in 0..3 {
            let before = alive.len();
            alive.push(balancer.pick().unwrap());
            assert_eq!(policy.0.load(Relaxed), before, "what the policy sees");
        }
    }
    // The oldest and the newest last.
    alive.swap(0, 8);
    while let Some(last) = alive.last() {
        let count = alive.len();
        assert_eq!(last.in_flight(), count);
        assert_eq!(alive[0].in_flight(), count);
        assert_eq!(balancer.table().entries()[0].in_flight(), count);
        drop(balancer.pick());
        assert_eq!(policy.0.load(Relaxed), count);
        alive.pop();
    }
    assert_eq!(balancer.table().entries()[0].in_flight(), 0);
    drop(balancer.pick());
    assert_eq!(policy.0.load(Relaxed), 0);
}

#[test]
fn tables_and_entries_that_are_kept_are_no_load() {
    let policy = First::default();
    let balancer = Balancer::<()>::new(policy.clone());
    let mut kept = Vec::new();
    for weight in [1, 1, 2, 3, 3] {
        upsert(&balancer, weight);
        balancer.set_policy(policy.clone());
        let table = balancer.table();
        kept.push((Arc::clone(&table.entries()[0]), table));
        let picked = balancer.pick().unwrap();
        assert_eq!(policy.0.load(Relaxed), 0);
        for (entry, table) in &kept {
            assert_eq!((entry.in_flight(), picked.in_flight()), (1, 1));
            assert_eq!(table.ready()[0].in_flight(), 1);
        }
    }
    assert!(kept.iter().all(|(entry, _)| entry.in_flight() == 0));
}

#[test]
fn picks_of_a_node_that_has_left_count_on() {
    let balancer = Balancer::<()>::new(First::default());
    balancer.apply([reset([node("a")])], |_| ());
    let first = balancer.pick().unwrap();
    upsert(&balancer, 2);
    let second = balancer.pick().unwrap();
    let entry = Arc::clone(&balancer.table().entries()[0]);
    balancer.apply([reset([])], |_| ());
    let counts = || (first.in_flight(), second.in_flight());
    assert_eq!((counts(), entry.in_flight()), ((2, 2), 2));
    drop(entry);
    assert_eq!(counts(), (2, 2));
    drop(second);
    assert_eq!(first.in_flight(), 1);
}

/// With a life of its own a node starts from nothing, whatever is in flight at the former one.
#[test]
fn another_life_is_another_load() {
    let balancer = Balancer::<()>::new(First::default());
    balancer.apply([reset([node("a")])], |_| ());
    let former = balancer.pick().unwrap();
    balancer.apply([reset([])], |_| ());
    balancer.apply([reset([node("a")])], |_| ());
    let present = [balancer.pick().unwrap(), balancer.pick().unwrap()];
    assert_eq!((former.in_flight(), present[0].in_flight()), (1, 2));
}
