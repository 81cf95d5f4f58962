//! P1, many at once: consumers, topics, closes, and all of it in parallel.

use super::flow::acked_is_not_repeated;
use super::support::{
    Consumers, bodies, each_once, next, nothing_left, numbers, patient, publish, publish_numbers,
    start, subscribe, take, text,
};
use crate::{PubSubHarness, SETTLED, fresh, within};
use braid_core::{ErrorKind, NewMessage, SubscribeOptions};
use futures_util::{FutureExt, future::join_all};
use std::{collections::BTreeSet, time::Duration};

pub async fn p1_concurrent_subscribers<H: PubSubHarness>(h: &H) {
    concurrent_subscribers(h, 5_000).await;
}

async fn concurrent_subscribers<H: PubSubHarness>(h: &H, messages: usize) {
    let (topic, channel) = (fresh::topic(h, "t"), fresh::channel("c"));
    let nodes = join_all((0..5).map(|_| start(h))).await;
    let mut consumers = Consumers::default();
    for number in 0..50 {
        let options = SubscribeOptions {
            max_in_flight: 20,
            ..patient()
        };
        let subscription = subscribe(&*nodes[number % 5], &topic, &channel, options).await;
        consumers.add(subscription, Duration::ZERO);
    }
    let share = messages / 5;
    join_all((0..5).map(|i| publish_numbers(&*nodes[i], &topic, i * share..(i + 1) * share))).await;
    consumers.have_seen(messages).await;
    nothing_left(&*nodes[0], &topic, &channel).await;
    each_once(bodies(consumers.close().await), &numbers(0..messages));
    for node in nodes {
        node.stop().await;
    }
}

pub async fn p1_many_topics_at_once<H: PubSubHarness>(h: &H) {
    many_topics_at_once(h, 100).await;
}

async fn many_topics_at_once<H: PubSubHarness>(h: &H, topics: usize) {
    let node = start(h).await;
    join_all((0..topics).map(async |_| {
        let (topic, channel) = (fresh::topic(h, "t"), fresh::channel("c"));
        let mut subscription = subscribe(&*node, &topic, &channel, patient()).await;
        for number in 0..10 {
            publish(&*node, &topic, format!("{topic} {number}")).await;
        }
        for (number, delivery) in take(&mut subscription, 10).await.into_iter().enumerate() {
            assert_eq!(text(&delivery), format!("{topic} {number}"));
            super::support::ack(delivery).await;
        }
        nothing_left(&*node, &topic, &channel).await;
    }))
    .await;
    node.stop().await;
}

pub async fn p1_continue_after_a_subscriber_closes<H: PubSubHarness>(h: &H) {
    let (topic, channel) = (fresh::topic(h, "t"), fresh::channel("c"));
    let (one, two) = (start(h).await, start(h).await);
    let mut first = subscribe(&*one, &topic, &channel, patient()).await;
    let second = subscribe(&*two, &topic, &channel, patient()).await;
    publish_numbers(&*one, &topic, 0..50).await;
    let mut acked = Vec::new();
    for delivery in take(&mut first, 5).await {
        acked.push(text(&delivery));
        super::support::ack(delivery).await;
    }
    first.close().await.unwrap();
    publish_numbers(&*two, &topic, 50..60).await;
    let mut consumers = Consumers::default();
    consumers.add(second, Duration::ZERO);
    consumers.have_seen(55).await;
    nothing_left(&*two, &topic, &channel).await;
    acked.extend(bodies(consumers.close().await));
    each_once(acked, &numbers(0..60));
    one.stop().await;
    two.stop().await;
}

pub async fn p1_concurrent_close<H: PubSubHarness>(h: &H) {
    let (topic, channel) = (fresh::topic(h, "t"), fresh::channel("c"));
    let nodes = [start(h).await, start(h).await];
    let mut consumers = Consumers::default();
    for number in 0..20 {
        let options = SubscribeOptions {
            max_in_flight: 4,
            ..patient()
        };
        let subscription = subscribe(&*nodes[number % 2], &topic, &channel, options).await;
        consumers.add(subscription, Duration::from_millis(1));
    }
    let closing = async {
        consumers.have_seen(20).await;
        consumers.close().await
    };
    let ((), seen) = tokio::join!(publish_numbers(&*nodes[0], &topic, 0..500), closing);
    let mut seen: Vec<_> = bodies(seen).collect();
    // What the closed ones had buffered is there for the next.
    let mut last = subscribe(&*nodes[1], &topic, &channel, patient()).await;
    while seen.len() < 500 {
        let delivery = next(&mut last).await;
        seen.push(text(&delivery));
        super::support::ack(delivery).await;
    }
    each_once(seen, &numbers(0..500));
    nothing_left(&*nodes[0], &topic, &channel).await;
    let [one, two] = nodes;
    tokio::join!(one.stop(), two.stop());
}

