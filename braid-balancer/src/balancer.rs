//! The balancer of one service: updates in, nodes out.

use crate::{
    BalancerConfig, CoarseClock, Endpoint,
    entry::{Entry, Picked},
    lineup::{Left, Number, near},
    load::Time,
    policy::{Policy, Weighted},
    share::{Member, Plan, Warmup},
    table::Table,
};
use arc_swap::ArcSwap;
use braid_core::{Clock, Node, NodeId, NodeRef, Update};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

/// The nodes of one service, and the policy that picks among them. `C` is what the user keeps for each node.
#[derive(Debug)]
pub struct Balancer<C> {
    table: ArcSwap<Table<C>>,
    // Held while a table is built. Picks never take it.
    state: Mutex<State>,
    time: Arc<Time>,
    // The number of the table's line-up. Set after the table, so that who sees it finds that table, or a later one.
    current: AtomicU64,
    // Where threads keep the line-up.
    place: usize,
}

/// What tables are built by.
#[derive(Debug)]
struct State {
    policy: Box<dyn Policy>,
    config: BalancerConfig,
    drained: Arc<BTreeSet<NodeId>>,
    warmup: Warmup,
}

impl<C: Endpoint> Balancer<C> {
    /// A balancer without nodes, by the default config.
    #[must_use]
    pub fn new(policy: impl Policy) -> Self {
        Self::with_config(policy, BalancerConfig::default())
    }

    /// A balancer without nodes.
    #[must_use]
    pub fn with_config(policy: impl Policy, config: BalancerConfig) -> Self {
        Self::with_clock(policy, config, Arc::new(CoarseClock))
    }

    /// A balancer without nodes, whose slow start and latency estimates go by this clock.
    #[must_use]
    pub fn with_clock(policy: impl Policy, config: BalancerConfig, clock: Arc<dyn Clock>) -> Self {
        let time = Arc::new(Time::new(clock, config.decay));
        let drained = Arc::new(BTreeSet::new());
        let empty = Table::new(Vec::new(), Plan::default(), policy.picker(&[]), &drained);
        let state = State {
            policy: Box::new(policy),
            config,
            drained,
            warmup: Warmup::default(),
        };
        static PLACES: AtomicUsize = AtomicUsize::new(0);
        Self {
            current: AtomicU64::new(empty.lineup().number().0),
            place: PLACES.fetch_add(1, Relaxed),
            table: ArcSwap::from_pointee(empty),
            state: Mutex::new(state),
            time,
        }
    }

    /// Takes what discovery says. Several updates at once make one new table.
    ///
    /// `make` makes what an entry owns. What an entry owns already stays with it as long as the node's uid and address do, whatever else
    /// is said of the node, and over a [`Reset`](Update::Reset) too.
    pub fn apply(
        &self,
        updates: impl IntoIterator<Item = Update>,
        mut make: impl FnMut(&Node) -> C,
    ) {
        let mut state = self.state();
        let before = self.table.load_full();
        let mut nodes: BTreeMap<NodeRef, Arc<Node>> = before
            .entries()
            .iter()
            .map(|entry| (entry.node().node.clone(), Arc::clone(entry.node())))
            .collect();
        for update in updates {
            match update {
                Update::Reset(view) => {
                    nodes = view.into_iter().map(|n| (n.node.clone(), n)).collect();
                }
                Update::Upsert(node) => {
                    nodes.insert(node.node.clone(), node);
                }
                Update::Remove(node) => {
                    nodes.remove(&node);
                }
            }
        }
        let entries = nodes
            .into_values()
            .map(|node| match before.by_node(&node.node) {
                Some(entry) if *entry.node() == node => Arc::clone(entry),
                Some(entry) if entry.keeps_for(&node) => Arc::new(entry.renewed(node)),
                _ => {
                    state.warmup.forget(&node.node);
                    let owned = make(&node);
                    let entry = Entry::new(node, owned, &self.time);
                    entry.set_drained(state.drained.contains(&entry.node().node.id));
                    Arc::new(entry)
                }
            })
            .collect::<Vec<_>>();
        let plan = self.plan(&mut state, &entries);
        let table = self.publish(&state, entries, plan);
        for entry in before.entries() {
            let node = entry.node();
            let kept = table.by_node(&node.node).is_some_and(|e| e.keeps_for(node));
            if !kept {
                entry.retire();
            }
        }
    }

    /// Asks again whether the nodes can be reached, and moves slow start on. Publishes a new table only if that changes something.
    ///
    /// To be called when an [`Endpoint`]'s health has changed, and when [`next_refresh`](Self::next_refresh) says so.
    pub fn refresh(&self) {
        let mut state = self.state();
        let before = self.table.load_full();
        let plan = self.plan(&mut state, before.entries());
        if !before.is_by(&plan) {
            self.publish(&state, before.entries().to_vec(), plan);
        }
    }

