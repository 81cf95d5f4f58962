//! Leases: a pure state machine each, and the store that the candidates of a hub share.

use super::NAME;
use crate::lifecycle::lock;
use braid_core::{BootTime, Error, ErrorKind, NodeRef, Result, ServiceName, Term};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// One candidate's stay at a lease. Two candidates with the same node don't renew each other's lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Session(u64);

/// A leadership as it was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) term: Term,
    pub(super) valid_until: BootTime,
}

/// What a candidate finds at the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It leads from now on.
    Granted(Grant),
    /// The lease is held until then; by whom, unless it is left over from the candidate's own leadership that it has given up.
    Held {
        leader: Option<NodeRef>,
        until: BootTime,
    },
    /// Nobody holds it. Found only by looking.
    Free,
}

/// Who leads one service. Every method is told the present moment; validity counts from it.
#[derive(Debug, Default)]
pub(super) struct Lease {
    /// The last term that was granted. Outlives its holder, so that terms rise.
    term: u64,
    holder: Option<Holder>,
}

#[derive(Debug)]
struct Holder {
    session: Session,
    node: NodeRef,
    valid_until: BootTime,
}

impl Lease {
    pub(super) fn look(&self, now: BootTime, session: Session) -> Found {
        match &self.holder {
            Some(holder) if now < holder.valid_until => Found::Held {
                leader: (holder.session != session).then(|| holder.node.clone()),
                until: holder.valid_until,
            },
            _ => Found::Free,
        }
    }

    /// Takes the lease in a new term if nobody holds it, the candidate itself included: a leadership that was given up isn't
    /// resumed, since its tasks have been told to end.
    fn acquire(
        &mut self,
        now: BootTime,
        session: Session,
        node: &NodeRef,
        duration: Duration,
    ) -> Found {
        let found = self.look(now, session);
        if found != Found::Free {
            return found;
        }
        self.term += 1;
        let valid_until = now + duration;
        self.holder = Some(Holder {
            session,
            node: node.clone(),
            valid_until,
        });
        Found::Granted(Grant {
            term: Term::new(self.term),
            valid_until,
        })
    }

    /// Extends the leadership, unless it has ended.
    fn renew(&mut self, now: BootTime, session: Session, duration: Duration) -> Option<Grant> {
        let holder = self.holder.as_mut()?;
        if holder.session != session || holder.valid_until <= now {
            return None;
        }
        holder.valid_until = now + duration;
        Some(Grant {
            term: Term::new(self.term),
            valid_until: holder.valid_until,
        })
    }

    /// Ends the leadership of this candidate and of nobody else; true when there was one.
    fn release(&mut self, session: Session) -> bool {
        let held = self.holder.as_ref().is_some_and(|h| h.session == session);
        if held {
            self.holder = None;
        }
        held
    }
}

/// The leases of a hub, by service.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    cells: Mutex<HashMap<ServiceName, Arc<Cell>>>,
    sessions: AtomicU64,
    away: AtomicBool,
}

#[derive(Debug, Default)]
struct Cell {
    lease: Mutex<Lease>,
    /// Bumped when the holder changes, so that nobody has to poll.
    changes: watch::Sender<()>,
}

impl Leases {
    pub(crate) fn set_reachable(&self, reachable: bool) {
        self.away.store(!reachable, Ordering::Release);
    }

    pub(super) fn join(self: &Arc<Self>, service: &ServiceName, node: &NodeRef) -> LeaseHandle {
        let mut cells = lock(&self.cells);
        LeaseHandle {
            cell: Arc::clone(cells.entry(service.clone()).or_default()),
            leases: Arc::clone(self),
            session: Session(self.sessions.fetch_add(1, Ordering::Relaxed)),
            node: node.clone(),
        }
    }
}

/// One candidate's access to the lease of its service.
#[derive(Debug)]
pub(super) struct LeaseHandle {
    cell: Arc<Cell>,
    leases: Arc<Leases>,
    session: Session,
    node: NodeRef,
}

