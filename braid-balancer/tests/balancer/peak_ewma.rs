//! Peak EWMA: shares by weight among equals, away from the slow, back when they have recovered.

use crate::{simulation::Simulation, support::weighted};
use braid_balancer::PeakEwma;
use std::time::Duration;

const CALLERS: [usize; 3] = [1, 4, 64];
const WEIGHTS: [&[u32]; 4] = [&[5, 3, 1], &[5, 1], &[1, 1, 1], &[1; 20]];
const SECOND: Duration = Duration::from_secs(1);

fn share(weights: &[u32], index: usize) -> f64 {
    f64::from(weights[index]) / f64::from(weights.iter().sum::<u32>())
}

/// How fast nodes answer. Many callers are in less of a hurry, so that the test is over sooner.
fn fast(callers: usize) -> Duration {
    Duration::from_millis(if callers > 4 { 100 } else { 20 })
}

fn simulation(weights: &[u32], callers: usize) -> Simulation {
    Simulation::new(PeakEwma::new(), weights, fast(callers))
}

fn each(mut check: impl FnMut(Simulation, &[u32], usize)) {
    for weights in WEIGHTS {
        for callers in CALLERS {
            check(simulation(weights, callers), weights, callers);
        }
    }
}

#[test]
fn nodes_that_answer_alike_get_their_weights_shares() {
    each(|mut simulation, weights, callers| {
        let shares = simulation.run(callers, 90 * SECOND);
        for (index, got) in shares.iter().enumerate() {
            let off = got / share(weights, index) - 1.0;
            assert!(
                off.abs() < 0.2,
                "{weights:?}, {callers} callers: {shares:?}"
            );
        }
    });
}

#[test]
fn a_slow_node_gets_little_and_its_share_again_once_it_is_fast() {
    each(|mut simulation, weights, callers| {
        for slow in [0, weights.len() - 1] {
            simulation.run(callers, 5 * SECOND);
            simulation.latencies[slow] = Some(10 * fast(callers));
            // Until it is noticed.
            simulation.run(callers, SECOND);
            let shares = simulation.run(callers, 60 * SECOND);
            let due = share(weights, slow);
            assert!(
                shares[slow] < due / 4.0,
                "{weights:?}, {callers} callers: {shares:?}"
            );

            simulation.latencies[slow] = Some(fast(callers));
            simulation.run(callers, 60 * SECOND);
            let shares = simulation.run(callers, 60 * SECOND);
            let off = shares[slow] / due - 1.0;
            assert!(
                off.abs() < 0.2,
                "{weights:?}, {callers} callers: {shares:?}"
            );
        }
    });
}

#[test]
fn a_node_that_never_answers_gets_almost_nothing() {
    each(|mut simulation, weights, callers| {
        for timeout in [SECOND, 3_600 * SECOND] {
            simulation.run(callers, 5 * SECOND);
            simulation.latencies[0] = None;
            simulation.timeout = timeout;
            // It holds on to calls for good: callers of their own make up for these.
            let stuck = if timeout > SECOND { 64 } else { 0 };
            let shares = simulation.run(callers + stuck, 60 * SECOND);
            assert!(
                shares[0] < 0.1 * share(weights, 0),
                "{weights:?}, {callers} callers: {shares:?}"
            );
            simulation = self::simulation(weights, callers);
        }
    });
}

#[test]
fn a_new_node_is_neither_flooded_nor_starved() {
    each(|mut simulation, weights, callers| {
        simulation.run(callers, 5 * SECOND);
        let mut more = weights.to_vec();
        more.push(weights[0]);
        simulation.apply(weighted(&more));
        simulation.latencies.push(Some(fast(callers)));
        let new = weights.len();
        for time in [SECOND * 10, SECOND * 30] {
            let shares = simulation.run(callers, time);
            let off = shares[new] / share(&more, new) - 1.0;
            assert!(
                off.abs() < 0.3,
                "{weights:?}, {callers} callers: {shares:?}"
            );
        }
    });
}
