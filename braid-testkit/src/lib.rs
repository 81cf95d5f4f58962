//! What every backend of braid's traits is tested with, and yours can be: conformance suites, and tools that make faults.
//!
#![doc = include_str!("../README.md")]
#![doc = include_str!("../CASES.md")]

mod clock;
pub mod discover;
pub mod elector;
mod fleet;
mod fresh;
mod harness;
pub mod linkcache;
mod macros;
#[cfg(feature = "redis")]
pub mod process;
#[cfg(feature = "proxy")]
pub mod proxy;
pub mod pubsub;
#[cfg(feature = "redis")]
pub mod redis;
mod reserved;
mod run;
mod running;
mod seed;
mod wait;

pub use self::{
    clock::TestClock,
    fleet::Announcements,
    harness::{
        DiscoverHarness, ElectorHarness, Fleet, Harness, LinkCacheHarness, LinkTimes,
        PubSubHarness, PubSubLimits, paused_time, real_time,
    },
    run::run,
    running::Running,
    seed::Random,
    wait::{SETTLED, alive_tasks, eventually, eventually_eq, within},
};
