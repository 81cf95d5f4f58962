//! The reserved topics of links.

use super::support::{Cache, present, tokens};
use crate::{LinkCacheHarness, SETTLED, eventually, fresh, reserved::Listener, within};
use braid_core::{
    NewMessage, NodeRef, Token,
    reserved::{Body, LinkNumber, Unlink},
};

pub async fn r3_published_token_ends_its_links_everywhere<H: LinkCacheHarness>(h: &H) {
    let caches = [Cache::start(h).await, Cache::start(h).await];
    let events = h.events();
    let (leaving, staying) = (
        Token::new(format!("日本-{{x}}-{}", fresh::service(""))).unwrap(),
        fresh::token("staying"),
    );
    // A cache listens some time after it was started: until then what is published may pass it by.
    let (first, service) = (fresh::token("first"), fresh::service("login"));
    let node = present(h, &service).await;
    for cache in &caches {
        eventually("the cache listens to unlinks", SETTLED, async || {
            cache.wins(&first, &node).await;
            events
                .publish(&Unlink::topic(), Unlink(first.clone()).message())
                .await
                .unwrap();
            tokio::time::sleep(h.slack() / 10).await;
            cache.cached_target(&first, &service).is_none()
                && cache.linked(&first, &service).await.is_none()
        })
        .await;
    }

    for _ in 0..2 {
        let mut nodes = Vec::new();
        for name in ["login", "mail"] {
            let node = present(h, &fresh::service(name)).await;
            for token in [&leaving, &staying] {
                caches[0].wins(token, &node).await;
                assert_eq!(
                    caches[1].linked(token, &node.service).await.as_ref(),
                    Some(&node.node)
                );
            }
            nodes.push(node);
        }
        // What is no token ends nothing, and disturbs nobody.
        for garbage in [&b""[..], b"\xff\xfe", &[b'x'; Token::MAX_LEN + 1]] {
            events
                .publish(&Unlink::topic(), NewMessage::new(garbage.to_vec()))
                .await
                .unwrap();
        }
        events
            .publish(
                &Unlink::topic(),
                NewMessage::new(leaving.as_str().to_owned()),
            )
            .await
            .unwrap();
        for cache in &caches {
            for node in &nodes {
                cache.forgets(&leaving, &node.service, h.slack()).await;
                assert_eq!(
                    cache.linked(&staying, &node.service).await.as_ref(),
                    Some(&node.node)
                );
            }
        }
    }
    for cache in caches {
        cache.process.stop().await;
    }
}

pub async fn r4_link_numbers_are_published_per_node<H: LinkCacheHarness>(h: &H) {
    let events = h.events();
    let mut listener = Listener::<LinkNumber>::new(&*events).await;
    let caches = [Cache::start(h).await, Cache::start(h).await];
    let service = fresh::service("login");
    let (a, b) = (present(h, &service).await, present(h, &service).await);
    let mut told = async |node: &NodeRef, number: u64| {
        let what = format!("{number} links of {} are published", node.id);
        let expected = LinkNumber {
            id: node.id.clone(),
            number,
        };
        within(&what, SETTLED, async {
            while listener.next().await != expected {}
        })
        .await;
    };
    let tokens = tokens(6);
    for (place, token) in tokens.iter().enumerate() {
        let node = if place < 4 { &a } else { &b };
        caches[place % 2].wins(token, node).await;
    }
    // Whichever is told first: what was read while waiting for the one isn't read again.
    told(&a.node, 4).await;
    assert!(caches[0].unlinks(&tokens[0], &service, &a.node).await);
    told(&a.node, 3).await;
    assert_eq!(caches[1].leave(&tokens[5]).await.unwrap(), 1);
    told(&b.node, 1).await;
    caches[0].down(&a.node).await.unwrap();
    told(&a.node, 0).await;
    for cache in caches {
        cache.process.stop().await;
    }
}
