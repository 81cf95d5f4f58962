//! What runs behind the links, all within the one future of [`run`], so that nothing outlives it.

use crate::{
    error::NAME,
    inner::Inner,
    keeper,
    keys::beats_channel,
    nodes::PULSE,
    push::{self, Push},
    store::Mark,
};
use braid_core::{
    BootTime, Channel, ErrorKind, Result, ServiceName, Shutdown, SubscribeOptions, Subscription,
    Token,
    discover::Watches,
    reserved::{Body, Unlink},
};
use braid_redis::Subscriber;
use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep},
};

/// The pause after a fault.
const RETRY: Duration = Duration::from_secs(1);

/// The pause before what is pushed is listened to again.
const LISTEN_AGAIN: Duration = Duration::from_millis(50);

/// How many links are renewed at a time.
const RENEWALS: usize = 64;

/// How many beats there are in the time that is allowed for staleness. With fewer, one that is late would make everything be asked for.
const BEATS: u32 = 4;

/// By how much the clocks of those who store links and messages may differ.
const SKEW: Duration = Duration::from_secs(1);

/// Works until the shutdown.
pub(crate) async fn run(
    cache: &Inner,
    renewals: mpsc::UnboundedReceiver<(Token, ServiceName)>,
    shutdown: &Shutdown,
) -> Result<()> {
    let work = async {
        tokio::try_join!(
            Box::pin(listen(cache)),
            Box::pin(renew(cache, renewals)),
            Box::pin(follow(cache)),
            Box::pin(hear(cache)),
            Box::pin(keeper::keep(cache)),
        )
    };
    tokio::select! {
        biased;
        () = shutdown.draining() => {}
        never = work => match never? {},
    }
    tokio::select! {
        biased;
        () = shutdown.forced() => {}
        () = keeper::leave(cache) => {}
    }
    Ok(())
}

// ===== what is pushed =====

/// Hears what ends links, and forgets them here. Whenever it can't be sure to have heard everything, it forgets all, but not before it hears
/// again: until then what was heard last makes good for as long as ever, which is what there is while the server is away.
async fn listen(cache: &Inner) -> Result<Infallible> {
    let channel = beats_channel(&cache.process);
    let mut beats = Beats::default();
    loop {
        let channels = vec![cache.store.channel.clone(), channel.clone()];
        match cache.store.redis.subscriber(channels).await {
            Ok(subscriber) => {
                // Before the first beat: what it makes fresh was read after this.
                cache.near.flush();
                cache.store.unlist();
                if let Some(local) = cache.local() {
                    local.catch_up().await;
                }
                let why = listen_to(cache, subscriber, &channel, &mut beats).await;
                tracing::warn!(
                    component = NAME,
                    why,
                    "ends of links are not heard of for now"
                );
                sleep(LISTEN_AGAIN).await;
            }
            Err(error) if is_final(error.kind()) => return Err(error),
            Err(error) => {
                tracing::warn!(component = NAME, %error, "ends of links are not heard of yet");
                sleep(RETRY).await;
            }
        }
    }
}

/// Listens until the connection is lost, or is silent.
async fn listen_to(
    cache: &Inner,
    mut subscriber: Subscriber,
    channel: &Bytes,
    beats: &mut Beats,
) -> String {
    let staleness = cache.config.staleness;
    let mut ticks = interval(staleness / BEATS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Those that another connection was to hear say nothing of what this one does, though they may come by it.
    beats.sent.clear();
    let mut on_their_way = FuturesUnordered::new();
    let mut heard = cache.clock.now();
    loop {
        tokio::select! {
            published = subscriber.next() => match published {
                Ok(published) if published.channel == *channel => {
                    if let Some(sent) = beats.hear(&published.body) {
                        heard = sent;
                        cache.near.set_fresh_until(sent + staleness);
                    }
                }
                Ok(published) => apply(cache, &published.body),
                Err(error) => return error.to_string(),
            },
            _ = ticks.tick() => {
                let now = cache.clock.now();
                if now.saturating_since(heard) >= staleness {
                    return format!("nothing was heard for {staleness:?}");
                }
                // Through each primary: what one has published in front of its beat is heard in front of it.
                for (slot, text) in beats.next(now, cache.store.redis.shards()) {
                    let args = vec![channel.clone().into(), text.into()];
                    on_their_way.push(cache.store.command("PUBLISH", slot, args));
                }
            }
            // Whether one was sent is known when it is heard.
            Some(_) = on_their_way.next() => {}
        }
    }
}

/// The messages by which a process hears that it hears. They come behind whatever was published before they were sent.
#[derive(Debug, Default)]
struct Beats {
    last: u64,
    /// Those that were sent: their numbers, when, and through which primaries they haven't come yet.
    sent: VecDeque<(u64, BootTime, Vec<u16>)>,
}

impl Beats {
    fn next(&mut self, now: BootTime, shards: Vec<u16>) -> Vec<(u16, String)> {
        self.last += 1;
        let texts = shards
            .iter()
            .map(|slot| (*slot, format!("{}:{slot}", self.last)));
        let texts = texts.collect();
        self.sent.push_back((self.last, now, shards));
        // Older ones are overdue.
        if self.sent.len() > 2 * BEATS as usize {
            self.sent.pop_front();
        }
        texts
    }

    /// When the beat was sent that has come from everywhere now.
    fn hear(&mut self, body: &[u8]) -> Option<BootTime> {
        let (number, slot) = std::str::from_utf8(body).ok()?.split_once(':')?;
        let (number, slot): (u64, u16) = (number.parse().ok()?, slot.parse().ok()?);
        let place = self.sent.iter().position(|(sent, ..)| *sent == number)?;
        let (_, sent, missing) = &mut self.sent[place];
        missing.retain(|missing| *missing != slot);
        if !missing.is_empty() {
            return None;
        }
        let sent = *sent;
        self.sent.drain(..=place);
        Some(sent)
    }
}

fn apply(cache: &Inner, body: &[u8]) {
    match push::read(body) {
        Some(Push::Ended(service, token)) => cache.near.forget(&token, &service),
        Some(Push::Gone(node)) => cache.forget_node(&node),
        Some(Push::Closed(node)) => {
            if let Some(own) = &cache.own {
                own.close(&node);
            }
        }
        Some(Push::Emptied) => {
            cache.near.flush();
            cache.store.unlist();
        }
        // Of a later version: whatever it ends, nothing is known of it here.
        None => cache.near.flush(),
    }
}

// ===== the rest =====

/// Renews links that were used.
async fn renew(
    cache: &Inner,
    mut renewals: mpsc::UnboundedReceiver<(Token, ServiceName)>,
) -> Result<Infallible> {
    let mut under_way = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some((token, service)) = renewals.recv(), if under_way.len() < RENEWALS => {
                under_way.push(async move {
                    // If it fails, the next use asks again, a third of the time later, or else the link is asked for.
                    if let Err(error) = cache.target(&token, &service).await {
                        tracing::debug!(component = NAME, %error, "a link was not renewed");
                    }
                });
            }
            Some(()) = under_way.next() => {}
        }
    }
}

