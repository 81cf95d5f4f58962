//! Ways to connect, and what is told when it can't be.

use crate::{
    command, config, connect,
    fake::{Answer, Fake, greet},
    works,
};
use braid_core::ErrorKind;
use braid_redis::{ACL_CONNECTION, Redis, RedisConfig};
use braid_testkit::{
    SETTLED,
    redis::{Persistence, RedisServer, shared},
    within,
};
use std::{
    fs,
    time::{Duration, Instant},
};
use tokio::net::TcpListener;

#[tokio::test]
async fn a_plain_server_tells_what_it_is() {
    let server = shared().await;
    let redis = connect(server.url()).await;
    works(&redis).await;
    let told = redis.server();
    assert_eq!(told.version, server.version().await);
    assert!(!told.valkey && !told.clustered);
    assert_eq!(told.appendonly, Some(false));
    assert_eq!(told.waitaof, told.version >= (7, 2, 0));
}

#[tokio::test]
async fn an_append_only_file_is_seen() {
    let server = RedisServer::builder()
        .persistence(Persistence::AofEverysec)
        .start()
        .await;
    let redis = connect(server.url()).await;
    assert_eq!(redis.server().appendonly, Some(true));
}

#[tokio::test]
async fn a_unix_socket_works() {
    let path = shared().await.socket();
    let redis = connect(format!("redis+unix://{}", path.display())).await;
    works(&redis).await;
    let dedicated = redis.dedicated(0).await.expect("it accepts another one");
    let within = Duration::from_secs(5);
    dedicated
        .command("PING", Vec::new(), within)
        .await
        .expect("it answers");
}

#[tokio::test]
async fn the_password_may_come_from_url_field_or_file() {
    let server = RedisServer::builder().password("hunter2").start().await;
    works(&connect(server.url()).await).await;

    let plain = format!("redis://{}", server.addr());
    let mut settings = config(&plain);
    settings.password = Some("hunter2".into());
    works(
        &Redis::connect(&settings, "test")
            .await
            .expect("by the field"),
    )
    .await;

    let path = server
        .socket()
        .parent()
        .expect("it is in a folder")
        .join("password");
    fs::write(&path, "hunter2\n").expect("the folder can be written to");
    let mut settings = config(&plain);
    settings.password_file = Some(path);
    works(
        &Redis::connect(&settings, "test")
            .await
            .expect("by the file"),
    )
    .await;
}

#[tokio::test]
async fn refused_credentials_fail_at_once_and_without_the_password() {
    let server = RedisServer::builder().password("hunter2").start().await;
    for url in [
        format!("redis://{}", server.addr()),
        server.url_as("default", "swordfish"),
        server.url_as("nobody", "swordfish"),
    ] {
        let started = Instant::now();
        let error = Redis::connect(&config(url), "test")
            .await
            .expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(started.elapsed() < Duration::from_secs(2), "{error}");
        let text = format!("{error} {error:?}");
        assert!(
            !text.contains("swordfish") && !text.contains("hunter2"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_user_with_only_the_needed_rules_connects() {
    let rules = format!(
        "braid on >secret ~braid:* ~works {} +set +get",
        ACL_CONNECTION.join(" ")
    );
    let server = RedisServer::builder().acl(&[&rules]).start().await;
    let redis = connect(server.url_as("braid", "secret")).await;
    works(&redis).await;
    redis.dedicated(0).await.expect("it needs no more");
}

#[tokio::test]
async fn a_refusal_names_the_command_and_the_rule() {
    let server = RedisServer::builder()
        .acl(&[
            "braid on >secret ~braid:* +info +get +client|id",
            "bare on >secret ~* +get",
        ])
        .start()
        .await;
    let redis = connect(server.url_as("braid", "secret")).await;
    let error = command(&redis, "SET", &["braid:a", "1"])
        .await
        .expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(
        error.message().contains("`set`") && error.message().contains("`+set`"),
        "{error}"
    );
    let error = command(&redis, "GET", &["other"])
        .await
        .expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().contains("~pattern"), "{error}");

    let error = Redis::connect(&config(server.url_as("bare", "secret")), "test").await;
    let error = error.expect_err("INFO is refused");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().contains("+info"), "{error}");
}

#[tokio::test]
async fn a_server_that_stays_away_is_an_error_after_the_start_timeout() {
    let server = RedisServer::builder().start().await;
    let mut settings = config(server.url());
    settings.start_timeout = Duration::from_millis(400);
    server.kill();
    let started = Instant::now();
    let error = Redis::connect(&settings, "test")
        .await
        .expect_err("nobody is there");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        error.message().contains(&server.addr().to_string()) && error.message().contains("400ms"),
        "{error}"
    );
    let elapsed = started.elapsed();
    assert!(elapsed > Duration::from_millis(200) && elapsed < Duration::from_secs(2));

    // Frozen: it accepts, and says nothing.
    server.restart().await;
    server.pause();
    let started = Instant::now();
    let error = Redis::connect(&settings, "test")
        .await
        .expect_err("nobody answers");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(started.elapsed() < Duration::from_secs(3), "{error}");
}

#[tokio::test]
async fn a_server_that_comes_later_is_awaited() {
    let server = RedisServer::builder().start().await;
    server.kill();
    let settings = RedisConfig {
        start_timeout: Duration::from_secs(30),
        ..config(server.url())
    };
    let door = TcpListener::bind(server.addr())
        .await
        .expect("its port is free now");
    let (redis, ()) = tokio::join!(Redis::connect(&settings, "test"), async {
        // It has come once and found nobody.
        drop(within("a first try", SETTLED, door.accept()).await);
        drop(door);
        server.restart().await;
    });
    works(&redis.expect("it came")).await;
}

#[tokio::test]
async fn an_old_server_is_refused_at_once() {
    let old = Fake::start(|words| {
        greet(words, "6.2.14").unwrap_or_else(|| Answer::Reply("-ERR no\r\n".to_owned()))
    })
    .await;
    let error = within("the refusal", Duration::from_secs(3), async {
        Redis::connect(&config(old.url()), "test").await
    })
    .await
    .expect_err("too old");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(
        error.message().contains("6.2.14") && error.message().contains("7.0"),
        "{error}"
    );
}

#[tokio::test]
async fn the_scheme_must_fit_the_server() {
    let error = Redis::connect(
        &config(shared().await.url().replace("redis:", "redis-cluster:")),
        "test",
    )
    .await
    .expect_err("it is no cluster");
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");

    let node = RedisServer::builder()
        .config("cluster-enabled", "yes")
        .start()
        .await;
    let error = Redis::connect(&config(node.url()), "test").await;
    let error = error.expect_err("it is a cluster");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().contains("redis-cluster"), "{error}");
}
