//! Topics shared with the original, braid-go: each reads what the other publishes (P14).
//!
//! `cargo xtask test` builds its program. None of these tests passes without: `cargo xtask test --without go` leaves them out, and
//! says so.

use crate::{
    original::Original,
    support::{Node, Reader, names, node, patient, publish, quick},
};
use braid_core::{Channel, NewMessage, PubSub, Start, SubscribeOptions, Topic};
use braid_testkit::{SETTLED, eventually, redis::RedisServer, within};
use std::{collections::BTreeSet, time::Duration};

fn publisher(server: &RedisServer, topic: &Topic) -> Original {
    Original::start(&["publish", &server.addr().to_string(), topic.as_str()])
}

async fn consumer(server: &RedisServer, topic: &Topic, channel: &Channel, from: &str) -> Original {
    let address = server.addr().to_string();
    let args = ["consume", &address, topic.as_str(), channel.as_str(), from];
    let mut consumer = Original::start(&args);
    consumer.says("ready").await;
    consumer
}

impl Original {
    async fn publish(&mut self, body: &str) {
        self.tell(body).await;
        self.says("published").await;
    }

    async fn got(&mut self) -> String {
        self.says("got").await
    }
}

async fn setting() -> (RedisServer, Node, Topic, Channel) {
    let server = RedisServer::builder().start().await;
    let node = node(quick(server.url())).await;
    let (topic, channel) = names();
    (server, node, topic, channel)
}

fn from_the_beginning() -> SubscribeOptions {
    SubscribeOptions {
        start: Start::Beginning,
        ..patient()
    }
}

/// One of each form that a message has here.
fn forms() -> [(&'static str, NewMessage); 5] {
    let new = |body: &'static str| NewMessage::new(body);
    [
        ("plain", new("plain")),
        (
            "with headers",
            new("with headers")
                .with_header(
                    "traceparent",
                    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                )
                .with_header("msg", "not the body"),
        ),
        ("with a key", new("with a key").with_key("customer")),
        (
            "with a dedup key",
            new("with a dedup key").with_dedup_key("order-1"),
        ),
        (
            "delayed",
            new("delayed").with_delay(Duration::from_millis(300)),
        ),
    ]
}

#[tokio::test]
async fn braid_reads_what_the_original_publishes() {
    let (server, node, topic, channel) = setting().await;
    let mut original = publisher(&server, &topic);
    for body in [
        "first",
        "second",
        "a body with spaces, ünïcödé and \"quotes\"",
    ] {
        original.publish(body).await;
    }
    let mut old = Reader::start(&node, &topic, &channel, from_the_beginning()).await;
    let new = Channel::new("audit").expect("it is short");
    let mut new = Reader::start(&node, &topic, &new, patient()).await;
    original.publish("last").await;
    for body in [
        "first",
        "second",
        "a body with spaces, ünïcödé and \"quotes\"",
        "last",
    ] {
        let delivery = old.next().await;
        let message = delivery.message();
        assert_eq!(crate::support::text(&delivery), body);
        assert!(message.headers.is_empty() && message.key.is_none());
        assert_eq!(message.attempt, 1);
        delivery.ack().await.expect("the worker runs");
    }
    new.expect("last").await;
    original.ended().await;
    node.stop().await;
}

#[tokio::test]
async fn the_original_reads_what_braid_publishes() {
    let (server, node, topic, channel) = setting().await;
    let mut original = consumer(&server, &topic, &channel, "new").await;
    let mut published = BTreeSet::new();
    for (body, message) in forms() {
        publish(&node, &topic, message).await;
        published.insert(body.to_owned());
    }
    let mut got = BTreeSet::new();
    while got.len() < published.len() {
        got.insert(original.got().await);
    }
    assert_eq!(got, published);
    eventually("it has acked them", SETTLED, async || {
        let view = node.inspect(&topic).await.expect("it is there");
        view.channels.iter().all(|channel| channel.pending == 0)
    })
    .await;
    original.ended().await;
    node.stop().await;
}

#[tokio::test]
async fn each_reads_from_the_beginning_what_was_there_before() {
    let (server, node, topic, channel) = setting().await;
    for (_, message) in forms() {
        publish(&node, &topic, message).await;
    }
    let mut original = consumer(&server, &topic, &channel, "beginning").await;
    for (body, _) in forms() {
        assert_eq!(original.got().await, body);
    }
    node.stop().await;
}

/// Consumers of both in one channel share its messages: none gets lost between them, and none is given to both.
#[tokio::test]
async fn consumers_of_both_share_a_channel() {
    const COUNT: usize = 400;
    let (server, node, topic, channel) = setting().await;
    let mut reader = Reader::start(&node, &topic, &channel, patient()).await;
    let mut original = consumer(&server, &topic, &channel, "new").await;
    let mut publisher = publisher(&server, &topic);
    let (mut here, mut there) = (BTreeSet::new(), BTreeSet::new());
    for number in 0..COUNT {
        let body = format!("message {number}");
        match number % 2 {
            0 => drop(publish(&node, &topic, body).await),
            _ => publisher.publish(&body).await,
        }
    }
    while here.len() + there.len() < COUNT {
        let next = async {
            tokio::select! {
                delivery = reader.delivery() => {
                    let new = here.insert(crate::support::text(&delivery));
                    assert!(new, "{delivery:?} a second time");
                    delivery.ack().await.expect("the worker runs");
                }
                body = original.got() => assert!(there.insert(body)),
            }
        };
        within("the next one", SETTLED, next).await;
    }
    assert!(here.is_disjoint(&there));
    println!("{} here, {} there", here.len(), there.len());
    publisher.ended().await;
    node.stop().await;
}
