//! A topic on Redis, with one consumer that fails now and then: `cargo run -p braid-pubsub-redis --example topics`, with a server at
//! `BRAID_REDIS_URL`.

use braid_core::{Component, NewMessage, PubSub, ShutdownTrigger, SubscribeOptions};
use braid_pubsub_redis::{PubSubConfig, RedisConfig, RedisPubSub};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

#[tokio::main]
async fn main() -> braid_core::Result<()> {
    let config = PubSubConfig {
        redis: RedisConfig::from_env()?,
        ..PubSubConfig::default()
    };
    let pubsub = Arc::new(RedisPubSub::connect(config).await?);
    let trigger = ShutdownTrigger::new();
    let run = tokio::spawn({
        let (pubsub, shutdown) = (Arc::clone(&pubsub), trigger.shutdown());
        async move { pubsub.run(shutdown).await }
    });

    let (topic, channel) = ("example.orders".try_into()?, "billing".try_into()?);
    let options = SubscribeOptions {
        max_attempts: 3,
        ..SubscribeOptions::shared()
    };
    let mut orders = pubsub.subscribe(&topic, &channel, options).await?;

    for number in 1..=3 {
        let order = NewMessage::new(format!("order {number}")).with_header("currency", "EUR");
        let id = pubsub.publish(&topic, order).await?;
        println!("published {id}");
    }
    let later = NewMessage::new("a reminder").with_delay(Duration::from_secs(1));
    pubsub.publish(&topic, later).await?;

    let mut left = 4;
    while left > 0 {
        let Some(delivery) = orders.next().await else {
            break;
        };
        let delivery = delivery?;
        let message = delivery.message();
        let age = SystemTime::now()
            .duration_since(message.timestamp)
            .unwrap_or_default();
        println!(
            "{:?} in attempt {}, {age:?} old",
            message.body, message.attempt
        );
        if message.body == "order 2" && message.attempt == 1 {
            // Comes again after its backoff; the third failure would make it a dead letter.
            let _ = delivery.retry("the bank is closed").await?;
        } else {
            delivery.ack().await?;
            left -= 1;
        }
    }
    println!("{:#?}", pubsub.inspect(&topic).await?);

    orders.close().await?;
    trigger.drain();
    run.await.expect("the run doesn't panic")
}
