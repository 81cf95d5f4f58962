//! What the pub-sub cases share: short forms that fail loudly, and consumers in the background.

use crate::{PubSubHarness, Running, SETTLED, eventually_eq, fresh, within};
use braid_core::{
    Backoff, Channel, Delivery, MessageId, NewMessage, PubSub, SubscribeOptions, Subscription,
    Topic, pubsub::ChannelView,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

pub(super) type Process = Running<dyn PubSub>;

pub(super) async fn start<H: PubSubHarness>(h: &H) -> Process {
    Running::start(h.start(fresh::life("node")).await).await
}

/// Options whose claims come soon and whose failures don't wait.
pub(super) fn soon<H: PubSubHarness>(h: &H) -> SubscribeOptions {
    SubscribeOptions {
        claim_after: h.limits().claim_after,
        ..patient()
    }
}

/// Options whose claims never come within a case, and whose failures don't wait.
pub(super) fn patient() -> SubscribeOptions {
    SubscribeOptions {
        claim_after: Duration::from_secs(3600),
        backoff: Backoff::NONE,
        ..SubscribeOptions::shared()
    }
}

pub(super) async fn publish(
    pubsub: &dyn PubSub,
    topic: &Topic,
    message: impl Into<NewMessage>,
) -> MessageId {
    within(
        "the publish",
        SETTLED,
        pubsub.publish(topic, message.into()),
    )
    .await
    .unwrap_or_else(|error| panic!("publish: {error}"))
}

/// Publishes one message for each number, with the number as its body.
pub(super) async fn publish_numbers(
    pubsub: &dyn PubSub,
    topic: &Topic,
    numbers: impl IntoIterator<Item = usize>,
) {
    for number in numbers {
        publish(pubsub, topic, number.to_string()).await;
    }
}

pub(super) async fn subscribe(
    pubsub: &dyn PubSub,
    topic: &Topic,
    channel: &Channel,
    options: SubscribeOptions,
) -> Subscription {
    within(
        "the subscribe",
        SETTLED,
        pubsub.subscribe(topic, channel, options),
    )
    .await
    .unwrap_or_else(|error| panic!("subscribe: {error}"))
}

pub(super) async fn next(subscription: &mut Subscription) -> Delivery {
    next_within(subscription, SETTLED).await
}

pub(super) async fn next_within(subscription: &mut Subscription, deadline: Duration) -> Delivery {
    within("the next delivery", deadline, subscription.next())
        .await
        .expect("the subscription goes on while its backend runs")
        .unwrap_or_else(|error| panic!("a fault that nobody made: {error}"))
}

pub(super) async fn take(subscription: &mut Subscription, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.push(next(subscription).await);
    }
    taken
}

pub(super) async fn ack(delivery: Delivery) {
    delivery
        .ack()
        .await
        .unwrap_or_else(|error| panic!("ack: {error}"));
}

/// Shows that nothing is handed out for this long.
pub(super) async fn silent(subscription: &mut Subscription, duration: Duration) {
    match timeout(duration, subscription.next()).await {
        Err(_) => {}
        Ok(Some(Ok(delivery))) => panic!(
            "nothing was due, but `{}` came in attempt {}",
            text(&delivery),
            delivery.message().attempt
        ),
        Ok(other) => panic!("nothing was due, but {other:?} came"),
    }
}

pub(super) fn text(delivery: &Delivery) -> String {
    String::from_utf8_lossy(delivery.body()).into_owned()
}

/// What was handed out, with its attempt.
pub(super) fn handed(delivery: &Delivery) -> (String, u32) {
    (text(delivery), delivery.message().attempt)
}

pub(super) fn numbers(range: impl IntoIterator<Item = usize>) -> Vec<String> {
    range.into_iter().map(|number| number.to_string()).collect()
}

pub(super) async fn view(pubsub: &dyn PubSub, topic: &Topic, channel: &Channel) -> ChannelView {
    let view = pubsub
        .inspect(topic)
        .await
        .unwrap_or_else(|error| panic!("inspect: {error}"));
    let found = view.channels.into_iter().find(|view| view.name == *channel);
    found.unwrap_or_else(|| panic!("channel `{channel}` of `{topic}` is gone"))
}

/// Shows that a channel gets to have nothing left: neither to hand out nor unsettled.
pub(super) async fn nothing_left(pubsub: &dyn PubSub, topic: &Topic, channel: &Channel) {
    let what = "everything on the channel is settled (lag, pending)";
    eventually_eq(what, SETTLED, (0, 0), async || {
        let view = view(pubsub, topic, channel).await;
        (view.lag, view.pending)
    })
    .await;
}

/// What a background consumer was handed.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) consumer: usize,
    pub(super) body: String,
    pub(super) attempt: u32,
}

/// Consumers that ack all they are handed, in the background.
#[derive(Default)]
pub(super) struct Consumers {
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Consumers {
    /// One more, which takes `work` for each message.
    pub(super) fn add(&mut self, mut subscription: Subscription, work: Duration) {
        let (consumer, seen) = (self.tasks.len(), Arc::clone(&self.seen));
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            loop {
                let delivery = tokio::select! {
                    biased;
                    () = stop.cancelled() => break,
                    next = subscription.next() => match next {
                        Some(delivery) => delivery.unwrap_or_else(|e| panic!("a fault that nobody made: {e}")),
                        None => return,
                    }
                };
                let (body, attempt) = handed(&delivery);
                seen.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(Seen { consumer, body, attempt });
                if !work.is_zero() {
                    sleep(work).await;
                }
                ack(delivery).await;
            }
            subscription.close().await.unwrap_or_else(|error| panic!("close: {error}"));
        });
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until this many were handed out.
    pub(super) async fn have_seen(&self, count: usize) {
        let what = format!("{count} messages are handed out");
        crate::eventually(&what, SETTLED, async || {
            self.seen
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .len()
                >= count
        })
        .await;
    }

    /// Lets them close.
    pub(super) async fn close(mut self) -> Vec<Seen> {
        self.stop.cancel();
        while let Some(ended) =
            within("the consumers' close", SETTLED, self.tasks.join_next()).await
        {
            ended.expect("a consumer goes through its messages without a fault");
        }
        self.seen()
    }
}

/// Shows that each of these was handed out, and none of them twice.
pub(super) fn each_once(seen: impl IntoIterator<Item = String>, expected: &[String]) {
    let mut times: BTreeMap<String, usize> =
        expected.iter().map(|body| (body.clone(), 0)).collect();
    for body in seen {
        *times.entry(body).or_default() += 1;
    }
    let other: Vec<_> = times.into_iter().filter(|(_, times)| *times != 1).collect();
    assert!(
        other.is_empty(),
        "handed out another number of times than once: {other:?}"
    );
}

/// Shows that each of these was handed out.
pub(super) fn each(seen: impl IntoIterator<Item = String>, expected: &[String]) {
    let seen: std::collections::BTreeSet<_> = seen.into_iter().collect();
    let lost: Vec<_> = expected
        .iter()
        .filter(|body| !seen.contains(*body))
        .collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
}

pub(super) fn bodies(seen: Vec<Seen>) -> impl Iterator<Item = String> {
    seen.into_iter().map(|seen| seen.body)
}
