//! P5: messages that fail every time.

use super::support::{
    Consumers, ack, bodies, each, each_once, handed, next, next_within, nothing_left, numbers,
    patient, publish, publish_numbers, silent, soon, start, subscribe, take, text,
};
use crate::{PubSubHarness, Random, SETTLED, eventually, fresh, within};
use braid_core::{
    Delivery, NewMessage, PubSub, Start, SubscribeOptions, Subscription, Topic, pubsub::dead_letter,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

fn attempts(max_attempts: u32, options: SubscribeOptions) -> SubscribeOptions {
    SubscribeOptions {
        max_attempts,
        ..options
    }
}

/// A look at the dead letters from the first on.
async fn dead_letters(pubsub: &dyn PubSub, topic: &Topic) -> Subscription {
    let options = SubscribeOptions {
        start: Start::Beginning,
        ..patient()
    };
    subscribe(
        pubsub,
        &topic.dead_letters().unwrap(),
        &fresh::channel("undertaker"),
        options,
    )
    .await
}

fn header<'a>(dead: &'a Delivery, name: &str) -> &'a str {
    let headers = &dead.message().headers;
    headers
        .get(name)
        .unwrap_or_else(|| panic!("a dead letter without `{name}`: {headers:?}"))
}

pub async fn p5_poison_message_is_dead_lettered<H: PubSubHarness>(h: &H) {
    let (node, topic, channel) = (start(h).await, fresh::topic(h, "t"), fresh::channel("c"));
    let mut subscription = subscribe(&*node, &topic, &channel, attempts(3, patient())).await;
    publish_numbers(&*node, &topic, 0..5).await;
    let poison = NewMessage::new("poison")
        .with_key("k")
        .with_header("from", "the suite");
    let id = publish(&*node, &topic, poison).await;
    publish_numbers(&*node, &topic, 5..10).await;

    let mut dead = dead_letters(&*node, &topic).await;
    let (mut acked, mut failed) = (Vec::new(), 0);
    while acked.len() < 10 || failed < 3 {
        let delivery = next(&mut subscription).await;
        let (body, attempt) = handed(&delivery);
        if body == "poison" {
            failed += 1;
            assert_eq!(attempt, failed);
            let _ = delivery
                .retry(format!("can't read it, try {failed}"))
                .await
                .unwrap();
        } else {
            assert_eq!(attempt, 1);
            acked.push(body);
            ack(delivery).await;
        }
    }
    each_once(acked, &numbers(0..10));
    silent(&mut subscription, h.slack()).await;
    nothing_left(&*node, &topic, &channel).await;

    let letter = next(&mut dead).await;
    assert_eq!(text(&letter), "poison");
    assert_eq!(letter.message().key.as_deref(), Some("k"));
    assert_eq!(header(&letter, "from"), "the suite");
    assert_eq!(header(&letter, dead_letter::TOPIC), topic.as_str());
    assert_eq!(header(&letter, dead_letter::CHANNEL), channel.as_str());
    assert_eq!(header(&letter, dead_letter::ID), id.as_str());
    assert_eq!(header(&letter, dead_letter::ATTEMPTS), "3");
    assert_eq!(header(&letter, dead_letter::REASON), "can't read it, try 3");
    ack(letter).await;
    silent(&mut dead, h.slack()).await;
    node.stop().await;
}

pub async fn p5_one_channels_poison_is_the_others_message<H: PubSubHarness>(h: &H) {
    let (node, topic) = (start(h).await, fresh::topic(h, "t"));
    let mut strict = subscribe(
        &*node,
        &topic,
        &fresh::channel("strict"),
        attempts(1, patient()),
    )
    .await;
    let mut easy = subscribe(
        &*node,
        &topic,
        &fresh::channel("easy"),
        attempts(1, patient()),
    )
    .await;
    publish(&*node, &topic, "body").await;
    let _ = next(&mut strict).await.retry("not for me").await.unwrap();
    let delivery = next(&mut easy).await;
    assert_eq!(handed(&delivery), ("body".to_owned(), 1));
    ack(delivery).await;
    let mut dead = dead_letters(&*node, &topic).await;
    ack(next(&mut dead).await).await;
    silent(&mut dead, h.slack()).await;
    node.stop().await;
}

pub async fn p5_explicit_dead_letter<H: PubSubHarness>(h: &H) {
    let (node, topic, channel) = (start(h).await, fresh::topic(h, "t"), fresh::channel("c"));
    let mut subscription = subscribe(&*node, &topic, &channel, attempts(5, patient())).await;
    publish_numbers(&*node, &topic, 0..2).await;
    let hopeless = next(&mut subscription).await;
    assert_eq!(
        hopeless.dead_letter("hopeless").await.unwrap(),
        braid_core::Ownership::Held
    );
    ack(next(&mut subscription).await).await;
    silent(&mut subscription, h.slack()).await;
    nothing_left(&*node, &topic, &channel).await;
    let mut dead = dead_letters(&*node, &topic).await;
    let letter = next(&mut dead).await;
    assert_eq!(text(&letter), "0");
    assert_eq!(header(&letter, dead_letter::REASON), "hopeless");
    assert_eq!(header(&letter, dead_letter::ATTEMPTS), "1");
    ack(letter).await;
    silent(&mut dead, h.slack()).await;
    node.stop().await;
}

