//! The links of a fleet: a pure state machine, told the time with each step.
//!
//! A link is live while it has not expired and its node isn't gone. One that isn't live counts as absent wherever it is looked at;
//! [`remove_expired`](Links::remove_expired) and [`tidy`](Links::tidy) only free the memory.

use super::service::{Link, Service};
use braid_core::{
    BootTime, Claim, Node, NodeId, NodeRef, NodeState, ServiceName, Token, discover::Update,
};
use foldhash::quality::RandomState;
use std::{collections::HashMap, sync::Arc, time::Duration};

/// How long it is remembered at least that a node drained or went, after discovery last told of it.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// Why a node gets no new link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Draining,
    Gone,
}

#[derive(Debug)]
pub(super) struct Links {
    ttl: Duration,
    grace: Duration,
    /// The services that had a claim.
    services: HashMap<ServiceName, Service, RandomState>,
    /// What was said of nodes here rather than by discovery.
    marks: HashMap<NodeRef, Mark>,
}

#[derive(Debug)]
struct Mark {
    draining: bool,
    gone: bool,
    since: BootTime,
}

impl Links {
    pub(super) fn new(ttl: Duration, grace: Duration) -> Self {
        Self {
            ttl,
            grace,
            services: HashMap::default(),
            marks: HashMap::new(),
        }
    }

    /// The node that a token is linked to; that it was asked for renews the link.
    pub(super) fn target(
        &self,
        now: BootTime,
        token: &Token,
        service: &ServiceName,
    ) -> Option<&NodeRef> {
        let link = self.services.get(service)?.link(token)?;
        if !link.is_live(now) {
            return None;
        }
        link.renew(now + self.ttl);
        Some(&link.owner.node)
    }

    pub(super) fn claim(
        &mut self,
        now: BootTime,
        token: &Token,
        node: &Node,
    ) -> Result<Claim, Refusal> {
        let service = self.services.entry(node.service.clone()).or_default();
        let until = now + self.ttl;
        if let Some(link) = service.link(token) {
            if !link.is_live(now) {
                service.remove(token);
            } else if link.owner.node == node.node {
                link.renew(until);
                return Ok(Claim::Won);
            } else {
                return Ok(Claim::Held(link.owner.node.clone()));
            }
        }
        admit(self.marks.get(&node.node), service, node)?;
        if service.insert(now, self.grace, until, token, &node.node) {
            Ok(Claim::Won)
        } else {
            Err(Refusal::Gone)
        }
    }

    /// Moves a link from one node to another, which may hold it already; false when neither holds it.
    pub(super) fn relink(
        &mut self,
        now: BootTime,
        token: &Token,
        from: &NodeRef,
        to: &Node,
    ) -> Result<bool, Refusal> {
        let Some(service) = self.services.get_mut(&to.service) else {
            return Ok(false);
        };
        let until = now + self.ttl;
        match service.link(token).filter(|link| link.is_live(now)) {
            Some(link) if link.owner.node == to.node => {
                link.renew(until);
                return Ok(true);
            }
            Some(link) if link.owner.node == *from => {}
            _ => return Ok(false),
        }
        admit(self.marks.get(&to.node), service, to)?;
        if service.insert(now, self.grace, until, token, &to.node) {
            Ok(true)
        } else {
            Err(Refusal::Gone)
        }
    }

    pub(super) fn unlink(
        &mut self,
        now: BootTime,
        token: &Token,
        service: &ServiceName,
        owner: &NodeRef,
    ) -> bool {
        let Some(service) = self.services.get_mut(service) else {
            return false;
        };
        let holds = |link: &Link| link.owner.node == *owner && link.is_live(now);
        let held = service.link(token).is_some_and(holds);
        if held {
            service.remove(token);
        }
        held
    }

    pub(super) fn leave(&mut self, now: BootTime, token: &Token) -> usize {
        let services = self.services.values_mut();
        let ended = services.filter_map(|service| service.remove(token));
        ended.filter(|link| link.is_live(now)).count()
    }

    /// Ends a node's links; it gets no new one until discovery has it back.
    pub(super) fn down(&mut self, now: BootTime, node: &NodeRef) -> usize {
        let ended = self.count(now, node);
        for service in self.services.values_mut() {
            service.remove_owner(node);
        }
        self.mark(now, node).gone = true;
        ended
    }

    /// Closes a node for new links, in this life of it.
    pub(super) fn close(&mut self, now: BootTime, node: &NodeRef) {
        self.mark(now, node).draining = true;
    }

    pub(super) fn count(&self, now: BootTime, node: &NodeRef) -> usize {
        self.live(now, node).count()
    }

