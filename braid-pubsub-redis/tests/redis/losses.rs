//! Streams and groups that somebody deletes while they are read (P6).

use crate::support::{
    Logged, Reader, SLACK, groups, info, names, node, patient, publish, quick, reading, text,
};
use braid_core::{ChannelKind, ErrorKind, NewMessage, Ownership, PubSub, SubscribeOptions, Topic};
use braid_pubsub_redis::PubSubConfig;
use braid_testkit::{SETTLED, eventually, redis::RedisServer};
use std::time::{Duration, Instant};

/// A read waits longer than the second in which all has to be well again, so that no read's end can heal it.
fn config(server: &RedisServer) -> PubSubConfig {
    PubSubConfig {
        block: Duration::from_secs(10),
        ..quick(server.url())
    }
}

const BACK: Duration = Duration::from_secs(1);
/// What a loss may cost in the log.
const CALM: usize = 3;

const ALL: [&str; 3] = ["FLUSHALL", "DEL", "XGROUP"];

async fn lose(server: &RedisServer, how: &str, topic: &Topic, group: &str) {
    let topic = topic.as_str();
    let command = match how {
        "DEL" => vec!["DEL", topic],
        "XGROUP" => vec!["XGROUP", "DESTROY", topic, group],
        other => vec![other],
    };
    server.command(&command).await;
}

fn keyed(body: &str) -> NewMessage {
    NewMessage::new(body.to_owned()).with_key("customer")
}

#[tokio::test]
async fn a_lost_group_is_back_within_a_second_and_the_loss_is_told_of() {
    for how in ALL {
        for pending in [false, true] {
            let server = RedisServer::builder().start().await;
            let (node, (topic, channel)) = (node(config(&server)).await, names());
            let mut reader = Reader::start(&node, &topic, &channel, patient()).await;
            publish(&node, &topic, "before").await;
            let before = reader.next().await;
            let held = pending.then_some(before);
            reading(&server, 1).await;
            let logged = Logged::start();

            lose(&server, how, &topic, channel.as_str()).await;
            let lost = Instant::now();
            eventually("the group is back", BACK, async || {
                groups(&server, &topic).await == [channel.as_str()]
            })
            .await;
            println!("{how}, pending {pending}: back after {:?}", lost.elapsed());
            publish(&node, &topic, "after").await;
            until(&mut reader, "after").await;
            eventually("the topic is listed", BACK, async || {
                let listed = node.topics().await;
                listed.is_ok_and(|listed| listed.contains(&topic))
            })
            .await;
            let told = reader.only_fault();
            assert_eq!(told.kind(), ErrorKind::NotFound, "{told}");
            assert!(told.to_string().contains(topic.as_str()), "{told}");
            assert!(told.to_string().contains(channel.as_str()), "{told}");
            if let Some(held) = held {
                held.ack().await.expect("it may be acked all the same");
            }
            publish(&node, &topic, "later").await;
            reader.expect("later").await;
            assert!(logged.count() <= CALM, "{how}: {} logs", logged.count());
            node.stop().await;
        }
    }
}

/// Acks what comes until this has come: where the stream is still there, what was being worked on may come again.
async fn until(reader: &mut Reader, body: &str) {
    loop {
        let delivery = reader.next().await;
        let found = text(&delivery) == body;
        delivery.ack().await.expect("the worker runs");
        if found {
            return;
        }
    }
}

#[tokio::test]
async fn what_is_published_right_after_a_loss_arrives() {
    let server = RedisServer::builder().start().await;
    let node = node(config(&server)).await;
    for kind in [ChannelKind::Shared, ChannelKind::Ephemeral] {
        let (topic, channel) = names();
        let options = SubscribeOptions { kind, ..patient() };
        let mut reader = Reader::start(&node, &topic, &channel, options).await;
        for round in 0..15 {
            let how = ALL[round % ALL.len()];
            publish(&node, &topic, format!("before {round}")).await;
            until(&mut reader, &format!("before {round}")).await;
            lose(&server, how, &topic, channel.as_str()).await;
            publish(&node, &topic, format!("after {round}")).await;
            until(&mut reader, &format!("after {round}")).await;
        }
    }
    node.stop().await;
}

