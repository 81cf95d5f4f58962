//! braid-rpc over real sockets.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod calls;
mod deadlines;
mod drain;
mod frames;
mod interop;
mod layers;
mod limits;
mod links;
mod panics;
mod policies;
mod pool;
mod refused;
mod server;
mod support;
mod typed;
