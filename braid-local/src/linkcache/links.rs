//! The links of a fleet: a pure state machine, told the time with each step.
//!
//! A link is live while it has not expired and its node isn't gone. One that isn't live counts as absent wherever it is looked at;
//! [`remove_expired`](Links::remove_expired) and [`tidy`](Links::tidy) only free the memory.

use super::{
    presence::Presence,
    service::{Link, Service},
};
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
        let mark = self.marks.get(&node.node);
        let states = [Some(node.state), service.state(&node.node)];
        if mark.is_some_and(|mark| mark.gone) {
            Err(Refusal::Gone)
        } else if mark.is_some_and(|mark| mark.draining)
            || states.contains(&Some(NodeState::Draining))
        {
            Err(Refusal::Draining)
        } else if service.insert(now, self.grace, until, token, &node.node) {
            Ok(Claim::Won)
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
        self.links_of(node).filter(|link| link.is_live(now)).count()
    }

    /// Until when a link that the node has is live; `None` when it has none. Cheap for a node with many.
    pub(super) fn busy_until(&self, now: BootTime, node: &NodeRef) -> Option<BootTime> {
        self.links_of(node)
            .find(|link| link.is_live(now))
            .map(Link::live_until)
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
        let mut presence = match update {
            Update::Reset(_) => Presence::default(),
            // A step means nothing to who doesn't know where it starts.
            Update::Upsert(_) | Update::Remove(_) => match service.take_presence() {
                Some(presence) => presence,
                None => return,
            },
        };
        for node in came {
            presence.insert(&node.node, node.state);
        }
        if let Update::Remove(node) = update {
            presence.remove(node);
        }
        service.set_presence(now, self.grace, Some(presence));
    }

    /// Nobody watches a service (`None`: any service) any more: who was absent is unknown from now on.
    pub(super) fn forget_presence(&mut self, now: BootTime, name: Option<&ServiceName>) {
        for (service, entry) in &mut self.services {
            if name.is_none_or(|name| name == service) {
                entry.set_presence(now, self.grace, None);
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

    fn links_of(&self, node: &NodeRef) -> impl Iterator<Item = &Link> {
        self.services.values().flat_map(|s| s.links_of(node))
    }
}

#[cfg(test)]
mod tests;
