//! Cases for backends of [`PubSub`](braid_core::PubSub). Each is a function over a
//! [`PubSubHarness`](crate::PubSubHarness); CASES.md says what each shows.

#![allow(
    missing_docs,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "cases are tests: CASES.md says what each shows, and each fails by a panic"
)]

mod channels;
mod crowd;
mod flow;
mod frozen;
mod keys;
mod names;
mod poison;
mod reading;
mod retention;
mod shutdown;
mod support;

pub use self::{
    channels::*, crowd::*, flow::*, frozen::*, keys::*, names::*, poison::*, reading::*,
    retention::*, shutdown::*,
};
