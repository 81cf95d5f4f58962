//! Which node gets the next call: a table of a service's nodes, and policies over it.
//!
//! A [`Balancer`] holds one service. Discovery's [`Update`](braid_core::Update)s go in, nodes come out: by policy
//! ([`Balancer::pick`]), or by name for calls that are bound to a node ([`Balancer::by_node`], [`Balancer::by_id`]). Every node's
//! [`Entry`] owns what belongs to that node (the RPC client keeps the connection there), so a pick and its connection can't
//! disagree, and a [`Picked`] counts as load until it is dropped.
//!
//! ```
//! use braid_balancer::{Balancer, SmoothWeighted};
//! use braid_core::{Node, NodeId, NodeRef, ServiceName, Update};
//! use std::sync::Arc;
//!
//! let node = |id: &str, weight| -> braid_core::Result<_> {
//!     let who = NodeRef::random(NodeId::new(id)?);
//!     let address = ([10, 0, 0, 1], 14222).into();
//!     Ok(Arc::new(Node::new(ServiceName::new("login")?, who, address).with_weight(weight)))
//! };
//! // What an entry owns is up to the caller; here it is nothing.
//! let balancer = Balancer::<()>::new(SmoothWeighted::new());
//! let view = Update::Reset(vec![node("a", 5)?, node("b", 1)?, node("c", 1)?]);
//! balancer.apply([view], |_node| ());
//!
//! let picks: Vec<_> = (0..7)
//!     .filter_map(|_| balancer.pick())
//!     .map(|picked| picked.node().node.id.to_string())
//!     .collect();
//! assert_eq!(picks.join(" "), "a a b a c a a");
//! # Ok::<(), braid_core::Error>(())
//! ```
//!
//! # What takes part
//! Only nodes that are [`Ready`](braid_core::NodeState::Ready) and have a weight are picked by policy. The others stay reachable by
//! name: a node that drains goes on serving whoever is linked to it.
//!
//! # Cost
//! A pick is lock-free and allocates nothing: it loads a snapshot, asks the policy, and takes a counted reference. Updates build
//! a new table and publish it at once, so no pick ever sees a half-changed or an empty one in between.
//!
//! # Policies
//! A [`Policy`] is a small synchronous thing that knows nothing of transports; it can be swapped while calls go on
//! ([`Balancer::set_policy`]). [`SmoothWeighted`] is nginx's smooth weighted round-robin.

mod balancer;
mod clock;
mod config;
mod endpoint;
mod entry;
mod hash;
mod load;
mod policy;
mod share;
mod table;
pub mod tower;

pub use self::{
    balancer::Balancer,
    clock::CoarseClock,
    config::{BalancerConfig, SlowStart, Subset, ZonePreference},
    endpoint::{Endpoint, Health},
    entry::{Entry, Picked},
    load::Latency,
    policy::{
        Candidates, LeastRequest, PeakEwma, Picker, Policy, PolicyKind, Rendezvous, SmoothWeighted,
        Weighted, WeightedRandom,
    },
    table::Table,
};
