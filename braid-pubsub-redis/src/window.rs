//! How far ahead of its hand-out a message's attempt may be counted.
//!
//! An attempt has to be on the server before the handler gets the message, or a crash would forget it. One round trip a message is
//! too slow for a consumer that takes thousands in that time, so that one is counted ahead: several with one command. A
//! crash then counts an attempt for what was counted and not handed out, which is why only first attempts are counted ahead, never
//! when they are also the last, and only for a consumer that has shown that it takes whatever is there.

use crate::worker::MOST_A_READ;
use std::time::{Duration, Instant};

/// Taken within this time of being there, a message counts as taken at once.
const AT_ONCE: Duration = Duration::from_millis(2);
/// So many in a row have to be taken at once before any is counted ahead.
const TRUST: u32 = 32;
/// The most that are counted ahead: what one read brings.
const WIDEST: usize = MOST_A_READ;

#[derive(Debug)]
pub(crate) struct Window {
    size: usize,
    in_a_row: u32,
    fixed: bool,
}

impl Window {
    /// `fixed`: nothing is ever counted ahead.
    pub(crate) fn new(fixed: bool) -> Self {
        Self {
            size: 1,
            in_a_row: 0,
            fixed,
        }
    }

    /// How many attempts one command may count.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// A message was taken; the last one of its window, if `emptied`.
    pub(crate) fn taken(&mut self, there_since: Instant, now: Instant, emptied: bool) {
        if now.saturating_duration_since(there_since) > AT_ONCE {
            self.size = 1;
            self.in_a_row = 0;
            return;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        if emptied && self.in_a_row >= TRUST && !self.fixed {
            self.size = (self.size * 2).min(WIDEST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_takes_everything_at_once_is_counted_ahead() {
        let now = Instant::now();
        let mut window = Window::new(false);
        for _ in 0..TRUST - 1 {
            window.taken(now, now, true);
        }
        assert_eq!(window.size(), 1);
        for size in [2, 4, 8, 16, 32, 64, 128, 256, 256] {
            window.taken(now, now, true);
            assert_eq!(window.size(), size);
            window.taken(now, now, false);
            assert_eq!(window.size(), size, "grows with whole windows only");
        }
        window.taken(now, now + 2 * AT_ONCE, false);
        assert_eq!(window.size(), 1);
        window.taken(now, now, true);
        assert_eq!(window.size(), 1, "trust has to be earned anew");
    }

    #[test]
    fn last_attempts_are_never_counted_ahead() {
        let now = Instant::now();
        let mut window = Window::new(true);
        for _ in 0..10 * TRUST {
            window.taken(now, now, true);
        }
        assert_eq!(window.size(), 1);
    }
}
