//! The fence: no term is admitted after a higher one.

use crate::{config, connect};
use braid_core::{ErrorKind, Fence, Result, Term};
use braid_redis::{ACL_CONNECTION, ACL_FENCE, Redis, RedisFence, TlsConfig, keys::KeySpace};
use braid_testkit::{
    SETTLED, eventually, eventually_eq,
    proxy::Proxy,
    redis::{RedisSentinel, RedisServer, shared, shared_cluster},
    within,
};
use bytes::Bytes;
use futures_util::future::join_all;
use std::collections::HashMap;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

fn key(resource: &str) -> Bytes {
    KeySpace::new(resource.as_bytes()).key("fence", &[])
}

async fn admit(fence: &RedisFence, resource: &str, term: u64) -> Result<()> {
    fence.admit(resource, Term::new(term)).await
}

/// The lower term is refused after the higher one, and not before; each may come again.
async fn tells_apart(fence: &RedisFence, resource: &str, low: u64, high: u64) {
    for term in [low, low, high, high] {
        let admitted = admit(fence, resource, term).await;
        admitted.unwrap_or_else(|error| panic!("{low} < {high}: {error}"));
    }
    let error = admit(fence, resource, low).await;
    let error = error.expect_err(&format!("{low} < {high}"));
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    let text = format!("term {low} of `{resource}` is over: term {high} was seen");
    assert_eq!(error.message(), text);
    let again = admit(fence, resource, high).await;
    again.unwrap_or_else(|error| panic!("{low} < {high}: {error}"));
}

#[tokio::test]
async fn terms_are_compared_in_all_their_digits() {
    let fence = RedisFence::new(connect(shared().await.url()).await);
    let mut pairs = vec![
        (0, 1),
        (9, 10),
        (1 << 53, (1 << 53) + 1),
        (9_999_999_999, 10_000_000_000),
        (10_000_000_000, 10_000_000_001),
        (19_999_999_999, 20_000_000_000),
        (u64::MAX - 1, u64::MAX),
        (9_999_999_999_999_999_999, 10_000_000_000_000_000_000),
        (0, u64::MAX),
    ];
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..200 {
        let mut any = || random.u64(..) >> random.u32(..64);
        let (a, b) = (any(), any());
        if a != b {
            pairs.push((a.min(b), a.max(b)));
        }
    }
    for (low, high) in pairs {
        tells_apart(&fence, &format!("digits {low} {high}"), low, high).await;
    }
}

#[tokio::test]
async fn every_name_has_terms_of_its_own_on_every_node() {
    let names = [
        "",
        "a",
        "{a}",
        "x{a}",
        "a}b",
        "{}",
        "ü\0 \r\n",
        "fence",
        ":",
    ];
    let cluster = shared_cluster().await;
    let clustered = Redis::connect(&config(cluster.url()), "test").await;
    let clustered = clustered.expect("the cluster is there");
    for redis in [connect(shared().await.url()).await, clustered] {
        let fence = RedisFence::new(redis);
        // Falling, so that one that saw another's term would be refused.
        let terms = || (1..).map(|round| 1000 - 10 * round);
        for (low, name) in terms().zip(names) {
            tells_apart(&fence, name, low, low + 1).await;
        }
        for (low, name) in terms().zip(names) {
            let highest = admit(&fence, name, low + 1).await;
            highest.expect("it is the highest");
        }
    }
}

#[tokio::test]
async fn what_is_kept_is_a_term_without_an_end() {
    let server = shared().await;
    let fence = RedisFence::new(connect(server.url()).await);
    let key = key("kept");
    for term in [7, 7, u64::MAX] {
        admit(&fence, "kept", term)
            .await
            .expect("it is the highest");
        let kept = server.command(&[b"GET", &key[..]]).await;
        assert_eq!(kept.text(), term.to_string());
        let left = server.command(&[b"TTL", &key[..]]).await;
        assert_eq!(left.integer(), Some(-1));
    }
}

