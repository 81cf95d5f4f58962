//! A link cache that tests set by hand.

use braid_core::{
    BoxFuture, Claim, Component, Error, ErrorKind, LinkCache, Node, NodeId, NodeRef, Result,
    ServiceName, Shutdown, Token,
};
use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

type Hook = Box<dyn Fn(&Node) + Send + Sync>;

#[derive(Default)]
pub(crate) struct Links {
    /// What is true.
    links: Mutex<HashMap<Token, NodeRef>>,
    /// What the near cache believes, where that differs.
    stale: Mutex<HashMap<Token, NodeRef>>,
    rejected: Mutex<HashSet<NodeId>>,
    former: Mutex<HashSet<NodeRef>>,
    before_claim: Mutex<Option<Hook>>,
    pub(crate) unlinks: AtomicUsize,
    pub(crate) targets: AtomicUsize,
}

impl Links {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn link(&self, token: &Token, node: &Node) {
        let mut links = self.links.lock().unwrap();
        links.insert(token.clone(), node.node.clone());
    }

    pub(crate) fn linked(&self, token: &Token) -> Option<NodeRef> {
        self.links.lock().unwrap().get(token).cloned()
    }

    pub(crate) fn end(&self, token: &Token) {
        self.links.lock().unwrap().remove(token);
    }

    pub(crate) fn believe(&self, token: &Token, node: &Node) {
        let mut stale = self.stale.lock().unwrap();
        stale.insert(token.clone(), node.node.clone());
    }

    /// The node takes no new links.
    pub(crate) fn reject(&self, node: &Node) {
        self.rejected.lock().unwrap().insert(node.node.id.clone());
    }

    /// Claims replace links to this life of the node.
    pub(crate) fn is_former(&self, node: &Node) {
        self.former.lock().unwrap().insert(node.node.clone());
    }

    pub(crate) fn before_claim(&self, hook: impl Fn(&Node) + Send + Sync + 'static) {
        *self.before_claim.lock().unwrap() = Some(Box::new(hook));
    }
}

impl Component for Links {
    fn name(&self) -> &'static str {
        "linkcache-test"
    }

    fn run(&self, shutdown: Shutdown) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            shutdown.draining().await;
            Ok(())
        })
    }
}

impl LinkCache for Links {
    fn with_cached_target(&self, token: &Token, _: &ServiceName, see: &mut dyn FnMut(&NodeRef)) {
        if let Some(node) = self.stale.lock().unwrap().get(token) {
            see(node);
        }
    }

    fn target<'a>(
        &'a self,
        token: &'a Token,
        _: &'a ServiceName,
    ) -> BoxFuture<'a, Result<Option<NodeRef>>> {
        self.targets.fetch_add(1, SeqCst);
        Box::pin(async move { Ok(self.linked(token)) })
    }

    fn claim<'a>(&'a self, token: &'a Token, node: &'a Node) -> BoxFuture<'a, Result<Claim>> {
        Box::pin(async move {
            if let Some(hook) = &*self.before_claim.lock().unwrap() {
                hook(node);
            }
            if self.rejected.lock().unwrap().contains(&node.node.id) {
                let text = "the node is draining";
                return Err(Error::new(ErrorKind::Rejected, "links", "claim", text));
            }
            let former = self.former.lock().unwrap();
            let mut links = self.links.lock().unwrap();
            match links.get(token).filter(|held| !former.contains(held)) {
                Some(held) if *held != node.node => Ok(Claim::Held(held.clone())),
                _ => {
                    links.insert(token.clone(), node.node.clone());
                    Ok(Claim::Won)
                }
            }
        })
    }

    fn unlink<'a>(
        &'a self,
        token: &'a Token,
        _: &'a ServiceName,
        owner: &'a NodeRef,
    ) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            self.unlinks.fetch_add(1, SeqCst);
            let mut links = self.links.lock().unwrap();
            let is_owner = links.get(token) == Some(owner);
            if is_owner {
                links.remove(token);
            }
            Ok(is_owner)
        })
    }

    fn leave<'a>(&'a self, _: &'a Token) -> BoxFuture<'a, Result<usize>> {
        Box::pin(async { Ok(0) })
    }

    fn down<'a>(&'a self, _: &'a NodeRef) -> BoxFuture<'a, Result<usize>> {
        Box::pin(async { Ok(0) })
    }

    fn drain<'a>(&'a self, _: &'a NodeRef) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn relink<'a>(
        &'a self,
        _: &'a Token,
        _: &'a NodeRef,
        _: &'a Node,
    ) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async { Ok(false) })
    }

    fn links<'a>(
        &'a self,
        _: &'a NodeRef,
        _: usize,
    ) -> BoxFuture<'a, Result<Vec<(ServiceName, Token)>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn count<'a>(&'a self, _: &'a NodeRef) -> BoxFuture<'a, Result<usize>> {
        Box::pin(async { Ok(0) })
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Links")
    }
}
