//! A topic with two channels that are drained.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::Result;
use crate::blocks::Caller;

use super::PUBLISHERS;

/// How many messages each task publishes in a block: all of it takes about 50 ms.
const EACH: usize = 16;

/// A block that takes longer has lost something.
const PATIENCE: Duration = Duration::from_secs(30);

/// A channel, as one consumer of it.
pub(super) trait Drain: Send + 'static {
    /// Takes so many deliveries and acks each.
    fn drain(&mut self, count: usize) -> impl Future<Output = Result<()>> + Send;
}

/// A topic with two channels: whoever publishes, and whoever takes what arrives.
#[derive(Debug)]
pub(super) struct Fanout<P, D> {
    publisher: P,
    channels: [Arc<Mutex<D>>; 2],
}

impl<P: Caller, D: Drain> Fanout<P, D> {
    pub(super) fn new(publisher: P, channels: [D; 2]) -> Self {
        let channels = channels.map(|channel| Arc::new(Mutex::new(channel)));
        Self {
            publisher,
            channels,
        }
    }

    /// Publishes by many tasks and waits until both channels have had all of it: deliveries per second.
    pub(super) async fn drained(&self) -> Result<f64> {
        let count = PUBLISHERS * EACH;
        let started = Instant::now();
        let mut tasks: JoinSet<Result<()>> = JoinSet::new();
        for channel in &self.channels {
            let channel = Arc::clone(channel);
            tasks.spawn(async move { channel.lock().await.drain(count).await });
        }
        for _ in 0..PUBLISHERS {
            let mut publisher = self.publisher.clone();
            tasks.spawn(async move {
                for _ in 0..EACH {
                    publisher.call().await?;
                }
                Ok(())
            });
        }
        let all = async {
            while let Some(task) = tasks.join_next().await {
                task??;
            }
            Ok::<_, crate::Error>(())
        };
        let ended = tokio::time::timeout(PATIENCE, all).await;
        ended.map_err(|_| "not all that was published was delivered")??;
        Ok((2 * count) as f64 / started.elapsed().as_secs_f64())
    }
}
