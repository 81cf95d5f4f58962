//! How much a topic may hold, and what it remembers.

use braid_core::{Error, ErrorKind, Result};
use std::time::Duration;

/// How much each topic of an in-process fleet may hold, and what it remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PubSubConfig {
    /// The most messages of one topic that some channel still needs: not handed out yet, or handed out and not settled.
    /// Default 65,536. At the cap `publish` returns `Rejected`, and the dead letters of a topic whose dead-letter topic is at its
    /// cap wait where they are.
    ///
    /// Small values refuse publishers as soon as the slowest channel falls behind. Large ones let it fall further behind, at
    /// the price of memory: up to this many bodies for each topic. A shared channel that nobody reads any more fills its topic.
    pub capacity: usize,
    /// How many of the newest messages of a topic are kept although no channel needs them any more, for channels that start
    /// at [`Start::Beginning`](braid_core::Start::Beginning) or behind an id. Default 1,024. A dead-letter topic keeps
    /// [`capacity`](Self::capacity) messages if that is more, since they may be the only copies left.
    ///
    /// 0 keeps nothing: a late channel gets only what another channel still needs, and so does a
    /// [reader](braid_core::PubSub::read). Large values cost memory in every topic that was ever published to.
    pub history: usize,
    /// How long a topic remembers a [dedup key](braid_core::NewMessage::with_dedup_key) from its first publish on. Default 2 minutes.
    ///
    /// Zero remembers none: every publish stores a message. Long windows cost memory: each key and the id behind it.
    pub dedup_window: Duration,
    /// After how long without any consumer a shared channel is forgotten: it no longer holds back the topic, and its next
    /// consumer is told by an `Err` item (`NotFound`). Default 7 days. `None`: never.
    ///
    /// Short values lose what a channel had to do when all its consumers are away for a while. Long ones let a channel that
    /// nobody will ever read again fill its topic for that time.
    pub forget_after: Option<Duration>,
}

impl PubSubConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// `Config`, naming the field.
    pub fn validate(&self) -> Result<()> {
        if self.capacity == 0 {
            let text = "capacity is 0: nothing could be published to a topic with a channel";
            return Err(Error::new(ErrorKind::Config, super::NAME, "config", text));
        }
        Ok(())
    }
}

impl Default for PubSubConfig {
    fn default() -> Self {
        Self {
            capacity: 65_536,
            history: 1_024,
            dedup_window: Duration::from_secs(120),
            forget_after: Some(Duration::from_secs(7 * 24 * 60 * 60)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_of_nothing_is_refused_by_name() {
        assert!(PubSubConfig::default().validate().is_ok());
        let none = PubSubConfig {
            capacity: 0,
            ..PubSubConfig::default()
        };
        let error = none.validate().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("capacity"), "{error}");
    }
}