pub async fn p5_prefetched_is_never_dead_lettered<H: PubSubHarness>(h: &H) {
    let (topic, channel) = (fresh::topic(h, "t"), fresh::channel("c"));
    let watcher = start(h).await;
    let mut dead = dead_letters(&*watcher, &topic).await;
    publish_numbers(&*watcher, &topic, 0..10).await;
    let options = SubscribeOptions {
        start: Start::Beginning,
        ..attempts(1, soon(h))
    };
    // Time and again they lie in the buffer of a consumer that goes: by a drop, a close, a shutdown, a crash.
    for way in ["drop", "close", "stop", "kill"].repeat(2) {
        let node = start(h).await;
        let subscription = subscribe(&*node, &topic, &channel, options.clone()).await;
        tokio::time::sleep(soon(h).claim_after / 2).await;
        match way {
            "drop" => drop(subscription),
            "close" => subscription.close().await.unwrap(),
            "stop" => return_to(node.stop(), subscription).await,
            _ => {
                std::mem::forget(subscription);
                node.kill().await;
            }
        }
    }
    let mut subscription = subscribe(&*watcher, &topic, &channel, options).await;
    let mut seen = Vec::new();
    for _ in 0..10 {
        let delivery = next_within(&mut subscription, soon(h).claim_after + h.slack()).await;
        seen.push(handed(&delivery));
        ack(delivery).await;
    }
    assert!(seen.iter().all(|(_, attempt)| *attempt == 1), "{seen:?}");
    each_once(seen.into_iter().map(|(body, _)| body), &numbers(0..10));
    silent(&mut dead, h.slack()).await;
    watcher.stop().await;
}

/// Keeps a subscription until its backend has stopped.
async fn return_to(stop: impl Future<Output = ()>, subscription: Subscription) {
    stop.await;
    drop(subscription);
}

pub async fn p5_attempts_are_counted_over_restarts<H: PubSubHarness>(h: &H) {
    let (topic, channel) = (fresh::topic(h, "t"), fresh::channel("c"));
    let watcher = start(h).await;
    let mut dead = dead_letters(&*watcher, &topic).await;
    publish(&*watcher, &topic, "poison").await;
    let options = SubscribeOptions {
        start: Start::Beginning,
        ..attempts(4, soon(h))
    };
    for (attempt, way) in [(1, "retry"), (2, "drop"), (3, "kill"), (4, "retry")] {
        let node = start(h).await;
        let mut subscription = subscribe(&*node, &topic, &channel, options.clone()).await;
        let delivery = next_within(&mut subscription, soon(h).claim_after + h.slack()).await;
        assert_eq!(handed(&delivery), ("poison".to_owned(), attempt));
        match way {
            "retry" => {
                let _ = delivery.retry("failed").await.unwrap();
                subscription.close().await.unwrap();
                node.stop().await;
            }
            "drop" => {
                drop(delivery);
                subscription.close().await.unwrap();
                node.stop().await;
            }
            _ => {
                std::mem::forget((delivery, subscription));
                node.kill().await;
            }
        }
    }
    let letter = next(&mut dead).await;
    assert_eq!(header(&letter, dead_letter::ATTEMPTS), "4");
    ack(letter).await;
    let mut subscription = subscribe(&*watcher, &topic, &channel, options).await;
    silent(&mut subscription, 2 * soon(h).claim_after).await;
    silent(&mut dead, h.slack()).await;
    watcher.stop().await;
}

pub async fn p5_message_that_kills_its_consumer_is_dead_lettered<H: PubSubHarness>(h: &H) {
    let (topic, channel) = (fresh::topic(h, "t"), fresh::channel("c"));
    let watcher = start(h).await;
    let mut dead = dead_letters(&*watcher, &topic).await;
    publish_numbers(&*watcher, &topic, 0..1).await;
    let options = SubscribeOptions {
        start: Start::Beginning,
        ..attempts(3, soon(h))
    };
    for attempt in 1..=3 {
        let node = start(h).await;
        let mut subscription = subscribe(&*node, &topic, &channel, options.clone()).await;
        let delivery = next_within(&mut subscription, soon(h).claim_after + h.slack()).await;
        assert_eq!(delivery.message().attempt, attempt);
        std::mem::forget((delivery, subscription));
        node.kill().await;
    }
    // A live consumer finds it used up, and isn't handed it.
    let mut subscription = subscribe(&*watcher, &topic, &channel, options).await;
    let letter = next_within(&mut dead, soon(h).claim_after + h.slack()).await;
    assert_eq!(text(&letter), "0");
    assert_eq!(header(&letter, dead_letter::ATTEMPTS), "3");
    ack(letter).await;
    silent(&mut subscription, 2 * soon(h).claim_after).await;
    silent(&mut dead, h.slack()).await;
    nothing_left(&*watcher, &topic, &channel).await;
    watcher.stop().await;
}

