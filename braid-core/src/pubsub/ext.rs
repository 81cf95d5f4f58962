//! What follows from the contract alone, for every backend.

use super::{Delivery, PubSub, Start, SubscribeOptions, Subscription, dead_letter};
use crate::{Channel, Error, ErrorKind, Result, Topic};
use futures_core::future::BoxFuture;
use std::time::Duration;

/// How long a redrive waits for a letter that should come. Letters that another redrive holds don't.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long after the death of a redrive another one may take what it held.
const CLAIM_AFTER: Duration = Duration::from_secs(5);

/// More to do with any [`PubSub`]. Implemented for all of them.
pub trait PubSubExt: PubSub {
    /// Publishes the dead letters of a topic to it again, each for the channel alone that gave up on it; returns how many.
    ///
    /// # Behavior
    /// Takes the letters one by one, from the oldest on, through the shared channel
    /// [`REDRIVE_CHANNEL`](dead_letter::REDRIVE_CHANNEL) of the dead-letter topic: several redrives share them, and the next one goes on
    /// where the last one ended. Each is published with its body, key and headers, without those of the dead letter and with
    /// [`ONLY_CHANNEL`](dead_letter::ONLY_CHANNEL); then its letter is acked. The message is a new one: its attempts begin at 1, and in the
    /// order of its key it stands where it is published now.
    ///
    /// Ends when the letters that were there at its start are done, after `limit` letters (`None`: no limit), or when none has
    /// come for 2 s. What fails again meanwhile is left to the next redrive.
    ///
    /// At least once: a crash between publishing and acking repeats the letter, 5 s later at the earliest. The messages are published with
    /// a dedup key of their letter's, so that within the backend's dedup window such a repetition makes no second message.
    ///
    /// The channel stays, and holds what it has not taken: from the first redrive on, the dead-letter topic removes no letter that
    /// was not redriven, and its cap counts them, unless the backend is configured to forget channels that have long been without consumers.
    ///
    /// A letter that doesn't say where it is from, or is from another topic, is logged, skipped and given back.
    ///
    /// # Errors
    /// `Config`: the topic can't have dead letters. What [`publish`](PubSub::publish) says, which ends the redrive at that letter; the
    /// text tells how many were done before. `Unavailable`, `Timeout`, `Closed`.
    ///
    /// # Cancel safety
    /// A dropped future leaves the letters that it had not acked, one of which may have been published.
    ///
    /// ```
    /// # use braid_core::{PubSub, Topic};
    /// use braid_core::pubsub::PubSubExt;
    ///
    /// async fn after_the_fix(pubsub: &dyn PubSub, topic: &Topic) -> braid_core::Result<()> {
    ///     let redriven = pubsub.redrive(topic, Some(100)).await?;
    ///     println!("{redriven} messages are tried again");
    ///     Ok(())
    /// }
    /// ```
    fn redrive<'a>(
        &'a self,
        topic: &'a Topic,
        limit: Option<usize>,
    ) -> BoxFuture<'a, Result<usize>>;
}

impl<P: PubSub + ?Sized> PubSubExt for P {
    fn redrive<'a>(
        &'a self,
        topic: &'a Topic,
        limit: Option<usize>,
    ) -> BoxFuture<'a, Result<usize>> {
        Box::pin(async move {
            let dead = topic.dead_letters()?;
            match self.inspect(&dead).await {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
                Err(error) => return Err(error),
            }
            let channel = Channel::new(dead_letter::REDRIVE_CHANNEL)?;
            let letters = self.subscribe(&dead, &channel, options()).await?;
            let mut redrive = Redrive {
                pubsub: self,
                topic,
                letters,
                skipped: Vec::new(),
                redriven: 0,
            };
            let result = match left(self, &dead, &channel).await {
                Ok(left) => redrive.work(left, limit.unwrap_or(usize::MAX)).await,
                Err(error) => Err(error),
            };
            redrive.end(result).await
        })
    }
}

fn options() -> SubscribeOptions {
    SubscribeOptions {
        start: Start::Beginning,
        claim_after: CLAIM_AFTER,
        // A letter has no dead letters of its own: it is never given up.
        max_attempts: u32::MAX,
        ..SubscribeOptions::shared()
    }
}

/// How many letters the channel has not acked.
async fn left<P: PubSub + ?Sized>(pubsub: &P, dead: &Topic, channel: &Channel) -> Result<usize> {
    let view = pubsub.inspect(dead).await?;
    let channel = view.channels.iter().find(|view| view.name == *channel);
    Ok(channel.map_or(0, |view| view.lag + view.pending))
}

struct Redrive<'a, P: ?Sized> {
    pubsub: &'a P,
    topic: &'a Topic,
    letters: Subscription,
    /// Held until the end, so that they don't come again before.
    skipped: Vec<Delivery>,
    redriven: usize,
}

impl<P: PubSub + ?Sized> Redrive<'_, P> {
    async fn work(&mut self, left: usize, limit: usize) -> Result<()> {
        for _ in 0..left {
            if self.redriven >= limit {
                break;
            }
            let Ok(next) = tokio::time::timeout(PATIENCE, self.letters.next()).await else {
                break;
            };
            let Some(letter) = next else {
                let text = format!("topic `{}`: the backend was closed", self.topic);
                return Err(Error::new(ErrorKind::Closed, "core", "redrive", text));
            };
            match letter {
                Ok(letter) => self.one(letter).await?,
                // The channel had been forgotten: it goes on with what is left.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    tracing::warn!(topic = %self.topic, %error, "letters may be missing");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn one(&mut self, letter: Delivery) -> Result<()> {
        let message = match dead_letter::revive(self.topic, letter.message()) {
            Ok(message) => message,
            Err(error) => {
                tracing::warn!(topic = %self.topic, %error, "not redriven");
                self.skipped.push(letter);
                return Ok(());
            }
        };
        if let Err(error) = self.pubsub.publish(self.topic, message).await {
            self.skipped.push(letter);
            return Err(error);
        }
        letter.ack().await?;
        self.redriven += 1;
        Ok(())
    }

    /// Leaves the channel first, so that what is given back doesn't come back here.
    async fn end(self, result: Result<()>) -> Result<usize> {
        let closed = self.letters.close().await;
        for letter in self.skipped {
            let back = letter.retry_after("not redriven", Duration::ZERO).await;
            if let Err(error) = back {
                tracing::warn!(topic = %self.topic, %error, "a letter comes back by its claim time");
            }
        }
        let redriven = self.redriven;
        result.and(closed).map(|()| redriven).map_err(|error| {
            let text = format!("after {redriven} letters: {error}");
            Error::new(error.kind(), "core", "redrive", text).with_source(error)
        })
    }
}
