//! A component whose `run` goes on in the background of a case.

use crate::{SETTLED, within};
use braid_core::{Component, Result, ShutdownTrigger};
use futures_util::task::AtomicWaker;
use std::{
    fmt,
    future::poll_fn,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};
use tokio::{sync::oneshot, task::JoinHandle};

/// A component whose [`run`](Component::run) goes on in the background. Dereferences to the component. Dropping it forces the
/// component's end.
#[must_use = "a component that is dropped is forced to end"]
pub struct Running<C: Component + ?Sized> {
    component: Arc<C>,
    trigger: ShutdownTrigger,
    gate: Arc<Gate>,
    task: JoinHandle<Result<()>>,
}

/// Lets nothing through while it is closed.
#[derive(Debug, Default)]
struct Gate {
    closed: AtomicBool,
    waker: AtomicWaker,
}

impl<C: Component + ?Sized> Running<C> {
    /// Starts `run`, and returns when it has been polled once: from then on whatever stops it stops something.
    pub async fn start(component: Arc<C>) -> Self {
        let trigger = ShutdownTrigger::new();
        let gate = Arc::new(Gate::default());
        let (polled, begun) = oneshot::channel::<()>();
        let task = {
            let (component, shutdown) = (Arc::clone(&component), trigger.shutdown());
            let (gate, mut polled) = (Arc::clone(&gate), Some(polled));
            tokio::spawn(async move {
                let mut run = component.run(shutdown);
                poll_fn(|cx| {
                    gate.waker.register(cx.waker());
                    if gate.closed.load(Ordering::Acquire) {
                        return Poll::Pending;
                    }
                    let polled_now = run.as_mut().poll(cx);
                    drop(polled.take());
                    polled_now
                })
                .await
            })
        };
        // Dropped, not sent.
        let _ = begun.await;
        Self {
            component,
            trigger,
            gate,
            task,
        }
    }

    /// The component, for whoever needs to own it.
    #[must_use]
    pub fn component(&self) -> Arc<C> {
        Arc::clone(&self.component)
    }

    /// Asks for a drain and waits for the end.
    ///
    /// # Panics
    /// When the component does not end, or ends with an error.
    pub async fn stop(self) {
        let name = self.component.name();
        self.stop_within(SETTLED)
            .await
            .unwrap_or_else(|error| panic!("{name} was drained and ended with an error: {error}"));
    }

    /// Asks for a drain and waits for the end, at most this long.
    ///
    /// # Errors
    /// What `run` returned.
    ///
    /// # Panics
    /// When the component does not end in time, or panicked.
    pub async fn stop_within(self, deadline: Duration) -> Result<()> {
        self.trigger.drain();
        let what = format!("the end of {} after a drain", self.component.name());
        within(&what, deadline, self.task)
            .await
            .expect("a component's run doesn't panic")
    }

    /// Ends the work at once, as a crash would: nothing is finished, nothing is said to anybody. What the component has handed out
    /// before must be given to [`std::mem::forget`], since a process that crashes drops nothing.
    pub async fn kill(self) {
        self.task.abort();
        // Cancelled, or ended just before: both are fine.
        let _ = self.task.await;
    }

    /// Stops polling `run`, as if the process were frozen, until [`thaw`](Self::thaw).
    pub fn freeze(&self) {
        self.gate.closed.store(true, Ordering::Release);
    }

    /// Goes on.
    pub fn thaw(&self) {
        self.gate.closed.store(false, Ordering::Release);
        self.gate.waker.wake();
    }
}

impl<C: Component + ?Sized> Deref for Running<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.component
    }
}

impl<C: Component + ?Sized> fmt::Debug for Running<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("component", &self.component)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use braid_core::{BoxFuture, Error, ErrorKind, Shutdown};
    use std::sync::atomic::AtomicU32;
    use tokio::time::sleep;

    /// Counts seconds; after a drain it takes another second.
    #[derive(Debug, Default)]
    struct Ticker {
        ticks: AtomicU32,
        fails: bool,
    }

    impl Component for Ticker {
        fn name(&self) -> &'static str {
            "ticker"
        }

        fn run(&self, shutdown: Shutdown) -> BoxFuture<'_, Result<()>> {
            Box::pin(async move {
                while !shutdown.is_draining() {
                    sleep(Duration::from_secs(1)).await;
                    self.ticks.fetch_add(1, Ordering::Relaxed);
                }
                match self.fails {
                    true => Err(Error::new(
                        ErrorKind::Internal,
                        "ticker",
                        "run",
                        "out of order",
                    )),
                    false => Ok(()),
                }
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn frozen_component_does_nothing_and_a_killed_one_never_again() {
        let ticker = Running::start(Arc::new(Ticker::default())).await;
        let ticks = || ticker.ticks.load(Ordering::Relaxed);
        sleep(Duration::from_millis(3_500)).await;
        assert_eq!(ticks(), 3);
        ticker.freeze();
        sleep(Duration::from_secs(10)).await;
        assert_eq!(ticks(), 3);
        ticker.thaw();
        sleep(Duration::from_secs(2)).await;
        assert!(ticks() > 3);
        let (component, ticks) = (ticker.component(), ticks());
        ticker.kill().await;
        sleep(Duration::from_secs(10)).await;
        assert_eq!(component.ticks.load(Ordering::Relaxed), ticks);
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(
        expected = "ticker was drained and ended with an error: ticker: run: out of order"
    )]
    async fn stop_is_loud_about_an_error() {
        let fails = Ticker {
            fails: true,
            ..Ticker::default()
        };
        Running::start(Arc::new(fails)).await.stop().await;
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "not within 100ms: the end of ticker after a drain")]
    async fn stop_is_loud_about_a_component_that_goes_on() {
        let ticker = Running::start(Arc::new(Ticker::default())).await;
        let _ = ticker.stop_within(Duration::from_millis(100)).await;
    }
}
