//! The words that the state machines, the broker and the handles share.

use super::log::Seq;
use braid_core::{BootTime, Message, SubscribeOptions};
use std::time::Duration;

/// A consumer, unique within a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ConsumerId(pub(super) u64);

/// One life of a channel, unique within a broker: a channel that is made again under the same name has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ChannelId(pub(super) u64);

/// A node's handle on the broker, unique within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NodeKey(pub(super) u64);

/// Who takes part, and on which terms.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) consumer: ConsumerId,
    pub(super) node: NodeKey,
    pub(super) options: SubscribeOptions,
}

/// One hand-out of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HandOut {
    pub(super) seq: Seq,
    pub(super) attempt: u32,
}

/// The answer to a consumer that asks for a message.
#[derive(Debug)]
pub(super) enum Next {
    /// This one, in this hand-out.
    Message(Message, HandOut),
    /// None for now. When nobody wakes the consumer before, it looks again at that moment.
    Idle { until: Option<BootTime> },
    /// The channel was forgotten while it had no consumer. Said once, to the first who asks.
    Forgotten,
    /// The consumer has left.
    Gone,
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// Why it failed: what a dead letter would say.
    pub(super) reason: String,
    pub(super) then: Then,
}

/// What follows a failed attempt, when attempts are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The wait of the consumer's backoff.
    Backoff,
    /// This wait.
    Wait(Duration),
    /// The dead letters, whatever is left.
    DeadLetter,
}

/// What a failed attempt led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// It was no longer this consumer's; nothing changed.
    Lost,
    /// Done as asked.
    Done,
    /// The message waits for its next attempt, although it should be a dead letter: there is no place for those.
    NoGrave,
}

/// Who has to look again after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    Nobody,
    /// The consumer that was full.
    Consumer(ConsumerId),
    /// Everyone in the channel.
    Channel,
}
