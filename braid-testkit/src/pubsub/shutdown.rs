//! P13: shutdown and slow consumers. S2: no task outlives its component.

use super::support::{
    Consumers, ack, bodies, each_once, handed, next, next_within, nothing_left, numbers, patient,
    publish_numbers, soon, start, subscribe, take, view,
};
use crate::{PubSubHarness, SETTLED, alive_tasks, eventually, fresh, within};
use braid_core::{Message, Start, SubscribeOptions};
use futures_util::{FutureExt, StreamExt};
use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep};

pub async fn p13_drain_finishes_what_is_in_flight<H: PubSubHarness>(h: &H) {
    const MESSAGES: usize = 100;
    let (topic, channel) = (fresh::topic(h, "t"), fresh::channel("c"));
    let (leaving, staying) = (start(h).await, start(h).await);
    let begun = Arc::new(AtomicUsize::new(0));
    let handled = Arc::new(Mutex::new(Vec::new()));
    let handler = {
        let (begun, handled) = (Arc::clone(&begun), Arc::clone(&handled));
        move |message: Message| {
            begun.fetch_add(1, Ordering::Relaxed);
            let handled = Arc::clone(&handled);
            async move {
                sleep(Duration::from_millis(100)).await;
                let body = String::from_utf8_lossy(&message.body).into_owned();
                handled.lock().unwrap().push(body);
                Ok::<_, Infallible>(())
            }
        }
    };
    let options = SubscribeOptions {
        max_in_flight: 8,
        ..patient()
    };
    let mut consumer = subscribe(&*leaving, &topic, &channel, options)
        .await
        .arrived(handler);
    // Somebody who would take what is given back too early, and at once: the claim time is an hour here.
    let mut others = Consumers::default();
    let other = subscribe(&*staying, &topic, &channel, patient()).await;
    others.add(other, Duration::from_millis(20));
    publish_numbers(&*staying, &topic, 0..MESSAGES).await;
    sleep(Duration::from_millis(350)).await;
    leaving.stop().await;
    let finished = handled.lock().unwrap().clone();
    assert_eq!(
        finished.len(),
        begun.load(Ordering::Relaxed),
        "the drain ended while handlers ran"
    );
    within(
        "the end of the consumer of a closed backend",
        SETTLED,
        consumer.ended(),
    )
    .await
    .unwrap();
    assert!(!finished.is_empty() && finished.len() < MESSAGES);
    others.have_seen(MESSAGES - finished.len()).await;
    nothing_left(&*staying, &topic, &channel).await;
    let seen = finished.into_iter().chain(bodies(others.close().await));
    each_once(seen, &numbers(0..MESSAGES));
    staying.stop().await;
}

pub async fn p13_forced_end_leaves_pending_and_loses_nothing<H: PubSubHarness>(h: &H) {
    let (topic, channel) = (fresh::topic(h, "t"), fresh::channel("c"));
    let staying = start(h).await;
    let mut seen = Vec::new();
    let mut rest = {
        let leaving = start(h).await;
        let mut subscription = subscribe(&*leaving, &topic, &channel, soon(h)).await;
        publish_numbers(&*staying, &topic, 0..40).await;
        let mut held = take(&mut subscription, 10).await;
        for delivery in held.drain(..5) {
            seen.push(handed(&delivery).0);
            ack(delivery).await;
        }
        let rest = subscribe(&*staying, &topic, &channel, soon(h)).await;
        // Dropping what runs forces its end, with five in a handler's hands.
        drop(leaving);
        std::mem::forget((subscription, held));
        rest
    };
    let forced = Instant::now();
    for _ in 5..40 {
        let left = (soon(h).claim_after + h.slack()).saturating_sub(forced.elapsed());
        let delivery = next_within(&mut rest, left).await;
        seen.push(handed(&delivery).0);
        ack(delivery).await;
    }
    each_once(seen, &numbers(0..40));
    nothing_left(&*staying, &topic, &channel).await;
    staying.stop().await;
}

pub async fn p13_slow_consumer_is_bounded<H: PubSubHarness>(h: &H) {
    const MESSAGES: usize = 2_000;
    const IN_FLIGHT: usize = 10;
    let (node, topic, channel) = (start(h).await, fresh::topic(h, "t"), fresh::channel("c"));
    let options = SubscribeOptions {
        max_in_flight: IN_FLIGHT,
        ..soon(h)
    };
    let mut slow = subscribe(&*node, &topic, &channel, options).await;
    publish_numbers(&*node, &topic, 0..MESSAGES).await;
    let mut held = take(&mut slow, IN_FLIGHT).await;
    super::support::silent(&mut slow, 3 * soon(h).claim_after).await;
    for acked in 0..5 {
        let view = view(&*node, &topic, &channel).await;
        assert!(view.pending <= IN_FLIGHT, "{view:?}");
        assert_eq!(view.lag + view.pending, MESSAGES - acked, "{view:?}");
        ack(held.remove(0)).await;
        held.push(next(&mut slow).await);
        sleep(soon(h).claim_after).await;
    }
    // And nothing was lost by waiting.
    let mut seen: Vec<_> = (0..5).map(|n| n.to_string()).collect();
    for delivery in held {
        seen.push(handed(&delivery).0);
        ack(delivery).await;
    }
    let mut consumers = Consumers::default();
    consumers.add(slow, Duration::ZERO);
    consumers.have_seen(MESSAGES - seen.len()).await;
    seen.extend(bodies(consumers.close().await));
    each_once(seen, &numbers(0..MESSAGES));
    node.stop().await;
}

pub async fn s2_pubsub_leaves_no_task<H: PubSubHarness>(h: &H) {
    // The first start may set up what all share.
    start(h).await.stop().await;
    let before = alive_tasks();
    let topic = fresh::topic(h, "t");
    let mut nodes = Vec::new();
    for _ in 0..5 {
        let node = start(h).await;
        // Consumers of one channel would leave nothing to the next one.
        let channel = fresh::channel("c");
        let mut subscription = subscribe(&*node, &topic, &channel, soon(h)).await;
        publish_numbers(&*node, &topic, 0..10).await;
        let held = next(&mut subscription).await;
        let mut reader = node.read(&topic, Start::New).await.unwrap();
        assert!(reader.next().now_or_never().is_none(), "nothing is new");
        nodes.push((node, subscription, held, reader));
    }
    assert!(
        alive_tasks() > before,
        "the runs of the components are tasks"
    );
    for (node, subscription, held, reader) in nodes {
        drop(held);
        node.stop().await;
        drop((subscription, reader));
    }
    eventually(
        "no task is left after the shutdown",
        h.slack(),
        async || alive_tasks() <= before,
    )
    .await;
}
