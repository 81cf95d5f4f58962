//! The links of one service, by token and by node.

use braid_core::{
    BootTime, NodeRef, NodeState, Token,
    discover::{Presence, Update},
};
use foldhash::quality::RandomState;
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

#[derive(Default)]
pub(super) struct Service {
    /// Looked into by every call with a token: the hasher is a fast one, whose seed nobody outside this process knows.
    links: HashMap<Token, Arc<Link>, RandomState>,
    /// The same links by node, so that a node's number can't differ from what it holds; and the nodes that are absent or gone, for as
    /// long as a late claim may name them.
    owners: HashMap<NodeRef, Owned>,
    /// What discovery tells; none while nobody watches it.
    presence: Option<Presence>,
}

struct Owned {
    owner: Arc<Owner>,
    links: HashMap<Token, Arc<Link>>,
}

/// A node as its links see it. The moments here and in [`Link`] are atomic for the sake of the readers, who share a lock; what
/// must be consistent is changed under the writers'.
pub(super) struct Owner {
    pub(super) node: NodeRef,
    gone_from: Moment,
}

/// A token's link, which ends when its time is over or its owner is gone.
pub(super) struct Link {
    pub(super) owner: Arc<Owner>,
    expires: Moment,
}

/// A moment on the clock, to the nanosecond, for 584 years.
struct Moment(AtomicU64);

impl Link {
    pub(super) fn is_live(&self, now: BootTime) -> bool {
        !self.expires.is_over(now) && !self.owner.gone_from.is_over(now)
    }

    pub(super) fn live_until(&self) -> BootTime {
        self.expires.get().min(self.owner.gone_from.get())
    }

    pub(super) fn renew(&self, until: BootTime) {
        // Of two readers that renew at once the last to write stays, which may be earlier by what lay between their looks at the clock. To have
        // the later one stay takes a locked operation, a tenth of the time of the whole look-up.
        let until = Moment::nanos(until);
        if until > self.expires.0.load(Relaxed) {
            self.expires.0.store(until, Relaxed);
        }
    }
}

impl Service {
    pub(super) fn link(&self, token: &Token) -> Option<&Link> {
        self.links.get(token).map(|link| &**link)
    }

    pub(super) fn links(&self) -> impl Iterator<Item = (&Token, &Link)> {
        self.links.iter().map(|(token, link)| (token, &**link))
    }

    pub(super) fn links_of(&self, node: &NodeRef) -> impl Iterator<Item = (&Token, &Link)> {
        let links = self.owners.get(node).into_iter().flat_map(|o| &o.links);
        links.map(|(token, link)| (token, &**link))
    }

    /// The nodes that aren't gone and have links, and how many.
    pub(super) fn counts(&self, now: BootTime) -> impl Iterator<Item = (&NodeRef, usize)> {
        let owners = self.owners.values();
        owners
            .filter(move |owned| !owned.links.is_empty() && !owned.owner.gone_from.is_over(now))
            .map(|owned| (&owned.owner.node, owned.links.len()))
    }

    /// What discovery says of a node that is present.
    pub(super) fn state(&self, node: &NodeRef) -> Option<NodeState> {
        Some(self.presence.as_ref()?.get(node)?.state)
    }

    /// True when discovery is watched and doesn't tell of the node.
    pub(super) fn is_absent(&self, node: &NodeRef) -> bool {
        self.presence.is_some() && self.state(node).is_none()
    }

    /// Links a token, in the place of another node's link if it has one; false when the node is gone, and nothing is changed.
    pub(super) fn insert(
        &mut self,
        now: BootTime,
        grace: Duration,
        until: BootTime,
        token: &Token,
        node: &NodeRef,
    ) -> bool {
        let gone_from = self.gone_from(now, grace, node);
        let owned = self.owners.entry(node.clone()).or_insert_with(|| Owned {
            owner: Arc::new(Owner {
                node: node.clone(),
                gone_from: Moment(gone_from.into()),
            }),
            links: HashMap::new(),
        });
        if owned.owner.gone_from.is_over(now) {
            return false;
        }
        let link = Arc::new(Link {
            owner: Arc::clone(&owned.owner),
            expires: Moment(Moment::nanos(until).into()),
        });
        owned.links.insert(token.clone(), Arc::clone(&link));
        if let Some(former) = self.links.insert(token.clone(), link) {
            self.disown(token, &former.owner.node);
        }
        true
    }

