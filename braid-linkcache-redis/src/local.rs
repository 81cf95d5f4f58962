//! What [`Mode::Local`](crate::Mode::Local) does where [`Mode::Redis`](crate::Mode::Redis) asks the server for links.

use crate::{
    error::NAME,
    inner::{Inner, passing},
    own::Own,
    push,
    store::Mark,
};
use braid_core::{
    Claim, Node, NodeRef, Result, Token,
    reserved::{Body, Unlink},
};
use std::{
    collections::HashSet,
    time::{Duration, SystemTime},
};
use tokio::time::{Instant, sleep};

/// How long a process' counts count after it was last heard of.
const REPORTED: Duration = Duration::from_secs(5);

/// One process' own links, within the fleet.
pub(crate) struct Local<'a> {
    pub(crate) cache: &'a Inner,
    pub(crate) own: &'a Own,
}

impl Local<'_> {
    pub(crate) fn claim(&self, token: &Token, node: &Node) -> Result<Claim> {
        let now = self.cache.clock.now();
        let claim = self.own.claim(now, &self.cache.nodes, token, node);
        claim.map_err(|why| why.error("claim", &node.service, &node.node))
    }

    pub(crate) fn relink(&self, token: &Token, from: &NodeRef, to: &Node) -> Result<bool> {
        let now = self.cache.clock.now();
        let moved = self.own.relink(now, &self.cache.nodes, token, from, to);
        moved.map_err(|why| why.error("relink", &to.service, &to.node))
    }

    /// Ends the token's links here, and tells the others, by a topic: whoever can't listen now hears of it later.
    pub(crate) async fn leave(&self, token: &Token) -> Result<usize> {
        let ended = self
            .own
            .leave(self.cache.clock.now(), token, SystemTime::now());
        let body = Unlink(token.clone()).message();
        self.cache.pubsub.publish(&Unlink::topic(), body).await?;
        Ok(ended)
    }

    pub(crate) async fn down(&self, node: &NodeRef) -> Result<usize> {
        let ended = self.count(node).await?;
        self.cache.store.close(node, Mark::Gone).await?;
        self.own.down(node);
        self.cache.store.publish(push::gone(node)).await?;
        Ok(ended)
    }

    pub(crate) async fn drain(&self, node: &NodeRef) -> Result<()> {
        self.cache.store.close(node, Mark::Draining).await?;
        self.own.close(node);
        self.cache.store.publish(push::closed(node)).await?;
        loop {
            // Whoever linked somebody a moment ago has told of it by then.
            sleep(2 * self.cache.config.count_interval).await;
            if passing(self.count(node).await)? == Some(0) {
                return Ok(());
            }
        }
    }

    /// What the others have told of, and what is here now.
    pub(crate) async fn count(&self, node: &NodeRef) -> Result<usize> {
        let others = self.cache.store.others(&self.cache.process).await?;
        let others = others.into_iter().filter(|(other, _)| other == node);
        let here = self.own.counts(self.cache.clock.now());
        let here = here.get(node).copied().unwrap_or(0);
        let all = others.map(|(_, count)| count).sum::<u64>() + here;
        Ok(usize::try_from(all).unwrap_or(usize::MAX))
    }

    /// Learns who is closed, which may have been told while nobody listened here.
    pub(crate) async fn catch_up(&self) {
        match self.cache.store.marked().await {
            Ok(marks) => {
                let of = |mark| {
                    let nodes = marks.iter().filter(move |(_, of)| *of == mark);
                    nodes.map(|(node, _)| node.clone()).collect::<HashSet<_>>()
                };
                self.own.set_closed(of(Mark::Draining), &of(Mark::Gone));
            }
            Err(error) => {
                tracing::warn!(component = NAME, %error, "who is closed for links is not known");
            }
        }
    }

    /// Tells the fleet how many links each node has here, when that has changed, or was told long ago.
    pub(crate) async fn report(
        &self,
        last: &mut Option<(Instant, Vec<(NodeRef, u64)>)>,
    ) -> Result<()> {
        let now = self.cache.clock.now();
        self.own.sweep(now);
        let mut counts: Vec<_> = self.own.counts(now).into_iter().collect();
        counts.sort();
        let fresh = last.as_ref().is_some_and(|(at, told)| {
            *told == counts && (counts.is_empty() || at.elapsed() < REPORTED / 3)
        });
        if !fresh {
            *last = None;
            self.cache
                .store
                .report(&self.cache.process, REPORTED, &counts)
                .await?;
            *last = Some((Instant::now(), counts));
        }
        Ok(())
    }
}
