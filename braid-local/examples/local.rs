//! Two nodes of one in-process fleet: they find each other, talk by a topic, elect a master, and keep a user on a node.
//!
//! `cargo run -p braid-local --example local`

use braid_core::{
    Announcement, Channel, Component, Discover, Elector, LinkCache, Node, NodeRef, PubSub, Result,
    ServiceName, Shutdown, ShutdownTrigger, SubscribeOptions, Token, Topic, Update,
};
use braid_local::{
    ElectorConfig, Hub, LinkCacheConfig, LocalDiscover, LocalElector, LocalLinkCache, LocalPubSub,
};
use futures_util::StreamExt;
use std::{net::SocketAddr, sync::Arc};
use tokio::task::JoinSet;

/// What a process of a distributed fleet would hold.
struct Member {
    node: Node,
    pubsub: Arc<LocalPubSub>,
    discover: Arc<LocalDiscover>,
    elector: Arc<LocalElector>,
    links: Arc<LocalLinkCache>,
    announcement: Announcement,
    runs: JoinSet<Result<()>>,
    trigger: ShutdownTrigger,
}

impl Member {
    async fn start(hub: &Hub, service: &ServiceName, id: &str, port: u16) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let node = Node::new(service.clone(), NodeRef::random(id.try_into()?), address);
        let elector = hub.elector(service.clone(), node.node.clone(), ElectorConfig::default())?;
        let discover = Arc::new(hub.discover());
        let mut member = Self {
            announcement: discover.announce(&node).await?,
            pubsub: Arc::new(hub.pubsub()),
            elector: Arc::new(elector),
            links: Arc::new(hub.link_cache(LinkCacheConfig::default())?),
            discover,
            node,
            runs: JoinSet::new(),
            trigger: ShutdownTrigger::new(),
        };
        member.run(Arc::clone(&member.pubsub));
        member.run(Arc::clone(&member.discover));
        member.run(Arc::clone(&member.elector));
        member.run(Arc::clone(&member.links));
        Ok(member)
    }

    fn run(&mut self, component: Arc<impl Component>) {
        let shutdown: Shutdown = self.trigger.shutdown();
        self.runs
            .spawn(async move { component.run(shutdown).await });
    }

    async fn stop(mut self) -> Result<()> {
        self.announcement.withdraw().await?;
        self.trigger.drain();
        while let Some(ended) = self.runs.join_next().await {
            ended.expect("a component's run doesn't panic")?;
        }
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let hub = Hub::new();
    let login = ServiceName::new("login")?;
    let one = Member::start(&hub, &login, "login-1", 14_001).await?;
    let two = Member::start(&hub, &login, "login-2", 14_002).await?;

    // Discovery: `two` sees both.
    if let Some(Update::Reset(nodes)) = two.discover.watch(&login).next().await.transpose()? {
        let ids: Vec<_> = nodes.iter().map(|node| node.node.id.as_str()).collect();
        println!("login has the nodes {}", ids.join(" and "));
    }

    // Topics: `one` publishes, `two` hears it.
    let topic = Topic::new("chat.world")?;
    let channel = Channel::new("login-2")?;
    let options = SubscribeOptions::ephemeral();
    let mut inbox = two.pubsub.subscribe(&topic, &channel, options).await?;
    one.pubsub.publish(&topic, "hello".into()).await?;
    if let Some(delivery) = inbox.next().await.transpose()? {
        let body = String::from_utf8_lossy(delivery.body()).into_owned();
        println!("{} heard `{body}` on {topic}", two.node.node.id);
        delivery.ack().await?;
    }
    inbox.close().await?;

    // Links: the user stays on `one`, whoever asks.
    let user = Token::new("user-7")?;
    let claim = one.links.claim(&user, &one.node).await?;
    println!("login-1 claims a user: {claim:?}");
    let claim = two.links.claim(&user, &two.node).await?;
    println!("login-2 claims the same user: {claim:?}");

    // Election: `one` leads, stops, and `two` follows in a higher term.
    let term = one.elector.leadership().leading().await?;
    println!("login-1 is the master in term {term}");
    one.stop().await?;
    let term = two.elector.leadership().leading().await?;
    println!("login-1 has left; login-2 is the master in term {term}");
    two.stop().await
}
