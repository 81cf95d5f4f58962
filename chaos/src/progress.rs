//! A line now and then, for whoever waits.

use std::time::{Duration, Instant};

/// Writes to standard error, at most one line a second.
#[derive(Debug)]
pub(crate) struct Progress {
    started: Instant,
    last: Option<Instant>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            last: None,
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Tells how far it is, if it wasn't told within the last second.
    pub(crate) fn now_and_then(&mut self, what: impl FnOnce() -> String) {
        let second = Duration::from_secs(1);
        if self.last.is_none_or(|last| last.elapsed() >= second) {
            self.last = Some(Instant::now());
            self.say(&what());
        }
    }

    /// Tells something.
    pub(crate) fn say(&self, what: &str) {
        eprintln!("{:6.1} s  {what}", self.elapsed().as_secs_f64());
    }
}
