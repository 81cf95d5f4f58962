//! A user's token is in nothing that anybody may read (S3).

use crate::support::{LinkFleet, SECOND, link, quick, remembered};
use braid_core::{
    ErrorKind, LinkCache, NewMessage, PubSub, Token,
    reserved::{Body, Unlink},
};
use braid_linkcache_redis::LinkCacheConfig;
use braid_testkit::{SETTLED, eventually, eventually_eq, redis::RedisServer};
use std::{
    fmt::{Debug, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

const SECRET: &str = "sentinel-7b1f";

/// Keeps whatever is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Log {
    fn text(&self) -> MutexGuard<'_, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whatever is shown is kept too.
    fn show(&self, shown: &dyn Debug) {
        let _ = write!(self.text(), "{shown:?} {shown:#?}");
    }
}

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut Fields(&mut self.text()));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Fields(&mut self.text()));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = self.text();
        text.push_str(event.metadata().target());
        event.record(&mut Fields(&mut text));
        text.push('\n');
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// All on this thread, whose log is kept.
#[tokio::test]
async fn a_token_is_in_no_debug_error_or_log() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let server = RedisServer::builder().start().await;
    let mut config = LinkCacheConfig {
        ttl: 60 * SECOND,
        original_parents: vec!["base".try_into().unwrap()],
        ..quick(server.url())
    };
    config.redis.command_timeout = Duration::from_millis(500);
    let fleet = LinkFleet::new(config);
    let (a, b) = (fleet.node("a").await, fleet.node("b").await);
    let (one, two) = (fleet.cache().await, fleet.cache().await);
    let (token, service) = (Token::new(SECRET).unwrap(), a.service.clone());
    link(&one, &token, &a).await;
    remembered(&two, &token, &a).await;
    log.show(&one.component());
    log.show(&two.component());
    log.show(&token);
    assert!(one.relink(&token, &a.node, &b).await.unwrap());
    log.show(&one.target(&token, &service).await);

    // What is published of the user, and can't be read.
    let pubsub = fleet.hub.pubsub();
    let mut body = vec![0xff];
    body.extend_from_slice(SECRET.as_bytes());
    for message in [NewMessage::new(body), Unlink(token.clone()).message()] {
        pubsub.publish(&Unlink::topic(), message).await.unwrap();
    }
    eventually_eq("the link has ended", SETTLED, None, async || {
        one.target(&token, &service).await.unwrap()
    })
    .await;

    // A link that nobody has written so, and no link at all.
    link(&one, &token, &a).await;
    let keys = server.command(&["KEYS", &format!("*{SECRET}")]).await;
    let key = keys.items()[0].text();
    server.command(&["SET", &key, "1 nobody"]).await;
    let error = one.target(&token, &service).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    log.show(&error);
    log.show(&one.claim(&token, &b).await);
    server.command(&["DEL", &key]).await;
    server.command(&["LPUSH", &key, "x"]).await;
    log.show(&one.target(&token, &service).await.unwrap_err());
    log.show(&one.claim(&token, &a).await.unwrap_err());
    log.show(&one.unlink(&token, &service, &a.node).await.unwrap_err());
    log.show(&one.relink(&token, &a.node, &b).await.unwrap_err());
    log.show(&one.leave(&token).await.unwrap_err());
    server.command(&["DEL", &key]).await;
    server
        .command(&["SET", "braid_linker-route-base-login", "x"])
        .await;
    log.show(&one.target(&token, &service).await.unwrap_err());

    // And a server that is frozen, and away.
    server.pause();
    log.show(&one.target(&token, &service).await.unwrap_err());
    log.show(&one.claim(&token, &a).await.unwrap_err());
    pubsub
        .publish(&Unlink::topic(), Unlink(token.clone()).message())
        .await
        .unwrap();
    eventually("the message's failure is told", SETTLED, async || {
        log.text().contains("tried again")
    })
    .await;
    server.kill();
    log.show(&one.leave(&token).await.unwrap_err());
    let _ = (
        one.stop_within(SETTLED).await,
        two.stop_within(SETTLED).await,
    );

    let text = log.text();
    for told in [
        "braid_linkcache_redis",
        "is dropped",
        "WRONGTYPE",
        "can't be read",
    ] {
        assert!(text.contains(told), "nothing tells of `{told}`: {text}");
    }
    let found = text.lines().find(|line| line.contains(SECRET));
    assert_eq!(found, None);
}
