//! The links that this process remembers: looked into by every call with a token.
//!
//! What is remembered is followed only while it is [fresh](Near::is_fresh), while the link's time isn't over, and while its node isn't
//! gone. All of that is judged at the look, on the clock. What ends a link elsewhere is pushed to here, and may overtake the reply that tells
//! of the link; so whoever asks the server takes a [`Ticket`] first, and what was dropped since isn't remembered.

use crate::nodes::Owner;
use braid_core::{BootTime, NodeRef, ServiceName, Token};
use foldhash::quality::RandomState;
use hashbrown::{HashTable, hash_table::Entry};
use std::{
    fmt,
    hash::BuildHasher,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release},
    },
    time::Duration,
};

/// Readers of different tokens seldom meet, and what is dropped seldom keeps another link from being remembered.
const SHARDS: usize = 64;

pub(crate) struct Near {
    shards: Box<[Shard]>,
    /// A fast one, whose seed nobody outside this process knows.
    hasher: RandomState,
    /// Until when nothing can have ended without being heard of.
    fresh_until: AtomicU64,
    /// How often all links, or all of a node, were dropped.
    sweeps: AtomicU64,
    capacity: usize,
    /// After how long use renews a link.
    renew_after: Duration,
}

#[repr(align(128))]
struct Shard(RwLock<Links>);

#[derive(Default)]
struct Links {
    table: HashTable<Link>,
    /// How many links were dropped.
    drops: u64,
}

struct Link {
    service: ServiceName,
    token: Token,
    owner: Arc<Owner>,
    /// When it ends on the server, at the earliest. Readers renew it too, in [`Mode::Local`](crate::Mode::Local).
    expires: AtomicU64,
    renew_at: AtomicU64,
}

/// What a look was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Unknown,
    Seen,
    /// And its time on the server is to be renewed; nobody else is told so until a third of it has passed again.
    Due,
}

/// What had been dropped when the server was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    drops: u64,
    sweeps: u64,
}

