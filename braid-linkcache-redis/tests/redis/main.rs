//! braid's links on real Redis servers.
#![cfg(unix)]

mod conformance;
mod local;
mod rights;
mod support;
