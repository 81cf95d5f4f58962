//! The links behind their lock and on their clock, and the word that they changed.

use super::links::{Links, Refusal};
use braid_core::{
    BootTime, Claim, Clock, Node, NodeId, NodeRef, ServiceName, Token, discover::Update,
};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};
use tokio::sync::watch;

/// What the handles of a hub share. Calls with a token only read; they don't wait for each other.
#[derive(Debug)]
pub(super) struct Table {
    links: RwLock<Links>,
    clock: Arc<dyn Clock>,
    /// Bumped when links may have come or gone.
    changed: watch::Sender<()>,
    /// How many services there are, which never go.
    services: watch::Sender<usize>,
}

impl Table {
    pub(super) fn new(ttl: Duration, grace: Duration, clock: Arc<dyn Clock>) -> Self {
        Self {
            links: RwLock::new(Links::new(ttl, grace)),
            clock,
            changed: watch::Sender::default(),
            services: watch::Sender::default(),
        }
    }

    /// Tells when links came or went.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Tells when a service had its first claim.
    pub(super) fn new_services(&self) -> watch::Receiver<usize> {
        self.services.subscribe()
    }

    pub(super) fn target(&self, token: &Token, service: &ServiceName) -> Option<NodeRef> {
        let now = self.clock.now();
        self.read().target(now, token, service).cloned()
    }

    pub(super) fn with_target(
        &self,
        token: &Token,
        service: &ServiceName,
        see: &mut dyn FnMut(&NodeRef),
    ) {
        let now = self.clock.now();
        if let Some(node) = self.read().target(now, token, service) {
            see(node);
        }
    }

    pub(super) fn claim(&self, token: &Token, node: &Node) -> Result<Claim, Refusal> {
        let (claim, services) =
            self.change(|links, now| (links.claim(now, token, node), links.services().len()));
        self.services
            .send_if_modified(|known| std::mem::replace(known, services) < services);
        claim
    }

    pub(super) fn relink(&self, token: &Token, from: &NodeRef, to: &Node) -> Result<bool, Refusal> {
        self.change(|links, now| links.relink(now, token, from, to))
    }

    pub(super) fn unlink(&self, token: &Token, service: &ServiceName, owner: &NodeRef) -> bool {
        self.change(|links, now| links.unlink(now, token, service, owner))
    }

    pub(super) fn leave(&self, token: &Token) -> usize {
        self.change(|links, now| links.leave(now, token))
    }

    pub(super) fn down(&self, node: &NodeRef) -> usize {
        self.change(|links, now| links.down(now, node))
    }

    pub(super) fn close(&self, node: &NodeRef) {
        self.change(|links, now| links.close(now, node));
    }

    pub(super) fn update(&self, service: &ServiceName, update: &Update) {
        self.change(|links, now| links.update(now, service, update));
    }

    pub(super) fn forget_presence(&self, service: Option<&ServiceName>) {
        self.change(|links, now| links.forget_presence(now, service));
    }

    pub(super) fn count(&self, node: &NodeRef) -> usize {
        let now = self.clock.now();
        self.read().count(now, node)
    }

    pub(super) fn some(&self, node: &NodeRef, limit: usize) -> Vec<(ServiceName, Token)> {
        let now = self.clock.now();
        self.read().some(now, node, limit)
    }

    pub(super) fn busy_until(&self, node: &NodeRef) -> Option<BootTime> {
        let now = self.clock.now();
        self.read().busy_until(now, node)
    }

    pub(super) fn counts(&self) -> HashMap<NodeId, u64> {
        let now = self.clock.now();
        self.read().counts(now)
    }

    pub(super) fn services(&self) -> Vec<ServiceName> {
        self.read().services().cloned().collect()
    }

    /// Frees what isn't live any more. The whole table is looked through from `due` on; returns when to do so again.
    pub(super) fn sweep(&self, due: BootTime) -> BootTime {
        let now = self.clock.now();
        let mut swept = self.write().tidy(now);
        let mut next = due;
        if now >= due {
            // The search, which may be long, lets others read.
            let expired;
            (expired, next) = self.read().expired(now);
            for batch in expired.chunks(1024) {
                self.write().remove_expired(now, batch);
                swept = true;
            }
        }
        if swept {
            self.changed.send_replace(());
        }
        next
    }

    fn change<T>(&self, change: impl FnOnce(&mut Links, BootTime) -> T) -> T {
        let now = self.clock.now();
        let result = change(&mut self.write(), now);
        self.changed.send_replace(());
        result
    }

    // What a panicking holder left behind is whole: nothing in `links` panics between two changes.

    fn read(&self) -> RwLockReadGuard<'_, Links> {
        self.links.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Links> {
        self.links.write().unwrap_or_else(PoisonError::into_inner)
    }
}
