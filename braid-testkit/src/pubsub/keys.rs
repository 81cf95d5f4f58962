//! P12: order by key.

use super::support::{
    ack, handed, next, nothing_left, patient, publish, silent, soon, start, subscribe, take, text,
};
use crate::{PubSubHarness, Random, SETTLED, fresh, within};
use braid_core::{Backoff, NewMessage, SubscribeOptions};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{task::JoinSet, time::sleep};

pub async fn p12_failing_message_holds_back_its_key<H: PubSubHarness>(h: &H) {
    let (node, topic, channel) = (start(h).await, fresh::topic(h, "t"), fresh::channel("c"));
    let wait = Duration::from_millis(500);
    let options = SubscribeOptions {
        max_attempts: 2,
        backoff: Backoff {
            initial: wait,
            max: wait,
        },
        ..patient()
    };
    let mut subscription = subscribe(&*node, &topic, &channel, options).await;
    for (key, body) in [
        ("bad", "bad 0"),
        ("bad", "bad 1"),
        ("good", "good 0"),
        ("good", "good 1"),
    ] {
        publish(&*node, &topic, NewMessage::new(body).with_key(key)).await;
    }
    publish(&*node, &topic, "free").await;

    // The other key and what has none go on; of each key there is one at a time.
    let mut held: BTreeMap<_, _> = take(&mut subscription, 3)
        .await
        .into_iter()
        .map(|delivery| (text(&delivery), delivery))
        .collect();
    let mut held = |body: &str| {
        held.remove(body)
            .unwrap_or_else(|| panic!("`{body}` was due"))
    };
    let (bad, good, free) = (held("bad 0"), held("good 0"), held("free"));
    silent(&mut subscription, h.slack()).await;
    ack(free).await;
    let _ = bad.retry("first failure").await.unwrap();
    ack(good).await;
    let good = next(&mut subscription).await;
    assert_eq!(text(&good), "good 1");
    ack(good).await;
    // The failed one comes before those behind it, and holds them until it is done with: here as a dead letter.
    let bad = next(&mut subscription).await;
    assert_eq!(handed(&bad), ("bad 0".to_owned(), 2));
    silent(&mut subscription, h.slack()).await;
    let _ = bad.retry("second failure").await.unwrap();
    let bad = next(&mut subscription).await;
    assert_eq!(handed(&bad), ("bad 1".to_owned(), 1));
    ack(bad).await;
    nothing_left(&*node, &topic, &channel).await;
    node.stop().await;
}

pub async fn p12_order_per_key_over_consumers_and_failures<H: PubSubHarness>(h: &H) {
    const KEYS: usize = 5;
    const PER_KEY: usize = 20;
    let mut random = Random::from_env();
    let (topic, channel) = (fresh::topic(h, "t"), fresh::channel("c"));
    let nodes = [start(h).await, start(h).await];
    let acked = Arc::new(Mutex::new(BTreeMap::<String, Vec<usize>>::new()));
    let busy = Arc::new(Mutex::new(BTreeSet::<String>::new()));
    let mut workers = JoinSet::new();
    for number in 0..4 {
        let options = SubscribeOptions {
            max_attempts: 1_000,
            max_in_flight: 8,
            ..patient()
        };
        let mut subscription = subscribe(&*nodes[number % 2], &topic, &channel, options).await;
        let (acked, busy, mut random) = (Arc::clone(&acked), Arc::clone(&busy), random.fork());
        workers.spawn(async move {
            while let Some(delivery) = subscription.next().await {
                let delivery = delivery.unwrap();
                let key = delivery.message().key.clone().unwrap();
                assert!(
                    busy.lock().unwrap().insert(key.clone()),
                    "two of key {key} at a time"
                );
                sleep(random.time_below(Duration::from_millis(4))).await;
                // Let go of the key before it is settled: after that the next one may come.
                busy.lock().unwrap().remove(&key);
                match random.below(6) {
                    0 => drop(delivery),
                    1 => drop(delivery.retry("by chance").await.unwrap()),
                    _ => {
                        let number = text(&delivery).parse().unwrap();
                        acked.lock().unwrap().entry(key).or_default().push(number);
                        ack(delivery).await;
                    }
                }
            }
        });
    }
    for number in 0..PER_KEY {
        for key in 0..KEYS {
            let message = NewMessage::new(number.to_string()).with_key(format!("key {key}"));
            publish(&*nodes[random.below(2)], &topic, message).await;
        }
    }
    crate::eventually("every message is acked", SETTLED, async || {
        assert!(workers.try_join_next().is_none(), "a worker ended early");
        acked.lock().unwrap().values().map(Vec::len).sum::<usize>() >= KEYS * PER_KEY
    })
    .await;
    for (key, numbers) in &*acked.lock().unwrap() {
        assert_eq!(
            *numbers,
            (0..PER_KEY).collect::<Vec<_>>(),
            "the order of {key}"
        );
    }
    nothing_left(&*nodes[0], &topic, &channel).await;
    for node in nodes {
        node.stop().await;
    }
    while let Some(ended) = within("the workers' end", SETTLED, workers.join_next()).await {
        ended.unwrap();
    }
}

pub async fn p12_order_per_key_over_a_crash<H: PubSubHarness>(h: &H) {
    let (topic, channel) = (fresh::topic(h, "t"), fresh::channel("c"));
    let (one, two) = (start(h).await, start(h).await);
    let mut first = subscribe(&*one, &topic, &channel, soon(h)).await;
    for number in 0..10 {
        publish(
            &*two,
            &topic,
            NewMessage::new(number.to_string()).with_key("k"),
        )
        .await;
    }
    for _ in 0..3 {
        ack(next(&mut first).await).await;
    }
    let held = next(&mut first).await;
    assert_eq!(text(&held), "3");
    let mut second = subscribe(&*two, &topic, &channel, soon(h)).await;
    silent(&mut second, 2 * soon(h).claim_after).await;
    std::mem::forget((first, held));
    one.kill().await;
    let mut seen = Vec::new();
    for _ in 3..10 {
        let delivery =
            super::support::next_within(&mut second, soon(h).claim_after + h.slack()).await;
        seen.push(text(&delivery));
        ack(delivery).await;
    }
    assert_eq!(seen, super::support::numbers(3..10));
    two.stop().await;
}
