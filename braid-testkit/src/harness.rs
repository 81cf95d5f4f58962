//! What a backend shows to the suites: one small trait for each of braid's traits.
//!
//! A harness is made anew for every case and stands for one fresh, empty backend: a new hub, a new key space on a server, a new
//! namespace. `start` then makes what one process of the fleet holds; the suite calls [`Component::run`] on it, stops it by a
//! drain, and kills it by dropping `run` and forgetting what it had handed out.
//!
//! [`Component::run`]: braid_core::Component::run

use crate::TestClock;
use braid_core::{
    BoxFuture, Discover, Elector, Fence, LinkCache, Node, NodeRef, PubSub, ServiceName,
};
use std::{sync::Arc, time::Duration};
use tokio::runtime::{Builder, Runtime};

/// What every harness has.
pub trait Harness: Send + Sync + 'static {
    /// The runtime that a case runs on. By default one thread and paused time, so that sleeps cost nothing and are exact: right for
    /// a backend within the process. One that talks to a server returns [`real_time`]. Made before the harness itself.
    #[must_use]
    fn runtime() -> Runtime
    where
        Self: Sized,
    {
        paused_time()
    }

    /// How late something may be that is promised at once: round trips, scheduling. Default 1 s.
    fn slack(&self) -> Duration {
        Duration::from_secs(1)
    }
}

/// A runtime of one thread whose time stands still while there is work and jumps to the next timer when there is none.
///
/// # Panics
/// When the operating system refuses a thread's resources.
#[must_use]
pub fn paused_time() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("the operating system gives what a runtime of one thread needs")
}

/// A runtime of several threads in real time.
///
/// # Panics
/// When the operating system refuses the threads.
#[must_use]
pub fn real_time() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("the operating system gives a few threads")
}

/// A backend of [`PubSub`].
pub trait PubSubHarness: Harness {
    /// The pub-sub of one more process on the shared backend.
    fn start(&self, node: NodeRef) -> BoxFuture<'_, Arc<dyn PubSub>>;

    /// The times and limits that the backend was configured with for the suite.
    fn limits(&self) -> PubSubLimits;

    /// What the names of all the suite's topics begin with: a few letters, for a server that permits no others. Default nothing.
    fn topic_prefix(&self) -> &str {
        ""
    }
}

/// Times and limits of a [`PubSubHarness`], as short and small as the backend bears.
#[derive(Clone, Copy, Debug)]
pub struct PubSubLimits {
    /// The claim time that the cases subscribe with.
    pub claim_after: Duration,
    /// How long after its node's death an ephemeral channel may still be there.
    pub ephemeral_gone: Duration,
    /// How many messages a topic may hold before a publish is `Rejected`. At least 6,000, which no case but that of the cap
    /// exceeds.
    pub topic_cap: usize,
    /// How many messages that every channel has acked a topic may still hold, once [`slack`](Harness::slack) has passed.
    pub retained: usize,
    /// How long the backend remembers a dedup key. In real time at least 2 s, or slow cases outlive it.
    pub dedup_window: Duration,
    /// How long after its last consumer has gone a shared channel may still hold back the topic. Above
    /// [`ephemeral_gone`](Self::ephemeral_gone) and three times [`claim_after`](Self::claim_after), so that no case but its own loses a
    /// channel.
    pub forgotten_after: Duration,
}

/// The nodes that discovery tells of: where the backend lets nodes register, [`Announcements`](crate::Announcements) do it; elsewhere
/// the harness writes what the backend reads.
pub trait Fleet: Harness {
    /// Makes the node visible, or changes what is said of it.
    fn set<'a>(&'a self, node: &'a Node) -> BoxFuture<'a, ()>;

    /// Makes the node invisible, without a word to anything but discovery: what its death looks like.
    fn remove<'a>(&'a self, node: &'a NodeRef) -> BoxFuture<'a, ()>;
}

/// A backend of [`Discover`].
pub trait DiscoverHarness: Fleet {
    /// The discovery of one more process on the shared backend. `observer` names the process; it isn't announced by this.
    fn start(&self, observer: NodeRef) -> BoxFuture<'_, Arc<dyn Discover>>;

    /// Where the process of `observer`, which was started, sees its process topics. Usable without further ado.
    fn events(&self, observer: &NodeRef) -> Arc<dyn PubSub>;
}

/// A backend of [`Elector`].
pub trait ElectorHarness: Harness {
    /// One more candidate for being the master of `service`.
    fn start<'a>(
        &'a self,
        service: &'a ServiceName,
        candidate: NodeRef,
    ) -> BoxFuture<'a, Arc<dyn Elector>>;

    /// The lease duration that every candidate was configured with.
    fn lease(&self) -> Duration;

    /// The clock that was injected into this candidate, which was started. Several candidates may share one.
    fn clock(&self, candidate: &NodeRef) -> Arc<TestClock>;

    /// Cuts every candidate off from what keeps the lease, or lets them reach it again.
    fn set_reachable(&self, reachable: bool) -> BoxFuture<'_, ()>;

    /// A fence for the terms of this backend, which has seen none. Every call gives the same one.
    fn fence(&self) -> Arc<dyn Fence>;

    /// Where the process of `candidate`, which was started, sees its process topics. Usable without further ado.
    fn events(&self, candidate: &NodeRef) -> Arc<dyn PubSub>;
}

/// A backend of [`LinkCache`].
pub trait LinkCacheHarness: Fleet {
    /// The link cache of one more process on the shared backend. `owner` names the process; it isn't announced by this.
    fn start(&self, owner: NodeRef) -> BoxFuture<'_, Arc<dyn LinkCache>>;

    /// The times that every cache was configured with.
    fn times(&self) -> LinkTimes;

    /// The clock that was injected into the cache of `owner`, which was started. Several caches may share one.
    fn clock(&self, owner: &NodeRef) -> Arc<TestClock>;

    /// Where the fleet sees its cluster topics. Usable without further ado.
    fn events(&self) -> Arc<dyn PubSub>;
}

/// Times of a [`LinkCacheHarness`], as short as the backend bears.
#[derive(Clone, Copy, Debug)]
pub struct LinkTimes {
    /// How long an unused link lives. In real time at least 2 s, or slow cases outlive their links.
    pub ttl: Duration,
    /// How long a node's uid is absent from discovery before its links are removed. Below half of `ttl`.
    pub grace: Duration,
}
