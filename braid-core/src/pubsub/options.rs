//! How a consumer takes part in a channel.

use crate::{Error, ErrorKind, MessageId, Result};
use std::time::Duration;

/// How a consumer takes part in a channel. Plain fields; [`validate`](SubscribeOptions::validate) is called by every
/// backend.
///
/// ```
/// use braid_core::{Start, SubscribeOptions};
///
/// let replay = SubscribeOptions { start: Start::Beginning, ..SubscribeOptions::ephemeral() };
/// assert!(replay.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// Whether the channel outlives its consumers. Default [`ChannelKind::Shared`].
    pub kind: ChannelKind,
    /// Where the channel begins when this subscription is what creates it; an existing channel goes on where it is.
    /// Default [`Start::New`].
    pub start: Start,
    /// How many deliveries this consumer may hold unsettled, handed out and buffered together. Default 256. 1 means no
    /// next message before the last one is settled; large values let one consumer take what others could work on.
    pub max_in_flight: usize,
    /// How long a delivery may go without ack and without heartbeat before another consumer may claim it. Default 30 s.
    /// Short values repeat the work of a consumer that pauses; long ones delay what a dead consumer held.
    pub claim_after: Duration,
    /// Whether the subscription renews what this process holds, so that a slow handler isn't taken for a dead one.
    /// Default true. Without it a delivery that takes longer than `claim_after` is handed out twice.
    pub heartbeat: bool,
    /// How often a message is handed out before it goes to the dead letters. Default 5. 1 means no retry.
    pub max_attempts: u32,
    /// How long a message waits after a failed attempt.
    pub backoff: Backoff,
}

impl SubscribeOptions {
    /// The defaults: a shared channel that starts with what is published from now on.
    #[must_use]
    pub fn shared() -> Self {
        Self {
            kind: ChannelKind::Shared,
            start: Start::New,
            max_in_flight: 256,
            claim_after: Duration::from_secs(30),
            heartbeat: true,
            max_attempts: 5,
            backoff: Backoff::default(),
        }
    }

    /// The defaults on a channel of this consumer's own, which goes with it.
    #[must_use]
    pub fn ephemeral() -> Self {
        Self {
            kind: ChannelKind::Ephemeral,
            ..Self::shared()
        }
    }

    /// Checks the values.
    ///
    /// # Errors
    /// `Config`, naming the field.
    pub fn validate(&self) -> Result<()> {
        let fault = if self.max_in_flight == 0 {
            "max_in_flight is 0: nothing could ever be delivered"
        } else if self.claim_after < Duration::from_millis(10) {
            "claim_after is below 10 ms: every delivery would be handed out twice"
        } else if self.max_attempts == 0 {
            "max_attempts is 0: every message would be a dead letter"
        } else if self.backoff.initial > self.backoff.max {
            "backoff.initial is above backoff.max"
        } else {
            return Ok(());
        };
        Err(Error::new(
            ErrorKind::Config,
            "core",
            "subscribe options",
            fault,
        ))
    }
}

impl Default for SubscribeOptions {
    fn default() -> Self {
        Self::shared()
    }
}

/// Whether a channel outlives its consumers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChannelKind {
    /// Stays, with its position and what is pending, when its last consumer leaves.
    Shared,
    /// Goes when its consumer closes, or some time after its node died (the backend states which), and then holds nothing
    /// back. For a node's own view of a topic.
    Ephemeral,
}

/// Where a new channel begins.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Start {
    /// With the first message published after the channel was created.
    New,
    /// With the oldest message that the topic still holds.
    Beginning,
    /// With the first message behind this one.
    After(MessageId),
}

/// Waiting times between attempts: exponential, bounded. The same for every consumer, since what waits is the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failed attempt; doubled after each further one. Default 100 ms. Zero: no wait.
    pub initial: Duration,
    /// The longest wait. Default 30 s.
    pub max: Duration,
}

impl Backoff {
    /// No wait at all.
    pub const NONE: Self = Self {
        initial: Duration::ZERO,
        max: Duration::ZERO,
    };

    /// The wait after `attempt` (1 is the first) has failed.
    #[must_use]
    pub fn after(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        self.initial.saturating_mul(1 << doublings).min(self.max)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(100),
            max: Duration::from_secs(30),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_bound() {
        let backoff = Backoff {
            initial: Duration::from_millis(100),
            max: Duration::from_secs(1),
        };
        let waits = [1, 2, 3, 4, 5, 200].map(|attempt| backoff.after(attempt).as_millis());
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(Backoff::NONE.after(9), Duration::ZERO);
    }

    #[test]
    fn impossible_options_are_refused_by_name() {
        let refused = |options: SubscribeOptions, field: &str| {
            let error = options.validate().unwrap_err();
            assert!(error.to_string().contains(field), "{error}");
        };
        let good = SubscribeOptions::default;
        assert!(good().validate().is_ok());
        refused(
            SubscribeOptions {
                max_in_flight: 0,
                ..good()
            },
            "max_in_flight",
        );
        refused(
            SubscribeOptions {
                max_attempts: 0,
                ..good()
            },
            "max_attempts",
        );
        refused(
            SubscribeOptions {
                claim_after: Duration::ZERO,
                ..good()
            },
            "claim_after",
        );
        let backoff = Backoff {
            initial: Duration::from_secs(9),
            max: Duration::from_secs(1),
        };
        refused(SubscribeOptions { backoff, ..good() }, "backoff.initial");
    }
}
