//! Shutdown in two steps: drain, then force.

use tokio_util::sync::CancellationToken;

/// What a component listens to in order to end: first asked to drain, later perhaps forced.
///
/// Cloning is cheap; all clones belong to the [`ShutdownTrigger`] that they came from.
#[derive(Clone, Debug)]
pub struct Shutdown {
    drain: CancellationToken,
    force: CancellationToken,
}

/// Starts what the [`Shutdown`] handles of it listen to. Dropping it forces the end, so that nothing runs unowned.
#[derive(Debug)]
pub struct ShutdownTrigger(Shutdown);

impl ShutdownTrigger {
    /// A trigger that nobody has pulled.
    #[must_use]
    pub fn new() -> Self {
        Self(Shutdown {
            drain: CancellationToken::new(),
            force: CancellationToken::new(),
        })
    }

    /// A handle for whoever has to end.
    #[must_use]
    pub fn shutdown(&self) -> Shutdown {
        self.0.clone()
    }

    /// Asks to take nothing new, finish what is in flight, and return.
    pub fn drain(&self) {
        self.0.drain.cancel();
    }

    /// Asks to return now, whatever is in flight. Includes [`drain`](Self::drain).
    pub fn force(&self) {
        self.0.drain.cancel();
        self.0.force.cancel();
    }
}

impl Default for ShutdownTrigger {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for ShutdownTrigger {
    fn drop(&mut self) {
        self.force();
    }
}

impl Shutdown {
    /// True once a drain was asked for.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// True once the end was forced.
    #[must_use]
    pub fn is_forced(&self) -> bool {
        self.force.is_cancelled()
    }

    /// Waits until a drain is asked for; at once if it was.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Waits until the end is forced; at once if it was.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn forced(&self) {
        self.force.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn force_includes_drain_and_drop_forces() {
        let trigger = ShutdownTrigger::new();
        let shutdown = trigger.shutdown();
        assert!(!shutdown.is_draining());
        trigger.drain();
        shutdown.draining().await;
        assert!(!shutdown.is_forced());
        drop(trigger);
        shutdown.forced().await;
        assert!(shutdown.is_draining() && shutdown.is_forced());
    }
}
