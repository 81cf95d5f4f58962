//! Topics in memory: the reference of what the distributed pub-sub backends do.
//!
//! ```text
//! LocalPubSub (node.rs)          one node's handle: close, drain
//!   Deliveries (subscription.rs) one consumer's stream        Receipt (delivery.rs) one delivery's way back
//!   Reader (reader.rs)           the stream of who takes no part
//!     Broker (broker.rs)         the topics' locks; what leaves them: wakers and log lines (effects.rs), dead letters (dead_letters.rs)
//!       TopicState (topic.rs)    a topic as a pure state machine
//!         Log (log.rs)           its messages and their retention
//!         ChannelState (channel) who is handed what
//!         Place (place.rs)       how far a reader is
//!         Dedup (dedup.rs)       what was published lately
//! ```
//!
//! What happens is decided in the state machines, which know no locks, tasks or timers; everything above them only carries their
//! decisions out. There is no background task: time is looked at by whoever waits for it.

mod broker;
mod channel;
mod config;
mod dead_letters;
mod dedup;
mod delivery;
mod effects;
mod grave;
mod log;
mod node;
mod place;
mod reader;
mod subscription;
mod terms;
#[cfg(test)]
mod tests;
mod topic;

pub(crate) use self::broker::Broker;
pub use self::{config::PubSubConfig, node::LocalPubSub};

/// The component's name in errors and logs.
const NAME: &str = "pubsub-local";
