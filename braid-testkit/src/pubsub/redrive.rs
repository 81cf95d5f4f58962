//! P5: the way back from the dead letters.

use super::support::{
    Process, ack, bodies, each, handed, next, nothing_left, numbers, patient, publish,
    publish_numbers, silent, start, subscribe, text,
};
use crate::{PubSubHarness, Random, SETTLED, eventually_eq, fresh, within};
use braid_core::{
    Channel, ErrorKind, NewMessage, PubSub, PubSubExt, SubscribeOptions, Subscription, Topic,
    pubsub::dead_letter,
};
use std::time::Duration;

/// Options with which every failure is the last.
fn strict() -> SubscribeOptions {
    SubscribeOptions {
        max_attempts: 1,
        ..patient()
    }
}

async fn redrive(pubsub: &dyn PubSub, topic: &Topic, limit: Option<usize>) -> usize {
    within("the redrive", SETTLED, pubsub.redrive(topic, limit))
        .await
        .unwrap_or_else(|error| panic!("redrive: {error}"))
}

/// Makes this many dead letters, with numbers as bodies.
async fn give_up(
    node: &Process,
    topic: &Topic,
    subscription: &mut Subscription,
    letters: std::ops::Range<usize>,
) {
    let count = letters.len();
    publish_numbers(&**node, topic, letters.clone()).await;
    for _ in 0..count {
        let delivery = next(subscription).await;
        let _ = delivery.dead_letter("out of order").await.unwrap();
    }
    let expected = letters.end;
    eventually_eq(
        "the dead letters are there",
        SETTLED,
        expected,
        async || node.inspect(topic).await.unwrap().dead_letters,
    )
    .await;
}

pub async fn p5_redrive_reaches_only_the_channel_that_gave_up<H: PubSubHarness>(h: &H) {
    let (node, other, topic) = (start(h).await, start(h).await, fresh::topic(h, "t"));
    let channels = [fresh::channel("failing"), fresh::channel("fine")];
    let twice = SubscribeOptions {
        max_attempts: 2,
        ..patient()
    };
    let mut failing = subscribe(&*node, &topic, &channels[0], twice).await;
    let mut fine = subscribe(&*node, &topic, &channels[1], patient()).await;
    assert_eq!(redrive(&*other, &topic, None).await, 0, "no dead letters");
    let original = NewMessage::new("body")
        .with_key("k")
        .with_header("lang", "en");
    let id = publish(&*node, &topic, original).await;
    ack(next(&mut fine).await).await;

    // The second time round it fails again, and comes back again.
    for round in ["not yet", "not yet either"] {
        for attempt in 1..=2 {
            let delivery = next(&mut failing).await;
            assert_eq!(handed(&delivery), ("body".to_owned(), attempt), "{round}");
            let _ = delivery.retry(round).await.unwrap();
        }
        silent(&mut failing, h.slack()).await;
        assert_eq!(redrive(&*other, &topic, None).await, 1, "{round}");
    }
    let delivery = next(&mut failing).await;
    assert_eq!(
        handed(&delivery),
        ("body".to_owned(), 1),
        "attempts begin anew"
    );
    let message = delivery.message().clone();
    ack(delivery).await;
    assert_ne!(message.id, id, "it is a message of its own");
    assert_eq!(message.key.as_deref(), Some("k"));
    assert_eq!(
        message.headers.get("lang").map(String::as_str),
        Some("en"),
        "headers are kept"
    );
    let left: Vec<_> = message
        .headers
        .keys()
        .filter(|name| name.starts_with("braid-dead-"))
        .collect();
    assert!(
        left.is_empty(),
        "those of the dead letter are not: {left:?}"
    );

    silent(&mut fine, h.slack()).await;
    for channel in &channels {
        nothing_left(&*node, &topic, channel).await;
    }
    // Nor does it hold the other channel's messages back.
    publish(&*node, &topic, NewMessage::new("next").with_key("k")).await;
    for subscription in [&mut failing, &mut fine] {
        let delivery = next(subscription).await;
        assert_eq!(handed(&delivery), ("next".to_owned(), 1));
        ack(delivery).await;
    }
    assert_eq!(redrive(&*other, &topic, None).await, 0, "all are done");
    node.stop().await;
    other.stop().await;
}

