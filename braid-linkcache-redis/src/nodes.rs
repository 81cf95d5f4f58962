//! The nodes that links are held by, as this process sees them.
//!
//! A node is gone once its uid was absent from discovery for the grace period, or once another life of it came and it went. Absence counts only
//! while this process was there to see it: one that was frozen wakes up with an old view, in which a node may be missing that came back long
//! ago. So the time is added up by [`pulse`](Nodes::pulse), and a long pause between two of them counts as a short one. Being late ends
//! a link somewhat later; being early would take a user from a node that lives.

use crate::error::Refusal;
use braid_core::{
    BootTime, Node, NodeRef, NodeState, ServiceName,
    discover::{Presence, Update},
};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::watch;

/// How often the time is to be told.
pub(crate) const PULSE: Duration = Duration::from_millis(200);

/// What a pause between two pulses counts at most.
const LONGEST_PULSE: Duration = Duration::from_millis(500);

/// A life of a node, shared by all links to it that this process remembers.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) node: NodeRef,
    gone: AtomicBool,
}

impl Owner {
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Relaxed)
    }
}

#[derive(Debug)]
pub(crate) struct Nodes {
    grace: Duration,
    known: Mutex<Known>,
    /// How many services there are, which never go.
    count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Known {
    last_pulse: BootTime,
    services: HashMap<ServiceName, Service>,
    /// The nodes whose links were ended, and when: they may be marked as gone on the server.
    ended: HashMap<NodeRef, BootTime>,
}

#[derive(Debug, Default)]
struct Service {
    /// What discovery tells; none while nobody watches it.
    presence: Option<Presence>,
    /// Those that links were seen of, for as long as somebody refers to them or they are absent.
    owners: HashMap<NodeRef, Seen>,
    /// Lives that were there and went, and when.
    left: HashMap<NodeRef, BootTime>,
}

#[derive(Debug)]
struct Seen {
    owner: Arc<Owner>,
    /// For how long, while it is.
    absent: Option<Duration>,
}

impl Nodes {
    pub(crate) fn new(grace: Duration) -> Self {
        Self {
            grace,
            known: Mutex::default(),
            count: watch::Sender::default(),
        }
    }

    /// Makes discovery of a service be followed.
    pub(crate) fn follow(&self, service: &ServiceName) {
        self.known().service(service, &self.count);
    }

