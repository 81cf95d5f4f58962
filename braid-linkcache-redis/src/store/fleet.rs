//! What the fleet has in common.

use super::{
    Store, millis, places,
    replies::{count, counts_in},
};
use crate::{
    error::{NAME, unreadable},
    keys::{Buckets, owner_text},
    push,
    scripts::{ENTER, REPORT, RESIGN, SUM, WATCH},
};
use braid_core::{Error, ErrorKind, NodeRef, Result, ServiceName};
use braid_redis::{Value, reply};
use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

impl Store {
    /// The services that are listed, by this process too.
    pub(crate) async fn services(&self) -> Result<BTreeSet<ServiceName>> {
        let list = vec![self.common.services.clone().into()];
        let reply = self.command("SMEMBERS", self.common.slot, list).await?;
        let names = reply::as_array(&reply).unwrap_or_default().iter();
        let names = names.map(|name| {
            let name = reply::as_text(name).and_then(|name| ServiceName::new(name).ok());
            name.ok_or_else(|| unreadable("services", "a name"))
        });
        names.collect()
    }

    /// Lists services, closes in them whoever is closed, and compares how many buckets they have.
    ///
    /// # Errors
    /// `Config`: the fleet has another number of buckets.
    pub(crate) async fn enter(&self, services: &[ServiceName]) -> Result<()> {
        let common = &self.common;
        let keys = [&common.services, &common.closed, &common.buckets];
        let keys = keys.map(|key| key.clone().into()).to_vec();
        let mut args: Vec<Value> = vec![
            i64::from(self.buckets).into(),
            push::EMPTIED.into(),
            self.channel.clone().into(),
        ];
        args.extend(
            services
                .iter()
                .map(|service| service.as_str().to_owned().into()),
        );
        let reply = self.run(&ENTER, common.slot, keys, args).await?;
        let [buckets, closed @ ..] = reply::as_array(&reply).unwrap_or_default() else {
            return Err(unreadable("enter", "nothing"));
        };
        if reply::as_int(buckets) != Some(self.buckets.into()) {
            let text = format!(
                "buckets: {} here, but the fleet has {}",
                self.buckets,
                reply::as_text(buckets).unwrap_or("another number")
            );
            return Err(Error::new(ErrorKind::Config, NAME, "connect", text));
        }
        let closed = closed
            .iter()
            .map(|node| reply::as_text(node).map(str::to_owned));
        let closed: Option<Vec<String>> = closed.collect();
        let closed = closed.ok_or_else(|| unreadable("enter", "a node"))?;
        for service in services {
            let buckets = self.buckets_of(service);
            if !closed.is_empty() {
                self.mark_all(places(&buckets), &closed).await?;
            }
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            known.enter(service);
        }
        Ok(())
    }

    /// Whether this process looks after what has ended, for as long as `lease`; and whether all services of this process are listed.
    pub(crate) async fn watch(&self, process: &str, lease: Duration) -> Result<(bool, bool)> {
        let keys = [&self.common.keeper, &self.common.services];
        let keys = keys.map(|key| key.clone().into()).to_vec();
        let args = vec![process.to_owned().into(), millis(lease)];
        let reply = self.run(&WATCH, self.common.slot, keys, args).await?;
        let Some([ours, listed]) = reply::as_array(&reply) else {
            return Err(unreadable("watch", "no two numbers"));
        };
        let known = self.entered_services().len() as u64;
        let listed = count("watch", listed)? >= known && !self.unlisted.load(Ordering::Relaxed);
        Ok((count("watch", ours)? == 1, listed))
    }

    /// Gives the looking after up, if this process does it.
    pub(crate) async fn resign(&self, process: &str) -> Result<()> {
        let keeper = vec![self.common.keeper.clone().into()];
        let process = vec![process.to_owned().into()];
        self.run(&RESIGN, self.common.slot, keeper, process).await?;
        Ok(())
    }

    /// The counts that were published last.
    pub(crate) async fn told(&self) -> Result<Vec<(String, u64)>> {
        let key = vec![self.common.told.clone().into()];
        let reply = self.command("HGETALL", self.common.slot, key).await?;
        let pairs = reply::as_pairs(&reply).unwrap_or_default().into_iter();
        let pairs = pairs.map(|(id, number)| {
            let id = reply::as_text(id).ok_or_else(|| unreadable("told", "an id"))?;
            Ok((id.to_owned(), count("told", number)?))
        });
        pairs.collect()
    }

    /// Writes down that a count was published.
    pub(crate) async fn tell(&self, id: &str, number: u64) -> Result<()> {
        let key = self.common.told.clone();
        let slot = self.common.slot;
        if number == 0 {
            let args = vec![key.into(), id.to_owned().into()];
            self.command("HDEL", slot, args).await?;
        } else {
            let args = vec![key.into(), id.to_owned().into(), number.to_string().into()];
            self.command("HSET", slot, args).await?;
        }
        Ok(())
    }

    pub(crate) async fn publish(&self, message: String) -> Result<()> {
        let args = vec![self.channel.clone().into(), message.into()];
        self.command("PUBLISH", self.common.slot, args).await?;
        Ok(())
    }

    /// Tells how many links each node has in the memory of a process, for as long as `lease`.
    pub(crate) async fn report(
        &self,
        process: &str,
        lease: Duration,
        counts: &[(NodeRef, u64)],
    ) -> Result<()> {
        let keys = vec![
            self.common.counts_of(process).into(),
            self.common.processes.clone().into(),
        ];
        let mut args = vec![process.to_owned().into(), millis(lease)];
        for (node, count) in counts {
            args.extend([owner_text(node).into(), count.to_string().into()]);
        }
        self.run(&REPORT, self.common.slot, keys, args).await?;
        Ok(())
    }

    /// How many links each node has in the memories of all processes but one.
    pub(crate) async fn others(&self, but: &str) -> Result<Vec<(NodeRef, u64)>> {
        let processes = vec![self.common.processes.clone().into()];
        let args = vec![self.common.counts.clone().into(), but.to_owned().into()];
        let reply = self.run(&SUM, self.common.slot, processes, args).await?;
        counts_in("others", &reply)
    }

    /// The services of this process may be listed no more.
    pub(crate) fn unlist(&self) {
        self.unlisted.store(true, Ordering::Relaxed);
    }

    /// Lists the services of this process again.
    pub(crate) async fn relist(&self) -> Result<()> {
        // What is said meanwhile counts for the next time.
        self.unlisted.store(false, Ordering::Relaxed);
        let listed = self.enter(&self.entered_services()).await;
        if listed.is_err() {
            self.unlist();
        }
        listed
    }

    /// The services that this process has listed.
    pub(crate) fn entered_services(&self) -> Vec<ServiceName> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.entered().cloned().collect()
    }

    /// A service's buckets, once it is listed.
    pub(super) async fn entered(&self, service: &ServiceName) -> Result<Arc<Buckets>> {
        let known = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            known.get_entered(service)
        };
        if let Some(buckets) = known {
            return Ok(buckets);
        }
        Box::pin(self.enter(std::slice::from_ref(service))).await?;
        Ok(self.buckets_of(service))
    }
}
