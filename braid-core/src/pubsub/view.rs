//! What people and dashboards are shown of topics and channels.

use super::ChannelKind;
use crate::Channel;
use std::time::{Duration, SystemTime};

/// The state of a topic at one moment. Backends begin with the [default](TopicView::default), a topic that holds nothing, and set
/// the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicView {
    /// How many messages it holds, the acked ones that retention has not removed yet included.
    pub messages: usize,
    /// How many messages its dead-letter topic holds. 0 when it has none.
    pub dead_letters: usize,
    /// Its channels, by name.
    pub channels: Vec<ChannelView>,
}

/// The state of a channel at one moment.
///
/// A delayed message that isn't due counts under [`lag`](Self::lag) until the channel has come by it, and under
/// [`pending`](Self::pending) from then on. A message that is for another channel only counts nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelView {
    /// Its name.
    pub name: Channel,
    /// Whether it outlives its consumers.
    pub kind: ChannelKind,
    /// How many messages have never been handed out.
    pub lag: usize,
    /// How many were handed out (or wait for their next attempt) and aren't acked.
    pub pending: usize,
    /// When the oldest message that it has not acked, handed out or not, was published; `None` when there is none. How far
    /// behind it is in time.
    pub oldest: Option<SystemTime>,
    /// How many consumers take part.
    pub consumers: usize,
    /// Its consumers as far as the backend knows them one by one, by name. May hold more than
    /// [`consumers`](Self::consumers): those that died and whose messages nobody has claimed yet.
    pub members: Vec<ConsumerView>,
}

impl ChannelView {
    /// A channel that has nothing to do, for backends.
    #[must_use]
    pub fn new(name: Channel, kind: ChannelKind) -> Self {
        Self {
            name,
            kind,
            lag: 0,
            pending: 0,
            oldest: None,
            consumers: 0,
            members: Vec::new(),
        }
    }
}

/// The state of one consumer of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerView {
    /// Its name, unique within the channel. Made by the backend.
    pub name: String,
    /// How many messages it holds unsettled.
    pub pending: usize,
    /// How long ago the backend last heard of it, where it knows: a consumer that is busy or has nothing to do may be silent for long.
    pub idle: Option<Duration>,
}

impl ConsumerView {
    /// A consumer that holds nothing, for backends.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            pending: 0,
            idle: None,
        }
    }
}
