//! Users stay on their node.

use crate::support::{Fleet, Running, dead_address, links::Links, names, node_at, soon, until};
use braid_core::{ErrorKind, NodeState, Result, Token};
use braid_rpc::{Client, ClientConfig};
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

struct Linked {
    fleet: Fleet,
    links: Arc<Links>,
    client: Client,
}

impl Linked {
    /// A client that waits this long for a node that isn't there.
    fn new(node_wait: Duration) -> Self {
        let (fleet, links) = (Fleet::default(), Links::new());
        let client = fleet.client_with(|builder| {
            let config = ClientConfig {
                node_wait,
                ..ClientConfig::default()
            };
            builder.config(config).links(links.clone())
        });
        Self {
            fleet,
            links,
            client,
        }
    }

    async fn nodes(&self, ids: &[&str]) -> Vec<Running> {
        let mut nodes = Vec::new();
        for node_id in ids {
            nodes.push(self.fleet.start("login", node_id).await);
        }
        nodes
    }

    async fn who(&self, token: &Token) -> Result<String> {
        let reply = self.client.send_bytes("login", "who", token, "").await?;
        Ok(String::from_utf8(reply.into()).unwrap())
    }
}

const SHORT: Duration = Duration::from_millis(30);
const LONG: Duration = Duration::from_secs(60);

fn token(text: &str) -> Token {
    Token::new(text).unwrap()
}

#[tokio::test]
async fn a_user_stays_on_one_node_and_users_are_spread() {
    let linked = Linked::new(SHORT);
    let _nodes = linked.nodes(&["login-1", "login-2", "login-3"]).await;
    let mut users = BTreeMap::new();
    for user in 0..9 {
        let user = format!("user-{user}");
        let node = linked.who(&token(&user)).await.unwrap();
        users.insert(user, node);
    }
    for (user, node) in users.iter().cycle().take(45) {
        assert_eq!(linked.who(&token(user)).await.unwrap(), *node);
    }
    for node in ["login-1", "login-2", "login-3"] {
        assert_eq!(users.values().filter(|n| *n == node).count(), 3);
    }
}

#[tokio::test]
async fn a_typed_client_with_a_token_stays_on_its_node_too() {
    use braid_rpc::proto::{RouteReq, listen_client::ListenClient};
    let linked = Linked::new(SHORT);
    let nodes = linked.nodes(&["login-1", "login-2"]).await;
    let user = token("user-1");
    linked.links.link(&user, &nodes[1].node);
    let channel = linked.client.channel("login").unwrap();
    let mut listen = ListenClient::new(channel.with_token(user));
    for _ in 0..6 {
        let request = RouteReq {
            service: "who".to_owned(),
            ..RouteReq::default()
        };
        let reply = listen.routing(request).await.unwrap();
        assert_eq!(reply.into_inner().res_body, "login-2");
    }
}

#[tokio::test]
async fn a_draining_node_keeps_its_users_and_gets_no_new_ones() {
    let linked = Linked::new(SHORT);
    let nodes = linked.nodes(&["login-1", "login-2"]).await;
    let old = token("old");
    linked.links.link(&old, &nodes[0].node);
    for state in [NodeState::Draining, NodeState::NotReady] {
        linked.fleet.put(&nodes[0].node.clone().with_state(state));
        assert_eq!(linked.who(&old).await.unwrap(), "login-1");
        until(|| linked.client.nodes("login")[0].node.state == state).await;
        for user in 0..4 {
            let user = token(&format!("{state:?}-{user}"));
            assert_eq!(linked.who(&user).await.unwrap(), "login-2");
        }
        assert_eq!(linked.who(&old).await.unwrap(), "login-1");
    }
}

#[tokio::test]
async fn of_two_claims_the_loser_goes_where_the_winner_is() {
    let linked = Linked::new(SHORT);
    let nodes = linked.nodes(&["login-1", "login-2"]).await;
    let user = token("user-1");
    let (links, winner) = (Arc::clone(&linked.links), nodes[1].node.clone());
    let claimed = user.clone();
    // Another process is a moment faster.
    linked
        .links
        .before_claim(move |_| links.link(&claimed, &winner));
    assert_eq!(linked.who(&user).await.unwrap(), "login-2");
    assert_eq!(nodes[0].calls(), 0);
}

