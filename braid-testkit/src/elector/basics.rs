//! The contract's basics: who leads, who follows, who gives it up. E8. S2.

use super::support::{Candidate, SECOND, Watchman, a_leader, leader_and_standby};
use crate::{ElectorHarness, SETTLED, alive_tasks, eventually_eq, fresh, within};
use braid_core::{ErrorKind, ServiceName, State};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

pub async fn e0_lone_candidate_leads_and_stays<H: ElectorHarness>(h: &H) {
    let service = fresh::service("login");
    let idle = h.start(&service, fresh::life("idle")).await;
    assert_eq!(
        idle.leadership().current(),
        State::Unknown,
        "who doesn't run knows nothing"
    );
    assert_eq!(idle.resign().await.unwrap_err().kind(), ErrorKind::Closed);

    let mut candidate = Candidate::start(h, &service).await;
    let term = candidate.leads(h.slack()).await;
    assert!(matches!(
        within("the change", SETTLED, candidate.view.changed()).await,
        Ok(State::Leader { .. })
    ));
    // Renewals aren't changes, and there is no other change.
    let changed = tokio::time::timeout(10 * h.lease(), candidate.view.changed()).await;
    assert!(
        changed.is_err(),
        "the only candidate had a change of state: {changed:?}"
    );
    assert_eq!(candidate.view.term(), Some(term));

    let mut view = candidate.view.clone();
    candidate.process.stop().await;
    assert!(!view.is_leader(), "it has ended");
    let ended = within("the view's end", SETTLED, async {
        loop {
            if let Err(error) = view.changed().await {
                break error;
            }
        }
    });
    assert_eq!(ended.await.kind(), ErrorKind::Closed);
}

pub async fn e0_followers_know_their_leader<H: ElectorHarness>(h: &H) {
    let service = fresh::service("login");
    let (leader, _, one) = leader_and_standby(h, &service).await;
    let two = Candidate::start(h, &service).await;
    let follows = |leader: &Candidate| State::Follower {
        leader: Some(leader.node.clone()),
    };
    for follower in [&one, &two] {
        let what = "a follower knows its leader";
        eventually_eq(what, h.slack(), follows(&leader), async || {
            follower.view.current()
        })
        .await;
    }
    leader.process.stop().await;
    let mut rest = [one, two];
    let (next, _) = a_leader(&rest, SECOND).await;
    rest.swap(0, next);
    let [next, follower] = rest;
    let what = "a follower knows the next leader";
    eventually_eq(what, h.slack(), follows(&next), async || {
        follower.view.current()
    })
    .await;
    follower.process.stop().await;
    next.process.stop().await;
}

pub async fn e0_services_elect_apart<H: ElectorHarness>(h: &H) {
    let unique = fresh::service("x");
    let mut candidates = Vec::new();
    for name in ["a", "a-b", "b", "a.b", "{a}"] {
        let service = ServiceName::new(format!("{name}-{unique}")).unwrap();
        candidates.push(Candidate::start(h, &service).await);
    }
    for candidate in &candidates {
        candidate.leads(h.slack()).await;
    }
    for candidate in candidates {
        assert!(candidate.view.is_leader());
        candidate.process.stop().await;
    }
}

pub async fn e0_terms_rise_with_every_leader<H: ElectorHarness>(h: &H) {
    let service = fresh::service("login");
    let mut candidates = Vec::new();
    for _ in 0..7 {
        candidates.push(Candidate::start(h, &service).await);
    }
    let watchman = Watchman::over(h.lease(), candidates.iter().map(|c| c.view.clone()));
    let mut last = None;
    for way in ["stop", "kill", "resign"].repeat(2) {
        let (place, term) = a_leader(&candidates, h.lease() + SECOND).await;
        assert!(last < Some(term), "term {term} came after {last:?}");
        last = Some(term);
        match way {
            "stop" => candidates.remove(place).process.stop().await,
            "kill" => candidates.remove(place).process.kill().await,
            _ => candidates[place].process.resign().await.unwrap(),
        }
    }
    let (_, term) = a_leader(&candidates, h.lease() + SECOND).await;
    assert!(last < Some(term));
    watchman.saw_no_two_leaders().await;
    join_all(
        candidates
            .into_iter()
            .map(|candidate| candidate.process.stop()),
    )
    .await;
}

pub async fn e0_resigning_lets_another_lead<H: ElectorHarness>(h: &H) {
    let service = fresh::service("login");
    let (leader, term, standby) = leader_and_standby(h, &service).await;
    let watchman = Watchman::over(h.lease(), [leader.view.clone(), standby.view.clone()]);
    // Who doesn't lead has nothing to give up.
    standby.process.resign().await.unwrap();
    assert_eq!(leader.view.term(), Some(term));

    leader.process.resign().await.unwrap();
    assert!(!leader.view.is_leader(), "it has resigned");
    let next = standby.leads(SECOND).await;
    assert!(next > term);
    watchman.saw_no_two_leaders().await;
    standby.process.stop().await;
    leader.process.stop().await;
}

