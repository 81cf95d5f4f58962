//! What the steps of a service's view add up to.

use super::Update;
use crate::{Node, NodeId, NodeRef};
use std::{collections::HashMap, sync::Arc};

/// What [`Update`]s add up to: which nodes of a service discovery tells of.
///
/// For whoever must tell a node that is absent from one that was restarted: nodes are kept by id, and of an id there may be several
/// lives for a moment, while one goes and the next one comes.
///
/// A new one knows of nobody, as after a `Reset` to nothing. Whoever begins in the middle of a stream has to wait for a `Reset` by
/// itself: a step means nothing without the view that it starts from.
///
/// ```
/// use braid_core::{Node, NodeRef, ServiceName, Update, discover::Presence};
/// use std::sync::Arc;
///
/// let (former, present) = (NodeRef::random("login-1".try_into()?), NodeRef::random("login-1".try_into()?));
/// let node = Node::new(ServiceName::new("login")?, present.clone(), ([127, 0, 0, 1], 14222).into());
/// let mut presence = Presence::default();
/// presence.apply(&Update::Reset(vec![Arc::new(node)]));
/// assert!(presence.get(&present).is_some() && presence.is_former_life(&former));
/// # Ok::<(), braid_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Presence(HashMap<NodeId, Vec<Arc<Node>>>);

impl Presence {
    /// Takes one step.
    pub fn apply(&mut self, update: &Update) {
        match update {
            Update::Reset(nodes) => {
                self.0.clear();
                for node in nodes {
                    self.insert(node);
                }
            }
            Update::Upsert(node) => self.insert(node),
            Update::Remove(node) => self.remove(node),
        }
    }

    /// What discovery says of this very life of a node; none when it is absent, whatever other life is there.
    #[must_use]
    pub fn get(&self, node: &NodeRef) -> Option<&Arc<Node>> {
        let mut lives = self.0.get(&node.id)?.iter();
        lives.find(|present| present.node.uid == node.uid)
    }

    /// True when this life isn't present and another one of the id is: the node was restarted.
    #[must_use]
    pub fn is_former_life(&self, node: &NodeRef) -> bool {
        self.0.contains_key(&node.id) && self.get(node).is_none()
    }

    /// Every node that is present, every life of it, in no particular order.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.0.values().flatten()
    }

    fn insert(&mut self, node: &Arc<Node>) {
        let lives = self.0.entry(node.node.id.clone()).or_default();
        let known = lives
            .iter_mut()
            .find(|known| known.node.uid == node.node.uid);
        match known {
            Some(known) => *known = Arc::clone(node),
            None => lives.push(Arc::clone(node)),
        }
    }

    /// No id stays without a life, or it would make former ones.
    fn remove(&mut self, node: &NodeRef) {
        if let Some(lives) = self.0.get_mut(&node.id) {
            lives.retain(|present| present.node.uid != node.uid);
            if lives.is_empty() {
                self.0.remove(&node.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NodeState, ServiceName, Uid};

    fn node(id: &str, uid: &str) -> Node {
        let node = NodeRef::new(NodeId::new(id).unwrap(), Uid::new(uid).unwrap());
        let address = "127.0.0.1:1".parse().unwrap();
        Node::new(ServiceName::new("s").unwrap(), node, address)
    }

    fn upsert(node: &Node) -> Update {
        Update::Upsert(Arc::new(node.clone()))
    }

    fn names(presence: &Presence) -> Vec<String> {
        let mut names: Vec<_> = presence.nodes().map(|n| n.node.to_string()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_life_is_former_once_only_another_one_is_present() {
        let (one, two) = (node("a", "1"), node("a", "2"));
        let mut presence = Presence::default();
        assert!(!presence.is_former_life(&one.node), "absent, not replaced");
        presence.apply(&upsert(&one));
        presence.apply(&upsert(&two.clone().with_state(NodeState::Draining)));
        assert!(!presence.is_former_life(&one.node), "both for a moment");
        assert_eq!(names(&presence), ["a/1", "a/2"]);
        presence.apply(&Update::Remove(one.node.clone()));
        assert!(presence.is_former_life(&one.node) && !presence.is_former_life(&two.node));
        let told = presence.get(&two.node).unwrap();
        assert_eq!(told.state, NodeState::Draining);
        assert_eq!(presence.get(&one.node), None);
        presence.apply(&Update::Remove(two.node.clone()));
        assert!(!presence.is_former_life(&one.node));
    }

    #[test]
    fn what_was_said_last_of_a_node_stands() {
        let (a, b) = (node("a", "1"), node("b", "1"));
        let mut presence = Presence::default();
        presence.apply(&upsert(&a));
        presence.apply(&upsert(&a.clone().with_weight(7)));
        assert_eq!(presence.get(&a.node).unwrap().weight, 7);
        assert_eq!(names(&presence), ["a/1"], "not twice");
        // Of another life, or of nobody: nothing.
        presence.apply(&Update::Remove(node("a", "2").node));
        presence.apply(&Update::Remove(b.node.clone()));
        assert_eq!(names(&presence), ["a/1"]);
    }

    #[test]
    fn a_reset_replaces_everything() {
        let (a, b) = (node("a", "1"), node("b", "1"));
        let mut presence = Presence::default();
        presence.apply(&upsert(&a));
        presence.apply(&Update::Reset(vec![
            Arc::new(b.clone()),
            Arc::new(node("a", "2")),
        ]));
        assert_eq!(names(&presence), ["a/2", "b/1"]);
        assert!(presence.is_former_life(&a.node));
        presence.apply(&Update::Reset(vec![]));
        assert_eq!(names(&presence), [""; 0]);
        assert!(!presence.is_former_life(&a.node) && presence.get(&b.node).is_none());
    }
}
