//! braid's links on real Redis servers.
#![cfg(unix)]

mod conformance;
#[allow(dead_code, reason = "it has what the tests of topics need too")]
#[path = "../../../braid-redis/tests/redis/documented.rs"]
mod documented;
mod everything;
mod faults;
mod floods;
mod histories;
mod interop;
mod local;
mod losses;
#[path = "../../../braid-pubsub-redis/tests/redis/original.rs"]
mod original;
#[allow(dead_code, reason = "it names the programs of other crates too")]
#[path = "../../../xtask/src/programs/place.rs"]
mod place;
mod rights;
mod secrets;
mod support;
