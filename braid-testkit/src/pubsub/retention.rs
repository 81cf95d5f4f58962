//! P7: what stalled channels hold back. P15: what restarts leave behind.

use super::support::{
    Consumers, ack, bodies, each_once, next, nothing_left, numbers, patient, publish,
    publish_numbers, start, subscribe, take, text,
};
use crate::{PubSubHarness, Running, eventually, fresh};
use braid_core::{Channel, ChannelKind, ErrorKind, NewMessage, PubSub, SubscribeOptions, Topic};
use std::time::Duration;

async fn retained(pubsub: &dyn PubSub, topic: &Topic) -> usize {
    pubsub.inspect(topic).await.unwrap().messages
}

/// Shows that what every channel has acked is removed.
async fn retention_goes_on<H: PubSubHarness>(h: &H, pubsub: &dyn PubSub, topic: &Topic) {
    eventually(
        "what every channel has acked is removed",
        h.slack(),
        async || retained(pubsub, topic).await <= h.limits().retained,
    )
    .await;
}

pub async fn p7_stalled_channel_loses_nothing<H: PubSubHarness>(h: &H) {
    const MESSAGES: usize = 600;
    let (node, topic) = (start(h).await, fresh::topic(h, "t"));
    let channels = [
        fresh::channel("live"),
        fresh::channel("live"),
        fresh::channel("stalled"),
    ];
    let mut live = Consumers::default();
    for channel in &channels[..2] {
        live.add(
            subscribe(&*node, &topic, channel, patient()).await,
            Duration::ZERO,
        );
    }
    // Stalled halfway: it has acked some and holds some, then its consumer is gone.
    let mut stalled = subscribe(&*node, &topic, &channels[2], patient()).await;
    publish_numbers(&*node, &topic, 0..MESSAGES / 2).await;
    let mut acked = Vec::new();
    for delivery in take(&mut stalled, 100).await {
        acked.push(text(&delivery));
        ack(delivery).await;
    }
    stalled.close().await.unwrap();
    publish_numbers(&*node, &topic, MESSAGES / 2..MESSAGES).await;
    live.have_seen(2 * MESSAGES).await;
    for channel in &channels[..2] {
        nothing_left(&*node, &topic, channel).await;
    }
    tokio::time::sleep(h.slack()).await;
    assert!(retained(&*node, &topic).await >= MESSAGES - 100);

    let mut stalled = subscribe(&*node, &topic, &channels[2], patient()).await;
    for _ in 100..MESSAGES {
        let delivery = next(&mut stalled).await;
        acked.push(text(&delivery));
        ack(delivery).await;
    }
    each_once(acked, &numbers(0..MESSAGES));
    retention_goes_on(h, &*node, &topic).await;
    live.close().await;
    node.stop().await;
}

pub async fn p7_cap_is_an_error_for_the_publisher<H: PubSubHarness>(h: &H) {
    let (node, topic, channel) = (start(h).await, fresh::topic(h, "t"), fresh::channel("c"));
    let mut subscription = subscribe(&*node, &topic, &channel, patient()).await;
    let cap = h.limits().topic_cap;
    publish_numbers(&*node, &topic, 0..cap).await;
    let error = node
        .publish(&topic, NewMessage::new("one too many"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
    assert!(
        error.to_string().contains(topic.as_str()),
        "the error names the topic: {error}"
    );
    // Other topics have their own.
    publish(&*node, &fresh::topic(h, "other"), "fine").await;
    // Nothing was given up for it, and once there is room it goes on.
    for number in 0..cap {
        let delivery = next(&mut subscription).await;
        assert_eq!(text(&delivery), number.to_string());
        ack(delivery).await;
    }
    retention_goes_on(h, &*node, &topic).await;
    publish(&*node, &topic, "room again").await;
    assert_eq!(text(&next(&mut subscription).await), "room again");
    node.stop().await;
}

pub async fn p15_restarts_leave_no_channels<H: PubSubHarness>(h: &H) {
    const RESTARTS: usize = 100;
    const PER_LIFE: usize = 5;
    let (topic, shared) = (fresh::topic(h, "t"), fresh::channel("shared"));
    let steady = start(h).await;
    let mut consumers = Consumers::default();
    consumers.add(
        subscribe(&*steady, &topic, &shared, patient()).await,
        Duration::ZERO,
    );
    let ephemeral = SubscribeOptions {
        kind: ChannelKind::Ephemeral,
        ..patient()
    };

    let mut life = fresh::life("restarting");
    for restart in 0..RESTARTS {
        let node = Running::start(h.start(life.clone()).await).await;
        let own = Channel::new(format!("{}-{restart}", life.id)).unwrap();
        let mut subscription = subscribe(&*node, &topic, &own, ephemeral.clone()).await;
        let published = restart * PER_LIFE;
        publish_numbers(&*steady, &topic, published..published + PER_LIFE).await;
        // It handles some, holds some, and dies with the rest unread; one in ten goes in good order.
        let mut held = take(&mut subscription, 2).await;
        ack(held.remove(0)).await;
        if restart % 10 == 0 {
            subscription.close().await.unwrap();
            drop(held);
            node.stop().await;
        } else {
            std::mem::forget((subscription, held));
            node.kill().await;
        }
        life = fresh::next_life(&life);
    }

    let live = Running::start(h.start(life).await).await;
    let mut last = subscribe(&*live, &topic, &fresh::channel("last"), ephemeral).await;
    publish(&*steady, &topic, (RESTARTS * PER_LIFE).to_string()).await;
    ack(next(&mut last).await).await;
    eventually(
        "the ephemeral channels of the dead are gone",
        h.limits().ephemeral_gone + h.slack(),
        async || {
            let view = steady.inspect(&topic).await.unwrap();
            let ephemeral = view
                .channels
                .iter()
                .filter(|view| view.kind == ChannelKind::Ephemeral);
            ephemeral.count() <= 1
        },
    )
    .await;
    consumers.have_seen(RESTARTS * PER_LIFE + 1).await;
    nothing_left(&*steady, &topic, &shared).await;
    retention_goes_on(h, &*steady, &topic).await;
    each_once(
        bodies(consumers.close().await),
        &numbers(0..=RESTARTS * PER_LIFE),
    );
    live.stop().await;
    steady.stop().await;
}
