//! Names of keys and channels, and how nodes are written in them.
//!
//! A service's links are spread over buckets by their tokens. What has to change together is in one bucket, and so in one slot of a
//! cluster: a token's link, what its node holds of the bucket, and which nodes are closed.

use braid_core::{NodeId, NodeRef, ServiceName, Token, Uid};
use braid_redis::keys::{KeySpace, slot};
use bytes::Bytes;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Which fleet's links these are, where several share a server.
#[derive(Clone, Debug)]
pub(crate) struct Namespace(Arc<str>);

impl Namespace {
    pub(crate) fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The channel that tells which links have ended.
    pub(crate) fn channel(&self) -> Bytes {
        match &*self.0 {
            "" => Bytes::from_static(b"braid:links"),
            name => format!("braid:links:{name}").into(),
        }
    }

    /// A namespace is a part in front of all others, and the default one is none.
    fn key(&self, space: &KeySpace, kind: &str, parts: &[&[u8]]) -> Bytes {
        if self.0.is_empty() {
            return space.key(kind, parts);
        }
        space.key(kind, &[&[self.0.as_bytes()], parts].concat())
    }

    /// A key, and the colon that one more part begins with.
    fn prefix(&self, space: &KeySpace, kind: &str) -> Bytes {
        let mut prefix = self.key(space, kind, &[]).to_vec();
        prefix.push(b':');
        prefix.into()
    }
}

/// Where a process hears its own messages.
pub(crate) fn beats_channel(process: &str) -> Bytes {
    format!("braid:link-beats:{process}").into()
}

/// Where one part of a service's links is.
#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) slot: u16,
    /// Which nodes have links here.
    pub(crate) nodes: Bytes,
    /// Which nodes get no new link.
    pub(crate) closed: Bytes,
    /// What the key of all links of a node here begins with; [`owner_text`] follows.
    pub(crate) held: Bytes,
    /// What the key of a token's link begins with; its length, a colon and the token follow.
    pub(crate) link: Bytes,
}

impl Bucket {
    fn new(namespace: &Namespace, service: &ServiceName, number: u16) -> Self {
        let space = KeySpace::new(format!("{service}/{number}").as_bytes());
        Self {
            nodes: namespace.key(&space, "link-nodes", &[]),
            closed: namespace.key(&space, "link-closed", &[]),
            held: namespace.prefix(&space, "links"),
            link: namespace.prefix(&space, "link"),
            slot: space.slot(),
        }
    }

    /// Holds a token's link.
    pub(crate) fn link_of(&self, token: &Token) -> Bytes {
        let token = token.as_str();
        let length = token.len().to_string();
        [&self.link[..], length.as_bytes(), b":", token.as_bytes()]
            .concat()
            .into()
    }

    /// Holds which tokens are linked to a node.
    pub(crate) fn held_by(&self, node: &NodeRef) -> Bytes {
        [&self.held[..], owner_text(node).as_bytes()]
            .concat()
            .into()
    }
}

/// The buckets of one service.
#[derive(Debug)]
pub(crate) struct Buckets {
    pub(crate) service: ServiceName,
    pub(crate) all: Box<[Bucket]>,
}

impl Buckets {
    fn new(namespace: &Namespace, service: &ServiceName, count: u16) -> Self {
        let bucket = |number| Bucket::new(namespace, service, number);
        Self {
            service: service.clone(),
            all: (0..count).map(bucket).collect(),
        }
    }

    /// The one that a token's link is in. The hash is the cluster's own: the same everywhere, for ever.
    pub(crate) fn of(&self, token: &Token) -> &Bucket {
        &self.all[usize::from(slot(token.as_str().as_bytes())) % self.all.len()]
    }
}

/// What the fleet has in common, all in one slot.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) slot: u16,
    /// The services that have had a link.
    pub(crate) services: Bytes,
    /// Which nodes get no new link, for services that aren't listed yet.
    pub(crate) closed: Bytes,
    /// Which nodes get no new link because discovery doesn't tell of them.
    pub(crate) absent: Bytes,
    /// Who looks after what has ended.
    pub(crate) keeper: Bytes,
    /// The counts that were published last.
    pub(crate) told: Bytes,
    /// How many buckets a service has.
    pub(crate) buckets: Bytes,
    /// The processes that keep links by themselves.
    pub(crate) processes: Bytes,
    /// What the key of a process' counts begins with.
    pub(crate) counts: Bytes,
}

impl Common {
    pub(crate) fn new(namespace: &Namespace) -> Self {
        let space = KeySpace::new(b"links");
        let key = |kind| namespace.key(&space, kind, &[]);
        Self {
            slot: space.slot(),
            services: key("link-services"),
            closed: key("link-closed"),
            absent: key("link-absent"),
            keeper: key("link-keeper"),
            told: key("link-told"),
            buckets: key("link-buckets"),
            processes: key("link-processes"),
            counts: namespace.prefix(&space, "link-counts"),
        }
    }

    /// The counts of a process that keeps its links by itself.
    pub(crate) fn counts_of(&self, process: &str) -> Bytes {
        let length = process.len().to_string();
        [
            &self.counts[..],
            length.as_bytes(),
            b":",
            process.as_bytes(),
        ]
        .concat()
        .into()
    }
}

/// The buckets of all services that this process knows.
#[derive(Debug, Default)]
pub(crate) struct Known {
    buckets: HashMap<ServiceName, Arc<Buckets>>,
    /// Those that it has listed.
    entered: HashSet<ServiceName>,
}

