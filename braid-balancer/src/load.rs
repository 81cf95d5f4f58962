//! What is measured of one node: calls in flight, and latency.

use braid_core::Clock;
use std::{
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

/// What is measured of a life. On cache lines of its own (processors fetch two at a time), so that calls to one node don't slow down those
/// to another.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Load {
    // How many of the references to the node are entries, and no calls.
    entries: AtomicUsize,
    // Nanoseconds as f32 bits above, the time of the last change below; 0 when nothing is known. Together, so that no reader sees the one
    // without the other.
    estimate: AtomicU64,
    time: Arc<Time>,
}

/// What all nodes of a balancer judge the age of estimates by.
#[derive(Debug)]
pub(crate) struct Time {
    pub(crate) clock: Arc<dyn Clock>,
    // Milliseconds since the clock's origin, wrapping, when the clock was last read. Picks go by this and read no clock.
    noted: AtomicU32,
    // How many decays a millisecond is, as f32 bits.
    rate: AtomicU32,
}

/// What is known of how fast a node answers: a peak-sensitive moving average, and how old it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    nanos: f32,
    age: f32,
}

impl Time {
    pub(crate) fn new(clock: Arc<dyn Clock>, decay: Duration) -> Self {
        let time = Self {
            clock,
            noted: AtomicU32::new(0),
            rate: AtomicU32::new(0),
        };
        time.set_decay(decay);
        time.note();
        time
    }

    pub(crate) fn set_decay(&self, decay: Duration) {
        let rate = 1e-3 / decay.as_secs_f32().max(1e-6);
        self.rate.store(rate.to_bits(), Relaxed);
    }

    /// Reads the clock.
    pub(crate) fn note(&self) -> u32 {
        // Wraps after 49 days: an estimate that old may look fresh once.
        let now = self.clock.now().since_origin().as_millis() as u32;
        // The line is shared by all threads; most of the time it stays as it is.
        if self.noted.load(Relaxed) != now {
            self.noted.store(now, Relaxed);
        }
        now
    }

    /// How much what was known at `stamp` has aged, in decays.
    fn age(&self, stamp: u32, now: u32) -> f32 {
        let millis = now.wrapping_sub(stamp);
        // Two threads may have read the clock in the other order.
        if millis == 0 || millis > u32::MAX / 2 {
            return 0.0;
        }
        millis as f32 * f32::from_bits(self.rate.load(Relaxed))
    }
}

impl Load {
    pub(crate) fn new(time: Arc<Time>) -> Self {
        Self {
            entries: AtomicUsize::new(0),
            estimate: AtomicU64::new(0),
            time,
        }
    }

    /// A table has come to list the node, or to list it otherwise.
    pub(crate) fn add_entry(&self) {
        self.entries.fetch_add(1, Relaxed);
    }

    pub(crate) fn remove_entry(&self) {
        self.entries.fetch_sub(1, Relaxed);
    }

    /// The calls in flight, of so many references to the node.
    #[inline]
    pub(crate) fn of(&self, references: usize) -> usize {
        // An entry that is just dropped may be counted out sooner or later than its reference.
        references.saturating_sub(self.entries.load(Relaxed))
    }

    /// An answer took this long. A slower one than the average counts at once, a faster one bit by bit.
    pub(crate) fn observe(&self, latency: Duration) {
        let now = self.time.note();
        // Zero stands for nothing known.
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX) as f32;
        let nanos = nanos.max(1.0);
        let fold = |before: u64| {
            let (average, stamp) = unpack(before);
            let age = self.time.age(stamp, now);
            let after = if nanos >= average {
                nanos
            } else {
                nanos + (average - nanos) * fade(age)
            };
            // Within one tick of the clock only a peak says anything new.
            let news = after != average || age > 0.0;
            news.then(|| pack(after, now))
        };
        // An error: no news.
        let _ = self.estimate.fetch_update(Relaxed, Relaxed, fold);
    }

    pub(crate) fn latency(&self) -> Option<Latency> {
        let packed = self.estimate.load(Relaxed);
        if packed == 0 {
            return None;
        }
        let (nanos, stamp) = unpack(packed);
        let age = self.time.age(stamp, self.time.noted.load(Relaxed));
        Some(Latency { nanos, age })
    }
}

impl Latency {
    /// The average, as it was when the last answer came.
    #[must_use]
    pub fn average(self) -> Duration {
        Duration::from_nanos(self.nanos as u64)
    }

    /// How much it still says: 1 for news, and e times less with each decay time
    /// ([`BalancerConfig::decay`](crate::BalancerConfig::decay)) that has passed since.
    #[must_use]
    pub fn freshness(self) -> f32 {
        fade(self.age)
    }

    /// How slow two nodes are relative to each other, as far as what is known of both is still fresh: what is long past counts as no
    /// difference, and so it does when one of them isn't known. Only the ratio of the two numbers means something.
    #[inline]
    #[must_use]
    pub fn compare(this: Option<Self>, other: Option<Self>) -> (f32, f32) {
        let (Some(a), Some(b)) = (this, other) else {
            return (1.0, 1.0);
        };
        let freshness = fade(a.age.max(b.age));
        // Without a branch, which would be foretold wrongly every other time.
        let fastest = a.nanos.min(b.nanos);
        let faded = |nanos: f32| fastest + freshness * (nanos - fastest);
        (faded(a.nanos), faded(b.nanos))
    }
}

/// e to the power of -`age`.
#[inline]
fn fade(age: f32) -> f32 {
    // Most estimates are young: then this is as good (to 1 in 8,000), and much cheaper.
    if age < 1.0 / 64.0 {
        1.0 - age
    } else {
        (-age).exp()
    }
}

fn pack(nanos: f32, stamp: u32) -> u64 {
    u64::from(nanos.to_bits()) << 32 | u64::from(stamp)
}

fn unpack(packed: u64) -> (f32, u32) {
    (f32::from_bits((packed >> 32) as u32), packed as u32)
}
