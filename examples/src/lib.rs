//! The services that the examples speak: generated from `proto/fleet.proto` by `cargo xtask codegen`.

/// Messages, clients and servers of the example fleet.
#[allow(missing_docs, unreachable_pub, clippy::pedantic, clippy::all)]
#[rustfmt::skip]
#[path = "generated/fleet.rs"]
pub mod fleet;

/// The fleet's encoded `FileDescriptorSet`: what a server tells those who ask by reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/fleet.fds.bin");
