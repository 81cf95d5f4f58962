//! Single functions of the way of a call, for Criterion. `cargo xtask bench` runs them as the rows `criterion/*`.

use std::collections::HashMap;
use std::hint::black_box;

use braid_benches::balancer::smooth;
use braid_benches::echo::Payload;
use braid_benches::rpc::message::{PREFIX, encode, message};
use braid_benches::rpc::route::Route;
use braid_core::{ServiceName, Token};
use criterion::{Criterion, criterion_group, criterion_main};
use prost::Message as _;

fn pick(criterion: &mut Criterion) {
    for (name, nodes) in [("pick_3", 3), ("pick_1000", 1_000)] {
        let balancer = smooth::balancer(nodes).expect("the names are legal");
        criterion.bench_function(name, |bencher| bencher.iter(|| smooth::take(&balancer)));
    }
}

fn route(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime without drivers needs nothing of the system");
    let mut route = runtime
        .block_on(Route::new())
        .expect("links within a process are made");
    criterion.bench_function("route", |bencher| bencher.iter(|| route.take()));
}

fn encoding(criterion: &mut Criterion) {
    let message = message();
    let frame = encode(&message);
    criterion.bench_function("message_encode", |bencher| {
        bencher.iter(|| encode(black_box(&message)));
    });
    criterion.bench_function("message_decode", |bencher| {
        bencher.iter(|| Payload::decode(black_box(&frame).slice(PREFIX..)));
    });
}

/// Names as the keys that calls are looked up by.
fn key(criterion: &mut Criterion) {
    let token = |index| Token::new(format!("user-{index}")).expect("the name is legal");
    let tokens: HashMap<Token, u32> = (0..1_000).map(|index| (token(index), index)).collect();
    let wanted = token(500);
    criterion.bench_function("key_token", |bencher| {
        bencher.iter(|| tokens.get(black_box(&wanted)).copied());
    });
    let service = |index| ServiceName::new(format!("service-{index}")).expect("the name is legal");
    let services: HashMap<ServiceName, u32> =
        (0..10).map(|index| (service(index), index)).collect();
    criterion.bench_function("key_service", |bencher| {
        bencher.iter(|| services.get(black_box("service-5")).copied());
    });
}

criterion_group!(functions, pick, route, encoding, key);
criterion_main!(functions);
