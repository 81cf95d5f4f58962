//! D6: many changes, slow watchers.

use super::support::{Follower, start, view};
use crate::{DiscoverHarness, Random, fresh};
use braid_core::{Node, NodeState};
use futures_util::FutureExt;
use std::collections::BTreeMap;

pub async fn d6_slow_watcher_is_told_the_latest_state<H: DiscoverHarness>(h: &H) {
    const NODES: usize = 10;
    let process = start(h).await;
    let service = fresh::service("login");
    let mut nodes: Vec<Node> = (0..NODES).map(|_| fresh::node(&service)).collect();
    for node in &nodes {
        h.set(node).await;
    }
    let mut slow = Follower::new(process.watch(&service));
    slow.gets_to(&view(&nodes)).await;
    let mut quick = Follower::new(process.watch(&service));
    quick.gets_to(&view(&nodes)).await;
    // It looks away while each node changes its weight a hundred times, and the last one goes.
    for weight in 2..=101 {
        for node in &mut nodes {
            *node = node.clone().with_weight(weight);
            h.set(node).await;
        }
    }
    let gone = nodes.pop().expect("there are ten");
    h.remove(&gone.node).await;
    quick.gets_to(&view(&nodes)).await;
    // The quick one is told all by now, so the slow one skips what lies between: about one step a node is left of the thousand.
    let steps = slow.gets_to(&view(&nodes)).await;
    assert!(
        steps <= 2 * NODES,
        "{steps} steps were kept for a slow watcher"
    );
    slow.silent(h.slack()).await;
    process.stop().await;
}

pub async fn d6_view_never_passes_through_empty<H: DiscoverHarness>(h: &H) {
    let process = start(h).await;
    let service = fresh::service("login");
    let mut nodes = vec![fresh::node(&service), fresh::node(&service)];
    for node in &nodes {
        h.set(node).await;
    }
    let mut follower = Follower::new(process.watch(&service));
    follower.gets_to(&view(&nodes)).await;
    // A rolling restart: the next one comes before the oldest goes.
    for _ in 0..20 {
        let next = fresh::node(&service);
        h.set(&next).await;
        nodes.push(next);
        let gone = nodes.remove(0);
        h.remove(&gone.node).await;
        while follower.known != view(&nodes) {
            follower.step().await;
            assert!(
                !follower.known.is_empty(),
                "there was a node at every moment"
            );
        }
    }
    process.stop().await;
}

pub async fn d6_churn_equals_the_oracle<H: DiscoverHarness>(h: &H) {
    const STEPS: usize = 1_000;
    let mut random = Random::from_env();
    let process = start(h).await;
    let services = [
        fresh::service("a"),
        fresh::service("b"),
        fresh::service("c"),
    ];
    let mut followers: Vec<_> = (0..6)
        .map(|i| Follower::new(process.watch(&services[i % 3])))
        .collect();
    // Node by slot; a slot is an id, which has one life at a time.
    let mut oracle: [BTreeMap<usize, Node>; 3] = Default::default();
    let ids: Vec<_> = (0..3 * 8).map(|_| fresh::life("node")).collect();
    for _ in 0..STEPS {
        let (of, slot) = (random.below(3), random.below(8));
        let id = &ids[of * 8 + slot];
        match (oracle[of].get(&slot).cloned(), random.below(4)) {
            (None, _) => {
                let node = fresh::node_as(&services[of], fresh::next_life(id));
                h.set(&node).await;
                oracle[of].insert(slot, node);
            }
            (Some(node), 0) => {
                h.remove(&node.node).await;
                oracle[of].remove(&slot);
            }
            (Some(node), 1) => {
                // A restart under the same id.
                h.remove(&node.node).await;
                let node = fresh::node_as(&services[of], fresh::next_life(id));
                h.set(&node).await;
                oracle[of].insert(slot, node);
            }
            (Some(node), change) => {
                let states = [NodeState::Ready, NodeState::NotReady, NodeState::Draining];
                let weight = u32::try_from(random.below(10)).unwrap();
                let node = match change {
                    2 => node.with_weight(weight),
                    _ => node.with_state(*random.pick(&states)),
                };
                h.set(&node).await;
                oracle[of].insert(slot, node);
            }
        }
        // Some look often, some seldom, some look away in the middle of a step.
        let who = random.below(followers.len());
        if random.one_in(1 + who) {
            let _ = followers[who].next().now_or_never();
        }
    }
    for (i, follower) in followers.iter_mut().enumerate() {
        let oracle = view(oracle[i % 3].values());
        follower.gets_to(&oracle).await;
        // It may have been there before, with steps away and back still to be told.
        follower.comes_to_rest(h.slack()).await;
        assert_eq!(follower.known, oracle);
    }
    process.stop().await;
}
