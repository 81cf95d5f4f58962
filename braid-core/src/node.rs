//! Nodes: who they are, where they listen, and whether they take calls.

use crate::{NodeId, Result, ServiceName, Uid};
use std::{collections::BTreeMap, fmt, net::SocketAddr};

/// Who a node is: the id names it, the uid names this life of it.
///
/// Links, leases and consumers carry both, so that nothing that belonged to a former life is taken for the present one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeRef {
    /// The node's name.
    pub id: NodeId,
    /// The node's life.
    pub uid: Uid,
}

impl NodeRef {
    /// A node in a known life.
    #[must_use]
    pub fn new(id: NodeId, uid: Uid) -> Self {
        Self { id, uid }
    }

    /// A node that starts a new life now: the uid is `POD_UID` when that is set, else random.
    ///
    /// A process that holds several nodes wants a life for each: use [`NodeRef::random`] there.
    #[must_use]
    pub fn of_process(id: NodeId) -> Self {
        match std::env::var("POD_UID")
            .ok()
            .and_then(|uid| Uid::new(uid).ok())
        {
            Some(uid) => Self { id, uid },
            None => Self::random(id),
        }
    }

    /// A node that starts a new life now, with a random uid.
    #[must_use]
    pub fn random(id: NodeId) -> Self {
        let uid = uuid::Uuid::new_v4().to_string();
        Self {
            id,
            uid: Uid::new(uid).expect("a UUID's text has 36 bytes"),
        }
    }
}

impl fmt::Display for NodeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.id, self.uid)
    }
}

/// The id for this process's node: `POD_NAME` when that is set, else the host's name.
///
/// # Errors
/// `Config` when neither is a legal [`NodeId`].
pub fn process_node_id() -> Result<NodeId> {
    match std::env::var("POD_NAME") {
        Ok(name) if !name.is_empty() => NodeId::new(name),
        _ => NodeId::new(host_name()),
    }
}

#[cfg(unix)]
fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

#[cfg(not(unix))]
fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

/// Whether a node takes calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NodeState {
    /// Takes calls and links.
    #[default]
    Ready,
    /// Takes no balanced calls for now; its links stay.
    NotReady,
    /// Is leaving: takes no balanced calls and no new links; its links are honoured until they end.
    Draining,
}

/// One node of a service, as discovery tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Node {
    /// Who it is.
    pub node: NodeRef,
    /// What it serves.
    pub service: ServiceName,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its share of balanced calls, relative to the other nodes of its service. 0: none (links and calls by id still
    /// reach it). Default 1.
    pub weight: u32,
    /// Whether it takes calls.
    pub state: NodeState,
    /// Its failure domain, where known.
    pub zone: Option<String>,
    /// Whatever else the deployment says of it.
    pub metadata: BTreeMap<String, String>,
}

impl Node {
    /// A ready node of weight 1.
    #[must_use]
    pub fn new(service: ServiceName, node: NodeRef, address: SocketAddr) -> Self {
        Self {
            node,
            service,
            address,
            weight: 1,
            state: NodeState::Ready,
            zone: None,
            metadata: BTreeMap::new(),
        }
    }

    /// The same node with another weight.
    #[must_use]
    pub fn with_weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// The same node in another state.
    #[must_use]
    pub fn with_state(mut self, state: NodeState) -> Self {
        self.state = state;
        self
    }

    /// The same node in a zone.
    #[must_use]
    pub fn with_zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// The same node with one more metadata entry.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }
}
