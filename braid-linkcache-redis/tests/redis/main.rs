//! braid's links on real Redis servers.
#![cfg(unix)]

mod conformance;
mod faults;
mod floods;
mod histories;
mod local;
mod losses;
mod rights;
mod support;
