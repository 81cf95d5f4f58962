//! The times of an election.

use super::NAME;
use braid_core::{Error, ErrorKind, Result};
use std::time::Duration;

/// The times of an election. `lease_duration > renew_deadline > 1.2 x refresh`, as in client-go.
///
/// ```
/// use braid_local::ElectorConfig;
/// use std::time::Duration;
///
/// let slower = ElectorConfig { refresh: Duration::from_secs(5), ..ElectorConfig::default() };
/// assert!(slower.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElectorConfig {
    /// How long a lease is valid after its last renewal. Default 15 s. It bounds how long a service is without a master after
    /// one died; short values let a process that pauses lose its leadership.
    pub lease_duration: Duration,
    /// How long a leader that can't renew its lease goes on trying before it steps down. Default 10 s. What lies between this and
    /// `lease_duration` is the time that leader-scoped tasks have to end before another candidate may lead.
    pub renew_deadline: Duration,
    /// How often a leader renews its lease, and how long a candidate waits after a failed attempt. Default 2 s. Long values leave few
    /// attempts within `renew_deadline`; short ones only cost work.
    pub refresh: Duration,
}

impl Default for ElectorConfig {
    fn default() -> Self {
        Self {
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            refresh: Duration::from_secs(2),
        }
    }
}

impl ElectorConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// `Config`, naming the field.
    pub fn validate(&self) -> Result<()> {
        let Self {
            lease_duration,
            renew_deadline,
            refresh,
        } = *self;
        let fault = if refresh.is_zero() {
            "refresh is 0: the lease would be renewed without a pause".to_owned()
        } else if renew_deadline <= refresh.saturating_mul(6) / 5 {
            format!("renew_deadline ({renew_deadline:?}) is not above 1.2 x refresh ({refresh:?})")
        } else if lease_duration <= renew_deadline {
            format!(
                "lease_duration ({lease_duration:?}) is not above renew_deadline ({renew_deadline:?})"
            )
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Config, NAME, "config", fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_are_checked_as_client_go_does_and_faults_name_the_field() {
        let second = Duration::from_secs;
        let check = |lease_duration, renew_deadline, refresh| {
            let config = ElectorConfig {
                lease_duration,
                renew_deadline,
                refresh,
            };
            config.validate().map_err(|error| error.to_string())
        };
        assert_eq!(ElectorConfig::default().validate().ok(), Some(()));
        assert_eq!(check(second(15), second(10), second(5)), Ok(()));
        for (times, field) in [
            ((second(15), second(10), second(0)), "refresh is 0"),
            ((second(15), second(6), second(5)), "renew_deadline"),
            ((second(10), second(10), second(2)), "lease_duration"),
            ((second(9), second(10), second(2)), "lease_duration"),
            ((Duration::MAX, second(10), Duration::MAX), "renew_deadline"),
        ] {
            let text = check(times.0, times.1, times.2).unwrap_err();
            assert!(text.starts_with("elector-local: config: "), "{text}");
            assert!(text.contains(field), "{text}");
        }
    }
}