/// The messages are still there; only who had which is forgotten.
#[tokio::test]
async fn what_was_pending_in_a_destroyed_group_comes_again() {
    for with_key in [false, true] {
        let server = RedisServer::builder().start().await;
        let (node, (topic, channel)) = (node(config(&server)).await, names());
        let mut reader = Reader::start(&node, &topic, &channel, patient()).await;
        let message = match with_key {
            false => NewMessage::new("held"),
            true => keyed("held"),
        };
        let group = match with_key {
            false => channel.to_string(),
            true => format!("braid:keys:{channel}"),
        };
        publish(&node, &topic, message).await;
        let held = reader.next().await;
        reading(&server, if with_key { 2 } else { 1 }).await;
        lose(&server, "XGROUP", &topic, &group).await;
        eventually("the group is back", BACK, async || {
            groups(&server, &topic).await.contains(&group)
        })
        .await;
        drop(held);
        let again = reader.next().await;
        assert_eq!(text(&again), "held");
        again.ack().await.expect("the worker runs");
        node.stop().await;
    }
}

#[tokio::test]
async fn messages_with_keys_survive_the_loss_of_either_group() {
    for (how, twin) in [
        ("FLUSHALL", false),
        ("DEL", false),
        ("XGROUP", false),
        ("XGROUP", true),
    ] {
        let server = RedisServer::builder().start().await;
        let (node, (topic, channel)) = (node(config(&server)).await, names());
        let mut reader = Reader::start(&node, &topic, &channel, patient()).await;
        publish(&node, &topic, keyed("before")).await;
        reader.expect("before").await;
        reading(&server, 2).await;
        let logged = Logged::start();

        let twin_group = format!("braid:keys:{channel}");
        let group = if twin { &twin_group } else { channel.as_str() };
        println!("{how} of {group}");
        lose(&server, how, &topic, group).await;
        eventually("the group is back", BACK, async || {
            groups(&server, &topic)
                .await
                .iter()
                .any(|name| name == group)
        })
        .await;
        for round in 0..3 {
            let (with, without) = (format!("with {round}"), format!("without {round}"));
            publish(&node, &topic, keyed(&with)).await;
            publish(&node, &topic, without.clone()).await;
            let mut got = Vec::new();
            while !(got.contains(&with) && got.contains(&without)) {
                let delivery = reader.next().await;
                got.push(text(&delivery));
                delivery.ack().await.expect("the worker runs");
            }
        }
        assert!(
            !reader.faults.is_empty(),
            "{how} of {group}: nothing was told"
        );
        assert!(
            reader
                .faults
                .iter()
                .all(|told| told.kind() == ErrorKind::NotFound),
            "{how} of {group}: {:?}",
            reader.faults
        );
        // Each of the two lanes may tell of it.
        assert!(
            reader.faults.len() <= 2,
            "{how} of {group}: {:?}",
            reader.faults
        );
        let count = logged.count();
        assert!(count <= 2 * CALM, "{how} of {group}: {count} logs");
        node.stop().await;
    }
}

/// Waits until retention has looked at the topic twice more, so that once it has done so wholly.
async fn retained(server: &RedisServer) {
    let looks = async || {
        let calls = info(server, "commandstats", "cmdstat_xtrim").await;
        let calls = calls
            .as_deref()
            .and_then(|stats| stats.strip_prefix("calls=")?.split(',').next());
        calls.map_or(0, |calls| calls.parse::<u64>().expect("a number"))
    };
    let before = looks().await;
    eventually("retention", SETTLED, async || looks().await >= before + 2).await;
}

