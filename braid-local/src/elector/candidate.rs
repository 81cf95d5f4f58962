//! The run of one candidate: acquires, renews, steps down, and says which role it has.

use super::{
    Idle, Resignation,
    lease::{Found, Grant},
};
use crate::lifecycle::sleep_until;
use braid_core::{
    BootTime, NodeRef, ServiceName, Shutdown, State, Topic,
    reserved::{Body, Role, StateChange},
};
use tokio::sync::mpsc;

/// How a candidate has left the leadership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StepDown {
    /// The lease is free for others, as far as this candidate is concerned.
    Released,
    /// The leases can't be reached: it expires.
    Away,
    /// So many leader-scoped tasks did not end in time: it expires.
    TasksLeft(usize),
}

/// A candidate while it runs.
pub(super) struct Candidate {
    service: ServiceName,
    node: NodeRef,
    idle: Idle,
    /// The leadership, while it has one.
    held: Option<Held>,
    /// Takes no lease before this moment.
    abstains_until: BootTime,
    /// When the lease of the leader that it follows ends, as far as it knows.
    followed_until: BootTime,
    /// The role that was published last.
    role: Role,
    topic: Topic,
}

#[derive(Clone, Copy)]
struct Held {
    grant: Grant,
    /// When the last successful renewal was sent.
    sent: BootTime,
}

impl Candidate {
    pub(super) fn new(service: ServiceName, node: NodeRef, idle: Idle) -> Self {
        Self {
            service,
            node,
            idle,
            held: None,
            abstains_until: BootTime::default(),
            followed_until: BootTime::default(),
            role: Role::Wait,
            topic: StateChange::topic(),
        }
    }

    pub(super) async fn run(
        mut self,
        mut resignations: mpsc::UnboundedReceiver<Resignation>,
        shutdown: Shutdown,
    ) {
        let mut changes = self.idle.lease.changes();
        while !shutdown.is_draining() {
            // Before the look, so that a change behind it wakes.
            changes.mark_unchanged();
            let wake = match self.held {
                Some(held) => self.lead(held, &shutdown).await,
                None => self.follow(),
            };
            tokio::select! {
                () = shutdown.draining() => {}
                Some(reply) = resignations.recv() => {
                    let outcome = self.resign(&shutdown).await;
                    // Whoever asked may have stopped waiting.
                    let _ = reply.send(outcome);
                }
                _ = changes.changed(), if self.held.is_none() => {}
                () = sleep_until(&*self.idle.clock, wake) => {}
            }
        }
        let outcome = self.step_down(&shutdown).await;
        self.enter(State::Unknown);
        resignations.close();
        while let Some(reply) = resignations.recv().await {
            let _ = reply.send(outcome);
        }
    }

    /// Looks at the lease and takes it when it is free. Returns when to look again.
    fn follow(&mut self) -> BootTime {
        let Idle { config, lease, .. } = &self.idle;
        let now = self.idle.clock.now();
        let found = if now < self.abstains_until {
            lease.look(now)
        } else {
            lease.acquire(now, config.lease_duration)
        };
        match found {
            Ok(Found::Granted(grant)) => {
                tracing::info!(service = %self.service, candidate = %self.node, term = %grant.term, "leads");
                self.hold(now, grant)
            }
            Ok(Found::Held { leader, until }) => {
                self.followed_until = until;
                self.enter(match leader {
                    Some(leader) => State::Follower {
                        leader: Some(leader),
                    },
                    None => State::Unknown,
                });
                until
            }
            Ok(Found::Free) => {
                self.enter(State::Unknown);
                self.abstains_until
            }
            Err(error) => {
                tracing::debug!(%error, service = %self.service, candidate = %self.node, "the lease was not seen");
                if now >= self.followed_until {
                    self.enter(State::Unknown);
                }
                now + self.idle.config.refresh
            }
        }
    }

