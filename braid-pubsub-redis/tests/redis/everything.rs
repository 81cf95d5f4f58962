//! All that there is to do with topics, for tests of what it needs.

use braid_core::{
    Backoff, Channel, Error, ErrorKind, NewMessage, PubSub as _, Result, Start, SubscribeOptions,
    Topic,
};
use braid_pubsub_redis::{PubSubConfig, RedisPubSub};
use braid_testkit::{Running, SETTLED};
use futures_util::StreamExt as _;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Longer than anything takes that isn't refused, shorter than tests wait for the right error.
const PATIENCE: Duration = Duration::from_secs(10);

/// Does everything that there is to do with topics, in the background. Gives each error that somebody was told.
pub(crate) fn use_everything(config: PubSubConfig, topic: &str) -> UnboundedReceiver<Error> {
    let (told, errors) = unbounded_channel();
    let told = Told(told);
    let topics = [topic.to_owned(), format!("{topic}.crash")]
        .map(|name| Topic::new(name).expect("it is short"));
    tokio::spawn(async move {
        let config = PubSubConfig {
            block: Duration::from_millis(500),
            retention_interval: Duration::from_millis(50),
            ..config
        };
        let Some(node) = start(&config, &told).await else {
            return;
        };
        publish_and_handle(&node, &topics[0], &told).await;
        take_over(&node, &config, &topics[1], &told).await;
        told.of(node.topics().await);
        told.of(node.stop_within(SETTLED).await);
    });
    errors
}

/// Where errors go, whoever gets them.
#[derive(Clone)]
struct Told(UnboundedSender<Error>);

impl Told {
    fn of<T>(&self, result: Result<T>) -> Option<T> {
        // Nobody listens any more once the right error was told.
        result.map_err(|error| drop(self.0.send(error))).ok()
    }
}

async fn start(config: &PubSubConfig, told: &Told) -> Option<Running<RedisPubSub>> {
    let pubsub = told.of(RedisPubSub::connect(config.clone()).await)?;
    Some(Running::start(Arc::new(pubsub)).await)
}

async fn publish_and_handle(node: &RedisPubSub, topic: &Topic, told: &Told) {
    told.of(node.publish(topic, NewMessage::new("plain")).await);
    let reading = told
        .of(node.read(topic, Start::New).await)
        .map(|mut messages| {
            let told = told.clone();
            tokio::spawn(async move {
                while let Some(message) = messages.next().await {
                    told.of(message);
                }
            })
        });
    let handled = subscribe(node, topic, told).await;
    let short = NewMessage::new("delayed").with_delay(Duration::from_millis(1));
    for message in [
        NewMessage::new("keyed").with_key("key"),
        NewMessage::new("once").with_dedup_key("once"),
        short,
    ] {
        told.of(node.publish(topic, message).await);
    }
    let own = Channel::new("own").expect("it is short");
    if let Some(own) = told.of(node
        .subscribe(topic, &own, SubscribeOptions::ephemeral())
        .await)
    {
        told.of(own.close().await);
    }
    emptied(node, topic, told).await;
    if let Some(reading) = reading {
        reading.abort();
    }
    close(handled).await;
}

/// One process dies while it holds a message with a key, which is handed out by another one.
async fn take_over(node: &RedisPubSub, config: &PubSubConfig, topic: &Topic, told: &Told) {
    let Some(dying) = start(config, told).await else {
        return;
    };
    let Some(mut held) = told.of(dying.subscribe(topic, &channel(), options()).await) else {
        return;
    };
    told.of(node
        .publish(topic, NewMessage::new("keyed").with_key("key"))
        .await);
    let delivery = timeout(PATIENCE, held.next()).await;
    dying.kill().await;
    let handled = subscribe(node, topic, told).await;
    emptied(node, topic, told).await;
    close(handled).await;
    std::mem::forget((held, delivery));
}

/// Waits until everything is handled and removed. That it isn't is an error too.
async fn emptied(node: &RedisPubSub, topic: &Topic, told: &Told) {
    let empty = async {
        while told
            .of(node.inspect(topic).await)
            .is_none_or(|view| view.messages > 0)
        {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let text = format!("topic `{topic}` isn't emptied");
    let late = |_| Error::new(ErrorKind::Timeout, "test", "wait", text);
    told.of(timeout(PATIENCE, empty).await.map_err(late));
}

/// A subscription and what ends it.
type Handled = Option<(CancellationToken, JoinHandle<()>)>;

/// Handles what comes: each message at the second attempt.
async fn subscribe(node: &RedisPubSub, topic: &Topic, told: &Told) -> Handled {
    let mut subscription = told.of(node.subscribe(topic, &channel(), options()).await)?;
    let (told, stop) = (told.clone(), CancellationToken::new());
    let stopped = stop.clone();
    let handling = tokio::spawn(async move {
        while let Some(Some(next)) = stopped.run_until_cancelled(subscription.next()).await {
            let Some(delivery) = told.of(next) else {
                continue;
            };
            if delivery.message().attempt == 1 {
                told.of(delivery.retry("once more").await);
            } else {
                told.of(delivery.ack().await);
            }
        }
        told.of(subscription.close().await);
    });
    Some((stop, handling))
}

async fn close(handled: Handled) {
    if let Some((stop, handling)) = handled {
        stop.cancel();
        // A panic of it shows as an error that nobody was told.
        let _ = handling.await;
    }
}

fn channel() -> Channel {
    Channel::new("all").expect("it is short")
}

fn options() -> SubscribeOptions {
    SubscribeOptions {
        start: Start::Beginning,
        claim_after: Duration::from_millis(500),
        backoff: Backoff::NONE,
        ..SubscribeOptions::shared()
    }
}
