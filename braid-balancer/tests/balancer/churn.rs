//! Tables that change while calls go on: nothing is lost, nothing stays behind.

use crate::support::{node, reset, who};
use braid_balancer::{Balancer, BalancerConfig, Endpoint, PolicyKind, SlowStart, Subset};
use braid_core::{NodeId, Update};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

/// Counts how many of its kind are alive.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Relaxed);
        Self(Arc::clone(alive))
    }
}

impl Endpoint for Counted {}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[test]
fn over_a_thousand_updates_nothing_of_former_nodes_stays() {
    let alive = Arc::new(AtomicUsize::new(0));
    for kind in PolicyKind::ALL {
        let balancer = Balancer::new(kind.build());
        let apply = |update| balancer.apply([update], |_| Counted::new(&alive));
        apply(reset((0..5).map(|i| node(&format!("n{i}")))));
        let held = balancer.pick().unwrap();
        let (picked, over) = (Barrier::new(2), Barrier::new(2));
        let (left, there) = std::thread::scope(|scope| {
            // A thread that has picked once, and is idle from then on.
            scope.spawn(|| {
                drop(balancer.pick());
                picked.wait();
                over.wait();
            });
            picked.wait();
            for update in 0..1_000 {
                match update % 4 {
                    0 => apply(Update::Upsert(Arc::new(node(&format!("n{}", update + 5))))),
                    1 => apply(Update::Remove(who(&format!("n{}", update - 1), "1"))),
                    2 => apply(reset((update..update + 5).map(|i| node(&format!("n{i}"))))),
                    _ => apply(Update::Upsert(Arc::new(
                        node(&format!("n{update}")).with_weight(update),
                    ))),
                }
            }
            // Judged when that thread has been let go, which a failure would leave waiting.
            let counts = (alive.load(Relaxed), balancer.table().entries().len());
            over.wait();
            counts
        });
        assert!(there <= 6);
        assert_eq!(left, there + 1, "{kind}: those there, and the one held");
        assert!(!held.is_present());
        drop(held);
        assert_eq!(alive.load(Relaxed), balancer.table().entries().len());
        drop(balancer);
        assert_eq!(alive.load(Relaxed), 0);
    }
}

#[test]
fn no_call_is_lost_count_of_while_tables_change() {
    for kind in PolicyKind::ALL {
        let balancer = Balancer::<()>::new(kind.build());
        let apply = |update| balancer.apply([update], |_| ());
        apply(reset((0..8).map(|i| node(&format!("n{i}")))));
        let over = AtomicBool::new(false);
        let mut seen = Vec::new();
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let (balancer, over) = (&balancer, &over);
                scope.spawn(move || {
                    let mut held = VecDeque::new();
                    let mut picks = 0;
                    while !over.load(Relaxed) || picks < 1_000 {
                        picks += 1;
                        held.push_back(
                            balancer
                                .pick_for(&format!("{thread}-{}", picks % 50))
                                .unwrap(),
                        );
                        if held.len() > 20 {
                            held.pop_front();
                        }
                    }
                });
            }
            for round in 0..300_u32 {
                let id = format!("n{}", round % 7);
                match round % 5 {
                    0 => apply(Update::Upsert(Arc::new(node(&id).with_weight(round)))),
                    1 => apply(Update::Remove(who(&id, "1"))),
                    2 => apply(reset((0..8).map(|i| node(&format!("n{i}"))))),
                    3 => assert!(balancer.drain(&NodeId::new(id).unwrap())),
                    _ => assert!(
                        balancer.undrain(&NodeId::new(format!("n{}", (round - 1) % 7)).unwrap())
                    ),
                }
                seen.extend_from_slice(balancer.table().entries());
            }
            over.store(true, Relaxed);
        });
        assert!(seen.iter().all(|entry| entry.in_flight() == 0), "{kind}");
        // n7 was there all the time.
        assert!(seen.len() > 1_000);
    }
}

/// Whatever is at work, a pick is one of those that may be picked, in the table of the moment.
#[test]
fn a_change_is_seen_by_the_next_pick() {
    let config = BalancerConfig {
        slow_start: Some(SlowStart::default()),
        subset: Some(Subset {
            client: "c".into(),
            size: 3,
        }),
        ..BalancerConfig::default()
    };
    for kind in PolicyKind::ALL {
        let balancer = Balancer::<()>::with_config(kind.build(), config.clone());
        for round in 0..200 {
            let nodes = (round..round + 6).map(|i| node(&format!("n{i}")));
            balancer.apply([reset(nodes)], |_| ());
            let picked = balancer.pick().unwrap();
            let table = balancer.table();
            assert_eq!(table.ready().len(), 3);
            let there = table.ready().iter().any(|e| e.node() == picked.node());
            assert!(there, "{kind}, round {round}");
        }
    }
}