    /// Renews the lease. Returns when to do so again.
    async fn lead(&mut self, held: Held, shutdown: &Shutdown) -> BootTime {
        let Idle { config, lease, .. } = &self.idle;
        let now = self.idle.clock.now();
        match lease.renew(now, config.lease_duration) {
            Ok(Some(grant)) => {
                let wake = self.hold(now, grant);
                if self.idle.clock.now() < held.grant.valid_until {
                    return wake;
                }
                // The process was held up between the look at the clock and here: a handle may have seen the leadership end, and
                // what has ended must not go on in the same term.
                self.step_down(shutdown).await;
            }
            Ok(None) => {
                tracing::warn!(service = %self.service, candidate = %self.node, term = %held.grant.term, "the lease expired before it was renewed");
                self.held = None;
                self.enter(State::Unknown);
            }
            Err(error) if now >= held.sent + config.renew_deadline => {
                tracing::warn!(%error, service = %self.service, candidate = %self.node, term = %held.grant.term, "the lease was not renewed in time");
                self.step_down(shutdown).await;
            }
            Err(error) => {
                tracing::debug!(%error, service = %self.service, candidate = %self.node, "the lease was not renewed yet");
                return (now + config.refresh)
                    .min(held.sent + config.renew_deadline)
                    .min(held.grant.valid_until);
            }
        }
        // The others first; who of them leads is seen at once.
        self.abstains_until = self.idle.clock.now() + self.idle.config.refresh;
        self.follow()
    }

    /// Leads, by a grant that was asked for at `sent`. Returns when to renew it.
    fn hold(&mut self, sent: BootTime, grant: Grant) -> BootTime {
        self.held = Some(Held { grant, sent });
        self.enter(State::Leader {
            term: grant.term,
            valid_until: grant.valid_until,
        });
        sent + self.idle.config.refresh
    }

    async fn resign(&mut self, shutdown: &Shutdown) -> StepDown {
        if self.held.is_none() {
            return StepDown::Released;
        }
        let outcome = self.step_down(shutdown).await;
        self.abstains_until = self.idle.clock.now() + self.idle.config.lease_duration;
        outcome
    }

    /// Ends the leadership: no leader from here on, then no task of it, then no lease. The lease isn't renewed meanwhile, so the
    /// whole takes no longer than it is valid.
    async fn step_down(&mut self, shutdown: &Shutdown) -> StepDown {
        let Some(Held { grant, .. }) = self.held.take() else {
            return StepDown::Released;
        };
        self.enter(State::Unknown);
        let Idle {
            sender,
            clock,
            lease,
            ..
        } = &self.idle;
        tokio::select! {
            biased;
            () = sender.tasks_ended() => {}
            () = sleep_until(&**clock, grant.valid_until) => {}
            () = shutdown.forced() => {}
        }
        let tasks = sender.tasks();
        if tasks > 0 {
            tracing::error!(
                service = %self.service, candidate = %self.node, term = %grant.term, tasks,
                "leader-scoped tasks did not end when asked; the lease is left to expire"
            );
            return StepDown::TasksLeft(tasks);
        }
        match lease.release() {
            Ok(()) => StepDown::Released,
            Err(error) => {
                tracing::warn!(%error, service = %self.service, candidate = %self.node, "the lease is left to expire");
                StepDown::Away
            }
        }
    }

    /// Sets the state, and publishes the role when it is another one.
    fn enter(&mut self, state: State) {
        let role = Role::from(&state);
        self.idle.sender.set(state);
        if role == self.role {
            return;
        }
        self.role = role;
        let change = StateChange {
            id: self.node.id.clone(),
            role,
        };
        // Who listens badly must not keep a service from having a master.
        if let Err(error) = self.idle.broker.append(&self.topic, change.message()) {
            tracing::warn!(%error, service = %self.service, candidate = %self.node, ?role, "a change of role was not published");
        }
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        // A run that was dropped leads no more, whatever the lease says until it expires.
        self.idle.sender.set(State::Unknown);
    }
}
