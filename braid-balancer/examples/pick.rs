//! Nine picks by each policy, then without the heaviest node: `cargo run -p braid-balancer --example pick`.

use braid_balancer::{Balancer, PolicyKind};
use braid_core::{Node, NodeId, NodeRef, Result, ServiceName, Update};
use std::sync::Arc;

fn main() -> Result<()> {
    let node = |id: &str, weight| -> Result<_> {
        let who = NodeRef::random(NodeId::new(id)?);
        let node = Node::new(ServiceName::new("login")?, who, ([127, 0, 0, 1], 1).into());
        Ok(Arc::new(node.with_weight(weight)))
    };
    let balancer = Balancer::<()>::new(PolicyKind::default().build());
    // Each call is about another user; only `rendezvous` looks at that.
    let show = |what: &str| {
        let picks: Vec<_> = (0..9)
            .filter_map(|user| balancer.pick_for(&format!("user-{user}")))
            .map(|picked| picked.node().node.id.to_string())
            .collect();
        println!("  {what:<16} {}", picks.join(" "));
    };

    let heavy = node("login-1", 5)?;
    let view = vec![Arc::clone(&heavy), node("login-2", 3)?, node("login-3", 1)?];
    for (title, update) in [
        ("weights 5, 3, 1:", Update::Reset(view)),
        ("without the first:", Update::Remove(heavy.node.clone())),
    ] {
        println!("{title}");
        balancer.apply([update], |_| ());
        for kind in PolicyKind::ALL {
            balancer.set_policy(kind.build());
            show(kind.name());
        }
    }
    Ok(())
}
