//! The services that the examples speak: generated from `proto/fleet.proto` by `cargo xtask codegen`.

/// Messages, clients and servers of the example fleet.
#[allow(missing_docs, unreachable_pub, clippy::pedantic, clippy::all)]
#[rustfmt::skip]
#[path = "generated/fleet.rs"]
pub mod fleet;
