//! P8: what the names of dead consumers leave behind. P7: channels that nobody comes back to.

use super::support::{
    Consumers, ack, bodies, each, next, nothing_left, numbers, patient, publish, publish_numbers,
    soon, start, subscribe, text, view,
};
use crate::{PubSubHarness, Random, Running, SETTLED, eventually, fresh, within};
use braid_core::{ErrorKind, SubscribeOptions};
use futures_util::FutureExt;
use std::time::Duration;
use tokio::time::timeout;

pub async fn p8_restarts_leave_no_consumer_names<H: PubSubHarness>(h: &H) {
    const LIVES: usize = 200;
    const PER_LIFE: usize = 3;
    let mut random = Random::from_env();
    let (steady, topic, channel) = (start(h).await, fresh::topic(h, "t"), fresh::channel("c"));
    let options = SubscribeOptions {
        max_attempts: u32::MAX,
        max_in_flight: 4,
        ..soon(h)
    };
    let mut acked = Vec::new();
    let mut life = fresh::life("restarting");
    for number in 0..LIVES {
        let node = Running::start(h.start(life.clone()).await).await;
        let mut subscription = subscribe(&*node, &topic, &channel, options.clone()).await;
        publish_numbers(&*steady, &topic, number * PER_LIFE..(number + 1) * PER_LIFE).await;
        // It handles one, and goes with what it holds besides.
        let first = next(&mut subscription).await;
        acked.push(text(&first));
        ack(first).await;
        let held = subscription.next().now_or_never();
        match random.below(3) {
            0 => {
                std::mem::forget((subscription, held));
                node.kill().await;
            }
            1 => {
                subscription.close().await.unwrap();
                drop(held);
                node.stop().await;
            }
            _ => {
                drop(held);
                drop(subscription);
                node.stop().await;
            }
        }
        life = fresh::next_life(&life);
    }

    let live = Running::start(h.start(life).await).await;
    let mut consumers = Consumers::default();
    consumers.add(
        subscribe(&*live, &topic, &channel, options).await,
        Duration::ZERO,
    );
    nothing_left(&*steady, &topic, &channel).await;
    let what = "no more consumers than the live one and one that goes";
    eventually(
        what,
        soon(h).claim_after + h.slack() + SETTLED,
        async || {
            let view = view(&*steady, &topic, &channel).await;
            view.consumers <= 2 && view.members.len() <= 2
        },
    )
    .await;
    assert!(view(&*steady, &topic, &channel).await.consumers >= 1);
    acked.extend(bodies(consumers.close().await));
    each(acked, &numbers(0..LIVES * PER_LIFE));
    live.stop().await;
    steady.stop().await;
}

pub async fn p7_forgotten_channel_stops_holding_the_topic_back<H: PubSubHarness>(h: &H) {
    let (node, topic) = (start(h).await, fresh::topic(h, "t"));
    let (left, live) = (fresh::channel("left"), fresh::channel("live"));
    let mut leaving = subscribe(&*node, &topic, &left, patient()).await;
    let mut staying = subscribe(&*node, &topic, &live, patient()).await;
    // Beside it a channel whose consumer is there, although it does nothing.
    let (quiet, idle) = (fresh::topic(h, "quiet"), fresh::channel("idle"));
    let mut lazy = subscribe(&*node, &quiet, &idle, patient()).await;
    publish_numbers(&*node, &quiet, 0..3).await;

    let count = h.limits().retained + 100;
    publish_numbers(&*node, &topic, 0..count).await;
    for _ in 0..count {
        ack(next(&mut staying).await).await;
    }
    drop(next(&mut leaving).await);
    leaving.close().await.unwrap();
    let held = async || node.inspect(&topic).await.unwrap().messages;
    assert!(held().await >= count, "for a while it is waited for");
    let what = "the topic goes on without the channel that was left";
    let deadline = h.limits().forgotten_after + h.slack() + SETTLED;
    eventually(what, deadline, async || held().await <= h.limits().retained).await;

    let mut back = subscribe(&*node, &topic, &left, patient()).await;
    let told = within("the next consumer is told", SETTLED, back.next()).await;
    let error = told.expect("the stream goes on").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains(left.as_str()), "{error}");
    // It goes on with what is left, and with all that comes.
    publish(&*node, &topic, "new").await;
    loop {
        let delivery = next(&mut back).await;
        let is_new = text(&delivery) == "new";
        ack(delivery).await;
        if is_new {
            break;
        }
    }
    nothing_left(&*node, &topic, &left).await;
    ack(next(&mut staying).await).await;

    for number in 0..3 {
        let delivery = next(&mut lazy).await;
        assert_eq!(text(&delivery), number.to_string(), "nothing is forgotten");
        ack(delivery).await;
    }
    assert!(timeout(h.slack(), lazy.next()).await.is_err());
    node.stop().await;
}
