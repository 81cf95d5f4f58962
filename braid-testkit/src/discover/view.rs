//! The contract's basics: what a watch tells, step by step; and what an announcement does. S2.

use super::support::{Follower, start, view};
use crate::{DiscoverHarness, SETTLED, alive_tasks, eventually_eq, fresh, within};
use braid_core::{ErrorKind, Node, NodeState, ServiceName, Update};
use std::{collections::BTreeMap, sync::Arc};

pub async fn d0_watch_starts_with_a_reset<H: DiscoverHarness>(h: &H) {
    let process = start(h).await;
    let service = fresh::service("login");
    let mut early = Follower::new(process.watch(&service));
    assert_eq!(early.step().await, Update::Reset(Vec::new()));
    let nodes = [
        fresh::node(&service),
        fresh::node(&service),
        fresh::node(&service),
    ];
    for node in &nodes {
        h.set(node).await;
    }
    early.gets_to(&view(&nodes)).await;
    let mut late = Follower::new(process.watch(&service));
    assert!(matches!(late.step().await, Update::Reset(_)));
    assert_eq!(late.known, view(&nodes));
    process.stop().await;
}

pub async fn d0_changes_are_seen_in_order<H: DiscoverHarness>(h: &H) {
    let process = start(h).await;
    let service = fresh::service("login");
    let mut follower = Follower::new(process.watch(&service));
    assert_eq!(follower.step().await, Update::Reset(Vec::new()));
    let node = fresh::node(&service).with_weight(5);
    let stays = fresh::node(&service);
    h.set(&stays).await;
    assert_eq!(
        follower.step().await,
        Update::Upsert(Arc::new(stays.clone()))
    );
    for state in [NodeState::Ready, NodeState::NotReady, NodeState::Draining] {
        let node = node.clone().with_state(state);
        h.set(&node).await;
        assert_eq!(follower.step().await, Update::Upsert(Arc::new(node)));
    }
    let heavier = node.clone().with_weight(7);
    h.set(&heavier).await;
    assert_eq!(follower.step().await, Update::Upsert(Arc::new(heavier)));
    h.remove(&node.node).await;
    assert_eq!(follower.step().await, Update::Remove(node.node));
    assert_eq!(follower.known, view([&stays]));
    follower.silent(h.slack()).await;
    process.stop().await;
}

pub async fn d0_restart_is_a_removal_and_then_an_upsert<H: DiscoverHarness>(h: &H) {
    let process = start(h).await;
    let service = fresh::service("login");
    let former = fresh::node(&service);
    h.set(&former).await;
    let mut follower = Follower::new(process.watch(&service));
    follower.gets_to(&view([&former])).await;
    let present = fresh::node_as(&service, fresh::next_life(&former.node));
    h.remove(&former.node).await;
    h.set(&present).await;
    assert_eq!(follower.step().await, Update::Remove(former.node));
    assert_eq!(follower.step().await, Update::Upsert(Arc::new(present)));
    process.stop().await;
}

pub async fn d0_services_are_kept_apart<H: DiscoverHarness>(h: &H) {
    let process = start(h).await;
    let unique = fresh::service("x");
    let names = ["a", "a-b", "b", "a.b"];
    let mut followers = Vec::new();
    for name in names {
        let service = ServiceName::new(format!("{name}-{unique}")).unwrap();
        let mut follower = Follower::new(process.watch(&service));
        assert_eq!(follower.step().await, Update::Reset(Vec::new()));
        followers.push((service, follower));
    }
    let mut nodes: Vec<Node> = Vec::new();
    for (service, _) in &followers {
        nodes.push(fresh::node(service));
        h.set(&nodes[nodes.len() - 1]).await;
    }
    for ((_, follower), node) in followers.iter_mut().zip(&nodes) {
        assert_eq!(
            follower.step().await,
            Update::Upsert(Arc::new(node.clone()))
        );
    }
    for (_, follower) in &mut followers {
        follower.silent(h.slack()).await;
    }
    process.stop().await;
}

pub async fn d0_every_process_sees_the_same<H: DiscoverHarness>(h: &H) {
    let processes = [start(h).await, start(h).await, start(h).await];
    let service = fresh::service("login");
    let nodes = [fresh::node(&service), fresh::node(&service)];
    for node in &nodes {
        h.set(node).await;
    }
    let mut followers = Vec::new();
    for process in &processes {
        let mut follower = Follower::new(process.watch(&service));
        follower.gets_to(&view(&nodes)).await;
        followers.push(follower);
    }
    h.remove(&nodes[0].node).await;
    for follower in &mut followers {
        follower.gets_to(&view(&nodes[1..])).await;
    }
    for process in processes {
        process.stop().await;
    }
}

