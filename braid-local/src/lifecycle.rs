//! What the handles have in common: a run that happens once, and an end that closes the handle.

use braid_core::{BootTime, Clock, Error, ErrorKind, Result};
use futures_util::FutureExt;
use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// The longest sleep. The injected clock may jump while timers stand still, so whoever waits looks at it this often,
/// and notices a jump well within a second.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_millis(500);

const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

/// Open until its run has ended, however that ended.
#[derive(Debug, Default)]
pub(crate) struct Lifecycle {
    started: AtomicBool,
    /// What `closed` says, without its lock: looked at by every call.
    ended: AtomicBool,
    closed: CancellationToken,
}

/// A run. Its end closes the handle.
pub(crate) struct Run<'a>(&'a Lifecycle);

impl Lifecycle {
    pub(crate) fn start(&self, component: &'static str) -> Result<Run<'_>> {
        if self.started.swap(true, Ordering::AcqRel) {
            return Err(runs_once(component));
        }
        Ok(Run(self))
    }

    /// Refuses what is asked of a handle whose run has ended.
    pub(crate) fn check(&self, component: &'static str, operation: &'static str) -> Result<()> {
        if self.ended.load(Ordering::Acquire) {
            let text = "the component's run has ended";
            return Err(Error::new(ErrorKind::Closed, component, operation, text));
        }
        Ok(())
    }

    /// Cancelled once the run has ended.
    pub(crate) fn closed(&self) -> &CancellationToken {
        &self.closed
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Release);
        self.0.closed.cancel();
    }
}

/// The error of a second run.
pub(crate) fn runs_once(component: &'static str) -> Error {
    let text = "a component runs once, and this one was started before";
    Error::new(ErrorKind::Conflict, component, "run", text)
}

/// Does a component's work; a panic in it becomes the run's error.
pub(crate) async fn supervise(
    component: &'static str,
    work: impl Future<Output = Result<()>>,
) -> Result<()> {
    AssertUnwindSafe(work)
        .catch_unwind()
        .await
        .unwrap_or_else(|panic| {
            let text = format!("the background work panicked: {}", panic_text(&*panic));
            Err(Error::new(ErrorKind::Internal, component, "run", text))
        })
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}

/// Sleeps until the clock shows `deadline`, jumps of the clock included; at least a millisecond, so that nobody spins.
pub(crate) async fn sleep_until(clock: &dyn Clock, deadline: BootTime) {
    loop {
        let left = deadline.saturating_since(clock.now());
        tokio::time::sleep(left.clamp(SHORTEST_SLEEP, LONGEST_SLEEP)).await;
        if clock.now() >= deadline {
            return;
        }
    }
}

/// Locks. What a panicking holder left behind is whole: no holder calls code that could panic between two changes.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
