//! The instructions that finding a node takes, and encoding a message, counted by callgrind. `cargo xtask instructions` runs this, and fails when
//! something takes more than its limit.

#![allow(
    missing_docs,
    unreachable_pub,
    reason = "gungraun's macros make public items without them"
)]

use std::hint::black_box;

use braid_balancer::Balancer;
use braid_benches::balancer::{p2c, smooth};
use braid_benches::echo::Payload;
use braid_benches::rpc::message;
use braid_benches::rpc::route::Route;
use gungraun::{
    Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use tokio::runtime::{self, Runtime};

/// How often a thing is done while it is counted.
const TIMES: u32 = 1_000;

/// The limit of a thing that took so many instructions when it was done [`TIMES`] times, with Rust 1.95 on x86-64: a tenth more. Random picks and the
/// seeds of maps change a count by up to 0.5 %; what the compiler inlines, which changes elsewhere may change, by 5 %; another processor's way of
/// copying memory by a little.
fn counted(instructions: u64) -> LibraryBenchmarkConfig {
    let mut callgrind = Callgrind::with_args(["--cache-sim=no"]);
    callgrind.hard_limits([(EventKind::Ir, instructions + instructions / 10)]);
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(callgrind);
    config
}

/// A balancer that this thread has picked from already.
fn smooth(nodes: u32) -> Balancer<()> {
    let balancer = smooth::balancer(nodes).expect("the names are legal");
    smooth::take(&balancer);
    balancer
}

#[library_benchmark]
#[bench::nodes_3(args = (smooth(3)), config = counted(118_052))]
#[bench::nodes_1000(args = (smooth(1_000)), config = counted(118_052))]
fn swrr_pick(balancer: Balancer<()>) -> Balancer<()> {
    for _ in 0..TIMES {
        smooth::take(&balancer);
    }
    balancer
}

/// The same, with every node's latency known.
fn faster() -> Balancer<()> {
    let balancer = p2c::balancer().expect("the names are legal");
    picked(balancer)
}

#[library_benchmark]
#[bench::nodes_100(args = (faster()), config = counted(524_647))]
fn p2c_pick(balancer: Balancer<()>) -> Balancer<()> {
    picked(balancer)
}

#[inline]
fn picked(balancer: Balancer<()>) -> Balancer<()> {
    for call in 0..TIMES {
        p2c::take(&balancer, p2c::latency(call));
    }
    balancer
}

/// A client that is connected. Nothing but the thing that is counted runs meanwhile: runtime and server have this one thread.
fn client() -> (Route, Runtime) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("the system has a poller for each process");
    let mut route = runtime
        .block_on(Route::in_process())
        .expect("the loopback interface is there");
    route.take();
    route.take_linked();
    (route, runtime)
}

#[library_benchmark]
#[bench::plain(args = (Route::take, client()), config = counted(878_751))]
#[bench::token(args = (Route::take_linked, client()), config = counted(1_264_515))]
fn route(take: fn(&mut Route), (mut route, runtime): (Route, Runtime)) -> (Route, Runtime) {
    for _ in 0..TIMES {
        take(&mut route);
    }
    (route, runtime)
}

#[library_benchmark]
#[bench::bytes_128(args = (message::message()), config = counted(461_249))]
fn encode(message: Payload) -> Payload {
    for _ in 0..TIMES {
        black_box(message::encode(black_box(&message)));
    }
    message
}

library_benchmark_group!(
    name = instructions,
    benchmarks = [swrr_pick, p2c_pick, route, encode]
);
main!(library_benchmark_groups = instructions);
