//! L1: claims and unlinks that cross.

use super::support::{Cache, pause, present, tokens};
use crate::{LinkCacheHarness, Random, fresh};
use braid_core::{Claim, NodeRef, ServiceName};
use std::{collections::BTreeMap, sync::Arc};
use tokio::task::JoinSet;

pub async fn l1_late_unlink_changes_nothing<H: LinkCacheHarness>(h: &H) {
    let (of_a, of_b) = (Cache::start(h).await, Cache::start(h).await);
    let service = fresh::service("login");
    let (a, b) = (present(h, &service).await, present(h, &service).await);
    for token in tokens(20) {
        of_a.wins(&token, &a).await;
        // The user reconnects to b, in one of the ways that leave a's goodbye under way.
        assert!(of_b.unlinks(&token, &service, &a.node).await);
        of_b.wins(&token, &b).await;
        assert!(
            !of_a.unlinks(&token, &service, &a.node).await,
            "a holds nothing any more"
        );
        let former = NodeRef::new(b.node.id.clone(), a.node.uid.clone());
        assert!(
            !of_a.unlinks(&token, &service, &former).await,
            "that life of b holds nothing"
        );
        for cache in [&of_a, &of_b] {
            assert_eq!(cache.linked(&token, &service).await, Some(b.node.clone()));
        }
    }
    assert_eq!(
        (of_a.links(&a.node).await, of_a.links(&b.node).await),
        (0, 20)
    );
    of_a.process.stop().await;
    of_b.process.stop().await;
}

pub async fn l1_unlinks_that_cross_a_reconnect_leave_the_new_link<H: LinkCacheHarness>(h: &H) {
    let mut random = Random::from_env();
    let (of_a, of_b) = (Cache::start(h).await, Cache::start(h).await);
    let service = fresh::service("login");
    let (a, b) = (present(h, &service).await, present(h, &service).await);
    for token in tokens(300) {
        of_a.wins(&token, &a).await;
        let [before, between, late] = [random.below(4), random.below(4), random.below(12)];
        let reconnect = async {
            pause(before).await;
            of_b.unlinks(&token, &service, &a.node).await;
            pause(between).await;
            of_b.wins(&token, &b).await;
        };
        let goodbye = async {
            pause(late).await;
            of_a.unlinks(&token, &service, &a.node).await;
            pause(1).await;
            of_a.unlinks(&token, &service, &a.node).await;
        };
        tokio::join!(reconnect, goodbye);
        assert_eq!(of_a.linked(&token, &service).await.as_ref(), Some(&b.node));
    }
    of_a.process.stop().await;
    of_b.process.stop().await;
}

pub async fn l1_concurrent_claims_have_one_winner<H: LinkCacheHarness>(h: &H) {
    let caches = [
        Cache::start(h).await,
        Cache::start(h).await,
        Cache::start(h).await,
    ];
    let service = fresh::service("login");
    let mut nodes = Vec::new();
    for _ in 0..12 {
        nodes.push(present(h, &service).await);
    }
    let nodes: Arc<[_]> = nodes.into();
    for token in tokens(50) {
        let mut claims = JoinSet::new();
        for place in 0..nodes.len() {
            let (cache, nodes, token) = (
                caches[place % 3].component(),
                Arc::clone(&nodes),
                token.clone(),
            );
            claims.spawn(async move {
                let claim = cache.claim(&token, &nodes[place]).await.unwrap();
                (nodes[place].node.clone(), claim)
            });
        }
        let outcomes = claims.join_all().await;
        let winners: Vec<_> = outcomes
            .iter()
            .filter(|(_, claim)| *claim == Claim::Won)
            .collect();
        let [(winner, _)] = winners[..] else {
            panic!("of twelve claims one wins, not {winners:?}");
        };
        for (node, claim) in &outcomes {
            if node != winner {
                assert_eq!(
                    *claim,
                    Claim::Held(winner.clone()),
                    "{node} was told of another winner"
                );
            }
        }
        for cache in &caches {
            assert_eq!(cache.linked(&token, &service).await.as_ref(), Some(winner));
        }
    }
    for cache in caches {
        cache.process.stop().await;
    }
}

pub async fn l1_interleavings_equal_the_model<H: LinkCacheHarness>(h: &H) {
    const STEPS: usize = 2_000;
    let mut random = Random::from_env();
    let caches = [
        Cache::start(h).await,
        Cache::start(h).await,
        Cache::start(h).await,
    ];
    let services = [fresh::service("login"), fresh::service("mail")];
    let mut nodes = Vec::new();
    for service in services.iter().cycle().take(6) {
        nodes.push(present(h, service).await);
    }
    let tokens = tokens(4);
    let mut model = BTreeMap::<(usize, ServiceName), NodeRef>::new();
    for step in 0..STEPS {
        let (cache, node, token) = (
            random.pick(&caches),
            random.pick(&nodes),
            random.below(tokens.len()),
        );
        let key = (token, node.service.clone());
        let token = &tokens[token];
        match random.below(20) {
            0..7 => {
                let expected = match model.get(&key) {
                    Some(held) if *held != node.node => Claim::Held(held.clone()),
                    _ => Claim::Won,
                };
                assert_eq!(cache.claims(token, node).await, expected, "step {step}");
                model.entry(key).or_insert_with(|| node.node.clone());
            }
            7..11 => {
                let held = model.get(&key) == Some(&node.node);
                assert_eq!(
                    cache.unlinks(token, &node.service, &node.node).await,
                    held,
                    "step {step}"
                );
                if held {
                    model.remove(&key);
                }
            }
            11..14 => {
                let from = random.pick(&nodes);
                let held = model.get(&key);
                let moves = held == Some(&from.node) || held == Some(&node.node);
                assert_eq!(
                    cache.relinks(token, &from.node, node).await,
                    moves,
                    "step {step}"
                );
                if moves {
                    model.insert(key, node.node.clone());
                }
            }
            14..18 => {
                assert_eq!(
                    cache.linked(token, &node.service).await.as_ref(),
                    model.get(&key),
                    "step {step}"
                );
            }
            18 => {
                let held = model.values().filter(|held| **held == node.node).count();
                assert_eq!(cache.links(&node.node).await, held, "step {step}");
                let listed = cache.held(&node.node, 100).await.len();
                assert_eq!(listed, held, "step {step}");
            }
            _ => {
                let before = model.len();
                model.retain(|(of, _), _| *of != key.0);
                assert_eq!(
                    cache.leave(token).await.unwrap(),
                    before - model.len(),
                    "step {step}"
                );
            }
        }
    }
    for cache in caches {
        for (place, token) in tokens.iter().enumerate() {
            for service in &services {
                let expected = model.get(&(place, service.clone()));
                assert_eq!(cache.linked(token, service).await.as_ref(), expected);
            }
        }
        cache.process.stop().await;
    }
}
