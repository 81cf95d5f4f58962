//! The reserved topic of discovery.

use super::support::{Follower, view};
use crate::{DiscoverHarness, Running, fresh, reserved::Listener};
use braid_core::{
    NodeState, Update,
    reserved::{ServiceEvent, ServiceUpdate},
};
use std::collections::BTreeMap;

pub async fn r1_service_update_tells_each_change_once<H: DiscoverHarness>(h: &H) {
    let observer = fresh::life("process");
    let process = Running::start(h.start(observer.clone()).await).await;
    let (login, mail) = (fresh::service("login"), fresh::service("mail"));
    let mut followers = Vec::new();
    for service in [&login, &mail] {
        let mut follower = Follower::new(process.watch(service));
        assert_eq!(follower.step().await, Update::Reset(Vec::new()));
        followers.push(follower);
    }
    let mut listener = Listener::<ServiceUpdate>::new(&*h.events(&observer)).await;

    let node = fresh::node(&login)
        .with_weight(5)
        .with_zone("z")
        .with_metadata("k", "v");
    let draining = node.clone().with_state(NodeState::Draining);
    let restarted = fresh::node_as(&login, fresh::next_life(&node.node));
    let letter = fresh::node(&mail);
    // Each step is seen before the next is made: what comes too fast may be told as one.
    let mut expected = Vec::new();
    let steps = [
        (ServiceEvent::Add, &node),
        (ServiceEvent::Update, &draining),
        (ServiceEvent::Add, &letter),
        (ServiceEvent::Remove, &draining),
        (ServiceEvent::Add, &restarted),
        (ServiceEvent::Remove, &restarted),
        (ServiceEvent::Remove, &letter),
    ];
    for (event, node) in steps {
        match event {
            ServiceEvent::Remove => h.remove(&node.node).await,
            ServiceEvent::Add | ServiceEvent::Update => h.set(node).await,
        }
        let told = listener.next().await;
        expected.push(ServiceUpdate::of(event, node));
        assert_eq!(Some(&told), expected.last());
    }
    for follower in &mut followers {
        follower.gets_to(&view([])).await;
    }
    listener.silent(h.slack()).await;
    assert_eq!(followers[0].known, BTreeMap::new());
    process.stop().await;
}
