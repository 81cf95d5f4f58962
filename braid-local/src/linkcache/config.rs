//! The times of the links.

use super::NAME;
use braid_core::{Error, ErrorKind, Result};
use std::time::Duration;

/// The times of the links. All handles of one hub share its links, so they have the same configuration.
///
/// ```
/// use braid_local::LinkCacheConfig;
/// use std::time::Duration;
///
/// let sessions = LinkCacheConfig { ttl: Duration::from_secs(3600), ..LinkCacheConfig::default() };
/// assert!(sessions.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkCacheConfig {
    /// How long a link lives without use. Default 10 min. Short values let users that pause change their node; long ones keep links of
    /// users that left without a word, and a drain waits for them.
    pub ttl: Duration,
    /// How long a node's uid is absent from discovery before the node counts as gone and its links are removed. Default 5 s. Zero makes
    /// every flicker of discovery move users; long values send them to a dead node meanwhile.
    pub grace: Duration,
    /// The shortest time between two publications of the nodes' link counts; what changes in between is published once. Default 1 s.
    /// Zero publishes each change that is seen.
    pub count_interval: Duration,
}

impl Default for LinkCacheConfig {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(600),
            grace: Duration::from_secs(5),
            count_interval: Duration::from_secs(1),
        }
    }
}

impl LinkCacheConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// `Config`, naming the field.
    pub fn validate(&self) -> Result<()> {
        if self.ttl < Duration::from_millis(10) {
            let text = "ttl is below 10 ms: links would end between two calls";
            return Err(Error::new(ErrorKind::Config, NAME, "config", text));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_without_time_to_live_are_refused() {
        assert!(LinkCacheConfig::default().validate().is_ok());
        let config = LinkCacheConfig {
            ttl: Duration::ZERO,
            ..LinkCacheConfig::default()
        };
        let error = config.validate().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("ttl"), "{error}");
    }
}
