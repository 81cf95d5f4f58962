//! Picks by weight, then without the heaviest node: `cargo run -p braid-balancer --example pick`.

use braid_balancer::{Balancer, SmoothWeighted};
use braid_core::{Node, NodeId, NodeRef, Result, ServiceName, Update};
use std::sync::Arc;

fn main() -> Result<()> {
    let node = |id: &str, weight| -> Result<_> {
        let who = NodeRef::random(NodeId::new(id)?);
        let node = Node::new(ServiceName::new("login")?, who, ([127, 0, 0, 1], 1).into());
        Ok(Arc::new(node.with_weight(weight)))
    };
    let balancer = Balancer::<()>::new(SmoothWeighted::new());
    let show = |what: &str| {
        let picks: Vec<_> = (0..9)
            .filter_map(|_| balancer.pick())
            .map(|picked| picked.node().node.id.to_string())
            .collect();
        println!("{what:<22} {}", picks.join(" "));
    };

    let heavy = node("login-1", 5)?;
    let view = vec![Arc::clone(&heavy), node("login-2", 3)?, node("login-3", 1)?];
    balancer.apply([Update::Reset(view)], |_| ());
    show("weights 5, 3, 1");
    balancer.apply([Update::Remove(heavy.node.clone())], |_| ());
    show("without the first");
    Ok(())
}
