//! The contracts of braid: one dyn-safe trait for each distributed component, the types that they speak in, and nothing that
//! does I/O.
//!
//! | component | trait | says |
//! |---|---|---|
//! | pub-sub | [`PubSub`] | topics, channels, at-least-once deliveries |
//! | discovery | [`Discover`] | which nodes a service has, as a stream of [`Update`]s |
//! | election | [`Elector`] | one master per service, as a [`Leadership`] handle with a fencing [`Term`] |
//! | links | [`LinkCache`] | which node a user's token is bound to |
//! | calls | [`Call`] | a byte-level call by service name |
//!
//! Whoever writes a backend implements one of these traits and runs `braid-testkit`'s conformance suite over it; whoever uses
//! braid takes them from the facade crate `braid`, or picks a backend crate and this one.
//!
//! Every trait is a [`Component`]: it has a name and a `run` that does the background work and returns once drained. Every
//! failure is an [`Error`] with an [`ErrorKind`]; its text names the thing at fault and holds no secret. Everything whose validity
//! ends is judged by a [`Clock`] that counts suspended time.
//!
//! ```
//! use braid_core::{Message, MessageId, NewMessage, Topic};
//! use std::time::SystemTime;
//!
//! let topic = Topic::new("chat.world")?;
//! let message = NewMessage::new("hello").with_key("room-7");
//! let arrived = Message::new(MessageId::new("1-0")?, SystemTime::now(), message);
//! assert_eq!((topic.as_str(), arrived.attempt), ("chat.world", 1));
//! # Ok::<(), braid_core::Error>(())
//! ```
//!
//! # Not promised
//! Exactly-once delivery; mutual exclusion without a fenced sink ([`Fence`]).

mod call;
mod clock;
mod component;
pub mod discover;
mod elector;
mod error;
mod linkcache;
mod name;
mod node;
pub mod pubsub;
pub mod reserved;
mod shutdown;

#[doc(no_inline)]
pub use bytes::Bytes;
#[doc(no_inline)]
pub use futures_core::{Stream, future::BoxFuture, stream::BoxStream};

pub use self::{
    call::{Call, CallOptions, IntoCallOptions},
    clock::{BootTime, Clock, SystemClock},
    component::Component,
    discover::{Announce, Announcement, Discover, Update},
    elector::{Elector, Fence, LeaderGuard, Leadership, LeadershipSender, State, Term},
    error::{Error, ErrorKind, Result},
    linkcache::{Claim, LinkCache, LinkCacheExt},
    name::{Channel, MessageId, NodeId, ServiceName, Token, Topic, Uid},
    node::{Node, NodeRef, NodeState, process_node_id},
    pubsub::{
        Acknowledge, Backoff, ChannelKind, Consumer, Delivery, Message, NewMessage, Ownership,
        PubSub, PubSubExt, Start, SubscribeOptions, Subscription,
    },
    shutdown::{Shutdown, ShutdownTrigger},
};
