//! Election within one process: leases that the candidates of a hub compete for.

mod candidate;
mod config;
mod fence;
mod lease;

pub(crate) use self::lease::Leases;
pub use self::{config::ElectorConfig, fence::LocalFence};

use self::{
    candidate::{Candidate, StepDown},
    lease::LeaseHandle,
};
use crate::{
    lifecycle::{lock, runs_once, supervise},
    pubsub::Broker,
};
use braid_core::{
    BoxFuture, Clock, Component, Elector, Error, ErrorKind, Leadership, LeadershipSender, NodeRef,
    Result, ServiceName, Shutdown,
};
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, oneshot};

pub(crate) const NAME: &str = "elector-local";

/// A resignation on its way to the run, and the way back.
type Resignation = oneshot::Sender<StepDown>;

/// One candidate for being the master of a service.
///
/// Its [`run`](Component::run) acquires and renews the lease. A drain releases it; a run that is dropped leaves it to expire, as a
/// crash would. Each change of its role is published to `braid.topic.election.change_state`.
#[derive(Debug)]
pub struct LocalElector {
    service: ServiceName,
    candidate: NodeRef,
    leadership: Leadership,
    /// Taken by the run.
    idle: Mutex<Option<Idle>>,
    /// Reaches the run while there is one.
    resignations: Mutex<Option<mpsc::UnboundedSender<Resignation>>>,
}

/// What the run starts with.
#[derive(Debug)]
struct Idle {
    config: ElectorConfig,
    clock: Arc<dyn Clock>,
    lease: LeaseHandle,
    broker: Arc<Broker>,
    sender: LeadershipSender,
}

impl LocalElector {
    pub(crate) fn new(
        service: ServiceName,
        candidate: NodeRef,
        config: ElectorConfig,
        clock: Arc<dyn Clock>,
        leases: &Arc<Leases>,
        broker: Arc<Broker>,
    ) -> Result<Self> {
        config.validate()?;
        let (sender, leadership) = Leadership::new(Arc::clone(&clock));
        let lease = leases.join(&service, &candidate);
        let idle = Idle {
            config,
            clock,
            lease,
            broker,
            sender,
        };
        Ok(Self {
            service,
            candidate,
            leadership,
            idle: Mutex::new(Some(idle)),
            resignations: Mutex::default(),
        })
    }

    fn closed(operation: &'static str, text: &str) -> Error {
        Error::new(ErrorKind::Closed, NAME, operation, text)
    }
}

impl Component for LocalElector {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&self, shutdown: Shutdown) -> BoxFuture<'_, Result<()>> {
        Box::pin(supervise(NAME, async move {
            let Some(idle) = lock(&self.idle).take() else {
                return Err(runs_once(NAME));
            };
            let (sender, resignations) = mpsc::unbounded_channel();
            *lock(&self.resignations) = Some(sender);
            let _unreachable = Unreachable(self);
            Candidate::new(self.service.clone(), self.candidate.clone(), idle)
                .run(resignations, shutdown)
                .await;
            Ok(())
        }))
    }
}

/// A run that has ended can't be told to resign.
struct Unreachable<'a>(&'a LocalElector);

impl Drop for Unreachable<'_> {
    fn drop(&mut self) {
        *lock(&self.0.resignations) = None;
    }
}

impl Elector for LocalElector {
    fn leadership(&self) -> Leadership {
        self.leadership.clone()
    }

    fn resign(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let idle = || Self::closed("resign", "the elector doesn't run");
            let (reply, answer) = oneshot::channel();
            let sender = lock(&self.resignations).clone().ok_or_else(idle)?;
            sender.send(reply).map_err(|_| idle())?;
            drop(sender);
            match answer.await {
                Ok(StepDown::Released) => Ok(()),
                Ok(StepDown::Away) => {
                    let text = format!("the lease of `{}` could not be released", self.service);
                    Err(Error::new(ErrorKind::Unavailable, NAME, "resign", text))
                }
                Ok(StepDown::TasksLeft(tasks)) => {
                    let text = format!(
                        "{tasks} leader-scoped task(s) of `{}` did not end while its lease was valid",
                        self.service
                    );
                    Err(Error::new(ErrorKind::Timeout, NAME, "resign", text))
                }
                Err(_) => Err(Self::closed("resign", "the elector ended meanwhile")),
            }
        })
    }
}

#[cfg(test)]
mod tests;