impl LeaseHandle {
    /// Tells when the lease got another holder, or none. Expiry tells nobody.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.cell.changes.subscribe()
    }

    pub(super) fn look(&self, now: BootTime) -> Result<Found> {
        Ok(self.lease("look")?.look(now, self.session))
    }

    pub(super) fn acquire(&self, now: BootTime, duration: Duration) -> Result<Found> {
        let found = self
            .lease("acquire")?
            .acquire(now, self.session, &self.node, duration);
        if matches!(found, Found::Granted(_)) {
            self.cell.changes.send_replace(());
        }
        Ok(found)
    }

    pub(super) fn renew(&self, now: BootTime, duration: Duration) -> Result<Option<Grant>> {
        Ok(self.lease("renew")?.renew(now, self.session, duration))
    }

    pub(super) fn release(&self) -> Result<()> {
        if self.lease("release")?.release(self.session) {
            self.cell.changes.send_replace(());
        }
        Ok(())
    }

    fn lease(&self, operation: &'static str) -> Result<MutexGuard<'_, Lease>> {
        if self.leases.away.load(Ordering::Acquire) {
            let text = "the hub's leases were made unreachable";
            return Err(Error::new(ErrorKind::Unavailable, NAME, operation, text));
        }
        Ok(lock(&self.cell.lease))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use braid_core::{NodeId, Uid};

    const L: Duration = Duration::from_secs(15);
    const A: Session = Session(1);
    const B: Session = Session(2);

    fn at(seconds: u64) -> BootTime {
        BootTime::from_origin(Duration::from_secs(seconds))
    }

    fn node(id: &str, uid: &str) -> NodeRef {
        NodeRef::new(NodeId::new(id).unwrap(), Uid::new(uid).unwrap())
    }

    fn granted(term: u64, until: u64) -> Grant {
        Grant {
            term: Term::new(term),
            valid_until: at(until),
        }
    }

    fn held(leader: Option<&NodeRef>, until: u64) -> Found {
        Found::Held {
            leader: leader.cloned(),
            until: at(until),
        }
    }

    #[test]
    fn a_lease_is_granted_once_and_again_after_it_expired() {
        let (a, b) = (node("a", "1"), node("b", "1"));
        let mut lease = Lease::default();
        assert_eq!(
            lease.acquire(at(0), A, &a, L),
            Found::Granted(granted(1, 15))
        );
        assert_eq!(lease.acquire(at(14), B, &b, L), held(Some(&a), 15));
        assert_eq!(
            lease.acquire(at(15), B, &b, L),
            Found::Granted(granted(2, 30))
        );
        assert_eq!(lease.renew(at(15), A, L), None, "the former holder lost it");
        assert!(
            !lease.release(A),
            "nobody releases what another candidate holds"
        );
        assert_eq!(lease.look(at(16), A), held(Some(&b), 30));
    }

    #[test]
    fn a_renewal_extends_the_term_and_never_revives_it() {
        let a = node("a", "1");
        let mut lease = Lease::default();
        assert!(matches!(lease.acquire(at(0), A, &a, L), Found::Granted(_)));
        assert_eq!(lease.renew(at(10), A, L), Some(granted(1, 25)));
        assert_eq!(lease.renew(at(25), A, L), None);
        assert_eq!(
            lease.acquire(at(25), A, &a, L),
            Found::Granted(granted(2, 40)),
            "the same candidate leads in a new term"
        );
    }

    #[test]
    fn terms_rise_over_releases() {
        let a = node("a", "1");
        let mut lease = Lease::default();
        for term in 1..=5 {
            assert_eq!(
                lease.acquire(at(0), A, &a, L),
                Found::Granted(granted(term, 15))
            );
            assert!(lease.release(A));
            assert_eq!(lease.look(at(0), A), Found::Free);
        }
    }

    #[test]
    fn a_restarted_node_waits_for_the_lease_of_its_former_life() {
        let (former, present) = (node("a", "1"), node("a", "2"));
        let mut lease = Lease::default();
        assert!(matches!(
            lease.acquire(at(0), A, &former, L),
            Found::Granted(_)
        ));
        assert_eq!(
            lease.acquire(at(1), B, &present, L),
            held(Some(&former), 15)
        );
        assert_eq!(lease.renew(at(1), B, L), None);
    }

    #[test]
    fn a_leadership_that_was_given_up_is_not_resumed() {
        let a = node("a", "1");
        let mut lease = Lease::default();
        assert!(matches!(lease.acquire(at(0), A, &a, L), Found::Granted(_)));
        assert_eq!(lease.acquire(at(5), A, &a, L), held(None, 15));
    }
}
