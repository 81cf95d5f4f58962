//! A token's link.

use super::{
    Store, about,
    replies::{held, int, refusal, status},
};
use crate::{
    error::{Refusal, unreadable},
    keys::{Bucket, owner_text},
    push,
    scripts::{CLAIM, RELINK, TARGET, UNLINK},
};
use braid_core::{NodeRef, Result, ServiceName, Token};
use braid_redis::Value;
use std::time::Duration;

/// A link as the server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) node: NodeRef,
    /// Until it ends, unless it is renewed.
    pub(crate) left: Duration,
}

/// What came of a claim.
#[derive(Debug)]
pub(crate) enum Claimed {
    Won,
    Held(Held),
    Refused(Refusal),
}

/// What came of a move.
#[derive(Debug)]
pub(crate) enum Moved {
    Done,
    /// The link isn't the former node's.
    NotHeld,
    Refused(Refusal),
}

impl Store {
    pub(crate) async fn target(
        &self,
        token: &Token,
        service: &ServiceName,
    ) -> Result<Option<Held>> {
        let buckets = self.buckets_of(service);
        let bucket = buckets.of(token);
        let keys = vec![bucket.link_of(token).into(), bucket.nodes.clone().into()];
        let args = vec![bucket.held.clone().into(), value(token), self.ttl()];
        let reply = self.run(&TARGET, bucket.slot, keys, args).await;
        held(
            &reply.map_err(|error| about("target", service, error))?,
            0,
            "target",
        )
    }

    /// `known` is why the node gets no new link, as far as this process knows; `replaced` is a holder that is gone.
    pub(crate) async fn claim(
        &self,
        token: &Token,
        service: &ServiceName,
        node: &NodeRef,
        known: Option<Refusal>,
        replaced: Option<&NodeRef>,
    ) -> Result<Claimed> {
        let buckets = self.entered(service).await?;
        let bucket = buckets.of(token);
        let args = vec![
            bucket.held.clone().into(),
            owner_text(node).into(),
            value(token),
            self.ttl(),
            refusal_text(known).into(),
            replaced.map(owner_text).unwrap_or_default().into(),
            push::ended(service, token).into(),
            self.channel.clone().into(),
        ];
        let reply = self
            .run(&CLAIM, bucket.slot, link_keys(bucket, token), args)
            .await;
        let reply = reply.map_err(|error| about("claim", service, error))?;
        match status(&reply) {
            Some("won") => Ok(Claimed::Won),
            Some("held") => match held(&reply, 1, "claim")? {
                Some(held) => Ok(Claimed::Held(held)),
                None => Err(unreadable("claim", "no holder")),
            },
            Some(other) => Ok(Claimed::Refused(refusal("claim", other)?)),
            None => Err(unreadable("claim", "no status")),
        }
    }

    /// `owner`: whoever may hold it; `until`: only a link that was made by then, in milliseconds since 1970. `None` is any.
    pub(crate) async fn unlink(
        &self,
        token: &Token,
        service: &ServiceName,
        owner: Option<&NodeRef>,
        until: Option<u64>,
    ) -> Result<bool> {
        let buckets = self.buckets_of(service);
        let bucket = buckets.of(token);
        let args = vec![
            bucket.held.clone().into(),
            owner.map(owner_text).unwrap_or_default().into(),
            value(token),
            until
                .map(|until| until.to_string())
                .unwrap_or_default()
                .into(),
            push::ended(service, token).into(),
            self.channel.clone().into(),
        ];
        let keys = vec![bucket.link_of(token).into()];
        let reply = self.run(&UNLINK, bucket.slot, keys, args).await;
        let reply = reply.map_err(|error| about("unlink", service, error))?;
        Ok(int("unlink", &reply)? == 1)
    }

    pub(crate) async fn relink(
        &self,
        token: &Token,
        service: &ServiceName,
        from: &NodeRef,
        to: &NodeRef,
        known: Option<Refusal>,
    ) -> Result<Moved> {
        let buckets = self.entered(service).await?;
        let bucket = buckets.of(token);
        let args = vec![
            bucket.held.clone().into(),
            owner_text(from).into(),
            owner_text(to).into(),
            value(token),
            self.ttl(),
            refusal_text(known).into(),
            push::ended(service, token).into(),
            self.channel.clone().into(),
        ];
        let reply = self
            .run(&RELINK, bucket.slot, link_keys(bucket, token), args)
            .await;
        let reply = reply.map_err(|error| about("relink", service, error))?;
        match status(&reply) {
            Some("moved") => Ok(Moved::Done),
            Some("none") => Ok(Moved::NotHeld),
            Some(other) => Ok(Moved::Refused(refusal("relink", other)?)),
            None => Err(unreadable("relink", "no status")),
        }
    }
}

fn link_keys(bucket: &Bucket, token: &Token) -> Vec<Value> {
    let keys = [
        bucket.link_of(token),
        bucket.closed.clone(),
        bucket.nodes.clone(),
    ];
    keys.map(Value::from).to_vec()
}

fn value(token: &Token) -> Value {
    token.as_str().to_owned().into()
}

fn refusal_text(refusal: Option<Refusal>) -> &'static str {
    match refusal {
        None => "",
        Some(Refusal::Draining) => "d",
        Some(Refusal::Gone) => "g",
    }
}
