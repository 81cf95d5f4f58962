//! A user on one of two nodes, who moves when that one drains: `cargo run -p braid-linkcache-redis --example links`, with a server at
//! `BRAID_REDIS_URL`. Discovery and topics are those of one process here.

use braid_core::{
    Claim, Component, Discover, LinkCache, Node, NodeRef, ServiceName, ShutdownTrigger, SystemClock,
};
use braid_linkcache_redis::{LinkCacheConfig, RedisConfig, RedisLinkCache};
use braid_local::Hub;
use std::sync::Arc;

#[tokio::main]
async fn main() -> braid_core::Result<()> {
    let hub = Hub::new();
    let config = LinkCacheConfig {
        redis: RedisConfig::from_env()?,
        namespace: "example".to_owned(),
        ..LinkCacheConfig::default()
    };
    let (discover, pubsub) = (Arc::new(hub.discover()), Arc::new(hub.pubsub()));
    let links = RedisLinkCache::connect(config, Arc::new(SystemClock), discover, pubsub).await?;
    let trigger = ShutdownTrigger::new();
    let run = tokio::spawn({
        let (links, shutdown) = (links.clone(), trigger.shutdown());
        async move { links.run(shutdown).await }
    });

    let service: ServiceName = "room".try_into()?;
    let node = |id: &str, port| -> braid_core::Result<Node> {
        let node = NodeRef::random(id.try_into()?);
        Ok(Node::new(
            service.clone(),
            node,
            ([127, 0, 0, 1], port).into(),
        ))
    };
    let (one, two) = (node("room-1", 9001)?, node("room-2", 9002)?);
    let registry = hub.discover();
    let _one = registry.announce(&one).await?;
    let _two = registry.announce(&two).await?;

    let token = "user-7".try_into()?;
    links.leave(&token).await?;
    if links.claim(&token, &one).await? == Claim::Won {
        println!("the user is on {}", one.node);
    }
    match links.claim(&token, &two).await? {
        Claim::Held(holder) => println!("and stays there: {holder}"),
        Claim::Won => println!("the first link has ended meanwhile"),
    }

    // The first node leaves; its user is taken over, and then it has none.
    let drain = links.drain(&one.node);
    let take_over = async {
        let moved = links.relink(&token, &one.node, &two).await?;
        println!("taken over: {moved}");
        braid_core::Result::Ok(())
    };
    let (drained, moved) = tokio::join!(drain, take_over);
    moved.and(drained)?;
    println!(
        "drained; the user is on {:?}",
        links.target(&token, &service).await?
    );
    links.leave(&token).await?;

    trigger.drain();
    run.await.expect("the run doesn't panic")
}
