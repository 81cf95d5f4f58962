//! A primary and its replica, watched by sentinels.

use super::{
    builder::{Builder, Mode},
    reply::Reply,
    server::RedisServer,
};
use crate::{SETTLED, eventually};
use futures_util::future::join_all;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// What the sentinels know the primary as.
const NAME: &str = "main";

/// A primary and its replica, watched by sentinels that take the primary for dead when it was silent for 700 ms, unless said otherwise, and
/// promote the replica. Dropping it kills all of them.
#[derive(Debug)]
pub struct RedisSentinel {
    servers: [RedisServer; 2],
    sentinels: Vec<RedisServer>,
    password: Option<String>,
    primary: AtomicUsize,
}

/// Describes servers and sentinels; made by [`RedisSentinel::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing is started before `start`"]
pub struct SentinelBuilder {
    sentinels: usize,
    down_after: Duration,
    server: Builder,
}

impl RedisSentinel {
    /// Three sentinels, of which two have to agree, and servers as [`RedisServer::builder`] makes them, unless said otherwise.
    pub fn builder() -> SentinelBuilder {
        SentinelBuilder {
            sentinels: 3,
            down_after: Duration::from_millis(700),
            server: RedisServer::builder(),
        }
    }

    /// What [`builder`](Self::builder) gives, started.
    ///
    /// # Panics
    /// When it doesn't come about.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Who was the primary after the start or the last [`failover`](Self::failover).
    #[must_use]
    pub fn primary(&self) -> &RedisServer {
        &self.servers[self.primary.load(Ordering::Relaxed)]
    }

    /// The other one.
    #[must_use]
    pub fn replica(&self) -> &RedisServer {
        &self.servers[1 - self.primary.load(Ordering::Relaxed)]
    }

    /// The sentinels, which take commands too.
    #[must_use]
    pub fn sentinels(&self) -> &[RedisServer] {
        &self.sentinels
    }

    /// `redis-sentinel://127.0.0.1:port?node=127.0.0.1:port&...&sentinelServiceName=main`, with every sentinel, and the password if
    /// there is one, which the sentinels ask for too.
    #[must_use]
    pub fn url(&self) -> String {
        let sentinels: Vec<_> = self.sentinels.iter().map(RedisServer::addr).collect();
        let nodes = sentinels[1..].iter().map(|addr| format!("node={addr}"));
        let mut query: Vec<_> = nodes.collect();
        query.push(format!("sentinelServiceName={NAME}"));
        let mut user = String::new();
        if let Some(password) = &self.password {
            user = format!("default:{password}@");
            query.push(format!(
                "sentinelUsername=default&sentinelPassword={password}"
            ));
        }
        format!(
            "redis-sentinel://{user}{}?{}",
            sentinels[0],
            query.join("&")
        )
    }

    /// Kills the primary, waits until the replica is the primary and every sentinel says so, and gives it. The former one stays down;
    /// [`restart`](RedisServer::restart) of the [`replica`](Self::replica) brings it back, and the sentinels make it one.
    ///
    /// # Panics
    /// When that doesn't happen.
    pub async fn failover(&self) -> &RedisServer {
        self.primary().kill();
        let next = self.replica();
        eventually("a new primary", SETTLED, async || {
            let Ok(role) = next.try_command(&["ROLE"]).await else {
                return false;
            };
            role.items()
                .first()
                .is_some_and(|role| role.text() == "master")
        })
        .await;
        self.agreed(next).await;
        self.primary.fetch_xor(1, Ordering::Relaxed);
        next
    }

    /// Waits until every sentinel takes this one for the primary.
    async fn agreed(&self, primary: &RedisServer) {
        let port = primary.port().to_string();
        let looks = self.sentinels.iter().map(|sentinel| {
            let port = &port;
            eventually("sentinels that agree", SETTLED, async move || {
                let command = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME];
                let reply = sentinel.try_command(&command).await;
                reply.is_ok_and(|reply| {
                    reply
                        .items()
                        .last()
                        .is_some_and(|last| last.text() == *port)
                })
            })
        });
        join_all(looks).await;
    }

    /// Waits until every sentinel knows the replica and the other sentinels: before that no failover would succeed.
    async fn ready(&self) {
        let others = (self.sentinels.len() - 1).to_string();
        let looks = self.sentinels.iter().map(|sentinel| {
            let others = &others;
            eventually("sentinels that know each other", SETTLED, async move || {
                let Ok(reply) = sentinel.try_command(&["SENTINEL", "MASTER", NAME]).await else {
                    return false;
                };
                let is = |field, value| value_of(&reply, field).as_deref() == Some(value);
                is("num-slaves", "1") && is("num-other-sentinels", others) && is("flags", "master")
            })
        });
        join_all(looks).await;
    }
}

