//! Discovery: which nodes a service has.

mod presence;
mod watches;

pub use self::{presence::Presence, watches::Watches};

use crate::{Component, Error, ErrorKind, Node, NodeRef, Result, ServiceName};
use futures_core::{future::BoxFuture, stream::BoxStream};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
};
use tokio::sync::watch;

/// Tells which nodes a service has, and announces nodes where the backend lets nodes register themselves.
pub trait Discover: Component {
    /// Makes a node visible until the [`Announcement`] ends.
    ///
    /// # Errors
    /// `Conflict`: the node id is taken in this registry. `Unsupported`: this backend learns of nodes elsewhere (Kubernetes).
    /// `Unavailable`, `Timeout`, `Closed`.
    ///
    /// # Cancel safety
    /// A node whose announcing future was dropped isn't visible, or not for longer than the backend's time to live.
    fn announce<'a>(&'a self, node: &'a Node) -> BoxFuture<'a, Result<Announcement>>;

    /// The nodes of a service, from now on: a [`Update::Reset`] with what is known (perhaps nothing) comes first.
    ///
    /// # Behavior
    /// A consumer that is slow costs no memory: it skips intermediate states and is told what leads from the state that it
    /// has seen to the latest. While the backend can't be reached the last view stands. The stream ends when the backend closes.
    fn watch(&self, service: &ServiceName) -> BoxStream<'static, Result<Update>>;
}

/// A step of a service's view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// The view is now exactly these nodes. Replace it at once: it never passes through empty.
    Reset(Vec<Arc<Node>>),
    /// This node is new, or says something else of itself than before.
    Upsert(Arc<Node>),
    /// This node is gone.
    Remove(NodeRef),
}

/// Keeps a node visible. Dropping it withdraws the node without waiting.
#[must_use = "a node is withdrawn when its announcement is dropped"]
pub struct Announcement(Box<dyn Announce>);

/// How an [`Announcement`] reaches its backend. Implemented by backends. Dropping it withdraws the node.
pub trait Announce: Send + Sync + fmt::Debug {
    /// Replaces what is said of the node. Id, uid and service stay.
    fn update(&self, node: Node) -> BoxFuture<'_, Result<()>>;

    /// Withdraws the node and waits until that is visible.
    fn withdraw(self: Box<Self>) -> BoxFuture<'static, Result<()>>;
}

impl Announcement {
    /// For backends.
    pub fn new(handle: Box<dyn Announce>) -> Self {
        Self(handle)
    }

    /// Says something new of the node: another weight, another state.
    ///
    /// # Errors
    /// `Config`: `node` isn't the one announced. `Unavailable`, `Timeout`, `Closed`.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether the change is visible.
    pub async fn update(&self, node: Node) -> Result<()> {
        self.0.update(node).await
    }

    /// Withdraws the node and waits until that is visible.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`: the node goes when the backend's time to live is over.
    ///
    /// # Cancel safety
    /// A dropped future withdraws the node all the same; nobody waits for it then.
    pub async fn withdraw(self) -> Result<()> {
        self.0.withdraw().await
    }
}

impl fmt::Debug for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Announcement").field(&self.0).finish()
    }
}

/// A service's whole view: its nodes by who they are. Backends keep one in a [`watch`] channel and hand out [`updates`] of it.
pub type View = BTreeMap<NodeRef, Arc<Node>>;

/// Turns a view that is replaced as a whole into the stream that [`Discover::watch`] promises.
///
/// The stream holds the last view that it told of and works out the steps to the present one when it is polled, so its memory
/// is bounded by two views, however slow the consumer is.
#[must_use]
pub fn updates(views: watch::Receiver<Arc<View>>) -> BoxStream<'static, Result<Update>> {
    let state = Updates {
        views,
        told: None,
        steps: VecDeque::new(),
    };
    Box::pin(futures_util::stream::unfold(
        state,
        |mut state| async move {
            let update = state.next().await?;
            Some((Ok(update), state))
        },
    ))
}

struct Updates {
    views: watch::Receiver<Arc<View>>,
    /// The view that the steps handed out, with those still waiting, add up to.
    told: Option<Arc<View>>,
    steps: VecDeque<Update>,
}

impl Updates {
    async fn next(&mut self) -> Option<Update> {
        loop {
            if let Some(step) = self.steps.pop_front() {
                return Some(step);
            }
            match self.told.take() {
                None => {
                    let view = Arc::clone(&self.views.borrow_and_update());
                    let nodes = view.values().map(Arc::clone).collect();
                    self.told = Some(view);
                    return Some(Update::Reset(nodes));
                }
                Some(told) => {
                    self.told = Some(Arc::clone(&told));
                    self.views.changed().await.ok()?;
                    let view = Arc::clone(&self.views.borrow_and_update());
                    self.steps = steps(&told, &view);
                    self.told = Some(view);
                }
            }
        }
    }
}

/// What leads from one view to another: removals first, so that a node's former life is gone before its next one comes.
fn steps(from: &View, to: &View) -> VecDeque<Update> {
    let gone = from
        .keys()
        .filter(|node| !to.contains_key(node))
        .cloned()
        .map(Update::Remove);
    let changed = to
        .iter()
        .filter(|(key, node)| from.get(key) != Some(node))
        .map(|(_, node)| Update::Upsert(Arc::clone(node)));
    gone.chain(changed).collect()
}

/// The error of a backend that can't announce.
#[must_use]
pub fn announce_unsupported(component: &'static str, why: &str) -> Error {
    Error::new(ErrorKind::Unsupported, component, "announce", why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NodeId, Uid};
    use futures_util::StreamExt;

    fn node(id: &str, uid: &str, weight: u32) -> Arc<Node> {
        let node = NodeRef::new(NodeId::new(id).unwrap(), Uid::new(uid).unwrap());
        let address = "127.0.0.1:1".parse().unwrap();
        Arc::new(Node::new(ServiceName::new("s").unwrap(), node, address).with_weight(weight))
    }

    fn view(nodes: &[&Arc<Node>]) -> Arc<View> {
        Arc::new(
            nodes
                .iter()
                .map(|n| (n.node.clone(), Arc::clone(n)))
                .collect(),
        )
    }

    #[tokio::test]
    async fn a_slow_consumer_is_told_the_latest_state_only() {
        let (a, b, b2) = (node("a", "1", 1), node("b", "1", 1), node("b", "2", 1));
        let (sender, receiver) = watch::channel(view(&[&a]));
        let mut stream = updates(receiver);
        let mut next = async || stream.next().await.unwrap().unwrap();

        assert_eq!(next().await, Update::Reset(vec![Arc::clone(&a)]));
        for weight in 2..1000 {
            sender.send_replace(view(&[&node("a", "1", weight), &b]));
        }
        let last = node("a", "1", 1000);
        sender.send_replace(view(&[&last, &b]));
        assert_eq!(next().await, Update::Upsert(last));
        assert_eq!(next().await, Update::Upsert(Arc::clone(&b)));

        // A restart: the former life goes before the next one comes.
        sender.send_replace(view(&[&b2]));
        assert_eq!(next().await, Update::Remove(a.node.clone()));
        assert_eq!(next().await, Update::Remove(b.node.clone()));
        assert_eq!(next().await, Update::Upsert(b2));
        drop(sender);
        assert!(stream.next().await.is_none());
    }
}
