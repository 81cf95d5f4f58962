//! Cases for backends of [`LinkCache`](braid_core::LinkCache). Each is a function over a
//! [`LinkCacheHarness`](crate::LinkCacheHarness); CASES.md says what each shows.

#![allow(
    missing_docs,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "cases are tests: CASES.md says what each shows, and each fails by a panic"
)]

mod basics;
mod claims;
mod drain;
mod events;
mod lives;
mod moves;
mod names;
mod rebalance;
mod support;
mod ttl;

pub use self::{
    basics::*, claims::*, drain::*, events::*, lives::*, moves::*, names::*, rebalance::*, ttl::*,
};
