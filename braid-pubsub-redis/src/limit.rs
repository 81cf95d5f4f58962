//! How much a subscription holds unsettled, over all partitions of its topic.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::Waker,
};

#[derive(Debug)]
pub(crate) struct Limit {
    most: usize,
    held: AtomicUsize,
    /// Who waits for the next settlement: one task polls all partitions.
    waiting: Mutex<Option<Waker>>,
}

impl Limit {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            held: AtomicUsize::new(0),
            waiting: Mutex::new(None),
        }
    }

    /// Counts a hand-out in, if there is room for it. If there is none `waker` is woken once there is.
    pub(crate) fn take(&self, waker: &Waker) -> bool {
        if self.try_take() {
            return true;
        }
        *self.waiting() = Some(waker.clone());
        // Something may have been settled in between.
        self.try_take()
    }

    fn try_take(&self) -> bool {
        self.held
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |held| {
                (held < self.most).then_some(held + 1)
            })
            .is_ok()
    }

    /// A hand-out that was counted in is settled, or didn't take place.
    pub(crate) fn give_back(&self) {
        if self.held.fetch_sub(1, Ordering::AcqRel) >= self.most
            && let Some(waker) = self.waiting().take()
        {
            waker.wake();
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.left() == 0
    }

    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// How many more may be handed out.
    pub(crate) fn left(&self) -> usize {
        self.most.saturating_sub(self.held.load(Ordering::Acquire))
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::task::noop_waker;

    #[test]
    fn no_more_is_out_than_may_be() {
        let (limit, waker) = (Limit::new(2), noop_waker());
        assert!(limit.take(&waker) && limit.take(&waker));
        assert!(!limit.take(&waker) && limit.is_full());
        limit.give_back();
        assert!(!limit.is_full() && limit.take(&waker));
    }
}
