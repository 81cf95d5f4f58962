//! Blocks of work that takes nanoseconds.

use std::time::Duration;

use crate::cpu;

/// How long a block takes.
const BLOCK: Duration = Duration::from_millis(10);

/// How often the work is done between two looks at the clock, which costs more than the work.
const BATCH: u32 = 4_096;

/// How long the work takes, in nanoseconds, on the mean of a block.
///
/// The work waits for nothing, so its time is this thread's CPU time; the time in which the machine runs something else isn't the work's.
pub fn nanoseconds(mut work: impl FnMut()) -> f64 {
    let started = cpu::of_thread();
    let mut done = 0;
    loop {
        for _ in 0..BATCH {
            work();
        }
        done += BATCH;
        let taken = cpu::of_thread() - started;
        if taken >= BLOCK {
            return taken.as_secs_f64() * 1e9 / f64::from(done);
        }
    }
}
