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
//! # Policies
//! A [`Policy`] is a small synchronous thing that knows nothing of transports; it can be swapped while calls go on
//! ([`Balancer::set_policy`]). [`PolicyKind`] names those that there are, for configurations. All of them honour weights.
//!
//! | policy | picks | take it when |
//! |---|---|---|
//! | [`SmoothWeighted`] | nginx's smooth weighted round-robin, exactly; the default | calls cost about the same, and shares should be exact and even |
//! | [`WeightedRandom`] | at random, by weight | there are so many clients that round-robins would fall into step |
//! | [`PeakEwma`] | the better of two by latency and load | nodes get slow at times, and callers [`observe`](Picked::observe) |
//! | [`LeastRequest`] | the less loaded of a few | calls differ in cost by far, streams for example |
//! | [`Rendezvous`] | by the hash of a key ([`Balancer::pick_for`]) | a node keeps something of a user, such as a cache, and may lose it |
//!
//! # What takes part
//! A policy is asked for one of those nodes only that are left when this is done, in this order:
//!
//! 1. Nodes take part that are [`Ready`](braid_core::NodeState::Ready), have a weight, and aren't drained by hand ([`Balancer::drain`]).
//! 2. With a [`ZonePreference`] they are the zone's own, and others as far as the zone can't carry the calls.
//! 3. With a [`Subset`] they are a few.
//! 4. These are [`wanted`](Table::wanted): there should be connections to them. Those whose [`Endpoint`] says that it can be reached are
//!    [`ready`](Table::ready). Without any, there is no pick.
//!
//! Slow start ([`SlowStart`]) and zones act by the weights that the policy is given, so that every policy honours them. Without these the
//! weights are exactly the nodes' own. All nodes stay reachable by name: one that drains goes on serving whoever is linked to it.
//!
//! The balancer has no background. Its user calls [`refresh`](Balancer::refresh) when an endpoint's health has changed, and when
//! [`next_refresh`](Balancer::next_refresh) says so.
//!
//! # Cost
//! A pick is lock-free and allocates nothing: it compares a number, asks the policy, and takes a counted reference. That reference is the
//! load, too: what is in flight is read off the count, so that a pick and the drop of its [`Picked`] write to nothing of the node but
//! that. Updates build a new table and publish it at once, so no pick ever sees a half-changed or an empty one in between. Each thread
//! keeps the list of nodes that it used last, of 16 balancers at most; the first pick after a change, on each thread, replaces it.
//!
//! # tower
//! Whoever balances by tower finds discovery and load as its types in [`tower`].

mod balancer;
mod clock;
mod config;
mod endpoint;
mod entry;
mod hash;
mod lineup;
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
    entry::{Entry, Peer, Picked},
    load::Latency,
    policy::{
        Candidates, LeastRequest, PeakEwma, Picker, Policy, PolicyKind, Rendezvous, SmoothWeighted,
        Weighted, WeightedRandom,
    },
    table::Table,
};
