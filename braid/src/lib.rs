//! Services that call each other by name, talk by topics, find each other, share load, elect one master, and keep users on their
//! node.
//!
//! braid is for teams with a handful of Rust services that want these things without a service mesh. This crate is the facade: it
//! composes the components of one node and runs them. Each component also stands alone, in a crate of its own.
//!
//! # A node
//!
//! ```
//! use braid::{Braid, DefaultDirector, local::Hub, rpc::Server};
//!
//! # #[tokio::main]
//! # async fn main() -> braid::Result<()> {
//! // Several nodes of one process find each other through a hub.
//! let hub = Hub::new();
//!
//! // A login node with one method, in a service of perhaps many such nodes.
//! let server = Server::listen("127.0.0.1:0")
//!     .handle("user.greet", |request| async move { Ok(request.body) });
//! let login =
//!     Braid::start("login", "login-1", DefaultDirector::local_in(&hub).server(server)).await?;
//!
//! // A gate calls it by the service's name. The token keeps this user on one node.
//! let gate = Braid::start("gate", "gate-1", DefaultDirector::local_in(&hub).without_server()).await?;
//! let reply = gate.send_bytes("login", "/user.greet", "token of ada", "hello").await?;
//! assert_eq!(reply, "hello");
//!
//! // Topics: each channel gets every message, the consumers of one channel share them.
//! let mut inbox = login.topic("chat.world").subscribe("login").await?;
//! gate.topic("chat.world").publish("good morning").await?;
//! if let Some(delivery) = inbox.next().await {
//!     delivery?.ack().await?;
//! }
//!
//! // One node of a service is its master.
//! let term = login.leadership()?.leading().await?;
//! println!("login-1 leads in term {term}");
//!
//! gate.close().await?;
//! login.close().await
//! # }
//! ```
//!
//! # Where to go
//!
//! | you want | look at |
//! |---|---|
//! | to compose and run a node | [`Braid`], [`DefaultDirector`] |
//! | to call others | [`Handle::send`], [`Handle::send_bytes`], [`Handle::channel`] with any generated tonic client |
//! | to serve | [`rpc::Server::listen`], [`DefaultDirector::server_with`] |
//! | messages | [`Handle::topic`], [`Subscription`], [`SubscribeOptions`] |
//! | to be the only one who does something | [`Handle::leadership`], [`Leadership::while_leader`], [`Fence`] |
//! | to learn who comes and goes | [`Handle::discover`], [`reserved`] topics |
//! | to keep users on their node | pass a token with a call; [`Handle::leave`] when the user has left |
//! | to write a backend | `braid-core`'s traits, `braid-testkit`'s suites |
//!
//! # Features
//!
//! | feature | default | brings |
//! |---|---|---|
//! | `local` | yes | in-process backends of every component: [`local`] |
//! | `rpc` | yes | the gRPC client and server: [`rpc`] |
//! | `redis` | no | every backend on Redis: `pubsub-redis` and `linkcache-redis` |
//! | `pubsub-redis` | no | topics on Redis Streams: [`PubSubSection::Redis`] |
//! | `linkcache-redis` | no | links on Redis, for all processes together: [`LinkCacheSection::Redis`] |
//!
//! Features only add. Without `local` the director has no backend in this process: each is one of another feature's, or handed over
//! ready-made.
//!
//! # Errors
//! Every failure is an [`Error`]: act on its [`kind`](Error::kind), show its text, which names the thing at fault.
//!
//! # From braid-go
//! `NewService` and `Init` are [`Braid::start`], `Run` is [`Braid::run`], `Close` is [`Braid::close`], `Send` is [`Handle::send`],
//! `Topic(..).Pub` is [`TopicHandle::publish`], `Sub` is [`TopicHandle::subscribe`], `Arrived` is [`Subscription::arrived`].

mod director;
mod handle;
mod node;
mod section;
mod signals;
mod start;
mod stop;
mod supervisor;
mod topic;

/// The policies that share load, and the table that they work on.
#[cfg(feature = "rpc")]
pub use braid_balancer as balancer;
/// In-process backends.
#[cfg(feature = "local")]
pub use braid_local as local;
/// The gRPC client and server.
#[cfg(feature = "rpc")]
pub use braid_rpc as rpc;

/// Backends on Redis.
#[cfg(any(feature = "linkcache-redis", feature = "pubsub-redis"))]
pub mod redis {
    #[cfg(feature = "linkcache-redis")]
    pub use braid_linkcache_redis::{LinkCacheConfig, Mode as LinkMode, RedisLinkCache};
    #[cfg(feature = "pubsub-redis")]
    pub use braid_pubsub_redis::{Durability, PubSubConfig, RedisPubSub};
    pub use braid_redis::{RedisConfig, Secret, TlsConfig};
}

#[doc(inline)]
pub use braid_core::*;

pub use self::{
    director::DefaultDirector,
    handle::Handle,
    node::Braid,
    section::{DiscoverSection, ElectorSection, LinkCacheSection, PubSubSection, ShutdownSection},
    topic::TopicHandle,
};

/// What a program that uses braid usually needs.
pub mod prelude {
    #[cfg(feature = "local")]
    pub use crate::local::Hub;
    #[cfg(feature = "rpc")]
    pub use crate::rpc::{RawRequest, Server};
    pub use crate::{
        Braid, DefaultDirector, Error, ErrorKind, Handle, Message, NewMessage, Result,
        SubscribeOptions, Token, reserved::Body as _,
    };
}

/// The README's programs, compiled and run.
#[cfg(all(doctest, feature = "local", feature = "redis", feature = "rpc"))]
#[doc = include_str!("../../README.md")]
struct Readme;
