//! What the tests of faults share: nodes that notice faults soon, subscribers that keep what went wrong, and a count of log events.

use braid_core::{
    Backoff, Channel, Delivery, Error, MessageId, NewMessage, PubSub, SubscribeOptions,
    Subscription, Topic,
};
use braid_pubsub_redis::{PubSubConfig, RedisConfig, RedisPubSub};
use braid_testkit::{
    Running, SETTLED,
    redis::{RedisServer, Reply},
    within,
};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tracing::{
    Event, Level, Metadata, Subscriber,
    span::{Attributes, Id, Record},
    subscriber::DefaultGuard,
};

/// How long a command waits for its reply where that is what is shown.
pub(crate) const COMMAND: Duration = Duration::from_secs(2);
/// What a busy machine may add to a figure that is promised.
pub(crate) const SLACK: Duration = Duration::from_secs(1);

pub(crate) type Node = Running<RedisPubSub>;

/// Connects again at once.
pub(crate) fn quick(url: impl Into<String>) -> PubSubConfig {
    PubSubConfig {
        redis: RedisConfig {
            start_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(2),
            reconnect_min: Duration::from_millis(10),
            reconnect_max: Duration::from_millis(100),
            ..RedisConfig::new(url)
        },
        block: Duration::from_secs(1),
        retention_interval: Duration::from_millis(300),
        ..PubSubConfig::default()
    }
}

/// Waits for no reply longer than [`COMMAND`].
pub(crate) fn impatient(mut config: PubSubConfig) -> PubSubConfig {
    config.redis.command_timeout = COMMAND;
    config
}

pub(crate) fn through(addr: SocketAddr) -> PubSubConfig {
    quick(format!("redis://{addr}"))
}

pub(crate) async fn node(config: PubSubConfig) -> Node {
    let pubsub = RedisPubSub::connect(config).await;
    let pubsub = pubsub.unwrap_or_else(|error| panic!("connect: {error}"));
    Running::start(Arc::new(pubsub)).await
}

/// A topic that no other test uses, and a channel.
pub(crate) fn names() -> (Topic, Channel) {
    static COUNTER: AtomicU64 = AtomicU64::new(1);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let topic = Topic::new(format!("orders-{number}")).expect("it is short");
    (topic, Channel::new("billing").expect("it is short"))
}

/// Claims never come within a test, so that nothing is healed by one, and the first attempt is the last.
pub(crate) fn once() -> SubscribeOptions {
    SubscribeOptions {
        max_attempts: 1,
        ..patient()
    }
}

/// Claims never come within a test, so that nothing is healed by one, and failures don't wait.
pub(crate) fn patient() -> SubscribeOptions {
    SubscribeOptions {
        claim_after: Duration::from_secs(3600),
        backoff: Backoff::NONE,
        ..SubscribeOptions::shared()
    }
}

pub(crate) async fn publish(
    node: &RedisPubSub,
    topic: &Topic,
    message: impl Into<NewMessage>,
) -> MessageId {
    let published = node.publish(topic, message.into());
    within("the publish", SETTLED, published)
        .await
        .unwrap_or_else(|error| panic!("publish: {error}"))
}

/// A subscription, and the faults that it has told of.
pub(crate) struct Reader {
    subscription: Subscription,
    pub(crate) faults: Vec<Error>,
}

impl Reader {
    pub(crate) async fn start(
        node: &RedisPubSub,
        topic: &Topic,
        channel: &Channel,
        options: SubscribeOptions,
    ) -> Self {
        let subscription = within("it", SETTLED, node.subscribe(topic, channel, options)).await;
        Self {
            subscription: subscription.unwrap_or_else(|error| panic!("subscribe: {error}")),
            faults: Vec::new(),
        }
    }

    /// The next delivery, beyond faults.
    pub(crate) async fn next(&mut self) -> Delivery {
        within("a delivery", SETTLED, self.delivery()).await
    }

    /// Waits for the next delivery as long as it takes.
    pub(crate) async fn delivery(&mut self) -> Delivery {
        loop {
            match self.subscription.next().await.expect("it goes on") {
                Ok(delivery) => return delivery,
                Err(error) => self.faults.push(error),
            }
        }
    }

    /// The next delivery has this body, is in its first attempt, and is acked.
    #[track_caller]
    pub(crate) fn expect(&mut self, body: &str) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let delivery = self.next().await;
            let message = delivery.message();
            let got = (text(&delivery), message.attempt);
            assert_eq!(got, (body.to_owned(), 1), "at {caller}: {:?}", self.faults);
            delivery.ack().await.expect("the worker runs");
        }
    }

    /// Shows that nothing is handed out for this long.
    pub(crate) async fn silent(&mut self, duration: Duration) {
        if let Ok(delivery) = tokio::time::timeout(duration, self.delivery()).await {
            let attempt = delivery.message().attempt;
            panic!("`{}` came in attempt {attempt}", text(&delivery));
        }
    }

    /// The only fault that was told of, which is forgotten.
    #[track_caller]
    pub(crate) fn only_fault(&mut self) -> Error {
        assert_eq!(self.faults.len(), 1, "{:?}", self.faults);
        self.faults.remove(0)
    }
}

pub(crate) fn text(delivery: &Delivery) -> String {
    String::from_utf8_lossy(delivery.body()).into_owned()
}

/// How many entries a stream holds.
pub(crate) async fn length(server: &RedisServer, topic: &Topic) -> i64 {
    let reply = server.command(&["XLEN", topic.as_str()]).await;
    reply.integer().expect("a number")
}

/// The groups of a stream; none while it isn't there.
pub(crate) async fn groups(server: &RedisServer, topic: &Topic) -> Vec<String> {
    let command = ["XINFO", "GROUPS", topic.as_str()];
    let reply = server.try_command(&command).await.expect("it answers");
    let names = reply.items().iter().map(|group| group.items()[1].text());
    names.collect()
}

/// The connections that wait at the server in this command, by their ids.
pub(crate) async fn waiting_in(server: &RedisServer, command: &str) -> Vec<String> {
    let list = server.command(&["CLIENT", "LIST"]).await.text();
    let lines = list.lines().filter(|line| {
        let mut fields = line.split(' ');
        let blocked = line
            .split(' ')
            .any(|field| field.starts_with("flags=") && field.contains('b'));
        blocked && fields.any(|field| field == format!("cmd={command}"))
    });
    lines
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}

/// Waits until as many readers as that wait at the server for something new.
pub(crate) async fn reading(server: &RedisServer, count: usize) {
    braid_testkit::eventually_eq("waiting readers", SETTLED, count, async || {
        waiting_in(server, "xreadgroup").await.len()
    })
    .await;
}

/// One field of the reply to INFO.
pub(crate) async fn info(server: &RedisServer, section: &str, field: &str) -> Option<String> {
    let reply: Reply = server.command(&["INFO", section]).await;
    reply.field(field)
}

/// Counts what is logged on this thread, from the level INFO on, while it lives.
pub(crate) struct Logged {
    count: Arc<AtomicUsize>,
    _guard: DefaultGuard,
}

impl Logged {
    pub(crate) fn start() -> Self {
        let count = Arc::new(AtomicUsize::new(0));
        let counting = Counting(Arc::clone(&count));
        Self {
            count,
            _guard: tracing::subscriber::set_default(counting),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

struct Counting(Arc<AtomicUsize>);

impl Subscriber for Counting {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
