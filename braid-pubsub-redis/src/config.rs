//! How topics on Redis behave.

use crate::error::config;
use braid_core::{Result, Topic};
use braid_redis::RedisConfig;
use std::{collections::BTreeMap, time::Duration};

/// How topics on Redis behave. All nodes of a fleet should have the same.
#[derive(Clone, Debug)]
pub struct PubSubConfig {
    /// The server, and how to get in.
    pub redis: RedisConfig,
    /// The most messages that a topic may hold. Default 1,000,000. At the cap `publish` is `Rejected`, and dead letters wait where
    /// they are. Messages that every channel has acked are removed, so that it's the slowest channel that fills a topic; a topic
    /// without any channel keeps all.
    ///
    /// Exact for one publisher. Many at once may exceed it by what the others publish within 100 ms. Large values cost the server's
    /// memory, small ones refuse publishers as soon as a channel falls behind.
    pub capacity: usize,
    /// Into how many partitions topics are split; those that aren't named have one. Each partition is a stream of its own, on a
    /// cluster in a slot of its own, with its share of [`capacity`](Self::capacity). Messages with keys go to the partition of their key, each of
    /// which has one consumer of a channel at a time; others go round. A subscription has a connection for each. 1 to 1024.
    ///
    /// Has to be the same on all nodes: the first use of a topic fixes it, and another number is refused. Only the first partition is a
    /// stream of the topic's name, so that braid-go sees nothing of the others.
    pub partitions: BTreeMap<Topic, u16>,
    /// What has to have happened before a publish is `Ok`. Default [`Durability::Fast`].
    pub durability: Durability,
    /// How long a dedup key is remembered. Default 2 minutes. Each costs a key of the server for that long.
    pub dedup_window: Duration,
    /// After how long without any consumer a shared channel stops holding its topic back; `None`: never. Default 7 days. What it had
    /// not been handed by then may be removed, which is logged, and told to its next consumer.
    pub forget_after: Option<Duration>,
    /// How long after its node's death an ephemeral channel is still there. Default 1 minute. Shorter values end channels of nodes
    /// that pause; longer ones let dead ones hold their topics back.
    pub ephemeral_after: Duration,
    /// How long a read waits at the server for something new. Default 2 s. A connection that has gone silent is noticed within twice this
    /// time. Short values cost a round trip each.
    pub block: Duration,
    /// How often what no channel needs any more is removed. Default 1 s.
    pub retention_interval: Duration,
}

/// What has to have happened before a publish is `Ok`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// The primary has it, in memory at least. A crash of the server loses what its persistence had not written; a
    /// failover what had not been replicated.
    #[default]
    Fast,
    /// The primary and this many replicas have it in memory. Lost only with all of them. `n` has to cover every replica that may be
    /// promoted, or a failover may lose it all the same.
    Replicated {
        /// How many replicas.
        n: u32,
        /// How long to wait for them. Beyond, the publish is `Indeterminate`: the primary has it.
        timeout: Duration,
    },
    /// The primary has it on its disk (WAITAOF: Redis 7.2 with `appendonly yes`).
    Durable,
}

impl Default for PubSubConfig {
    fn default() -> Self {
        Self {
            redis: RedisConfig::default(),
            capacity: 1_000_000,
            partitions: BTreeMap::new(),
            durability: Durability::Fast,
            dedup_window: Duration::from_secs(120),
            forget_after: Some(Duration::from_secs(7 * 24 * 3600)),
            ephemeral_after: Duration::from_secs(60),
            block: Duration::from_secs(2),
            retention_interval: Duration::from_secs(1),
        }
    }
}

impl PubSubConfig {
    /// The defaults, on the server at `url`: `redis://127.0.0.1:6379`.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            redis: RedisConfig::new(url),
            ..Self::default()
        }
    }

    /// Checks the values.
    ///
    /// # Errors
    /// `Config`, naming the field.
    pub fn validate(&self) -> Result<()> {
        self.redis.validate()?;
        let shortest = Duration::from_millis(10);
        if self.capacity == 0 {
            return Err(config("capacity is 0: nothing could be published"));
        }
        for (topic, number) in &self.partitions {
            if !(1..=1024).contains(number) {
                return Err(config(format!(
                    "partitions of `{topic}`: {number} is not between 1 and 1024"
                )));
            }
            if topic.is_dead_letters() {
                return Err(config(format!(
                    "partitions: `{topic}` has those of its topic"
                )));
            }
        }
        if self.dedup_window < shortest {
            return Err(config("dedup_window is below 10 ms"));
        }
        if self.block < Duration::from_millis(100) || self.block > Duration::from_secs(60) {
            return Err(config("block is not between 100 ms and 60 s"));
        }
        if self.ephemeral_after < Duration::from_secs(1) {
            return Err(config(
                "ephemeral_after is below 1 s: channels of live nodes would be taken for dead ones'",
            ));
        }
        if self
            .forget_after
            .is_some_and(|after| after < Duration::from_secs(1))
        {
            return Err(config(
                "forget_after is below 1 s: channels with consumers would be forgotten",
            ));
        }
        if self.retention_interval < shortest {
            return Err(config("retention_interval is below 10 ms"));
        }
        if let Durability::Replicated { n, timeout } = self.durability {
            if n == 0 {
                return Err(config("durability: replicated to 0 replicas is `Fast`"));
            }
            if timeout.is_zero() {
                return Err(config("durability: a timeout of 0 would wait without end"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use braid_core::ErrorKind;

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        assert!(PubSubConfig::default().validate().is_ok());
        let refused = |config: PubSubConfig, field: &str| {
            let error = config.validate().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(field), "{error}");
        };
        let good = PubSubConfig::default;
        refused(
            PubSubConfig {
                capacity: 0,
                ..good()
            },
            "capacity",
        );
        refused(
            PubSubConfig {
                block: Duration::ZERO,
                ..good()
            },
            "block",
        );
        refused(
            PubSubConfig {
                dedup_window: Duration::ZERO,
                ..good()
            },
            "dedup_window",
        );
        refused(
            PubSubConfig {
                forget_after: Some(Duration::ZERO),
                ..good()
            },
            "forget_after",
        );
        refused(
            PubSubConfig {
                ephemeral_after: Duration::ZERO,
                ..good()
            },
            "ephemeral_after",
        );
        refused(
            PubSubConfig {
                retention_interval: Duration::ZERO,
                ..good()
            },
            "retention_interval",
        );
        let durability = Durability::Replicated {
            n: 0,
            timeout: Duration::from_secs(1),
        };
        refused(
            PubSubConfig {
                durability,
                ..good()
            },
            "durability",
        );
    }
}
