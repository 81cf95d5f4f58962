//! The nodes that balancers pick among.

use std::net::Ipv4Addr;
use std::sync::Arc;

use braid_core::{Node, NodeId, NodeRef, Result, ServiceName};

/// The service that they are nodes of.
pub const SERVICE: &str = "login";

/// The weight of a node: from 1 to 5, as fleets have them.
#[must_use]
pub fn weight(index: u32) -> u32 {
    1 + index % 5
}

/// The address of a node.
#[must_use]
pub fn address(index: u32) -> (Ipv4Addr, u16) {
    (Ipv4Addr::from_bits(0x0a00_0001 + index), 14_222)
}

/// So many nodes of one service.
///
/// # Errors
/// None: the names are legal.
pub fn of(count: u32) -> Result<Vec<Arc<Node>>> {
    let node = |index| {
        let who = NodeRef::random(NodeId::new(format!("login-{index}"))?);
        let node = Node::new(ServiceName::new(SERVICE)?, who, address(index).into());
        Ok(Arc::new(node.with_weight(weight(index))))
    };
    (0..count).map(node).collect()
}
