//! braid's links on real Redis servers.
#![cfg(unix)]

mod conformance;
mod histories;
mod local;
mod rights;
mod support;
