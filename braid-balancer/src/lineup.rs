//! What a pick works on, and how a thread comes by it without asking others.

use crate::{
    entry::{Described, Entry, Peer, Picked},
    load::{Latency, Load},
    policy::{Candidates, Loads, Picker},
};
use braid_core::Node;
use std::{
    any::Any,
    cell::RefCell,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// The nodes that may be picked, and what picks among them. Made with a table.
///
/// Threads keep it ([`near`]), for as long as they like: so it doesn't keep what entries own.
#[derive(Debug)]
pub(crate) struct Lineup<C> {
    number: Number,
    // What candidates are picked as. Apart from what only some policies ask for, so that a pick among many touches less memory.
    peers: Box<[Weak<Described<C>>]>,
    candidates: Box<[Candidate<C>]>,
    picker: Box<dyn Picker>,
}

/// Tells a line-up from all others in the process, of other balancers too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number(pub(crate) u64);

#[derive(Debug)]
struct Candidate<C> {
    // What else is referred to by picks of the node.
    former: Box<[Weak<Described<C>>]>,
    node: Arc<Node>,
    load: Arc<Load>,
    weight: u32,
}

impl<C> Lineup<C> {
    pub(crate) fn new(ready: &[Arc<Entry<C>>], weights: &[u32], picker: Box<dyn Picker>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let candidates = ready.iter().zip(weights).map(|(entry, weight)| Candidate {
            former: entry.former(),
            node: Arc::clone(entry.node()),
            load: Arc::clone(entry.load()),
            weight: *weight,
        });
        Self {
            number: Number(NEXT.fetch_add(1, Relaxed)),
            peers: ready
                .iter()
                .map(|entry| Arc::downgrade(entry.described()))
                .collect(),
            candidates: candidates.collect(),
            picker,
        }
    }

    pub(crate) fn number(&self) -> Number {
        self.number
    }

    /// `Err`: the node that was picked has left meanwhile, and with it the table that this belongs to.
    #[inline]
    pub(crate) fn pick(&self, key: Option<&str>) -> Result<Option<Picked<C>>, Left> {
        let Some(index) = self.picker.pick(&Candidates::new(self, key)) else {
            return Ok(None);
        };
        let Some(peer) = self.peers.get(index) else {
            return Ok(None);
        };
        Peer::picked(peer).ok_or(Left).map(Some)
    }
}

/// A node that has left.
#[derive(Debug)]
pub(crate) struct Left;

impl<C> Loads for Lineup<C> {
    fn count(&self) -> usize {
        self.candidates.len()
    }

    fn in_flight(&self, index: usize) -> usize {
        let Candidate { former, load, .. } = &self.candidates[index];
        let former = former.iter().map(Weak::strong_count).sum::<usize>();
        load.of(self.peers[index].strong_count() + former)
    }

    fn node(&self, index: usize) -> &Node {
        &self.candidates[index].node
    }

    fn weight(&self, index: usize) -> u32 {
        self.candidates[index].weight
    }

    fn latency(&self, index: usize) -> Option<Latency> {
        self.candidates[index].load.latency()
    }
}

/// How many line-ups a thread keeps.
const KEPT: usize = 16;

thread_local! {
    static NEAR: RefCell<[Option<Kept>; KEPT]> = const { RefCell::new([const { None }; KEPT]) };
}

struct Kept {
    number: Number,
    lineup: Arc<dyn Any + Send + Sync>,
}

/// Does something with the line-up of this number, which this thread may have kept since it used it last; `find` finds the present one
/// otherwise, which is kept then.
///
/// To hold on to what another thread may replace takes two locked operations a pick; to compare a number that rarely changes takes none.
#[inline]
pub(crate) fn near<C: Send + Sync + 'static, T>(
    place: usize,
    number: Number,
    find: impl FnOnce() -> Arc<Lineup<C>>,
    act: impl FnOnce(&Lineup<C>) -> T,
) -> T {
    let place = place % KEPT;
    // Neither fails but while the thread ends, or within a policy that itself picks: then nothing is kept.
    let mut act = Some(act);
    let done = NEAR.try_with(|near| {
        let near = near.try_borrow().ok()?;
        let kept = near[place].as_ref()?;
        if kept.number != number {
            return None;
        }
        let lineup = kept.lineup.downcast_ref::<Lineup<C>>()?;
        Some(act.take()?(lineup))
    });
    if let Ok(Some(done)) = done {
        return done;
    }
    let act = act.expect("it is taken only where it is done");
    let lineup = find();
    let kept = Kept {
        number: lineup.number,
        lineup: Arc::clone(&lineup) as Arc<dyn Any + Send + Sync>,
    };
    let former = NEAR.try_with(|near| Some(near.try_borrow_mut().ok()?[place].replace(kept)));
    // Dropped when nothing is borrowed any more.
    drop(former);
    act(&lineup)
}