/// Where the channel is made again depends on what it needed last: here it is always what was lost.
#[tokio::test]
async fn the_next_loss_is_healed_like_the_first_one() {
    let server = RedisServer::builder().start().await;
    let (node, (topic, channel)) = (node(config(&server)).await, names());
    let mut reader = Reader::start(&node, &topic, &channel, patient()).await;
    publish(&node, &topic, "before").await;
    let held = reader.next().await;
    for _ in 0..3 {
        retained(&server).await;
        lose(&server, "DEL", &topic, "").await;
        eventually("the group is back", BACK + SLACK, async || {
            groups(&server, &topic).await == [channel.as_str()]
        })
        .await;
    }
    retained(&server).await;
    held.ack().await.expect("it may be acked all the same");
    publish(&node, &topic, "after").await;
    until(&mut reader, "after").await;
    node.stop().await;
}

/// Nobody has published a message with a key since all was deleted, so that there is nothing to make again for them.
#[tokio::test]
async fn a_channel_without_keys_any_more_is_calm_until_there_are_some() {
    let server = RedisServer::builder().start().await;
    let (node, (topic, channel)) = (node(config(&server)).await, names());
    let mut reader = Reader::start(&node, &topic, &channel, patient()).await;
    publish(&node, &topic, keyed("before")).await;
    until(&mut reader, "before").await;
    reading(&server, 2).await;
    let logged = Logged::start();
    lose(&server, "FLUSHALL", &topic, "").await;
    let started = Instant::now();
    let mut round = 0;
    while started.elapsed() < Duration::from_secs(3) {
        let body = format!("without {round}");
        publish(&node, &topic, body.clone()).await;
        until(&mut reader, &body).await;
        round += 1;
    }
    let count = logged.count();
    assert!(count <= CALM, "{count} logs; {:?}", reader.faults);
    publish(&node, &topic, keyed("with")).await;
    until(&mut reader, "with").await;
    node.stop().await;
}

#[tokio::test]
async fn logs_stay_calm_while_somebody_deletes_over_and_over() {
    let server = RedisServer::builder().start().await;
    let (node, (topic, channel)) = (node(config(&server)).await, names());
    let mut reader = Reader::start(&node, &topic, &channel, patient()).await;
    publish(&node, &topic, keyed("before")).await;
    reader.expect("before").await;
    let logged = Logged::start();
    let started = Instant::now();
    let mut deletions = 0;
    while started.elapsed() < Duration::from_secs(3) {
        lose(&server, "DEL", &topic, "").await;
        deletions += 1;
        tokio::task::yield_now().await;
    }
    // Each lane heals less and less often, and tells each time.
    let count = logged.count();
    println!("{deletions} deletions, {count} logs");
    assert!(count <= 30, "{deletions} deletions, {count} logs");
    eventually("the group is back", SETTLED, async || {
        groups(&server, &topic)
            .await
            .iter()
            .any(|name| name == channel.as_str())
    })
    .await;
    publish(&node, &topic, "after").await;
    until(&mut reader, "after").await;
    node.stop().await;
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_told_again() {
    let server = RedisServer::builder().start().await;
    let (node, (topic, channel)) = (node(config(&server)).await, names());
    let mut reader = Reader::start(&node, &topic, &channel, patient()).await;
    let logged = Logged::start();
    for round in 0..3 {
        server.command(&["SCRIPT", "FLUSH"]).await;
        let body = format!("message {round}");
        publish(&node, &topic, keyed(&body)).await;
        server.command(&["SCRIPT", "FLUSH"]).await;
        let delivery = reader.next().await;
        assert_eq!(text(&delivery), body);
        server.command(&["SCRIPT", "FLUSH"]).await;
        let retried = delivery.retry("once more").await;
        assert_eq!(retried.expect("it is held"), Ownership::Held);
        server.command(&["SCRIPT", "FLUSH"]).await;
        let delivery = reader.next().await;
        assert_eq!(delivery.message().attempt, 2);
        delivery.ack().await.expect("the worker runs");
        server.command(&["SCRIPT", "FLUSH"]).await;
        assert!(node.inspect(&topic).await.is_ok());
    }
    assert!(reader.faults.is_empty(), "{:?}", reader.faults);
    assert_eq!(logged.count(), 0);
    node.stop().await;
}