    pub(super) fn remove(&mut self, token: &Token) -> Option<Arc<Link>> {
        let link = self.links.remove(token)?;
        self.disown(token, &link.owner.node);
        Some(link)
    }

    /// Ends all links of a node, and forgets since when it is absent.
    pub(super) fn remove_owner(&mut self, node: &NodeRef) {
        self.purge(node);
        self.owners.remove(node);
    }

    /// Ends all links of nodes that are gone; true when there were any.
    pub(super) fn purge_gone(&mut self, now: BootTime) -> bool {
        let gone = |owned: &&Owned| !owned.links.is_empty() && owned.owner.gone_from.is_over(now);
        let gone = self.owners.values().filter(gone);
        let gone: Vec<NodeRef> = gone.map(|owned| owned.owner.node.clone()).collect();
        for node in &gone {
            self.purge(node);
        }
        !gone.is_empty()
    }

    /// Forgets nodes that have been gone for this long.
    pub(super) fn forget_gone(&mut self, now: BootTime, remembered: Duration) {
        self.owners.retain(|_, owned| {
            !owned.links.is_empty() || now < owned.owner.gone_from.get() + remembered
        });
    }

    /// Discovery tells something new, or (`None`) nobody watches it any more.
    pub(super) fn update(&mut self, now: BootTime, grace: Duration, update: Option<&Update>) {
        let presence = match (self.presence.take(), update) {
            (_, None) => None,
            // A step means nothing to who doesn't know where it starts.
            (None, Some(Update::Upsert(_) | Update::Remove(_))) => return,
            (presence, Some(update)) => {
                let mut presence = presence.unwrap_or_default();
                presence.apply(update);
                Some(presence)
            }
        };
        // First, so that a node that comes back after it was gone doesn't revive its links.
        self.purge_gone(now);
        self.presence = presence;
        for (node, owned) in &self.owners {
            let gone = &owned.owner.gone_from.0;
            match self.gone_from(now, grace, node) {
                Moment::NEVER => gone.store(Moment::NEVER, Relaxed),
                // Absent before and still: the first absence counts.
                moment => gone.store(moment.min(gone.load(Relaxed)), Relaxed),
            }
        }
        self.owners.retain(|_, owned| !owned.is_idle());
    }

    /// From which moment on a node counts as gone, by what discovery tells now.
    fn gone_from(&self, now: BootTime, grace: Duration, node: &NodeRef) -> u64 {
        match &self.presence {
            None => Moment::NEVER,
            Some(presence) if presence.get(node).is_some() => Moment::NEVER,
            // Its next life is there.
            Some(presence) if presence.is_former_life(node) => 0,
            Some(_) => Moment::nanos(now + grace),
        }
    }

    /// The node doesn't hold the token's link any more.
    fn disown(&mut self, token: &Token, node: &NodeRef) {
        if let Some(owned) = self.owners.get_mut(node) {
            owned.links.remove(token);
            if owned.is_idle() {
                self.owners.remove(node);
            }
        }
    }

    fn purge(&mut self, node: &NodeRef) {
        if let Some(owned) = self.owners.get_mut(node) {
            for token in std::mem::take(&mut owned.links).keys() {
                self.links.remove(token);
            }
        }
    }
}

impl Owned {
    /// True when nothing needs to be known of the node: it has no links and isn't absent.
    fn is_idle(&self) -> bool {
        self.links.is_empty() && self.owner.gone_from.0.load(Relaxed) == Moment::NEVER
    }
}

impl Moment {
    const NEVER: u64 = u64::MAX;

    fn nanos(time: BootTime) -> u64 {
        u64::try_from(time.since_origin().as_nanos()).unwrap_or(Self::NEVER)
    }

    fn is_over(&self, now: BootTime) -> bool {
        self.0.load(Relaxed) <= Self::nanos(now)
    }

    fn get(&self) -> BootTime {
        BootTime::from_origin(Duration::from_nanos(self.0.load(Relaxed)))
    }
}

/// Shows how many links there are, never whose.
impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("links", &self.links.len())
            .field("owners", &self.owners.keys())
            .finish_non_exhaustive()
    }
}
