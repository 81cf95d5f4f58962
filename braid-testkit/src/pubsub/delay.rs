//! P1 and P12: messages that are held back.

use super::support::{
    ack, handed, next, next_within, nothing_left, patient, publish, silent, soon, start, subscribe,
    text, view,
};
use crate::{PubSubHarness, eventually_eq, fresh};
use braid_core::{NewMessage, Subscription};
use std::time::Duration;
use tokio::time::Instant;

/// Backends count in milliseconds.
const ROUNDING: Duration = Duration::from_millis(5);

/// Longer than a round trip by far.
fn delay<H: PubSubHarness>(h: &H) -> Duration {
    2 * h.slack()
}

pub async fn p1_delayed_message_waits_for_its_time<H: PubSubHarness>(h: &H) {
    let (node, other) = (start(h).await, start(h).await);
    let (topic, one, two) = (
        fresh::topic(h, "t"),
        fresh::channel("one"),
        fresh::channel("two"),
    );
    let mut first = subscribe(&*node, &topic, &one, patient()).await;
    let mut second = subscribe(&*other, &topic, &two, patient()).await;
    let due = Instant::now() + delay(h) - ROUNDING;
    let later = publish(
        &*node,
        &topic,
        NewMessage::new("later").with_delay(delay(h)),
    )
    .await;
    let latest = Instant::now() + delay(h) + h.slack();
    publish(&*node, &topic, "now").await;
    publish(
        &*node,
        &topic,
        NewMessage::new("zero is no delay").with_delay(Duration::ZERO),
    )
    .await;
    for subscription in [&mut first, &mut second] {
        for body in ["now", "zero is no delay"] {
            let delivery = next(subscription).await;
            assert_eq!(handed(&delivery), (body.to_owned(), 1));
            ack(delivery).await;
        }
    }
    assert!(
        Instant::now() < due,
        "what isn't delayed doesn't wait for what is"
    );
    // Acks may be sent a little later.
    eventually_eq("it is the channel's", h.slack(), 1, async || {
        let waiting = view(&*node, &topic, &one).await;
        waiting.lag + waiting.pending
    })
    .await;

    let in_time = async |subscription: &mut Subscription| {
        let delivery = next(subscription).await;
        assert!(Instant::now() >= due, "it came early");
        assert!(Instant::now() <= latest, "it came late");
        assert_eq!(handed(&delivery), ("later".to_owned(), 1));
        assert_eq!(delivery.message().id, later);
        delivery
    };
    let deliveries = [in_time(&mut first).await, in_time(&mut second).await];
    for (delivery, subscription) in deliveries.into_iter().zip([&mut first, &mut second]) {
        // From then on it is a message as any other.
        let _ = delivery.retry("once more").await.unwrap();
        let delivery = next_within(subscription, h.slack()).await;
        assert_eq!(handed(&delivery), ("later".to_owned(), 2));
        ack(delivery).await;
    }
    nothing_left(&*node, &topic, &one).await;
    nothing_left(&*node, &topic, &two).await;
    node.stop().await;
    other.stop().await;
}

pub async fn p1_delayed_messages_outlive_their_consumers<H: PubSubHarness>(h: &H) {
    let (topic, channel) = (fresh::topic(h, "t"), fresh::channel("c"));
    let (killed, publisher) = (start(h).await, start(h).await);
    let mut first = subscribe(&*killed, &topic, &channel, soon(h)).await;
    let delay = delay(h) + soon(h).claim_after;
    let due = Instant::now() + delay - ROUNDING;
    publish(
        &*publisher,
        &topic,
        NewMessage::new("seen").with_delay(delay),
    )
    .await;
    // It comes by the message, and dies.
    silent(&mut first, h.slack() / 2).await;
    std::mem::forget(first);
    killed.kill().await;
    // This one nobody comes by for a while.
    publish(
        &*publisher,
        &topic,
        NewMessage::new("unseen").with_delay(delay),
    )
    .await;
    let latest = Instant::now() + delay + soon(h).claim_after + h.slack();
    let closed = start(h).await;
    let second = subscribe(&*closed, &topic, &channel, soon(h)).await;
    second.close().await.unwrap();
    closed.stop().await;

    let mut last = subscribe(&*publisher, &topic, &channel, soon(h)).await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let delivery = next(&mut last).await;
        assert!(Instant::now() >= due, "it came early");
        assert!(Instant::now() <= latest, "it came late");
        assert_eq!(delivery.message().attempt, 1, "it was never handed out");
        seen.push(text(&delivery));
        ack(delivery).await;
    }
    seen.sort();
    assert_eq!(seen, ["seen", "unseen"]);
    silent(&mut last, h.slack()).await;
    nothing_left(&*publisher, &topic, &channel).await;
    publisher.stop().await;
}

pub async fn p12_delayed_message_holds_back_its_key<H: PubSubHarness>(h: &H) {
    let (node, topic, channel) = (start(h).await, fresh::topic(h, "t"), fresh::channel("c"));
    let mut subscription = subscribe(&*node, &topic, &channel, patient()).await;
    let due = Instant::now() + delay(h) - ROUNDING;
    let keyed = |body: &'static str, key: &str| NewMessage::new(body).with_key(key);
    publish(&*node, &topic, keyed("a 1", "a").with_delay(delay(h))).await;
    publish(&*node, &topic, keyed("a 2", "a")).await;
    publish(&*node, &topic, keyed("a 3", "a").with_delay(delay(h) / 4)).await;
    publish(&*node, &topic, keyed("b 1", "b")).await;
    let other = next(&mut subscription).await;
    assert_eq!(handed(&other), ("b 1".to_owned(), 1));
    ack(other).await;
    assert!(Instant::now() < due, "the other key doesn't wait");
    for body in ["a 1", "a 2", "a 3"] {
        let delivery = next(&mut subscription).await;
        assert!(Instant::now() >= due, "`{body}` came early");
        assert_eq!(handed(&delivery), (body.to_owned(), 1));
        silent(&mut subscription, h.slack() / 4).await;
        ack(delivery).await;
    }
    nothing_left(&*node, &topic, &channel).await;
    node.stop().await;
}
