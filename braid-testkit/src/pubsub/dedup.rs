//! P10: publishes that are made again.

use super::support::{
    ack, handed, next, nothing_left, patient, publish, silent, start, subscribe, text,
};
use crate::{PubSubHarness, fresh};
use braid_core::{ErrorKind, NewMessage};
use futures_util::future::join_all;
use std::collections::BTreeSet;
use tokio::time::{Instant, sleep_until};

fn keyed(body: &str, key: &str) -> NewMessage {
    NewMessage::new(body.to_owned()).with_dedup_key(key)
}

pub async fn p10_dedup_key_makes_one_delivery_within_the_window<H: PubSubHarness>(h: &H) {
    let (dying, node) = (start(h).await, start(h).await);
    let (topic, other, channel) = (
        fresh::topic(h, "t"),
        fresh::topic(h, "other"),
        fresh::channel("c"),
    );
    let mut subscription = subscribe(&*node, &topic, &channel, patient()).await;
    let mut elsewhere = subscribe(&*node, &other, &channel, patient()).await;
    let first = publish(&*dying, &topic, keyed("one", "k")).await;
    assert_eq!(
        publish(&*dying, &topic, keyed("two", "k")).await,
        first,
        "the key is what counts, not the body"
    );
    // What the publisher doesn't know any more the backend does.
    dying.kill().await;
    assert_eq!(publish(&*node, &topic, keyed("three", "k")).await, first);
    let over = Instant::now() + h.limits().dedup_window + h.slack();
    let delivery = next(&mut subscription).await;
    assert_eq!(handed(&delivery), ("one".to_owned(), 1));
    assert_eq!(delivery.message().id, first);
    ack(delivery).await;
    assert_eq!(
        publish(&*node, &topic, keyed("acked, and still known", "k")).await,
        first
    );
    // Other keys, no key, another topic.
    for message in [
        keyed("four", "l"),
        NewMessage::new("five"),
        NewMessage::new("five"),
    ] {
        assert_ne!(publish(&*node, &topic, message).await, first);
    }
    for body in ["four", "five", "five"] {
        let delivery = next(&mut subscription).await;
        assert_eq!(handed(&delivery), (body.to_owned(), 1));
        ack(delivery).await;
    }
    publish(&*node, &other, keyed("elsewhere", "k")).await;
    assert_eq!(text(&next(&mut elsewhere).await), "elsewhere");

    sleep_until(over).await;
    let again = publish(&*node, &topic, keyed("six", "k")).await;
    assert_ne!(again, first, "the window is over");
    let delivery = next(&mut subscription).await;
    assert_eq!(handed(&delivery), ("six".to_owned(), 1));
    ack(delivery).await;
    silent(&mut subscription, h.slack()).await;
    nothing_left(&*node, &topic, &channel).await;

    for refused in [
        keyed("empty", ""),
        keyed("long", &"k".repeat(NewMessage::MAX_DEDUP_KEY_LEN + 1)),
    ] {
        let error = node.publish(&topic, refused).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    }
    node.stop().await;
}

pub async fn p10_concurrent_duplicates_make_one_delivery<H: PubSubHarness>(h: &H) {
    const KEYS: usize = 20;
    let (topic, channel) = (fresh::topic(h, "t"), fresh::channel("c"));
    let nodes = join_all((0..5).map(|_| start(h))).await;
    let mut subscription = subscribe(&*nodes[0], &topic, &channel, patient()).await;
    for number in 0..KEYS {
        let key = "k".repeat(number + 1);
        let publishing = (0..20).map(async |i: usize| {
            let message = keyed(&number.to_string(), &key);
            publish(&*nodes[i % nodes.len()], &topic, message).await
        });
        let ids: BTreeSet<_> = join_all(publishing).await.into_iter().collect();
        assert_eq!(ids.len(), 1, "all are told of the same message: {ids:?}");
        let delivery = next(&mut subscription).await;
        assert_eq!(handed(&delivery), (number.to_string(), 1));
        assert!(ids.contains(&delivery.message().id));
        ack(delivery).await;
    }
    silent(&mut subscription, h.slack()).await;
    nothing_left(&*nodes[0], &topic, &channel).await;
    for node in nodes {
        node.stop().await;
    }
}
