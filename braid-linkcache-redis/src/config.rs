//! Where the links are, and their times.

use crate::error::config;
use braid_core::{Result, ServiceName};
use braid_redis::RedisConfig;
use std::time::Duration;

/// Where the links are, and their times. Every process of a fleet has the same values, but for `near_capacity` and `redis`.
///
/// ```
/// use braid_linkcache_redis::LinkCacheConfig;
/// use std::time::Duration;
///
/// let config = LinkCacheConfig {
///     ttl: Duration::from_secs(3600),
///     ..LinkCacheConfig::new("redis://127.0.0.1:6379")
/// };
/// assert!(config.validate().is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct LinkCacheConfig {
    /// How to reach Redis. Its `command_timeout` is 1 s by default here: a call with a token waits no longer for its link.
    pub redis: RedisConfig,
    /// Which fleet it is, where several share a server. Processes with the same one see the same links, and have to see the same nodes: what one of
    /// them knows to be gone loses its links. Default empty, which is a fleet like any other. 255 bytes at most.
    pub namespace: String,
    /// Where links are kept. Default [`Mode::Redis`].
    pub mode: Mode,
    /// How long a link lives without use. Default 10 min. Short values let users that pause change their node; long ones keep links of
    /// users that left without a word, and a drain waits for them. Use renews a link on the server at most once in a third of this.
    pub ttl: Duration,
    /// How long a node's uid is absent from discovery before the node counts as gone and its links are removed. Default 5 s. Zero makes
    /// every flicker of discovery move users; long values send them to a dead node meanwhile.
    pub grace: Duration,
    /// How old what this process answers from its memory may be, at most, when changes aren't heard of any more. Default 10 s. While
    /// the server is heard, changes arrive within a round trip, whatever this is. When nothing is heard, links that are known are
    /// answered for so long, and then every look asks the server. Short values cost traffic (four messages in this time) and make calls fail
    /// sooner when Redis is away; long ones send users to where they were, when only the push is cut.
    pub staleness: Duration,
    /// The shortest time between two publications of the nodes' link counts; what changes in between is published once. Default 1 s.
    pub count_interval: Duration,
    /// How many links this process remembers at most. Default 100,000, of some 200 bytes each with their tokens. Beyond it links that are remembered make room
    /// for those that are asked for, and are asked for again. They lie in 64 parts by chance, of which the first is full somewhat earlier: a tenth more than
    /// there are users leaves room for all.
    pub near_capacity: usize,
    /// Over how many parts the links of a service are spread; on a cluster, parts may be on different nodes. Default 16. More parts make counting dearer. It
    /// can't be changed while there are links: the value of whoever came first stands, and any other is refused at connect.
    pub buckets: u16,
    /// Services whose links are also looked for in the original's layout, for a fleet that is half Go: the names of the Go services that
    /// make them (`parent` in that layout). Default none. These links are followed, never written, and never remembered.
    pub original_parents: Vec<ServiceName>,
}

/// Where links are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// On Redis: all processes agree on every link, and links outlive the processes that made them.
    #[default]
    Redis,
    /// In each process' own memory, for users that come by one process only. Each process has links of its own; what ends them (a user who
    /// leaves, a node that drains or is gone) is told to all, and a node's count is that of all processes together.
    Local,
}

impl Default for LinkCacheConfig {
    fn default() -> Self {
        Self {
            redis: RedisConfig {
                command_timeout: Duration::from_secs(1),
                ..RedisConfig::default()
            },
            namespace: String::new(),
            mode: Mode::Redis,
            ttl: Duration::from_secs(600),
            grace: Duration::from_secs(5),
            staleness: Duration::from_secs(10),
            count_interval: Duration::from_secs(1),
            near_capacity: 100_000,
            buckets: 16,
            original_parents: Vec::new(),
        }
    }
}

impl LinkCacheConfig {
    /// The defaults, on the server at `url`: `redis://127.0.0.1:6379`.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        let mut config = Self::default();
        config.redis.url = url.into();
        config
    }

    /// Checks the values.
    ///
    /// # Errors
    /// `Config`, naming the field.
    pub fn validate(&self) -> Result<()> {
        self.redis.validate()?;
        if self.namespace.len() > 255 {
            return Err(config("namespace is longer than 255 bytes"));
        }
        if self.ttl < Duration::from_millis(100) {
            return Err(config(
                "ttl is below 100 ms: links would end between two calls",
            ));
        }
        if self.ttl > Duration::from_secs(365 * 24 * 3600) {
            return Err(config("ttl is above a year"));
        }
        if self.staleness < Duration::from_millis(100) {
            return Err(config(
                "staleness is below 100 ms: nothing could be answered from memory",
            ));
        }
        if self.near_capacity == 0 {
            return Err(config(
                "near_capacity is 0: each call with a token would ask the server",
            ));
        }
        if !(1..=1024).contains(&self.buckets) {
            let text = format!("buckets: {} is not between 1 and 1024", self.buckets);
            return Err(config(text));
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
        assert!(LinkCacheConfig::default().validate().is_ok());
        let change = |change: fn(&mut LinkCacheConfig)| {
            let mut config = LinkCacheConfig::default();
            change(&mut config);
            config
        };
        for (config, field) in [
            (
                change(|config| config.namespace = "x".repeat(256)),
                "namespace",
            ),
            (change(|config| config.ttl = Duration::ZERO), "ttl"),
            (change(|config| config.ttl = Duration::MAX), "ttl"),
            (
                change(|config| config.staleness = Duration::ZERO),
                "staleness",
            ),
            (change(|config| config.near_capacity = 0), "near_capacity"),
            (change(|config| config.buckets = 0), "buckets"),
            (change(|config| config.buckets = 2000), "buckets"),
            (change(|config| config.redis.url = "http://x".into()), "url"),
        ] {
            let error = config.validate().expect_err(field);
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().to_lowercase().contains(field), "{error}");
        }
    }
}