impl SentinelBuilder {
    /// How many sentinels there are; more than half of them have to agree. With one, it starts and fails over sooner.
    ///
    /// # Panics
    /// When there is to be none.
    pub fn sentinels(mut self, count: usize) -> Self {
        assert!(count > 0, "there is a sentinel");
        self.sentinels = count;
        self
    }

    /// After which silence the sentinels take the primary for dead. On a busy machine one that is well may be silent for a second: where no
    /// failover is wanted, it should be long.
    pub fn down_after(mut self, down_after: Duration) -> Self {
        self.down_after = down_after;
        self
    }

    /// How primary and replica are made, which must not be with TLS. A password of theirs is the sentinels' too.
    pub fn servers(mut self, server: Builder) -> Self {
        self.server = server;
        self
    }

    /// Starts the servers and then the sentinels, and returns once these know all that a failover takes.
    ///
    /// # Panics
    /// When that doesn't come about.
    pub async fn start(self) -> RedisSentinel {
        let mut server = self.server.clone();
        if let Some(admin) = server.admin() {
            // Both have the same users, and each may become the other's replica.
            server = server
                .config("masteruser", admin.user)
                .config("masterauth", &admin.password);
            server.known_admin = Some(admin);
        }
        let primary = server.clone().start().await;
        // Before the sentinels, so that they find it at their first look.
        let replica = server.replica_of(&primary).start().await;
        let quorum = self.sentinels / 2 + 1;
        let mut sentinel = Builder::default()
            .config(
                "sentinel",
                &format!("monitor {NAME} 127.0.0.1 {} {quorum}", primary.port()),
            )
            .config("sentinel", &format!("down-after-milliseconds {NAME} 10000"))
            .config("sentinel", &format!("failover-timeout {NAME} 3000"));
        sentinel.mode = Mode::Sentinel;
        if let Some(admin) = primary.admin() {
            sentinel = sentinel
                .config("sentinel", &format!("auth-user {NAME} {}", admin.user))
                .config("sentinel", &format!("auth-pass {NAME} {}", admin.password));
        }
        if let Some(password) = &self.server.password {
            sentinel = sentinel
                .password(password)
                .config("sentinel", &format!("sentinel-pass {password}"));
        }
        let sentinels = join_all((0..self.sentinels).map(|_| sentinel.clone().start())).await;
        for sentinel in &sentinels {
            // Ten seconds and two otherwise: too long to wait for replicas that come back, and for sentinels to hear of each other. Pings
            // have to be twice as frequent as what they are to find is long, or each new primary is taken for dead at first; five of
            // their periods have to be more than a second, or what is known of the replica is too old to promote it.
            let periods = [
                "info-period",
                "1000",
                "publish-period",
                "500",
                "ping-period",
                "300",
                // On a machine that is busy with other tests a timer of theirs is late now and then; they would do nothing for 30 s.
                "tilt-period",
                "1000",
            ];
            sentinel
                .command(&[&["SENTINEL", "DEBUG"], &periods[..]].concat())
                .await;
            let down_after = self.down_after.as_millis().to_string();
            sentinel
                .command(&[
                    "SENTINEL",
                    "SET",
                    NAME,
                    "down-after-milliseconds",
                    &down_after,
                ])
                .await;
        }
        let started = RedisSentinel {
            servers: [primary, replica],
            sentinels,
            password: self.server.password,
            primary: AtomicUsize::new(0),
        };
        started.ready().await;
        started
    }
}

/// The value of a field, where an answer is fields and values in turn.
fn value_of(reply: &Reply, field: &str) -> Option<String> {
    let mut pairs = reply.items().chunks_exact(2);
    let pair = pairs.find(|pair| pair[0].text() == field)?;
    Some(pair[1].text())
}
