//! P1, one consumer: what is published arrives, is settled, and comes again when it isn't.

use super::support::{
    ack, handed, next, nothing_left, numbers, patient, publish, publish_numbers, silent, start,
    subscribe, take, text, view,
};
use crate::{PubSubHarness, fresh};
use braid_core::{Backoff, NewMessage, Start, SubscribeOptions};
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, timeout};

/// Backends count in milliseconds.
const ROUNDING: Duration = Duration::from_millis(5);

pub async fn p1_publish_subscribe<H: PubSubHarness>(h: &H) {
    let (node, topic, channel) = (start(h).await, fresh::topic(h, "t"), fresh::channel("c"));
    let mut subscription = subscribe(&*node, &topic, &channel, patient()).await;
    publish_numbers(&*node, &topic, 0..100).await;
    for number in 0..100 {
        let delivery = next(&mut subscription).await;
        assert_eq!(handed(&delivery), (number.to_string(), 1));
        ack(delivery).await;
    }
    silent(&mut subscription, h.slack()).await;
    nothing_left(&*node, &topic, &channel).await;
    assert_eq!(view(&*node, &topic, &channel).await.consumers, 1);
    node.stop().await;
}

pub async fn p1_acked_is_not_repeated<H: PubSubHarness>(h: &H) {
    acked_is_not_repeated(h, h.limits().claim_after).await;
}

pub(super) async fn acked_is_not_repeated<H: PubSubHarness>(h: &H, claim_after: Duration) {
    let (node, topic, channel) = (start(h).await, fresh::topic(h, "t"), fresh::channel("c"));
    let options = SubscribeOptions {
        claim_after,
        ..patient()
    };
    let mut subscription = subscribe(&*node, &topic, &channel, options.clone()).await;
    publish_numbers(&*node, &topic, 0..10).await;
    for delivery in take(&mut subscription, 10).await {
        ack(delivery).await;
    }
    silent(&mut subscription, 3 * claim_after).await;
    subscription.close().await.unwrap();
    let mut again = subscribe(&*node, &topic, &channel, options).await;
    silent(&mut again, 3 * claim_after).await;
    node.stop().await;
}

pub async fn p1_resend_on_error<H: PubSubHarness>(h: &H) {
    let (node, topic, channel) = (start(h).await, fresh::topic(h, "t"), fresh::channel("c"));
    let backoff = Backoff {
        initial: Duration::from_millis(200),
        max: Duration::from_millis(300),
    };
    let options = SubscribeOptions {
        backoff,
        ..patient()
    };
    let mut subscription = subscribe(&*node, &topic, &channel, options).await;
    let id = publish(&*node, &topic, "once more").await;

    let own_wait = Duration::from_millis(700);
    let mut due = Instant::now();
    for (attempt, wait) in [(1, backoff.initial), (2, backoff.max), (3, own_wait)] {
        let delivery = next(&mut subscription).await;
        assert!(Instant::now() >= due, "attempt {attempt} came early");
        assert_eq!(handed(&delivery), ("once more".to_owned(), attempt));
        assert_eq!(delivery.message().id, id);
        due = Instant::now() + wait - ROUNDING;
        let held = match attempt {
            3 => delivery.retry_after("not yet", own_wait).await,
            _ => delivery.retry("not yet").await,
        };
        assert_eq!(held.unwrap(), braid_core::Ownership::Held);
        assert_eq!(
            view(&*node, &topic, &channel).await.pending,
            1,
            "what waits for its next attempt is pending"
        );
    }
    let delivery = next(&mut subscription).await;
    assert!(Instant::now() >= due, "attempt 4 came early");
    assert_eq!(delivery.message().attempt, 4);
    ack(delivery).await;
    nothing_left(&*node, &topic, &channel).await;
    node.stop().await;
}

pub async fn p1_no_ack_no_next<H: PubSubHarness>(h: &H) {
    let (node, topic, channel) = (start(h).await, fresh::topic(h, "t"), fresh::channel("c"));
    let options = SubscribeOptions {
        max_in_flight: 1,
        ..patient()
    };
    let mut subscription = subscribe(&*node, &topic, &channel, options).await;
    publish_numbers(&*node, &topic, 0..3).await;
    for number in 0..3 {
        let delivery = next(&mut subscription).await;
        assert_eq!(text(&delivery), number.to_string());
        silent(&mut subscription, h.slack()).await;
        ack(delivery).await;
    }
    node.stop().await;
}

pub async fn p1_continue_after_errors<H: PubSubHarness>(h: &H) {
    let (node, topic, channel) = (start(h).await, fresh::topic(h, "t"), fresh::channel("c"));
    let mut subscription = subscribe(&*node, &topic, &channel, patient()).await;
    publish_numbers(&*node, &topic, 0..30).await;
    let mut acked = Vec::new();
    while acked.len() < 30 {
        let delivery = next(&mut subscription).await;
        let (body, attempt) = handed(&delivery);
        if attempt == 1 && body.ends_with(['0', '3', '6']) {
            let _ = delivery.retry("fails at first").await.unwrap();
        } else {
            ack(delivery).await;
            acked.push(body);
        }
    }
    super::support::each_once(acked, &numbers(0..30));
    nothing_left(&*node, &topic, &channel).await;
    node.stop().await;
}

pub async fn p1_in_order<H: PubSubHarness>(h: &H) {
    let (node, topic, channel) = (start(h).await, fresh::topic(h, "t"), fresh::channel("c"));
    let mut subscription = subscribe(&*node, &topic, &channel, patient()).await;
    let publishing = publish_numbers(&*node, &topic, 0..500);
    let receiving = async {
        for number in 0..500 {
            let delivery = next(&mut subscription).await;
            assert_eq!(text(&delivery), number.to_string());
            ack(delivery).await;
        }
    };
    tokio::join!(publishing, receiving);
    node.stop().await;
}

