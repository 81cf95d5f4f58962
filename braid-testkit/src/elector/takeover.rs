//! E4: leaders that die, leave, or have tasks that don't end.

use super::support::{Candidate, SECOND, Watchman, leader_and_standby, now};
use crate::{ElectorHarness, eventually, fresh, within};
use braid_core::{ErrorKind, State};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::time::{Instant, sleep};

pub async fn e4_killed_leader_is_replaced_within_its_lease<H: ElectorHarness>(h: &H) {
    let service = fresh::service("login");
    let (mut leader, mut term, mut standby) = leader_and_standby(h, &service).await;
    for round in 1..=5_u32 {
        let watchman = Watchman::over(h.lease(), [leader.view.clone(), standby.view.clone()]);
        // At another moment between two renewals each time.
        sleep(h.lease() * round / 7).await;
        leader.process.kill().await;
        let next = standby.leads(h.lease() + SECOND).await;
        assert!(next > term);
        watchman.saw_no_two_leaders().await;
        (leader, term) = (standby, next);
        standby = Candidate::start(h, &service).await;
    }
    standby.process.stop().await;
    leader.process.stop().await;
}

pub async fn e4_graceful_stop_hands_over_within_a_second<H: ElectorHarness>(h: &H) {
    let service = fresh::service("login");
    let (mut leader, _, mut standby) = leader_and_standby(h, &service).await;
    for round in 1..=5_u32 {
        let watchman = Watchman::over(h.lease(), [leader.view.clone(), standby.view.clone()]);
        sleep(h.lease() * round / 7).await;
        tokio::join!(leader.process.stop(), standby.leads(SECOND));
        watchman.saw_no_two_leaders().await;
        leader = standby;
        standby = Candidate::start(h, &service).await;
    }
    standby.process.stop().await;
    leader.process.stop().await;
}

pub async fn e4_lease_is_released_only_after_the_leaders_task<H: ElectorHarness>(h: &H) {
    for way in ["stop", "resign"] {
        let service = fresh::service("login");
        let (leader, _, standby) = leader_and_standby(h, &service).await;
        let watchman = Watchman::over(h.lease(), [leader.view.clone(), standby.view.clone()]);
        let working = Arc::new(AtomicBool::new(false));
        let takes = h.lease() / 3;
        let task = {
            let working = Arc::clone(&working);
            tokio::spawn(leader.view.clone().while_leader(move |_, cancel| {
                let working = Arc::clone(&working);
                async move {
                    working.store(true, Ordering::SeqCst);
                    cancel.cancelled().await;
                    sleep(takes).await;
                    working.store(false, Ordering::SeqCst);
                }
            }))
        };
        eventually("the leader's task works", h.slack(), async || {
            working.load(Ordering::SeqCst)
        })
        .await;
        let successor = {
            let (mut view, working) = (standby.view.clone(), Arc::clone(&working));
            tokio::spawn(
                async move { view.leading().await.map(|_| working.load(Ordering::SeqCst)) },
            )
        };
        let asked = Instant::now();
        let process = match way {
            "stop" => {
                leader.process.stop().await;
                None
            }
            _ => {
                leader.process.resign().await.unwrap();
                Some(leader.process)
            }
        };
        assert!(
            !working.load(Ordering::SeqCst),
            "{way} returned while the leader's task ran"
        );
        assert!(asked.elapsed() >= takes);
        let still_working = within("the successor leads", SECOND, successor).await;
        assert!(
            !still_working.unwrap().unwrap(),
            "{way}: another one led while the former leader's task ran"
        );
        watchman.saw_no_two_leaders().await;
        task.abort();
        standby.process.stop().await;
        if let Some(process) = process {
            process.stop().await;
        }
    }
}

pub async fn e4_task_that_ignores_its_end_is_reported<H: ElectorHarness>(h: &H) {
    let service = fresh::service("login");
    let (leader, _, standby) = leader_and_standby(h, &service).await;
    let watchman = Watchman::over(h.lease(), [leader.view.clone(), standby.view.clone()]);
    let stubborn = leader.view.guard().expect("it leads");
    let State::Leader { valid_until, .. } = leader.view.current() else {
        panic!("it leads");
    };
    let resigning = {
        let elector = leader.process.component();
        tokio::spawn(async move { elector.resign().await })
    };
    eventually("the leadership's validity ends", SECOND, async || {
        !leader.view.is_leader()
    })
    .await;
    standby.leads(h.lease() + SECOND).await;
    assert!(
        now(&leader) >= valid_until,
        "the lease was released although a task of the leader runs"
    );
    let reported = within("the resignation's answer", h.lease() + SECOND, resigning)
        .await
        .unwrap();
    assert_eq!(reported.unwrap_err().kind(), ErrorKind::Timeout);
    watchman.saw_no_two_leaders().await;
    drop(stubborn);
    standby.process.stop().await;
    leader.process.stop().await;
}

pub async fn e4_stubborn_task_does_not_hold_up_the_stop<H: ElectorHarness>(h: &H) {
    let service = fresh::service("login");
    let (leader, _, standby) = leader_and_standby(h, &service).await;
    let watchman = Watchman::over(h.lease(), [leader.view.clone(), standby.view.clone()]);
    let (clock, stubborn) = (
        Arc::clone(&leader.clock),
        leader.view.guard().expect("it leads"),
    );
    let State::Leader { valid_until, .. } = leader.view.current() else {
        panic!("it leads");
    };
    let stopping = leader.process.stop_within(h.lease() + SECOND);
    let (stopped, _) = tokio::join!(stopping, async {
        standby.leads(h.lease() + SECOND).await;
        assert!(
            braid_core::Clock::now(&*clock) >= valid_until,
            "the lease was released although a task of the leader runs"
        );
    });
    if let Err(error) = stopped {
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    }
    watchman.saw_no_two_leaders().await;
    drop(stubborn);
    standby.process.stop().await;
}
