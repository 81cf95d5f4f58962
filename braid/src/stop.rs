//! A node's end: on order, or because a component failed.

use crate::{
    ShutdownSection,
    supervisor::{Supervisor, Tier},
};
use braid_core::{Announcement, LinkCache, Node, NodeState, Result};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// How the owner of a node tells its supervisor to end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Orders {
    close: CancellationToken,
    force: CancellationToken,
}

impl Orders {
    pub(crate) fn close(&self) {
        self.close.cancel();
    }

    pub(crate) fn force(&self) {
        self.force.cancel();
        self.close.cancel();
    }
}

/// What a node has to take leave of.
#[derive(Debug)]
pub(crate) struct Leaving {
    pub(crate) supervisor: Supervisor,
    pub(crate) links: Option<Arc<dyn LinkCache>>,
    /// What discovery was told; `None` for a node without a server.
    pub(crate) announced: Option<(Announcement, Node)>,
    #[cfg(feature = "rpc")]
    pub(crate) health: Option<braid_rpc::Readiness>,
    pub(crate) config: ShutdownSection,
}

/// Watches over a node until it is told to end or a component fails, then ends it in tiers.
pub(crate) async fn supervise(mut leaving: Leaving, orders: Orders) -> Result<()> {
    tokio::select! {
        () = orders.close.cancelled() => {}
        () = leaving.supervisor.failed() => {}
    }
    leaving.end(&orders.force).await
}

impl Leaving {
    pub(crate) fn new(config: ShutdownSection) -> Self {
        Self {
            supervisor: Supervisor::default(),
            links: None,
            announced: None,
            #[cfg(feature = "rpc")]
            health: None,
            config,
        }
    }

    /// Ends everything, each step within its bound; at once where `forced`.
    pub(crate) async fn end(mut self, forced: &CancellationToken) -> Result<()> {
        self.say_goodbye(forced).await;
        let drain = self.config.drain;
        for tier in [Tier::Server, Tier::User, Tier::Elector] {
            self.supervisor.end(tier, drain, forced).await;
        }
        if let Some((announcement, _)) = self.announced.take() {
            let withdrawn = within(drain, forced, announcement.withdraw()).await;
            self.keep(withdrawn);
        }
        for tier in [Tier::Links, Tier::Discover, Tier::Client, Tier::PubSub] {
            self.supervisor.end(tier, drain, forced).await;
        }
        self.supervisor.outcome()
    }

    /// Readiness off, no new links, the notice, and the links go: from here on calls find their way elsewhere, while the server still
    /// takes those that were sent before.
    async fn say_goodbye(&mut self, forced: &CancellationToken) {
        #[cfg(feature = "rpc")]
        if let Some(health) = &self.health {
            health.set(false);
        }
        let Some((announcement, node)) = &self.announced else {
            return;
        };
        let draining = node.clone().with_state(NodeState::Draining);
        let node = node.node.clone();
        let told = within(self.config.drain, forced, announcement.update(draining)).await;
        self.keep(told);

        let pause = tokio::time::sleep(self.config.notice);
        tokio::pin!(pause);
        let Some(links) = self.links.clone() else {
            tokio::select! {
                () = pause => {}
                () = forced.cancelled() => {}
            }
            return;
        };
        // Draining closes the node for new links at once, and is over early when nobody is linked here.
        let drained = tokio::select! {
            drained = links.drain(&node) => drained,
            () = &mut pause => Ok(()),
            () = forced.cancelled() => Ok(()),
        };
        self.keep(Some(drained));
        tokio::select! {
            () = pause => {}
            () = forced.cancelled() => {}
        }
        let down = within(self.config.drain, forced, links.down(&node)).await;
        self.keep(down.map(|down| down.map(|_| ())));
    }

    fn keep(&mut self, result: Option<Result<()>>) {
        if let Some(Err(error)) = result {
            self.supervisor.record(error);
        }
    }
}

/// What a step came to, or `None` when it was cut off.
async fn within<T>(
    bound: Duration,
    forced: &CancellationToken,
    step: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        done = step => Some(done),
        () = tokio::time::sleep(bound) => None,
        () = forced.cancelled() => None,
    }
}
