//! Election through its handles. Lease 15 s, deadline 10 s, refresh 2 s; time is paused and costs nothing.

use super::*;
use crate::{
    Hub,
    testing::{Events, SECOND, hub, life, service},
};
use braid_core::{
    ShutdownTrigger, State, Term,
    reserved::{Role, StateChange},
};
use braid_testkit::{Running, eventually_eq, within};
use tokio::time::{Instant, sleep};

const L: std::time::Duration = std::time::Duration::from_secs(15);

type Candidate = Running<LocalElector>;

fn idle(hub: &Hub, id: &str) -> Arc<LocalElector> {
    let config = ElectorConfig::default();
    Arc::new(
        hub.elector(service("login"), life(id, "1"), config)
            .unwrap(),
    )
}

async fn candidate(hub: &Hub, id: &str) -> Candidate {
    Running::start(idle(hub, id)).await
}

async fn fleet(hub: &Hub, size: usize) -> Vec<Candidate> {
    let mut fleet = Vec::new();
    for i in 0..size {
        fleet.push(candidate(hub, &format!("n-{i}")).await);
    }
    fleet
}

/// A candidate that leads.
async fn leader(hub: &Hub, id: &str) -> Candidate {
    let candidate = candidate(hub, id).await;
    within("a leader", SECOND, candidate.leadership().leading())
        .await
        .unwrap();
    candidate
}

async fn becomes(candidate: &Candidate, within: std::time::Duration, role: Role) {
    eventually_eq("the role", within, role, async || {
        Role::from(&candidate.leadership().current())
    })
    .await;
}

fn term(candidate: &Candidate) -> Option<u64> {
    candidate.leadership().term().map(Term::get)
}

/// A leader-scoped task that ends `late` after it was asked to.
fn work(candidate: &Candidate, late: std::time::Duration) -> tokio::task::JoinHandle<Result<()>> {
    let task = candidate
        .leadership()
        .while_leader(move |_, cancel| async move {
            cancel.cancelled().await;
            sleep(late).await;
        });
    tokio::spawn(task)
}

