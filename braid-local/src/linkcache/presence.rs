//! Which nodes of a service discovery tells of.

use braid_core::{NodeId, NodeRef, NodeState, Uid};
use std::collections::HashMap;

/// The nodes of one service that are present, by id. An id has one life but in a moment of change.
#[derive(Debug, Default)]
pub(super) struct Presence(HashMap<NodeId, Vec<(Uid, NodeState)>>);

impl Presence {
    pub(super) fn insert(&mut self, node: &NodeRef, state: NodeState) {
        let lives = self.0.entry(node.id.clone()).or_default();
        match lives.iter_mut().find(|(uid, _)| *uid == node.uid) {
            Some((_, present)) => *present = state,
            None => lives.push((node.uid.clone(), state)),
        }
    }

    pub(super) fn remove(&mut self, node: &NodeRef) {
        if let Some(lives) = self.0.get_mut(&node.id) {
            lives.retain(|(uid, _)| *uid != node.uid);
            if lives.is_empty() {
                self.0.remove(&node.id);
            }
        }
    }

    /// The state of this very life, when it is present.
    pub(super) fn state(&self, node: &NodeRef) -> Option<NodeState> {
        let lives = self.0.get(&node.id)?;
        let (_, state) = lives.iter().find(|(uid, _)| *uid == node.uid)?;
        Some(*state)
    }

    /// True when the node isn't present and another life of it is.
    pub(super) fn is_former_life(&self, node: &NodeRef) -> bool {
        self.0.contains_key(&node.id) && self.state(node).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_former_once_only_another_one_is_present() {
        let node = |uid: &str| NodeRef::new(NodeId::new("a").unwrap(), Uid::new(uid).unwrap());
        let (one, two) = (node("1"), node("2"));
        let mut presence = Presence::default();
        assert!(!presence.is_former_life(&one), "absent, not replaced");
        presence.insert(&one, NodeState::Ready);
        presence.insert(&two, NodeState::Draining);
        assert!(!presence.is_former_life(&one), "both live for a moment");
        presence.remove(&one);
        assert!(presence.is_former_life(&one) && !presence.is_former_life(&two));
        assert_eq!(presence.state(&two), Some(NodeState::Draining));
        presence.remove(&two);
        assert!(!presence.is_former_life(&one));
    }
}
