//! What a proxy does at present, as its connections see it.

use super::link::Link;
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) server: SocketAddr,
    pub(super) from_clients: Counter,
    pub(super) from_server: Counter,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) door: Door,
    pub(super) delay: Duration,
    pub(super) throttle: Option<u32>,
    /// What the request holds whose reply is to be swallowed.
    pub(super) swallow: Option<Vec<u8>>,
    links: Vec<Weak<Link>>,
}

/// What happens to new connections.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Door {
    #[default]
    Open,
    Refuse,
    Silent,
}

#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Shared {
    pub(super) fn new(server: SocketAddr) -> Self {
        Self {
            server,
            from_clients: Counter::default(),
            from_server: Counter::default(),
            state: Mutex::default(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection, and how it is to be treated, decided together: no silence falls between.
    pub(super) fn admit(&self) -> (Arc<Link>, Door) {
        let mut state = self.state();
        let link = Arc::new(Link::default());
        state.links.retain(|link| link.strong_count() > 0);
        state.links.push(Arc::downgrade(&link));
        (link, state.door)
    }

    /// Whether this request is the one whose reply is to be swallowed. Only one is.
    pub(super) fn is_marked(&self, request: &[u8]) -> bool {
        let mut state = self.state();
        let found = |mark: &mut Vec<u8>| {
            mark.is_empty() || request.windows(mark.len()).any(|window| window == mark)
        };
        state.swallow.take_if(found).is_some()
    }
}

impl State {
    /// Shows each open connection.
    pub(super) fn links(&self, show: impl FnMut(&Link)) {
        let links: Vec<_> = self.links.iter().filter_map(Weak::upgrade).collect();
        links.iter().map(AsRef::as_ref).for_each(show);
    }
}

impl Counter {
    pub(super) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn sum(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
