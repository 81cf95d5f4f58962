//! gRPC by the name of a service: a client that finds the node, and a server that ends gracefully.
//!
//! A [`Client`] learns from discovery which nodes a service has, balances calls over them, and keeps users on their node. The same
//! way is open to calls by name ([`Client::send`]) and to any generated tonic client ([`Client::channel`]), streams included. A
//! [`Server`] serves tonic services and raw handlers by short method names. The wire is plain gRPC: plain tonic
//! clients, grpc-go's and grpcurl call a braid server, and a braid client calls a grpc-go server.
//!
//! ```
//! use braid_core::{Component, Discover, ErrorKind, Node, NodeId, NodeRef, ServiceName, ShutdownTrigger};
//! use braid_rpc::{Client, Server, ServerConfig};
//! use std::sync::Arc;
//! # use braid_core::{Announcement, BoxFuture, BoxStream, Result, Shutdown, Update};
//! # #[derive(Debug)]
//! # struct Fixed(Arc<Node>);
//! # impl Component for Fixed {
//! #     fn name(&self) -> &'static str { "discover-fixed" }
//! #     fn run(&self, _: Shutdown) -> BoxFuture<'_, Result<()>> { Box::pin(async { Ok(()) }) }
//! # }
//! # impl Discover for Fixed {
//! #     fn announce<'a>(&'a self, _: &'a Node) -> BoxFuture<'a, Result<Announcement>> { unreachable!() }
//! #     fn watch(&self, _: &ServiceName) -> BoxStream<'static, Result<Update>> {
//! #         let view = Update::Reset(vec![Arc::clone(&self.0)]);
//! #         Box::pin(futures_util::stream::iter([Ok(view)]))
//! #     }
//! # }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let server = Server::builder(ServerConfig::listen("127.0.0.1:0"))
//!     .handle("user.greet", |request| async move {
//!         Ok([b"hello, ", &request.body[..]].concat().into())
//!     })
//!     .bind()
//!     .await?;
//! let who = NodeRef::random(NodeId::new("login-1")?);
//! let node = Node::new(ServiceName::new("login")?, who, server.local_addr());
//!
//! // Discovery would tell of the node; a fleet has one of braid's backends here.
//! let discover: Arc<dyn Discover> = Arc::new(Fixed(Arc::new(node)));
//! let client = Client::builder(discover).build()?;
//!
//! let end = ShutdownTrigger::new();
//! let calls = async {
//!     let reply = client.send_bytes("login", "user.greet", (), "ada").await?;
//!     assert_eq!(reply, "hello, ada");
//!     let error = client.send_bytes("login", "user.unknown", (), "").await.unwrap_err();
//!     assert_eq!(error.kind(), ErrorKind::NotFound);
//!     end.drain();
//!     Ok(())
//! };
//! let (served, called) = tokio::join!(server.run(end.shutdown()), calls);
//! served.and(called)
//! # }
//! ```
//!
//! # Where a call goes
//! To the one node that it names; else, when it has a token and the client has a link cache, to the node that the token is linked to
//! (a first call links it to the node that is picked); else to the node that the service's policy picks
//! ([`ClientConfig::policy`], [`ClientBuilder::policy`], and at run time [`Client::set_policy`]). What was surely not looked at by a node is
//! sent again, by name at most three times; what may have been handled never is.
//!
//! A failed call never ends a link. A link to a node that isn't there leaves the call `Unavailable` until the link cache ends it.
//!
//! # Connections
//! From the first call to a service on, the client connects to the nodes that its calls are balanced over, and picks among those that are
//! connected. With more calls in flight ([`ClientConfig::calls_per_connection`]) a node gets more connections, up to
//! [`ClientConfig::max_connections`]. A node that can't be reached, or whose connection breaks, is left out at once and tried again by
//! itself, less and less often ([`ClientConfig::backoff`]), as long as discovery tells of it. Calls that are bound to it, and calls when no
//! node is left, fail at once; the error names the node, its address and what is wrong.
//!
//! # What travels beside the message
//!
//! | header | says | handlers find it in the request's extensions as |
//! |---|---|---|
//! | `grpc-timeout` | how long the caller waits | [`Deadline`]; enforced on both sides, the end is DEADLINE_EXCEEDED |
//! | `braid-token-bin` | whom the call is about | [`Token`](braid_core::Token) |
//! | `braid-caller-service-bin`, `braid-caller-id-bin` | who calls, by its own word | [`Caller`] |
//!
//! A malformed one fails the call with INVALID_ARGUMENT. There too: the [`Shutdown`](braid_core::Shutdown) that long streams should end
//! on, and tonic's connection info behind `Request::remote_addr`.
//!
//! # Errors and statuses
//! [`status_of`] and [`error_of`] convert. A status that came over the wire is the error's source, details included.
//!
//! | [`ErrorKind`](braid_core::ErrorKind) | is sent as | is read from |
//! |---|---|---|
//! | `Config` | INVALID_ARGUMENT | |
//! | `Unavailable` | UNAVAILABLE | UNAVAILABLE |
//! | `Timeout` | DEADLINE_EXCEEDED | DEADLINE_EXCEEDED |
//! | `NotFound` | NOT_FOUND | NOT_FOUND, UNIMPLEMENTED |
//! | `Conflict` | ABORTED | ABORTED, ALREADY_EXISTS |
//! | `Rejected` | FAILED_PRECONDITION | FAILED_PRECONDITION, INVALID_ARGUMENT, OUT_OF_RANGE, PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNAUTHENTICATED |
//! | `Unsupported` | UNIMPLEMENTED | |
//! | `Closed` | UNAVAILABLE | |
//! | `Indeterminate` | UNKNOWN | UNKNOWN, CANCELLED |
//! | `Internal` | INTERNAL | INTERNAL, DATA_LOSS |
//!
//! # Limits
//! Messages are capped both ways on both sides, 4 MiB unless configured otherwise; above it a call fails with RESOURCE_EXHAUSTED (or
//! tonic's own OUT_OF_RANGE), the text names the limit, and the connection lives. A token has at most 4,096 bytes. A short method name has no
//! slash, no space, and nothing that doesn't print.
//!
//! # Not there yet
//! TLS, retries of idempotent calls, outlier ejection, and limits of concurrency.

mod client;
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

/// The policies that share load, and which nodes take part.
pub use braid_balancer as balancer;

pub use self::{
    client::{Backoff, Channel, Client, ClientBuilder, ClientConfig, NodeView, Routed, Target},
    layer::BoxService,
    metadata::{Caller, Deadline},
    routing::RawRequest,
    server::{Readiness, Server, ServerBuilder, ServerConfig, Services},
    status::{error_of, status_of},
};
