//! Runs a node's components: the first that fails stops the rest, and they end in tiers.

use braid_core::{Component, Error, ErrorKind, Result, ShutdownTrigger};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// In which order components end. Later tiers still work while earlier ones drain: a handler that finishes its call may
/// publish, call others, and rely on being the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tier {
    /// Takes work from outside.
    Server,
    /// The user's own background work.
    User,
    /// Leads.
    Elector,
    /// Knows where users are.
    Links,
    /// Knows who is there.
    Discover,
    /// Calls others.
    Client,
    /// Carries messages.
    PubSub,
}

/// Owns the running components of one node.
#[derive(Debug, Default)]
pub(crate) struct Supervisor {
    running: JoinSet<Result<()>>,
    parts: HashMap<Id, Part>,
    /// The first failure: what the user sees.
    failure: Option<Error>,
}

#[derive(Debug)]
struct Part {
    name: &'static str,
    tier: Tier,
    trigger: ShutdownTrigger,
}

impl Supervisor {
    pub(crate) fn spawn(&mut self, tier: Tier, component: Arc<dyn Component>) {
        let name = component.name();
        let trigger = ShutdownTrigger::new();
        let shutdown = trigger.shutdown();
        let task = self
            .running
            .spawn(async move { component.run(shutdown).await });
        self.parts.insert(
            task.id(),
            Part {
                name,
                tier,
                trigger,
            },
        );
    }

    /// Waits until a component ends although nobody asked it to. Pending while all run.
    ///
    /// Cancel safe.
    pub(crate) async fn failed(&mut self) {
        while self.failure.is_none() {
            match self.running.join_next_with_id().await {
                Some(ended) => self.note(ended),
                None => std::future::pending().await,
            }
        }
    }

    /// Ends the components of a tier: drains them within `bound`, then forces them. `forced` forces at once.
    pub(crate) async fn end(&mut self, tier: Tier, bound: Duration, forced: &CancellationToken) {
        self.trigger(tier, ShutdownTrigger::drain);
        let deadline = tokio::time::sleep(bound);
        tokio::pin!(deadline);
        let mut force = false;
        while self.parts.values().any(|part| part.tier == tier) {
            tokio::select! {
                Some(ended) = self.running.join_next_with_id() => self.note(ended),
                () = &mut deadline, if !force => {
                    tracing::warn!(?tier, ?bound, "not drained within its bound: forced");
                    self.trigger(tier, ShutdownTrigger::force);
                    force = true;
                }
                () = forced.cancelled(), if !force => {
                    self.trigger(tier, ShutdownTrigger::force);
                    force = true;
                }
            }
        }
    }

    /// The first failure, once everything has ended.
    pub(crate) fn outcome(self) -> Result<()> {
        debug_assert!(
            self.parts.is_empty(),
            "a tier was never ended: {:?}",
            self.parts
        );
        self.failure.map_or(Ok(()), Err)
    }

    /// Keeps a failure that happened beside the components, if it is the first.
    pub(crate) fn record(&mut self, error: Error) {
        if let Some(first) = &self.failure {
            tracing::warn!(%error, %first, "a further failure");
        } else {
            self.failure = Some(error);
        }
    }

    fn trigger(&self, tier: Tier, how: impl Fn(&ShutdownTrigger)) {
        self.parts
            .values()
            .filter(|part| part.tier == tier)
            .for_each(|part| how(&part.trigger));
    }

    fn note(&mut self, ended: std::result::Result<(Id, Result<()>), JoinError>) {
        let (id, result) = match ended {
            Ok((id, result)) => (id, result.map_err(Some)),
            Err(error) => (
                error.id(),
                Err(Some(panicked(self.name(error.id()), error))),
            ),
        };
        let Some(part) = self.parts.remove(&id) else {
            return;
        };
        let asked = part.trigger.shutdown().is_draining();
        let failure = match result {
            Ok(()) if asked => None,
            Ok(()) => {
                let text = "ended by itself; nobody had asked it to";
                Some(Error::new(ErrorKind::Internal, part.name, "run", text))
            }
            Err(error) => error,
        };
        if let Some(error) = failure {
            self.record(error);
        }
    }

    fn name(&self, id: Id) -> &'static str {
        self.parts.get(&id).map_or("component", |part| part.name)
    }
}

fn panicked(component: &'static str, error: JoinError) -> Error {
    match error.try_into_panic() {
        Ok(panic) => Error::panicked(component, "run", &*panic),
        Err(error) => Error::new(ErrorKind::Internal, component, "run", error.to_string()),
    }
}