#[tokio::test]
async fn a_key_of_another_kind_admits_nobody() {
    let server = shared().await;
    let fence = RedisFence::new(connect(server.url()).await);
    let key = key("other");
    for set in [[b"LPUSH", &key[..], b"x"], [b"SET", &key[..], b"1e3"]] {
        server.command(&[b"DEL", &key[..]]).await;
        server.command(&set.map(<[u8]>::to_vec)).await;
        let error = admit(&fence, "other", u64::MAX).await;
        let error = error.expect_err("it is no term");
        assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
        assert!(error.message().contains("`other`"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_at_once_are_admitted_in_the_order_of_their_terms() {
    const WRITERS: u64 = 24;
    const TERMS: u64 = 100;
    let server = RedisServer::builder().start().await;
    // The server knows the script from here on.
    let first = RedisFence::new(connect(server.url()).await);
    admit(&first, "first", 1).await.expect("it is the highest");
    let monitor = TcpStream::connect(server.addr()).await;
    let mut monitor = BufReader::new(monitor.expect("it accepts"));
    let asked = monitor.write_all(b"MONITOR\r\n").await;
    asked.expect("it reads");
    let mut lines = monitor.lines();
    let started = lines.next_line().await.expect("it answers");
    assert_eq!(started.as_deref(), Some("+OK"));

    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        // Two share a connection.
        let redis = connect(server.url()).await;
        for part in 0..2 {
            let fence = RedisFence::new(redis.clone());
            writers.push(tokio::spawn(async move {
                let mut mine = Vec::new();
                for round in 0..TERMS / 2 {
                    // No two writers have the same; they go up, and are about as high as the others'.
                    let term = (round * 2 + part) * WRITERS + (writer * 7) % WRITERS;
                    for _ in 0..2 {
                        let answer = admit(&fence, "shared", u64::MAX / 2 + term).await;
                        mine.push((u64::MAX / 2 + term, answer));
                    }
                }
                mine
            }));
        }
    }
    let mut answers: HashMap<u64, Vec<Result<()>>> = HashMap::new();
    for answered in join_all(writers).await {
        for (term, answer) in answered.expect("it doesn't panic") {
            answers.entry(term).or_default().push(answer);
        }
    }

    // Every call in the order in which the server ran them: each is admitted if, and only if, none before had a higher term.
    let (mut seen, mut highest, mut refused) = (0, 0, 0);
    while seen < WRITERS * TERMS * 2 {
        let line = within("a command", SETTLED, lines.next_line()).await;
        let line = line.expect("it stands").expect("there are more");
        if !line.contains("] \"EVALSHA\"") {
            continue;
        }
        let term = line.trim_end_matches('"').rsplit('"').next();
        let term: u64 = term.and_then(|term| term.parse().ok()).expect("a term");
        let known = answers.get_mut(&term).filter(|answers| !answers.is_empty());
        let answer = known.expect("somebody asked").remove(0);
        match answer {
            Ok(()) => assert!(term >= highest, "{term} was admitted after {highest}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                assert!(term < highest, "{error}, but {highest} was the highest");
                refused += 1;
            }
        }
        highest = highest.max(term);
        seen += 1;
    }
    assert!(refused > 0, "nobody was ever late");
}

#[tokio::test]
async fn a_lost_reply_is_indeterminate_and_the_term_may_come_again() {
    let server = RedisServer::builder().start().await;
    let proxy = Proxy::start(server.addr()).await;
    let fence = RedisFence::new(connect(format!("redis://{}", proxy.addr())).await);
    admit(&fence, "lost", 1).await.expect("it is the highest");
    proxy.swallow_next_reply_and_cut("EVALSHA");
    let error = admit(&fence, "lost", 5).await.expect_err("it is lost");
    assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error}");
    let error = admit(&fence, "lost", 4).await.expect_err("5 was seen");
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    admit(&fence, "lost", 5).await.expect("it is the highest");
}

#[tokio::test]
async fn a_server_that_takes_no_writes_admits_nobody() {
    let primary = RedisServer::builder().start().await;
    let server = RedisServer::builder().start().await;
    let fence = RedisFence::new(connect(server.url()).await);
    admit(&fence, "former", 3).await.expect("it is the highest");
    let refused = async |code| {
        let error = admit(&fence, "former", 3).await.expect_err(code);
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert_eq!(braid_redis::code(&error), Some(code));
    };
    let replicas = ["CONFIG", "SET", "min-replicas-to-write", "1"];
    server.command(&replicas).await;
    refused("NOREPLICAS").await;
    let port = primary.port().to_string();
    server.command(&["REPLICAOF", "127.0.0.1", &port]).await;
    refused("READONLY").await;
}

#[tokio::test]
async fn a_term_that_was_replicated_outlives_a_failover() {
    let fleet = RedisSentinel::builder().sentinels(1).start().await;
    let redis = Redis::connect(&config(fleet.url()), "test").await;
    let fence = RedisFence::new(redis.expect("the sentinel knows the primary"));
    admit(&fence, "fleet", 5).await.expect("it is the highest");
    let key = key("fleet");
    let copied = async || fleet.replica().command(&[b"GET", &key[..]]).await.text();
    eventually_eq("the copy", SETTLED, "5".to_owned(), copied).await;
    fleet.failover().await;
    eventually("an answer", SETTLED, async || {
        let answer = admit(&fence, "fleet", 4).await;
        answer.expect_err("it is over").kind() == ErrorKind::Conflict
    })
    .await;
    admit(&fence, "fleet", 5).await.expect("it is the highest");
}

#[tokio::test]
async fn documented_rules_are_enough_and_each_is_needed() {
    let all = [ACL_CONNECTION, ACL_FENCE, &["~braid:*"]].concat();
    let user = |name: &str, without: &str| {
        let rules = all.iter().filter(|rule| **rule != without);
        let rules: Vec<_> = rules.copied().collect();
        format!("{name} on >secret {}", rules.join(" "))
    };
    let needed = [
        ("no-get", "+get", "`+get`"),
        ("no-set", "+set", "`+set`"),
        ("no-evalsha", "+evalsha", "`+evalsha`"),
        ("no-keys", "~braid:*", "`~pattern`"),
    ];
    let mut users = vec![user("all", "")];
    users.extend(needed.map(|(name, rule, _)| user(name, rule)));
    let users: Vec<_> = users.iter().map(String::as_str).collect();
    let server = RedisServer::builder().tls(true).acl(&users).start().await;
    let fence = async |name: &str| {
        let mut settings = config(server.url_as(name, "secret"));
        settings.tls = TlsConfig {
            ca_file: Some(server.tls_ca_pem_file()),
            ..TlsConfig::default()
        };
        let redis = Redis::connect(&settings, "test").await;
        RedisFence::new(redis.expect("it may connect"))
    };
    tells_apart(&fence("all").await, "rules", 1, 2).await;
    for (name, _, named) in needed {
        let error = admit(&fence(name).await, "rules", 3).await;
        let error = error.expect_err("a rule is missing");
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.message().contains(named), "{error}");
        assert!(error.message().contains("`rules`"), "{error}");
    }
}
