//! Latency estimates: a peak counts at once, the rest bit by bit, and all of it fades.

use crate::support::{StandingClock, node, reset, who};
use braid_balancer::{Balancer, BalancerConfig, Latency, PeakEwma, Picked};
use braid_core::{Clock, NodeId, Update};
use std::{sync::Arc, time::Duration};

struct Timed {
    balancer: Balancer<()>,
    clock: Arc<StandingClock>,
}

impl Timed {
    fn new() -> Self {
        let clock = Arc::new(StandingClock::default());
        let time = Arc::clone(&clock) as Arc<dyn Clock>;
        let config = BalancerConfig::default();
        let balancer = Balancer::with_clock(PeakEwma::new(), config, time);
        balancer.apply([reset([node("a"), node("b")])], |_| ());
        Self { balancer, clock }
    }

    fn get(&self, id: &str) -> Picked<()> {
        self.balancer.by_id(&NodeId::new(id).unwrap()).unwrap()
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        self.balancer.refresh();
    }

    /// In milliseconds.
    fn average(&self, id: &str) -> Option<f64> {
        let latency = self.get(id).latency()?;
        Some(latency.average().as_secs_f64() * 1e3)
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-3 * b
}

#[test]
fn a_slower_answer_counts_at_once_and_a_faster_one_as_time_passes() {
    let timed = Timed::new();
    assert_eq!(timed.average("a"), None);
    timed.get("a").observe(millis(10));
    timed.get("a").observe(millis(30));
    timed.get("a").observe(millis(10));
    assert!(close(timed.average("a").unwrap(), 30.0));
    timed.pass(10);
    timed.get("a").observe(millis(10));
    let expected = 10.0 + 20.0 / std::f64::consts::E;
    assert!(close(timed.average("a").unwrap(), expected));
    assert_eq!(timed.average("b"), None);
}

#[test]
fn an_estimate_fades_by_the_configured_decay() {
    let timed = Timed::new();
    timed.get("a").observe(millis(10));
    let freshness = || f64::from(timed.get("a").latency().unwrap().freshness());
    assert!(close(freshness(), 1.0));
    timed.pass(10);
    assert!(close(freshness(), (-1.0_f64).exp()));
    timed.balancer.set_config(BalancerConfig {
        decay: Duration::from_secs(5),
        ..BalancerConfig::default()
    });
    assert!(close(freshness(), (-2.0_f64).exp()));
}

#[test]
fn nodes_differ_by_what_is_known_of_both_and_still_fresh() {
    let timed = Timed::new();
    let ratio = || {
        let (a, b) = Latency::compare(timed.get("a").latency(), timed.get("b").latency());
        f64::from(a / b)
    };
    timed.get("a").observe(millis(30));
    assert!(close(ratio(), 1.0), "nothing is known of b");
    timed.get("b").observe(millis(10));
    assert!(close(ratio(), 3.0));
    timed.pass(10);
    timed.get("b").observe(millis(10));
    let expected = 1.0 + 2.0 / std::f64::consts::E;
    assert!(close(ratio(), expected), "a is known from 10 s ago");
    timed.pass(1_000);
    assert!(close(ratio(), 1.0));
}

#[test]
fn an_estimate_lasts_as_long_as_the_life() {
    let timed = Timed::new();
    timed.get("a").observe(millis(10));
    let upsert = |node| {
        timed
            .balancer
            .apply([Update::Upsert(Arc::new(node))], |_| ());
    };
    upsert(node("a").with_weight(3));
    assert!(timed.average("a").is_some());
    let mut restarted = node("a");
    restarted.node = who("a", "2");
    timed
        .balancer
        .apply([Update::Remove(who("a", "1"))], |_| ());
    upsert(restarted);
    assert_eq!(timed.average("a"), None);
}
