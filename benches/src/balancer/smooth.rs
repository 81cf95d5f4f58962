//! Smooth weighted round-robin.

use std::hint::black_box;

use braid_balancer::{Balancer, SmoothWeighted};
use braid_core::Update;

use crate::bench::Bench;
use crate::goal::Direction::AtMost;
use crate::goal::Goal::{self, Absolute, Ratio};
use crate::pairs::Side;
use crate::row::{
    Figures, Row,
    Unit::{Count, Time},
};
use crate::{Result, nodes, timed};

/// A pick may cost this much, its load guard included, in nanoseconds.
const GOAL: Goal = Absolute(AtMost, 25.0);

/// "Flat in n": a pick among a thousand may cost a quarter more than one among three. It isn't the policy that grows with n but what the
/// processor has to fetch: the counters of a thousand nodes don't fit its first cache.
const FLAT: Goal = Ratio(AtMost, 1.25);

pub(super) fn rows() -> Vec<Row> {
    let time = |name, take| Row::timed(name, Time, take).with_goal(GOAL);
    vec![
        time("balancer/swrr_pick:3", |bench, row| pick(bench, row, 3)),
        time("balancer/swrr_pick:10", |bench, row| pick(bench, row, 10)),
        time("balancer/swrr_pick:100", |bench, row| pick(bench, row, 100)),
        time("balancer/swrr_pick:1000", |bench, row| {
            pick(bench, row, 1_000)
        }),
        Row::timed("balancer/swrr_pick:flat", Time, |bench, row| {
            compare(bench, row, 1_000, 3)
        })
        .with_goal(FLAT),
        Row::exact("balancer/swrr_pick:allocs", Count, |bench, _| {
            bench.counts()?.alone("swrr_pick")
        })
        .with_goal(Absolute(AtMost, 0.0)),
    ]
}

/// A pick among a hundred nodes against itself.
pub(super) fn aa() -> Row {
    Row::timed("balancer/aa", Time, |bench, row| {
        compare(bench, row, 100, 100)
    })
}

/// A balancer of so many nodes with the weights 1 to 5.
///
/// # Errors
/// None: the names are legal.
pub fn balancer(count: u32) -> Result<Balancer<()>> {
    let balancer = Balancer::new(SmoothWeighted::new());
    balancer.apply([Update::Reset(nodes::of(count)?)], |_| ());
    Ok(balancer)
}

/// One pick, its load guard created and dropped.
///
/// # Panics
/// When there is no node: then nothing was measured.
pub fn take(balancer: &Balancer<()>) {
    drop(black_box(balancer.pick().expect("all nodes are ready")));
}

fn pick(bench: &mut Bench, row: &Row, count: u32) -> Result<Figures> {
    let balancer = balancer(count)?;
    bench.repeat(row, || Ok(timed::nanoseconds(|| take(&balancer))))
}

fn compare(bench: &mut Bench, row: &Row, ours: u32, anchor: u32) -> Result<Figures> {
    let (ours, anchor) = (balancer(ours)?, balancer(anchor)?);
    bench.alternate(row, |side| {
        let balancer = match side {
            Side::Ours => &ours,
            Side::Anchor => &anchor,
        };
        Ok(timed::nanoseconds(|| take(balancer)))
    })
}
