//! How nodes and their subscriptions end.

use super::nodes::{DEADLINE, Fleet, channel, is_quiet, join, next, shared, text, topic};
use crate::pubsub::PubSubConfig;
use braid_core::{
    Component, ErrorKind, Ownership, PubSub, ShutdownTrigger, Start, SubscribeOptions, Topic,
};
use futures_util::FutureExt;
use std::time::Duration;
use tokio::time::timeout;

#[tokio::test(start_paused = true)]
async fn closed_node_ends_its_own_streams_only() {
    let fleet = Fleet::new();
    let (node, other) = (fleet.node(), fleet.node());
    let mut sub = join(&node, "c", shared()).await;
    let mut own = join(&node, "own", SubscribeOptions::ephemeral()).await;
    let mut others = join(&other, "c", shared()).await;
    let waiting = tokio::spawn(async move { own.next().await.is_none() });
    tokio::task::yield_now().await;
    fleet.publish("1");
    fleet.publish("2");
    let held = next(&mut sub).await;
    node.clone().close();
    assert!(timeout(DEADLINE, sub.next()).await.unwrap().is_none());
    assert!(waiting.await.is_ok());
    let view = fleet.view();
    assert_eq!(
        view.channels.len(),
        1,
        "the ephemeral channel is gone, though its stream isn't dropped"
    );
    assert_eq!(view.channels[0].consumers, 1);
    let second = next(&mut others).await;
    assert_eq!(text(&second), "2");
    assert!(
        is_quiet(&mut others, DEADLINE / 2).await,
        "1 is in a handler's hands"
    );
    held.ack().await.unwrap();
    assert_eq!(fleet.view().channels[0].pending, 1);

    let kind = |error: braid_core::Error| error.kind();
    let published = node.publish(&topic(), "3".into()).await;
    assert_eq!(published.map_err(kind), Err(ErrorKind::Closed));
    let name = channel("c");
    let joined = node.subscribe(&topic(), &name, shared()).await;
    assert_eq!(joined.map(drop).map_err(kind), Err(ErrorKind::Closed));
    let view = node.inspect(&topic()).await;
    assert_eq!(view.map_err(kind), Err(ErrorKind::Closed));
    other.publish(&topic(), "3".into()).await.unwrap();
}

