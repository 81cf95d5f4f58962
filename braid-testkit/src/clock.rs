//! A clock that tests move.

use braid_core::{BootTime, Clock};
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// A [`Clock`] that goes with tokio's time, paused or not, and can [`jump`](Self::jump) ahead of it.
///
/// ```
/// # let runtime = braid_testkit::paused_time();
/// # runtime.block_on(async {
/// use braid_core::Clock;
/// use std::time::Duration;
///
/// let clock = braid_testkit::TestClock::new();
/// tokio::time::sleep(Duration::from_secs(2)).await; // costs nothing in paused time
/// clock.jump(Duration::from_secs(60));
/// assert_eq!(clock.now().since_origin().as_secs(), 62);
/// # });
/// ```
#[derive(Debug)]
pub struct TestClock {
    created: Instant,
    ahead: Mutex<Duration>,
}

impl TestClock {
    /// A clock that shows zero now. Made within the runtime whose time it follows.
    #[must_use]
    pub fn new() -> Self {
        Self {
            created: Instant::now(),
            ahead: Mutex::default(),
        }
    }

    /// The machine was suspended, or the process frozen, for this long: no timer has moved meanwhile.
    pub fn jump(&self, by: Duration) {
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }
}

impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TestClock {
    fn now(&self) -> BootTime {
        let ahead = *self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        BootTime::from_origin(self.created.elapsed() + ahead)
    }
}