    /// Tells when there are more services to follow.
    pub(crate) fn new_services(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    pub(crate) fn services(&self) -> Vec<ServiceName> {
        self.known().services.keys().cloned().collect()
    }

    /// A node that a link was seen of. One that discovery doesn't tell of is gone after the grace period, from the first time it is seen so.
    pub(crate) fn owner(&self, service: &ServiceName, node: &NodeRef) -> Arc<Owner> {
        let mut known = self.known();
        let ended = known.ended.contains_key(node);
        let service = known.service(service, &self.count);
        if let Some(seen) = service.owners.get(node) {
            return Arc::clone(&seen.owner);
        }
        let absent = service.is_absent(node).then_some(Duration::ZERO);
        // Whoever ended its links had waited.
        let gone = absent.is_some() && (ended || self.grace.is_zero() || service.is_former(node));
        let owner = Arc::new(Owner {
            node: node.clone(),
            gone: gone.into(),
        });
        let seen = Seen {
            owner: Arc::clone(&owner),
            absent,
        };
        service.owners.insert(node.clone(), seen);
        owner
    }

    /// Why a node gets no new link, as far as is known here.
    pub(crate) fn refusal(&self, node: &Node) -> Option<Refusal> {
        if self.owner(&node.service, &node.node).is_gone() {
            return Some(Refusal::Gone);
        }
        let known = self.known();
        let present = known.services.get(&node.service);
        let present = present.and_then(|service| service.present(&node.node));
        let states = [Some(node.state), present.map(|node| node.state)];
        states
            .contains(&Some(NodeState::Draining))
            .then_some(Refusal::Draining)
    }

    /// Time goes on. To be called every [`PULSE`].
    pub(crate) fn pulse(&self, now: BootTime) {
        let mut known = self.known();
        let passed = now.saturating_since(known.last_pulse).min(LONGEST_PULSE);
        known.last_pulse = now;
        for seen in known
            .services
            .values_mut()
            .flat_map(|service| service.owners.values_mut())
        {
            if let Some(absent) = &mut seen.absent {
                *absent += passed;
                if *absent >= self.grace {
                    seen.owner.gone.store(true, Relaxed);
                }
            }
        }
    }

    /// Discovery tells of a service. Returns the nodes that have come back after their links were ended: they may be linked to again.
    pub(crate) fn update(
        &self,
        now: BootTime,
        service: &ServiceName,
        update: &Update,
    ) -> Vec<NodeRef> {
        let mut known = self.known();
        let service = known.service(service, &self.count);
        let Some(mut presence) = (match update {
            Update::Reset(_) => Some(service.presence.take().unwrap_or_default()),
            // A step means nothing to who doesn't know where it starts.
            Update::Upsert(_) | Update::Remove(_) => service.presence.take(),
        }) else {
            return Vec::new();
        };
        // Only who was seen absent has come back: what discovery says late of a node doesn't undo that it went.
        let came: &[Arc<Node>] = match update {
            Update::Reset(nodes) => nodes,
            Update::Upsert(node) => std::slice::from_ref(node),
            Update::Remove(_) => &[],
        };
        let came = came.iter().map(|node| &node.node);
        let came = came.filter(|node| presence.get(node).is_none());
        let mut back: Vec<NodeRef> = came.cloned().collect();
        let before: Vec<NodeRef> = match update {
            Update::Reset(_) => presence.nodes().map(|node| node.node.clone()).collect(),
            Update::Upsert(_) => Vec::new(),
            Update::Remove(node) => vec![node.clone()],
        };
        presence.apply(update);
        let left = before
            .into_iter()
            .filter(|node| presence.get(node).is_none());
        service.left.extend(left.map(|node| (node, now)));
        for node in &back {
            service.left.remove(node);
        }
        service.set_presence(self.grace, Some(presence));
        back.retain(|node| known.ended.remove(node).is_some());
        back
    }

    /// Nobody watches this service any more: who was absent is unknown from now on.
    pub(crate) fn forget_presence(&self, service: &ServiceName) {
        if let Some(service) = self.known().services.get_mut(service) {
            service.set_presence(self.grace, None);
        }
    }

    /// The links of a node have ended; later ones are told apart from these.
    pub(crate) fn ended(&self, now: BootTime, node: &NodeRef) {
        let mut known = self.known();
        for service in known.services.values_mut() {
            if let Some(seen) = service.owners.remove(node) {
                seen.owner.gone.store(true, Relaxed);
            }
        }
        known.ended.insert(node.clone(), now);
    }

    /// Forgets nodes that nobody will name any more: they went longer than `remembered` ago.
    pub(crate) fn tidy(&self, now: BootTime, remembered: Duration) {
        let mut known = self.known();
        for service in known.services.values_mut() {
            service.owners.retain(|_, seen| {
                let absent = seen.absent.unwrap_or(Duration::MAX);
                Arc::strong_count(&seen.owner) > 1 || absent < remembered
            });
            service.left.retain(|_, since| now < *since + remembered);
        }
        known.ended.retain(|_, since| now < *since + remembered);
    }

    /// Whether discovery tells of this very life.
    pub(crate) fn is_present(&self, node: &NodeRef) -> bool {
        let known = self.known();
        known
            .services
            .values()
            .any(|service| service.present(node).is_some())
    }

    /// The node of a service that listens at an address, which may lack the port.
    pub(crate) fn at(&self, service: &ServiceName, address: &str) -> Option<NodeRef> {
        let known = self.known();
        let presence = known.services.get(service)?.presence.as_ref()?;
        let host: Option<IpAddr> = address.parse().ok();
        let found = presence.nodes().find(|node| match host {
            Some(host) => node.address.ip() == host,
            None => address.parse() == Ok(node.address),
        });
        found.map(|node| node.node.clone())
    }

    // What a panicking holder left behind is whole: nothing here panics between two changes.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn service(&mut self, name: &ServiceName, count: &watch::Sender<usize>) -> &mut Service {
        if !self.services.contains_key(name) {
            self.services.insert(name.clone(), Service::default());
            count.send_replace(self.services.len());
        }
        self.services.entry(name.clone()).or_default()
    }
}

impl Service {
    fn present(&self, node: &NodeRef) -> Option<&Arc<Node>> {
        self.presence.as_ref()?.get(node)
    }

    fn set_presence(&mut self, grace: Duration, presence: Option<Presence>) {
        self.presence = presence;
        let nodes: Vec<_> = self.owners.keys().cloned().collect();
        for node in nodes {
            let (absent, former) = (self.is_absent(&node), self.is_former(&node));
            let Some(seen) = self.owners.get_mut(&node) else {
                continue;
            };
            if absent {
                seen.absent.get_or_insert_default();
                if former || grace.is_zero() {
                    seen.owner.gone.store(true, Relaxed);
                }
            } else if seen.owner.is_gone() {
                // Links of a node that was gone don't live again when it comes back.
                self.owners.remove(&node);
            } else {
                seen.absent = None;
            }
        }
    }

    /// Whether discovery is watched and doesn't tell of the node.
    fn is_absent(&self, node: &NodeRef) -> bool {
        self.presence.is_some() && self.present(node).is_none()
    }

