//! A candidate's view of the election, judged at the moment of the look.

use crate::{BootTime, Clock, Error, ErrorKind, NodeRef, Result};
use std::{fmt, sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// The fencing token: rises with every change of master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(u64);

impl Term {
    /// A term with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a candidate knows of the election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing yet, or not any more. (The original's wait.)
    Unknown,
    /// Another candidate leads. (The original's slave.)
    Follower {
        /// Who, as far as known.
        leader: Option<NodeRef>,
    },
    /// This candidate leads. (The original's master.)
    Leader {
        /// The fencing token of this leadership.
        term: Term,
        /// Until when, unless it is renewed before. Counted from the moment the renewal was sent.
        valid_until: BootTime,
    },
}

impl State {
    /// True when both say the same but for the validity, which every renewal moves.
    fn same_role(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Leader { term: a, .. }, Self::Leader { term: b, .. }) => a == b,
            _ => self == other,
        }
    }
}

/// A candidate's view of the election. Cloning is cheap.
///
/// Expiry is judged when one looks, on a clock that counts suspended time: a process that was frozen beyond its lease reads
/// [`State::Unknown`] at the first look after it continues, never a stale `Leader`.
#[derive(Clone, Debug)]
pub struct Leadership {
    states: watch::Receiver<State>,
    clock: Arc<dyn Clock>,
    tasks: TaskTracker,
    /// What [`changed`](Self::changed) compares with.
    seen: State,
}

/// The elector's end of a [`Leadership`].
#[derive(Debug)]
pub struct LeadershipSender {
    states: watch::Sender<State>,
    tasks: TaskTracker,
}

/// Holds back the release of the lease while work of the leader is under way.
#[derive(Debug)]
pub struct LeaderGuard {
    _token: TaskTrackerToken,
    term: Term,
}

impl LeaderGuard {
    /// The term that the guarded work belongs to.
    #[must_use]
    pub fn term(&self) -> Term {
        self.term
    }
}

impl Leadership {
    /// For backends: a view that starts with [`State::Unknown`], and the end that sets it.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> (LeadershipSender, Self) {
        let (sender, receiver) = watch::channel(State::Unknown);
        let tasks = TaskTracker::new();
        // A closed tracker still hands out tokens; closed is what lets `wait` end when it is empty.
        tasks.close();
        let leadership = Self {
            states: receiver,
            clock,
            tasks: tasks.clone(),
            seen: State::Unknown,
        };
        (
            LeadershipSender {
                states: sender,
                tasks,
            },
            leadership,
        )
    }

    /// The state at this moment.
    #[must_use]
    pub fn current(&self) -> State {
        judge(&self.states.borrow(), &*self.clock)
    }

    /// True when this candidate leads at this moment.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.term().is_some()
    }

    /// The term, when this candidate leads at this moment.
    #[must_use]
    pub fn term(&self) -> Option<Term> {
        match self.current() {
            State::Leader { term, .. } => Some(term),
            _ => None,
        }
    }

    /// Waits until the state differs from the last one that this handle returned here (at first: from `Unknown`). Renewals
    /// aren't changes; the end of the validity is.
    ///
    /// # Errors
    /// `Closed`: the elector has ended.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn changed(&mut self) -> Result<State> {
        loop {
            let state = judge(&self.states.borrow_and_update(), &*self.clock);
            if !state.same_role(&self.seen) {
                self.seen = state.clone();
                return Ok(state);
            }
            tokio::select! {
                changed = self.states.changed() => changed.map_err(|_| closed())?,
                () = expiry(&*self.clock, &state) => {}
            }
        }
    }

    /// Waits until this candidate leads.
    ///
    /// # Errors
    /// `Closed`: the elector has ended.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn leading(&mut self) -> Result<Term> {
        loop {
            if let Some(term) = self.term() {
                return Ok(term);
            }
            self.changed().await?;
        }
    }

    /// When this candidate leads: a guard that holds back the release of the lease until it is dropped.
    /// [`while_leader`](Self::while_leader) does this for a whole task.
    #[must_use]
    pub fn guard(&self) -> Option<LeaderGuard> {
        // The token first: an elector that steps down sets the state and then waits for the tokens, so a guard taken in
        // between either sees the new state or is waited for.
        let token = self.tasks.token();
        let term = self.term()?;
        Some(LeaderGuard {
            _token: token,
            term,
        })
    }

    /// Runs `task` each time this candidate leads, until the elector ends.
    ///
    /// The task gets the term and a token that is cancelled when the leadership is lost or given up. It has ended before the lease
    /// is released, so no other candidate leads while it runs, provided that it ends when asked: one that ignores the token is
    /// reported by the elector, and the leadership's validity ends all the same. A task that ends early isn't started again within
    /// the same term.
    ///
    /// # Errors
    /// `Closed`: the elector has ended.
    ///
    /// # Panics
    /// A panic of the task goes through to the caller.
    ///
    /// # Cancel safety
    /// Dropping the future drops the task where it stands.
    pub async fn while_leader<T, F>(mut self, task: T) -> Result<()>
    where
        T: Fn(Term, CancellationToken) -> F,
        F: Future<Output = ()>,
    {
        let mut served = None;
        loop {
            match self.guard() {
                Some(guard) if served != Some(guard.term()) => {
                    served = Some(guard.term());
                    let cancel = CancellationToken::new();
                    let work = task(guard.term(), cancel.clone());
                    tokio::pin!(work);
                    loop {
                        tokio::select! {
                            () = &mut work => break,
                            changed = self.changed(), if !cancel.is_cancelled() => {
                                if changed.is_err() || self.term() != served {
                                    cancel.cancel();
                                }
                            }
                        }
                    }
                }
                _ => {
                    self.changed().await?;
                }
            }
        }
    }
}

