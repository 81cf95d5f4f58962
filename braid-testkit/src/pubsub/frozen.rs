//! P3: consumers that are frozen. P4: consumers that are only slow.

use super::support::{
    Consumers, Process, ack, each_once, handed, next, next_within, nothing_left, numbers, publish,
    publish_numbers, silent, soon, start, subscribe, take, text,
};
use crate::{PubSubHarness, eventually_eq, fresh};
use braid_core::{Channel, Delivery, Ownership, Start, SubscribeOptions, Subscription, Topic};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Backends count in milliseconds.
const ROUNDING: Duration = Duration::from_millis(5);

/// A consumer without heartbeats that doesn't move is what a frozen one looks like to everybody else.
fn without_heartbeat<H: PubSubHarness>(h: &H) -> SubscribeOptions {
    SubscribeOptions {
        heartbeat: false,
        ..soon(h)
    }
}

pub async fn p3_frozen_consumers_messages_are_redelivered<H: PubSubHarness>(h: &H) {
    let (one, two) = (start(h).await, start(h).await);
    let (topic, channel) = (fresh::topic(h, "t"), fresh::channel("c"));
    let options = without_heartbeat(h);
    let claim_after = options.claim_after;
    let mut frozen = subscribe(&*one, &topic, &channel, options).await;
    // The first may be handed out while the others are still being published.
    let begun = Instant::now();
    publish_numbers(&*one, &topic, 0..3).await;
    let held = take(&mut frozen, 3).await;
    let taken = begun.elapsed();
    let mut other = subscribe(&*two, &topic, &channel, soon(h)).await;
    let mut claimed = Vec::new();
    for _ in 0..3 {
        let delivery = next_within(&mut other, taken + claim_after + h.slack()).await;
        assert!(
            begun.elapsed() >= claim_after - ROUNDING,
            "claimed within the claim time"
        );
        assert_eq!(delivery.message().attempt, 2);
        claimed.push(text(&delivery));
        ack(delivery).await;
    }
    each_once(claimed, &numbers(0..3));
    silent(&mut other, 2 * claim_after).await;
    nothing_left(&*two, &topic, &channel).await;
    drop(held);
    silent(&mut other, h.slack()).await;
    one.stop().await;
    two.stop().await;
}

pub async fn p3_killed_consumers_messages_are_redelivered<H: PubSubHarness>(h: &H) {
    let (one, two) = (start(h).await, start(h).await);
    let (topic, channel) = (fresh::topic(h, "t"), fresh::channel("c"));
    let mut subscription = subscribe(&*one, &topic, &channel, soon(h)).await;
    publish_numbers(&*two, &topic, 0..20).await;
    // Some are in a handler's hands, the others perhaps buffered.
    let held = take(&mut subscription, 5).await;
    std::mem::forget((subscription, held));
    one.kill().await;
    let killed = Instant::now();
    let mut other = subscribe(&*two, &topic, &channel, soon(h)).await;
    let mut claimed = Vec::new();
    for _ in 0..20 {
        let left = (soon(h).claim_after + h.slack()).saturating_sub(killed.elapsed());
        let delivery = next_within(&mut other, left).await;
        let (body, attempt) = handed(&delivery);
        let handed_out_before = body.parse::<u32>().unwrap() < 5;
        assert_eq!(
            attempt,
            1 + u32::from(handed_out_before),
            "attempts of {body}"
        );
        claimed.push(body);
        ack(delivery).await;
    }
    each_once(claimed, &numbers(0..20));
    nothing_left(&*two, &topic, &channel).await;
    two.stop().await;
}

/// What is around a delivery that its consumer was too slow for, and the one that another consumer got in its place.
struct Scene {
    consumer: Subscription,
    dead: Subscription,
    nodes: [Process; 2],
    topic: Topic,
    channel: Channel,
}

/// Gives the late delivery, the present one, and what is around them.
async fn stolen<H: PubSubHarness>(h: &H) -> (Delivery, Delivery, Scene) {
    let nodes = [start(h).await, start(h).await];
    let (topic, channel) = (fresh::topic(h, "t"), fresh::channel("c"));
    let dead = subscribe(
        &*nodes[1],
        &topic.dead_letters().unwrap(),
        &channel,
        soon(h),
    )
    .await;
    let mut slow = subscribe(&*nodes[0], &topic, &channel, without_heartbeat(h)).await;
    publish(&*nodes[0], &topic, "body").await;
    let late = next(&mut slow).await;
    // What is frozen asks for no more; it doesn't leave either.
    std::mem::forget(slow);
    let mut consumer = subscribe(&*nodes[1], &topic, &channel, soon(h)).await;
    let present = next_within(&mut consumer, soon(h).claim_after + h.slack()).await;
    assert_eq!(handed(&present), ("body".to_owned(), 2));
    let scene = Scene {
        consumer,
        dead,
        nodes,
        topic,
        channel,
    };
    (late, present, scene)
}

impl Scene {
    /// Shows that the message is done with: not handed out again, not dead, not pending.
    async fn done<H: PubSubHarness>(mut self, h: &H) {
        silent(&mut self.consumer, 3 * soon(h).claim_after).await;
        silent(&mut self.dead, h.slack()).await;
        nothing_left(&*self.nodes[1], &self.topic, &self.channel).await;
        for node in self.nodes {
            node.stop().await;
        }
    }
}

