//! Rows of the client, against a bare tonic client that calls the same server.

mod callers;
pub mod message;
mod open_loop;
mod remote;
pub mod route;
mod server;

pub use self::callers::{ByName, Generated};
pub use self::remote::Remote;
pub use self::server::{SERVE, serve};

use crate::Result;
use crate::bench::Bench;
use crate::blocks::{Caller, Load, latency, load};
use crate::counts::{allocations, bytes};
use crate::goal::Direction::{AtLeast, AtMost};
use crate::goal::Goal::{Absolute, Ratio};
use crate::pairs::Side;
use crate::row::{
    Figures, Row,
    Unit::{Bytes, Count, Rate, Time},
};

/// How many calls are in flight under load.
const IN_FLIGHT: usize = 64;

/// The rows, those of one line of the table together.
#[must_use]
pub fn rows() -> Vec<Row> {
    vec![
        Row::timed("rpc/send_p50_vs_tonic", Time, send_p50).with_goal(Ratio(AtMost, 0.95)),
        Row::timed("rpc/send_throughput_vs_tonic", Rate, send_throughput)
            .with_goal(Ratio(AtLeast, 1.08)),
        Row::timed("rpc/send_cpu_vs_tonic", Time, send_cpu).with_goal(Ratio(AtMost, 0.85)),
        Row::exact("rpc/send_allocs_vs_tonic:allocs", Count, |bench, _| {
            bench.counts()?.compare("send", "tonic", allocations)
        })
        .with_goal(Ratio(AtMost, 0.6)),
        Row::exact("rpc/send_allocs_vs_tonic:bytes", Bytes, |bench, _| {
            bench.counts()?.compare("send", "tonic", bytes)
        })
        .with_goal(Ratio(AtMost, 0.3)),
        Row::timed("rpc/typed_vs_tonic:p50", Time, typed_p50).with_goal(Ratio(AtMost, 1.03)),
        Row::timed("rpc/typed_vs_tonic:cpu", Time, typed_cpu).with_goal(Ratio(AtMost, 0.98)),
        Row::exact("rpc/typed_vs_tonic:allocs", Count, |bench, _| {
            bench.counts()?.compare("typed", "tonic", allocations)
        })
        .with_goal(Ratio(AtMost, 0.9)),
        Row::timed("rpc/token_hit_vs_plain", Time, token_hit).with_goal(Ratio(AtMost, 1.05)),
        Row::timed("rpc/route_cost:ns", Time, route::cost).with_goal(Absolute(AtMost, 150.0)),
        Row::timed("rpc/route_cost:token", Time, route::linked),
        Row::exact("rpc/route_cost:allocs", Count, |bench, _| {
            bench.counts()?.alone("route")
        })
        .with_goal(Absolute(AtMost, 0.0)),
        Row::timed("rpc/open_loop:50", Time, |bench, row| {
            open_loop::p99(bench, row, 0.5)
        }),
        Row::timed("rpc/open_loop:70", Time, |bench, row| {
            open_loop::p99(bench, row, 0.7)
        }),
        Row::timed("rpc/open_loop:90", Time, |bench, row| {
            open_loop::p99(bench, row, 0.9)
        }),
        Row::timed("rpc/aa", Time, aa),
    ]
}

fn send_p50(bench: &mut Bench, row: &Row) -> Result<Figures> {
    let remote = bench.remote()?;
    p50(bench, row, &remote.by_name(), &remote.tonic())
}

fn send_throughput(bench: &mut Bench, row: &Row) -> Result<Figures> {
    let remote = bench.remote()?;
    under_load(bench, row, &remote.by_name(), &remote.tonic(), Load::rate)
}

fn send_cpu(bench: &mut Bench, row: &Row) -> Result<Figures> {
    let remote = bench.remote()?;
    under_load(bench, row, &remote.by_name(), &remote.tonic(), Load::cpu)
}

fn typed_p50(bench: &mut Bench, row: &Row) -> Result<Figures> {
    let remote = bench.remote()?;
    p50(bench, row, &remote.typed(), &remote.tonic())
}

fn typed_cpu(bench: &mut Bench, row: &Row) -> Result<Figures> {
    let remote = bench.remote()?;
    under_load(bench, row, &remote.typed(), &remote.tonic(), Load::cpu)
}

fn token_hit(bench: &mut Bench, row: &Row) -> Result<Figures> {
    let remote = bench.remote()?;
    p50(bench, row, &remote.by_name_with_token(), &remote.by_name())
}

/// tonic's channel against another one of its own.
fn aa(bench: &mut Bench, row: &Row) -> Result<Figures> {
    let remote = bench.remote()?;
    p50(bench, row, &remote.tonic(), &remote.tonic_again())
}

/// The median latency with one call in flight.
fn p50(bench: &Bench, row: &Row, ours: &impl Caller, anchor: &impl Caller) -> Result<Figures> {
    let on = bench.runtime();
    bench.alternate(row, |side| match side {
        Side::Ours => on.block_on(latency(ours)),
        Side::Anchor => on.block_on(latency(anchor)),
    })
}

/// A figure of blocks with many calls in flight.
fn under_load(
    bench: &Bench,
    row: &Row,
    ours: &impl Caller,
    anchor: &impl Caller,
    figure: fn(&Load) -> f64,
) -> Result<Figures> {
    let on = bench.runtime();
    bench.alternate(row, |side| {
        let load = match side {
            Side::Ours => on.block_on(load(ours, IN_FLIGHT)),
            Side::Anchor => on.block_on(load(anchor, IN_FLIGHT)),
        };
        Ok(figure(&load?))
    })
}
