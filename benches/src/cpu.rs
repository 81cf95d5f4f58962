//! CPU time.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What all threads of this process have used so far, in user and in system mode.
#[must_use]
pub fn of_process() -> Duration {
    time(ClockId::ProcessCPUTime)
}

/// What this thread has used so far.
#[must_use]
pub fn of_thread() -> Duration {
    time(ClockId::ThreadCPUTime)
}

fn time(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    // Neither is ever negative.
    Duration::new(
        time.tv_sec.try_into().unwrap_or_default(),
        time.tv_nsec.try_into().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn work(time: Duration) {
        let start = of_thread();
        let mut number = 1_u64;
        while of_thread() - start < time {
            number = std::hint::black_box(number.wrapping_mul(3));
        }
    }

    #[test]
    fn work_counts_and_waiting_does_not() {
        let (wall, thread, process) = (Instant::now(), of_thread(), of_process());
        work(Duration::from_millis(5));
        let other = std::thread::spawn(|| work(Duration::from_millis(20)));
        other.join().unwrap();
        let own = of_thread() - thread;
        assert!(
            own >= Duration::from_millis(5) && own < wall.elapsed(),
            "{own:?}"
        );
        assert!(of_process() - process >= Duration::from_millis(25));
    }
}
