//! P1: what can't be subscribed to or looked at is refused, by kind.

use super::support::{ack, handed, next, patient, publish, start, subscribe, view};
use crate::{PubSubHarness, SETTLED, eventually, fresh};
use braid_core::{ChannelKind, ErrorKind, SubscribeOptions};

pub async fn p1_impossible_subscription_is_refused<H: PubSubHarness>(h: &H) {
    let (node, other) = (start(h).await, start(h).await);
    let (topic, shared, own) = (
        fresh::topic(h, "t"),
        fresh::channel("shared"),
        fresh::channel("own"),
    );
    let refused = async |channel, options| {
        let refused = other.subscribe(&topic, channel, options).await;
        refused.expect_err("the subscribe is refused").kind()
    };
    let nothing = SubscribeOptions {
        max_in_flight: 0,
        ..patient()
    };
    assert_eq!(refused(&shared, nothing).await, ErrorKind::Config);
    assert_eq!(
        node.inspect(&topic).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );

    let _shared = subscribe(&*node, &topic, &shared, patient()).await;
    let ephemeral = SubscribeOptions {
        kind: ChannelKind::Ephemeral,
        ..patient()
    };
    assert_eq!(
        refused(&shared, ephemeral.clone()).await,
        ErrorKind::Conflict
    );
    let mut mine = subscribe(&*node, &topic, &own, ephemeral.clone()).await;
    assert_eq!(refused(&own, patient()).await, ErrorKind::Conflict);
    assert_eq!(refused(&own, ephemeral).await, ErrorKind::Conflict);

    // What was refused has changed nothing.
    publish(&*node, &topic, "still here").await;
    ack(next(&mut mine).await).await;
    let kinds = [
        view(&*node, &topic, &shared).await.kind,
        view(&*node, &topic, &own).await.kind,
    ];
    assert_eq!(kinds, [ChannelKind::Shared, ChannelKind::Ephemeral]);
    node.stop().await;
    other.stop().await;
}

pub async fn p1_ephemeral_channel_goes_with_its_consumer<H: PubSubHarness>(h: &H) {
    let (node, topic, own) = (start(h).await, fresh::topic(h, "t"), fresh::channel("own"));
    let ephemeral = SubscribeOptions {
        kind: ChannelKind::Ephemeral,
        ..patient()
    };
    let channels = async || node.inspect(&topic).await.unwrap().channels.len();

    let closed = subscribe(&*node, &topic, &own, ephemeral.clone()).await;
    publish(&*node, &topic, "before").await;
    closed.close().await.unwrap();
    assert_eq!(
        channels().await,
        0,
        "an ephemeral channel was closed and is still there"
    );

    let dropped = subscribe(&*node, &topic, &own, ephemeral.clone()).await;
    assert_eq!(channels().await, 1);
    drop(dropped);
    eventually("the dropped channel is gone", SETTLED, async || {
        channels().await == 0
    })
    .await;

    // The next one under this name starts anew.
    let mut again = subscribe(&*node, &topic, &own, ephemeral).await;
    publish(&*node, &topic, "after").await;
    let delivery = next(&mut again).await;
    assert_eq!(handed(&delivery), ("after".to_owned(), 1));
    ack(delivery).await;
    node.stop().await;
}