#[tokio::test(start_paused = true)]
async fn a_drained_leader_is_followed_at_once_in_a_higher_term() {
    let (hub, _) = hub();
    let a = leader(&hub, "a").await;
    let b = candidate(&hub, "b").await;
    becomes(&b, SECOND, Role::Slave).await;
    assert_eq!(
        b.leadership().current(),
        State::Follower {
            leader: Some(life("a", "1"))
        }
    );
    let mut view = a.leadership();
    a.stop().await;
    assert_eq!(view.current(), State::Unknown);
    assert!(matches!(view.changed().await, Err(e) if e.kind() == ErrorKind::Closed));
    becomes(&b, SECOND, Role::Master).await;
    assert_eq!(term(&b), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_released_after_the_leaders_task_has_ended_and_not_before() {
    let (hub, _) = hub();
    let (a, b) = (leader(&hub, "a").await, candidate(&hub, "b").await);
    let task = work(&a, 5 * SECOND);
    sleep(SECOND).await;
    let started = Instant::now();
    a.stop().await;
    assert!(
        started.elapsed() >= 5 * SECOND,
        "released with the task running"
    );
    assert!(task.await.unwrap().is_err());
    becomes(&b, SECOND, Role::Master).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_ignores_its_end_leaves_the_lease_to_expire() {
    let (hub, _) = hub();
    let (a, b) = (leader(&hub, "a").await, candidate(&hub, "b").await);
    let task = work(&a, 1000 * SECOND);
    sleep(SECOND).await;
    let started = Instant::now();
    let error = a.resign().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(
        error
            .to_string()
            .contains("1 leader-scoped task(s) of `login`"),
        "{error}"
    );
    assert!(started.elapsed() > 12 * SECOND, "the rest of the lease");
    becomes(&b, SECOND, Role::Master).await;
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_forced_end_releases_the_lease_unless_a_task_is_left() {
    let (hub, _) = hub();
    let (a, b) = (leader(&hub, "a").await, candidate(&hub, "b").await);
    let task = work(&a, 1000 * SECOND);
    sleep(SECOND).await;
    drop(a);
    sleep(10 * SECOND).await;
    becomes(&b, SECOND, Role::Slave).await;
    becomes(&b, 5 * SECOND, Role::Master).await;
    task.abort();
    let c = candidate(&hub, "c").await;
    drop(b);
    becomes(&c, SECOND, Role::Master).await;
}

#[tokio::test(start_paused = true)]
async fn a_killed_leader_is_followed_when_its_lease_has_expired() {
    let (hub, _) = hub();
    let (a, b) = (leader(&hub, "a").await, candidate(&hub, "b").await);
    sleep(20 * SECOND).await;
    let view = a.leadership();
    a.kill().await;
    assert_eq!(view.current(), State::Unknown);
    sleep(12 * SECOND).await;
    becomes(&b, SECOND, Role::Slave).await;
    becomes(&b, 3 * SECOND, Role::Master).await;
}

#[tokio::test(start_paused = true)]
async fn of_fifty_candidates_one_leads_at_any_time() {
    let (hub, clock) = hub();
    let mut fleet = fleet(&hub, 50).await;
    let mut last = 0;
    for round in 0..20 {
        sleep(SECOND).await;
        let leads: Vec<_> = (0..fleet.len())
            .filter(|&i| fleet[i].leadership().is_leader())
            .collect();
        assert_eq!(leads.len(), 1, "in round {round}");
        let first = fleet.remove(leads[0]);
        let present = term(&first).unwrap();
        assert!(present > last, "terms rise");
        last = present;
        match round % 3 {
            0 => first.stop().await,
            1 => {
                first.kill().await;
                clock.jump(L);
            }
            _ => drop(first),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_frozen_leader_reads_unknown_and_finds_another_one_leading() {
    let (hub, clock) = hub();
    let (a, b) = (leader(&hub, "a").await, candidate(&hub, "b").await);
    becomes(&b, SECOND, Role::Slave).await;
    let view = a.leadership();
    a.freeze();
    clock.jump(2 * L);
    assert_eq!(view.current(), State::Unknown, "at the first look");
    becomes(&b, SECOND, Role::Master).await;
    a.thaw();
    becomes(&a, SECOND, Role::Slave).await;
    assert_eq!(term(&b), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_frozen_leader_that_nobody_followed_leads_in_a_new_term() {
    let (hub, clock) = hub();
    let mut events = Events::of::<StateChange>(&hub).await;
    let a = leader(&hub, "a").await;
    assert_eq!(events.next::<StateChange>().await.role, Role::Master);
    clock.jump(2 * L);
    assert_eq!(events.next::<StateChange>().await.role, Role::Wait);
    assert_eq!(a.leadership().current(), State::Unknown);
    assert_eq!(events.next::<StateChange>().await.role, Role::Master);
    assert_eq!(term(&a), Some(2));
}

#[tokio::test(start_paused = true)]
async fn renewals_keep_the_term_and_tell_nobody() {
    let (hub, _) = hub();
    let mut events = Events::of::<StateChange>(&hub).await;
    let a = leader(&hub, "a").await;
    assert_eq!(events.next::<StateChange>().await.role, Role::Master);
    for _ in 0..100 {
        assert_eq!(term(&a), Some(1));
        sleep(SECOND).await;
    }
    events.none().await;
}

#[tokio::test(start_paused = true)]
async fn each_change_of_role_is_published_once_and_in_order() {
    let (hub, _) = hub();
    let mut events = Events::of::<StateChange>(&hub).await;
    let mut next = async || {
        let change: StateChange = events.next().await;
        (change.id.to_string(), change.role)
    };
    let a = leader(&hub, "a").await;
    assert_eq!(next().await, ("a".into(), Role::Master));
    let b = candidate(&hub, "b").await;
    assert_eq!(next().await, ("b".into(), Role::Slave));
    a.resign().await.unwrap();
    assert_eq!(next().await, ("a".into(), Role::Wait));
    let mut both = [next().await, next().await];
    both.sort_by_key(|(id, _)| id.clone());
    assert_eq!(
        both,
        [("a".into(), Role::Slave), ("b".into(), Role::Master)]
    );
    b.stop().await;
    assert_eq!(next().await, ("b".into(), Role::Wait));
    // Nobody leads while `a` stays away.
    assert_eq!(next().await, ("a".into(), Role::Wait));
    events.none().await;
}

#[tokio::test(start_paused = true)]
async fn who_resigned_stays_away_for_one_lease() {
    let (hub, _) = hub();
    let a = leader(&hub, "a").await;
    a.resign().await.unwrap();
    let resigned = Instant::now();
    assert_eq!(a.leadership().current(), State::Unknown);
    a.resign().await.unwrap();
    within("the next term", L + SECOND, a.leadership().leading())
        .await
        .unwrap();
    assert!(resigned.elapsed() >= L);
    assert_eq!(term(&a), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_resignation_goes_on_when_nobody_waits_for_it() {
    let (hub, _) = hub();
    let a = leader(&hub, "a").await;
    let task = work(&a, 3 * SECOND);
    sleep(SECOND).await;
    assert!(tokio::time::timeout(SECOND, a.resign()).await.is_err());
    let b = candidate(&hub, "b").await;
    becomes(&b, 3 * SECOND, Role::Master).await;
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn who_does_not_run_cannot_resign_and_nobody_runs_twice() {
    let (hub, _) = hub();
    let closed = |result: Result<()>| assert_eq!(result.unwrap_err().kind(), ErrorKind::Closed);
    let a = idle(&hub, "a");
    closed(a.resign().await);
    let running = Running::start(Arc::clone(&a)).await;
    within("a leader", SECOND, a.leadership().leading())
        .await
        .unwrap();
    let trigger = ShutdownTrigger::new();
    let twice = a.run(trigger.shutdown()).await.unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::Conflict);
    assert!(a.leadership().is_leader());
    running.stop().await;
    closed(a.resign().await);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_steps_down_at_its_deadline() {
    let (hub, _) = hub();
    let a = leader(&hub, "a").await;
    hub.set_leases_reachable(false);
    sleep(7 * SECOND).await;
    assert_eq!(term(&a), Some(1), "a short outage is nothing");
    hub.set_leases_reachable(true);
    sleep(5 * SECOND).await;
    hub.set_leases_reachable(false);
    sleep(7 * SECOND).await;
    assert_eq!(term(&a), Some(1));
    becomes(&a, 3 * SECOND, Role::Wait).await;
    let error = a.resign().await;
    assert!(error.is_ok(), "nothing to resign from");
}

#[tokio::test(start_paused = true)]
async fn leases_away_for_long_leave_everyone_alive_and_one_leads_soon_after() {
    let (hub, _) = hub();
    let fleet = fleet(&hub, 20).await;
    let leaders = || fleet.iter().filter(|c| c.leadership().is_leader()).count();
    sleep(SECOND).await;
    assert_eq!(leaders(), 1);
    hub.set_leases_reachable(false);
    sleep(10 * L).await;
    assert_eq!(leaders(), 0);
    for candidate in &fleet {
        assert_eq!(candidate.leadership().current(), State::Unknown);
    }
    hub.set_leases_reachable(true);
    sleep(3 * SECOND).await;
    assert_eq!(leaders(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_released_is_reported() {
    let (hub, _) = hub();
    let a = leader(&hub, "a").await;
    hub.set_leases_reachable(false);
    let error = a.resign().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("`login`"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn two_candidates_with_one_name_do_not_share_a_lease() {
    let (hub, _) = hub();
    let first = leader(&hub, "a").await;
    let second = candidate(&hub, "a").await;
    sleep(30 * SECOND).await;
    assert!(first.leadership().is_leader() && !second.leadership().is_leader());
}

#[tokio::test(start_paused = true)]
async fn services_have_masters_of_their_own() {
    let (hub, _) = hub();
    let login = leader(&hub, "a").await;
    let config = ElectorConfig::default();
    let mail = hub
        .elector(service("mail"), life("b", "1"), config)
        .unwrap();
    let mail = Running::start(Arc::new(mail)).await;
    becomes(&mail, SECOND, Role::Master).await;
    assert!(login.leadership().is_leader());
}

/// A clock that shows a suspension of `jump` at the `countdown`-th look.
#[derive(Debug)]
struct Suspended {
    clock: braid_testkit::TestClock,
    countdown: std::sync::atomic::AtomicUsize,
    jump: std::time::Duration,
}

impl Clock for Suspended {
    fn now(&self) -> braid_core::BootTime {
        use std::sync::atomic::Ordering::Relaxed;
        let left = |left: usize| left.checked_sub(1);
        if self.countdown.fetch_update(Relaxed, Relaxed, left) == Ok(1) {
            self.clock.jump(self.jump);
        }
        self.clock.now()
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_was_held_up_beyond_the_lease_does_not_resume_the_term() {
    let clock = Arc::new(Suspended {
        clock: braid_testkit::TestClock::new(),
        countdown: 0.into(),
        jump: L - 3 * SECOND / 2,
    });
    let config = crate::HubConfig {
        clock: clock.clone(),
        ..Default::default()
    };
    let hub = Hub::with_config(config).unwrap();
    let mut events = Events::of::<StateChange>(&hub).await;
    let a = leader(&hub, "a").await;
    assert_eq!(events.next::<StateChange>().await.role, Role::Master);
    // The next renewal is due in 0.1 s: two looks by the timer, one before the renewal, and the fourth behind it, when the renewed
    // lease is valid and the one that handles saw until now is not.
    sleep(SECOND * 19 / 10).await;
    clock
        .countdown
        .store(4, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(events.next::<StateChange>().await.role, Role::Wait);
    assert_eq!(events.next::<StateChange>().await.role, Role::Master);
    assert_eq!(term(&a), Some(2));
}
