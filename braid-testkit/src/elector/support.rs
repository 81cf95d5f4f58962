//! What the election cases share: candidates, and somebody who watches that no two of them lead.

use crate::{ElectorHarness, Running, TestClock, eventually, eventually_eq, fresh};
use braid_core::{BootTime, Clock, Elector, Leadership, NodeRef, ServiceName, State, Term};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

/// What the promises allow on top of the lease.
pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) struct Candidate {
    pub(super) node: NodeRef,
    pub(super) process: Running<dyn Elector>,
    pub(super) view: Leadership,
    pub(super) clock: Arc<TestClock>,
}

impl Candidate {
    pub(super) async fn start<H: ElectorHarness>(h: &H, service: &ServiceName) -> Self {
        Self::start_as(h, service, fresh::life("candidate")).await
    }

    pub(super) async fn start_as<H: ElectorHarness>(
        h: &H,
        service: &ServiceName,
        node: NodeRef,
    ) -> Self {
        let elector = h.start(service, node.clone()).await;
        Self {
            view: elector.leadership(),
            clock: h.clock(&node),
            process: Running::start(elector).await,
            node,
        }
    }

    /// Waits until it leads. Gives the term.
    pub(super) async fn leads(&self, deadline: Duration) -> Term {
        let what = format!("{} leads", self.node);
        eventually(&what, deadline, async || self.view.is_leader()).await;
        self.view.term().expect("it led a moment ago")
    }
}

/// Waits until one of the candidates leads. Gives its place and its term.
pub(super) async fn a_leader(candidates: &[Candidate], deadline: Duration) -> (usize, Term) {
    let mut found = None;
    eventually("somebody leads", deadline, async || {
        let mut terms = candidates
            .iter()
            .map(|candidate| candidate.view.term())
            .enumerate();
        found = terms.find_map(|(place, term)| Some((place, term?)));
        found.is_some()
    })
    .await;
    found.expect("somebody leads")
}

/// Two candidates: the first leads, and the second knows it.
pub(super) async fn leader_and_standby<H: ElectorHarness>(
    h: &H,
    service: &ServiceName,
) -> (Candidate, Term, Candidate) {
    let leader = Candidate::start(h, service).await;
    let term = leader.leads(h.lease() + SECOND).await;
    let standby = Candidate::start(h, service).await;
    let follows = State::Follower {
        leader: Some(leader.node.clone()),
    };
    let what = "the second candidate follows the first";
    eventually_eq(what, h.slack(), follows, async || standby.view.current()).await;
    (leader, term, standby)
}

/// Looks at every candidate again and again, and fails when two of them lead at the same instant.
pub(super) struct Watchman {
    stop: CancellationToken,
    task: JoinHandle<()>,
    looks: Arc<AtomicU64>,
}

impl Watchman {
    pub(super) fn over(lease: Duration, views: impl IntoIterator<Item = Leadership>) -> Self {
        let views: Vec<_> = views.into_iter().collect();
        let (stop, looks) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
        let (stopped, counter) = (stop.clone(), Arc::clone(&looks));
        let tick = (lease / 1_000).max(Duration::from_millis(1));
        let task = tokio::spawn(async move {
            while !stopped.is_cancelled() {
                look(&views);
                counter.fetch_add(1, Ordering::Relaxed);
                sleep(tick).await;
            }
        });
        Self { stop, task, looks }
    }

    /// Shows that no two led.
    pub(super) async fn saw_no_two_leaders(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            std::panic::resume_unwind(error.into_panic());
        }
        assert!(
            self.looks.load(Ordering::Relaxed) > 0,
            "the watchman never looked"
        );
    }
}

fn look(views: &[Leadership]) {
    let leading: Vec<_> = views
        .iter()
        .filter_map(|view| Some((view, view.term()?)))
        .collect();
    if let [(first, term), _, ..] = &leading[..] {
        // The looks are some nanoseconds apart: only if the first still leads did both lead at the second look.
        let terms: Vec<_> = leading.iter().map(|(_, term)| term.get()).collect();
        assert_ne!(
            first.term(),
            Some(*term),
            "two leaders at an instant, in the terms {terms:?}"
        );
    }
}

pub(super) fn now(candidate: &Candidate) -> BootTime {
    candidate.clock.now()
}