    /// Whether the node went and its next life is there. One that was never seen may be the next life itself, of which this process hasn't
    /// heard yet.
    fn is_former(&self, node: &NodeRef) -> bool {
        let replaced = |presence: &Presence| presence.is_former_life(node);
        self.left.contains_key(node) && self.presence.as_ref().is_some_and(replaced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use braid_core::NodeId;

    const GRACE: Duration = Duration::from_secs(5);

    fn service() -> ServiceName {
        ServiceName::new("login").expect("it is legal")
    }

    fn node(id: &str) -> Arc<Node> {
        let node = NodeRef::random(NodeId::new(id).expect("it is legal"));
        Arc::new(Node::new(service(), node, ([127, 0, 0, 1], 7000).into()))
    }

    /// Time goes on as the run tells it, from second to second.
    fn wait(nodes: &Nodes, seconds: std::ops::Range<u64>) {
        for pulse in seconds.start * 5..=seconds.end * 5 {
            nodes.pulse(BootTime::from_origin(pulse as u32 * PULSE));
        }
    }

    fn tell(nodes: &Nodes, update: &Update) -> Vec<NodeRef> {
        nodes.update(BootTime::default(), &service(), update)
    }

    #[test]
    fn a_node_is_gone_after_the_grace_period() {
        let (nodes, a) = (Nodes::new(GRACE), node("a"));
        let owner = nodes.owner(&service(), &a.node);
        wait(&nodes, 0..100);
        assert!(!owner.is_gone(), "nobody watches");
        tell(&nodes, &Update::Reset(vec![Arc::clone(&a)]));
        tell(&nodes, &Update::Remove(a.node.clone()));
        wait(&nodes, 100..104);
        assert!(!owner.is_gone());
        tell(&nodes, &Update::Upsert(Arc::clone(&a)));
        tell(&nodes, &Update::Remove(a.node.clone()));
        wait(&nodes, 104..108);
        assert!(!owner.is_gone(), "it was there in between");
        wait(&nodes, 108..110);
        assert!(owner.is_gone());
        assert_eq!(nodes.refusal(&a), Some(Refusal::Gone));
        tell(&nodes, &Update::Upsert(Arc::clone(&a)));
        assert!(owner.is_gone(), "what it held doesn't live again");
        assert!(!nodes.owner(&service(), &a.node).is_gone());
        assert_eq!(nodes.refusal(&a), None);
    }

    #[test]
    fn who_was_frozen_takes_nobody_for_gone() {
        let (nodes, a) = (Nodes::new(GRACE), node("a"));
        tell(&nodes, &Update::Reset(vec![Arc::clone(&a)]));
        let owner = nodes.owner(&service(), &a.node);
        wait(&nodes, 0..1);
        tell(&nodes, &Update::Remove(a.node.clone()));
        wait(&nodes, 1000..1002);
        assert!(!owner.is_gone(), "it may have come back long ago");
        tell(&nodes, &Update::Upsert(Arc::clone(&a)));
        wait(&nodes, 1002..1010);
        assert!(!owner.is_gone());
    }

    #[test]
    fn a_former_life_is_gone_at_once_and_an_unknown_one_is_not() {
        let (nodes, former, next) = (Nodes::new(GRACE), node("a"), node("a"));
        tell(&nodes, &Update::Reset(vec![Arc::clone(&former)]));
        let seen = nodes.owner(&service(), &former.node);
        // Somebody else has linked to the next life already.
        let unknown = nodes.owner(&service(), &next.node);
        assert!(!unknown.is_gone());
        tell(&nodes, &Update::Upsert(Arc::clone(&next)));
        assert!(!seen.is_gone(), "both are there for a moment");
        tell(&nodes, &Update::Remove(former.node.clone()));
        assert!(seen.is_gone() && !unknown.is_gone());
    }

    #[test]
    fn a_node_that_was_ended_and_comes_back_is_told_of_once() {
        let (nodes, a) = (Nodes::new(GRACE), node("a"));
        tell(&nodes, &Update::Reset(vec![Arc::clone(&a)]));
        let owner = nodes.owner(&service(), &a.node);
        nodes.ended(BootTime::default(), &a.node);
        assert!(owner.is_gone() && !nodes.owner(&service(), &a.node).is_gone());
        assert_eq!(tell(&nodes, &Update::Reset(vec![Arc::clone(&a)])), []);
        tell(&nodes, &Update::Remove(a.node.clone()));
        assert!(
            !nodes.owner(&service(), &a.node).is_gone(),
            "since when it is absent counts"
        );
        let back = tell(&nodes, &Update::Upsert(Arc::clone(&a)));
        assert!(back == *std::slice::from_ref(&a.node));
        tell(&nodes, &Update::Remove(a.node.clone()));
        assert_eq!(tell(&nodes, &Update::Upsert(Arc::clone(&a))), []);
    }

    #[test]
    fn nodes_are_found_by_their_address() {
        let (nodes, a) = (Nodes::new(GRACE), node("a"));
        assert_eq!(nodes.at(&service(), "127.0.0.1:7000"), None);
        tell(&nodes, &Update::Reset(vec![Arc::clone(&a)]));
        for address in ["127.0.0.1:7000", "127.0.0.1"] {
            assert_eq!(nodes.at(&service(), address), Some(a.node.clone()));
        }
        for address in ["127.0.0.1:7001", "127.0.0.2", "", "x", "127.0.0.1:"] {
            assert_eq!(nodes.at(&service(), address), None);
        }
    }
}