    /// In how long slow start wants a [`refresh`](Self::refresh); `None` when no node warms up.
    #[must_use]
    pub fn next_refresh(&self) -> Option<Duration> {
        let next = self.state().warmup.next()?;
        Some(next.saturating_since(self.time.clock.now()))
    }

    /// Picks by another policy from now on.
    pub fn set_policy(&self, policy: impl Policy) {
        let mut state = self.state();
        state.policy = Box::new(policy);
        self.rebuild(&mut state);
    }

    /// Goes by another config from now on. Slow start that is switched on later begins with nodes that become ready later.
    pub fn set_config(&self, config: BalancerConfig) {
        let mut state = self.state();
        self.time.set_decay(config.decay);
        state.config = config;
        self.rebuild(&mut state);
    }

    /// Takes a node out of balancing, in all its lives, until [`undrain`](Self::undrain): it gets no balanced calls, and is still reached by
    /// name. That holds over whatever discovery says, for a node that isn't there (yet) too. False when it was so already.
    pub fn drain(&self, id: &NodeId) -> bool {
        self.change_drained(|drained| drained.insert(id.clone()))
    }

    /// Lets a drained node take part again. False when it wasn't drained.
    pub fn undrain(&self, id: &NodeId) -> bool {
        self.change_drained(|drained| drained.remove(id))
    }

    fn change_drained(&self, change: impl FnOnce(&mut BTreeSet<NodeId>) -> bool) -> bool {
        let mut state = self.state();
        let changed = change(Arc::make_mut(&mut state.drained));
        if changed {
            for entry in self.table.load().entries() {
                entry.set_drained(state.drained.contains(&entry.node().node.id));
            }
            self.rebuild(&mut state);
        }
        changed
    }

    fn rebuild(&self, state: &mut State) {
        let entries = self.table.load().entries().to_vec();
        let plan = self.plan(state, &entries);
        self.publish(state, entries, plan);
    }

    fn plan(&self, state: &mut State, entries: &[Arc<Entry<C>>]) -> Plan {
        self.time.note();
        let mut members: Vec<Member<'_>> = entries
            .iter()
            .map(|entry| Member {
                node: entry.node(),
                health: entry.owned().health(),
                drained: entry.is_drained(),
                percent: 100,
            })
            .collect();
        let State { config, warmup, .. } = state;
        let now = self.time.clock.now();
        warmup.advance(&mut members, config.slow_start.as_ref(), now);
        Plan::new(&members, config)
    }

    fn publish(&self, state: &State, entries: Vec<Arc<Entry<C>>>, plan: Plan) -> Arc<Table<C>> {
        let weighted: Vec<Weighted<'_>> = plan
            .ready
            .iter()
            .zip(&plan.weights)
            .map(|(index, weight)| Weighted {
                node: entries[*index].node(),
                weight: *weight,
            })
            .collect();
        let picker = state.policy.picker(&weighted);
        let table = Arc::new(Table::new(entries, plan, picker, &state.drained));
        self.table.store(Arc::clone(&table));
        self.current.store(table.lineup().number().0, Release);
        table
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node that gets the next call; `None` when none takes calls. Lock-free, allocates nothing.
    #[inline]
    pub fn pick(&self) -> Option<Picked<C>> {
        self.pick_by(None)
    }

    /// The node that gets the next call, which is about `key` (a user's token, say): policies that hash send the same key to the same node,
    /// others don't look at it. Lock-free, allocates nothing.
    #[inline]
    pub fn pick_for(&self, key: &str) -> Option<Picked<C>> {
        self.pick_by(Some(key))
    }

    #[inline]
    fn pick_by(&self, key: Option<&str>) -> Option<Picked<C>> {
        let current = Number(self.current.load(Acquire));
        let find = || Arc::clone(self.table.load().lineup());
        near(self.place, current, find, |lineup| lineup.pick(key)).unwrap_or_else(|Left| {
            // The table is being replaced. The present one keeps its entries while it is looked at.
            self.table.load().lineup().pick(key).unwrap_or_default()
        })
    }

    /// This life of a node, in whatever state it is.
    pub fn by_node(&self, node: &NodeRef) -> Option<Picked<C>> {
        let table = self.table.load();
        table.by_node(node).map(|entry| entry.take())
    }

    /// The node with this id, in whatever state it is. Of two lives of it the one that takes calls.
    pub fn by_id(&self, id: &NodeId) -> Option<Picked<C>> {
        let table = self.table.load();
        table.by_id(id).map(|entry| entry.take())
    }

    /// The nodes as they are now.
    #[must_use]
    pub fn table(&self) -> Arc<Table<C>> {
        self.table.load_full()
    }
}