pub async fn p1_message_context<H: PubSubHarness>(h: &H) {
    // Clocks of servers differ a little from ours.
    let tolerance = Duration::from_secs(60);
    let (node, topic) = (start(h).await, fresh::topic(h, "t"));
    let mut channels = Vec::new();
    for name in ["one", "two"] {
        channels.push(subscribe(&*node, &topic, &fresh::channel(name), patient()).await);
    }
    let sent = [
        NewMessage::new(""),
        NewMessage::new(vec![0, 255, 10, 13, 0]).with_key("a key with\0zero and {braces}"),
        NewMessage::new("x".repeat(256 * 1024)),
        NewMessage::new("body")
            .with_key("k")
            .with_header("", "empty name")
            .with_header("empty value", "")
            .with_header("msg", "a name that backends may use themselves")
            .with_header("日本", "línea\r\nand\0zero"),
    ];
    let before = SystemTime::now() - tolerance;
    let mut ids = Vec::new();
    for message in &sent {
        ids.push(publish(&*node, &topic, message.clone()).await);
    }
    let after = SystemTime::now() + tolerance;
    for subscription in &mut channels {
        // Those without a key keep their order; those with one keep it among their like.
        for _ in &sent {
            let delivery = next(subscription).await;
            let got = delivery.message();
            let which = ids.iter().position(|id| *id == got.id);
            let message = &sent[which.unwrap_or_else(|| panic!("nobody published {got:?}"))];
            assert!(
                got.body == *message.body(),
                "the body came changed: {got:?} for {message:?}"
            );
            assert_eq!(got.headers, *message.headers());
            assert_eq!(got.key.as_deref(), message.key());
            assert_eq!(got.attempt, 1);
            assert!(
                before <= got.timestamp && got.timestamp <= after,
                "{:?}",
                got.timestamp
            );
            ack(delivery).await;
        }
        silent(subscription, h.slack()).await;
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), sent.len(), "ids are unique within a topic");
    node.stop().await;
}

pub async fn p1_cancel_a_subscription<H: PubSubHarness>(h: &H) {
    let (node, topic, channel) = (start(h).await, fresh::topic(h, "t"), fresh::channel("c"));
    let options = SubscribeOptions {
        max_in_flight: 10,
        ..patient()
    };
    let mut first = subscribe(&*node, &topic, &channel, options).await;
    // Cancelled reads lose nothing.
    let (mut published, mut acked) = (0, 0);
    while acked < 20 {
        if acked == published {
            publish_numbers(&*node, &topic, published..published + 2).await;
            published += 2;
        }
        for _ in 0..3 {
            if let Ok(got) = timeout(Duration::ZERO, first.next()).await {
                let delivery = got.unwrap().unwrap();
                assert_eq!(handed(&delivery), (acked.to_string(), 1));
                ack(delivery).await;
                acked += 1;
                break;
            }
        }
    }
    // A cancelled subscription gives back what nobody saw, uncounted; what was seen can still be settled.
    publish_numbers(&*node, &topic, 20..40).await;
    let mut seen = take(&mut first, 2).await;
    drop(first);
    let mut second = subscribe(&*node, &topic, &channel, patient()).await;
    // It may be quicker with what was never read than the first one with giving back.
    let mut rest = Vec::new();
    for delivery in take(&mut second, 18).await {
        assert_eq!(delivery.message().attempt, 1);
        rest.push(text(&delivery));
        ack(delivery).await;
    }
    super::support::each_once(rest, &numbers(22..40));
    ack(seen.remove(0)).await;
    let _ = seen.remove(0).retry("somebody else may").await.unwrap();
    let delivery = next(&mut second).await;
    assert_eq!(handed(&delivery), ("21".to_owned(), 2));
    ack(delivery).await;
    nothing_left(&*node, &topic, &channel).await;
    node.stop().await;
}

pub async fn p1_old_messages_on_request<H: PubSubHarness>(h: &H) {
    let (node, topic) = (start(h).await, fresh::topic(h, "t"));
    let mut ids = Vec::new();
    // Nobody has subscribed yet, so nobody has acked: the topic holds them.
    for number in 0..10 {
        ids.push(publish(&*node, &topic, number.to_string()).await);
    }
    let starting = |start| SubscribeOptions { start, ..patient() };
    let (from_the_first, from_now, from_the_middle) = (
        fresh::channel("all"),
        fresh::channel("new"),
        fresh::channel("after"),
    );
    let mut all = subscribe(&*node, &topic, &from_the_first, starting(Start::Beginning)).await;
    let mut new = subscribe(&*node, &topic, &from_now, starting(Start::New)).await;
    let after = starting(Start::After(ids[5].clone()));
    let mut middle = subscribe(&*node, &topic, &from_the_middle, after).await;
    publish_numbers(&*node, &topic, 10..15).await;
    for (subscription, first) in [(&mut all, 0), (&mut new, 10), (&mut middle, 6)] {
        for number in first..15 {
            let delivery = next(subscription).await;
            assert_eq!(text(&delivery), number.to_string());
            ack(delivery).await;
        }
    }
    // A channel that exists goes on where it is, whatever is asked for.
    all.close().await.unwrap();
    publish_numbers(&*node, &topic, 15..20).await;
    let mut again = subscribe(&*node, &topic, &from_the_first, starting(Start::Beginning)).await;
    for number in 15..20 {
        let delivery = next(&mut again).await;
        assert_eq!(text(&delivery), number.to_string());
        ack(delivery).await;
    }
    silent(&mut again, h.slack()).await;
    node.stop().await;
}