#[tokio::test]
async fn a_node_that_rejects_the_claim_is_left_for_another() {
    let linked = Linked::new(SHORT);
    let nodes = linked.nodes(&["login-1", "login-2"]).await;
    linked.fleet.put(&nodes[0].node.clone().with_weight(100));
    linked.links.reject(&nodes[0].node);
    for user in 0..4 {
        let user = token(&format!("user-{user}"));
        assert_eq!(linked.who(&user).await.unwrap(), "login-2");
    }
    linked.links.reject(&nodes[1].node);
    let error = soon(linked.who(&token("late"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    names(&error, &["`login`"]);
}

#[tokio::test]
async fn a_linked_node_that_is_away_is_unavailable_and_keeps_its_link() {
    let linked = Linked::new(SHORT);
    let _nodes = linked.nodes(&["login-1"]).await;
    let away = node_at("login", "login-9", dead_address());
    let user = token("user-1");
    linked.links.link(&user, &away);
    let error = soon(linked.who(&user)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    names(&error, &["`login`", "login-9"]);
    assert_eq!(linked.links.linked(&user), Some(away.node));
}

#[tokio::test]
async fn a_linked_node_that_is_about_to_be_seen_is_waited_for() {
    let linked = Linked::new(LONG);
    let _nodes = linked.nodes(&["login-1"]).await;
    linked.who(&token("other")).await.unwrap();
    let late = Running::start("login", "login-2", "127.0.0.1:0", |b| b).await;
    let user = token("user-1");
    linked.links.link(&user, &late.node);
    let asked = linked.links.targets.load(SeqCst);
    let (reply, ()) = tokio::join!(soon(linked.who(&user)), async {
        until(|| linked.links.targets.load(SeqCst) > asked).await;
        linked.fleet.put(&late.node);
    });
    assert_eq!(reply.unwrap(), "login-2");
}

#[tokio::test]
async fn a_link_to_a_former_life_is_claimed_anew() {
    let linked = Linked::new(LONG);
    let nodes = linked.nodes(&["login-1"]).await;
    let former = node_at("login", "login-1", dead_address());
    let user = token("user-1");
    linked.links.link(&user, &former);
    linked.links.is_former(&former);
    assert_eq!(soon(linked.who(&user)).await.unwrap(), "login-1");
    assert_eq!(linked.links.linked(&user), Some(nodes[0].node.node.clone()));
    assert_eq!(
        linked.links.unlinks.load(SeqCst),
        0,
        "the claim replaced it"
    );
}

#[tokio::test]
async fn a_former_life_that_claims_do_not_replace_is_unlinked() {
    let linked = Linked::new(SHORT);
    let nodes = linked.nodes(&["login-1"]).await;
    let former = node_at("login", "login-1", dead_address());
    let user = token("user-1");
    linked.links.link(&user, &former);
    assert_eq!(soon(linked.who(&user)).await.unwrap(), "login-1");
    assert_eq!(linked.links.linked(&user), Some(nodes[0].node.node.clone()));
    assert_eq!(linked.links.unlinks.load(SeqCst), 1);
}

#[tokio::test]
async fn a_near_cache_that_is_late_is_asked_no_further() {
    let linked = Linked::new(LONG);
    let _nodes = linked.nodes(&["login-1"]).await;
    let user = token("user-1");
    // Gone, and the link with it, but the cache hasn't heard.
    linked
        .links
        .believe(&user, &node_at("login", "login-9", dead_address()));
    assert_eq!(soon(linked.who(&user)).await.unwrap(), "login-1");
}

#[tokio::test]
async fn a_node_that_has_closed_is_left_though_the_near_cache_is_late() {
    let linked = Linked::new(LONG);
    let mut nodes = linked.nodes(&["login-1", "login-2"]).await;
    let user = token("user-1");
    linked.links.link(&user, &nodes[0].node);
    assert_eq!(linked.who(&user).await.unwrap(), "login-1");
    // It has handed its links back and closed; neither the cache nor discovery has heard.
    linked.links.believe(&user, &nodes[0].node);
    linked.links.end(&user);
    nodes.remove(0).stop().await.unwrap();
    assert_eq!(soon(linked.who(&user)).await.unwrap(), "login-2");
}

#[tokio::test]
async fn no_failure_of_a_call_ends_a_link() {
    let linked = Linked::new(SHORT);
    let nodes = linked.nodes(&["login-1", "login-2"]).await;
    let user = token("user-1");
    let node = linked.who(&user).await.unwrap();
    let error = linked
        .client
        .send_bytes("login", "no.such", &user, "")
        .await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);

    let link = linked.links.linked(&user).unwrap();
    let (linked_to, _other): (Vec<_>, Vec<_>) = nodes
        .into_iter()
        .partition(|running| running.node.node.id.as_str() == node);
    for running in linked_to {
        running.stop().await.unwrap();
    }
    let error = soon(linked.who(&user)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    names(&error, &["`login`", &node]);
    assert_eq!(linked.links.linked(&user), Some(link));
    assert_eq!(linked.links.unlinks.load(SeqCst), 0);
    // Once the link has ended, the next call makes a new one.
    linked.links.end(&user);
    assert_ne!(soon(linked.who(&user)).await.unwrap(), node);
}

#[tokio::test]
async fn nobody_is_linked_to_a_node_that_cannot_be_reached() {
    let linked = Linked::new(SHORT);
    linked
        .fleet
        .put(&node_at("login", "login-1", dead_address()).with_weight(100));
    let _nodes = linked.nodes(&["login-2"]).await;
    for user in 0..10 {
        let user = token(&format!("user-{user}"));
        assert_eq!(linked.who(&user).await.unwrap(), "login-2");
        assert_eq!(linked.links.linked(&user).unwrap().id.as_str(), "login-2");
    }
}

#[tokio::test]
async fn a_node_that_leaves_while_it_is_claimed_is_not_called() {
    let linked = Linked::new(SHORT);
    let nodes = linked.nodes(&["login-1", "login-2"]).await;
    linked.who(&token("other")).await.unwrap();
    let (fleet, client) = (linked.fleet.clone(), linked.client.clone());
    let (leaves, before) = (nodes[1].node.clone(), nodes[1].calls());
    let (links, user) = (Arc::clone(&linked.links), token("user-1"));
    let claimed = user.clone();
    linked.links.before_claim(move |node| {
        if node.node != leaves.node {
            return;
        }
        // The claim takes until the removal was seen; the link goes with the node.
        fleet.remove(&leaves);
        links.end(&claimed);
        while client.nodes("login").len() > 1 {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let call = tokio::task::spawn_blocking({
        let (client, user) = (linked.client.clone(), user.clone());
        let runtime = tokio::runtime::Handle::current();
        move || runtime.block_on(client.send_bytes("login", "who", &user, ""))
    });
    // The claim was won for a node that is gone: its link stands until the cache ends it.
    let error = soon(call).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    names(&error, &["`login`", "login-2"]);
    assert_eq!(nodes[1].calls(), before);
}

#[tokio::test]
async fn the_way_of_a_call_is_told_without_making_it() {
    let linked = Linked::new(SHORT);
    let nodes = linked.nodes(&["login-1", "login-2"]).await;
    let (user, stranger) = (token("user-1"), token("user-2"));
    let way = |token| linked.client.route("login", token);
    assert!(
        way(None).is_none(),
        "nothing is known before the first call"
    );
    let home = linked.who(&user).await.unwrap();
    let is_home = |node: &&Running| node.node.node.id.as_str() == home;
    let node = nodes.iter().find(is_home).unwrap();
    linked.links.believe(&user, &node.node);
    for _ in 0..3 {
        let way = way(Some(&user)).unwrap();
        assert_eq!(way.node().node.id.as_str(), home);
        assert_eq!(
            linked
                .client
                .nodes("login")
                .iter()
                .map(|n| n.in_flight)
                .sum::<usize>(),
            1
        );
    }
    assert!(way(Some(&stranger)).is_none(), "it has no link yet");
    let turns = [way(None), way(None)].map(|way| way.unwrap().node().node.id.to_string());
    assert_ne!(turns[0], turns[1]);
    assert!(linked.client.route("mail", None).is_none());
    assert_eq!(nodes[0].calls() + nodes[1].calls(), 1);
}
