//! A node's links, and who gets no new one.

use super::{
    Place, Store, millis, places,
    replies::{count, counts_in},
};
use crate::{
    error::unreadable,
    keys::{owner, owner_text},
    push,
    scripts::{CLOSE, COUNT, DOWN, LINKS, TEND},
};
use braid_core::{NodeRef, Result, ServiceName, Token};
use braid_redis::reply;
use bytes::Bytes;
use std::time::Duration;

/// How many links one step ends or forgets at most: about a millisecond of the server's time.
const STEP: i64 = 500;

/// How long it is remembered at least that a node is closed.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// What a node may be closed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Draining,
    /// Somebody said so.
    Gone,
    /// Discovery hasn't told of it for the grace period.
    Absent,
}

impl Mark {
    fn member(self, node: &NodeRef) -> String {
        let node = owner_text(node);
        match self {
            Self::Draining => format!("d{node}"),
            Self::Gone => format!("g{node}"),
            Self::Absent => format!("a{node}"),
        }
    }

    pub(super) fn read(member: &str) -> Option<(NodeRef, Self)> {
        let mark = match member.as_bytes().first()? {
            b'd' => Self::Draining,
            b'g' => Self::Gone,
            b'a' => Self::Absent,
            _ => return None,
        };
        Some((owner(&member[1..])?, mark))
    }
}

impl Store {
    /// How many links a node has in each of these buckets; those without any are left out.
    pub(crate) async fn counts(
        &self,
        all: Vec<Place>,
        node: &NodeRef,
    ) -> Result<Vec<(Place, u64)>> {
        let counts = self.each(all, |(buckets, number)| async move {
            let bucket = &buckets.all[number];
            let reply = self.run(
                &COUNT,
                bucket.slot,
                vec![bucket.held_by(node).into()],
                vec![],
            );
            count("count", &reply.await?)
        });
        let mut counts = counts.await?;
        counts.retain(|(_, count)| *count > 0);
        Ok(counts)
    }

    pub(crate) async fn links(
        &self,
        node: &NodeRef,
        limit: usize,
    ) -> Result<Vec<(ServiceName, Token)>> {
        let mut links = Vec::new();
        for (buckets, number) in self.everywhere().await? {
            let left = limit.saturating_sub(links.len());
            if left == 0 {
                break;
            }
            let bucket = &buckets.all[number];
            let left = vec![i64::try_from(left).unwrap_or(i64::MAX).into()];
            let reply = self.run(&LINKS, bucket.slot, vec![bucket.held_by(node).into()], left);
            for token in reply::as_array(&reply.await?).unwrap_or_default() {
                let token = reply::as_text(token).and_then(|token| Token::new(token).ok());
                let token = token.ok_or_else(|| unreadable("links", "a token"))?;
                links.push((buckets.service.clone(), token));
            }
        }
        Ok(links)
    }

    /// Ends all links of a node, in steps.
    pub(crate) async fn down(&self, node: &NodeRef) -> Result<u64> {
        let name = &owner_text(node);
        let ended = self.each(self.everywhere().await?, |(buckets, number)| async move {
            let bucket = &buckets.all[number];
            let mut ended = 0;
            loop {
                let args = vec![
                    bucket.held.clone().into(),
                    bucket.link.clone().into(),
                    name.clone().into(),
                    STEP.into(),
                    push::gone(node).into(),
                    self.channel.clone().into(),
                ];
                let reply = self.run(&DOWN, bucket.slot, vec![bucket.nodes.clone().into()], args);
                let reply = reply.await?;
                let Some([step, left]) = reply::as_array(&reply) else {
                    return Err(unreadable("down", "no two counts"));
                };
                ended += count("down", step)?;
                if count("down", left)? == 0 {
                    return Ok(ended);
                }
            }
        });
        Ok(ended.await?.into_iter().map(|(_, ended)| ended).sum())
    }

    /// Closes a node for new links in all services, those that are listed later too.
    pub(crate) async fn close(&self, node: &NodeRef, mark: Mark) -> Result<()> {
        let marks = &[mark.member(node)];
        self.mark(self.common.slot, self.list_of(mark), marks)
            .await?;
        self.mark_all(self.everywhere().await?, marks).await?;
        Ok(())
    }

    /// The nodes that are marked as absent.
    pub(crate) async fn absent(&self) -> Result<Vec<NodeRef>> {
        let marks = self.marks(&self.common.absent).await?;
        Ok(marks.into_iter().map(|(node, _)| node).collect())
    }

    /// The nodes that somebody has closed.
    pub(crate) async fn marked(&self) -> Result<Vec<(NodeRef, Mark)>> {
        self.marks(&self.common.closed).await
    }

    async fn marks(&self, list: &Bytes) -> Result<Vec<(NodeRef, Mark)>> {
        let all = vec![list.clone().into(), 0.into(), (-1).into()];
        let reply = self.command("ZRANGE", self.common.slot, all).await?;
        let marks = reply::as_array(&reply).unwrap_or_default().iter();
        let marks = marks.map(|mark| {
            let mark = reply::as_text(mark).and_then(Mark::read);
            mark.ok_or_else(|| unreadable("marks", "a node"))
        });
        marks.collect()
    }

    /// A node that was gone is back.
    pub(crate) async fn reopen(&self, node: &NodeRef, mark: Mark) -> Result<()> {
        let member = &mark.member(node);
        let args = |key: &Bytes| vec![key.clone().into(), member.clone().into()];
        let common = args(self.list_of(mark));
        let removed = self.command("ZREM", self.common.slot, common).await?;
        if reply::as_int(&removed) == Some(0) {
            return Ok(());
        }
        self.each(self.everywhere().await?, |(buckets, number)| async move {
            let bucket = &buckets.all[number];
            self.command("ZREM", bucket.slot, args(&bucket.closed))
                .await
        })
        .await?;
        Ok(())
    }

    /// Forgets what has ended by itself, and tells how many links each node has in a service.
    pub(crate) async fn tend(&self, service: &ServiceName) -> Result<Vec<(NodeRef, u64)>> {
        let buckets = self.buckets_of(service);
        let told = self.each(places(&buckets), |(buckets, number)| async move {
            let bucket = &buckets.all[number];
            let args = vec![bucket.held.clone().into(), STEP.into()];
            let reply = self.run(&TEND, bucket.slot, vec![bucket.nodes.clone().into()], args);
            counts_in("tend", &reply.await?)
        });
        Ok(told
            .await?
            .into_iter()
            .flat_map(|(_, counts)| counts)
            .collect())
    }

    /// Where the fleet's marks of this kind are, beside those in the buckets.
    fn list_of(&self, mark: Mark) -> &Bytes {
        match mark {
            Mark::Draining | Mark::Gone => &self.common.closed,
            Mark::Absent => &self.common.absent,
        }
    }

    async fn mark(&self, slot: u16, closed: &Bytes, marks: &[String]) -> Result<()> {
        let mut args = vec![millis(REMEMBERED.max(self.ttl))];
        args.extend(marks.iter().map(|mark| mark.clone().into()));
        self.run(&CLOSE, slot, vec![closed.clone().into()], args)
            .await?;
        Ok(())
    }

    pub(super) async fn mark_all(&self, all: Vec<Place>, marks: &[String]) -> Result<()> {
        self.each(all, |(buckets, number)| async move {
            let bucket = &buckets.all[number];
            self.mark(bucket.slot, &bucket.closed, marks).await
        })
        .await?;
        Ok(())
    }
}