#[tokio::test]
async fn closed_subscription_leaves_at_once() {
    let fleet = Fleet::new();
    let node = fleet.node();
    let sub = join(&node, "c", shared()).await;
    let own = join(&node, "own", SubscribeOptions::ephemeral()).await;
    sub.close().await.unwrap();
    drop(own);
    let view = fleet.view();
    assert_eq!((view.channels.len(), view.channels[0].consumers), (1, 0));
    join(&node, "own", SubscribeOptions::ephemeral())
        .await
        .close()
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn drain_waits_for_what_is_handed_out_and_hands_out_no_more() {
    let fleet = Fleet::new();
    let node = fleet.node();
    let mut sub = join(&node, "c", shared()).await;
    fleet.publish("1");
    fleet.publish("2");
    let held = next(&mut sub).await;
    let trigger = ShutdownTrigger::new();
    let runner = node.clone();
    let shutdown = trigger.shutdown();
    let run = tokio::spawn(async move { runner.run(shutdown).await });
    tokio::task::yield_now().await;
    assert!(!run.is_finished());
    trigger.drain();
    tokio::task::yield_now().await;
    assert!(timeout(DEADLINE, sub.next()).await.unwrap().is_none());
    let name = channel("c");
    let joined = node.subscribe(&topic(), &name, shared()).await;
    assert_eq!(joined.unwrap_err().kind(), ErrorKind::Closed);
    node.publish(&topic(), "from the last handler".into())
        .await
        .unwrap();
    tokio::time::sleep(DEADLINE).await;
    assert!(!run.is_finished(), "one is not settled");
    held.ack().await.unwrap();
    run.await.unwrap().unwrap();
    let published = node.publish(&topic(), "3".into()).await;
    assert_eq!(published.unwrap_err().kind(), ErrorKind::Closed);

    let mut next_life = join(&fleet.node(), "c", shared()).await;
    let left = [next(&mut next_life).await, next(&mut next_life).await];
    assert_eq!(left.each_ref().map(text), ["2", "from the last handler"]);
}

#[tokio::test(start_paused = true)]
async fn forced_end_returns_what_is_handed_out() {
    let fleet = Fleet::new();
    let node = fleet.node();
    let mut sub = join(&node, "c", shared()).await;
    (1..=3).for_each(|n| fleet.publish(&n.to_string()));
    let acked_late = next(&mut sub).await;
    let failed_late = next(&mut sub).await;
    let trigger = ShutdownTrigger::new();
    trigger.force();
    timeout(DEADLINE, node.run(trigger.shutdown()))
        .await
        .unwrap()
        .unwrap();
    acked_late.ack().await.unwrap();
    let mut other = join(&fleet.node(), "c", shared()).await;
    let taken = next(&mut other).await;
    assert_eq!((text(&taken).as_str(), taken.message().attempt), ("2", 2));
    assert_eq!(failed_late.retry("late").await.unwrap(), Ownership::Lost);
    assert_eq!(text(&next(&mut other).await), "3");
}

#[tokio::test]
async fn dropped_run_is_a_forced_end() {
    let fleet = Fleet::new();
    let node = fleet.node();
    let mut sub = join(&node, "c", shared()).await;
    fleet.publish("1");
    let _held = next(&mut sub).await;
    let trigger = ShutdownTrigger::new();
    assert!(node.run(trigger.shutdown()).now_or_never().is_none());
    assert!(sub.next().await.is_none());
    let mut other = join(&fleet.node(), "c", shared()).await;
    assert_eq!(text(&next(&mut other).await), "1");
}

#[tokio::test]
async fn subscription_outlives_its_nodes_handle() {
    let fleet = Fleet::new();
    let mut sub = join(&fleet.node(), "c", shared()).await;
    fleet.publish("1");
    next(&mut sub).await.ack().await.unwrap();
    drop(sub);
    assert_eq!(fleet.view().channels[0].consumers, 0);
}

#[tokio::test]
async fn thousand_restarts_leave_no_channel_and_hold_nothing_back() {
    let config = PubSubConfig {
        history: 5,
        ..PubSubConfig::default()
    };
    let fleet = Fleet::with(config);
    let mut steady = join(&fleet.node(), "steady", shared()).await;
    for life in 0..1_000 {
        let node = fleet.node();
        let name = format!("node-{life}");
        let mut own = join(&node, &name, SubscribeOptions::ephemeral()).await;
        fleet.publish(&life.to_string());
        // Every way to go: with a delivery in hand, without a look, closed in order, dropped, shut down.
        let held = match life % 2 {
            0 => Some(next(&mut own).await),
            _ => None,
        };
        match life % 3 {
            0 => node.close(),
            1 => drop(own),
            _ => {
                let trigger = ShutdownTrigger::new();
                trigger.force();
                node.run(trigger.shutdown()).await.unwrap();
            }
        }
        drop(held);
        let delivery = next(&mut steady).await;
        assert_eq!(
            text(&delivery),
            life.to_string(),
            "nothing is lost for the live one"
        );
        delivery.ack().await.unwrap();
    }
    let view = fleet.view();
    assert_eq!((view.channels.len(), view.messages), (1, 5));
}

#[tokio::test]
async fn refused_subscribe_names_the_fault_and_makes_no_topic() {
    let fleet = Fleet::new();
    let node = fleet.node();
    let refused = async |topic: &Topic, name: &str, options| {
        let error = node
            .subscribe(topic, &channel(name), options)
            .await
            .unwrap_err();
        (error.kind(), error.to_string())
    };
    let never = || SubscribeOptions {
        start: Start::After("00000000000000000009".try_into().unwrap()),
        ..shared()
    };
    let other = Topic::new("other").unwrap();
    for topic in [&other, &topic()] {
        let (kind, text) = refused(topic, "c", never()).await;
        assert_eq!(kind, ErrorKind::Config);
        assert!(text.contains("00000000000000000009") && text.contains(topic.as_str()));
        let unknown = node.inspect(topic).await.unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::NotFound);
        assert!(unknown.to_string().contains(topic.as_str()));
    }
    let _own = join(&node, "own", SubscribeOptions::ephemeral()).await;
    for options in [shared(), SubscribeOptions::ephemeral()] {
        let (kind, text) = refused(&topic(), "own", options).await;
        assert_eq!(kind, ErrorKind::Conflict);
        assert!(text.contains("`own`"), "{text}");
    }
    let impossible = SubscribeOptions {
        max_in_flight: 0,
        ..shared()
    };
    assert_eq!(
        refused(&topic(), "c", impossible).await.0,
        ErrorKind::Config
    );
}

#[tokio::test]
async fn debug_output_shows_no_body() {
    let fleet = Fleet::new();
    let node = fleet.node();
    let mut sub = join(&node, "c", shared()).await;
    fleet.publish("sentinel");
    let delivery = next(&mut sub).await;
    let shown = format!("{node:?} {:?} {sub:?} {delivery:?}", fleet.broker);
    assert!(!shown.contains("sentinel"), "{shown}");
    assert_eq!(node.name(), "pubsub-local");
    assert!(is_quiet(&mut sub, Duration::from_millis(1)).await);
}
