//! L5: names and tokens of every kind.

use super::support::{Cache, present};
use crate::{LinkCacheHarness, fresh};
use braid_core::{ErrorKind, NodeId, NodeRef, ServiceName, Token, Uid};

pub async fn l5_names_and_tokens_of_every_kind<H: LinkCacheHarness>(h: &H) {
    let (one, two) = (Cache::start(h).await, Cache::start(h).await);
    let unique = fresh::service("");
    let names = [
        "plain",
        "with-hyphens--and-more-",
        "a-b",
        "{braces}",
        "{unclosed",
        "a b\tc\nd",
        "日本語 ñ 🦀",
        "\u{0}zero",
        "*?[a-z]",
        "colons:and::colons:",
        "'quotes\"",
        "..",
    ];
    let longest = |of: usize| "x".repeat(of - unique.as_str().len());
    let mut pairs: Vec<_> = names
        .iter()
        .map(|name| ((*name).to_owned(), (*name).to_owned()))
        .collect();
    pairs.push((longest(ServiceName::MAX_LEN), longest(Token::MAX_LEN)));
    // Where a backend joins names, these must not meet.
    for (service, token) in [
        ("a", "b-c"),
        ("a-b", "c"),
        ("a:b", "c"),
        ("a", "b:c"),
        ("a}", "c"),
        ("a", "}c"),
    ] {
        pairs.push((service.to_owned(), token.to_owned()));
    }
    let mut links = Vec::new();
    for (service, token) in &pairs {
        let service = ServiceName::new(format!("{service}{unique}")).unwrap();
        let token = Token::new(format!("{unique}{token}")).unwrap();
        // The node's names are of the same kinds.
        let id = NodeId::new(format!(
            "{}-{}",
            links.len(),
            service.as_str().chars().take(40).collect::<String>()
        ));
        let uid = Uid::new(service.as_str()).unwrap();
        let node = fresh::node_as(&service, NodeRef::new(id.unwrap(), uid));
        h.set(&node).await;
        one.wins(&token, &node).await;
        links.push((token, node));
    }
    for (token, node) in &links {
        assert_eq!(
            two.linked(token, &node.service).await.as_ref(),
            Some(&node.node)
        );
        assert_eq!(two.links(&node.node).await, 1);
    }
    for (token, node) in &links {
        assert!(two.unlinks(token, &node.service, &node.node).await);
        assert_eq!(one.linked(token, &node.service).await, None);
        assert_eq!(one.links(&node.node).await, 0);
    }
    one.process.stop().await;
    two.process.stop().await;
}

pub async fn l5_empty_and_oversized_are_refused<H: LinkCacheHarness>(h: &H) {
    let cache = Cache::start(h).await;
    for (text, fault) in [
        (String::new(), "empty"),
        ("s3cret!!".repeat(8 * 1024), "65536 bytes"),
    ] {
        let errors = [
            Token::new(text.as_str()).unwrap_err(),
            ServiceName::new(text.as_str()).unwrap_err(),
            NodeId::new(text.as_str()).unwrap_err(),
            Uid::new(text.as_str()).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Config);
            let told = format!("{error} {error:?}");
            assert!(told.contains(fault), "the error names the fault: {told}");
            assert!(!told.contains("s3cret!!"), "and not what was given");
        }
    }
    // The largest that is legal is linked.
    let service = fresh::service("login");
    let node = present(h, &service).await;
    let largest = Token::new("s3cret!!".repeat(Token::MAX_LEN / 8)).unwrap();
    cache.wins(&largest, &node).await;
    assert_eq!(cache.linked(&largest, &service).await, Some(node.node));
    assert!(!format!("{:?} {largest:?}", cache.process).contains("s3cret!!"));
    cache.process.stop().await;
}