pub async fn p3_late_ack_counts<H: PubSubHarness>(h: &H) {
    let (late, present, scene) = stolen(h).await;
    ack(late).await;
    // A backend that batches acks may send it a little later.
    eventually_eq(
        "the ack that came late counts",
        h.slack(),
        Ownership::Lost,
        async || present.heartbeat().await.unwrap(),
    )
    .await;
    assert_eq!(
        present.retry("too late to fail").await.unwrap(),
        Ownership::Lost
    );
    scene.done(h).await;

    // Nor does it harm when both have handled it.
    let (late, present, scene) = stolen(h).await;
    ack(present).await;
    ack(late).await;
    scene.done(h).await;
}

pub async fn p3_late_heartbeat_steals_nothing_back<H: PubSubHarness>(h: &H) {
    let (late, present, mut scene) = stolen(h).await;
    for _ in 0..6 {
        assert_eq!(late.heartbeat().await.unwrap(), Ownership::Lost);
        assert_eq!(present.heartbeat().await.unwrap(), Ownership::Held);
        silent(&mut scene.consumer, soon(h).claim_after / 2).await;
    }
    ack(present).await;
    drop(late);
    scene.done(h).await;
}

pub async fn p3_late_failures_change_nothing<H: PubSubHarness>(h: &H) {
    for way in ["retry", "retry_after", "dead_letter", "drop"] {
        let (late, present, mut scene) = stolen(h).await;
        let ownership = match way {
            "retry" => late.retry("late").await.unwrap(),
            "retry_after" => late.retry_after("late", Duration::ZERO).await.unwrap(),
            "dead_letter" => late.dead_letter("late").await.unwrap(),
            _ => {
                drop(late);
                Ownership::Lost
            }
        };
        assert_eq!(ownership, Ownership::Lost, "{way}");
        silent(&mut scene.consumer, 2 * soon(h).claim_after).await;
        // Nor was its attempt counted: the present one is still the second.
        assert_eq!(
            present.retry("once more").await.unwrap(),
            Ownership::Held,
            "{way}"
        );
        let third = next(&mut scene.consumer).await;
        assert_eq!(handed(&third), ("body".to_owned(), 3), "{way}");
        ack(third).await;
        scene.done(h).await;
    }
}

pub async fn p4_slow_handler_keeps_its_message<H: PubSubHarness>(h: &H) {
    let (one, two) = (start(h).await, start(h).await);
    let (topic, channel) = (fresh::topic(h, "t"), fresh::channel("c"));
    let mut slow = subscribe(&*one, &topic, &channel, soon(h)).await;
    publish(&*one, &topic, "takes its time").await;
    let delivery = next(&mut slow).await;
    let mut idle = subscribe(&*two, &topic, &channel, soon(h)).await;
    silent(&mut idle, 10 * soon(h).claim_after).await;
    assert_eq!(delivery.heartbeat().await.unwrap(), Ownership::Held);
    ack(delivery).await;
    silent(&mut idle, 2 * soon(h).claim_after).await;
    nothing_left(&*two, &topic, &channel).await;
    one.stop().await;
    two.stop().await;
}

pub async fn p4_buffered_messages_do_not_age_out<H: PubSubHarness>(h: &H) {
    let (one, two) = (start(h).await, start(h).await);
    let (topic, channel) = (fresh::topic(h, "t"), fresh::channel("c"));
    publish_numbers(&*one, &topic, 0..20).await;
    let from_the_first = SubscribeOptions {
        start: Start::Beginning,
        ..soon(h)
    };
    let mut slow = subscribe(&*one, &topic, &channel, from_the_first).await;
    let first = next(&mut slow).await;
    let mut consumers = Consumers::default();
    consumers.add(
        subscribe(&*two, &topic, &channel, soon(h)).await,
        Duration::ZERO,
    );
    sleep(10 * soon(h).claim_after).await;
    let mut seen = vec![handed(&first)];
    ack(first).await;
    consumers.add(slow, Duration::ZERO);
    consumers.have_seen(19).await;
    nothing_left(&*two, &topic, &channel).await;
    sleep(2 * soon(h).claim_after).await;
    seen.extend(
        consumers
            .close()
            .await
            .into_iter()
            .map(|seen| (seen.body, seen.attempt)),
    );
    assert!(seen.iter().all(|(_, attempt)| *attempt == 1), "{seen:?}");
    each_once(seen.into_iter().map(|(body, _)| body), &numbers(0..20));
    one.stop().await;
    two.stop().await;
}

pub async fn p4_heartbeat_by_hand_keeps_the_message<H: PubSubHarness>(h: &H) {
    let (one, two) = (start(h).await, start(h).await);
    let (topic, channel) = (fresh::topic(h, "t"), fresh::channel("c"));
    let mut slow = subscribe(&*one, &topic, &channel, without_heartbeat(h)).await;
    publish(&*one, &topic, "body").await;
    let delivery = next(&mut slow).await;
    let mut idle = subscribe(&*two, &topic, &channel, soon(h)).await;
    for _ in 0..20 {
        silent(&mut idle, soon(h).claim_after / 2).await;
        assert_eq!(delivery.heartbeat().await.unwrap(), Ownership::Held);
    }
    // And only that: without it the claim comes.
    let claimed = next_within(&mut idle, soon(h).claim_after + h.slack()).await;
    assert_eq!(handed(&claimed), ("body".to_owned(), 2));
    ack(claimed).await;
    assert_eq!(delivery.heartbeat().await.unwrap(), Ownership::Lost);
    drop(delivery);
    one.stop().await;
    two.stop().await;
}