impl Known {
    pub(crate) fn get(&self, service: &ServiceName) -> Option<Arc<Buckets>> {
        self.buckets.get(service).cloned()
    }

    pub(crate) fn get_entered(&self, service: &ServiceName) -> Option<Arc<Buckets>> {
        self.entered
            .get(service)
            .and_then(|service| self.get(service))
    }

    pub(crate) fn insert(
        &mut self,
        namespace: &Namespace,
        service: &ServiceName,
        count: u16,
    ) -> Arc<Buckets> {
        let new = || Arc::new(Buckets::new(namespace, service, count));
        Arc::clone(self.buckets.entry(service.clone()).or_insert_with(new))
    }

    pub(crate) fn enter(&mut self, service: &ServiceName) {
        self.entered.insert(service.clone());
    }

    pub(crate) fn entered(&self) -> impl Iterator<Item = &ServiceName> {
        self.entered.iter()
    }
}

/// A node as it is written in keys and values: the lengths stand before id and uid, so that any text is legal.
pub(crate) fn owner_text(node: &NodeRef) -> String {
    let (id, uid) = (node.id.as_str(), node.uid.as_str());
    format!("{}:{id}:{}:{uid}", id.len(), uid.len())
}

/// The node that [`owner_text`] has written. `None` for anything else.
pub(crate) fn owner(text: &str) -> Option<NodeRef> {
    let (id, rest) = part(text)?;
    let (uid, rest) = part(rest.strip_prefix(':')?)?;
    if !rest.is_empty() {
        return None;
    }
    Some(NodeRef::new(NodeId::new(id).ok()?, Uid::new(uid).ok()?))
}

/// A text behind its length, and what follows.
pub(crate) fn part(text: &str) -> Option<(&str, &str)> {
    let (length, rest) = text.split_once(':')?;
    rest.split_at_checked(length.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn service(name: &str) -> ServiceName {
        ServiceName::new(name).expect("it is legal")
    }

    #[test]
    fn keys_are_written_as_ever() {
        let buckets = Buckets::new(&Namespace::new(""), &service("login"), 16);
        let token = Token::new("user-1").expect("it is legal");
        let bucket = buckets.of(&token);
        let node = NodeRef::new(
            NodeId::new("login-0").expect("it is legal"),
            Uid::new("u-1").expect("it is legal"),
        );
        assert_eq!(bucket.link_of(&token), "braid:{login/14}:link:6:user-1");
        assert_eq!(bucket.link, "braid:{login/14}:link:");
        assert_eq!(bucket.nodes, "braid:{login/14}:link-nodes");
        assert_eq!(bucket.closed, "braid:{login/14}:link-closed");
        assert_eq!(bucket.held, "braid:{login/14}:links:");
        assert_eq!(owner_text(&node), "7:login-0:3:u-1");
        assert_eq!(
            bucket.held_by(&node),
            "braid:{login/14}:links:7:login-0:3:u-1"
        );
        let common = Common::new(&Namespace::new(""));
        assert_eq!(common.services, "braid:{links}:link-services");
        assert_eq!(common.counts_of("p"), "braid:{links}:link-counts:1:p");

        let staging = Namespace::new("staging");
        let buckets = Buckets::new(&staging, &service("login"), 16);
        let link = buckets.of(&token).link_of(&token);
        assert_eq!(link, "braid:{login/14}:link:7:staging:6:user-1");
        assert_eq!(staging.channel(), "braid:links:staging");
    }

    #[test]
    fn what_changes_together_is_in_one_slot() {
        for name in ["login", "a}b", "{x}", "日本語"] {
            let buckets = Buckets::new(&Namespace::new("x{y}z"), &service(name), 8);
            for text in ["user-1", "{y}z", "}", "日本"] {
                let token = Token::new(text).expect("it is legal");
                let bucket = buckets.of(&token);
                for key in [
                    &bucket.link_of(&token),
                    &bucket.nodes,
                    &bucket.closed,
                    &bucket.held,
                ] {
                    assert_eq!(slot(key), bucket.slot, "{key:?}");
                }
            }
        }
        let common = Common::new(&Namespace::new("x{y}z"));
        for key in [
            &common.services,
            &common.closed,
            &common.keeper,
            &common.told,
        ] {
            assert_eq!(slot(key), common.slot);
        }
    }

    #[test]
    fn services_do_not_meet() {
        // The bucket's number is the last part, whatever the name.
        let (one, other) = (service("a"), service("a/1"));
        let namespace = Namespace::new("");
        let (one, other) = (
            Buckets::new(&namespace, &one, 16),
            Buckets::new(&namespace, &other, 16),
        );
        for bucket in &one.all {
            assert!(other.all.iter().all(|other| other.held != bucket.held));
        }
    }

    proptest! {
        #[test]
        fn nodes_are_read_as_they_were_written(id in ".{1,40}", uid in ".{1,40}") {
            if let (Ok(id), Ok(uid)) = (NodeId::new(id), Uid::new(uid)) {
                let node = NodeRef::new(id, uid);
                prop_assert_eq!(owner(&owner_text(&node)), Some(node));
            }
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in ".{0,60}", number in 0_usize..100) {
            let _ = owner(&text);
            let _ = owner(&format!("{number}:{text}"));
        }
    }
}
