//! A timer that is always armed while there are calls.

use crate::tasks::Tasks;
use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};
use tokio::time::sleep;

/// Later deadlines than this disturb nobody.
const TICK: Duration = Duration::from_millis(100);

/// Ticks while calls are made.
///
/// A deadline that is earlier than all that the runtime waits for wakes the thread that waits, to set its alarm anew. A client that makes
/// one call after the other, each with a deadline, would wake it with each of them, for nothing; where a thread sleeps deeply, that is a
/// large part of a call. While something earlier is waited for, deadlines are only written down.
#[derive(Clone, Debug, Default)]
pub(super) struct Ticks(Arc<State>);

#[derive(Debug, Default)]
struct State {
    // There was a call since the last tick.
    called: AtomicBool,
    ticking: AtomicBool,
}

impl Ticks {
    /// There is a call.
    pub(super) fn call(&self, tasks: &Tasks) {
        let state = &self.0;
        // Read first: calls of several threads shouldn't write to one place.
        if state.called.load(Relaxed) {
            return;
        }
        state.called.store(true, SeqCst);
        if !state.ticking.swap(true, SeqCst) {
            let state = Arc::clone(state);
            tasks.spawn(async move { state.tick().await });
        }
    }
}

impl State {
    async fn tick(&self) {
        loop {
            sleep(TICK).await;
            if self.called.swap(false, SeqCst) {
                continue;
            }
            self.ticking.store(false, SeqCst);
            // A call in between has seen it ticking.
            if !self.called.load(SeqCst) || self.ticking.swap(true, SeqCst) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_ticks_while_there_are_calls_and_not_much_longer() {
        let (ticks, tasks) = (Ticks::default(), Tasks::new());
        let alive = || {
            tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks()
        };
        for _ in 0..2 {
            for _ in 0..50 {
                ticks.call(&tasks);
                assert_eq!(alive(), 1);
                sleep(TICK / 3).await;
            }
            sleep(TICK * 3).await;
            assert_eq!(alive(), 0);
        }
    }
}
