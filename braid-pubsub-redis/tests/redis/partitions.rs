//! P12: topics that are split.

#![allow(clippy::unwrap_used, reason = "tests fail by a panic")]

use crate::support::node as start_with;
use braid_core::{
    Channel, ErrorKind, NewMessage, PubSub, Start, SubscribeOptions, Topic, pubsub::dead_letter,
};
use braid_pubsub_redis::PubSubConfig;
use braid_testkit::{SETTLED, eventually, real_time, within};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use uuid::Uuid;

fn split(topic: &Topic, partitions: u16, url: String) -> PubSubConfig {
    PubSubConfig {
        partitions: [(topic.clone(), partitions)].into(),
        ..PubSubConfig::new(url)
    }
}

fn fresh() -> Topic {
    Topic::new(format!("split-{}", Uuid::new_v4())).unwrap()
}

async fn spread_and_ordered(url: String) {
    const KEYS: usize = 20;
    const PER_KEY: usize = 10;
    let topic = fresh();
    let config = split(&topic, 4, url);
    let nodes = [start_with(config.clone()).await, start_with(config).await];
    let channel = Channel::new("c").unwrap();
    let options = SubscribeOptions {
        claim_after: Duration::from_secs(2),
        ..SubscribeOptions::shared()
    };
    let mut consumers = Vec::new();
    for node in &nodes {
        consumers.push(
            node.subscribe(&topic, &channel, options.clone())
                .await
                .unwrap(),
        );
    }
    for number in 0..PER_KEY {
        for key in 0..KEYS {
            let message = NewMessage::new(number.to_string()).with_key(format!("key {key}"));
            nodes[number % 2].publish(&topic, message).await.unwrap();
        }
        nodes[0]
            .publish(&topic, NewMessage::new("free"))
            .await
            .unwrap();
    }
    let [first, second] = &mut consumers[..] else {
        unreachable!("there are two")
    };
    let (mut seen, mut free, mut partitions) =
        (BTreeMap::<String, Vec<usize>>::new(), 0, BTreeSet::new());
    for _ in 0..KEYS * PER_KEY + PER_KEY {
        let next = async {
            tokio::select! {
                next = first.next() => next,
                next = second.next() => next,
            }
        };
        let delivery = within("the next delivery", SETTLED, next)
            .await
            .unwrap()
            .unwrap();
        let message = delivery.message();
        assert_eq!(message.attempt, 1);
        partitions.insert(
            message
                .id
                .as_str()
                .split_once('/')
                .map(|(_, number)| number.to_owned()),
        );
        match &message.key {
            Some(key) => {
                let number = String::from_utf8_lossy(&message.body).parse().unwrap();
                seen.entry(key.clone()).or_default().push(number);
            }
            None => free += 1,
        }
        delivery.ack().await.unwrap();
    }
    assert_eq!((seen.len(), free, partitions.len()), (KEYS, PER_KEY, 4));
    for (key, numbers) in seen {
        assert_eq!(
            numbers,
            (0..PER_KEY).collect::<Vec<_>>(),
            "the order of {key}"
        );
    }
    eventually("nothing is left in any partition", SETTLED, async || {
        let view = nodes[0].inspect(&topic).await.unwrap();
        let channel = &view.channels[0];
        view.channels.len() == 1
            && channel.lag == 0
            && channel.pending == 0
            && channel.consumers == 2
    })
    .await;
    for node in nodes {
        node.stop().await;
    }
}

#[test]
fn partitions_spread_keys_and_keep_their_order() {
    real_time().block_on(async {
        spread_and_ordered(braid_testkit::redis::shared().await.url()).await;
    });
}

#[test]
fn partitions_spread_over_a_cluster() {
    real_time().block_on(async {
        spread_and_ordered(braid_testkit::redis::shared_cluster().await.url()).await;
    });
}

#[test]
fn split_topic_is_one_topic_to_its_users() {
    real_time().block_on(async {
        let topic = fresh();
        let node = start_with(split(&topic, 3, braid_testkit::redis::shared().await.url())).await;
        let mut ids = Vec::new();
        for number in 0..30 {
            ids.push(
                node.publish(&topic, NewMessage::new(number.to_string()))
                    .await
                    .unwrap(),
            );
        }
        assert_eq!(
            ids.iter().collect::<BTreeSet<_>>().len(),
            30,
            "ids are unique"
        );
        assert_eq!(node.inspect(&topic).await.unwrap().messages, 30);
        assert!(node.topics().await.unwrap().contains(&topic));

        // In flight is counted over all partitions.
        let options = SubscribeOptions {
            start: Start::Beginning,
            max_in_flight: 2,
            max_attempts: 1,
            ..SubscribeOptions::shared()
        };
        let channel = Channel::new("c").unwrap();
        let mut subscription = node.subscribe(&topic, &channel, options).await.unwrap();
        let mut bodies = BTreeSet::new();
        let mut held = Vec::new();
        while bodies.len() < 30 {
            let delivery = within("a delivery", SETTLED, subscription.next())
                .await
                .unwrap()
                .unwrap();
            bodies.insert(delivery.body().clone());
            held.push(delivery);
            if held.len() == 2 {
                let third =
                    tokio::time::timeout(Duration::from_millis(50), subscription.next()).await;
                assert!(third.is_err(), "more in flight than may be: {third:?}");
                let dead = bodies.len() == 30;
                for delivery in held.drain(..) {
                    match dead {
                        true => drop(delivery.dead_letter("the last ones").await.unwrap()),
                        false => delivery.ack().await.unwrap(),
                    }
                }
            }
        }
        // Dead letters too are one topic, and can be brought back.
        assert_eq!(node.inspect(&topic).await.unwrap().dead_letters, 2);
        let redriven = braid_core::PubSubExt::redrive(&*node, &topic, None)
            .await
            .unwrap();
        assert_eq!(redriven, 2);
        for _ in 0..2 {
            let delivery = within("a redriven one", SETTLED, subscription.next())
                .await
                .unwrap()
                .unwrap();
            assert!(!delivery.message().headers.contains_key(dead_letter::REASON));
            delivery.ack().await.unwrap();
        }
        node.stop().await;
    });
}

#[test]
fn another_number_of_partitions_is_refused_by_name() {
    real_time().block_on(async {
        let topic = fresh();
        let url = braid_testkit::redis::shared().await.url();
        let node = start_with(split(&topic, 3, url.clone())).await;
        node.publish(&topic, NewMessage::new("x")).await.unwrap();
        let other = start_with(PubSubConfig::new(url)).await;
        let error = other
            .publish(&topic, NewMessage::new("x"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(
            error.to_string().contains("partitions") && error.to_string().contains(topic.as_str()),
            "{error}"
        );
        other.stop().await;
        node.stop().await;
    });
}
