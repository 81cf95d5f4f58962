//! A clock that goes with tokio's, and jumps when told to.

use braid_core::{BootTime, Clock};
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct JumpClock {
    origin: Instant,
    jumped: Mutex<Duration>,
}

impl JumpClock {
    pub(super) fn new() -> Self {
        Self {
            origin: Instant::now(),
            jumped: Mutex::default(),
        }
    }

    /// The machine was suspended for this long: no timer noticed.
    pub(super) fn jump(&self, by: Duration) {
        *self.jumped.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }
}

impl Clock for JumpClock {
    fn now(&self) -> BootTime {
        let jumped = *self.jumped.lock().unwrap_or_else(PoisonError::into_inner);
        BootTime::from_origin(self.origin.elapsed() + jumped)
    }
}
