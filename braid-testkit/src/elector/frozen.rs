//! E3: a leader that is frozen beyond its lease.

use super::support::{Candidate, SECOND, Watchman, leader_and_standby};
use crate::{ElectorHarness, eventually, fresh};
use braid_core::{ErrorKind, State};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

pub async fn e3_clock_jump_ends_the_leadership_at_the_first_look<H: ElectorHarness>(h: &H) {
    let service = fresh::service("login");
    let (leader, term, standby) = leader_and_standby(h, &service).await;
    let [begun, told] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let task = {
        let (begun, told) = (Arc::clone(&begun), Arc::clone(&told));
        tokio::spawn(leader.view.clone().while_leader(move |_, cancel| {
            let (begun, told) = (Arc::clone(&begun), Arc::clone(&told));
            async move {
                begun.store(true, Ordering::Relaxed);
                cancel.cancelled().await;
                told.store(true, Ordering::Relaxed);
            }
        }))
    };
    eventually("the leader-scoped task begins", h.slack(), async || {
        begun.load(Ordering::Relaxed)
    })
    .await;
    let (view, before) = (leader.view.clone(), leader.view.current());
    assert!(matches!(before, State::Leader { .. }));

    leader.clock.jump(2 * h.lease());
    // Nothing of the elector has run since: these are the first looks.
    assert!(!leader.view.is_leader());
    assert_eq!(leader.view.current(), State::Unknown);
    assert_eq!(
        (view.term(), view.guard().map(|guard| guard.term())),
        (None, None)
    );

    eventually(
        "the leader-scoped task is told to end",
        h.lease() + SECOND,
        async || told.load(Ordering::Relaxed),
    )
    .await;
    // Somebody leads again; another one in another term.
    let mut next = None;
    eventually("somebody leads again", h.lease() + SECOND, async || {
        next = [&leader, &standby]
            .iter()
            .find_map(|c| Some((c.node.clone(), c.view.term()?)));
        next.is_some()
    })
    .await;
    let (next, next_term) = next.expect("somebody leads");
    assert!(
        next_term > term || (next_term == term && next == leader.node),
        "{next} leads in term {next_term} after {term}"
    );
    task.abort();
    standby.process.stop().await;
    leader.process.stop().await;
}

pub async fn e3_frozen_leader_writes_nothing_stale<H: ElectorHarness>(h: &H) {
    let (service, fence) = (fresh::service("login"), h.fence());
    let (leader, term, standby) = leader_and_standby(h, &service).await;
    let watchman = Watchman::over(h.lease(), [leader.view.clone(), standby.view.clone()]);
    fence.admit("ledger", term).await.unwrap();
    fence.admit("ledger", term).await.unwrap();

    leader.process.freeze();
    let next = standby.leads(h.lease() + SECOND).await;
    assert!(next > term);
    fence.admit("ledger", next).await.unwrap();

    // It wakes up with writes under way that it began when it led.
    leader.clock.jump(h.lease());
    assert!(!leader.view.is_leader());
    let mut admitted = 0;
    for _ in 0..100 {
        match fence.admit("ledger", term).await {
            Ok(()) => admitted += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
        }
    }
    assert_eq!(admitted, 0, "stale writes were admitted");
    leader.process.thaw();
    eventually(
        "somebody leads in a later term",
        h.lease() + SECOND,
        async || {
            [&leader, &standby]
                .iter()
                .any(|candidate: &&Candidate| candidate.view.term() >= Some(next))
        },
    )
    .await;
    watchman.saw_no_two_leaders().await;
    assert_eq!(
        fence.admit("ledger", term).await.unwrap_err().kind(),
        ErrorKind::Conflict
    );
    leader.process.stop().await;
    standby.process.stop().await;
}
