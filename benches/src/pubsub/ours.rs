//! braid's side.

use std::sync::Arc;

use braid_core::{
    Channel, NewMessage, PubSub, ShutdownTrigger, SubscribeOptions, Subscription, Topic,
};
use braid_pubsub_redis::{PubSubConfig, RedisPubSub};
use bytes::Bytes;
use tokio::task::JoinHandle;

use crate::Result;
use crate::blocks::Caller;

use super::BODY;
use super::fanout::{Drain, Fanout};

/// The topic that braid publishes to.
const TOPIC: &str = "bench-ours";

/// A running pub-sub. It ends when this is dropped.
#[derive(Debug)]
pub struct Ours {
    pubsub: Arc<dyn PubSub>,
    running: JoinHandle<braid_core::Result<()>>,
    // Dropped, it would end the run.
    _trigger: ShutdownTrigger,
}

async fn connect(url: &str) -> Result<Arc<dyn PubSub>> {
    let config = PubSubConfig {
        // No row is to meet it.
        capacity: 1 << 40,
        ..PubSubConfig::new(url)
    };
    Ok(Arc::new(RedisPubSub::connect(config).await?))
}

impl Ours {
    /// Connects, and starts what runs in the background.
    ///
    /// # Errors
    /// It doesn't connect.
    pub async fn connect(url: &str) -> Result<Self> {
        let pubsub = connect(url).await?;
        let trigger = ShutdownTrigger::new();
        let running = tokio::spawn({
            let (pubsub, shutdown) = (Arc::clone(&pubsub), trigger.shutdown());
            async move { pubsub.run(shutdown).await }
        });
        Ok(Self {
            pubsub,
            running,
            _trigger: trigger,
        })
    }

    /// Publishes to the topic.
    #[must_use]
    pub fn publisher(&self) -> Publisher {
        Publisher {
            pubsub: Arc::clone(&self.pubsub),
            topic: topic(),
        }
    }

    /// One consumer of each of two channels.
    ///
    /// # Errors
    /// A channel can't be joined.
    pub async fn subscribe(&self) -> Result<[Subscription; 2]> {
        let subscribe = async |channel: &str| {
            let (topic, channel) = (topic(), Channel::new(channel)?);
            let options = SubscribeOptions::default();
            self.pubsub.subscribe(&topic, &channel, options).await
        };
        Ok([subscribe("channel-1").await?, subscribe("channel-2").await?])
    }

    pub(super) async fn fanout(&self) -> Result<Fanout<Publisher, Subscription>> {
        Ok(Fanout::new(self.publisher(), self.subscribe().await?))
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.running.abort();
    }
}

fn topic() -> Topic {
    Topic::new(TOPIC).expect("it is a name")
}

/// Publishes by braid.
#[derive(Clone, Debug)]
pub struct Publisher {
    pubsub: Arc<dyn PubSub>,
    topic: Topic,
}

impl Caller for Publisher {
    async fn call(&mut self) -> Result<()> {
        let message = NewMessage::new(Bytes::from_static(BODY));
        self.pubsub.publish(&self.topic, message).await?;
        Ok(())
    }
}

impl Drain for Subscription {
    async fn drain(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            let delivery = self.next().await.ok_or("the subscription has ended")??;
            if delivery.body() != BODY {
                return Err("a body isn't what was published".into());
            }
            delivery.ack().await?;
        }
        Ok(())
    }
}
