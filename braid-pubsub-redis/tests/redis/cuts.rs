//! Connections that end in the wrong moment: between a command and its reply (P10).

use crate::support::{
    COMMAND, Node, Reader, SLACK, impatient, length, names, node, once, patient, publish, quick,
    reading, text, through, waiting_in,
};
use braid_core::{Error, ErrorKind, NewMessage, Ownership, PubSub, SubscribeOptions, Topic};
use braid_pubsub_redis::Durability;
use braid_testkit::{
    SETTLED, eventually,
    proxy::Proxy,
    redis::{Persistence, RedisServer},
    within,
};
use std::time::{Duration, Instant};

/// A server, a node behind a proxy, and one with a way of its own.
struct Setting {
    server: RedisServer,
    proxy: Proxy,
    behind: Node,
    aside: Node,
}

impl Setting {
    async fn start() -> Self {
        let server = RedisServer::builder().start().await;
        let proxy = Proxy::start(server.addr()).await;
        Self {
            behind: node(through(proxy.addr())).await,
            aside: node(quick(server.url())).await,
            server,
            proxy,
        }
    }

    /// Publishes through the proxy, which swallows the answer.
    async fn publish_unanswered(&self, topic: &Topic, message: NewMessage) -> Error {
        // The first use of a topic is more than one command.
        self.proxy.swallow_next_reply_and_cut(message.body());
        let published = self.behind.publish(topic, message);
        let error = within("the publish", SETTLED, published).await;
        error.expect_err("the answer is lost")
    }

    async fn connected(&self, topic: &Topic) {
        eventually("it is connected again", SETTLED, async || {
            self.behind.inspect(topic).await.is_ok()
        })
        .await;
    }

    async fn stop(self) {
        self.behind.stop().await;
        self.aside.stop().await;
    }
}

/// Of each form that a publish has: plain, and by script.
fn forms(body: &str) -> [NewMessage; 3] {
    let plain = NewMessage::new(body.to_owned());
    let keyed = plain.clone().with_key("customer");
    let dedup = plain.clone().with_dedup_key(body);
    [plain, keyed, dedup]
}

#[tokio::test]
async fn a_publish_whose_answer_is_lost_is_indeterminate_and_there_once() {
    let setting = Setting::start().await;
    for (first, message) in forms("first").into_iter().zip(forms("lost-answer")) {
        let (topic, channel) = names();
        let mut reader = Reader::start(&setting.aside, &topic, &channel, patient()).await;
        // Now the server knows the script too.
        publish(&setting.behind, &topic, first).await;
        reader.expect("first").await;
        let error = setting.publish_unanswered(&topic, message).await;
        assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error}");
        assert!(error.to_string().contains(topic.as_str()), "{error}");
        reader.expect("lost-answer").await;
        // Had it been sent again, that would have come before this.
        setting.connected(&topic).await;
        publish(&setting.behind, &topic, "last").await;
        reader.expect("last").await;
        let command = ["XINFO", "STREAM", topic.as_str()];
        let stored = setting.server.command(&command).await;
        let added = stored
            .items()
            .chunks_exact(2)
            .find(|pair| pair[0].text() == "entries-added");
        let added = added.expect("Redis 7 counts them")[1].integer();
        assert_eq!(added, Some(3), "each of them once");
    }
    setting.stop().await;
}

#[tokio::test]
async fn a_publish_with_a_dedup_key_may_be_repeated_after_a_cut() {
    let setting = Setting::start().await;
    let (topic, channel) = names();
    let mut reader = Reader::start(&setting.aside, &topic, &channel, patient()).await;
    let first = NewMessage::new("first").with_dedup_key("first");
    publish(&setting.behind, &topic, first).await;
    reader.expect("first").await;
    for round in 0..5 {
        let body = format!("once {round}");
        let message = || NewMessage::new(body.clone()).with_dedup_key(body.clone());
        let error = setting.publish_unanswered(&topic, message()).await;
        assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error}");
        setting.connected(&topic).await;
        let again = publish(&setting.behind, &topic, message()).await;
        let delivery = reader.next().await;
        assert_eq!((text(&delivery), &delivery.message().id), (body, &again));
        delivery.ack().await.expect("the worker runs");
    }
    publish(&setting.behind, &topic, "last").await;
    reader.expect("last").await;
    setting.stop().await;
}

