//! Servers that can't be had, or that can't do what is asked for.

use crate::{
    fake::{Answer, Fake, greet},
    support::{SLACK, quick},
};
use braid_core::{Error, ErrorKind};
use braid_pubsub_redis::{Durability, PubSubConfig, RedisPubSub};
use braid_testkit::{SETTLED, within};
use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

async fn refused(config: PubSubConfig) -> Error {
    let connecting = Box::pin(RedisPubSub::connect(config));
    within("an answer", SETTLED, connecting)
        .await
        .expect_err("there is no such server")
}

/// A server of this version that knows nothing but greetings.
async fn server(version: &'static str) -> Fake {
    Fake::start(move |words| greet(words, version).unwrap_or(Answer::Cut)).await
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable_after_the_start_timeout() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = nobody.local_addr().expect("it is bound");
    drop(nobody);
    let start_timeout = Duration::from_secs(1);
    let mut config = quick(format!("redis://{addr}"));
    config.redis.start_timeout = start_timeout;
    let asked = Instant::now();
    let error = refused(config).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
    // The last pause isn't begun if it would go beyond.
    let (least, most) = (start_timeout / 2, start_timeout + SLACK);
    let took = asked.elapsed();
    assert!(took >= least && took <= most, "{took:?}");
}

#[tokio::test]
async fn a_server_that_is_too_old_is_unsupported_at_once() {
    let server = server("6.2.14").await;
    let asked = Instant::now();
    let error = refused(quick(server.url())).await;
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("6.2.14"), "{error}");
    assert!(
        error.to_string().contains(&server.addr.to_string()),
        "{error}"
    );
    assert!(
        asked.elapsed() < Duration::from_secs(1),
        "{:?}",
        asked.elapsed()
    );
}

#[tokio::test]
async fn durable_publishes_are_unsupported_where_there_is_no_waitaof() {
    let server = server("7.0.15").await;
    let config = PubSubConfig {
        durability: Durability::Durable,
        ..quick(server.url())
    };
    let error = refused(config).await;
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("WAITAOF"), "{error}");
    assert!(error.to_string().contains("7.0.15"), "{error}");
}
