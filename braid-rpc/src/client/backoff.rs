//! How long to wait before a node is tried again.

use std::time::Duration;

/// The waits between attempts to reach a node: each longer than the one before, up to a limit, and none the same at all clients.
///
/// The shape is gRPC's (*gRPC Connection Backoff Protocol*): the wait grows by a factor of 1.6, and each is spread by a fifth either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failure. Zero tries again at once, always. Default 100 ms.
    pub base: Duration,
    /// The longest wait, which is how late a node that comes back may be noticed. Default 3 s.
    pub max: Duration,
}

/// By which each wait is longer than the one before.
const FACTOR: f64 = 1.6;

/// By which part of it a wait may be longer or shorter.
const SPREAD: f64 = 0.2;

impl Default for Backoff {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(100),
            max: Duration::from_secs(3),
        }
    }
}

impl Backoff {
    /// The wait after this many failures in a row, with chance from 0 to 1.
    fn wait(&self, failures: u32, chance: f64) -> Duration {
        let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = self.base.as_secs_f64() * FACTOR.powi(exponent);
        let wait = grown.min(self.max.as_secs_f64());
        let spread = 1.0 + SPREAD * (2.0 * chance - 1.0);
        // Too long for a `Duration` is too long for the limit, which is one.
        Duration::try_from_secs_f64(wait * spread).unwrap_or(self.max)
    }
}

/// The waits of one node.
#[derive(Debug)]
pub(super) struct Waits {
    backoff: Backoff,
    failures: u32,
}

impl Waits {
    pub(super) fn new(backoff: Backoff) -> Self {
        Self {
            backoff,
            failures: 0,
        }
    }

    /// The wait after one more failure.
    pub(super) fn next(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.backoff.wait(self.failures, fastrand::f64())
    }

    /// How many failures there were in a row.
    pub(super) fn count(&self) -> u32 {
        self.failures
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_limit_and_are_spread() {
        let backoff = Backoff::default();
        let middle = |failures| backoff.wait(failures, 0.5).as_millis();
        assert_eq!([1, 2, 3].map(middle), [100, 160, 256]);
        for failures in [9, 100, u32::MAX] {
            assert_eq!(middle(failures), 3000);
        }
        let spread = [0.0, 1.0].map(|chance| backoff.wait(1, chance).as_millis());
        assert_eq!(spread, [80, 120]);
    }

    #[test]
    fn extreme_settings_give_a_wait() {
        let none = Backoff {
            base: Duration::ZERO,
            max: Duration::ZERO,
        };
        assert_eq!(none.wait(u32::MAX, 1.0), Duration::ZERO);
        let endless = Backoff {
            base: Duration::MAX,
            max: Duration::MAX,
        };
        assert!(endless.wait(7, 1.0) > Duration::from_secs(1 << 40));
    }
}
