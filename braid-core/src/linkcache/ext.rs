//! What follows from the contract alone, for every backend.

use super::LinkCache;
use crate::{Error, ErrorKind, Node, NodeRef, NodeState, Result, ServiceName, Token};
use std::collections::VecDeque;

/// More to do with any [`LinkCache`]. Implemented for all of them.
pub trait LinkCacheExt: LinkCache {
    /// Moves a share of a node's links, from 0.0 to 1.0 and rounded up to whole links, to the nodes of `to` in turn; returns how many
    /// were moved. Users stay where they are by themselves, so a node that came late gets its part by this, and one that drains is
    /// empty sooner.
    ///
    /// # Behavior
    /// A link goes only to a node of its service; where `to` has none, other links make up the share. Of each link the owner is told
    /// first, by `hand_over`, and the link moves when that has succeeded: time to bring the user's state to the other node. One link at a
    /// time, so that this takes as long as the hand-overs do.
    ///
    /// Where `hand_over` fails the link stays, and none takes its place in the share: a hand-over that always fails is tried that often at most.
    /// Which links stayed is what `hand_over` itself knows; their number is logged. A link that ended meanwhile, or was moved to a
    /// third node, isn't counted.
    ///
    /// A node that refuses a link, because it is draining or gone, gets none for the rest. The next one is tried with this link, and
    /// `hand_over` is called for it again: keep a user's state until the link has moved.
    ///
    /// # Errors
    /// `Config`: the share isn't between 0 and 1. What [`count`](LinkCache::count), [`links`](LinkCache::links) and
    /// [`relink`](LinkCache::relink) say, which ends the rebalancing at that link; the text tells how many were moved before.
    ///
    /// # Cancel safety
    /// A dropped future leaves the links moved that were; of the one under way the owner may have been told, and its link moved.
    ///
    /// ```
    /// use braid_core::{LinkCache, LinkCacheExt, Node, NodeRef, Result, Token};
    ///
    /// async fn relieve(links: &dyn LinkCache, busy: &NodeRef, others: &[Node]) -> Result<usize> {
    ///     links.rebalance(busy, others, 0.25, |token, to| bring(token, to)).await
    /// }
    ///
    /// /// The game that the user is in, to the node that the user's next call goes to.
    /// async fn bring(token: Token, to: Node) -> Result<()> {
    /// #   let _ = (token, to);
    ///     Ok(())
    /// }
    /// ```
    fn rebalance<F, Fut>(
        &self,
        from: &NodeRef,
        to: &[Node],
        share: f64,
        hand_over: F,
    ) -> impl Future<Output = Result<usize>> + Send
    where
        F: FnMut(Token, Node) -> Fut + Send,
        Fut: Future<Output = Result<()>> + Send;
}

impl<C: LinkCache + ?Sized> LinkCacheExt for C {
    async fn rebalance<F, Fut>(
        &self,
        from: &NodeRef,
        to: &[Node],
        share: f64,
        hand_over: F,
    ) -> Result<usize>
    where
        F: FnMut(Token, Node) -> Fut + Send,
        Fut: Future<Output = Result<()>> + Send,
    {
        if !(0.0..=1.0).contains(&share) {
            let text = format!("a share of {share} is not between 0 and 1");
            return Err(Error::new(ErrorKind::Config, "core", OPERATION, text));
        }
        let mut rebalance = Rebalance {
            cache: self,
            from,
            targets: targets(from, to),
            hand_over,
            moved: 0,
            kept: 0,
        };
        let result = rebalance.work(share).await;
        let Rebalance { moved, kept, .. } = rebalance;
        if kept > 0 {
            tracing::warn!(node = %from, moved, kept, "links stay, because their hand-over failed");
        }
        result.map(|()| moved).map_err(|error| {
            let text = format!("after {moved} links: {error}");
            Error::new(error.kind(), "core", OPERATION, text).with_source(error)
        })
    }
}

const OPERATION: &str = "rebalance";

struct Rebalance<'a, C: ?Sized, F> {
    cache: &'a C,
    from: &'a NodeRef,
    /// Whose turn it is stands first.
    targets: VecDeque<&'a Node>,
    hand_over: F,
    moved: usize,
    kept: usize,
}

impl<'a, C, F, Fut> Rebalance<'a, C, F>
where
    C: LinkCache + ?Sized,
    F: FnMut(Token, Node) -> Fut + Send,
    Fut: Future<Output = Result<()>> + Send,
{
    async fn work(&mut self, share: f64) -> Result<()> {
        if self.targets.is_empty() {
            return Ok(());
        }
        let count = self.cache.count(self.from).await?;
        let mut left = part(count, share);
        if left == 0 {
            return Ok(());
        }
        // All, since some may be of services that there is no target of.
        for (service, token) in self.cache.links(self.from, count).await? {
            if left == 0 {
                break;
            }
            if let Some(target) = self.next(&service) {
                left -= 1;
                self.one(&service, &token, target).await?;
            }
        }
        Ok(())
    }

    async fn one(&mut self, service: &ServiceName, token: &Token, first: &'a Node) -> Result<()> {
        let mut target = Some(first);
        while let Some(to) = target {
            if let Err(error) = (self.hand_over)(token.clone(), to.clone()).await {
                tracing::debug!(node = %self.from, to = %to.node, %service, %error, "not handed over");
                self.kept += 1;
                break;
            }
            match self.cache.relink(token, self.from, to).await {
                Ok(moved) => {
                    self.moved += usize::from(moved);
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Rejected => {
                    tracing::debug!(%error, "left out");
                    self.targets.retain(|target| target.node != to.node);
                    target = self.next(service);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The service's node whose turn it is.
    fn next(&mut self, service: &ServiceName) -> Option<&'a Node> {
        let place = self.targets.iter().position(|n| n.service == *service)?;
        let node = self.targets.remove(place)?;
        self.targets.push_back(node);
        Some(node)
    }
}

/// Who may get links. The others would refuse, after the owner was told for nothing.
fn targets<'a>(from: &NodeRef, to: &'a [Node]) -> VecDeque<&'a Node> {
    let open = |node: &&Node| node.node != *from && node.state != NodeState::Draining;
    to.iter().filter(open).collect()
}

/// A share of so many, rounded up, but not for what multiplying alone put on top: 0.07 of 100 is 7.
fn part(count: usize, share: f64) -> usize {
    let exact = count as f64 * share;
    (exact * (1.0 - 2.0 * f64::EPSILON)).ceil() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_up_to_whole_links_and_no_further() {
        for (count, share, links) in [
            (0, 1.0, 0),
            (10, 0.0, 0),
            (10, 1e-300, 1),
            (10, 0.25, 3),
            (3, 0.5, 2),
            (10, 1.0, 10),
        ] {
            assert_eq!(part(count, share), links, "{share} of {count}");
        }
        for percent in 0..=100 {
            let share = f64::from(percent) / 100.0;
            let percent = percent as usize;
            assert_eq!(part(100, share), percent);
            assert_eq!(part(1_000_000, share), percent * 10_000);
        }
    }
}
