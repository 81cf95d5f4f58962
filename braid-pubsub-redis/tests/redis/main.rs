//! braid's pub-sub on real Redis servers.
#![cfg(unix)]

mod conformance;
mod cuts;
#[path = "../../../braid-redis/tests/redis/documented.rs"]
mod documented;
mod durability;
mod everything;
#[path = "../../../braid-redis/tests/redis/fake.rs"]
mod fake;
mod half_open;
mod interop;
mod losses;
mod original;
mod partitions;
#[allow(dead_code, reason = "it names the programs of other crates too")]
#[path = "../../../xtask/src/programs/place.rs"]
mod place;
mod restarts;
mod rights;
mod start;
mod support;
mod view;