pub async fn p5_redrive_takes_as_many_as_asked<H: PubSubHarness>(h: &H) {
    let (node, topic, channel) = (start(h).await, fresh::topic(h, "t"), fresh::channel("c"));
    let mut subscription = subscribe(&*node, &topic, &channel, strict()).await;
    give_up(&node, &topic, &mut subscription, 0..10).await;
    let dead = topic.dead_letters().unwrap();
    let alien = publish(&*node, &dead, "not a letter").await;
    assert_eq!(redrive(&*node, &topic, Some(0)).await, 0);
    for (limit, expected) in [(Some(3), 0..3), (Some(1), 3..4), (None, 4..10)] {
        let count = redrive(&*node, &topic, limit).await;
        assert_eq!(count, expected.len(), "the oldest {limit:?}");
        for number in expected {
            let delivery = next(&mut subscription).await;
            assert_eq!(handed(&delivery), (number.to_string(), 1));
            ack(delivery).await;
        }
        silent(&mut subscription, h.slack()).await;
    }
    // What is no dead letter stays where it is, for whoever put it there.
    assert_eq!(redrive(&*node, &topic, None).await, 0);
    let redrive = Channel::new(dead_letter::REDRIVE_CHANNEL).unwrap();
    let mut left = subscribe(&*node, &dead, &redrive, patient()).await;
    let delivery = next(&mut left).await;
    assert_eq!(delivery.message().id, alien);
    assert_eq!(text(&delivery), "not a letter");
    ack(delivery).await;
    nothing_left(&*node, &dead, &redrive).await;

    let closed = node.component();
    node.stop().await;
    let error = closed.redrive(&topic, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
}

pub async fn p5_redrive_survives_its_crash<H: PubSubHarness>(h: &H) {
    const LETTERS: usize = 200;
    let mut random = Random::from_env();
    let (node, topic) = (start(h).await, fresh::topic(h, "t"));
    let channels = [fresh::channel("failing"), fresh::channel("fine")];
    let mut failing = subscribe(&*node, &topic, &channels[0], strict()).await;
    let mut fine = subscribe(&*node, &topic, &channels[1], patient()).await;
    give_up(&node, &topic, &mut failing, 0..LETTERS).await;
    for _ in 0..LETTERS {
        ack(next(&mut fine).await).await;
    }
    let mut consumers = super::support::Consumers::default();
    consumers.add(failing, Duration::ZERO);
    for _ in 0..3 {
        let dying = start(h).await;
        let component = dying.component();
        let of_topic = topic.clone();
        let mut redriving = Box::pin(async move { component.redrive(&of_topic, None).await });
        // Some polls, and no more.
        for _ in 0..random.below(80) {
            if futures_util::FutureExt::now_or_never(&mut redriving).is_some() {
                break;
            }
            tokio::time::sleep(random.time_below(Duration::from_millis(2))).await;
        }
        std::mem::forget(redriving);
        dying.kill().await;
    }
    let dead = topic.dead_letters().unwrap();
    let redrive_channel = Channel::new(dead_letter::REDRIVE_CHANNEL).unwrap();
    eventually_eq("every letter is redriven", SETTLED, (0, 0), async || {
        redrive(&*node, &topic, None).await;
        let view = super::support::view(&*node, &dead, &redrive_channel).await;
        (view.lag, view.pending)
    })
    .await;
    consumers.have_seen(LETTERS).await;
    nothing_left(&*node, &topic, &channels[0]).await;
    let seen: Vec<_> = bodies(consumers.close().await).collect();
    each(seen, &numbers(0..LETTERS));
    silent(&mut fine, h.slack()).await;
    node.stop().await;
}