pub async fn p5_message_that_freezes_its_consumers_is_dead_lettered<H: PubSubHarness>(h: &H) {
    let (node, topic, channel) = (start(h).await, fresh::topic(h, "t"), fresh::channel("c"));
    let mut dead = dead_letters(&*node, &topic).await;
    let options = SubscribeOptions {
        heartbeat: false,
        ..attempts(3, soon(h))
    };
    let mut frozen = Vec::new();
    for attempt in 1..=3 {
        let mut consumer = subscribe(&*node, &topic, &channel, options.clone()).await;
        if attempt == 1 {
            publish(&*node, &topic, "sleeping potion").await;
        }
        let deadline = soon(h).claim_after + h.slack();
        let delivery = next_within(&mut consumer, deadline).await;
        assert_eq!(handed(&delivery), ("sleeping potion".to_owned(), attempt));
        frozen.push((consumer, delivery));
    }
    let mut awake = subscribe(&*node, &topic, &channel, options).await;
    silent(&mut awake, 3 * soon(h).claim_after).await;
    let letter = next(&mut dead).await;
    assert_eq!(header(&letter, dead_letter::ATTEMPTS), "3");
    ack(letter).await;
    nothing_left(&*node, &topic, &channel).await;
    drop(frozen);
    silent(&mut awake, h.slack()).await;
    silent(&mut dead, h.slack()).await;
    node.stop().await;
}

pub async fn p5_panicking_handler_is_retried_then_dead_lettered<H: PubSubHarness>(h: &H) {
    let (node, topic, channel) = (start(h).await, fresh::topic(h, "t"), fresh::channel("c"));
    let calls = Arc::new(Mutex::new(BTreeMap::<String, u32>::new()));
    let handler = {
        let calls = Arc::clone(&calls);
        move |message: braid_core::Message| {
            let body = String::from_utf8_lossy(&message.body).into_owned();
            *calls.lock().unwrap().entry(body.clone()).or_default() += 1;
            async move {
                assert_ne!(body, "2", "two is a bad number");
                if body == "3" {
                    Err("three is unwanted")
                } else {
                    Ok(())
                }
            }
        }
    };
    let options = SubscribeOptions {
        max_in_flight: 2,
        ..attempts(3, patient())
    };
    let consumer = subscribe(&*node, &topic, &channel, options)
        .await
        .arrived(handler);
    publish_numbers(&*node, &topic, 0..10).await;
    let mut dead = dead_letters(&*node, &topic).await;
    let mut reasons = BTreeMap::new();
    for letter in take(&mut dead, 2).await {
        reasons.insert(
            text(&letter),
            header(&letter, dead_letter::REASON).to_owned(),
        );
        ack(letter).await;
    }
    assert!(
        reasons["2"].contains("panicked") && reasons["2"].contains("two is a bad number"),
        "{reasons:?}"
    );
    assert_eq!(reasons["3"], "three is unwanted");
    nothing_left(&*node, &topic, &channel).await;
    within("the consumer's close", SETTLED, consumer.close())
        .await
        .unwrap();
    let expected = (0..10).map(|n| (n.to_string(), if n == 2 || n == 3 { 3 } else { 1 }));
    assert_eq!(*calls.lock().unwrap(), expected.collect());
    silent(&mut dead, h.slack()).await;
    node.stop().await;
}

pub async fn p5_crashes_lose_no_poison<H: PubSubHarness>(h: &H) {
    const MESSAGES: usize = 20;
    let mut random = Random::from_env();
    let (topic, channel) = (fresh::topic(h, "t"), fresh::channel("c"));
    let watcher = start(h).await;
    let dead = dead_letters(&*watcher, &topic).await;
    let mut letters = Consumers::default();
    letters.add(dead, Duration::ZERO);
    publish_numbers(&*watcher, &topic, 0..MESSAGES).await;
    let options = SubscribeOptions {
        start: Start::Beginning,
        ..attempts(2, soon(h))
    };
    // Every message fails every time, and the consumer dies over and over with settlements under way.
    for _ in 0..10 {
        let node = start(h).await;
        let mut subscription = subscribe(&*node, &topic, &channel, options.clone()).await;
        let failing = async {
            loop {
                let delivery = next(&mut subscription).await;
                assert!(delivery.message().attempt <= 2, "a hand-out too many");
                let _ = delivery.retry("poison").await;
            }
        };
        let life = random.time_below(soon(h).claim_after);
        let _ = tokio::time::timeout(life, failing).await;
        std::mem::forget(subscription);
        node.kill().await;
    }
    let mut last = subscribe(&*watcher, &topic, &channel, options).await;
    let failing = async {
        loop {
            let _ = next_within(&mut last, 2 * SETTLED)
                .await
                .retry("poison")
                .await
                .unwrap();
        }
    };
    tokio::select! {
        () = nothing_left(&*watcher, &topic, &channel) => {}
        () = failing => {}
    }
    eventually("every message is a dead letter", SETTLED, async || {
        letters.seen().len() >= MESSAGES
    })
    .await;
    each(bodies(letters.close().await), &numbers(0..MESSAGES));
    watcher.stop().await;
}
