//! Nodes that are made visible through a backend's own announcements.

use braid_core::{Announcement, Discover, Node, NodeRef};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::Mutex;

/// Implements [`Fleet`](crate::Fleet) for a backend where nodes register themselves.
#[derive(Debug)]
pub struct Announcements {
    discover: Arc<dyn Discover>,
    held: Mutex<BTreeMap<NodeRef, Announcement>>,
}

impl Announcements {
    /// Announces through `discover`.
    #[must_use]
    pub fn new(discover: Arc<dyn Discover>) -> Self {
        Self {
            discover,
            held: Mutex::default(),
        }
    }

    /// See [`Fleet::set`](crate::Fleet::set).
    ///
    /// # Panics
    /// When the backend refuses.
    pub async fn set(&self, node: &Node) {
        let mut held = self.held.lock().await;
        let done = match held.get(&node.node) {
            Some(announcement) => announcement.update(node.clone()).await,
            None => self.discover.announce(node).await.map(|announcement| {
                held.insert(node.node.clone(), announcement);
            }),
        };
        done.unwrap_or_else(|error| panic!("node {} can't be made visible: {error}", node.node));
    }

    /// See [`Fleet::remove`](crate::Fleet::remove).
    ///
    /// # Panics
    /// When the backend refuses, or the node was never set.
    pub async fn remove(&self, node: &NodeRef) {
        let announcement = self.held.lock().await.remove(node);
        let announcement = announcement.unwrap_or_else(|| panic!("node {node} was never set"));
        if let Err(error) = announcement.withdraw().await {
            panic!("node {node} can't be withdrawn: {error}");
        }
    }
}
