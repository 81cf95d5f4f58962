//! How much a topic may hold.

use braid_core::{Error, ErrorKind, Result};

/// How much each topic of an in-process fleet may hold.
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
    /// 0 keeps nothing: a late channel gets only what another channel still needs. Large values cost memory in every topic that
    /// was ever published to.
    pub history: usize,
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