pub async fn e0_resigned_candidate_stays_away_for_a_lease<H: ElectorHarness>(h: &H) {
    let service = fresh::service("login");
    let candidate = Candidate::start(h, &service).await;
    let term = candidate.leads(h.slack()).await;
    candidate.process.resign().await.unwrap();
    let resigned = Instant::now();
    while resigned.elapsed() < h.lease().mul_f64(0.95) {
        assert!(
            !candidate.view.is_leader(),
            "it came back after {:?}",
            resigned.elapsed()
        );
        sleep(h.lease() / 50).await;
    }
    let again = candidate.leads(h.lease() / 20 + SECOND).await;
    assert!(again > term, "a leadership of its own, not the former one");

    let elector = candidate.process.component();
    candidate.process.stop().await;
    assert_eq!(
        elector.resign().await.unwrap_err().kind(),
        ErrorKind::Closed
    );
}

pub async fn e0_restarted_candidate_is_another_one<H: ElectorHarness>(h: &H) {
    let service = fresh::service("login");
    let former = Candidate::start(h, &service).await;
    let term = former.leads(h.slack()).await;
    let view = former.view.clone();
    let next_life = fresh::next_life(&former.node);
    former.process.kill().await;
    let present = Candidate::start_as(h, &service, next_life).await;
    let watchman = Watchman::over(h.lease(), [view, present.view.clone()]);
    let next = present.leads(h.lease() + SECOND).await;
    assert!(next > term, "the new life has a term of its own");
    watchman.saw_no_two_leaders().await;

    let follower = Candidate::start(h, &service).await;
    let leader = State::Follower {
        leader: Some(present.node.clone()),
    };
    eventually_eq(
        "the follower knows the new life",
        h.slack(),
        leader,
        async || follower.view.current(),
    )
    .await;
    follower.process.stop().await;
    present.process.stop().await;
}

pub async fn e8_fifty_candidates_have_one_winner<H: ElectorHarness>(h: &H) {
    let service = fresh::service("login");
    let candidates = join_all((0..50).map(|_| Candidate::start(h, &service))).await;
    let watchman = Watchman::over(h.lease(), candidates.iter().map(|c| c.view.clone()));
    let (winner, term) = a_leader(&candidates, h.slack()).await;
    let begun = Instant::now();
    while begun.elapsed() < 3 * h.lease() {
        assert_eq!(
            candidates[winner].view.term(),
            Some(term),
            "the winner stays the winner"
        );
        sleep(h.lease() / 100).await;
    }
    let expected = State::Follower {
        leader: Some(candidates[winner].node.clone()),
    };
    for (place, candidate) in candidates.iter().enumerate() {
        if place != winner {
            assert_eq!(candidate.view.current(), expected);
        }
    }
    watchman.saw_no_two_leaders().await;
    join_all(
        candidates
            .into_iter()
            .map(|candidate| candidate.process.stop()),
    )
    .await;
}

pub async fn e8_candidates_survive_a_server_that_is_away<H: ElectorHarness>(h: &H) {
    let service = fresh::service("login");
    let mut candidates = Vec::new();
    for _ in 0..3 {
        candidates.push(Candidate::start(h, &service).await);
    }
    let watchman = Watchman::over(h.lease(), candidates.iter().map(|c| c.view.clone()));
    let (_, term) = a_leader(&candidates, h.slack()).await;
    h.set_reachable(false).await;
    let away = Instant::now();
    sleep(h.lease() + h.slack()).await;
    while away.elapsed() < 10 * h.lease() {
        let terms: Vec<_> = candidates
            .iter()
            .filter_map(|candidate| candidate.view.term())
            .collect();
        assert!(
            terms.is_empty(),
            "a leader whose lease nobody renews: {terms:?}"
        );
        sleep(h.lease() / 10).await;
    }
    h.set_reachable(true).await;
    let (leader, next) = a_leader(&candidates, h.lease() + SECOND).await;
    assert!(next > term, "a leadership that ended isn't resumed");
    let expected = State::Follower {
        leader: Some(candidates[leader].node.clone()),
    };
    for (place, candidate) in candidates.iter().enumerate() {
        if place != leader {
            let what = "everybody is alive and follows";
            eventually_eq(what, h.lease() + SECOND, expected.clone(), async || {
                candidate.view.current()
            })
            .await;
        }
    }
    watchman.saw_no_two_leaders().await;
    join_all(
        candidates
            .into_iter()
            .map(|candidate| candidate.process.stop()),
    )
    .await;
}

pub async fn s2_elector_leaves_no_task<H: ElectorHarness>(h: &H) {
    let service = fresh::service("login");
    Candidate::start(h, &service).await.process.stop().await;
    let before = alive_tasks();
    let mut candidates = Vec::new();
    for _ in 0..5 {
        candidates.push(Candidate::start(h, &service).await);
    }
    a_leader(&candidates, h.lease() + SECOND).await;
    for candidate in candidates {
        candidate.process.stop().await;
    }
    eventually_eq(
        "no task is left after the shutdown",
        h.slack(),
        before,
        async || alive_tasks(),
    )
    .await;
}
