//! The faster of two, by peak EWMA.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use braid_balancer::{Balancer, PeakEwma};
use braid_core::Update;
use tower::Service;
use tower::balance::p2c::Balance;
use tower::discover::ServiceList;
use tower::load::CompleteOnResponse;
use tower::load::peak_ewma::PeakEwma as Measured;

use crate::bench::Bench;
use crate::goal::Direction::{AtLeast, AtMost};
use crate::goal::Goal::{Absolute, Ratio};
use crate::pairs::Side;
use crate::row::Unit::{Count, Rate, Time};
use crate::row::{Figures, Row};
use crate::{Result, nodes, timed};

/// How many nodes there are.
const NODES: u32 = 100;

/// Over which time latencies are averaged: braid's default.
const DECAY: Duration = Duration::from_secs(10);

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::timed("balancer/p2c_pick:100", Time, pick).with_goal(Absolute(AtMost, 60.0)),
        Row::exact("balancer/p2c_pick:allocs", Count, |bench, _| {
            bench.counts()?.alone("p2c_pick")
        }),
        Row::timed("balancer/p2c_pick:vs_tower", Rate, told).with_goal(Ratio(AtLeast, 5.0)),
        Row::timed("balancer/p2c_pick:vs_tower_with_clock", Rate, with_clock),
    ]
}

/// A balancer of a hundred nodes with the weights 1 to 5.
///
/// # Errors
/// None: the names are legal.
pub fn balancer() -> Result<Balancer<()>> {
    let balancer = Balancer::new(PeakEwma::new());
    balancer.apply([Update::Reset(nodes::of(NODES)?)], |_| ());
    Ok(balancer)
}

/// One pick, its load guard created and dropped, and the node's latency fed.
///
/// # Panics
/// When there is no node: then nothing was measured.
pub fn take(balancer: &Balancer<()>, latency: Duration) {
    let picked = balancer.pick().expect("all nodes are ready");
    picked.observe(latency);
    drop(black_box(picked));
}

/// A latency as calls have it: from 1 ms to 2 ms, in turn.
#[must_use]
pub fn latency(call: u32) -> Duration {
    Duration::from_micros(1_000 + 64 * u64::from(call % 16))
}

fn pick(bench: &mut Bench, row: &Row) -> Result<Figures> {
    let (balancer, mut calls) = (balancer()?, 0_u32);
    bench.repeat(row, || {
        Ok(timed::nanoseconds(|| {
            calls = calls.wrapping_add(1);
            take(&balancer, latency(calls));
        }))
    })
}

/// The balancer's work for a call, against whole calls of services that answer at once by tower's balancer. tower's reads the clock; braid's is told the
/// latency.
fn told(bench: &mut Bench, row: &Row) -> Result<Figures> {
    let (balancer, mut calls) = (balancer()?, 0_u32);
    against_tower(bench, row, || {
        calls = calls.wrapping_add(1);
        take(&balancer, latency(calls));
    })
}

/// The same when the latency is taken by the clock, as clients do it.
fn with_clock(bench: &mut Bench, row: &Row) -> Result<Figures> {
    let balancer = balancer()?;
    against_tower(bench, row, || {
        let started = Instant::now();
        let picked = balancer.pick().expect("all nodes are ready");
        picked.observe(started.elapsed());
        drop(black_box(picked));
    })
}

fn against_tower(bench: &mut Bench, row: &Row, mut ours: impl FnMut()) -> Result<Figures> {
    let mut anchor = tower();
    bench.alternate(row, |side| {
        let nanoseconds = match side {
            Side::Ours => timed::nanoseconds(&mut ours),
            Side::Anchor => timed::nanoseconds(|| call(&mut anchor)),
        };
        Ok(1e9 / nanoseconds)
    })
}

/// A service that answers at once.
#[derive(Debug)]
struct AtOnce;

impl Service<()> for AtOnce {
    type Response = ();
    type Error = Infallible;
    type Future = Ready<Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(()))
    }
}

type Tower = Balance<ServiceList<Vec<Measured<AtOnce>>>, ()>;

/// tower's balancer over as many services.
fn tower() -> Tower {
    let decay = DECAY.as_secs_f64() * 1e9;
    let completion = CompleteOnResponse::default();
    let service = |_| Measured::new(AtOnce, Duration::from_millis(1), decay, completion);
    Balance::new(ServiceList::new((0..NODES).map(service).collect()))
}

/// One call by tower's balancer: it gets ready, by picking, then calls. All that is polled is ready at once, so that no runtime is in between.
fn call(tower: &mut Tower) {
    let mut context = Context::from_waker(Waker::noop());
    let picked = tower.poll_ready(&mut context);
    assert!(matches!(picked, Poll::Ready(Ok(()))), "all are ready");
    let call = pin!(tower.call(()));
    let called = call.poll(&mut context);
    assert!(
        matches!(black_box(called), Poll::Ready(Ok(()))),
        "all answer"
    );
}
