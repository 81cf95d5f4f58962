//! The clock of slow start and latency estimates.

use braid_core::{BootTime, Clock};

/// A cheap clock, exact to a few milliseconds: `CLOCK_MONOTONIC_COARSE` on Linux and Android, elsewhere
/// [`SystemClock`](braid_core::SystemClock).
///
/// Every [`observe`](crate::Picked::observe) reads it, and an exact clock costs three times as much. On Linux it stands still while the
/// machine sleeps, as the nodes' latencies and warm-up do.
#[derive(Clone, Copy, Debug, Default)]
pub struct CoarseClock;

impl Clock for CoarseClock {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn now(&self) -> BootTime {
        use rustix::time::{ClockId, clock_gettime};
        let time = clock_gettime(ClockId::MonotonicCoarse);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
        BootTime::from_origin(std::time::Duration::new(seconds, nanos))
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn now(&self) -> BootTime {
        braid_core::SystemClock.now()
    }
}
