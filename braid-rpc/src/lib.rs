//! (being written)

mod client;
mod codec;
mod layer;
mod limit;
mod metadata;
mod method;
mod routing;
mod server;
mod status;
mod tasks;

/// The generic service of the original, `proto.listen/routing`: generated types, client and server.
///
/// [`Client::send`] with a short method name calls it, and [`ServerBuilder::handle`] registers what it calls.
#[allow(missing_docs, clippy::all, clippy::missing_errors_doc)]
pub mod proto {
    include!("generated/proto.rs");

    /// Its encoded `FileDescriptorSet`.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/proto.fds.bin");
}

pub use self::{
    client::{Channel, Client, ClientBuilder, ClientConfig, NodeView, Target},
    layer::BoxService,
    metadata::{Caller, Deadline},
    routing::RawRequest,
    server::{Readiness, Server, ServerBuilder, ServerConfig, Services},
    status::{error_of, status_of},
};