    /// Some of a node's links.
    pub(super) fn some(
        &self,
        now: BootTime,
        node: &NodeRef,
        limit: usize,
    ) -> Vec<(ServiceName, Token)> {
        let links = self.live(now, node).take(limit);
        links
            .map(|(service, token, _)| (service.clone(), token.clone()))
            .collect()
    }

    /// Until when a link that the node has is live; `None` when it has none. Cheap for a node with many.
    pub(super) fn busy_until(&self, now: BootTime, node: &NodeRef) -> Option<BootTime> {
        self.live(now, node)
            .next()
            .map(|(_, _, link)| link.live_until())
    }

    /// How many links each node has, its lives together.
    pub(super) fn counts(&self, now: BootTime) -> HashMap<NodeId, u64> {
        let mut counts = HashMap::new();
        for (node, links) in self.services.values().flat_map(|s| s.counts(now)) {
            *counts.entry(node.id.clone()).or_default() += links as u64;
        }
        counts
    }

    /// The services whose nodes need to be known.
    pub(super) fn services(&self) -> impl ExactSizeIterator<Item = &ServiceName> {
        self.services.keys()
    }

    /// Discovery tells of a service.
    pub(super) fn update(&mut self, now: BootTime, service: &ServiceName, update: &Update) {
        let Some(service) = self.services.get_mut(service) else {
            return;
        };
        let came: &[Arc<Node>] = match update {
            Update::Reset(nodes) => nodes,
            Update::Upsert(node) => std::slice::from_ref(node),
            Update::Remove(_) => &[],
        };
        for node in came {
            // Only who was seen absent has come back: what discovery says late of a node doesn't undo that it went.
            if let Some(mark) = self.marks.get_mut(&node.node)
                && service.is_absent(&node.node)
            {
                mark.gone = false;
            }
        }
        service.update(now, self.grace, Some(update));
    }

    /// Nobody watches a service (`None`: any service) any more: who was absent is unknown from now on.
    pub(super) fn forget_presence(&mut self, now: BootTime, name: Option<&ServiceName>) {
        for (service, entry) in &mut self.services {
            if name.is_none_or(|name| name == service) {
                entry.update(now, self.grace, None);
            }
        }
    }

    /// The links whose time is over, and until when no other one's will be.
    pub(super) fn expired(&self, now: BootTime) -> (Vec<(ServiceName, Token)>, BootTime) {
        let mut expired = Vec::new();
        let mut next = now + self.ttl;
        for (name, service) in &self.services {
            for (token, link) in service.links() {
                if link.is_live(now) {
                    next = next.min(link.live_until());
                } else {
                    expired.push((name.clone(), token.clone()));
                }
            }
        }
        (expired, next)
    }

    /// Removes those of these links that still aren't live.
    pub(super) fn remove_expired(&mut self, now: BootTime, expired: &[(ServiceName, Token)]) {
        for (service, token) in expired {
            if let Some(service) = self.services.get_mut(service)
                && service.link(token).is_some_and(|link| !link.is_live(now))
            {
                service.remove(token);
            }
        }
    }

    /// Removes the links of nodes that are gone, and forgets nodes that nobody will name any more. True when links went.
    pub(super) fn tidy(&mut self, now: BootTime) -> bool {
        let mut ended = false;
        for service in self.services.values_mut() {
            ended |= service.purge_gone(now);
            service.forget_gone(now, self.ttl);
        }
        let remembered = self.ttl.max(REMEMBERED);
        let services = &self.services;
        self.marks.retain(|node, mark| {
            if services.values().any(|s| s.state(node).is_some()) {
                mark.since = now;
            }
            (mark.draining || mark.gone) && now < mark.since + remembered
        });
        ended
    }

    fn mark(&mut self, now: BootTime, node: &NodeRef) -> &mut Mark {
        let mark = self.marks.entry(node.clone()).or_insert(Mark {
            draining: false,
            gone: false,
            since: now,
        });
        mark.since = now;
        mark
    }

    /// A node's live links.
    fn live(
        &self,
        now: BootTime,
        node: &NodeRef,
    ) -> impl Iterator<Item = (&ServiceName, &Token, &Link)> {
        let links = self.services.iter().flat_map(move |(name, service)| {
            let links = service.links_of(node);
            links.map(move |(token, link)| (name, token, link))
        });
        links.filter(move |(_, _, link)| link.is_live(now))
    }
}

/// Refuses a new link to a node that was said to be leaving, here or by discovery, or to be down.
fn admit(mark: Option<&Mark>, service: &Service, node: &Node) -> Result<(), Refusal> {
    let states = [Some(node.state), service.state(&node.node)];
    if mark.is_some_and(|mark| mark.gone) {
        Err(Refusal::Gone)
    } else if mark.is_some_and(|mark| mark.draining) || states.contains(&Some(NodeState::Draining))
    {
        Err(Refusal::Draining)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
