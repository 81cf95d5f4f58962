//! Timeouts of commands, without a timer for each.
//!
//! A timer for each costs a pipelined command a few percent: it is entered, and taken out again, and wakes the runtime's timer thread
//! whenever it is the next one. Here a command is entered into a list when it has to wait, and one task looks at the list now
//! and then. So a timeout is late by a look at most.

use std::{
    fmt,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Poll, Waker},
    time::Duration,
};
use tokio::{task::JoinHandle, time::MissedTickBehavior};

/// How many looks a timeout has.
const LOOKS: u32 = 16;

/// The commands that wait, and the task that looks at them. Dropping it ends the task.
pub(crate) struct Overdue {
    list: Arc<List>,
    looking: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct List {
    /// Counts the looks.
    now: AtomicU64,
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    waiting: Vec<Option<(u64, Waker)>>,
    free: Vec<usize>,
}

impl Overdue {
    /// # Panics
    /// Outside a runtime.
    pub(crate) fn new(timeout: Duration) -> Self {
        let list = Arc::new(List::default());
        let look = {
            let list = Arc::clone(&list);
            let mut looks = tokio::time::interval((timeout / LOOKS).max(Duration::from_millis(1)));
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            async move {
                loop {
                    looks.tick().await;
                    list.look();
                }
            }
        };
        Self {
            list,
            looking: Mutex::new(Some(tokio::spawn(look))),
        }
    }

    /// Waits for a future, at most for the timeout; `None` when it took longer. A large one is better given pinned: it would be kept
    /// twice.
    pub(crate) async fn within<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut entry = None;
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            let entry = entry.get_or_insert_with(|| self.list.enter(cx.waker()));
            match entry.is_over(cx.waker()) {
                true => Poll::Ready(None),
                false => Poll::Pending,
            }
        })
        .await
    }

    /// Ends the task, and waits for its end.
    pub(crate) async fn close(&self) {
        let looking = self
            .looking
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(looking) = looking {
            looking.abort();
            // It was aborted.
            let _ = looking.await;
        }
    }
}

impl Drop for Overdue {
    fn drop(&mut self) {
        let looking = self
            .looking
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(looking) = looking {
            looking.abort();
        }
    }
}

impl List {
    fn look(&self) {
        let now = self.now.fetch_add(1, Ordering::AcqRel) + 1;
        let over: Vec<_> = self
            .slots()
            .waiting
            .iter()
            .flatten()
            .filter(|(until, _)| *until <= now)
            .map(|(_, waker)| waker.clone())
            .collect();
        for waker in over {
            waker.wake();
        }
    }

    fn enter(&self, waker: &Waker) -> Entry<'_> {
        // One look more: the present one is partly over.
        let until = self.now.load(Ordering::Acquire) + u64::from(LOOKS) + 1;
        let slot = Some((until, waker.clone()));
        let mut slots = self.slots();
        let index = match slots.free.pop() {
            Some(index) => {
                slots.waiting[index] = slot;
                index
            }
            None => {
                slots.waiting.push(slot);
                slots.waiting.len() - 1
            }
        };
        Entry {
            list: self,
            index,
            until,
        }
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A command's place in the list.
struct Entry<'a> {
    list: &'a List,
    index: usize,
    until: u64,
}

impl Entry<'_> {
    fn is_over(&self, waker: &Waker) -> bool {
        if self.list.now.load(Ordering::Acquire) >= self.until {
            return true;
        }
        // Futures may move between tasks.
        if let Some(Some((_, known))) = self.list.slots().waiting.get_mut(self.index)
            && !known.will_wake(waker)
        {
            known.clone_from(waker);
        }
        false
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let mut slots = self.list.slots();
        slots.waiting[self.index] = None;
        slots.free.push(self.index);
    }
}

impl fmt::Debug for Overdue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overdue").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use tokio::time::{Instant, sleep};

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_ends_in_time_and_nothing_is_left_of_it() {
        let overdue = Overdue::new(Duration::from_secs(5));
        let begun = Instant::now();
        assert_eq!(overdue.within(pending::<()>()).await, None);
        let took = begun.elapsed();
        assert!(
            took >= Duration::from_secs(5) && took <= Duration::from_millis(5_700),
            "{took:?}"
        );
        assert_eq!(overdue.within(ready(7)).await, Some(7));
        let quick = overdue.within(sleep(Duration::from_millis(4_900)));
        assert_eq!(quick.await, Some(()));
        let slots = overdue.list.slots();
        assert_eq!((slots.waiting.len(), slots.free.len()), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn many_wait_at_once_and_a_dropped_one_leaves_the_list() {
        let overdue = Arc::new(Overdue::new(Duration::from_secs(1)));
        let waiting: Vec<_> = (0..100)
            .map(|_| {
                let overdue = Arc::clone(&overdue);
                tokio::spawn(async move { overdue.within(pending::<()>()).await })
            })
            .collect();
        sleep(Duration::from_millis(100)).await;
        assert_eq!(overdue.list.slots().waiting.iter().flatten().count(), 100);
        waiting[0].abort();
        for (number, task) in waiting.into_iter().enumerate() {
            assert_eq!(task.await.ok(), (number > 0).then_some(None));
        }
        assert_eq!(overdue.list.slots().free.len(), 100);
        overdue.close().await;
    }
}
