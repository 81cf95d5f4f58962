//! P9: reads that wait, and futures that are dropped.

use super::support::{
    ack, each_once, handed, next, next_within, nothing_left, numbers, patient, publish,
    publish_numbers, silent, soon, start, subscribe, text,
};
use crate::{PubSubHarness, fresh, within};
use braid_core::{Start, SubscribeOptions, pubsub::dead_letter};
use futures_util::{FutureExt, future::join_all, poll};
use std::pin::pin;

pub async fn p9_blocked_read_delays_nothing<H: PubSubHarness>(h: &H) {
    let node = start(h).await;
    let (busy, idle) = (fresh::topic(h, "busy"), fresh::topic(h, "idle"));
    // Many reads that wait, on the topic that is written to and on others.
    let mut waiting = Vec::new();
    for _ in 0..20 {
        waiting.push(subscribe(&*node, &idle, &fresh::channel("c"), patient()).await);
    }
    let channel = fresh::channel("c");
    let mut subscription = subscribe(&*node, &busy, &channel, patient()).await;
    let blocked = join_all(waiting.iter_mut().map(braid_core::Subscription::next));
    let working = async {
        for number in 0..20 {
            let (mut read, body) = (pin!(subscription.next()), number.to_string());
            assert!(
                poll!(read.as_mut()).is_pending(),
                "nothing is there to be read"
            );
            within(
                "a publish beside blocked reads",
                h.slack(),
                publish(&*node, &busy, body),
            )
            .await;
            let delivery = within("the delivery", h.slack(), read)
                .await
                .unwrap()
                .unwrap();
            assert_eq!(text(&delivery), number.to_string());
            within("an ack beside blocked reads", h.slack(), ack(delivery)).await;
        }
    };
    tokio::select! {
        biased;
        () = working => {}
        other = blocked => panic!("nothing was published there: {other:?}"),
    }
    nothing_left(&*node, &busy, &channel).await;
    node.stop().await;
}

pub async fn p9_dropped_subscribe_strands_nothing<H: PubSubHarness>(h: &H) {
    let (node, topic, channel) = (start(h).await, fresh::topic(h, "t"), fresh::channel("c"));
    publish_numbers(&*node, &topic, 0..20).await;
    let options = SubscribeOptions {
        start: Start::Beginning,
        ..soon(h)
    };
    // Dropped before the first poll, after it, after the second, ... and when it was ready but nobody looked.
    for polls in 0..20 {
        let mut subscribing = pin!(node.subscribe(&topic, &channel, options.clone()));
        for _ in 0..polls {
            if subscribing.as_mut().now_or_never().is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    publish_numbers(&*node, &topic, 20..40).await;
    let mut subscription = subscribe(&*node, &topic, &channel, options).await;
    let mut seen = Vec::new();
    for _ in 0..40 {
        let delivery = next_within(&mut subscription, soon(h).claim_after + h.slack()).await;
        seen.push(text(&delivery));
        ack(delivery).await;
    }
    each_once(seen, &numbers(0..40));
    nothing_left(&*node, &topic, &channel).await;
    node.stop().await;
}

pub async fn p9_dropped_delivery_is_delivered_again<H: PubSubHarness>(h: &H) {
    let (node, topic, channel) = (start(h).await, fresh::topic(h, "t"), fresh::channel("c"));
    let options = SubscribeOptions {
        max_attempts: 3,
        ..patient()
    };
    let mut subscription = subscribe(&*node, &topic, &channel, options).await;
    let dead = SubscribeOptions {
        start: Start::Beginning,
        ..patient()
    };
    let mut dead = subscribe(
        &*node,
        &topic.dead_letters().unwrap(),
        &fresh::channel("d"),
        dead,
    )
    .await;
    publish(&*node, &topic, "dropped once").await;
    drop(next(&mut subscription).await);
    // The claim time is an hour here: it comes back because it was dropped.
    let again = next_within(&mut subscription, h.slack()).await;
    assert_eq!(handed(&again), ("dropped once".to_owned(), 2));
    ack(again).await;

    // An ack that was dropped before it was polled is none.
    publish(&*node, &topic, "dropped always").await;
    drop(next(&mut subscription).await.ack());
    for attempt in 2..=3 {
        let delivery = next_within(&mut subscription, h.slack()).await;
        assert_eq!(handed(&delivery), ("dropped always".to_owned(), attempt));
        drop(delivery);
    }
    let letter = next_within(&mut dead, h.slack()).await;
    assert_eq!(
        letter
            .message()
            .headers
            .get(dead_letter::ATTEMPTS)
            .map(String::as_str),
        Some("3")
    );
    ack(letter).await;
    silent(&mut subscription, h.slack()).await;
    nothing_left(&*node, &topic, &channel).await;
    node.stop().await;
}
