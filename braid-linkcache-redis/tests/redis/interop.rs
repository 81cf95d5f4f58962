//! Links that the original, braid-go, makes: they are followed, and left alone.
//!
//! `cargo xtask test` builds its program. None of these tests passes without: `cargo xtask test --without go` leaves them out, and
//! says so.

use crate::{
    original::Original,
    support::{Cache, LinkFleet, SECOND, quick, token},
};
use braid_core::{Claim, LinkCache, Node, NodeRef, Token};
use braid_linkcache_redis::LinkCacheConfig;
use braid_testkit::{SETTLED, eventually_eq, real_time, redis::RedisServer, within};
use std::collections::BTreeMap;

/// A service of the original's that makes links to a service of braid's, of two nodes.
struct Setting {
    server: RedisServer,
    fleet: LinkFleet,
    original: Original,
    cache: Cache,
    nodes: [Node; 2],
}

impl Setting {
    async fn start(parent: &str, child: &str) -> Self {
        let server = RedisServer::builder().start().await;
        let parents = ["nobody", parent].map(|name| name.try_into().expect("it is legal"));
        let fleet = LinkFleet::new(LinkCacheConfig {
            ttl: 60 * SECOND,
            original_parents: parents.to_vec(),
            ..quick(server.url())
        });
        let node = |id: &str, address| {
            let life = NodeRef::random(id.try_into().expect("it is legal"));
            Node::new(child.try_into().expect("it is legal"), life, address)
        };
        let nodes = [
            node("one", ([127, 0, 0, 1], 12001).into()),
            node("two", ([127, 0, 0, 2], 12002).into()),
        ];
        for node in &nodes {
            fleet.nodes.set(node).await;
        }
        let cache = fleet.cache().await;
        let address = server.addr().to_string();
        let original = Original::start(&["link", &address, parent]);
        Self {
            server,
            fleet,
            original,
            cache,
            nodes,
        }
    }

    async fn original_does(&mut self, what: &str) {
        self.original.tell(what).await;
        self.original.says("done").await;
    }

    async fn original_links(&mut self, token: &Token, place: usize, address: &str) {
        let node = &self.nodes[place];
        let (child, id) = (node.service.clone(), node.node.id.clone());
        let line = format!("link {} {child} {id} {address}", token.as_str());
        self.original_does(&line).await;
    }

    /// Waits until the token is linked to the node at this place, or to none.
    async fn linked(&self, token: &Token, place: Option<usize>) {
        let expected = place.map(|place| self.nodes[place].node.clone());
        let service = &self.nodes[0].service;
        // Discovery of a service is followed once it was asked for.
        eventually_eq("the original's link", SETTLED, expected, async || {
            self.cache
                .target(token, service)
                .await
                .expect("the server is there")
        })
        .await;
        assert_eq!(self.cache.cached_target(token, service), None);
    }

    /// All that the original has written of links, as the server has it.
    async fn written(&self) -> BTreeMap<String, String> {
        let keys = self.server.command(&["KEYS", "braid_linker*"]).await;
        let mut written = BTreeMap::new();
        for key in keys.items() {
            let dump = self.server.command(&["DUMP", &key.text()]).await;
            written.insert(key.text(), format!("{dump:?}"));
        }
        written
    }

    async fn stop(self) {
        self.cache.stop().await;
        self.original.ended().await;
    }
}

#[test]
fn links_of_the_original_are_followed_until_it_ends_them() {
    real_time().block_on(async {
        let mut setting = Setting::start("base", "mail").await;
        let [with_port, without, nowhere] = [token(), token(), token()];
        setting
            .original_links(&with_port, 0, "127.0.0.1:12001")
            .await;
        setting.original_links(&without, 1, "127.0.0.2").await;
        // At this address is no node that discovery tells of.
        setting.original_links(&nowhere, 0, "127.0.0.1:9").await;
        setting.linked(&with_port, Some(0)).await;
        setting.linked(&without, Some(1)).await;
        setting.linked(&nowhere, None).await;
        setting.linked(&token(), None).await;
        let unlink = format!("unlink {} mail", with_port.as_str());
        setting.original_does(&unlink).await;
        setting.linked(&with_port, None).await;
        setting.linked(&without, Some(1)).await;
        let two = setting.nodes[1].node.clone();
        setting.fleet.nodes.remove(&two).await;
        setting.linked(&without, None).await;
        setting.stop().await;
    });
}

/// The original itself takes such names apart in the wrong places, but for these keys.
#[test]
fn links_of_services_with_hyphens_are_followed() {
    real_time().block_on(async {
        let mut setting = Setting::start("my-base", "e-mail").await;
        let token = token();
        setting.original_links(&token, 0, "127.0.0.1:12001").await;
        setting.linked(&token, Some(0)).await;
        let down = format!("down {} e-mail one", token.as_str());
        setting.original_does(&down).await;
        setting.linked(&token, None).await;
        setting.stop().await;
    });
}

#[test]
fn what_the_original_has_written_stays_as_it_is() {
    real_time().block_on(async {
        let mut setting = Setting::start("base", "mail").await;
        let token = token();
        setting.original_links(&token, 0, "127.0.0.1:12001").await;
        setting.linked(&token, Some(0)).await;
        let before = setting.written().await;
        assert_eq!(before.len(), 3, "{before:?}");
        let (cache, [one, two]) = (&setting.cache, &setting.nodes);
        // A link of braid's own goes before.
        let own = async {
            assert_eq!(cache.claim(&token, two).await?, Claim::Won);
            assert_eq!(
                cache.target(&token, &two.service).await?,
                Some(two.node.clone())
            );
            assert!(cache.relink(&token, &two.node, one).await?);
            assert!(!cache.unlink(&token, &two.service, &two.node).await?);
            assert_eq!(cache.leave(&token).await?, 1);
            assert_eq!(cache.claim(&token, two).await?, Claim::Won);
            assert_eq!(cache.down(&two.node).await?, 1);
            Ok::<_, braid_core::Error>(())
        };
        within("all of it", SETTLED, own)
            .await
            .expect("the server is there");
        setting.linked(&token, Some(0)).await;
        assert_eq!(setting.written().await, before);
        setting.stop().await;
    });
}
