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
mod dedup;
mod delay;
mod flow;
mod frozen;
mod keys;
mod names;
mod poison;
mod reading;
mod redrive;
mod restarts;
mod retention;
mod shutdown;
mod support;
mod view;

pub use self::{
    channels::*, crowd::*, dedup::*, delay::*, flow::*, frozen::*, keys::*, names::*, poison::*,
    reading::*, redrive::*, restarts::*, retention::*, shutdown::*, view::*,
};