/// Follows discovery of the services that links were asked for, or are listed.
async fn follow(cache: &Inner) -> Result<Infallible> {
    let mut new_services = cache.nodes.new_services();
    let mut pulses = interval(PULSE);
    pulses.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watches = Watches::new(Arc::clone(&cache.discover));
    loop {
        new_services.mark_unchanged();
        for service in cache.nodes.services() {
            watches.watch(&service);
        }
        tokio::select! {
            // The nodes outlive the run.
            _ = new_services.changed() => {}
            _ = pulses.tick() => cache.nodes.pulse(cache.clock.now()),
            (service, update) = watches.next() => match update {
                Some(Ok(update)) => {
                    for node in cache.nodes.update(cache.clock.now(), &service, &update) {
                        if let Some(own) = &cache.own {
                            own.reopen(&node);
                        }
                        if let Err(error) = cache.store.reopen(&node, Mark::Gone).await {
                            tracing::warn!(component = NAME, %error, %node, "a node is back and still closed for links");
                        }
                    }
                }
                Some(Err(error)) => {
                    tracing::warn!(component = NAME, %error, %service, "discovery has a fault; the last view stands");
                }
                None => {
                    tracing::warn!(component = NAME, %service, "discovery has ended; links to nodes that go live on until they expire");
                    cache.nodes.forget_presence(&service);
                }
            },
        }
    }
}

/// Ends the links of tokens that are published as unlinked. Processes that share their links share one channel too, so that a message is
/// heard once.
async fn hear(cache: &Inner) -> Result<Infallible> {
    let (channel, options) = match cache.own {
        None => (Channel::new(NAME)?, SubscribeOptions::shared()),
        Some(_) => {
            let name = format!("{NAME}.{}", cache.process);
            (Channel::new(name)?, SubscribeOptions::ephemeral())
        }
    };
    loop {
        let mut unlinks = subscribe(cache, &channel, &options).await?;
        while let Some(unlink) = unlinks.next().await {
            let delivery = match unlink {
                Ok(delivery) => delivery,
                Err(error) => {
                    tracing::warn!(component = NAME, %error, "unlink messages have a fault");
                    continue;
                }
            };
            let left = match Unlink::decode(delivery.body()) {
                Ok(Unlink(token)) => {
                    // A message that comes late doesn't end the link of who has come back since.
                    let until = delivery.message().timestamp + SKEW;
                    match &cache.own {
                        Some(own) => {
                            own.leave(cache.clock.now(), &token, until);
                            Ok(())
                        }
                        None => cache.leave(&token, Some(millis(until))).await.map(|_| ()),
                    }
                }
                Err(error) => {
                    // It won't be readable next time either.
                    tracing::warn!(component = NAME, %error, "an unlink message is dropped");
                    Ok(())
                }
            };
            let settled = match left {
                Ok(()) => delivery.ack().await,
                Err(error) => {
                    tracing::warn!(component = NAME, %error, "an unlink message is tried again");
                    delivery.retry(error.to_string()).await.map(|_| ())
                }
            };
            if let Err(error) = settled {
                tracing::warn!(component = NAME, %error, "an unlink message may be heard twice");
            }
        }
        // Closed first, as at a shutdown, or lost.
        tracing::debug!(component = NAME, "unlink messages have ended");
        sleep(RETRY).await;
    }
}

async fn subscribe(
    cache: &Inner,
    channel: &Channel,
    options: &SubscribeOptions,
) -> Result<Subscription> {
    loop {
        let topic = Unlink::topic();
        match cache
            .pubsub
            .subscribe(&topic, channel, options.clone())
            .await
        {
            Ok(subscription) => return Ok(subscription),
            // Pub-sub ends in a tier of its own.
            Err(error) if error.kind() == ErrorKind::Closed => {
                tracing::warn!(component = NAME, %error, "unlink messages are heard no more");
                return std::future::pending().await;
            }
            Err(error) if is_final(error.kind()) => return Err(error),
            Err(error) => {
                tracing::warn!(component = NAME, %error, "unlink messages are not heard yet");
                sleep(RETRY).await;
            }
        }
    }
}

/// What waiting doesn't cure.
pub(crate) fn is_final(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Config | ErrorKind::Unsupported)
}

fn millis(time: SystemTime) -> u64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
