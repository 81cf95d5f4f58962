//! Nodes whose links are on Redis. They find each other through a hub, as processes do by a discovery that they share.

use super::{SOON, alive_tasks, no_more_tasks_than};
use braid::{
    Braid, Bytes, DefaultDirector, ErrorKind, NodeRef, Result, ServiceName, ShutdownSection, Token,
    local::{ElectorConfig, Hub},
    redis::{LinkCacheConfig, PubSubConfig},
    reserved::{Body, Unlink},
    rpc::Server,
};
use braid_testkit::{
    eventually,
    redis::{RedisServer, shared},
    within,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{net::TcpSocket, task::JoinSet};

/// Nodes that see each other, and whose links are on one server, apart from those of other tests.
struct Fleet {
    hub: Hub,
    links: LinkCacheConfig,
}

impl Fleet {
    fn at(url: String) -> Self {
        let unique = NodeRef::random("x".try_into().unwrap());
        Self {
            hub: Hub::new(),
            links: LinkCacheConfig {
                namespace: unique.uid.to_string(),
                ..LinkCacheConfig::new(url)
            },
        }
    }

    fn director(&self) -> DefaultDirector {
        DefaultDirector::local_in(&self.hub).linkcache(self.links.clone())
    }

    async fn gate(&self, id: &str) -> Braid {
        let director = self.director().without_server();
        Braid::start("gate", id, director).await.unwrap()
    }

    /// A login node that says who it is.
    async fn login(&self, id: &'static str) -> Braid {
        let server = Server::listen("127.0.0.1:0").handle("who", move |_| async move {
            Ok(Bytes::from_static(id.as_bytes()))
        });
        let director = self.director().server(server);
        Braid::start("login", id, director).await.unwrap()
    }
}

fn users() -> Vec<Token> {
    let token = |number| Token::new(format!("token of user-{number}"));
    (0..20).map(|number| token(number).unwrap()).collect()
}

/// The node that answers a user who comes by this gate.
async fn who(gate: &Braid, user: &Token) -> Result<String> {
    let reply = gate.send_bytes("login", "who", user, "").await?;
    Ok(String::from_utf8(reply.into()).unwrap())
}

#[tokio::test]
async fn users_are_on_their_node_whichever_gate_they_come_by() {
    let fleet = Fleet::at(shared().await.url());
    let (one, other) = (fleet.gate("gate-1").await, fleet.gate("gate-2").await);
    assert_eq!(one.links().unwrap().name(), "linkcache-redis");
    let logins = [
        fleet.login("login-1").await,
        fleet.login("login-2").await,
        fleet.login("login-3").await,
    ];
    // By itself the other gate would go round the nodes one ahead.
    other.send_bytes("login", "who", (), "").await.unwrap();
    for user in users() {
        let home = who(&one, &user).await.unwrap();
        for _ in 0..3 {
            assert_eq!(who(&other, &user).await.unwrap(), home);
        }
    }
    let mut linked = 0;
    for login in &logins {
        linked += other.links().unwrap().count(login.node()).await.unwrap();
    }
    assert_eq!(linked, users().len());
    for node in logins.into_iter().chain([one, other]) {
        node.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_node_that_closes_hands_its_users_over_without_an_error() {
    let fleet = Fleet::at(shared().await.url());
    let gates = [fleet.gate("gate-1").await, fleet.gate("gate-2").await];
    let (leaves, stays) = (fleet.login("login-1").await, fleet.login("login-2").await);
    let gone = leaves.node().clone();
    let (stop, calls) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut callers = JoinSet::new();
    for (number, user) in users().into_iter().enumerate() {
        let gate = gates[number % 2].handle();
        let (stop, calls) = (Arc::clone(&stop), Arc::clone(&calls));
        callers.spawn(async move {
            while !stop.load(Relaxed) {
                gate.send_bytes("login", "who", &user, "").await?;
                calls.fetch_add(1, Relaxed);
            }
            braid::Result::<()>::Ok(())
        });
    }
    let some_calls = async || {
        let enough = calls.load(Relaxed) + 20 * users().len();
        eventually("calls", SOON, async || calls.load(Relaxed) >= enough).await;
    };
    some_calls().await;
    let links = gates[0].links().unwrap();
    assert!(links.count(&gone).await.unwrap() > 0, "somebody is there");
    leaves.close().await.unwrap();
    assert_eq!(links.count(&gone).await.unwrap(), 0);
    some_calls().await;
    stop.store(true, Relaxed);
    for ended in callers.join_all().await {
        ended.unwrap();
    }
    for user in users() {
        assert_eq!(who(&gates[1], &user).await.unwrap(), "login-2");
    }
    for node in gates.into_iter().chain([stays]) {
        node.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_user_who_leaves_loses_the_links_everywhere() {
    let url = shared().await.url();
    let fleet = Fleet::at(url.clone());
    // Topics on Redis too, as in processes of their own.
    let director = fleet
        .director()
        .pubsub(PubSubConfig::new(url))
        .without_server();
    let gate = Braid::start("gate", "gate-1", director).await.unwrap();
    let (other, login) = (fleet.gate("gate-2").await, fleet.login("login-1").await);
    let user = &users().remove(0);
    let service = ServiceName::new("login").unwrap();
    who(&other, user).await.unwrap();
    // Published when its listener is there; a repetition may find a link that was made again.
    eventually("the link's end", SOON, async || {
        gate.topic(Unlink::topic())
            .publish(Unlink(user.clone()).message())
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        other
            .links()
            .unwrap()
            .cached_target(user, &service)
            .is_none()
    })
    .await;
    assert_eq!(
        gate.links().unwrap().target(user, &service).await.unwrap(),
        None
    );
    for node in [gate, other, login] {
        node.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_server_for_links_that_is_away_fails_the_start_with_its_address() {
    // Bound and not listening: refused, and nobody else gets the port.
    let nobody = TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = nobody.local_addr().unwrap().to_string();
    let before = alive_tasks();
    let mut fleet = Fleet::at(format!("redis://{address}"));
    fleet.links.redis.start_timeout = Duration::from_millis(300);
    let start = Braid::start("gate", "gate-1", fleet.director());
    let error = within("an error", SOON, start).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(error.component(), "linkcache-redis");
    assert!(error.to_string().contains(&address), "{error}");
    no_more_tasks_than(before).await;
}

#[tokio::test]
async fn a_start_that_fails_behind_its_links_leaves_no_connection() {
    let fleet = Fleet::at(shared().await.url());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::listen(taken.local_addr().unwrap().to_string());
    let hasty = ElectorConfig {
        refresh: Duration::ZERO,
        ..ElectorConfig::default()
    };
    for (director, kind) in [
        (fleet.director().elector(hasty), ErrorKind::Config),
        (fleet.director().server(server), ErrorKind::Conflict),
    ] {
        let before = alive_tasks();
        let error = Braid::start("gate", "gate-1", director).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        no_more_tasks_than(before).await;
    }
}

/// The links can't be handed back, which is told; the others will find that the node is gone.
#[tokio::test]
async fn a_node_whose_server_is_gone_or_frozen_ends_within_its_bounds() {
    for fault in [RedisServer::kill, RedisServer::pause] {
        let server = RedisServer::builder().start().await;
        let before = alive_tasks();
        let mut fleet = Fleet::at(server.url());
        fleet.links.redis.command_timeout = Duration::from_millis(500);
        let director = fleet.director().shutdown(ShutdownSection {
            drain: Duration::from_secs(1),
            ..ShutdownSection::default()
        });
        let node = Braid::start("login", "login-1", director).await.unwrap();
        fault(&server);
        let closing = Instant::now();
        let error = within("the end", SOON, node.close()).await.unwrap_err();
        let bound = Duration::from_secs(5);
        assert!(closing.elapsed() < bound, "{:?}", closing.elapsed());
        let kinds = [
            ErrorKind::Unavailable,
            ErrorKind::Timeout,
            ErrorKind::Indeterminate,
        ];
        assert!(kinds.contains(&error.kind()), "{error}");
        no_more_tasks_than(before).await;
        server.resume();
    }
}