/// What a read brings whose answer is lost was never handed out: it is, and in its first attempt.
#[tokio::test]
async fn what_a_lost_read_has_brought_is_handed_out() {
    let setting = Setting::start().await;
    for keyed in [false, true] {
        let (topic, channel) = names();
        let message = |body: String| match keyed {
            true => NewMessage::new(body).with_key("customer"),
            false => NewMessage::new(body),
        };
        let mut reader = Reader::start(&setting.behind, &topic, &channel, once()).await;
        publish(&setting.aside, &topic, message("first".to_owned())).await;
        reader.expect("first").await;
        let group = match keyed {
            true => format!("braid:keys:{channel}"),
            false => channel.to_string(),
        };
        for round in 0..5 {
            reading(&setting.server, if keyed { 2 } else { 1 }).await;
            // The read that waits brings one; the next read brings what gets lost.
            let started = format!("GROUP\r\n${}\r\n{group}\r\n", group.len());
            setting.proxy.swallow_next_reply_and_cut(started);
            publish(&setting.aside, &topic, message(format!("read {round}"))).await;
            reader.expect(&format!("read {round}")).await;
            reading(&setting.server, if keyed { 2 } else { 1 }).await;
            let published = Instant::now();
            publish(&setting.aside, &topic, message(format!("lost {round}"))).await;
            reader.expect(&format!("lost {round}")).await;
            println!("keyed {keyed}: handed out after {:?}", published.elapsed());
            assert!(published.elapsed() < Duration::from_secs(1) + SLACK);
        }
        assert!(!reader.faults.is_empty(), "each cut is told of");
        drop(reader);
    }
    setting.stop().await;
}

/// However often answers get lost: what was never handed out is not counted as an attempt.
#[tokio::test]
async fn an_attempt_whose_count_was_not_answered_is_counted_once() {
    let setting = Setting::start().await;
    // The scripts that count: for a message with a key, and for another attempt.
    for (keyed, mark) in [(true, "{ 'early', early }"), (false, "BYSCORE")] {
        let (topic, channel) = names();
        let options = SubscribeOptions {
            max_attempts: 2,
            ..patient()
        };
        let mut reader = Reader::start(&setting.behind, &topic, &channel, options).await;
        for round in 0..3 {
            let message = NewMessage::new(format!("message {round}"));
            let message = match keyed {
                true => message.with_key("customer"),
                false => message,
            };
            // Unknown scripts are sent by their texts, which can be marked.
            let forget = async || {
                setting.server.command(&["SCRIPT", "FLUSH"]).await;
                setting.proxy.swallow_next_reply_and_cut(mark);
            };
            if keyed {
                forget().await;
            }
            publish(&setting.aside, &topic, message).await;
            let delivery = reader.next().await;
            assert_eq!(delivery.message().attempt, 1, "{:?}", reader.faults);
            forget().await;
            let retried = delivery.retry("once more").await;
            assert_eq!(retried.expect("it is held"), Ownership::Held);
            let delivery = within("it again", SETTLED, reader.delivery()).await;
            assert_eq!(delivery.message().attempt, 2, "{:?}", reader.faults);
            delivery.ack().await.expect("the worker runs");
        }
        drop(reader);
    }
    setting.stop().await;
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable_and_nothing_is_stored() {
    let server = RedisServer::builder()
        .persistence(Persistence::AofAlways)
        .start()
        .await;
    let (node, (topic, _)) = (node(impatient(quick(server.url()))).await, names());
    for form in forms("first") {
        publish(&node, &topic, form).await;
    }
    let before = length(&server, &topic).await;
    server.kill();
    // Until the loss is noticed nobody can know.
    eventually("the loss is noticed", SETTLED, async || {
        let error = node.publish(&topic, NewMessage::new("x")).await;
        error.expect_err("it is away").kind() == ErrorKind::Unavailable
    })
    .await;
    for form in forms("away") {
        let asked = Instant::now();
        let error = node.publish(&topic, form).await.expect_err("it is away");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.is_retryable());
        assert!(asked.elapsed() < COMMAND + SLACK, "{:?}", asked.elapsed());
    }
    server.restart().await;
    publish(&node, &topic, "back").await;
    assert_eq!(length(&server, &topic).await, before + 1);
    node.stop().await;
}

/// The replicas never confirm, so that the cut surely falls between the publish and the end of its WAIT.
#[tokio::test]
async fn a_reconnect_between_a_publish_and_its_wait_is_indeterminate() {
    let setting = Setting::start().await;
    let (topic, channel) = names();
    let mut reader = Reader::start(&setting.aside, &topic, &channel, patient()).await;
    let replicated = setting
        .behind
        .with_durability(Durability::Replicated {
            n: 1,
            timeout: Duration::from_secs(20),
        })
        .expect("every server has WAIT");
    for round in 0..3 {
        let message = NewMessage::new(format!("message {round}"));
        let cut = async {
            eventually("WAIT waits", SETTLED, async || {
                waiting_in(&setting.server, "wait").await.len() == 1
            })
            .await;
            setting.proxy.cut();
            Instant::now()
        };
        let (published, cut) = tokio::join!(replicated.publish(&topic, message), cut);
        let error = published.expect_err("no replica has it");
        assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error}");
        assert!(cut.elapsed() < SLACK, "{:?}", cut.elapsed());
        reader.expect(&format!("message {round}")).await;
        setting.connected(&topic).await;
    }
    reader.silent(Duration::from_millis(200)).await;
    setting.stop().await;
}
