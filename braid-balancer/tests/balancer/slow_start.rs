//! Slow start: who warms up, how, and what of it other policies see.

use crate::support::{StandingClock, Switch, counts, node, reset, set_health, who};
use braid_balancer::{Balancer, BalancerConfig, Health, SlowStart, SmoothWeighted};
use braid_core::{Clock, Node, NodeId, NodeState, Update};
use std::{sync::Arc, time::Duration};

struct Warming {
    balancer: Balancer<Switch>,
    clock: Arc<StandingClock>,
}

impl Warming {
    /// Nodes a and b are there from the start; it takes 90 s to warm up.
    fn new() -> Self {
        let clock = Arc::new(StandingClock::default());
        let config = BalancerConfig {
            slow_start: Some(SlowStart {
                window: Duration::from_secs(90),
                ..SlowStart::default()
            }),
            ..BalancerConfig::default()
        };
        let time = Arc::clone(&clock) as Arc<dyn Clock>;
        let balancer = Balancer::with_clock(SmoothWeighted::new(), config, time);
        let warming = Self { balancer, clock };
        warming.apply(reset([node("a"), node("b")]));
        warming
    }

    fn apply(&self, update: Update) {
        self.balancer.apply([update], |_| Switch::default());
    }

    fn upsert(&self, node: Node) {
        self.apply(Update::Upsert(Arc::new(node)));
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        self.balancer.refresh();
    }

    /// What a node gets, in percent of what a warm one gets.
    fn percent(&self, id: &str) -> usize {
        let counts = counts(&self.balancer, 3_000);
        let warm = counts.values().max().copied().unwrap_or_default();
        let count = counts.get(id).copied().unwrap_or_default();
        (count * 100 + warm / 2) / warm
    }
}

#[test]
fn a_new_node_gets_its_share_step_by_step() {
    let warming = Warming::new();
    warming.upsert(node("c"));
    for step in 1..10 {
        assert_eq!(warming.percent("c"), 10 * step);
        let next = warming.balancer.next_refresh().unwrap();
        assert_eq!(next, Duration::from_secs(10));
        warming.pass(9);
        assert_eq!(warming.percent("c"), 10 * step);
        warming.pass(1);
    }
    assert_eq!(warming.percent("c"), 100);
    assert_eq!(warming.balancer.next_refresh(), None);
    assert_eq!(warming.balancer.table().weights(), [1, 1, 1]);
}

#[test]
fn nodes_of_the_first_view_are_warm() {
    let warming = Warming::new();
    assert_eq!(warming.balancer.next_refresh(), None);
    assert_eq!(warming.percent("a"), warming.percent("b"));
}

#[test]
fn nodes_of_the_first_view_that_are_found_reachable_later_are_warm() {
    let warming = Warming::new();
    warming
        .balancer
        .apply([reset([node("a"), node("b")])], |_| {
            Switch::new(Health::Pending)
        });
    set_health(&warming.balancer, "a", Health::Pending);
    set_health(&warming.balancer, "a", Health::Ready);
    assert_eq!(warming.percent("a"), 100);
}

#[test]
fn a_node_that_comes_back_warms_up_again() {
    let a = NodeId::new("a").unwrap();
    type Absence = fn(&Warming, bool);
    let absences: [Absence; 4] = [
        |warming, away| {
            let health = if away { Health::Failed } else { Health::Ready };
            set_health(&warming.balancer, "a", health);
        },
        |warming, away| {
            let states = [NodeState::Ready, NodeState::NotReady];
            warming.upsert(node("a").with_state(states[usize::from(away)]));
        },
        |warming, away| {
            let id = NodeId::new("a").unwrap();
            let changed = match away {
                true => warming.balancer.drain(&id),
                false => warming.balancer.undrain(&id),
            };
            assert!(changed);
        },
        |warming, away| match away {
            true => warming.apply(Update::Remove(who("a", "1"))),
            false => warming.upsert(node("a")),
        },
    ];
    for absence in absences {
        let warming = Warming::new();
        absence(&warming, true);
        assert!(!counts(&warming.balancer, 10).contains_key(a.as_str()));
        absence(&warming, false);
        assert_eq!(warming.percent("a"), 10);
        warming.pass(90);
        assert_eq!(warming.percent("a"), 100);
    }
}

#[test]
fn another_life_or_another_place_warms_up() {
    let warming = Warming::new();
    let mut restarted = node("a");
    restarted.node = who("a", "2");
    warming.apply(Update::Remove(who("a", "1")));
    warming.upsert(restarted);
    assert_eq!(warming.percent("a"), 10);
    warming.pass(90);
    let mut moved = node("b");
    moved.address.set_port(9);
    warming.upsert(moved);
    assert_eq!(warming.percent("b"), 10);
}

#[test]
fn what_discovery_repeats_begins_nothing_anew() {
    let warming = Warming::new();
    warming.upsert(node("c"));
    warming.pass(45);
    assert_eq!(warming.percent("c"), 50);
    warming.apply(reset([node("a"), node("b"), node("c")]));
    assert_eq!(warming.percent("c"), 50);
    set_health(&warming.balancer, "c", Health::Pending);
    set_health(&warming.balancer, "c", Health::Ready);
    assert_eq!(warming.percent("c"), 50, "it wasn't known to be away");
}

#[test]
fn slow_start_that_is_switched_on_begins_with_those_that_come_then() {
    let warming = Warming::new();
    let slow = BalancerConfig {
        slow_start: Some(SlowStart::default()),
        ..BalancerConfig::default()
    };
    warming.balancer.set_config(BalancerConfig::default());
    warming.upsert(node("c"));
    warming.balancer.set_config(slow);
    assert_eq!(warming.percent("c"), 100);
    warming.upsert(node("d"));
    assert_eq!(warming.percent("d"), 10);
}
