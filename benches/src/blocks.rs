//! Blocks of calls, whatever a call is.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::stats::median;
use crate::{Result, cpu};

/// How long a block with one call in flight takes.
const LATENCY_BLOCK: Duration = Duration::from_millis(20);

/// How long a block with many calls in flight takes. Longer, since it has to fill and to empty.
const LOAD_BLOCK: Duration = Duration::from_millis(50);

/// Makes one call (or publish) after the other. A task that calls has a clone of its own.
pub trait Caller: Clone + Debug + Send + Sync + 'static {
    /// One call.
    fn call(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// What a block under load has taken.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    calls: u64,
    wall: Duration,
    cpu: Duration,
}

impl Load {
    /// Calls per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.calls as f64 / self.wall.as_secs_f64()
    }

    /// This process's CPU time per call, the system's share included, in nanoseconds.
    #[must_use]
    pub fn cpu(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e9 / self.calls as f64
    }
}

/// The median latency of calls one after the other, in nanoseconds.
///
/// # Errors
/// A call fails.
pub async fn latency(caller: &impl Caller) -> Result<f64> {
    let mut caller = caller.clone();
    // On a worker, as a service's calls are; the thread that waits here is none.
    let calls = tokio::spawn(async move {
        let mut taken = Vec::with_capacity(1_024);
        let end = Instant::now() + LATENCY_BLOCK;
        loop {
            let started = Instant::now();
            caller.call().await?;
            let now = Instant::now();
            taken.push((now - started).as_secs_f64() * 1e9);
            if now >= end {
                return Ok(median(&mut taken));
            }
        }
    });
    calls.await?
}

/// As many calls as go, with so many in flight.
///
/// # Errors
/// A call fails.
pub async fn load(caller: &impl Caller, in_flight: usize) -> Result<Load> {
    let (started, cpu) = (Instant::now(), cpu::of_process());
    let end = started + LOAD_BLOCK;
    let mut tasks = JoinSet::new();
    for _ in 0..in_flight {
        let mut caller = caller.clone();
        tasks.spawn(async move {
            let mut calls = 0;
            while Instant::now() < end {
                caller.call().await?;
                calls += 1;
            }
            Ok(calls)
        });
    }
    let mut calls = 0;
    while let Some(task) = tasks.join_next().await {
        let done: Result<u64> = task?;
        calls += done?;
    }
    Ok(Load {
        calls,
        wall: started.elapsed(),
        cpu: cpu::of_process().saturating_sub(cpu),
    })
}
