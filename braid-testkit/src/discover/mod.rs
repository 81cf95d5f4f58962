//! Cases for backends of [`Discover`](braid_core::Discover). Each is a function over a
//! [`DiscoverHarness`](crate::DiscoverHarness); CASES.md says what each shows.

#![allow(
    missing_docs,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "cases are tests: CASES.md says what each shows, and each fails by a panic"
)]

mod churn;
mod events;
mod support;
mod view;

pub use self::{churn::*, events::*, view::*};
