//! braid's links on real Redis servers.
#![cfg(unix)]

mod conformance;
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
