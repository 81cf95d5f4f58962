//! Waiting with a deadline, and saying what did not happen.

use std::{fmt::Debug, time::Duration};
use tokio::time::{Instant, sleep, timeout};

/// How long what must happen may take where no promise gives a figure.
pub const SETTLED: Duration = Duration::from_secs(30);

/// Waits for `future`, at most `deadline`.
///
/// # Panics
/// When it takes longer; the text names `what`.
pub async fn within<F: Future>(what: &str, deadline: Duration, future: F) -> F::Output {
    match timeout(deadline, future).await {
        Ok(output) => output,
        Err(_) => panic!("not within {deadline:?}: {what}"),
    }
}

/// Looks again and again until `look` gives true, at most `deadline`.
///
/// # Panics
/// When it never does; the text names `what`.
pub async fn eventually(what: &str, deadline: Duration, mut look: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !look().await {
        assert!(
            started.elapsed() <= deadline,
            "not within {deadline:?}: {what}"
        );
        sleep(pause(deadline)).await;
    }
}

/// Looks again and again until `look` gives `expected`, at most `deadline`.
///
/// # Panics
/// When it never does; the text names `what` and shows the last look.
pub async fn eventually_eq<T: PartialEq + Debug>(
    what: &str,
    deadline: Duration,
    expected: T,
    mut look: impl AsyncFnMut() -> T,
) {
    let started = Instant::now();
    loop {
        let seen = look().await;
        if seen == expected {
            return;
        }
        assert!(
            started.elapsed() <= deadline,
            "not within {deadline:?}: {what}; expected {expected:?}, at last {seen:?}"
        );
        sleep(pause(deadline)).await;
    }
}

/// How many tasks the present runtime has: what a component must bring back to where it was.
#[must_use]
pub fn alive_tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

/// Between two looks: fine enough that a deadline is judged well, coarse enough for a server.
fn pause(deadline: Duration) -> Duration {
    (deadline / 100).clamp(Duration::from_millis(1), Duration::from_millis(50))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_with_what_is_waited_for() {
        let mut looks = 0;
        eventually("three looks", SETTLED, async || {
            looks += 1;
            looks == 3
        })
        .await;
        eventually_eq("five looks", SETTLED, 5, async || {
            looks += 1;
            looks
        })
        .await;
        assert_eq!(within("nothing", SETTLED, async { looks }).await, 5);
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "not within 1s: the moon; expected 2, at last 1")]
    async fn a_missed_deadline_says_what_and_how_far() {
        eventually_eq("the moon", Duration::from_secs(1), 2, async || 1).await;
    }
}
