//! The clock that leases and links are judged by. It counts the time a machine spends suspended.

use std::{fmt::Debug, ops::Add, time::Duration};

/// A moment on a [`Clock`]: the time since its origin, suspended time included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootTime(Duration);

impl BootTime {
    /// The moment that lies `since_origin` after the clock's origin.
    #[must_use]
    pub const fn from_origin(since_origin: Duration) -> Self {
        Self(since_origin)
    }

    /// The time between the clock's origin and this moment.
    #[must_use]
    pub const fn since_origin(self) -> Duration {
        self.0
    }

    /// The time from `earlier` to this moment; zero when `earlier` is later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for BootTime {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

/// Tells the time for everything whose validity ends: leases, links, claims.
///
/// Implementations never go backwards and keep counting while the machine sleeps; the wall clock does neither. Tests
/// inject one that they move by hand. Timers only wake a task: whether something has expired is judged by a look at this
/// clock.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> BootTime;
}

/// The operating system's clock: `CLOCK_BOOTTIME` on Linux and Android, elsewhere the monotonic clock that counts
/// suspended time (macOS: `CLOCK_MONOTONIC`; Windows: the performance counter).
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[cfg(unix)]
    fn now(&self) -> BootTime {
        use rustix::time::{ClockId, clock_gettime};
        #[cfg(any(target_os = "linux", target_os = "android"))]
        const ID: ClockId = ClockId::Boottime;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        const ID: ClockId = ClockId::Monotonic;

        let time = clock_gettime(ID);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
        BootTime(Duration::new(seconds, nanos))
    }

    #[cfg(not(unix))]
    fn now(&self) -> BootTime {
        use std::{sync::LazyLock, time::Instant};
        static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
        BootTime(ORIGIN.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_clock_moves_forward() {
        let first = SystemClock.now();
        let second = SystemClock.now();
        assert!(second >= first);
        assert!(
            first > BootTime::default(),
            "a machine that runs this has been up for a while"
        );
    }
}