pub async fn p1_publisher_close<H: PubSubHarness>(h: &H) {
    let (topic, channel) = (fresh::topic(h, "t"), fresh::channel("c"));
    let (leaving, staying) = (start(h).await, start(h).await);
    let mut own = subscribe(&*leaving, &topic, &fresh::channel("own"), patient()).await;
    let mut subscription = subscribe(&*staying, &topic, &channel, patient()).await;
    publish_numbers(&*leaving, &topic, 0..10).await;

    let closed = leaving.component();
    leaving.stop().await;
    let error = closed
        .publish(&topic, NewMessage::new("late"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    let error = closed
        .subscribe(&topic, &channel, patient())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    let error = closed.inspect(&topic).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    // What was buffered may still come; then the stream ends.
    let mut ended = async || {
        within("the end of a closed backend's stream", SETTLED, own.next())
            .await
            .is_none()
    };
    while !ended().await {}

    publish_numbers(&*staying, &topic, 10..20).await;
    for (number, delivery) in take(&mut subscription, 20).await.into_iter().enumerate() {
        assert_eq!(text(&delivery), number.to_string());
        super::support::ack(delivery).await;
    }
    staying.stop().await;
}

pub async fn p1_consumer_groups<H: PubSubHarness>(h: &H) {
    let topic = fresh::topic(h, "t");
    let nodes = [start(h).await, start(h).await];
    let channels = [fresh::channel("one"), fresh::channel("two")];
    let mut groups = [Consumers::default(), Consumers::default()];
    for (group, channel) in groups.iter_mut().zip(&channels) {
        for node in &nodes {
            let options = SubscribeOptions {
                max_in_flight: 1,
                ..patient()
            };
            let subscription = subscribe(&**node, &topic, channel, options).await;
            group.add(subscription, Duration::from_millis(5));
        }
    }
    publish_numbers(&*nodes[0], &topic, 0..100).await;
    for (group, channel) in groups.into_iter().zip(&channels) {
        group.have_seen(100).await;
        nothing_left(&*nodes[0], &topic, channel).await;
        let seen = group.close().await;
        let sharing: BTreeSet<_> = seen.iter().map(|seen| seen.consumer).collect();
        assert_eq!(
            sharing.len(),
            2,
            "one consumer of `{channel}` got everything"
        );
        assert!(seen.iter().all(|seen| seen.attempt == 1));
        each_once(bodies(seen), &numbers(0..100));
    }
    for node in nodes {
        node.stop().await;
    }
}

pub async fn p1_many_publishers<H: PubSubHarness>(h: &H) {
    let (topic, channel) = (fresh::topic(h, "t"), fresh::channel("c"));
    let nodes = join_all((0..5).map(|_| start(h))).await;
    let mut consumers = Consumers::default();
    let subscription = subscribe(&*nodes[0], &topic, &channel, patient()).await;
    consumers.add(subscription, Duration::ZERO);
    join_all(nodes.iter().enumerate().map(async |(i, node)| {
        for number in 0..100 {
            publish(&**node, &topic, format!("{i}:{number}")).await;
        }
    }))
    .await;
    consumers.have_seen(500).await;
    let seen: Vec<_> = bodies(consumers.close().await).collect();
    for i in 0..5 {
        let own = format!("{i}:");
        let got: Vec<_> = seen
            .iter()
            .filter_map(|body| body.strip_prefix(&own))
            .collect();
        assert_eq!(got, numbers(0..100), "the order of publisher {i}");
    }
    for node in nodes {
        node.stop().await;
    }
}

pub async fn p1_ten_times_in_parallel<H: PubSubHarness>(h: &H) {
    let one_of_each = async |_: usize| {
        let cases = [
            super::p1_publish_subscribe(h).boxed_local(),
            // Everything takes longer here, which is not what it shows.
            acked_is_not_repeated(h, 2 * h.limits().claim_after).boxed_local(),
            concurrent_subscribers(h, 250).boxed_local(),
            many_topics_at_once(h, 10).boxed_local(),
            super::p1_resend_on_error(h).boxed_local(),
            super::p1_no_ack_no_next(h).boxed_local(),
            p1_continue_after_a_subscriber_closes(h).boxed_local(),
            p1_concurrent_close(h).boxed_local(),
            super::p1_continue_after_errors(h).boxed_local(),
            super::p1_in_order(h).boxed_local(),
            p1_many_publishers(h).boxed_local(),
            p1_publisher_close(h).boxed_local(),
            super::p1_topic_names_of_every_kind(h).boxed_local(),
            super::p1_message_context(h).boxed_local(),
            super::p1_cancel_a_subscription(h).boxed_local(),
            super::p1_old_messages_on_request(h).boxed_local(),
            p1_consumer_groups(h).boxed_local(),
        ];
        join_all(cases).await;
    };
    join_all((0..10).map(one_of_each)).await;
}
