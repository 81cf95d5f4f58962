//! What the discovery cases share.

use crate::{DiscoverHarness, Running, SETTLED, fresh, within};
use braid_core::{BoxStream, Discover, Node, NodeRef, Result, Update};
use futures_util::StreamExt;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

pub(crate) type Process = Running<dyn Discover>;

pub(crate) async fn start<H: DiscoverHarness>(h: &H) -> Process {
    Running::start(h.start(fresh::life("process")).await).await
}

/// What somebody who follows a watch knows. Judges each step as it comes.
pub(crate) struct Follower {
    stream: BoxStream<'static, Result<Update>>,
    pub(crate) known: BTreeMap<NodeRef, Arc<Node>>,
    steps: usize,
}

impl Follower {
    pub(crate) fn new(stream: BoxStream<'static, Result<Update>>) -> Self {
        Self {
            stream,
            known: BTreeMap::new(),
            steps: 0,
        }
    }

    /// Takes in a step, which must be legal: a reset at first, no removal of what isn't there, no update that changes nothing.
    fn take(&mut self, update: &Update) {
        match update {
            Update::Reset(nodes) => {
                self.known = nodes
                    .iter()
                    .map(|node| (node.node.clone(), Arc::clone(node)))
                    .collect();
                assert_eq!(
                    self.known.len(),
                    nodes.len(),
                    "a node twice in one reset: {nodes:?}"
                );
            }
            _ if self.steps == 0 => panic!("the first step is a reset, not {update:?}"),
            Update::Upsert(node) => {
                let before = self.known.insert(node.node.clone(), Arc::clone(node));
                assert_ne!(
                    before.as_ref(),
                    Some(node),
                    "an update that changes nothing"
                );
            }
            Update::Remove(node) => {
                assert!(
                    self.known.remove(node).is_some(),
                    "{node} is removed and wasn't there"
                );
            }
        }
        self.steps += 1;
    }

    /// The next step; none at the end of the watch.
    pub(crate) async fn next(&mut self) -> Option<Update> {
        let update = within("a step of the watch", SETTLED, self.stream.next()).await?;
        let update = update.unwrap_or_else(|error| panic!("a fault that nobody made: {error}"));
        self.take(&update);
        Some(update)
    }

    /// The next step of a watch that goes on.
    pub(crate) async fn step(&mut self) -> Update {
        self.next()
            .await
            .expect("the watch goes on while its backend runs")
    }

    /// Follows until nothing but these nodes is known. Gives the number of steps.
    pub(crate) async fn gets_to(&mut self, expected: &BTreeMap<NodeRef, Arc<Node>>) -> usize {
        let before = self.steps;
        while self.steps == 0 || self.known != *expected {
            match tokio::time::timeout(SETTLED, self.stream.next()).await {
                Ok(Some(Ok(update))) => self.take(&update),
                Ok(other) => panic!(
                    "the watch should have come to {expected:?}, but came to {:?} and then gave {other:?}",
                    self.known
                ),
                Err(_) => panic!(
                    "the watch should have come to {expected:?}, but stands at {:?}",
                    self.known
                ),
            }
        }
        self.steps - before
    }

    /// Follows until no step comes for this long.
    pub(crate) async fn comes_to_rest(&mut self, silence: Duration) {
        while let Ok(step) = tokio::time::timeout(silence, self.next()).await {
            assert!(step.is_some(), "the watch goes on while its backend runs");
        }
    }

    /// Shows that no step comes for this long.
    pub(crate) async fn silent(&mut self, duration: Duration) {
        if let Ok(step) = tokio::time::timeout(duration, self.stream.next()).await {
            panic!("nothing has changed, but {step:?} came");
        }
    }
}

/// The state of these nodes.
pub(crate) fn view<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> BTreeMap<NodeRef, Arc<Node>> {
    nodes
        .into_iter()
        .map(|node| (node.node.clone(), Arc::new(node.clone())))
        .collect()
}