impl Near {
    /// Renewals are due after a third of `ttl`.
    pub(crate) fn new(capacity: usize, ttl: Duration) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard(RwLock::default())).collect(),
            hasher: RandomState::default(),
            fresh_until: AtomicU64::new(0),
            sweeps: AtomicU64::new(0),
            capacity: capacity.div_ceil(SHARDS),
            renew_after: ttl / 3,
        }
    }

    pub(crate) fn is_fresh(&self, now: BootTime) -> bool {
        nanos(now) < self.fresh_until.load(Acquire)
    }

    pub(crate) fn set_fresh_until(&self, until: BootTime) {
        self.fresh_until.store(nanos(until), Release);
    }

    /// Shows the node that a token is linked to, if that is known for sure.
    pub(crate) fn with(
        &self,
        now: BootTime,
        token: &Token,
        service: &ServiceName,
        see: &mut dyn FnMut(&NodeRef),
    ) -> Look {
        if !self.is_fresh(now) {
            return Look::Unknown;
        }
        let hash = self.hash(token, service);
        let links = self.read(hash);
        let Some(link) = links.table.find(hash, |link| link.is(token, service)) else {
            return Look::Unknown;
        };
        let time = nanos(now);
        if link.expires.load(Relaxed) <= time || link.owner.is_gone() {
            return Look::Unknown;
        }
        see(&link.owner.node);
        let due = link.renew_at.load(Relaxed);
        if due > time {
            return Look::Seen;
        }
        let next = nanos(now + self.renew_after);
        match link.renew_at.compare_exchange(due, next, Relaxed, Relaxed) {
            Ok(_) => Look::Due,
            Err(_) => Look::Seen,
        }
    }

    pub(crate) fn ticket(&self, token: &Token, service: &ServiceName) -> Ticket {
        Ticket {
            sweeps: self.sweeps.load(Acquire),
            drops: self.read(self.hash(token, service)).drops,
        }
    }

    /// Remembers a link that was read with a ticket taken at `asked`, and had `left` then.
    pub(crate) fn remember(
        &self,
        ticket: Ticket,
        asked: BootTime,
        left: Duration,
        token: &Token,
        service: &ServiceName,
        owner: &Arc<Owner>,
    ) {
        let hash = self.hash(token, service);
        let mut links = self.write(hash);
        if links.drops != ticket.drops || self.sweeps.load(Acquire) != ticket.sweeps {
            return;
        }
        if links.table.len() >= self.capacity {
            links.make_room(hash);
        }
        let hasher = |link: &Link| self.hash(&link.token, &link.service);
        let link = Link {
            service: service.clone(),
            token: token.clone(),
            owner: Arc::clone(owner),
            expires: AtomicU64::new(nanos(asked + left)),
            renew_at: AtomicU64::new(nanos(asked + self.renew_after)),
        };
        match links
            .table
            .entry(hash, |link| link.is(token, service), hasher)
        {
            Entry::Occupied(mut known) => *known.get_mut() = link,
            Entry::Vacant(free) => {
                free.insert(link);
            }
        }
    }

    /// A token's link has ended, or isn't what it was.
    pub(crate) fn forget(&self, token: &Token, service: &ServiceName) {
        let hash = self.hash(token, service);
        let mut links = self.write(hash);
        links.drops += 1;
        if let Ok(known) = links.table.find_entry(hash, |link| link.is(token, service)) {
            known.remove();
        }
    }

    /// What is being asked for now isn't remembered: the links of some node have ended.
    pub(crate) fn sweep(&self) {
        self.sweeps.fetch_add(1, Release);
    }

    /// Forgets everything: something may have ended without being heard of.
    pub(crate) fn flush(&self) {
        self.sweep();
        for shard in &self.shards {
            let mut links = shard.0.write().unwrap_or_else(PoisonError::into_inner);
            links.drops += 1;
            links.table.clear();
        }
    }

    pub(crate) fn len(&self) -> usize {
        let lens = self.shards.iter().map(|shard| {
            let links = shard.0.read().unwrap_or_else(PoisonError::into_inner);
            links.table.len()
        });
        lens.sum()
    }

    fn hash(&self, token: &Token, service: &ServiceName) -> u64 {
        self.hasher.hash_one((token.as_str(), service.as_str()))
    }

    // What a panicking holder left behind is whole: nothing here panics between two changes.

    fn read(&self, hash: u64) -> RwLockReadGuard<'_, Links> {
        let shard = self.shard(hash);
        shard.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, hash: u64) -> RwLockWriteGuard<'_, Links> {
        let shard = self.shard(hash);
        shard.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// By bits that the table of a shard doesn't look at.
    fn shard(&self, hash: u64) -> &Shard {
        &self.shards[(hash >> 48) as usize % SHARDS]
    }
}

impl Link {
    fn is(&self, token: &Token, service: &ServiceName) -> bool {
        self.token == *token && self.service == *service
    }
}

impl Links {
    /// Drops a link, whichever lies where the hash points: hashes are random, and so is the choice.
    fn make_room(&mut self, hash: u64) {
        let buckets = self.table.num_buckets();
        let start = hash as usize % buckets.max(1);
        let victim = (start..buckets)
            .chain(0..start)
            .find_map(|bucket| self.table.get_bucket_entry(bucket).ok().map(|_| bucket));
        if let Some(Ok(victim)) = victim.map(|bucket| self.table.get_bucket_entry(bucket)) {
            victim.remove();
        }
    }
}

/// A moment on the clock, to the nanosecond, for 584 years.
pub(crate) fn nanos(time: BootTime) -> u64 {
    u64::try_from(time.since_origin().as_nanos()).unwrap_or(u64::MAX)
}

/// Shows how many links there are, never whose.
impl fmt::Debug for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Near")
            .field("links", &self.len())
            .finish_non_exhaustive()
    }
}
