//! The links of a process that keeps them by itself: [`Mode::Local`](crate::Mode::Local).

use crate::{
    error::Refusal,
    near::nanos,
    nodes::{Nodes, Owner},
};
use braid_core::{BootTime, Claim, Node, NodeRef, ServiceName, Token};
use foldhash::quality::RandomState;
use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

pub(crate) struct Own {
    ttl: Duration,
    links: RwLock<Links>,
}

#[derive(Default)]
struct Links {
    by_service: HashMap<ServiceName, HashMap<Token, Link, RandomState>, RandomState>,
    /// The nodes that get no new link, as somebody of the fleet has said.
    draining: HashSet<NodeRef>,
    gone: HashSet<NodeRef>,
}

struct Link {
    owner: Arc<Owner>,
    /// Renewed by readers.
    expires: AtomicU64,
    made: SystemTime,
}

impl Link {
    fn is_live(&self, now: BootTime) -> bool {
        self.expires.load(Relaxed) > nanos(now) && !self.owner.is_gone()
    }
}

impl Own {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            links: RwLock::default(),
        }
    }

    /// Shows the node that a token is linked to, and renews the link.
    pub(crate) fn with(
        &self,
        now: BootTime,
        token: &Token,
        service: &ServiceName,
        see: &mut dyn FnMut(&NodeRef),
    ) {
        let links = self.read();
        let link = links
            .by_service
            .get(service)
            .and_then(|links| links.get(token));
        if let Some(link) = link.filter(|link| link.is_live(now)) {
            // Of two that renew at once the last to write stays, which may be earlier by what lay between their looks at the clock.
            link.expires.store(nanos(now + self.ttl), Relaxed);
            see(&link.owner.node);
        }
    }

    pub(crate) fn claim(
        &self,
        now: BootTime,
        nodes: &Nodes,
        token: &Token,
        node: &Node,
    ) -> Result<Claim, Refusal> {
        let mut links = self.write();
        let refusal = links.refusal(nodes, node);
        let held = links.live(now, token, &node.service);
        match held.map(|link| &link.owner.node) {
            Some(holder) if *holder != node.node => return Ok(Claim::Held(holder.clone())),
            // A draining node keeps what it has.
            Some(_) if refusal != Some(Refusal::Gone) => {}
            _ => {
                if let Some(refusal) = refusal {
                    return Err(refusal);
                }
            }
        }
        let made = held.map_or_else(SystemTime::now, |link| link.made);
        links.link(now, self.ttl, nodes, token, node, made);
        Ok(Claim::Won)
    }

    pub(crate) fn unlink(
        &self,
        now: BootTime,
        token: &Token,
        service: &ServiceName,
        owner: &NodeRef,
    ) -> bool {
        let mut links = self.write();
        let held = links.live(now, token, service);
        let ours = held.is_some_and(|link| link.owner.node == *owner);
        if ours && let Some(links) = links.by_service.get_mut(service) {
            links.remove(token);
        }
        ours
    }

    pub(crate) fn relink(
        &self,
        now: BootTime,
        nodes: &Nodes,
        token: &Token,
        from: &NodeRef,
        to: &Node,
    ) -> Result<bool, Refusal> {
        let mut links = self.write();
        let refusal = links.refusal(nodes, to);
        let Some(held) = links.live(now, token, &to.service) else {
            return Ok(false);
        };
        let holder = &held.owner.node;
        if *holder != to.node {
            if holder != from {
                return Ok(false);
            }
            if let Some(refusal) = refusal {
                return Err(refusal);
            }
        }
        let made = held.made;
        links.link(now, self.ttl, nodes, token, to, made);
        Ok(true)
    }

    /// Ends all links of a token that were made by `until`.
    pub(crate) fn leave(&self, now: BootTime, token: &Token, until: SystemTime) -> usize {
        let mut links = self.write();
        let mut ended = 0;
        for links in links.by_service.values_mut() {
            if links.get(token).is_some_and(|link| link.made <= until) {
                let link = links.remove(token);
                ended += usize::from(link.is_some_and(|link| link.is_live(now)));
            }
        }
        ended
    }

    pub(crate) fn close(&self, node: &NodeRef) {
        self.write().draining.insert(node.clone());
    }

    /// Ends all links of a node, which gets no new one.
    pub(crate) fn down(&self, node: &NodeRef) {
        let mut links = self.write();
        links.gone.insert(node.clone());
        for links in links.by_service.values_mut() {
            links.retain(|_, link| link.owner.node != *node);
        }
    }

    pub(crate) fn reopen(&self, node: &NodeRef) {
        self.write().gone.remove(node);
    }

    /// Who is closed, as the fleet has it written down.
    pub(crate) fn set_closed(&self, draining: HashSet<NodeRef>, gone: &HashSet<NodeRef>) {
        for node in gone {
            self.down(node);
        }
        let mut links = self.write();
        links.draining = draining;
        links.gone.clone_from(gone);
    }

    pub(crate) fn links(
        &self,
        now: BootTime,
        node: &NodeRef,
        limit: usize,
    ) -> Vec<(ServiceName, Token)> {
        let links = self.read();
        let all = links.by_service.iter().flat_map(|(service, links)| {
            let live = links
                .iter()
                .filter(|(_, link)| link.owner.node == *node && link.is_live(now));
            live.map(|(token, _)| (service.clone(), token.clone()))
        });
        all.take(limit).collect()
    }

    /// How many live links each node has.
    pub(crate) fn counts(&self, now: BootTime) -> HashMap<NodeRef, u64> {
        let mut counts = HashMap::new();
        for link in self.read().by_service.values().flat_map(HashMap::values) {
            if link.is_live(now) {
                *counts.entry(link.owner.node.clone()).or_default() += 1;
            }
        }
        counts
    }

    /// Frees what is over.
    pub(crate) fn sweep(&self, now: BootTime) {
        for links in self.write().by_service.values_mut() {
            links.retain(|_, link| link.is_live(now));
        }
    }

    // What a panicking holder left behind is whole: nothing here panics between two changes.

    fn read(&self) -> RwLockReadGuard<'_, Links> {
        self.links.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Links> {
        self.links.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Links {
    fn live(&self, now: BootTime, token: &Token, service: &ServiceName) -> Option<&Link> {
        let link = self.by_service.get(service)?.get(token)?;
        link.is_live(now).then_some(link)
    }

    fn refusal(&self, nodes: &Nodes, node: &Node) -> Option<Refusal> {
        if self.gone.contains(&node.node) {
            return Some(Refusal::Gone);
        }
        let draining = self
            .draining
            .contains(&node.node)
            .then_some(Refusal::Draining);
        nodes.refusal(node).or(draining)
    }

    fn link(
        &mut self,
        now: BootTime,
        ttl: Duration,
        nodes: &Nodes,
        token: &Token,
        node: &Node,
        made: SystemTime,
    ) {
        let link = Link {
            owner: nodes.owner(&node.service, &node.node),
            expires: nanos(now + ttl).into(),
            made,
        };
        let links = self.by_service.entry(node.service.clone()).or_default();
        links.insert(token.clone(), link);
    }
}

/// Shows how many links there are, never whose.
impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let links = self.read();
        f.debug_struct("Own")
            .field(
                "links",
                &links.by_service.values().map(HashMap::len).sum::<usize>(),
            )
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use braid_core::NodeState;

    const TTL: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> BootTime {
        BootTime::from_origin(Duration::from_secs(seconds))
    }

    fn node(id: &str) -> Node {
        let service = ServiceName::new("login").expect("it is legal");
        let node = NodeRef::random(id.try_into().expect("it is legal"));
        Node::new(service, node, ([127, 0, 0, 1], 1).into())
    }

    fn target(own: &Own, now: BootTime, token: &Token, node: &Node) -> Option<NodeRef> {
        let mut target = None;
        own.with(now, token, &node.service, &mut |node| {
            target = Some(node.clone());
        });
        target
    }

    #[test]
    fn links_are_claimed_renewed_moved_and_ended() {
        let (own, nodes) = (Own::new(TTL), Nodes::new(Duration::from_secs(5)));
        let (a, b) = (node("a"), node("b"));
        let token = Token::new("u").expect("it is legal");
        assert_eq!(own.claim(at(0), &nodes, &token, &a), Ok(Claim::Won));
        let held = Claim::Held(a.node.clone());
        assert_eq!(own.claim(at(1), &nodes, &token, &b), Ok(held));
        assert_eq!(target(&own, at(50), &token, &a), Some(a.node.clone()));
        assert_eq!(
            target(&own, at(100), &token, &a),
            Some(a.node.clone()),
            "use renews"
        );
        assert!(!own.unlink(at(101), &token, &a.service, &b.node));
        assert_eq!(
            own.relink(at(101), &nodes, &token, &b.node, &a),
            Ok(true),
            "it is there"
        );
        assert_eq!(own.relink(at(101), &nodes, &token, &a.node, &b), Ok(true));
        assert_eq!(own.relink(at(101), &nodes, &token, &a.node, &a), Ok(false));
        assert_eq!(own.counts(at(102)), HashMap::from([(b.node.clone(), 1)]));
        assert_eq!(
            own.links(at(102), &b.node, 5),
            [(b.service.clone(), token.clone())]
        );
        assert_eq!(target(&own, at(161), &token, &b), None, "nobody used it");
        assert_eq!(own.counts(at(161)), HashMap::new());
        own.sweep(at(161));
        assert_eq!(own.claim(at(161), &nodes, &token, &b), Ok(Claim::Won));
        assert_eq!(
            own.leave(at(162), &token, SystemTime::UNIX_EPOCH),
            0,
            "made later"
        );
        assert_eq!(own.leave(at(162), &token, SystemTime::now()), 1);
    }

    #[test]
    fn closed_nodes_get_no_link_and_gone_ones_lose_theirs() {
        let (own, nodes) = (Own::new(TTL), Nodes::new(Duration::from_secs(5)));
        let (a, b) = (node("a"), node("b"));
        let [first, second] = ["1", "2"].map(|text| Token::new(text).expect("it is legal"));
        assert_eq!(own.claim(at(0), &nodes, &first, &a), Ok(Claim::Won));
        own.close(&a.node);
        assert_eq!(
            own.claim(at(0), &nodes, &first, &a),
            Ok(Claim::Won),
            "it has it already"
        );
        assert_eq!(
            own.claim(at(0), &nodes, &second, &a),
            Err(Refusal::Draining)
        );
        let told = b.clone().with_state(NodeState::Draining);
        assert_eq!(
            own.relink(at(0), &nodes, &first, &a.node, &told),
            Err(Refusal::Draining)
        );
        own.down(&a.node);
        assert_eq!(target(&own, at(0), &first, &a), None);
        assert_eq!(own.claim(at(0), &nodes, &first, &a), Err(Refusal::Gone));
        own.reopen(&a.node);
        own.set_closed(HashSet::new(), &HashSet::new());
        assert_eq!(own.claim(at(0), &nodes, &first, &a), Ok(Claim::Won));
    }
}
