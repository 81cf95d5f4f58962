//! A process that takes part in a channel until it is killed.

use crate::{
    Result,
    history::{History, Record, now},
    publisher::patient,
};
use braid_core::{Channel, Component as _, PubSub as _, ShutdownTrigger, SubscribeOptions, Topic};
use braid_pubsub_redis::{Durability, RedisPubSub};
use futures_util::FutureExt as _;
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// How the program is started for this.
pub(crate) const ROLE: &str = "consumer";

/// The most deliveries that are acked together.
const BATCH: usize = 64;

/// What a consumer has to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Consumer {
    pub(crate) url: String,
    pub(crate) topic: String,
    pub(crate) channel: String,
    pub(crate) claim_after: Duration,
    pub(crate) max_in_flight: usize,
    pub(crate) history: PathBuf,
}

impl Consumer {
    pub(crate) fn options(claim_after: Duration, max_in_flight: usize) -> SubscribeOptions {
        SubscribeOptions {
            claim_after,
            max_in_flight,
            ..SubscribeOptions::shared()
        }
    }
}

/// Takes what comes, writes it down, acks it. Doesn't return by itself.
pub(crate) fn run(config: &str) -> Result<()> {
    let config: Consumer = serde_json::from_str(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let pubsub = RedisPubSub::connect(patient(&config.url, Durability::Fast)).await?;
        // Nobody asks for a graceful end.
        let trigger = ShutdownTrigger::new();
        tokio::select! {
            ended = pubsub.run(trigger.shutdown()) => Err(format!("the backend ended: {ended:?}").into()),
            ended = consume(&pubsub, &config) => ended,
        }
    })
}

async fn consume(pubsub: &RedisPubSub, config: &Consumer) -> Result<()> {
    let history = History::create(&config.history)?;
    let (topic, channel) = (
        Topic::new(config.topic.as_str())?,
        Channel::new(config.channel.as_str())?,
    );
    let mut subscription = loop {
        let options = Consumer::options(config.claim_after, config.max_in_flight);
        match pubsub.subscribe(&topic, &channel, options).await {
            Ok(subscription) => break subscription,
            Err(error) => history.write(Record::Fault(&error.to_string()))?,
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let mut held = Vec::with_capacity(BATCH);
    loop {
        let mut item = subscription.next().await;
        loop {
            match item {
                Some(Ok(delivery)) => {
                    let message = delivery.message();
                    // What can't be read is no message of a publisher's: a number that none has.
                    let number = str::from_utf8(&message.body).ok();
                    let number = number
                        .and_then(|text| text.parse().ok())
                        .unwrap_or(usize::MAX);
                    // Before the ack: what was acked is known to have been here.
                    history.write(Record::Handed(number, message.attempt, now()))?;
                    held.push(delivery);
                }
                Some(Err(fault)) => history.write(Record::Fault(&fault.to_string()))?,
                None => return Err("the subscription ended".into()),
            }
            if held.len() >= BATCH {
                break;
            }
            match subscription.next().now_or_never() {
                Some(next) => item = next,
                None => break,
            }
        }
        for delivery in held.drain(..) {
            if let Err(fault) = delivery.ack().await {
                history.write(Record::Fault(&fault.to_string()))?;
            }
        }
    }
}