impl LeadershipSender {
    /// Sets the state. Handles judge a leader's validity by themselves.
    pub fn set(&self, state: State) {
        self.states.send_if_modified(|present| {
            let differs = *present != state;
            *present = state;
            differs
        });
    }

    /// The state as it was set, whatever its validity.
    #[must_use]
    pub fn get(&self) -> State {
        self.states.borrow().clone()
    }

    /// Waits until no [`LeaderGuard`] is held. Set another state than `Leader` before, or new ones may be taken.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn tasks_ended(&self) {
        self.tasks.wait().await;
    }

    /// How many guards are held.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.tasks.len()
    }
}

fn judge(state: &State, clock: &dyn Clock) -> State {
    match state {
        State::Leader { valid_until, .. } if *valid_until <= clock.now() => State::Unknown,
        state => state.clone(),
    }
}

/// Ends when the validity of a leader's state may have ended; never for another state.
async fn expiry(clock: &dyn Clock, state: &State) {
    match state {
        State::Leader { valid_until, .. } => {
            // At least a tick: an injected clock may stand still while timers run.
            let left = valid_until
                .saturating_since(clock.now())
                .max(Duration::from_millis(1));
            tokio::time::sleep(left).await;
        }
        _ => std::future::pending().await,
    }
}

fn closed() -> Error {
    Error::new(
        ErrorKind::Closed,
        "core",
        "leadership",
        "the elector has ended",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Debug, Default)]
    struct ManualClock(Mutex<Duration>);

    impl ManualClock {
        fn advance(&self, by: Duration) {
            *self.0.lock().unwrap() += by;
        }
    }

    impl Clock for ManualClock {
        fn now(&self) -> BootTime {
            BootTime::from_origin(*self.0.lock().unwrap())
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn leader(term: u64, until: Duration) -> State {
        State::Leader {
            term: Term::new(term),
            valid_until: BootTime::from_origin(until),
        }
    }

    #[tokio::test]
    async fn a_frozen_leader_reads_unknown_at_the_first_look() {
        let clock = Arc::new(ManualClock::default());
        let (sender, leadership) = Leadership::new(clock.clone());
        sender.set(leader(1, 3 * SECOND));
        assert!(leadership.is_leader());
        clock.advance(3 * SECOND);
        assert!(!leadership.is_leader());
        assert_eq!(leadership.current(), State::Unknown);
        assert!(leadership.guard().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_is_no_change_and_an_expiry_is() {
        let clock = Arc::new(ManualClock::default());
        let (sender, mut leadership) = Leadership::new(clock.clone());
        sender.set(leader(1, 3 * SECOND));
        assert!(matches!(
            leadership.changed().await,
            Ok(State::Leader { .. })
        ));
        sender.set(leader(1, 5 * SECOND));
        let early = tokio::time::timeout(4 * SECOND, leadership.changed()).await;
        assert!(early.is_err(), "a renewal was taken for a change");
        clock.advance(5 * SECOND);
        assert!(matches!(leadership.changed().await, Ok(State::Unknown)));
        drop(sender);
        assert_eq!(
            leadership.changed().await.unwrap_err().kind(),
            ErrorKind::Closed
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_task_has_ended_before_the_lease_may_be_released() {
        let clock = Arc::new(ManualClock::default());
        let (sender, leadership) = Leadership::new(clock);
        let running = Arc::new(Mutex::new(false));
        let flag = Arc::clone(&running);
        let worker = tokio::spawn(leadership.while_leader(move |_, cancel| {
            let flag = Arc::clone(&flag);
            async move {
                *flag.lock().unwrap() = true;
                cancel.cancelled().await;
                tokio::time::sleep(SECOND).await;
                *flag.lock().unwrap() = false;
            }
        }));
        sender.set(leader(1, 100 * SECOND));
        while sender.tasks() == 0 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(SECOND).await;
        assert!(*running.lock().unwrap());
        sender.set(State::Unknown);
        sender.tasks_ended().await;
        assert!(!*running.lock().unwrap());
        drop(sender);
        assert_eq!(worker.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    }
}