pub async fn d0_watch_ends_with_its_backend<H: DiscoverHarness>(h: &H) {
    let (leaving, staying) = (start(h).await, start(h).await);
    let service = fresh::service("login");
    let node = fresh::node(&service);
    h.set(&node).await;
    let mut ends = Follower::new(leaving.watch(&service));
    let mut goes_on = Follower::new(staying.watch(&service));
    ends.gets_to(&view([&node])).await;
    goes_on.gets_to(&view([&node])).await;
    leaving.stop().await;
    assert_eq!(
        ends.next().await,
        None,
        "a backend that ends removes no node from anybody's view"
    );
    h.remove(&node.node).await;
    goes_on.gets_to(&BTreeMap::new()).await;
    staying.stop().await;
}

pub async fn s2_discover_leaves_no_task<H: DiscoverHarness>(h: &H) {
    start(h).await.stop().await;
    let service = fresh::service("login");
    let node = fresh::node(&service);
    h.set(&node).await;
    let before = alive_tasks();
    let mut watched = Vec::new();
    for _ in 0..5 {
        let process = start(h).await;
        let mut follower = Follower::new(process.watch(&service));
        follower.gets_to(&view([&node])).await;
        watched.push((process, follower));
    }
    for (process, follower) in watched {
        process.stop().await;
        drop(follower);
    }
    eventually_eq(
        "no task is left after the shutdown",
        h.slack(),
        before,
        async || alive_tasks(),
    )
    .await;
}

pub async fn d0_announced_node_is_visible_until_withdrawn<H: DiscoverHarness>(h: &H) {
    let (announcer, observer) = (start(h).await, start(h).await);
    let service = fresh::service("login");
    let mut follower = Follower::new(observer.watch(&service));
    assert_eq!(follower.step().await, Update::Reset(Vec::new()));
    let node = fresh::node(&service).with_zone("z").with_metadata("k", "v");

    let announcement = announcer.announce(&node).await.unwrap();
    assert_eq!(
        follower.step().await,
        Update::Upsert(Arc::new(node.clone()))
    );
    let draining = node.clone().with_state(NodeState::Draining);
    announcement.update(draining.clone()).await.unwrap();
    assert_eq!(follower.step().await, Update::Upsert(Arc::new(draining)));
    let error = announcement
        .update(fresh::node(&service))
        .await
        .unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Config,
        "another node than the one announced: {error}"
    );
    announcement.withdraw().await.unwrap();
    // It is visible when the withdrawal returns.
    assert!(Follower::new(observer.watch(&service)).step().await == Update::Reset(Vec::new()));
    assert_eq!(follower.step().await, Update::Remove(node.node.clone()));

    let announcement = announcer.announce(&node).await.unwrap();
    assert_eq!(
        follower.step().await,
        Update::Upsert(Arc::new(node.clone()))
    );
    drop(announcement);
    assert_eq!(follower.step().await, Update::Remove(node.node));
    announcer.stop().await;
    observer.stop().await;
}

pub async fn d0_duplicate_node_id_is_a_conflict<H: DiscoverHarness>(h: &H) {
    let (one, two) = (start(h).await, start(h).await);
    let (service, other) = (fresh::service("login"), fresh::service("mail"));
    let node = fresh::node(&service);
    let announcement = one.announce(&node).await.unwrap();
    let next_life = fresh::next_life(&node.node);
    for (process, claimant) in [
        (&one, node.clone()),
        (&two, node.clone()),
        (&two, fresh::node_as(&service, next_life.clone())),
        (&two, fresh::node_as(&other, next_life.clone())),
    ] {
        let error = process.announce(&claimant).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert!(
            error.to_string().contains(node.node.id.as_str()),
            "the error names the id: {error}"
        );
    }
    let mut follower = Follower::new(two.watch(&service));
    follower.gets_to(&view([&node])).await;

    // The id is free again once its holder has gone.
    announcement.withdraw().await.unwrap();
    let again = fresh::node_as(&service, next_life);
    let held = two.announce(&again).await.unwrap();
    follower.gets_to(&view([&again])).await;
    held.withdraw().await.unwrap();
    one.stop().await;
    two.stop().await;
}

pub async fn d0_closed_backend_announces_nothing<H: DiscoverHarness>(h: &H) {
    let (leaving, staying) = (start(h).await, start(h).await);
    let service = fresh::service("login");
    let node = fresh::node(&service);
    let closed = leaving.component();
    leaving.stop().await;
    let refused = within("the refusal", SETTLED, closed.announce(&node)).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Closed);
    let mut follower = Follower::new(staying.watch(&service));
    assert_eq!(follower.step().await, Update::Reset(Vec::new()));
    follower.silent(h.slack()).await;
    staying.stop().await;
}
