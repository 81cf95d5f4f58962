//! Weighted round-robin as pingora does it.

use std::hint::black_box;

use pingora_load_balancing::prelude::RoundRobin;
use pingora_load_balancing::{Backend, Backends, LoadBalancer, discovery};

use crate::bench::Bench;
use crate::goal::{Direction::AtLeast, Goal::Ratio};
use crate::pairs::Side;
use crate::row::{Figures, Row, Unit};
use crate::{Result, nodes, timed};

use super::smooth;

/// How many nodes there are.
const NODES: u32 = 100;

/// How many nodes pingora may look at before it gives up; all are healthy, so that it looks at one.
const LOOKS: usize = 256;

pub(super) fn row() -> Row {
    Row::timed("balancer/swrr_pick:vs_pingora", Unit::Rate, compare).with_goal(Ratio(AtLeast, 5.0))
}

fn compare(bench: &mut Bench, row: &Row) -> Result<Figures> {
    let ours = smooth::balancer(NODES)?;
    let anchor = bench.runtime().block_on(load_balancer())?;
    bench.alternate(row, |side| {
        let nanoseconds = match side {
            Side::Ours => timed::nanoseconds(|| smooth::take(&ours)),
            Side::Anchor => timed::nanoseconds(|| {
                let selected = anchor.select(b"", LOOKS);
                drop(black_box(selected.expect("all nodes are healthy")));
            }),
        };
        Ok(1e9 / nanoseconds)
    })
}

/// The same nodes with the same weights.
async fn load_balancer() -> Result<LoadBalancer<RoundRobin>> {
    let mut backends = std::collections::BTreeSet::new();
    for index in 0..NODES {
        let (ip, port) = nodes::address(index);
        let weight = usize::try_from(nodes::weight(index))?;
        let backend = Backend::new_with_weight(&format!("{ip}:{port}"), weight);
        backends.insert(backend.map_err(|error| error.to_string())?);
    }
    let discovery = discovery::Static::new(backends);
    let balancer = LoadBalancer::from_backends(Backends::new(discovery));
    let updated = balancer.update().await;
    updated.map_err(|error| error.to_string())?;
    Ok(balancer)
}
