//! Discovery within one process: a registry that the nodes of a hub share.

mod registry;

pub(crate) use self::registry::Registry;

use crate::lifecycle::{Lifecycle, supervise};
use braid_core::{
    Announce, Announcement, BoxFuture, BoxStream, Component, Discover, Error, ErrorKind, Node,
    Result, ServiceName, Shutdown, Update, discover::updates,
};
use futures_util::StreamExt;
use std::sync::Arc;

pub(crate) const NAME: &str = "discover-local";

/// One node's handle on the hub's registry.
///
/// An announcement is visible at once to every handle of the hub, until it is withdrawn or dropped, or the
/// [`run`](Component::run) of the handle that made it ends. Each node that comes, changes or goes is published once per hub to
/// `braid.topic.discover.service_update`, in the order in which it happened.
#[derive(Debug)]
pub struct LocalDiscover {
    registry: Arc<Registry>,
    lifecycle: Arc<Lifecycle>,
    /// Names this handle's announcements to the registry.
    owner: u64,
}

impl LocalDiscover {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self {
            owner: registry.next_serial(),
            registry,
            lifecycle: Arc::default(),
        }
    }
}

impl Component for LocalDiscover {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&self, shutdown: Shutdown) -> BoxFuture<'_, Result<()>> {
        Box::pin(supervise(NAME, async move {
            let run = self.lifecycle.start(NAME)?;
            let _leaves = Leaves(self);
            // Dropped first: closed before it leaves, so that nothing is announced behind its back.
            let _run = run;
            shutdown.draining().await;
            Ok(())
        }))
    }
}

/// A handle that has ended keeps no node visible.
struct Leaves<'a>(&'a LocalDiscover);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.registry.remove_owned(self.0.owner);
    }
}

impl Discover for LocalDiscover {
    fn announce<'a>(&'a self, node: &'a Node) -> BoxFuture<'a, Result<Announcement>> {
        Box::pin(async move {
            self.lifecycle.check(NAME, "announce")?;
            let serial = self.registry.insert(self.owner, node)?;
            let announced = Announced {
                registry: Arc::clone(&self.registry),
                lifecycle: Arc::clone(&self.lifecycle),
                node: node.clone(),
                serial,
            };
            // The run may have ended meanwhile; then the drop of `announced` takes the node back.
            self.lifecycle.check(NAME, "announce")?;
            Ok(Announcement::new(Box::new(announced)))
        })
    }

    fn watch(&self, service: &ServiceName) -> BoxStream<'static, Result<Update>> {
        let closed = self.lifecycle.closed().clone().cancelled_owned();
        Box::pin(updates(self.registry.watch(service)).take_until(closed))
    }
}

/// Keeps one node in the registry.
#[derive(Debug)]
struct Announced {
    registry: Arc<Registry>,
    lifecycle: Arc<Lifecycle>,
    /// As it was announced first: who it is never changes.
    node: Node,
    serial: u64,
}

impl Announce for Announced {
    fn update(&self, node: Node) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.lifecycle.check(NAME, "update")?;
            if (&node.node, &node.service) != (&self.node.node, &self.node.service) {
                let text = format!(
                    "the announcement is of node {} of `{}`, not of node {} of `{}`",
                    self.node.node, self.node.service, node.node, node.service
                );
                return Err(Error::new(ErrorKind::Config, NAME, "update", text));
            }
            self.registry.update(self.serial, node);
            Ok(())
        })
    }

    fn withdraw(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        // The drop does it, and it is visible when the drop has ended.
        Box::pin(async move {
            drop(self);
            Ok(())
        })
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        self.registry.remove(&self.node.node.id, self.serial);
    }
}

#[cfg(test)]
mod tests;
