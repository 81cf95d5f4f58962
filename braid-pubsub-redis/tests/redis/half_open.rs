//! Connections over which nothing comes any more, and nobody says so (P10).

use crate::support::{
    COMMAND, Reader, SLACK, impatient, names, node, patient, publish, quick, reading, through,
    waiting_in,
};
use braid_core::{ErrorKind, NewMessage, PubSub};
use braid_pubsub_redis::PubSubConfig;
use braid_testkit::{SETTLED, eventually, proxy::Proxy, redis::RedisServer};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_reader_leaves_a_half_open_connection_within_twice_the_block_time() {
    let server = RedisServer::builder().start().await;
    let proxy = Proxy::start(server.addr()).await;
    let block = Duration::from_secs(1);
    for keyed in [false, true] {
        let config = PubSubConfig {
            block,
            ..impatient(through(proxy.addr()))
        };
        let (behind, aside) = (node(config).await, node(quick(server.url())).await);
        let (topic, channel) = names();
        let message = |body: &str| match keyed {
            true => NewMessage::new(body.to_owned()).with_key("customer"),
            false => NewMessage::new(body.to_owned()),
        };
        let mut reader = Reader::start(&behind, &topic, &channel, patient()).await;
        publish(&aside, &topic, message("before")).await;
        reader.expect("before").await;
        let readers = if keyed { 2 } else { 1 };
        reading(&server, readers).await;
        let old = waiting_in(&server, "xreadgroup").await;

        proxy.half_open();
        let silent = Instant::now();
        proxy.heal();
        let noticed = 2 * block + SLACK;
        eventually("other connections", noticed, async || {
            let now = waiting_in(&server, "xreadgroup").await;
            now.iter().filter(|id| !old.contains(id)).count() == readers
        })
        .await;
        println!("keyed {keyed}: noticed after {:?}", silent.elapsed());
        publish(&aside, &topic, message("after")).await;
        let published = Instant::now();
        reader.expect("after").await;
        println!("handed out after {:?}", published.elapsed());
        assert!(published.elapsed() < COMMAND + SLACK);
        drop(reader);
        behind.stop().await;
        aside.stop().await;
    }
}

#[tokio::test]
async fn publishers_leave_a_half_open_connection_within_the_command_timeout() {
    let server = RedisServer::builder().start().await;
    let proxy = Proxy::start(server.addr()).await;
    let (behind, (topic, _)) = (node(impatient(through(proxy.addr()))).await, names());
    publish(&behind, &topic, "before").await;
    for round in 0..2 {
        proxy.half_open();
        let asked = Instant::now();
        let error = behind
            .publish(&topic, NewMessage::new("into the void"))
            .await
            .expect_err("nothing passes");
        let kind = error.kind();
        assert!(
            matches!(kind, ErrorKind::Timeout | ErrorKind::Indeterminate),
            "{error}"
        );
        assert!(asked.elapsed() < COMMAND + SLACK, "{:?}", asked.elapsed());
        proxy.heal();
        let healed = Instant::now();
        eventually(
            "publishes are answered again",
            Duration::from_secs(2),
            async || {
                let message = NewMessage::new(format!("after {round}"));
                behind.publish(&topic, message).await.is_ok()
            },
        )
        .await;
        println!("answered again {:?} after the heal", healed.elapsed());
    }
    behind.stop().await;
}

#[tokio::test]
async fn acks_into_the_void_are_sent_again() {
    let server = RedisServer::builder().start().await;
    let proxy = Proxy::start(server.addr()).await;
    let (behind, aside) = (
        node(impatient(through(proxy.addr()))).await,
        node(quick(server.url())).await,
    );
    for keyed in [false, true] {
        let (topic, channel) = names();
        let mut reader = Reader::start(&behind, &topic, &channel, patient()).await;
        let message = NewMessage::new("acked");
        let message = match keyed {
            true => message.with_key("customer"),
            false => message,
        };
        publish(&aside, &topic, message).await;
        let delivery = reader.next().await;
        proxy.half_open();
        delivery.ack().await.expect("the worker runs");
        proxy.heal();
        eventually("the ack is there", SETTLED, async || {
            let view = aside.inspect(&topic).await.expect("it is there");
            view.channels.iter().all(|channel| channel.pending == 0)
        })
        .await;
        publish(&aside, &topic, "after").await;
        reader.expect("after").await;
    }
    behind.stop().await;
    aside.stop().await;
}

#[tokio::test]
async fn a_frozen_server_is_waited_for_and_nothing_is_lost() {
    let server = RedisServer::builder().start().await;
    let (node, (topic, channel)) = (node(impatient(quick(server.url()))).await, names());
    let mut reader = Reader::start(&node, &topic, &channel, patient()).await;
    publish(&node, &topic, "before").await;
    let held = reader.next().await;
    server.pause();
    let asked = Instant::now();
    let error = node
        .publish(&topic, NewMessage::new("perhaps"))
        .await
        .expect_err("it is frozen");
    let kind = error.kind();
    assert!(
        matches!(kind, ErrorKind::Timeout | ErrorKind::Indeterminate),
        "{error}"
    );
    assert!(asked.elapsed() < COMMAND + SLACK, "{:?}", asked.elapsed());
    held.ack().await.expect("an ack waits for the server");
    server.resume();
    publish(&node, &topic, "after").await;
    // What it had received before it froze may be there now.
    loop {
        let delivery = reader.next().await;
        let body = crate::support::text(&delivery);
        assert!(body != "before", "it was acked");
        assert_eq!(delivery.message().attempt, 1);
        delivery.ack().await.expect("the worker runs");
        if body == "after" {
            break;
        }
    }
    eventually("the acks are there", SETTLED, async || {
        let view = node.inspect(&topic).await.expect("the server is back");
        view.channels.iter().all(|channel| channel.pending == 0)
    })
    .await;
    node.stop().await;
}
