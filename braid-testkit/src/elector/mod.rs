//! Cases for backends of [`Elector`](braid_core::Elector). Each is a function over an
//! [`ElectorHarness`](crate::ElectorHarness); CASES.md says what each shows.

#![allow(
    missing_docs,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "cases are tests: CASES.md says what each shows, and each fails by a panic"
)]

mod basics;
mod events;
mod frozen;
mod support;
mod takeover;

pub use self::{basics::*, events::*, frozen::*, takeover::*};
