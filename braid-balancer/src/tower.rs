//! braid's discovery and load as tower's, for those who balance by tower.
//!
//! [`Nodes`] is a [`tower::discover::Discover`]: [`Update`]s become changes of services. [`Loaded`] is a service with a
//! [`tower::load::Load`]: its calls in flight, by its node's weight. Between them, `tower::balance` picks as it likes; it knows no weights but
//! by that load, and no calls by name.
//!
//! ```
//! use braid_balancer::tower::{Loaded, Nodes};
//! use braid_core::{Discover, Node, ServiceName};
//! use futures_util::StreamExt;
//! use std::{future::ready, sync::Arc};
//! use tower::{balance::p2c::Balance, service_fn};
//!
//! fn balanced(discover: &dyn Discover, service: &ServiceName) -> impl Sized {
//!     // What discovery complains of ends nothing: the last view stands. Log it here.
//!     let updates = discover.watch(service).filter_map(|update| ready(update.ok()));
//!     let nodes = Nodes::new(updates, |node: &Arc<Node>| {
//!         let address = node.address;
//!         let call = service_fn(move |name: String| async move {
//!             Ok::<_, std::io::Error>(format!("{name} is at {address}"))
//!         });
//!         Loaded::new(Arc::clone(node), call)
//!     });
//!     Balance::<_, String>::new(nodes)
//! }
//! ```

use crate::{
    CoarseClock,
    entry::{Entry, Picked},
    load::Time,
};
use braid_core::{Node, NodeRef, NodeState, Stream, Update};
use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tower::{
    Service,
    discover::Change,
    load::{CompleteOnResponse, Load, completion::TrackCompletionFuture},
};

/// The nodes that take part in balancing, as a stream of tower's changes: a [`tower::discover::Discover`].
///
/// # Behavior
/// Nodes that are ready and have a weight are there, under their [`NodeRef`]; those that drain are removed. A node whose address or weight
/// has changed is inserted again, which replaces it. A [`Reset`](Update::Reset) becomes what leads to it: what is the same stays. The
/// stream ends with the updates, which tower takes for "nothing changes any more".
pub struct Nodes<U, F> {
    updates: U,
    make: F,
    present: BTreeMap<NodeRef, Arc<Node>>,
    steps: VecDeque<Step>,
}

#[derive(Debug)]
enum Step {
    Insert(Arc<Node>),
    Remove(NodeRef),
}

impl<U, F, S> Nodes<U, F>
where
    U: Stream<Item = Update>,
    F: FnMut(&Arc<Node>) -> S,
{
    /// `make` makes a node's service.
    #[must_use]
    pub fn new(updates: U, make: F) -> Self {
        Self {
            updates,
            make,
            present: BTreeMap::new(),
            steps: VecDeque::new(),
        }
    }
}

impl<U, F> Nodes<U, F> {
    fn apply(&mut self, update: Update) {
        match update {
            Update::Reset(view) => {
                let gone: Vec<_> = self
                    .present
                    .keys()
                    .filter(|node| !view.iter().any(|other| other.node == **node))
                    .cloned()
                    .collect();
                gone.into_iter().for_each(|node| self.remove(node));
                view.into_iter().for_each(|node| self.upsert(node));
            }
            Update::Upsert(node) => self.upsert(node),
            Update::Remove(node) => self.remove(node),
        }
    }

    fn upsert(&mut self, node: Arc<Node>) {
        if node.state != NodeState::Ready || node.weight == 0 {
            self.remove(node.node.clone());
            return;
        }
        let before = self.present.insert(node.node.clone(), Arc::clone(&node));
        let same = before.is_some_and(|b| b.address == node.address && b.weight == node.weight);
        if !same {
            self.steps.push_back(Step::Insert(node));
        }
    }

    fn remove(&mut self, node: NodeRef) {
        if self.present.remove(&node).is_some() {
            self.steps.push_back(Step::Remove(node));
        }
    }
}

impl<U, F, S> Stream for Nodes<U, F>
where
    U: Stream<Item = Update> + Unpin,
    F: FnMut(&Arc<Node>) -> S + Unpin,
{
    type Item = Result<Change<NodeRef, S>, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(step) = this.steps.pop_front() {
                let change = match step {
                    Step::Insert(node) => Change::Insert(node.node.clone(), (this.make)(&node)),
                    Step::Remove(node) => Change::Remove(node),
                };
                return Poll::Ready(Some(Ok(change)));
            }
            match ready!(Pin::new(&mut this.updates).poll_next(cx)) {
                Some(update) => this.apply(update),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl<U, F> fmt::Debug for Nodes<U, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nodes")
            .field("present", &self.present.keys())
            .finish_non_exhaustive()
    }
}

/// A node's service, whose calls in flight are its load. A call is in flight until its response is there, or its future is dropped.
#[derive(Debug)]
pub struct Loaded<S, C = ()> {
    entry: Arc<Entry<C>>,
    service: S,
}

impl<S> Loaded<S> {
    /// A service of its own.
    #[must_use]
    pub fn new(node: Arc<Node>, service: S) -> Self {
        let time = Time::new(Arc::new(CoarseClock), Duration::MAX);
        Self::of(Arc::new(Entry::new(node, (), &Arc::new(time))), service)
    }
}

impl<S, C> Loaded<S, C> {
    /// The service of an entry of a [`Table`](crate::Table): its load is all of the entry's, whoever has picked it.
    #[must_use]
    pub fn of(entry: Arc<Entry<C>>, service: S) -> Self {
        Self { entry, service }
    }

    /// The node, and its load.
    #[must_use]
    pub fn entry(&self) -> &Arc<Entry<C>> {
        &self.entry
    }
}

impl<S, C> Load for Loaded<S, C> {
    type Metric = f64;

    /// The calls in flight, with one more, by the node's weight.
    fn load(&self) -> f64 {
        (self.entry.in_flight() + 1) as f64 / f64::from(self.entry.node().weight)
    }
}

impl<S, C, R> Service<R> for Loaded<S, C>
where
    S: Service<R>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = TrackCompletionFuture<S::Future, CompleteOnResponse, Picked<C>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let picked = self.entry.take();
        TrackCompletionFuture::new(
            CompleteOnResponse::default(),
            picked,
            self.service.call(request),
        )
    }
}
