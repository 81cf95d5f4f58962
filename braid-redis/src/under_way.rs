//! Commands under way: their timeouts without a timer for each, and their memory without an allocation for each.
//!
//! A timer for each costs a pipelined command a few percent: it is entered, and taken out again, and wakes the runtime's timer thread
//! whenever it is the next one. Here one task looks now and then at the commands that wait, so that a timeout is late by a look at most.
//!
//! fred's future of a command is of 7 kB. Allocators keep blocks of that size in common for all threads, and threads that send and are
//! answered at once wait for each other there, which costs as much as the command itself; moving such a future into its box costs a
//! few percent more. Here each of several desks has a future that never ends and serves one command after the other, and is polled by
//! whoever has the desk.

use futures_util::{future::BoxFuture, task::AtomicWaker};
use std::{
    convert::Infallible,
    fmt, mem,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{task::JoinHandle, time::MissedTickBehavior};

/// How many looks a timeout has.
const LOOKS: u32 = 16;

/// The most free desks that are kept: more than a process usually has commands under way.
const MOST: usize = 512;

/// The commands `Q` that wait for their results `T`, and the task that looks at them. Dropping it ends the task.
pub(crate) struct UnderWay<Q, T> {
    serve: Box<dyn Fn(Clerk<Q, T>) -> Service + Send + Sync>,
    free: Mutex<Vec<Desk<Q, T>>>,
    clocks: Arc<Clocks>,
    looking: Mutex<Option<JoinHandle<()>>>,
}

/// What serves one command after the other, for ever.
type Service = BoxFuture<'static, Infallible>;

/// Where one command at a time is served.
struct Desk<Q, T> {
    service: Service,
    slip: Arc<Mutex<Slip<Q, T>>>,
    clock: Arc<Clock>,
}

/// The serving side of a desk.
pub(crate) struct Clerk<Q, T>(Arc<Mutex<Slip<Q, T>>>);

enum Slip<Q, T> {
    Empty,
    Command(Q),
    Result(T),
}

/// When a desk's command is over, and whom to tell.
#[derive(Default)]
struct Clock {
    until: AtomicU64,
    waker: AtomicWaker,
}

/// Those of all desks.
#[derive(Default)]
struct Clocks {
    /// Counts the looks.
    now: AtomicU64,
    all: Mutex<Vec<Arc<Clock>>>,
}

impl<Q, T> UnderWay<Q, T> {
    /// `serve` makes what takes commands from a clerk and gives it their results, one after the other.
    ///
    /// # Panics
    /// Outside a runtime.
    pub(crate) fn new<F>(
        timeout: Duration,
        serve: impl Fn(Clerk<Q, T>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Infallible> + Send + 'static,
    {
        let clocks = Arc::new(Clocks::default());
        let look = {
            let clocks = Arc::clone(&clocks);
            let mut looks = tokio::time::interval((timeout / LOOKS).max(Duration::from_millis(1)));
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            async move {
                loop {
                    looks.tick().await;
                    clocks.look();
                }
            }
        };
        Self {
            serve: Box::new(move |clerk| Box::pin(serve(clerk))),
            free: Mutex::default(),
            clocks,
            looking: Mutex::new(Some(tokio::spawn(look))),
        }
    }

    /// Serves a command, which begins with the first poll. `None` when it took longer than the timeout.
    pub(crate) fn send(&self, command: Q) -> Sent<'_, Q, T> {
        let desk = lock(&self.free).pop().unwrap_or_else(|| self.open());
        *lock(&desk.slip) = Slip::Command(command);
        // One look more: the present one is partly over.
        let until = self.clocks.now() + u64::from(LOOKS) + 1;
        desk.clock.until.store(until, Ordering::Release);
        Sent {
            under_way: self,
            desk: Some(desk),
            until,
        }
    }

    fn open(&self) -> Desk<Q, T> {
        let slip = Arc::new(Mutex::new(Slip::Empty));
        Desk {
            service: (self.serve)(Clerk(Arc::clone(&slip))),
            slip,
            clock: self.clocks.add(),
        }
    }

    fn leave(&self, desk: Desk<Q, T>) {
        desk.clock.stop();
        let mut free = lock(&self.free);
        if free.len() < MOST {
            free.push(desk);
        }
    }

    /// Ends the task, and waits for its end.
    pub(crate) async fn close(&self) {
        let looking = lock(&self.looking).take();
        if let Some(looking) = looking {
            looking.abort();
            // It was aborted.
            let _ = looking.await;
        }
    }
}

impl<Q, T> Drop for UnderWay<Q, T> {
    fn drop(&mut self) {
        if let Some(looking) = lock(&self.looking).take() {
            looking.abort();
        }
    }
}

impl<Q, T> Clerk<Q, T> {
    /// The next command.
    pub(crate) async fn next(&self) -> Q {
        // Whoever puts one there polls next, so that nobody has to be woken.
        std::future::poll_fn(|_| {
            let mut slip = lock(&self.0);
            match mem::replace(&mut *slip, Slip::Empty) {
                Slip::Command(command) => Poll::Ready(command),
                other => {
                    *slip = other;
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// The result of the command that was taken last.
    pub(crate) fn answer(&self, result: T) {
        *lock(&self.0) = Slip::Result(result);
    }
}

/// A command under way. Dropped before its end it takes its desk along, and with it what serves it.
pub(crate) struct Sent<'a, Q, T> {
    under_way: &'a UnderWay<Q, T>,
    /// `None` once it is over.
    desk: Option<Desk<Q, T>>,
    until: u64,
}

impl<Q, T> Future for Sent<'_, Q, T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let Some(mut desk) = self.desk.take() else {
            return Poll::Pending;
        };
        // It never ends.
        let _ = desk.service.as_mut().poll(cx);
        let slip = mem::replace(&mut *lock(&desk.slip), Slip::Empty);
        if let Slip::Result(result) = slip {
            self.under_way.leave(desk);
            return Poll::Ready(Some(result));
        }
        desk.clock.waker.register(cx.waker());
        if self.under_way.clocks.now() >= self.until {
            return Poll::Ready(None);
        }
        self.desk = Some(desk);
        Poll::Pending
    }
}

impl Clocks {
    fn now(&self) -> u64 {
        self.now.load(Ordering::Acquire)
    }

    fn add(&self) -> Arc<Clock> {
        let clock = Arc::new(Clock::default());
        lock(&self.all).push(Arc::clone(&clock));
        clock
    }

    fn look(&self) {
        let now = self.now.fetch_add(1, Ordering::AcqRel) + 1;
        let mut all = lock(&self.all);
        // Desks go with a command that is dropped or took too long.
        all.retain(|clock| Arc::strong_count(clock) > 1);
        for clock in all.iter() {
            if clock.until.load(Ordering::Acquire) <= now {
                clock.waker.wake();
            }
        }
    }
}

impl Clock {
    fn stop(&self) {
        self.until.store(u64::MAX, Ordering::Release);
        // It would keep the task's memory.
        drop(self.waker.take());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<Q, T> fmt::Debug for UnderWay<Q, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnderWay").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use tokio::time::{Instant, sleep};

    type Desks = UnderWay<BoxFuture<'static, u32>, u32>;

    impl Desks {
        fn after(timeout: Duration) -> Self {
            Self::new(timeout, |clerk| async move {
                loop {
                    let command = clerk.next().await;
                    clerk.answer(command.await);
                }
            })
        }

        async fn within(&self, command: impl Future<Output = u32> + Send + 'static) -> Option<u32> {
            self.send(Box::pin(command)).await
        }

        fn counts(&self) -> (usize, usize) {
            (lock(&self.clocks.all).len(), lock(&self.free).len())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_ends_in_time_and_nothing_is_left_of_it() {
        let desks = Desks::after(Duration::from_secs(5));
        let begun = Instant::now();
        assert_eq!(desks.within(pending()).await, None);
        let took = begun.elapsed();
        assert!(
            took >= Duration::from_secs(5) && took <= Duration::from_millis(5_700),
            "{took:?}"
        );
        assert_eq!(desks.within(ready(7)).await, Some(7));
        let late = async {
            sleep(Duration::from_millis(4_900)).await;
            8
        };
        assert_eq!(desks.within(late).await, Some(8));
        // The desk of the first one went with it; the others had one after the other.
        assert_eq!(desks.counts(), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn many_wait_at_once_and_what_is_dropped_takes_its_desk_along() {
        let desks = Arc::new(Desks::after(Duration::from_secs(1)));
        let (end, _) = tokio::sync::watch::channel(());
        let waiting: Vec<_> = (0..100)
            .map(|number| {
                let (desks, mut end) = (Arc::clone(&desks), end.subscribe());
                let future = async move { end.changed().await.map_or(0, |()| number) };
                tokio::spawn(async move { desks.within(future).await })
            })
            .collect();
        sleep(Duration::from_millis(100)).await;
        assert_eq!(desks.counts(), (100, 0));
        waiting[0].abort();
        sleep(Duration::from_millis(100)).await;
        end.send_replace(());
        for (number, task) in waiting.into_iter().enumerate() {
            let number = u32::try_from(number).unwrap();
            assert_eq!(task.await.ok(), (number > 0).then_some(Some(number)));
        }
        assert_eq!(desks.counts(), (99, 99));
        desks.close().await;
    }
}
